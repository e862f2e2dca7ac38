#include "ops/color_grid/color_grid.h"

#include <cstdint>
#include <tuple>

#include "bindings/bindings.h"

namespace pyharmony {

void bind_color_grid(py::module_& m) {
  using Frame = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  const py::call_guard<py::gil_scoped_release> release;
  const auto call_of = [](const ArrayView& image, const ArrayView* mask, const ArrayView* affine,
                          const ArrayView* curves, const ArrayView* grid, std::int64_t grid_rows,
                          const Frame& f, const ArrayView* out) {
    const ColorGridFrame frame{std::get<0>(f), std::get<1>(f), std::get<2>(f), std::get<3>(f)};
    return color_grid_call(image, mask, affine, curves, grid, grid_rows, frame, out);
  };
  const py::arg image("image"), rows("grid_rows"), frame("frame");
  const auto optional = [](const char* name) { return py::arg(name).none(true); };
  m.def(
      "color_grid",
      [call_of](const ArrayView& image, const ArrayView* mask, const ArrayView* affine,
                const ArrayView* curves, const ArrayView* grid, std::int64_t grid_rows,
                const Frame& f, const ArrayView& out) {
        const ColorGridCall call = call_of(image, mask, affine, curves, grid, grid_rows, f, &out);
        HM_SIMD_CALL(color_grid_kernel, call);
      },
      image, optional("mask"), optional("affine"), optional("curves"), optional("grid"), rows,
      frame, py::arg("out"), release);
  m.def(
      "color_grid_gradient",
      [call_of](const ArrayView& image, const ArrayView* mask, const ArrayView* affine,
                const ArrayView* curves, const ArrayView* grid, std::int64_t grid_rows,
                const Frame& f, const ArrayView& grad, const ArrayView* dimage,
                const ArrayView* dmask, const ArrayView* daffine, const ArrayView* dcurves,
                const ArrayView* dgrid) {
        const ColorGridCall call =
            call_of(image, mask, affine, curves, grid, grid_rows, f, nullptr);
        const ColorGridGradient gradient =
            color_grid_gradient_of(call, grad, dimage, dmask, daffine, dcurves, dgrid);
        HM_SIMD_CALL(color_grid_gradient_kernel, call, gradient);
      },
      image, optional("mask"), optional("affine"), optional("curves"), optional("grid"), rows,
      frame, py::arg("grad"), optional("dimage"), optional("dmask"), optional("daffine"),
      optional("dcurves"), optional("dgrid"), release);
}

}  // namespace pyharmony
