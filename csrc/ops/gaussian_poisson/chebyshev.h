// The interface between the driver of the Chebyshev solver and its kernel.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "core/simd.h"
#include "ops/gaussian_poisson/chebyshev_plan.h"
#include "ops/gaussian_poisson/gaussian_poisson.h"

namespace pyharmony::gaussian_poisson {

// One run over the image: all steps, then x += damping (b - A x), rounded into out.
struct ChebyshevPass {
  const Problem* problem;
  ImageView out;
  std::vector<ChebyshevStep> steps;
  double damping;
  double excess_slope;  // with a map, row i of A has at least the excess slope * c_i
  bool want_norm;       // whether the Euclidean norm of r is measured as well
  std::int64_t strip_floats, segment_rows;  // size of a tile; the answer does not depend on it
  // The wanted pixels of a problem cut out of a larger one, which holds steps + 1 more pixels on
  // each side, unless the image ends before; x1 = 0: all pixels.
  std::int64_t x0 = 0, x1 = 0, y0 = 0, y1 = 0;
};

// Merges the measures of two parts of an image into a.
inline void merge(ChebyshevMeasure& a, const ChebyshevMeasure& b) {
  a.residual = std::max(a.residual, b.residual);
  a.scaled_residual = std::max(a.scaled_residual, b.scaled_residual);
  a.norm = std::sqrt(a.norm * a.norm + b.norm * b.norm);
  a.largest = std::max(a.largest, b.largest);
  a.image_low = std::min(a.image_low, b.image_low);
  a.image_high = std::max(a.image_high, b.image_high);
  a.largest_base = std::max(a.largest_base, b.largest_base);
  a.clipped += b.clipped;
  a.finite = a.finite && b.finite;
}

}  // namespace pyharmony::gaussian_poisson

namespace pyharmony {

HM_SIMD_DECLARE(gaussian_poisson::ChebyshevMeasure gaussian_poisson_chebyshev_pass(
    const gaussian_poisson::ChebyshevPass& pass))

}  // namespace pyharmony
