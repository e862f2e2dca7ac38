// Passes between images in their own dtype and the planes of the finest level.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"
#include "ops/poisson/level.h"

namespace pyharmony::poisson {

// The images that a right-hand side b is formed from, or b itself.
struct Sources {
  ImageView src, dst, base;  // [H, W, C]; base is src where it has no data
  ImageView mask;            // [H, W]
  ImageView rhs;  // b in float32 or float64 [H, W, C], instead of them; known pixels are zero then
  Guidance guidance = Guidance::kSource;
  Contour contour = Contour::kHalf;

  bool has_rhs() const { return rhs.data != nullptr; }
  std::int64_t channels() const { return has_rhs() ? rhs.channels : dst.channels; }
};

// The right-hand side b and the equation it belongs to, on the box of the finest level.
struct Equation : Sources {
  ImageView weight_map;  // float64, begins at (map_top, map_left); data is null for one weight
  int map_top = 0, map_left = 0;
  double weight = 0, w0 = 1, w1 = 0;
  int top = 0, left = 0;  // origin of the box

  bool has_map() const { return weight_map.data != nullptr; }
  bool weighted() const { return weight > 0 || has_map(); }
};

// kExtended has 11 bits more than kDouble on x86, more still elsewhere, and takes several times as
// long. It is for problems where A^-1 magnifies the rounding of double too much.
enum class Arithmetic : int { kSingle, kDouble, kExtended };

// Computes r = scale (b - A x) of all channels, where x = start + e on the unknown pixels and start
// is src (zero with rhs). Known pixels get zero.
struct ResidualPass {
  LevelView level;  // the finest level
  Equation equation;
  Arithmetic arithmetic = Arithmetic::kSingle;  // e needs kDouble or more
  const double* const* e = nullptr;        // [C] planes of the level's geometry, or null for e = 0
  const float* const* e_single = nullptr;  // used instead of e
  double scale = 1;
  float* const* r = nullptr;    // [C] planes, or null where only `largest` is wanted
  double* largest = nullptr;    // [bands], largest |b - A x|, not scaled
  double* magnitude = nullptr;  // [bands], largest of the values that form the residual
};

// Writes out = start + e on the unknown pixels, rounded to out's dtype.
struct WritePass {
  LevelView level;
  Equation equation;
  const float* const* e = nullptr;          // [C]
  const double* const* e_double = nullptr;  // [C], used instead of e
  ImageView out;
};

}  // namespace pyharmony::poisson

namespace pyharmony {

// Both do rows [begin, end) of the box and allocate their own rows. The second returns the number
// of values that were clipped where they were stored.
HM_SIMD_DECLARE(void poisson_residual(const poisson::ResidualPass& pass, int begin, int end,
                                      int band))
HM_SIMD_DECLARE(std::int64_t poisson_write(const poisson::WritePass& pass, int begin, int end))

}  // namespace pyharmony
