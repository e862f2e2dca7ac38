// Conjugate gradients with one V-cycle as preconditioner, as in solve.cpp.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "device/reduce.h"
#include "device/workspace.h"
#include "ops/poisson/solve_cuda.h"

namespace pyharmony::poisson {
namespace {

// Each plane has a block; the larger one is for planes with many tiles.
constexpr int kFewThreads = 256, kManyThreads = 1024, kManyTiles = 1024;
// The least number of blocks of a tile kernel on one multiprocessor, which limits its registers.
constexpr int kTileBlocks = 3;

// The points of a thread of a tile kernel: one column, and every kThreadRows-th row of the tile and
// of its halo, beginning kAbove rows above the tile.
template <int kAbove>
struct TileView {
  int plane, col, row0, x, y0, pitch;
  std::int64_t origin;  // offset of the first row and column in planes of the level
  bool inside;          // whether the column is in the level

  __device__ explicit TileView(const Grid& g)
      : plane(static_cast<int>(blockIdx.z)),
        col(static_cast<int>(threadIdx.x) % kPitch),
        row0(static_cast<int>(threadIdx.x) / kPitch),
        x(static_cast<int>(blockIdx.x) * kTileWidth - kHalo + col),
        y0(static_cast<int>(blockIdx.y) * kTileHeight - kAbove),
        pitch(g.pitch),
        origin(static_cast<std::int64_t>(y0) * g.pitch + static_cast<int>(blockIdx.x) * kTileWidth -
               kHalo),
        inside(x >= 0 && x < g.width) {}

