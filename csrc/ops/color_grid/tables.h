// Tables of a map as the kernels look things up in them. Included by SIMD sources only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/real_vec.h"
#include "ops/color_grid/color_grid.h"

namespace pyharmony::HM_SIMD_NS {

// Entries of a table that fits into registers.
constexpr int kEntries = 16;
constexpr int kCoefficients = 12;

template <typename Real>
struct FourOf;
template <>
struct FourOf<float> {
  typedef float type __attribute__((vector_size(16)));
};
template <>
struct FourOf<double> {
  typedef double type __attribute__((vector_size(32)));
};
template <typename Real>
using Four = typename FourOf<Real>::type;

// Four values of memory. No function returns the vector: without AVX that has no ABI for double.
template <typename Real>
struct ReadFour {
  Four<Real> value;
  explicit ReadFour(const Real* p) { std::memcpy(&value, p, sizeof(value)); }
};

// NaN is held to 0.
template <typename Real>
inline Real held(Real x, Real high) {
  const Real low = x > 0 ? x : Real(0);
  return low < high ? low : high;
}

inline Vec held(Vec x, float high) { return minimum(maximum(x, Vec{}), splat(high)); }

// A node of a grid: for each of r, g, b and 1 the coefficients of the three results, and one
// unused.
constexpr int kNode = 16;

// [count][kNode] of [count][3][4]; `affine`, where there is one, is added to each node.
template <typename Real>
void pack_nodes(const Real* grid, const Real* affine, std::int64_t count, Real* nodes) {
  for (std::int64_t i = 0; i < count; ++i) {
    for (int j = 0; j < 4; ++j) {
      for (int o = 0; o < 4; ++o) {
        const int at = 4 * o + j;
        nodes[i * kNode + 4 * j + o] =
            o == 3 ? Real(0) : grid[i * kCoefficients + at] + (affine != nullptr ? affine[at] : 0);
      }
    }
  }
}

// The values of curves [3 out][3 in][knots] as [3 in][knots + 1][4]: the last knot twice.
template <typename Real>
void pack_knots(const Real* curves, std::int64_t knots, Real* packed) {
  for (int c = 0; c < 3; ++c) {
    for (std::int64_t k = 0; k <= knots; ++k) {
      for (int o = 0; o < 4; ++o) {
        packed[(c * (knots + 1) + k) * 4 + o] =
            o == 3 ? Real(0) : curves[(3 * o + c) * knots + std::min(k, knots - 1)];
      }
    }
  }
}

// [3, 4] less the identity, which is of the difference between a colour and its image.
template <typename Real>
void less_identity(const Real* affine, Real* difference) {
  for (int i = 0; i < kCoefficients; ++i) difference[i] = affine[i] - Real(i % 5 == 0 && i < 12);
}

}  // namespace pyharmony::HM_SIMD_NS
