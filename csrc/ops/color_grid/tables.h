// Tables of a map in the form that the kernels read. Included by SIMD sources only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/real_vec.h"
#include "ops/color_grid/color_grid.h"

namespace pyharmony::HM_SIMD_NS {

// The entries of a table that fits into registers.
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

// Reads four values. No function returns the vector: without AVX that has no ABI for double.
template <typename Real>
struct ReadFour {
  Four<Real> value;
  explicit ReadFour(const Real* p) { std::memcpy(&value, p, sizeof(value)); }
};

// NaN becomes 0.
template <typename Real>
inline Real held(Real x, Real high) {
  const Real low = x > 0 ? x : Real(0);
  return low < high ? low : high;
}

inline Vec held(Vec x, float high) { return minimum(maximum(x, Vec{}), splat(high)); }

// A node of a grid holds for each of r, g, b and 1 the coefficients of the three results and one
// unused value.
constexpr int kNode = 16;

// Turns [count][3][4] into [count][kNode]; `affine`, where given, is added to each node.
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

// Turns curves [3 out][3 in][knots] into [3 in][knots + 1][4]: the last knot comes twice.
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

// Subtracts the identity from [3, 4]: the result maps a colour to its change.
template <typename Real>
void less_identity(const Real* affine, Real* difference) {
  for (int i = 0; i < kCoefficients; ++i) difference[i] = affine[i] - Real(i % 5 == 0 && i < 12);
}

// ---- tables of a map, and of a row

constexpr bool kPermutes = HM_SIMD_BYTES >= 32;

template <typename Real>
struct Tables {
  bool grid_in_registers = false, curves_in_registers = false;
  bool has_affine = false;
  Real affine[kCoefficients] = {};  // minus the identity; used where there is no grid
  Buffer<Real> curves;              // pack_knots, or [3 in][3 out][2][kEntries]: values, steps
  // The part of the grid that the image lies in.
  std::int64_t top = 0, left = 0, columns = 0;
  Buffer<Real> grid;  // pack_nodes, or [row][column][kCoefficients][kEntries], the last repeated
};

// `permutes`: the tables may be of the kind that is held in registers.
template <typename Real>
void make_tables(const ColorGridCall& call, std::int64_t image, bool permutes,
                 Tables<Real>& tables) {
  const Real* const affine = call.affine.of<Real>(image);
  const Real* const curves = call.curves.of<Real>(image);
  const Real* const grid = call.grid.of<Real>(image);
  constexpr bool kRegisters = kPermutes && std::is_same_v<Real, float>;
  if (affine != nullptr) {
    tables.has_affine = true;
    less_identity(affine, tables.affine);
  }
  if (curves != nullptr) {
    tables.curves_in_registers = permutes && kRegisters && call.knots <= kEntries;
    if (tables.curves_in_registers) {
      tables.curves = Buffer<Real>(9 * 2 * kEntries);
      for (int t = 0; t < 9; ++t) {
        const Real* const from = curves + (t % 3 * 3 + t / 3) * call.knots;
        Real* const to = tables.curves.data() + t * 2 * kEntries;
        for (int k = 0; k < kEntries; ++k) {
          const auto at = [&](int i) { return from[std::min<std::int64_t>(i, call.knots - 1)]; };
          to[k] = at(k);
          to[kEntries + k] = at(k + 1) - at(k);
        }
      }
    } else {
      tables.curves = Buffer<Real>(3 * (call.knots + 1) * 4);
      pack_knots(curves, call.knots, tables.curves.data());
    }
  }
  if (grid == nullptr) return;
  const Real* const add = tables.has_affine ? tables.affine : nullptr;
  tables.top = call.down.place(call.y0).low;
  tables.left = call.across.place(call.x0).low;
  const std::int64_t bottom = call.down.place(call.y0 + call.height - 1).high;
  const std::int64_t columns = call.across.place(call.x0 + call.width - 1).high - tables.left + 1;
  tables.columns = columns;
  tables.grid_in_registers = permutes && kRegisters && call.depth <= kEntries;
  const std::int64_t size =
      tables.grid_in_registers ? kCoefficients * kEntries : call.depth * kNode;
  tables.grid = Buffer<Real>((bottom - tables.top + 1) * columns * size);
  for (std::int64_t v = tables.top; v <= bottom; ++v) {
    const std::int64_t at = v * call.across.cells + tables.left;
    const Real* const from = grid + at * call.depth * kCoefficients;
    Real* const to = tables.grid.data() + (v - tables.top) * columns * size;
    if (!tables.grid_in_registers) {
      pack_nodes(from, add, columns * call.depth, to);
      continue;
    }
    for (std::int64_t u = 0; u < columns; ++u) {
      for (int j = 0; j < kCoefficients; ++j) {
        for (int k = 0; k < kEntries; ++k) {
          const std::int64_t node = u * call.depth + std::min<std::int64_t>(k, call.depth - 1);
          to[(u * kCoefficients + j) * kEntries + k] =
              from[node * kCoefficients + j] + (add != nullptr ? add[j] : 0);
        }
      }
    }
  }
}

// Returns the size of a column of a row's grid: in registers [2][kCoefficients][kEntries], values
// and steps to the next depth; in memory [depth][kNode].
template <typename Real>
std::int64_t column_size(const ColorGridCall& call, const Tables<Real>& tables) {
  return tables.grid_in_registers ? 2 * kCoefficients * kEntries : call.depth * kNode;
}

// Computes the columns of the grid at an image's row.
template <typename Real>
void make_row(const ColorGridCall& call, const Tables<Real>& tables, std::int64_t y, Real* row) {
  constexpr int kStep = kWidth<Real>;
  const CellAxis::Place at = call.down.place(call.y0 + y);
  const auto share = all<Real>(static_cast<Real>(at.share));
  const std::int64_t size = column_size(call, tables);
  const std::int64_t given = tables.grid_in_registers ? size / 2 : size;
  const Real* const low = tables.grid.data() + (at.low - tables.top) * tables.columns * given;
  const Real* const high = tables.grid.data() + (at.high - tables.top) * tables.columns * given;
  for (std::int64_t u = 0; u < tables.columns; ++u) {
    Real* const to = row + u * size;
    for (std::int64_t i = 0; i < given; i += kStep) {
      const auto a = read(low + u * given + i), b = read(high + u * given + i);
      write(to + i, multiply_add(share, b - a, a));
    }
    if (!tables.grid_in_registers) continue;
    for (std::int64_t i = 0; i < given; i += kStep) {
      write(to + given + i, read(to + i + 1) - read(to + i));
    }
    for (int j = 1; j <= kCoefficients; ++j) to[given + j * kEntries - 1] = 0;
  }
}

}  // namespace pyharmony::HM_SIMD_NS
