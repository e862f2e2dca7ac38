// The kernel of the direct solver along columns of the spectrum: a tridiagonal system with constant
// coefficients for each, by one recursion down and one up, in registers.
//
// A tile is kColumns columns, or a segment of them where they are higher than a block can hold. A
// thread has kRows rows of a column; the states of the recursions at the ends of its rows come from
// affine maps of all threads of the column. Blocks take tiles in turns, and copy the next tile to
// shared memory while they solve this one, where there is room for it.
#pragma once

#include <type_traits>

#include "device/async_copy.h"
#include "ops/gaussian_poisson/direct_rows.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kColumnThreads = 512;  // of a block, at most
// Registers of a thread, which its rows fill.
template <int kRows>
constexpr int kColumnRegisters = kRows <= 18   ? 64
                                 : kRows <= 36 ? 96
                                               : 128;
constexpr int kMostChunks = kColumnThreads / kColumns;  // threads of a column
constexpr int kInWarp = 32 / kColumns;                  // threads of a column in a warp
constexpr int kMostRows = 68, kSegmentRows = 52;        // of a thread, of a column and a segment

__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }

template <typename Real>
struct Affine {  // y = value + factor x
  Real factor, value;

  __device__ __forceinline__ Real of(Real x) const { return fused(factor, x, value); }
  __device__ __forceinline__ Affine after(const Affine& f) const {
    return {factor * f.factor, of(f.value)};
  }
};

template <typename Real>
__device__ __forceinline__ Real power(Real r, int n) {
  Real out = 1;
  for (; n > 0; n >>= 1) {
    if (n & 1) out *= r;
    r *= r;
  }
  return out;
}

// What a segment does to the states that come from above and from below; and then those states.
struct Segment {
  Affine<double> down, up;
};

struct ColumnParams {
  float* spectrum;  // [planes, tiles, height, kColumns]
  int height, width, slow;
  int tiles, planes;           // tiles of a row of the spectrum
  int segments, segment_rows;  // of a column
  Segment* joined;             // [planes, segments, tiles, kColumns], where there are several
  const float2* column;
  bool singular;  // column 0 has no answer here
};

enum class Columns : int { kWhole, kMap, kSolve };  // a whole column, or a segment of it: its map

struct ColumnTile {
  int k0, plane, segment, y0, rows;

  __device__ ColumnTile(const ColumnParams& p, int index) {
    k0 = index % p.tiles * kColumns;
    index /= p.tiles;
    segment = index % p.segments;
    plane = index / p.segments;
    y0 = segment * p.segment_rows;
    rows = smaller(p.segment_rows, p.height - y0);
  }
  __device__ float* start(const ColumnParams& p) const {
    return p.spectrum + (std::int64_t(plane) * p.tiles * p.height +
                         std::int64_t(k0 / kColumns) * p.height + y0) *
                            kColumns;
  }
};

// The slots of a row in the copy: threads of a column read different banks, as kRows is even.
template <int kRows>
__device__ __forceinline__ int slot_of(int row) {
  static_assert(kRows % 2 == 0);
  return (row + row / kRows) * kColumns;
}
template <int kRows>
constexpr std::size_t kTileBytes = sizeof(float) * kColumns * (kRows + 1);  // of a thread's rows

// Begins to copy a tile.
template <int kRows>
__device__ __forceinline__ void fetch_tile(const ColumnParams& p, int index, float* copy) {
  const ColumnTile tile(p, index);
  const float* const from = tile.start(p);
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < 2 * tile.rows;
       i += static_cast<int>(blockDim.x)) {
    const int row = i / 2, half = i % 2 * 4;
    device::async_copy<16>(copy + slot_of<kRows>(row) + half, from + 4 * i);
  }
}

// kSlow: r is near one. A step then is state += b - (1 - r) state, as r itself has lost the bits of
// 1 - r in float32, and the maps are in float64.
template <int kRows, Columns kWhat, bool kSlow>
struct Solver {
  using Real = std::conditional_t<kSlow, double, float>;
  const ColumnParams& p;
  const ColumnTile& tile;
  int n;          // rows of this thread
  float r, rest;  // rest = 1 - r
  float v[kRows];