  __device__ int row(int k) const { return row0 + k * kThreadRows; }
  __device__ int at(int k) const { return row(k) * kPitch + col; }    // in shared memory
  __device__ int local(int k) const { return row(k) * pitch + col; }  // offset from origin
  // Returns whether the column is in [first, last], counted from the rim.
  __device__ bool columns(int first, int last) const { return col >= first && col <= last; }
};

// A thread keeps its points' values from stage to stage in registers. With stored coefficients
// there are none to spare: then they are in shared memory, and loops are not unrolled fully.
template <typename Op>
constexpr bool kInRegisters = std::is_same_v<Op, FivePoint>;
template <typename Op>
constexpr int kUnroll = kInRegisters<Op> ? 16 : 2;
constexpr int kUpUnroll = 3;

// Shared memory of the tile kernels: rows of kPitch floats.
template <typename Op>
constexpr std::size_t kDownBytes =
    (kInRegisters<Op> ? 2 : 3) * (kTileHeight + 2 * kHalo) * kPitch * sizeof(float);
constexpr std::size_t kUpBytes = 3 * (kTileHeight + 4) * kPitch * sizeof(float);
constexpr std::size_t kDirectionBytes = (kTileHeight + 4) * kPitch * sizeof(float);

// ---- one V-cycle --------------------------------------------------------------------------------

enum class DownKind : int { kPlain, kUpdate, kProlong, kStart };

// The parameters of every pass over a level; `coarse` is the next coarser level, where the pass
// needs one.
struct LevelParams {
  Grid grid, coarse;
  Hierarchies hierarchies;
  const PlaneState* states;
};

template <typename Op>
struct DownParams : LevelParams {
  typename Op::Constants constants;
  Planes r, r_out, p, x, z;
  Planes coarse_x;  // for kProlong, kStart
  Planes coarse_r;
};

// Does two smoothing steps from zero, and forms the residual they leave and its restriction.
// Before, kUpdate: x += alpha p, r -= alpha A p; kProlong: x = P coarse_x, r -= A x; kStart: the
// same on the finest level, with the differences of x, whose rounding would be part of the answer.
template <typename Op, DownKind kKind>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks)
    poisson_down_kernel(const DownParams<Op> p) {
  // These are rows -4 .. 35 of the tile: the last residual is that of rows -1 .. 31, each stage
  // before it reaches a row and a column farther.
  constexpr int kAbove = kHalo, kRows = kTileHeight + 2 * kHalo, kPoints = kRows / kThreadRows;
  constexpr int kFirstRow = kAbove, kLastRow = kAbove + kTileHeight - 1;
  constexpr int kFirstCol = kHalo, kLastCol = kHalo + kTileWidth - 1;
  HM_DYN_SMEM(float, s);
  float* const t = s + kRows * kPitch;

  const TileView<kAbove> v(p.grid);
  const PlaneState& state = p.states[v.plane];
  if (state.done) return;
  const unsigned char* memory = p.hierarchies.of_plane(v.plane);
  if (tile_count(p.grid, memory) == 0) return;
  const Op op(p.grid, p.constants, memory, v.origin);
  const float* r_in = p.r.of(v.plane) + v.origin;
  const float alpha = kKind == DownKind::kUpdate ? state.alpha : 1.0f;
  const Prolongation prolong =
      kKind == DownKind::kProlong || kKind == DownKind::kStart
          ? make_prolongation(p.grid, p.coarse, memory, p.coarse_x.of(v.plane))
          : Prolongation();
  unsigned active = 0;  // bit k: the point is unknown
  float kept[kInRegisters<Op> ? kPoints : 1];
  auto r = [&](int k) -> float& {
    if constexpr (kInRegisters<Op>) {
      return kept[k];
    } else {
      return t[kRows * kPitch + v.at(k)];
    }
  };
#pragma unroll
  for (int k = 0; k < kPoints; ++k) {
    const int y = v.y0 + v.row(k);
    const bool on = v.inside && y >= 0 && y < p.grid.height && op.active(v.local(k));
    active |= static_cast<unsigned>(on) << k;
    r(k) = on ? r_in[v.local(k)] : 0.0f;
    if constexpr (kKind == DownKind::kPlain) {
      t[v.at(k)] = on ? kFirst * (op.inverse(v.local(k)) * r(k)) : 0.0f;
    } else if constexpr (kKind == DownKind::kUpdate) {
      s[v.at(k)] = on ? (p.p.of(v.plane) + v.origin)[v.local(k)] : 0.0f;
    } else {
      s[v.at(k)] = on ? prolong(y, v.x) : 0.0f;
    }
  }
  HM_SYNC();
  if constexpr (kKind != DownKind::kPlain) {
    float* x = p.x.of(v.plane) + v.origin;
    float* r_out = p.r_out.of(v.plane) + v.origin;
#pragma unroll kUnroll < Op>
    for (int k = 0; k < kPoints; ++k) {
      const int row = v.row(k), y = v.y0 + row;
      if (row < kFirstRow - 3 || row > kLastRow + 2 || !v.columns(kFirstCol - 3, kLastCol + 2)) {
        continue;
      }
      float d = 0;
      if ((active >> k) & 1) {
        const float* at = s + v.at(k);
        const int local = v.local(k);
        if constexpr (kKind == DownKind::kUpdate) {
          r(k) -= alpha * op.exact(at, local, y, v.x);
        } else if constexpr (kKind == DownKind::kStart) {
          r(k) -= op.exact(at, local, y, v.x);
        } else {
          r(k) -= op.apply(at, local, y, v.x);
        }
        d = kFirst * (op.inverse(local) * r(k));
        if (row >= kFirstRow && row <= kLastRow && v.columns(kFirstCol, kLastCol)) {
          r_out[local] = r(k);
          x[local] = kKind == DownKind::kUpdate ? x[local] + alpha * at[0] : at[0];
        }
      }
      t[v.at(k)] = d;
    }
    HM_SYNC();
  }
  float* z = p.z.of(v.plane) + v.origin;
#pragma unroll kUnroll < Op>
  for (int k = 0; k < kPoints; ++k) {
    const int row = v.row(k), y = v.y0 + row;
    if (row < kFirstRow - 2 || row > kLastRow + 1 || !v.columns(kFirstCol - 2, kLastCol + 1)) {
      continue;
    }
    float d = 0;
    if ((active >> k) & 1) {
      const float* at = t + v.at(k);
      const int local = v.local(k);
      r(k) -= op.apply(at, local, y, v.x);
      d = kMomentum * at[0] + kSecond * (op.inverse(local) * r(k));
      if (row >= kFirstRow && row <= kLastRow && v.columns(kFirstCol, kLastCol)) {
        z[local] = at[0] + d;
      }
    }
    s[v.at(k)] = d;
  }
  HM_SYNC();
#pragma unroll kUnroll < Op>
  for (int k = 0; k < kPoints; ++k) {
    const int row = v.row(k), y = v.y0 + row;
    if (row < kFirstRow - 1 || row > kLastRow || !v.columns(kFirstCol - 1, kLastCol)) continue;
    const bool on = (active >> k) & 1;
    t[v.at(k)] = on ? r(k) - op.apply(s + v.at(k), v.local(k), y, v.x) : 0.0f;
  }
  HM_SYNC();
  float* out = p.coarse_r.of(v.plane);
  constexpr int kCoarseWidth = kTileWidth / 2, kNodes = kCoarseWidth * kTileHeight / 2;
  for (int node = static_cast<int>(threadIdx.x); node < kNodes; node += kTileThreads) {
    const int row = node / kCoarseWidth, col = node % kCoarseWidth;
    const int i = static_cast<int>(blockIdx.y) * (kTileHeight / 2) + row;
    const int j = static_cast<int>(blockIdx.x) * kCoarseWidth + col;
    if (i >= p.coarse.height || j >= p.coarse.width) continue;
    out[static_cast<std::int64_t>(i) * p.coarse.pitch + j] =
        restrict_at(t + (kFirstRow + 2 * row) * kPitch + kFirstCol + 2 * col, kPitch,
                    p.grid.merge_bottom && i == p.coarse.height - 1,
                    p.grid.merge_right && j == p.coarse.width - 1);
  }
}

template <typename Op>
struct UpParams : LevelParams {
  typename Op::Constants constants;
  Planes r, z, coarse_z, out;
  bool add;               // adds to `out` instead
  TilePartial* partials;  // kMeasure: r . z and the largest |z|
};

// Computes out = z + P coarse_z and two smoothing steps.
template <typename Op, bool kMeasure>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks)
    poisson_up_kernel(const UpParams<Op> p) {
  constexpr int kAbove = 2, kRows = kTileHeight + 2 * kAbove, kPoints = kRows / kThreadRows;
  constexpr int kFirstRow = kAbove, kLastRow = kAbove + kTileHeight - 1;
  constexpr int kFirstCol = kHalo, kLastCol = kHalo + kTileWidth - 1;
  HM_DYN_SMEM(float, s);
  float* const t = s + kRows * kPitch;

  const TileView<kAbove> v(p.grid);
  if (p.states[v.plane].done) return;
  const unsigned char* memory = p.hierarchies.of_plane(v.plane);
  if (tile_count(p.grid, memory) == 0) return;
  const Op op(p.grid, p.constants, memory, v.origin);
  const float* r_in = p.r.of(v.plane) + v.origin;
  const float* z_in = p.z.of(v.plane) + v.origin;
  const Prolongation prolong = make_prolongation(p.grid, p.coarse, memory, p.coarse_z.of(v.plane));
  unsigned active = 0;
  float* const q = t + kRows * kPitch;
#pragma unroll kUpUnroll
  for (int k = 0; k < kPoints; ++k) {
    const int y = v.y0 + v.row(k), local = v.local(k);
    const bool on = v.inside && v.columns(kFirstCol - 2, kLastCol + 2) && y >= 0 &&
                    y < p.grid.height && op.active(local);
    active |= static_cast<unsigned>(on) << k;
    q[v.at(k)] = on ? r_in[local] : 0.0f;
    s[v.at(k)] = on ? z_in[local] + prolong(y, v.x) : 0.0f;
  }
  HM_SYNC();
#pragma unroll kUnroll < Op>
  for (int k = 0; k < kPoints; ++k) {
    const int row = v.row(k), y = v.y0 + row, local = v.local(k);
    if (row < kFirstRow - 1 || row > kLastRow + 1 || !v.columns(kFirstCol - 1, kLastCol + 1)) {
      continue;
    }
    float d = 0;
    if ((active >> k) & 1) {
      q[v.at(k)] -= op.apply(s + v.at(k), local, y, v.x);
      d = kFirst * (op.inverse(local) * q[v.at(k)]);
    }
    t[v.at(k)] = d;
  }
  HM_SYNC();
  float* out = p.out.of(v.plane) + v.origin;
  float dot = 0, largest = 0;
#pragma unroll kUnroll < Op>
  for (int k = 0; k < kPoints; ++k) {
    const int row = v.row(k), y = v.y0 + row, local = v.local(k);
    if (row < kFirstRow || row > kLastRow || !v.columns(kFirstCol, kLastCol)) continue;
    if (!((active >> k) & 1)) continue;
    const float* at = t + v.at(k);
    const float rest = q[v.at(k)] - op.apply(at, local, y, v.x);
    float value = s[v.at(k)] + at[0] + kMomentum * at[0] + kSecond * (op.inverse(local) * rest);
    if constexpr (kMeasure) {
      dot += value * r_in[local];
      largest = device::Max()(fabsf(value), largest);
    }
    if (p.add) value += out[local];
    out[local] = value;
  }
  if constexpr (kMeasure) {
    __shared__ double sums[kTileThreads / 32];
    __shared__ float maxima[kTileThreads / 32];
    const double sum =
        device::block_reduce<kTileThreads>(static_cast<double>(dot), device::Sum(), sums);
    largest = device::block_reduce<kTileThreads>(largest, device::Max(), maxima);
    if (threadIdx.x == 0) p.partials[tile_index(v.plane)] = {sum, largest, 0};
  }
}

