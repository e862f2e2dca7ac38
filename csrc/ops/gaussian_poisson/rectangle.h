// The Gaussian-Poisson equation on the whole rectangle with one weight: methods dct and multigrid.
#pragma once

#include <cstdint>
#include <vector>

#include "core/array.h"
#include "core/simd.h"
#include "ops/gaussian_poisson/gaussian_poisson.h"

namespace pyharmony::gaussian_poisson {

// Without `rhs` the right-hand side is that of `problem`. With it, it is what [H, W, C] float32
// or float64 holds, and src, dst and base are not looked at. No weight map, no known pixels.
struct RectangleParams {
  Problem problem;
  ImageView rhs;             // data is null where b is formed from the images
  ImageView out;             // [H, W, C], any image dtype
  std::vector<double> mean;  // [C], of x, where weight is zero and rhs is given; empty: zero

  bool has_rhs() const { return rhs.data != nullptr; }
  std::int64_t height() const { return out.height; }
  std::int64_t width() const { return out.width; }
  std::int64_t channels() const { return out.channels; }
};

// The mean of x by channel, given the sums of base (or of rhs) over the image: it is known, as
// 1^T A = c (w0 + 2 w1)^2 1^T and the differences in b sum to zero.
std::vector<double> known_mean(const RectangleParams& params, const std::vector<double>& sums);

// Throws std::invalid_argument unless shapes and dtypes fit together.
void check_rectangle(const RectangleParams& params);

struct DctParams : RectangleParams {
  bool double_precision = false;
};

struct DctResult {
  std::int64_t peak_bytes = 0;
};

struct MultigridParams : RectangleParams {
  double tolerance = 0.25;  // of the largest error, in the native unit
  int max_cycles = 50;      // after the first approximation
  ImageView start;          // [H, W, C] the first approximation; data is null for full multigrid
};

struct MultigridResult {
  int cycles = 0;       // most of any channel
  double residual = 0;  // largest |b - A x| of the answer
  double estimate = 0;  // of the largest error of the answer
  bool converged = false;
  std::vector<double> residual_history;  // largest |b - A x| after 0, 1, 2, ... cycles
  std::int64_t peak_bytes = 0;
};

}  // namespace pyharmony::gaussian_poisson

namespace pyharmony {

HM_SIMD_DECLARE(
    gaussian_poisson::DctResult gaussian_poisson_dct(const gaussian_poisson::DctParams& params))
HM_SIMD_DECLARE(gaussian_poisson::MultigridResult gaussian_poisson_multigrid(
    const gaussian_poisson::MultigridParams& params))

}  // namespace pyharmony
