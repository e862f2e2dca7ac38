// The errors of an image against its target: sums of squares, and the map of SSIM.
// Formulae: pyharmony/reference/similarity.py.
#pragma once

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr int kSimilarityRadius = 5;  // of SSIM's window of 11 x 11 pixels

struct SimilarityParams {
  ImageView output, target;  // [H, W, C] of one image dtype
  double scale;              // of a value in 8-bit levels
};

// Writes the sum of (output - target)^2 of each row, and the same of each pixel times its weight.
// weights [H, W] is float64, and its data may be null.
HM_SIMD_DECLARE(void squared_errors_kernel(const SimilarityParams& params, const ImageView& weights,
                                           double* sums))

// Writes the map of SSIM [H, W], averaged over channels; images are mirrored beyond their borders.
HM_SIMD_DECLARE(void similarity_kernel(const SimilarityParams& params, const ImageView& map))

// The sums of rows are out [H, 2], float64, in squared 8-bit levels.
void squared_errors(const ArrayView& output, const ArrayView& target, const ArrayView* weights,
                    const ArrayView& out);
// out is [H, W], float64. Sides are at least 11 pixels.
void similarity(const ArrayView& output, const ArrayView& target, const ArrayView& out);

}  // namespace pyharmony