template <typename Op>
struct DirectionParams : LevelParams {
  typename Op::Constants constants;
  Planes z, p, p_out;
  bool first;  // p = z, and the old p is not read
  TilePartial* partials;
};

// Computes p_out = z + beta p, and p . A p, without storing A p.
template <typename Op>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks)
    poisson_direction_kernel(const DirectionParams<Op> p) {
  constexpr int kAbove = 1, kRows = kTileHeight + 4, kPoints = kRows / kThreadRows;
  constexpr int kFirstRow = kAbove, kLastRow = kAbove + kTileHeight - 1;
  constexpr int kFirstCol = kHalo, kLastCol = kHalo + kTileWidth - 1;
  HM_DYN_SMEM(float, s);
  __shared__ double sums[kTileThreads / 32];

  const TileView<kAbove> v(p.grid);
  const PlaneState& state = p.states[v.plane];
  if (state.done) return;
  const unsigned char* memory = p.hierarchies.of_plane(v.plane);
  if (tile_count(p.grid, memory) == 0) return;
  const Op op(p.grid, p.constants, memory, v.origin);
  const float beta = state.beta;
  const float* z = p.z.of(v.plane) + v.origin;
  const float* old = p.p.of(v.plane) + v.origin;
  float* out = p.p_out.of(v.plane) + v.origin;
  unsigned active = 0;
#pragma unroll
  for (int k = 0; k < kPoints; ++k) {
    const int row = v.row(k), y = v.y0 + row, local = v.local(k);
    if (row > kLastRow + 1 || !v.columns(kFirstCol - 1, kLastCol + 1)) continue;
    const bool on = v.inside && y >= 0 && y < p.grid.height && op.active(local);
    float value = 0;
    if (on) {
      value = p.first ? z[local] : z[local] + beta * old[local];
      if (row >= kFirstRow && row <= kLastRow && v.columns(kFirstCol, kLastCol)) {
        out[local] = value;
        active |= 1u << k;
      }
    }
    s[v.at(k)] = value;
  }
  HM_SYNC();
  float dot = 0;
#pragma unroll
  for (int k = 0; k < kPoints; ++k) {
    if (!((active >> k) & 1)) continue;
    const float* at = s + v.at(k);
    dot += at[0] * op.exact(at, v.local(k), v.y0 + v.row(k), v.x);
  }
  const double sum =
      device::block_reduce<kTileThreads>(static_cast<double>(dot), device::Sum(), sums);
  if (threadIdx.x == 0) p.partials[tile_index(v.plane)] = {sum, 0.0f, 0};
}