  __device__ __forceinline__ float step(float state, float b) const {
    return kSlow ? state + fmaf(-rest, state, b) : fmaf(r, state, b);
  }

  // Finds both states from nothing. kFull: all rows are there.
  template <bool kFull>
  __device__ __forceinline__ void first(float scale, float& down, float& up) {
    const int some = device::anew(n);  // or the tests of all rows would stay
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      v[i] *= scale;
      if (kFull || i < some) down = step(down, v[i]);
    }
#pragma unroll
    for (int i = kRows - 1; i >= 0; --i) up = step(up, v[i]);
  }

  // Solves and stores from the states above and below.
  template <bool kFull>
  __device__ __forceinline__ void second(float* at, float state, float later) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      if (!kFull && i >= n) continue;
      v[i] = state = step(state, v[i]);
    }
    float x = fmaf(r, state, later) / (rest * (1 + r));
    const int some = device::anew(n);
#pragma unroll
    for (int i = kRows - 1; i >= 0; --i) {
      if (!kFull && i >= some) continue;
      x = step(x, v[i]);
      at[i * kColumns] = x;
    }
  }

  // `next` begins the copy of the next tile; the copy of this one is in v.
  template <typename Next>
  __device__ __forceinline__ void solve(float* at, float scale, bool answers, char* shared,
                                        Next&& next) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int warps = static_cast<int>(blockDim.x) / 32, within = lane / kColumns,
              column = lane % kColumns;
    const bool full = __all_sync(kAll, n == kRows);
    float down = 0, up = 0;
    full ? first<true>(scale, down, up) : first<false>(scale, down, up);
    // Maps of the state above these rows to that of the last one, and of the state below them to
    // that of the first one; joined over the threads of a column in the warp.
    const Real own = power(1 - Real(rest), n);
    Affine<Real> d{own, down}, u{own, up};
#pragma unroll
    for (int distance = 1; distance < kInWarp; distance *= 2) {
      const Affine<Real> before{__shfl_up_sync(kAll, d.factor, distance * kColumns),
                                __shfl_up_sync(kAll, d.value, distance * kColumns)};
      const Affine<Real> after{__shfl_down_sync(kAll, u.factor, distance * kColumns),
                               __shfl_down_sync(kAll, u.value, distance * kColumns)};
      if (within >= distance) d = d.after(before);
      if (within + distance < kInWarp) u = u.after(after);
    }
    auto* const downs = reinterpret_cast<Affine<Real>*>(shared);  // [warps][kColumns]
    auto* const ups = downs + warps * kColumns;
    if (within == kInWarp - 1) downs[warp * kColumns + column] = d;
    if (within == 0) ups[warp * kColumns + column] = u;
    // From here on d and u are those of the thread before and after, in the warp.
    d = {__shfl_up_sync(kAll, d.factor, kColumns), __shfl_up_sync(kAll, d.value, kColumns)};
    u = {__shfl_down_sync(kAll, u.factor, kColumns), __shfl_down_sync(kAll, u.value, kColumns)};
    HM_SYNC();
    next();
    // A thread for each column replaces the maps by the states above and below each warp.
    if (threadIdx.x < kColumns) {
      Affine<Real> all_down{1, 0}, all_up{1, 0};
#pragma unroll 1
      for (int w = 0; w < warps; ++w) {
        all_down = downs[w * kColumns + column].after(all_down);
        all_up = ups[(warps - 1 - w) * kColumns + column].after(all_up);
      }
      Segment* const joined =
          kWhat == Columns::kWhole
              ? nullptr
              : p.joined +
                    (std::int64_t(tile.plane) * p.segments + tile.segment) * p.tiles * kColumns +
                    tile.k0 + column;
      Real above = 0, below = 0;
      if constexpr (kWhat == Columns::kMap) {
        *joined = {{all_down.factor, all_down.value}, {all_up.factor, all_up.value}};
      } else if constexpr (kWhat == Columns::kSolve) {
        above = static_cast<Real>(joined->down.value);
        below = static_cast<Real>(joined->up.value);
      } else {
        // The column goes on by mirroring without an end: the states at its ends are sums of a
        // period.
        const Real whole = all_down.factor, period = 1 / (1 - whole * whole);
        above = fused(whole, all_down.value, all_up.value) * period;
        below = fused(whole, all_up.value, all_down.value) * period;
      }
      if constexpr (kWhat != Columns::kMap) {
#pragma unroll 1
        for (int w = 0; w < warps; ++w) {
          Affine<Real>& its = downs[w * kColumns + column];
          Affine<Real>& theirs = ups[(warps - 1 - w) * kColumns + column];
          const Real after = its.of(above), before = theirs.of(below);
          its.value = above;
          theirs.value = below;
          above = after;
          below = before;
        }
      }
    }
    if constexpr (kWhat != Columns::kMap) {
      HM_SYNC();
      Real state = downs[warp * kColumns + column].value,
           later = ups[warp * kColumns + column].value;
      if (within > 0) state = d.of(state);
      if (within < kInWarp - 1) later = u.of(later);
      if (!answers) return;
      const float from = static_cast<float>(state), to = static_cast<float>(later);
      full ? second<true>(at, from, to) : second<false>(at, from, to);
    }
  }
};

