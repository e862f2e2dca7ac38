// Arguments of color_grid, on the CPU and on devices.
#pragma once

#include <cstdint>
#include <tuple>
#include <utility>

#include "bindings/bindings.h"
#include "ops/color_grid/color_grid.h"

namespace pyharmony {

// The tuple is x0, y0, height, width.
using ColorGridPlace = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

inline ColorGridCall color_grid_arguments(const ArrayView& image, const ArrayView* mask,
                                          const ArrayView* affine, const ArrayView* curves,
                                          const ArrayView* grid, std::int64_t grid_rows,
                                          const ColorGridPlace& at, const ArrayView* out) {
  const ColorGridFrame frame{std::get<0>(at), std::get<1>(at), std::get<2>(at), std::get<3>(at)};
  return color_grid_call(image, mask, affine, curves, grid, grid_rows, frame, out);
}

using ColorGridGradientCall = std::pair<ColorGridCall, ColorGridGradient>;

inline ColorGridGradientCall color_grid_gradient_arguments(
    const ArrayView& image, const ArrayView* mask, const ArrayView* affine, const ArrayView* curves,
    const ArrayView* grid, std::int64_t grid_rows, const ColorGridPlace& at, const ArrayView& grad,
    const ArrayView* dimage, const ArrayView* dmask, const ArrayView* daffine,
    const ArrayView* dcurves, const ArrayView* dgrid) {
  const ColorGridCall call =
      color_grid_arguments(image, mask, affine, curves, grid, grid_rows, at, nullptr);
  return {call, color_grid_gradient_of(call, grad, dimage, dmask, daffine, dcurves, dgrid)};
}

}  // namespace pyharmony