struct RestrictParams : LevelParams {
  std::int64_t active;  // offset on the finest level; negative on others
  Planes r, coarse_r;
};

constexpr int kRestrictThreads = 256;

__global__ void __launch_bounds__(kRestrictThreads)
    poisson_restrict_kernel(const RestrictParams p) {
  const int plane = static_cast<int>(blockIdx.z);
  if (p.states[plane].done) return;
  const unsigned char* memory = p.hierarchies.of_plane(plane);
  if (tile_count(p.coarse, memory) == 0) return;
  const float* r = p.r.of(plane);
  const unsigned char* bytes = p.active >= 0 ? memory + p.active : nullptr;
  const float* inverse = p.active >= 0 ? nullptr : coefficient_plane(p.grid, memory, kInverse);
  auto value = [&](int y, int x) {
    if (y < 0 || x < 0 || y >= p.grid.height || x >= p.grid.width) return 0.0f;
    const std::int64_t at = static_cast<std::int64_t>(y) * p.grid.pitch + x;
    return (bytes != nullptr ? bytes[at] != 0 : inverse[at] != 0) ? r[at] : 0.0f;
  };
  const int j =
      static_cast<int>(blockIdx.x) * kTileWidth + static_cast<int>(threadIdx.x) % kTileWidth;
  const int row = static_cast<int>(threadIdx.x) / kTileWidth;
  for (int k = row; k < kTileHeight; k += kRestrictThreads / kTileWidth) {
    const int i = static_cast<int>(blockIdx.y) * kTileHeight + k;
    if (i >= p.coarse.height || j >= p.coarse.width) break;
    const bool bottom = p.grid.merge_bottom && i == p.coarse.height - 1;
    const bool right = p.grid.merge_right && j == p.coarse.width - 1;
    float around[9];
#pragma unroll
    for (int d = 0; d < 9; ++d) around[d] = value(2 * i + d / 3 - 1, 2 * j + d % 3 - 1);
    p.coarse_r.of(plane)[static_cast<std::int64_t>(i) * p.coarse.pitch + j] =
        restrict_at(around + 4, 3, bottom, right);
  }
}

