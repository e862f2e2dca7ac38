// An image resampled along one axis by weights of its pixels, with the bits of sums in NumPy.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

struct ResampleParams {
  ImageView image;            // [h, w, C] of any image dtype
  ImageView out;              // float32 or float64, contiguous
  bool across;                // along the rows; else along the columns
  std::int64_t cells, count;  // pixels of out along the axis; taps of each
  const double* taps;         // [count, cells], the numbers of pixels of image
  const double* weights;      // [count, cells], rounded to out's dtype
  std::int64_t y0, y1;        // the rows of out
};

HM_SIMD_DECLARE(void resample_kernel(const ResampleParams& params))

// out is the sum over k of image[taps[k]] weights[k] along an axis, 0 or 1, each product and each
// sum rounded on its own. image [h, w, C], C up to 4; taps and weights float64 [count, cells]; out
// [cells, w, C] or [h, cells, C].
void resample(const ArrayView& image, int axis, const ArrayView& taps, const ArrayView& weights,
              const ArrayView& out);

}  // namespace pyharmony
