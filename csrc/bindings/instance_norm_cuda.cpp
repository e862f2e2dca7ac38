#include "ops/instance_norm/instance_norm_cuda.h"

#include "bindings/bindings.h"
#include "bindings/device_calls.h"

namespace pyharmony {
namespace {

void launch_pass(const InstanceNormCall& call, const ArrayView& workspace, cudaStream_t stream) {
  launch_instance_norm(call, workspace.data, static_cast<std::size_t>(workspace.size()), stream);
}

}  // namespace

void bind_instance_norm_cuda(py::module_& m) {
  const py::arg slope("negative_slope");
  const py::kw_only named;
  const auto keep = "keep"_a = static_cast<const ArrayView*>(nullptr), gain = "gain"_a = 1.0;
  m.def("instance_norm_workspace", &instance_norm_workspace, "x"_a);
  m.def("batch_norm_workspace", &batch_norm_workspace, "x"_a);
  define_on_device(m, "instance_norm", chain(instance_norm_call, launch_pass), "x"_a, "eps"_a,
                   slope, "y"_a, "stats"_a, keep, gain, named, "workspace"_a);
  define_on_device(m, "instance_norm_gradient", chain(instance_norm_gradient_call, launch_pass),
                   "x"_a, "stats"_a, "grad"_a, slope, "dx"_a, keep, gain, named, "workspace"_a);
  define_on_device(m, "instance_norm_second_gradient",
                   chain(instance_norm_second_gradient_call, launch_pass), "x"_a, "stats"_a,
                   "grad"_a, "pull"_a, slope, "dgrad"_a, "dx"_a, keep, gain, named, "workspace"_a);
  define_on_device(m, "batch_norm", chain(batch_norm_call, launch_pass), "x"_a, "scale"_a,
                   "shift"_a, "eps"_a, slope, "y"_a, "stats"_a, keep, gain, named, "workspace"_a);
  define_on_device(m, "batch_norm_gradient", chain(batch_norm_gradient_call, launch_pass), "x"_a,
                   "stats"_a, "scale"_a, "shift"_a, "grad"_a, slope, "dx"_a, "dscale"_a, "dshift"_a,
                   keep, gain, named, "workspace"_a);
}

}  // namespace pyharmony
