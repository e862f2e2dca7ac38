// Smooths a change of colours where the image is smooth: sweeps from coarse to fine inside a mask.
// Formulae: pyharmony/reference/regrain.py.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

// Does one damped Jacobi sweep over rows [begin, end) of planes with a border of one:
// to = from + damping (wanted + sum over neighbours of weight * from - from).
struct RegrainSweep {
  std::int64_t width, pitch, plane;  // plane: step from a channel to the next
  const float* weight[4];            // weights of the neighbours above, below, left and right
  const float* wanted;
  const float* from;
  float* to;
  float damping;
};

HM_SIMD_DECLARE(void regrain_sweep(const RegrainSweep& sweep, std::int64_t begin, std::int64_t end))

// Smooths change in place where inside is true. image [H, W, 3] of any image dtype, inside [H, W]
// bool, change [H, W, 3] contiguous float32: the change of image, 1 for white.
void regrain(const ArrayView& image, const ArrayView& inside, const ArrayView& change);

}  // namespace pyharmony
