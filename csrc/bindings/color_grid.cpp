#include "bindings/color_grid.h"

namespace pyharmony {

void bind_color_grid(py::module_& m) {
  const py::call_guard<GilRelease> release;
  m.def("color_grid",
        chain(
            color_grid_arguments,
            +[](const ColorGridCall& call) { HM_SIMD_CALL(color_grid_kernel, call); }),
        "image"_a, "mask"_a, "affine"_a, "curves"_a, "grid"_a, "grid_rows"_a, "frame"_a,
        "out"_a.none(false), release);
  m.def("color_grid_gradient",
        chain(
            color_grid_gradient_arguments,
            +[](const ColorGridGradientCall& call) {
              HM_SIMD_CALL(color_grid_gradient_kernel, call.first, call.second);
            }),
        "image"_a, "mask"_a, "affine"_a, "curves"_a, "grid"_a, "grid_rows"_a, "frame"_a, "grad"_a,
        "dimage"_a, "dmask"_a, "daffine"_a, "dcurves"_a, "dgrid"_a, release);
}

}  // namespace pyharmony
