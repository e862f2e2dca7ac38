// Alpha compositing inside a mask, in one pass over the rows.
// Formulae: pyharmony/reference/alpha.py.
#pragma once

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

// out = m * src + (1 - m) * dst where the mask is above zero, m being the mask as float32 in [0, 1]
// times the ramp. Images are computed in float32, float64 ones in double; each operation is rounded
// on its own, so that the bits are those of the same expression in NumPy.
struct AlphaParams {
  // [h, w, C] at pixel (y0, x0) of dst, of out's dtype or in its unit of the type that is computed
  // in
  ImageView src;
  ImageView mask;  // [h, w], any dtype
  ImageView ramp;  // [h, w], float32; data null: ones
  ImageView dst;   // [H, W, C], like src
  ImageView out;   // [H, W, C], any image dtype and strides; may be the same memory as dst
  std::int64_t y0, x0;
  bool keep;  // whether out keeps its values where the mask is zero, else it gets those of dst
  bool checks = false;  // whether the result says what was read
  // Whether dst and out are RGBA with src RGB: the result's alpha is that of the mask over dst's,
  // or dst's with keep_alpha.
  bool over_alpha = false, keep_alpha = false;
};

// With checks, returns whether src and dst are finite inside the mask, and dst has an alpha above
// zero where the mask is soft; without, a value that means nothing.
HM_SIMD_DECLARE(bool alpha_kernel(const AlphaParams& params))

// Composites arrays of the above forms; ramp may be null. Without keep, dst has out's dtype.
void alpha(const ArrayView& src, const ArrayView& dst, const ArrayView& mask, std::int64_t y0,
           std::int64_t x0, const ArrayView* ramp, const ArrayView& out, bool keep);

}  // namespace pyharmony