// kStaged: tiles are copied to shared memory before.
template <int kRows, Columns kWhat, bool kStaged>
__global__ void __launch_bounds__(kColumnThreads, 65536 / kColumnThreads / kColumnRegisters<kRows>)
    gaussian_poisson_direct_columns_kernel(const __grid_constant__ ColumnParams p) {
  HM_DYN_SMEM(char, shared);
  const int warps = static_cast<int>(blockDim.x) / 32;
  float* const copy =
      reinterpret_cast<float*>(shared + 2 * sizeof(Affine<double>) * kColumns * warps);
  const int total = p.tiles * p.planes * p.segments, stride = static_cast<int>(gridDim.x);
  const int chunk = static_cast<int>(threadIdx.x) / kColumns,
            column = static_cast<int>(threadIdx.x) % kColumns;
  int index = static_cast<int>(blockIdx.x);
  if constexpr (kStaged) {
    fetch_tile<kRows>(p, index, copy);
    device::async_commit();
  }
#pragma unroll 1
  for (; index < total; index += stride) {
    const ColumnTile tile(p, index);
    const int y = chunk * kRows, k = tile.k0 + column;
    const int left = tile.rows - y;
    const int n = left < 0 ? 0 : left < kRows ? left : kRows;
    // Columns beyond the width are nobody's.
    const float2 c = p.column[k < p.width ? k : p.width - 1];
    const bool answers = !(p.singular && k == 0);
    float* const at = tile.start(p) + y * kColumns + column;
    auto solve = [&](auto slow) {
      Solver<kRows, kWhat, decltype(slow)::value> solver{p, tile, n, 1 - c.x, c.x, {}};
      if constexpr (kStaged) {
        device::async_wait<0>();
        HM_SYNC();
        const float* const own = copy + slot_of<kRows>(y) + column;
#pragma unroll
        for (int i = 0; i < kRows; ++i) solver.v[i] = i < n ? own[i * kColumns] : 0.0f;
      } else {
        HM_SYNC();  // the states in shared memory are free
#pragma unroll
        for (int i = 0; i < kRows; ++i) solver.v[i] = i < n ? at[i * kColumns] : 0.0f;
      }
      solver.solve(at, c.y, answers, shared, [&] {
        if constexpr (kStaged) {
          if (index + stride < total) fetch_tile<kRows>(p, index + stride, copy);
          device::async_commit();
        }
      });
    };
    if (tile.k0 < p.slow) {
      solve(std::true_type());
    } else {
      solve(std::false_type());
    }
  }
}

