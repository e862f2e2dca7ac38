// Multiband blending in a Laplacian pyramid of src - dst.
// Formulae: pyharmony/reference/laplacian.py.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

// Where a band has its weight: cells [h, w], contiguous, 1 where all of the cell is inside the
// mask.
struct RampParams {
  const std::uint8_t* inside;  // [h, w]
  std::int64_t height, width;
  int cells;           // how many cells along the contour are clear, and one more
  std::uint8_t* ramp;  // [h, w], the weight in sixteenths
};

// The weighted sum of a level's band and of the coarser ones, in a part of the level.
struct BandParams {
  ImageView x;          // [h, w, C], the level's values; on the finest level src
  ImageView dst;        // [h, w, C], subtracted from x; data null: this is not the finest level
  const float* coarse;  // [ceil(h / 2), ceil(w / 2), C], x of the next level; null: there is none
  const float* coarse_sum;      // of the same shape, the sum of the next level
  const std::uint8_t* ramp;     // [h, w]
  ImageView mask;               // [h, w], any dtype; its product with ramp is the band's weight
  std::int64_t y0, y1, x0, x1;  // the part; y0 and x0 are even
  // [h, w, C]: floats, or on the finest level dst plus the sum where inside, rounded to the dtype
  ImageView out;
  const std::uint8_t* inside;  // [h, w], 1 where mask is above zero; on the finest level only
};

// Writes 1 where mask [H, W] is above zero, else 0.
HM_SIMD_DECLARE(void inside_kernel(const ImageView& mask, std::uint8_t* inside))
HM_SIMD_DECLARE(void ramp_kernel(const RampParams& params))
// Returns the number of cells whose square of side 2 * cells + 1 has no cell outside.
HM_SIMD_DECLARE(std::int64_t core_kernel(const std::uint8_t* inside, std::int64_t height,
                                         std::int64_t width, int cells))
// Returns how many values were clipped.
HM_SIMD_DECLARE(std::int64_t band_kernel(const BandParams& params))

// Writes dst plus the weighted bands of src - dst into out where mask is above zero. src, dst and
// out [H, W, C] of at most 4 channels, of image dtypes and in one unit, mask [H, W] of any dtype;
// out may be the same memory as dst. levels: the number of halvings, at most; adapt: whether bands
// are left out whose weight is full in too small a share of the mask. Returns how many values of
// out were clipped.
std::int64_t laplacian(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                       int levels, bool adapt, const ArrayView& out);

}  // namespace pyharmony
