#include "ops/spectral_norm/spectral_norm_cuda.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/pointers.h"
#include "device/runtime.h"

namespace pyharmony {
namespace {

using device::Guard;

}  // namespace

void bind_spectral_norm_cuda(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  const py::arg device("device"), stream("stream"), workspace("workspace");
  m.def("spectral_norm_workspace", &spectral_norm_workspace, py::arg("weights"), release);
  m.def(
      "spectral_norm",
      [](const std::vector<ArrayView>& weights, const std::vector<ArrayView>& us,
         const std::vector<ArrayView>& vs, const std::vector<ArrayView>& outs,
         const ArrayView& sigmas, const ArrayView& state, int iterations, double eps,
         const std::string& order, bool write, const ArrayView& scratch, int index,
         std::uintptr_t on) {
        HM_CHECK(order == "legacy" || order == "parametrization", "order: '", order, "'");
        const Guard guard(index);
        SpectralNormOptions options;
        options.iterations = iterations;
        options.eps = eps;
        options.order = order == "legacy" ? PowerOrder::kLegacy : PowerOrder::kParametrization;
        options.write = write;
        launch_spectral_norm(weights, us, vs, outs, sigmas, state, options, scratch.data,
                             stream_of(on));
      },
      py::arg("weights"), py::arg("us"), py::arg("vs"), py::arg("outs"), py::arg("sigmas"),
      py::arg("state"), py::kw_only(), py::arg("iterations"), py::arg("eps"), py::arg("order"),
      py::arg("write"), workspace, device, stream, release);
  m.def(
      "spectral_norm_gradient",
      [](const std::vector<ArrayView>& weights, const std::vector<std::optional<ArrayView>>& grads,
         const ArrayView& sigmas, const std::optional<ArrayView>& grad_sigmas,
         const ArrayView& state, const std::vector<ArrayView>& outs, const ArrayView& scratch,
         int index, std::uintptr_t on) {
        const Guard guard(index);
        std::vector<ArrayView> given;
        given.reserve(grads.size());
        for (const auto& grad : grads) given.push_back(grad.value_or(ArrayView()));
        launch_spectral_norm_gradient(weights, given, sigmas, grad_sigmas.value_or(ArrayView()),
                                      state, outs, scratch.data, stream_of(on));
      },
      py::arg("weights"), py::arg("grads"), py::arg("sigmas"), py::arg("grad_sigmas"),
      py::arg("state"), py::arg("outs"), py::kw_only(), workspace, device, stream, release);
}

}  // namespace pyharmony