// ---- the scalars of conjugate gradients ---------------------------------------------------------

struct ScalarParams : PlaneSums, GradientsOptions {
  int k;
};

template <int kThreads>
__device__ __forceinline__ TilePartial total(const ScalarParams& p, int plane) {
  return join_tiles<kThreads>(p, p.hierarchies.of_plane(plane), plane, device::Sum());
}

__device__ __forceinline__ bool positive(double v) { return v > 0 && v <= DBL_MAX; }

// Finds, after z = M^-1 r, beta of the next direction, and whether there is one.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) poisson_measure_kernel(const ScalarParams p) {
  const int plane = static_cast<int>(blockIdx.x);
  PlaneState& s = p.states[plane];
  if (s.done) return;
  const auto [rz, largest, unused] = total<kThreads>(p, plane);
  if (threadIdx.x != 0) return;
  const double before = s.rz;
  const double error = largest / (1 - s.contraction);
  s.rz = rz;
  s.largest = largest;
  if (p.k == 1) s.second = error;
  if (p.k == 0) {
    s.first = error;
    s.limit = fmax(p.tolerance, p.reduction * error);
  }
  s.estimate = error;
  s.iterations = p.k;
  s.pending = -1;
  if (error == 0 && rz == 0) {
    s.done = s.converged = 1;
  } else if (!positive(rz)) {
    s.done = 1;
  } else {
    s.beta = p.k == 0 ? 0.0f : static_cast<float>(rz / before);
    s.betas[p.k] = p.k == 0 ? 0.0 : rz / before;
  }
}