// Turns the maps of segments into the states above and below each.
__global__ void __launch_bounds__(128)
    gaussian_poisson_direct_join_kernel(const __grid_constant__ ColumnParams p) {
  const int k = static_cast<int>(blockIdx.y) * 128 + static_cast<int>(threadIdx.x);
  if (k >= p.width) return;
  const std::int64_t pitch = std::int64_t(p.tiles) * kColumns;
  Segment* const joined = p.joined + std::int64_t(blockIdx.x) * p.segments * pitch + k;
  Affine<double> down{1, 0}, up{1, 0};
  for (int i = 0; i < p.segments; ++i) {
    down = joined[i * pitch].down.after(down);
    up = joined[(p.segments - 1 - i) * pitch].up.after(up);
  }
  const double whole = down.factor, period = 1 / (1 - whole * whole);
  double above = fma(whole, down.value, up.value) * period;
  double below = fma(whole, up.value, down.value) * period;
  for (int i = 0; i < p.segments; ++i) {
    Affine<double>& its = joined[i * pitch].down;
    Affine<double>& theirs = joined[(p.segments - 1 - i) * pitch].up;
    const double after = its.of(above), before = theirs.of(below);
    its.value = above;
    theirs.value = below;
    above = after;
    below = before;
  }
}

constexpr int kMeanThreads = 256;

struct MeanParams {
  const double* sums;  // [planes, parts], of base or rhs; null: the mean is zero
  float* spectrum;
  std::int64_t plane;  // values of a plane of the spectrum
  int height, width, parts;
  double divisor;  // of the mean that the sums tell
  bool singular;   // column 0 is not solved yet
};

// Lifts column 0 to the known mean of the answer, which b tells badly where the weight is small.
// Where it is zero, solves -X[y-1] + 2 X[y] - X[y+1] = B[y] before.
__global__ void __launch_bounds__(kMeanThreads)
    gaussian_poisson_direct_mean_kernel(const __grid_constant__ MeanParams p) {
  __shared__ double flux_of[kMeanThreads], x_of[kMeanThreads], sum_of[kMeanThreads];
  __shared__ double scratch[kMeanThreads / 32];
  const int plane = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  float* const column = p.spectrum + plane * p.plane;
  const int rows = (p.height + kMeanThreads - 1) / kMeanThreads;
  const int y0 = smaller(thread * rows, p.height), y1 = smaller(y0 + rows, p.height);
  const double scale = p.singular ? 1 / (2.0 * p.width) : 0;
  // X falls by the flux from each row to the next one, and the flux grows by B. With nothing from
  // above: the flux, how much X falls, and the sum of X over these rows.
  double flux = 0, x = 0, sum = 0;
  for (int y = y0; y < y1; ++y) {
    const double value = column[std::int64_t(y) * kColumns];
    sum += p.singular ? x : value;
    flux += value * scale;
    x -= flux;
  }
  flux_of[thread] = flux;
  x_of[thread] = x;
  sum_of[thread] = sum;
  double total = 0;
  if (p.sums != nullptr) {
    for (int i = thread; i < p.parts; i += kMeanThreads) {
      total += p.sums[std::int64_t(plane) * p.parts + i];
    }
  }
  // Its barrier shows thread 0 what the others have found.
  total = device::block_reduce<kMeanThreads>(total, device::Sum(), scratch);
  if (thread == 0) {
    double all = 0;
    flux = x = 0;
    for (int t = 0; t < kMeanThreads; ++t) {
      const int a = smaller(t * rows, p.height), n = smaller(a + rows, p.height) - a;
      const double f = flux_of[t], fall = x_of[t], its = sum_of[t];
      flux_of[t] = flux;
      x_of[t] = x;
      all += its + n * x - flux * n * (n - 1) * 0.5;
      x += fall - n * flux;
      flux += f;
    }
    const double mean = total / (static_cast<double>(p.width) * p.height) / p.divisor;
    scratch[0] = mean - all / p.height;
  }
  HM_SYNC();
  const double lift = scratch[0];
  flux = flux_of[thread];
  x = x_of[thread];
  for (int y = y0; y < y1; ++y) {
    float& value = column[std::int64_t(y) * kColumns];
    flux += value * scale;
    value = static_cast<float>((p.singular ? x : value) + lift);
    x -= flux;
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
