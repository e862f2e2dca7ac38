// Samples of scenes for networks of sets of points: where they lie, and their values.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

struct BlurParams {
  const float* plane;  // [side, side]
  const float* blur;   // [side, side], zero beyond `reach` elements from its diagonal
  float* out;          // [side, side]
  std::int64_t side, reach;
};

// out = blur plane blurᵀ, with the sums of the products of whole matrices.
HM_SIMD_DECLARE(void blurred_kernel(const BlurParams& params))

// Fills out [N] with the indices of elements of weight [P], evenly spread by weight: the first ones
// up to which the sum of all weights plus 1e-9 is at least (i + 0.5) / N of the total. float64.
void spread(const ArrayView& weight, const ArrayView& out);

// Fills place [N, 2] with positions (x, y) along the contour of a mask [S, S], evenly spread by the
// cube of the slope of the mask after a blur, normal [N, 2] with the directions inwards and slope
// [N]. blur [S, S] is zero beyond `reach` elements from its diagonal.
void contour(const ArrayView& mask, const ArrayView& blur, std::int64_t reach,
             const ArrayView& place, const ArrayView& normal, const ArrayView& slope);

// Fills out [N, R, C] with the values of planes [S, S, C] at distances [R] from positions along
// normals, between pixels bilinearly.
void sampled(const ArrayView& planes, const ArrayView& place, const ArrayView& normal,
             const ArrayView& distances, const ArrayView& out);

// out [V, P, 3] = affine [c; 1] + curves(c held in [0, 1]) for colours c [V, P, 3], affine
// [V, 3, 4] and curves [V, 3, 3, K], which are linear between K equal steps. Not held in [0, 1].
void recolored(const ArrayView& colors, const ArrayView& affine, const ArrayView& curves,
               const ArrayView& out);

}  // namespace pyharmony
