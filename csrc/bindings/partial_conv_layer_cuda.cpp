// A layer of partial convolution on a device, described once: its calls give addresses alone.
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"
#include "bindings/named_view.h"
#include "ops/partial_conv/partial_conv_cuda.h"

namespace pyharmony {
namespace {

using WindowValues = std::array<std::int64_t, 8>;

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
  PartialConvCalls(const ArrayView& x, const ArrayView& weight,
                   const std::optional<ArrayView>& bias, const std::optional<ArrayView>& factor,
                   const ArrayView& y, const WindowValues& window)
      : x_(x), weight_(weight), y_(y), bias_(bias), factor_(factor), window_(conv_window(window)) {}

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
    launch_partial_conv_epilogue({&into.view(),
                                  ratio,
                                  cover,
                                  offset.get(),
                                  {value, scale.get()},
                                  slope,
                                  &into.view(),
                                  nullptr,
                                  nullptr,
                                  0},
                                 stream_of(stream));
  }

  void direct(const ArrayView* mask, const ArrayView* ratio, const ArrayView* cover,
              std::uintptr_t x, std::uintptr_t weight, std::uintptr_t bias, double value,
              std::uintptr_t factor, double slope, std::uintptr_t y, int device,
              std::uintptr_t stream) const {
    const NamedView from(x, x_), taps(weight, weight_), into(y, y_);
    const MaybeNamed offset(bias, bias_), scale(factor, factor_);
    const GilRelease release;
    const device::Guard guard(device);
    launch_partial_conv_direct({&from.view(),
                                mask,
                                &taps.view(),
                                window_,
                                ratio,
                                cover,
                                offset.get(),
                                {value, scale.get()},
                                slope,
                                &into.view()},
                               stream_of(stream));
  }

 private:
  ArrayView x_, weight_, y_;
  std::optional<ArrayView> bias_, factor_;
  ConvWindow window_;
};

}  // namespace

void bind_partial_conv_layer_cuda(py::module_& m) {
  py::class_<PartialConvCalls>(m, "PartialConvCalls", py::module_local())
      .def(py::init<const ArrayView&, const ArrayView&, const std::optional<ArrayView>&,
                    const std::optional<ArrayView>&, const ArrayView&, const WindowValues&>(),
           "x"_a, "weight"_a, "bias"_a, "factor"_a, "y"_a, "window"_a)
      .def("premask", &PartialConvCalls::premask)
      .def("epilogue", &PartialConvCalls::epilogue)
      .def("direct", &PartialConvCalls::direct);
}

}  // namespace pyharmony