// Returns whether M^-1 A has a Ritz value below the shift: then a pivot of Lanczos' matrix minus
// the shift is negative. It has the diagonal 1/alpha_k + beta_k/alpha_{k-1}, and
// sqrt(beta_k)/alpha_{k-1} beside.
__device__ __forceinline__ bool ritz_value_below(const PlaneState& s, int steps, double shift) {
  double pivot = 1;
  bool below = false;
  for (int k = 0; k < steps; ++k) {
    double diagonal = 1 / s.alphas[k] - shift;
    if (k > 0) {
      const double before = 1 / s.alphas[k - 1], link = s.betas[k] * before;
      diagonal += link - link * before / pivot;
    }
    pivot = diagonal == 0 ? 1e-300 : diagonal;
    below |= pivot < 0;
  }
  return below;
}

// Finds, after p . A p, the step alpha, and whether it is the last one.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) poisson_step_kernel(const ScalarParams p) {
  const int plane = static_cast<int>(blockIdx.x);
  PlaneState& s = p.states[plane];
  if (s.done) return;
  __shared__ int good;
  const double curvature = total<kThreads>(p, plane).dot;
  if (threadIdx.x == 0) {
    good = positive(curvature);
    if (good) {
      s.alphas[p.k] = s.rz / curvature;
      s.alpha = static_cast<float>(s.rz / curvature);
      s.steps = p.k + 1;
      s.pending = p.k;
    } else {
      s.done = 1;
    }
  }
  HM_SYNC();
  if (threadIdx.x >= 32 || !good) return;
  // This finds the smallest Ritz value below 1 by cutting into 33 sections at a time.
  double low = 0, high = 1;
  for (int round = 0; round < 4; ++round) {
    const double width = (high - low) / 33;
    const double shift = low + width * (threadIdx.x + 1);
    const unsigned below = __ballot_sync(0xffffffffu, ritz_value_below(s, p.k + 1, shift));
    const int first = below == 0 ? 32 : __ffs(static_cast<int>(below)) - 1;
    high = first == 32 ? high : low + width * (first + 1);
    low += width * first;
  }
  if (threadIdx.x != 0) return;
  const double contraction = fmax(fmax(kContraction, s.seen), 1 - low);
  const double error = s.largest / (1 - contraction);
  // The current step costs nothing, and leaves `contraction` of the error.
  const bool blind = p.k < kRitzFrom && s.seen == 0;
  double rest = blind ? kUnseen * s.largest : contraction * error;
  if (p.k == 0 && s.seen > 0) rest = fmin(rest, kFilmMargin * s.first_left * error);
  s.contraction = contraction;
  const bool last = p.k + 1 == p.max_iterations;
  if (rest <= s.limit || last) {
    s.estimate = rest;
    s.iterations = p.k + 1;
    s.converged = rest <= s.limit;
    s.done = 1;
  }
}

}  // namespace

SolveLayout solve_layout(const Plan& plan, int planes) {
  SolveLayout layout;
  auto take = [&](std::int64_t bytes) { return device::take(layout.bytes, bytes); };
  const Grid& finest = plan.grid[0];
  layout.states = take(static_cast<std::int64_t>(sizeof(PlaneState)) * planes);
  layout.partials = take(static_cast<std::int64_t>(sizeof(TilePartial)) * planes * finest.tiles_x *
                         finest.tiles_y);
  for (std::int64_t& buffer : layout.fine) buffer = take(finest.plane * planes * sizeof(float));
  for (int k = 1; k < plan.levels; ++k) {
    const std::int64_t bytes = plan.grid[k].plane * planes * sizeof(float);
    layout.nested_b[k] = take(bytes);
    if (k > plan.tail) continue;
    layout.b[k] = take(bytes);
    layout.after[k] = take(bytes);
    layout.nested_x[k] = take(bytes);
    if (k < plan.tail) layout.before[k] = take(bytes);
  }
  return layout;
}

