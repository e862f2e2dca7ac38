#include "ops/color_grid/color_grid_cuda.h"

#include "bindings/color_grid.h"
#include "bindings/pointers.h"
#include "device/runtime.h"

namespace pyharmony {

void bind_color_grid_cuda(py::module_& m) {
  using device::Guard;
  const py::call_guard<py::gil_scoped_release> release;
  const py::arg image("image"), rows("grid_rows"), frame("frame");
  const py::arg device("device"), stream("stream");
  const auto optional = [](const char* name) { return py::arg(name).none(true); };
  m.def(
      "color_grid",
      [](const ArrayView& image, const ArrayView* mask, const ArrayView* affine,
         const ArrayView* curves, const ArrayView* grid, std::int64_t grid_rows,
         const ColorGridPlace& at, const ArrayView& out, int index, std::uintptr_t on) {
        const ColorGridCall call =
            color_grid_arguments(image, mask, affine, curves, grid, grid_rows, at, &out);
        const Guard guard(index);
        launch_color_grid(call, stream_of(on));
      },
      image, optional("mask"), optional("affine"), optional("curves"), optional("grid"), rows,
      frame, py::arg("out"), py::kw_only(), device, stream, release);
  m.def(
      "color_grid_gradient_workspace",
      [](const ArrayView& image, const ArrayView* curves, const ArrayView* grid,
         std::int64_t grid_rows, const ColorGridPlace& at) {
        return color_grid_gradient_workspace(
            color_grid_arguments(image, nullptr, nullptr, curves, grid, grid_rows, at, nullptr));
      },
      image, optional("curves"), optional("grid"), rows, frame, release);
  m.def(
      "color_grid_gradient",
      [](const ArrayView& image, const ArrayView* mask, const ArrayView* affine,
         const ArrayView* curves, const ArrayView* grid, std::int64_t grid_rows,
         const ColorGridPlace& at, const ArrayView& grad, const ArrayView* dimage,
         const ArrayView* dmask, const ArrayView* daffine, const ArrayView* dcurves,
         const ArrayView* dgrid, const ArrayView& scratch, int index, std::uintptr_t on) {
        const ColorGridCall call =
            color_grid_arguments(image, mask, affine, curves, grid, grid_rows, at, nullptr);
        const ColorGridGradient gradient =
            color_grid_gradient_of(call, grad, dimage, dmask, daffine, dcurves, dgrid);
        const Guard guard(index);
        launch_color_grid_gradient(call, gradient, scratch.data,
                                   static_cast<std::size_t>(scratch.size()), stream_of(on));
      },
      image, optional("mask"), optional("affine"), optional("curves"), optional("grid"), rows,
      frame, py::arg("grad"), optional("dimage"), optional("dmask"), optional("daffine"),
      optional("dcurves"), optional("dgrid"), py::kw_only(), py::arg("workspace"), device, stream,
      release);
}

}  // namespace pyharmony
