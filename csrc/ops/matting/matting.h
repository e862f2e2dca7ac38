// The rows of the matting Laplacian, and alpha from them by conjugate gradients.
// Formulae: pyharmony/reference/matting.py.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr int kMattingReach = 2;  // the coefficients of a row reach so many pixels on each side
constexpr int kMattingTerms = (2 * kMattingReach + 1) * (2 * kMattingReach + 1);

constexpr int kWindow = 9;  // pixels

struct MattingRowsParams {
  ImageView guide;             // [h, w, 3] float32
  const std::uint8_t* band;    // [h, w], 1 at the pixels that have a row
  const std::int32_t* number;  // [h, w], the number of a pixel's row; count beside the band
  std::int64_t height, width, count;
  double ridge;
  float* sums;     // [count + 1, 25], zeros; the last one is of no pixel
  float* weights;  // [25, count]
};

struct MattingParams {
  const std::uint8_t* band;   // [h, w], 1 at the pixels that have a row
  const std::int64_t* first;  // [h], the number of the first row of each line of the image
  std::int64_t height, width, count;
  const float* weights;  // [25, count], row by row of the 5 x 5 pixels
  const float* values;   // [h * w], with two more before and after
  float* out;            // [count]
};

HM_SIMD_DECLARE(void matting_rows_kernel(const MattingRowsParams& params))
// Writes for each pixel of the band the sum of weights times the 5 x 5 values around it.
HM_SIMD_DECLARE(void matting_product_kernel(const MattingParams& params))

// Writes the coefficients [25, N] of the N pixels of a band [h, w] bool for the 5 x 5 pixels around
// each, rows of the matting Laplacian of a guide [h, w, 3]; they are zero beyond the image.
void matting_rows(const ArrayView& guide, const ArrayView& band, double ridge,
                  const ArrayView& weights);

// Writes an image [h, w]: start, and in a band what conjugate gradients come to from there with so
// many steps, or fewer if the squared norm of the residual falls below `solved`. The equations are
// weights [25, N], whose right sides are pull [N] times start. All are contiguous float32.
void matting_solve(const ArrayView& band, const ArrayView& weights, const ArrayView& pull,
                   const ArrayView& start, int steps, double solved, const ArrayView& out);

}  // namespace pyharmony
