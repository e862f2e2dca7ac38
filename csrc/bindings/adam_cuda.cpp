#include "ops/adam/adam_cuda.h"

#include "bindings/bindings.h"
#include "bindings/device_calls.h"

namespace pyharmony {
namespace {

void launch(const AdamCall& call, const ArrayView& workspace, cudaStream_t stream) {
  launch_adam(call, workspace.data, static_cast<std::size_t>(workspace.size()), stream);
}

}  // namespace

void bind_adam_cuda(py::module_& m) {
  m.def("adam_workspace", &adam_workspace, "tensors"_a);
  define_on_device(m, "adam", chain(adam_call, launch), "parameters"_a, "gradients"_a, "means"_a,
                   "squares"_a, "steps"_a, "lr"_a, "lr_at"_a, "beta1"_a, "beta2"_a, "eps"_a,
                   "weight_decay"_a, "decoupled"_a, "skip"_a, "clip"_a, py::kw_only(),
                   "workspace"_a);
}

}  // namespace pyharmony
