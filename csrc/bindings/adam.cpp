#include "ops/adam/adam.h"

#include "bindings/bindings.h"

namespace pyharmony {
namespace {

void run_adam(const AdamCall& call) { HM_SIMD_CALL(adam_kernel, call); }

}  // namespace

void bind_adam(py::module_& m) {
  m.def("adam", chain(adam_call, run_adam), "parameters"_a, "gradients"_a, "means"_a, "squares"_a,
        "steps"_a, "lr"_a, "lr_at"_a, "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a,
        "decoupled"_a, "skip"_a, "clip"_a, py::call_guard<GilRelease>());
}

}  // namespace pyharmony
