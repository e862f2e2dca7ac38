// A layer of partial convolution on a device, described once: its calls give addresses alone.
#include <cstdint>
#include <optional>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"
#include "bindings/named_view.h"
#include "ops/partial_conv/partial_conv_cuda.h"

namespace pyharmony {
namespace {

// An address of memory like a view; without the view there is no such tensor.
class MaybeNamed {
 public:
  MaybeNamed(std::uintptr_t address, const std::optional<ArrayView>& like) {
    if (like) named_.emplace(address, *like);
  }
  const ArrayView* get() const { return named_ ? &named_->view() : nullptr; }

 private:
  std::optional<NamedView> named_;
};

// The forms and dtypes of a layer's tensors, or of its gradients, where y is the form of the
// incoming one. x, bias, factor, dx and the factor of dx are missing where they are not needed. The
// views of a plan's mask and maps come with a call, since most plans are used once.
class PartialConvCalls {
 public:
  using Optional = std::optional<ArrayView>;

  PartialConvCalls(const Optional& x, const ArrayView& y, const Optional& bias,
                   const Optional& factor, const Optional& dx, const Optional& x_factor)
      : y_(y),
        x_(x),
        bias_(bias),
        factor_(factor),
        dx_(dx),
        x_factor_(x_factor),
        workspace_bytes_(bias ? partial_conv_sums_workspace(y) : 0) {
    if (workspace_bytes_ == 0) return;
    workspace_.emplace();
    workspace_->dtype = DType::kUInt8;
    workspace_->ndim = 1;
    workspace_->shape[0] = static_cast<std::int64_t>(workspace_bytes_);
    workspace_->stride[0] = 1;
  }

  std::size_t workspace() const { return workspace_bytes_; }  // of the bias's gradient

  void premask(const ArrayView* mask, std::uintptr_t x, std::uintptr_t out, int device,
               std::uintptr_t stream) const {
    HM_CHECK(x_.has_value(), "x: not described");
    const NamedView from(x, *x_), to(out, *x_);
    const GilRelease release;
    const device::Guard guard(device);
    launch_partial_conv_premask(from.view(), mask, {1.0, nullptr}, to.view(), stream_of(stream));
  }

  void epilogue(const ArrayView* ratio, const ArrayView* cover, std::uintptr_t y,
                std::uintptr_t bias, double value, std::uintptr_t factor, double slope, int device,
                std::uintptr_t stream) const {
    const NamedView into(y, y_);
    const MaybeNamed offset(bias, bias_), scale(factor, factor_);
    const GilRelease release;
    const device::Guard guard(device);
    launch_partial_conv_epilogue(
        {ratio, cover, offset.get(), {value, scale.get()}, slope, &into.view()}, stream_of(stream));
  }

  // y: of the layer, or 0 where the slope is 1.
  void epilogue_grad(const ArrayView* ratio, const ArrayView* cover, std::uintptr_t grad,
                     std::uintptr_t y, double value, std::uintptr_t factor, double slope,
                     std::uintptr_t h, std::uintptr_t bias_grad, std::uintptr_t workspace,
                     int device, std::uintptr_t stream) const {
    const NamedView from(grad, y_), to(h, y_);
    const MaybeNamed result(y, y == 0 ? std::nullopt : Optional(y_)), offset(bias_grad, bias_),
        scale(factor, factor_), sums(workspace, workspace_);
    const GilRelease release;
    const device::Guard guard(device);
    launch_partial_conv_epilogue_grad({&from.view(),
                                       result.get(),
                                       ratio,
                                       cover,
                                       {value, scale.get()},
                                       slope,
                                       &to.view(),
                                       offset.get(),
                                       pointer_of(workspace),
                                       workspace_bytes_},
                                      stream_of(stream));
  }

  // Multiplies the gradient of x by the mask and a factor, in place.
  void mask_gradient(const ArrayView* mask, std::uintptr_t dx, double value, std::uintptr_t factor,
                     int device, std::uintptr_t stream) const {
    HM_CHECK(dx_.has_value(), "dx: not described");
    const NamedView both(dx, *dx_);
    const MaybeNamed scale(factor, x_factor_);
    const GilRelease release;
    const device::Guard guard(device);
    launch_partial_conv_premask(both.view(), mask, {value, scale.get()}, both.view(),
                                stream_of(stream));
  }

 private:
  ArrayView y_;
  Optional x_, bias_, factor_, dx_, x_factor_, workspace_;
  std::size_t workspace_bytes_;
};

}  // namespace

void bind_partial_conv_layer_cuda(py::module_& m) {
  using Optional = PartialConvCalls::Optional;
  py::class_<PartialConvCalls>(m, "PartialConvCalls", py::module_local())
      .def(py::init<const Optional&, const ArrayView&, const Optional&, const Optional&,
                    const Optional&, const Optional&>(),
           "x"_a, "y"_a, "bias"_a, "factor"_a, "dx"_a = py::none(), "x_factor"_a = py::none())
      .def_property_readonly("workspace", &PartialConvCalls::workspace)
      .def("premask", &PartialConvCalls::premask)
      .def("epilogue", &PartialConvCalls::epilogue)
      .def("epilogue_grad", &PartialConvCalls::epilogue_grad)
      .def("mask_gradient", &PartialConvCalls::mask_gradient);
}

}  // namespace pyharmony
