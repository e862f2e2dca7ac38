#include "ops/color_grid/color_grid.h"

#include <cstdint>
#include <tuple>

#include "bindings/bindings.h"

namespace pyharmony {

void bind_color_grid(py::module_& m) {
  using Frame = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  m.def(
      "color_grid",
      [](const ArrayView& image, const ArrayView* mask, const ArrayView* affine,
         const ArrayView* curves, const ArrayView* grid, std::int64_t grid_rows, const Frame& f,
         const ArrayView& out) {
        const ColorGridFrame frame{std::get<0>(f), std::get<1>(f), std::get<2>(f), std::get<3>(f)};
        const ColorGridCall call =
            color_grid_call(image, mask, affine, curves, grid, grid_rows, frame, &out);
        HM_SIMD_CALL(color_grid_kernel, call);
      },
      py::arg("image"), py::arg("mask").none(true), py::arg("affine").none(true),
      py::arg("curves").none(true), py::arg("grid").none(true), py::arg("grid_rows"),
      py::arg("frame"), py::arg("out"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
