#include "ops/pyramid/pyramid_cuda.h"

#include <cstdint>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/pointers.h"

namespace pyharmony {
namespace {

using device::Guard;

}  // namespace

void bind_pyramid_cuda(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  const py::arg device("device"), stream("stream");
  m.def(
      "pyramid_downsample",
      [](const ArrayView& image, double smooth_sigma, const ArrayView& out, int index,
         std::uintptr_t on) {
        const Guard guard(index);
        launch_pyramid_downsample(&image, &out, 1, smooth_sigma, stream_of(on));
      },
      py::arg("image"), py::arg("smooth_sigma"), py::arg("out"), py::kw_only(), device, stream,
      release);
  m.def(
      "pyramid_downsample",
      [](const std::vector<ArrayView>& images, double smooth_sigma,
         const std::vector<ArrayView>& outs, int index, std::uintptr_t on) {
        HM_CHECK(images.size() == outs.size(), "outs: ", outs.size(), " arrays for ", images.size(),
                 " images");
        const Guard guard(index);
        launch_pyramid_downsample(images.data(), outs.data(), static_cast<int>(images.size()),
                                  smooth_sigma, stream_of(on));
      },
      py::arg("images"), py::arg("smooth_sigma"), py::arg("outs"), py::kw_only(), device, stream,
      release);
  m.def(
      "pyramid_downsample_mask",
      [](const ArrayView& mask, const ArrayView* known, const ArrayView& out,
         const ArrayView* known_out, int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_pyramid_downsample_mask(mask, known, out, known_out, stream_of(on));
      },
      py::arg("mask"), py::arg("known").none(true), py::arg("out"), py::arg("known_out").none(true),
      py::kw_only(), device, stream, release);
  m.def(
      "pyramid_upsample",
      [](const ArrayView& image, const ArrayView& out, int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_pyramid_upsample(image, out, stream_of(on));
      },
      py::arg("image"), py::arg("out"), py::kw_only(), device, stream, release);
  m.def(
      "pyramid_upsample_meet",
      [](const ArrayView& image, const ArrayView& dst, const ArrayView& known, const ArrayView& out,
         bool from_mask, int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_pyramid_upsample_meet(image, dst, known, from_mask, out, stream_of(on));
      },
      py::arg("image"), py::arg("dst"), py::arg("known"), py::arg("out"), py::kw_only(),
      py::arg("from_mask") = false, device, stream, release);
  m.def(
      "pyramid_copy_paste",
      [](const ArrayView& src, const ArrayView& dst, const ArrayView& mask, const ArrayView& out,
         int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_pyramid_copy_paste(src, dst, mask, out, stream_of(on));
      },
      py::arg("src"), py::arg("dst"), py::arg("mask"), py::arg("out"), py::kw_only(), device,
      stream, release);
  m.def(
      "pyramid_lay",
      [](const ArrayView& src, const ArrayView& dst, int top, int left, const ArrayView& out,
         int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_pyramid_lay(src, dst, top, left, out, stream_of(on));
      },
      py::arg("src"), py::arg("dst"), py::arg("top"), py::arg("left"), py::arg("out"),
      py::kw_only(), device, stream, release);
  m.def(
      "pyramid_lay_mask",
      [](const ArrayView* mask, int top, int left, int height, int width, const ArrayView& out,
         int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_pyramid_lay_mask(mask, {top, left, height, width}, out, stream_of(on));
      },
      py::arg("mask").none(true), py::arg("top"), py::arg("left"), py::arg("height"),
      py::arg("width"), py::arg("out"), py::kw_only(), device, stream, release);
  m.def(
      "pyramid_hold",
      [](const ArrayView& known, const ArrayView& out, int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_pyramid_hold(known, out, stream_of(on));
      },
      py::arg("known"), py::arg("out"), py::kw_only(), device, stream, release);
}

}  // namespace pyharmony
