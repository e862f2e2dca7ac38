#include "bindings/spectral_norm.h"

namespace pyharmony {

void bind_spectral_norm(py::module_& m) {
  const py::call_guard<GilRelease> release;
  using Views = const std::vector<ArrayView>&;
  m.def(
      "spectral_norm",
      [](Views weights, Views us, Views vs, Views outs, const ArrayView& sigmas,
         const ArrayView& state, int iterations, double eps, const std::string& order, bool write) {
        return spectral_norm(weights, us, vs, outs, sigmas, state,
                             spectral_norm_options(iterations, eps, order, write));
      },
      "weights"_a, "us"_a, "vs"_a, "outs"_a, "sigmas"_a, "state"_a, py::kw_only(), "iterations"_a,
      "eps"_a, "order"_a, "write"_a, release);
  m.def(
      "spectral_norm_gradient",
      [](Views weights, const OptionalViews& grads, const ArrayView& sigmas,
         const std::optional<ArrayView>& grad_sigmas, const ArrayView& state, Views outs) {
        spectral_norm_gradient(weights, or_empty(grads), sigmas, grad_sigmas.value_or(ArrayView()),
                               state, outs);
      },
      "weights"_a, "grads"_a, "sigmas"_a, "grad_sigmas"_a, "state"_a, "outs"_a, release);
}

}  // namespace pyharmony
