// Method dct: the Gaussian-Poisson equation on the whole rectangle with one weight.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/array.h"
#include "core/simd.h"
#include "ops/gaussian_poisson/gaussian_poisson.h"

namespace pyharmony::gaussian_poisson {

// The right-hand side is `rhs`, [H, W, C] float32 or float64, where it is given: src, dst and base
// are not read then. Else it is formed from `problem`. No weight map, no known pixels.
struct DctParams {
  Problem problem;
  ImageView rhs;             // data is null where b is formed from the images
  ImageView out;             // [H, W, C], any image dtype
  std::vector<double> mean;  // [C], mean of x; empty: found from b, and zero for weight 0 with rhs
  bool double_precision = false;

  bool has_rhs() const { return rhs.data != nullptr; }
  std::int64_t height() const { return out.height; }
  std::int64_t width() const { return out.width; }
  std::int64_t channels() const { return out.channels; }
};

// Returns the divisor that turns the mean of base (or of rhs) into that of x: the differences in b
// sum to zero, and 1^T A = c (w0 + 2 w1)^2 1^T. Zero: b says nothing about the mean.
inline double mean_divisor(const Problem& problem, bool has_rhs) {
  const double gain = (problem.w0 + 2 * problem.w1) * (problem.w0 + 2 * problem.w1);
  if (problem.weight > 0) return has_rhs ? problem.weight * gain : gain;
  return has_rhs ? 0.0 : 1.0;
}

// Returns a lower bound of a_ii - sum_j |a_ij| over the rows: |x - x*| <= |b - A x| / excess.
inline double row_excess(const Problem& problem) {
  const double c = problem.weight, w0 = problem.w0, w1 = problem.w1;
  const double slope = (w0 + 2 * w1) * (w0 + 2 * w1) - 8 * w1 * w1;
  return std::max(0.0, slope * c - 8 * std::max(0.0, c * w0 * w1 - 1));
}

// Returns the mean of x by channel, given the sums of base (or of rhs) over the image.
std::vector<double> known_mean(const DctParams& params, const std::vector<double>& sums);

// Throws std::invalid_argument unless shapes and dtypes fit together.
void check_dct(const DctParams& params);

}  // namespace pyharmony::gaussian_poisson

namespace pyharmony {

// Returns how many values were clipped where they were stored.
HM_SIMD_DECLARE(std::int64_t gaussian_poisson_dct(const gaussian_poisson::DctParams& params))

}  // namespace pyharmony
