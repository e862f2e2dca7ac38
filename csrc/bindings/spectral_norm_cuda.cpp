#include "ops/spectral_norm/spectral_norm_cuda.h"

#include "bindings/device_calls.h"
#include "bindings/spectral_norm.h"

namespace pyharmony {

void bind_spectral_norm_cuda(py::module_& m) {
  const py::kw_only named;
  using Views = const std::vector<ArrayView>&;
  m.def("spectral_norm_workspace", &spectral_norm_workspace, "weights"_a);
  define_on_device(
      m, "spectral_norm",
      [](Views weights, Views us, Views vs, Views outs, const ArrayView& sigmas,
         const ArrayView& state, int iterations, double eps, const std::string& order, bool write,
         const ArrayView& workspace, cudaStream_t stream) {
        launch_spectral_norm(weights, us, vs, outs, sigmas, state,
                             spectral_norm_options(iterations, eps, order, write), workspace.data,
                             stream);
      },
      "weights"_a, "us"_a, "vs"_a, "outs"_a, "sigmas"_a, "state"_a, named, "iterations"_a, "eps"_a,
      "order"_a, "write"_a, "workspace"_a);
  define_on_device(
      m, "spectral_norm_gradient",
      [](Views weights, const OptionalViews& grads, const ArrayView& sigmas,
         const std::optional<ArrayView>& grad_sigmas, const ArrayView& state, Views outs,
         const ArrayView& workspace, cudaStream_t stream) {
        launch_spectral_norm_gradient(weights, or_empty(grads), sigmas,
                                      grad_sigmas.value_or(ArrayView()), state, outs,
                                      workspace.data, stream);
      },
      "weights"_a, "grads"_a, "sigmas"_a, "grad_sigmas"_a, "state"_a, "outs"_a, named,
      "workspace"_a);
}

}  // namespace pyharmony
