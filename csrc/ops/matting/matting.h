// The product of the matting Laplacian's rows with an image, for conjugate gradients.
// Formulae: pyharmony/reference/matting.py.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr int kMattingReach = 2;  // the coefficients of a row reach so many pixels on each side
constexpr int kMattingTerms = (2 * kMattingReach + 1) * (2 * kMattingReach + 1);

struct MattingParams {
  const std::uint8_t* band;   // [h, w], 1 at the pixels that have a row
  const std::int64_t* first;  // [h], the number of the first row of each line of the image
  std::int64_t height, width, count;
  const float* weights;  // [25, count], row by row of the 5 x 5 pixels
  const float* values;   // [h * w], with two more before and after
  float* out;            // [count]
};

HM_SIMD_DECLARE(void matting_product_kernel(const MattingParams& params))

// Writes for each pixel of a band [h, w] bool the sum of weights times the 5 x 5 values around it.
// weights [25, N] are zero for pixels beyond the image, values are [2 + h * w + 2] with two numbers
// of any value before and after, out is [N]; all three contiguous float32.
void matting_product(const ArrayView& band, const ArrayView& weights, const ArrayView& values,
                     const ArrayView& out);

}  // namespace pyharmony