namespace {

// Makes the launches of one solve, in the order of Solver in solve.cpp.
template <typename FineOp>
class Launches {
 public:
  Launches(const Plan& plan, const SolveMemory& memory, const typename FineOp::Constants& constants,
           cudaStream_t stream)
      : plan_(plan), m_(memory), constants_(constants), stream_(stream) {}

  void run(const GradientsOptions& options) {
    start();
    ScalarParams scalars = {m_.sums(plan_), options, 0};
    for (int k = 0; k < options.max_iterations; ++k) {
      // The buffers change places: r_k is written beside r_{k-1}, and z to the remaining one.
      const int r_in = k % 2 == 0 ? kR : kSpare0, r_out = k % 2 == 0 ? kSpare0 : kR;
      const int z_before = direction_buffer(k), p_old = direction_buffer(k + 1), z = r_in;
      DownParams<FineOp> before = down_params<FineOp>(0, fine(r_in), fine(z_before));
      before.constants = constants_;
      before.r_out = fine(r_out);
      before.x = fine(kX);
      if (k == 0) {
        before.coarse_x = level_planes(m_.layout.nested_x, 1);
        down<FineOp, DownKind::kStart>(before);
      } else {
        before.p = fine(p_old);
        down<FineOp, DownKind::kUpdate>(before);
      }
      cycle(1);
      UpParams<FineOp> after = up_params<FineOp>(0, fine(r_out), fine(z_before), fine(z));
      after.constants = constants_;
      after.partials = m_.partials();
      up<FineOp, true>(after);
      scalars.k = k;
      find_scalars(scalars, true);

      auto direction = level_params<DirectionParams<FineOp>>(0);
      direction.constants = constants_;
      direction.z = fine(z);
      direction.p = fine(p_old);
      direction.p_out = fine(direction_buffer(k));
      direction.first = k == 0;
      direction.partials = m_.partials();
      HM_LAUNCH((poisson_direction_kernel<FineOp>), tile_grid(plan_.grid[0], m_.planes),
                dim3(kTileThreads), kDirectionBytes, stream_, direction);
      find_scalars(scalars, false);
    }
  }

 private:
  // Computes the scalars with a block for each plane: after z if `measures`, else after p . A p.
  template <int kThreads>
  void scalars_of(const ScalarParams& p, bool measures) {
    const dim3 planes(static_cast<unsigned>(m_.planes));
    if (measures) {
      HM_LAUNCH((poisson_measure_kernel<kThreads>), planes, dim3(kThreads), 0, stream_, p);
    } else {
      HM_LAUNCH((poisson_step_kernel<kThreads>), planes, dim3(kThreads), 0, stream_, p);
    }
  }
  void find_scalars(const ScalarParams& p, bool measures) {
    const bool many = plan_.grid[0].tiles_x * plan_.grid[0].tiles_y > kManyTiles;
    many ? scalars_of<kManyThreads>(p, measures) : scalars_of<kFewThreads>(p, measures);
  }

  Planes fine(int buffer) const { return m_.fine(plan_, buffer); }
  Planes level_planes(const std::int64_t* offsets, int k) const {
    return m_.at(offsets[k], plan_.grid[k]);
  }

  template <typename Params>
  Params level_params(int k) const {
    Params p{};
    static_cast<LevelParams&>(p) = {plan_.grid[k], plan_.grid[k + 1], m_.hierarchies, m_.states()};
    return p;
  }
  template <typename Op>
  DownParams<Op> down_params(int k, const Planes& r, const Planes& z) const {
    auto p = level_params<DownParams<Op>>(k);
    p.r = r;
    p.z = z;
    p.coarse_r = level_planes(m_.layout.b, k + 1);
    return p;
  }
  template <typename Op, DownKind kKind>
  void down(const DownParams<Op>& params) {
    HM_LAUNCH((poisson_down_kernel<Op, kKind>), tile_grid(params.grid, m_.planes),
              dim3(kTileThreads), kDownBytes<Op>, stream_, params);
  }

