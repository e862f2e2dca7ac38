// Resampling by two between the levels of an image pyramid.
//
// Pixels are cells: pixel j of a level covers pixels 2j and 2j + 1 of the finer level along each
// axis, and n pixels become ceil(n / 2). Where an odd n leaves half a cell over, the level
// continues by mirroring. Formulae: pyharmony/reference/pyramid.py.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"
#include "ops/pyramid/weights.h"

namespace pyharmony {

// Computes out[j] = sum_t weights[t] (src[2j - t] + src[2j + 1 + t]) along both axes,
// 0 <= t < half, with src mirrored about its borders.
struct DownsampleParams {
  ImageView src;  // [H, W, C], any dtype and strides
  float range;    // src is divided by this
  float* out;     // [ceil(H / 2), ceil(W / 2), C], contiguous
  const float* weights;
  int half;
  // [H, W, C] of at most 4 channels, subtracted from src first, in double if one of the two is;
  // data null: nothing is. The range is 1 then.
  ImageView less = {};
};

// Applies Keys' cubic (a = -1/2) at the cell centres, with src clamped at its borders.
struct UpsampleParams {
  ImageView src;  // [ceil(H / 2), ceil(W / 2), C], any image dtype and strides
  float* out;     // [H, W, C], contiguous
  std::int64_t height, width;
};

HM_SIMD_DECLARE(void downsample_kernel(const DownsampleParams& params))
HM_SIMD_DECLARE(void upsample_kernel(const UpsampleParams& params))

// Smooths by a Gaussian of smooth_sigma pixels (taps up to 4 sigma), then takes the mean of 2 x 2
// pixels. image [H, W, C] of any image dtype, out [ceil(H / 2), ceil(W / 2), C] contiguous float32
// in the unit of image.
void downsample(const ArrayView& image, double smooth_sigma, const ArrayView& out);

// The same for views, which are not checked; image is divided by `range`.
void downsample(const ImageView& image, double range, double smooth_sigma, float* out);

// Computes the share of 2 x 2 pixels that is inside; at an odd border, of those that exist. mask
// [H, W], out [ceil(H / 2), ceil(W / 2)] contiguous float32 in [0, 1].
void downsample_mask(const ArrayView& mask, const ArrayView& out);

// Doubles image [ceil(H / 2), ceil(W / 2), C], any image dtype, to float32 out [H, W, C],
// contiguous.
void upsample(const ArrayView& image, const ArrayView& out);
void upsample(const ImageView& image, std::int64_t height, std::int64_t width, float* out);

// Moves colours to meet the known pixels of dst near the contour, see `meet_known` of
// pyharmony/reference/pyramid.py. colours [H, W, C] contiguous float32, changed where known is
// below 1; dst [H, W, C] of any image dtype; known [H, W] bool or float32.
void meet_known(const ArrayView& colours, const ArrayView& dst, const ArrayView& known);
void meet_known(const ImageView& colours, const ImageView& dst, const ImageView& known);

}  // namespace pyharmony
