#include "bindings/color_grid.h"

namespace pyharmony {

void bind_color_grid(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  const py::arg image("image"), rows("grid_rows"), frame("frame");
  const auto optional = [](const char* name) { return py::arg(name).none(true); };
  m.def(
      "color_grid",
      [](const ArrayView& image, const ArrayView* mask, const ArrayView* affine,
         const ArrayView* curves, const ArrayView* grid, std::int64_t grid_rows,
         const ColorGridPlace& at, const ArrayView& out) {
        const ColorGridCall call =
            color_grid_arguments(image, mask, affine, curves, grid, grid_rows, at, &out);
        HM_SIMD_CALL(color_grid_kernel, call);
      },
      image, optional("mask"), optional("affine"), optional("curves"), optional("grid"), rows,
      frame, py::arg("out"), release);
  m.def(
      "color_grid_gradient",
      [](const ArrayView& image, const ArrayView* mask, const ArrayView* affine,
         const ArrayView* curves, const ArrayView* grid, std::int64_t grid_rows,
         const ColorGridPlace& at, const ArrayView& grad, const ArrayView* dimage,
         const ArrayView* dmask, const ArrayView* daffine, const ArrayView* dcurves,
         const ArrayView* dgrid) {
        const ColorGridCall call =
            color_grid_arguments(image, mask, affine, curves, grid, grid_rows, at, nullptr);
        const ColorGridGradient gradient =
            color_grid_gradient_of(call, grad, dimage, dmask, daffine, dcurves, dgrid);
        HM_SIMD_CALL(color_grid_gradient_kernel, call, gradient);
      },
      image, optional("mask"), optional("affine"), optional("curves"), optional("grid"), rows,
      frame, py::arg("grad"), optional("dimage"), optional("dmask"), optional("daffine"),
      optional("dcurves"), optional("dgrid"), release);
}

}  // namespace pyharmony