  template <typename Op>
  UpParams<Op> up_params(int k, const Planes& r, const Planes& z, const Planes& out) const {
    auto p = level_params<UpParams<Op>>(k);
    p.r = r;
    p.z = z;
    p.coarse_z = level_planes(m_.layout.after, k + 1);
    p.out = out;
    return p;
  }
  template <typename Op, bool kMeasure>
  void up(const UpParams<Op>& params) {
    HM_LAUNCH((poisson_up_kernel<Op, kMeasure>), tile_grid(params.grid, m_.planes),
              dim3(kTileThreads), kUpBytes, stream_, params);
  }

  // Computes after[k] = M^-1 b[k].
  void cycle(int k) {
    if (k == plan_.tail) {
      launch_poisson_tail(plan_, m_, false, level_planes(m_.layout.b, k),
                          level_planes(m_.layout.after, k), stream_);
      return;
    }
    down<NinePoint, DownKind::kPlain>(
        down_params<NinePoint>(k, level_planes(m_.layout.b, k), level_planes(m_.layout.before, k)));
    cycle(k + 1);
    up<NinePoint, false>(up_params<NinePoint>(k, level_planes(m_.layout.b, k),
                                              level_planes(m_.layout.before, k),
                                              level_planes(m_.layout.after, k)));
  }

  // Finds a first x on level 1 by nested iteration from the coarsest level, for r on the finest.
  void start() {
    for (int k = 1; k <= plan_.tail; ++k) {
      auto p = level_params<RestrictParams>(k - 1);
      p.active = k == 1 ? plan_.active : -1;
      p.r = k == 1 ? fine(kR) : level_planes(m_.layout.nested_b, k - 1);
      p.coarse_r = level_planes(m_.layout.nested_b, k);
      HM_LAUNCH(poisson_restrict_kernel, tile_grid(p.coarse, m_.planes), dim3(kRestrictThreads), 0,
                stream_, p);
    }
    launch_poisson_tail(plan_, m_, true, level_planes(m_.layout.nested_b, plan_.tail),
                        level_planes(m_.layout.nested_x, plan_.tail), stream_);
    for (int k = plan_.tail - 1; k >= 1; --k) {
      DownParams<NinePoint> before = down_params<NinePoint>(k, level_planes(m_.layout.nested_b, k),
                                                            level_planes(m_.layout.before, k));
      before.r_out = level_planes(m_.layout.b, k);
      before.x = level_planes(m_.layout.nested_x, k);
      before.coarse_x = level_planes(m_.layout.nested_x, k + 1);
      down<NinePoint, DownKind::kProlong>(before);
      cycle(k + 1);
      UpParams<NinePoint> after =
          up_params<NinePoint>(k, level_planes(m_.layout.b, k), level_planes(m_.layout.before, k),
                               level_planes(m_.layout.nested_x, k));
      after.add = true;
      up<NinePoint, false>(after);
    }
  }

  const Plan& plan_;
  const SolveMemory& m_;
  const typename FineOp::Constants constants_;
  cudaStream_t stream_;
};

}  // namespace

void launch_poisson_gradients(const Plan& plan, const SolveMemory& memory,
                              const GradientsOptions& options, cudaStream_t stream) {
  if (plan.nine()) {
    Launches<NinePoint>(plan, memory, NinePointConstants(), stream).run(options);
  } else {
    Launches<FivePoint>(plan, memory, five_point(plan), stream).run(options);
  }
}

std::size_t solve_workspace_bytes(const Plan& plan, int planes) {
  return static_cast<std::size_t>(solve_layout(plan, planes).bytes);
}

std::size_t warm_bytes(const Plan& plan, int planes) {
  return (sizeof(WarmPlane) * planes + 255) / 256 * 256 +
         static_cast<std::size_t>(plan.grid[0].plane) * planes * sizeof(float);
}

}  // namespace pyharmony::poisson
