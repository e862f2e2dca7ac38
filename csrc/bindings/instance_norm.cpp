#include "ops/instance_norm/instance_norm.h"

#include "bindings/bindings.h"

namespace pyharmony {
namespace {

void run_instance_norm(const InstanceNormCall& call) { HM_SIMD_CALL(instance_norm_kernel, call); }

}  // namespace

void bind_instance_norm(py::module_& m) {
  const py::call_guard<GilRelease> release;
  const py::arg slope("negative_slope");
  const auto keep = "keep"_a = static_cast<const ArrayView*>(nullptr), gain = "gain"_a = 1.0;
  m.def("instance_norm", chain(instance_norm_call, run_instance_norm), "x"_a, "eps"_a, slope, "y"_a,
        "stats"_a, keep, gain, release);
  m.def("instance_norm_gradient", chain(instance_norm_gradient_call, run_instance_norm), "x"_a,
        "stats"_a, "grad"_a, slope, "dx"_a, keep, gain, release);
  m.def("instance_norm_second_gradient",
        chain(instance_norm_second_gradient_call, run_instance_norm), "x"_a, "stats"_a, "grad"_a,
        "pull"_a, slope, "dgrad"_a, "dx"_a, keep, gain, release);
  m.def("batch_norm", chain(batch_norm_call, run_instance_norm), "x"_a, "scale"_a, "shift"_a,
        "eps"_a, slope, "y"_a, "stats"_a, keep, gain, release);
  m.def("batch_norm_gradient", chain(batch_norm_gradient_call, run_instance_norm), "x"_a, "stats"_a,
        "scale"_a, "shift"_a, "grad"_a, slope, "dx"_a, "dscale"_a, "dshift"_a, keep, gain, release);
}

}  // namespace pyharmony
