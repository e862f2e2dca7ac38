#include "ops/spectral_norm/spectral_norm_cuda.h"

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/device_calls.h"
#include "bindings/named_view.h"
#include "bindings/spectral_norm.h"

namespace pyharmony {
namespace {

ArrayView vector_of(DType dtype, std::int64_t size) {
  ArrayView view;
  view.dtype = dtype;
  view.ndim = 1;
  view.shape[0] = size;
  view.stride[0] = 1;
  return view;
}

// Updates of the same weights, u and v, described once: a call gives the addresses of results.
class SpectralNormUpdate {
 public:
  SpectralNormUpdate(py::list weights, py::list us, py::list vs, int iterations, double eps,
                     const std::string& order, bool write)
      : weights_(weights.cast<std::vector<ArrayView>>()),
        us_(us.cast<std::vector<ArrayView>>()),
        vs_(vs.cast<std::vector<ArrayView>>()),
        options_(spectral_norm_options(iterations, eps, order, write)),
        workspace_(spectral_norm_workspace(weights_)),
        views_(std::move(weights), std::move(us), std::move(vs)) {
    for (const ArrayView& w : weights_) state_ += w.shape[1] + w.shape[0] * w.shape[2];
  }

  std::int64_t workspace() const { return workspace_; }  // bytes
  std::int64_t state() const { return state_; }          // floats

  void run(const std::vector<std::uintptr_t>& outs, std::uintptr_t sigmas, std::uintptr_t state,
           std::uintptr_t workspace, int device, std::uintptr_t stream) const {
    HM_CHECK(outs.empty() || outs.size() == weights_.size(), "outs: ", outs.size(),
             ", expected one for each of ", weights_.size(), " weights");
    std::vector<ArrayView> views;
    std::vector<std::unique_ptr<NamedView>> named;
    for (std::size_t i = 0; i < outs.size(); ++i) {
      views.push_back(weights_[i]);
      views.back().data = pointer_of(outs[i]);
      views.back().writable = true;
      if (array_view_observer != nullptr) {
        named.push_back(std::make_unique<NamedView>(outs[i], weights_[i]));
      }
    }
    const auto count = static_cast<std::int64_t>(weights_.size());
    const NamedView sigma_view(sigmas, vector_of(DType::kFloat32, count));
    const NamedView state_view(state, vector_of(DType::kFloat32, state_));
    const NamedView scratch(workspace, vector_of(DType::kUInt8, workspace_));
    const GilRelease release;
    const device::Guard guard(device);
    launch_spectral_norm(weights_, us_, vs_, views, sigma_view.view(), state_view.view(), options_,
                         scratch.view().data, stream_of(stream));
  }

 private:
  std::vector<ArrayView> weights_, us_, vs_;
  SpectralNormOptions options_;
  std::int64_t workspace_, state_ = 0;
  std::tuple<py::list, py::list, py::list> views_;  // the emulator's checker forgets them otherwise
};

}  // namespace

void bind_spectral_norm_cuda(py::module_& m) {
  const py::kw_only named;
  using Views = const std::vector<ArrayView>&;
  py::class_<SpectralNormUpdate>(m, "SpectralNormUpdate", py::module_local())
      .def(py::init<py::list, py::list, py::list, int, double, const std::string&, bool>(),
           "weights"_a, "us"_a, "vs"_a, named, "iterations"_a, "eps"_a, "order"_a, "write"_a)
      .def_property_readonly("workspace", &SpectralNormUpdate::workspace)
      .def_property_readonly("state", &SpectralNormUpdate::state)
      .def("run", &SpectralNormUpdate::run, "outs"_a, "sigmas"_a, "state"_a, "workspace"_a,
           "device"_a, "stream"_a);
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
