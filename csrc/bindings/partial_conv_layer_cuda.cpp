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

// The forms and dtypes of a layer's tensors. The views of a plan's mask and maps come with a call,
// since most plans are used once.
class PartialConvCalls {
 public:
  PartialConvCalls(const ArrayView& x, const std::optional<ArrayView>& bias,
                   const std::optional<ArrayView>& factor, const ArrayView& y)
      : x_(x), y_(y), bias_(bias), factor_(factor) {}

  void premask(const ArrayView* mask, std::uintptr_t x, std::uintptr_t out, int device,
               std::uintptr_t stream) const {
    const NamedView from(x, x_), to(out, x_);
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

 private:
  ArrayView x_, y_;
  std::optional<ArrayView> bias_, factor_;
};

// The forms and dtypes of the tensors of a layer's gradients. y and x have memory of their own, and
// are missing where they are not needed.
class PartialConvGradients {
 public:
  PartialConvGradients(const ArrayView& grad, bool with_y, const std::optional<ArrayView>& x,
                       const ArrayView& dx, const std::optional<ArrayView>& bias_grad,
                       const std::optional<ArrayView>& factor,
                       const std::optional<ArrayView>& x_factor)
      : grad_(grad),
        dx_(dx),
        x_(x),
        bias_grad_(bias_grad),
        factor_(factor),
        x_factor_(x_factor),
        with_y_(with_y),
        workspace_(bias_grad ? partial_conv_sums_workspace(grad) : 0) {
    if (workspace_ == 0) return;
    workspace_view_.emplace();
    workspace_view_->dtype = DType::kUInt8;
    workspace_view_->ndim = 1;
    workspace_view_->shape[0] = static_cast<std::int64_t>(workspace_);
    workspace_view_->stride[0] = 1;
  }

  std::size_t workspace() const { return workspace_; }  // bytes

  void epilogue(const ArrayView* ratio, const ArrayView* cover, std::uintptr_t grad,
                std::uintptr_t y, double value, std::uintptr_t factor, double slope,
                std::uintptr_t h, std::uintptr_t bias_grad, std::uintptr_t workspace, int device,
                std::uintptr_t stream) const {
    const NamedView from(grad, grad_), to(h, grad_);
    const MaybeNamed result(y, with_y_ ? std::optional<ArrayView>(grad_) : std::nullopt),
        offset(bias_grad, bias_grad_), scale(factor, factor_), sums(workspace, workspace_view_);
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
                                       workspace_},
                                      stream_of(stream));
  }

  void premask(const ArrayView* mask, std::uintptr_t x, std::uintptr_t out, int device,
               std::uintptr_t stream) const {
    HM_CHECK(x_.has_value(), "x: not described");
    const NamedView from(x, *x_), to(out, *x_);
    const GilRelease release;
    const device::Guard guard(device);
    launch_partial_conv_premask(from.view(), mask, {1.0, nullptr}, to.view(), stream_of(stream));
  }

  // Multiplies the gradient of x by the mask and a factor, in place.
  void mask_gradient(const ArrayView* mask, std::uintptr_t dx, double value, std::uintptr_t factor,
                     int device, std::uintptr_t stream) const {
    const NamedView both(dx, dx_);
    const MaybeNamed scale(factor, x_factor_);
    const GilRelease release;
    const device::Guard guard(device);
    launch_partial_conv_premask(both.view(), mask, {value, scale.get()}, both.view(),
                                stream_of(stream));
  }

 private:
  ArrayView grad_, dx_;
  std::optional<ArrayView> x_, bias_grad_, factor_, x_factor_, workspace_view_;
  bool with_y_;
  std::size_t workspace_;
};

}  // namespace

void bind_partial_conv_layer_cuda(py::module_& m) {
  using Optional = std::optional<ArrayView>;
  py::class_<PartialConvCalls>(m, "PartialConvCalls", py::module_local())
      .def(py::init<const ArrayView&, const Optional&, const Optional&, const ArrayView&>(), "x"_a,
           "bias"_a, "factor"_a, "y"_a)
      .def("premask", &PartialConvCalls::premask)
      .def("epilogue", &PartialConvCalls::epilogue);
  py::class_<PartialConvGradients>(m, "PartialConvGradients", py::module_local())
      .def(py::init<const ArrayView&, bool, const Optional&, const ArrayView&, const Optional&,
                    const Optional&, const Optional&>(),
           "grad"_a, "with_y"_a, "x"_a, "dx"_a, "bias_grad"_a, "factor"_a, "x_factor"_a)
      .def_property_readonly("workspace", &PartialConvGradients::workspace)
      .def("epilogue", &PartialConvGradients::epilogue)
      .def("premask", &PartialConvGradients::premask)
      .def("mask_gradient", &PartialConvGradients::mask_gradient);
}

}  // namespace pyharmony
