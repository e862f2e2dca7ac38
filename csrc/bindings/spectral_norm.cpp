#include "ops/spectral_norm/spectral_norm.h"

#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.h"

namespace pyharmony {
namespace {

PowerOrder order_of(const std::string& name) {
  HM_CHECK(name == "legacy" || name == "parametrization", "order: '", name, "'");
  return name == "legacy" ? PowerOrder::kLegacy : PowerOrder::kParametrization;
}

std::vector<ArrayView> given(const std::vector<std::optional<ArrayView>>& views) {
  std::vector<ArrayView> result;
  result.reserve(views.size());
  for (const std::optional<ArrayView>& view : views) result.push_back(view.value_or(ArrayView()));
  return result;
}

}  // namespace

void bind_spectral_norm(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  m.def(
      "spectral_norm",
      [](const std::vector<ArrayView>& weights, const std::vector<ArrayView>& us,
         const std::vector<ArrayView>& vs, const std::vector<ArrayView>& outs,
         const ArrayView& sigmas, const ArrayView& state, int iterations, double eps,
         const std::string& order, bool write) {
        SpectralNormOptions options;
        options.iterations = iterations;
        options.eps = eps;
        options.order = order_of(order);
        options.write = write;
        return spectral_norm(weights, us, vs, outs, sigmas, state, options);
      },
      py::arg("weights"), py::arg("us"), py::arg("vs"), py::arg("outs"), py::arg("sigmas"),
      py::arg("state"), py::kw_only(), py::arg("iterations"), py::arg("eps"), py::arg("order"),
      py::arg("write"), release);
  m.def(
      "spectral_norm_gradient",
      [](const std::vector<ArrayView>& weights, const std::vector<std::optional<ArrayView>>& grads,
         const ArrayView& sigmas, const std::optional<ArrayView>& grad_sigmas,
         const ArrayView& state, const std::vector<ArrayView>& outs) {
        spectral_norm_gradient(weights, given(grads), sigmas, grad_sigmas.value_or(ArrayView()),
                               state, outs);
      },
      py::arg("weights"), py::arg("grads"), py::arg("sigmas"), py::arg("grad_sigmas"),
      py::arg("state"), py::arg("outs"), release);
}

}  // namespace pyharmony
