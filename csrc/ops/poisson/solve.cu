// Conjugate gradients with one V-cycle as preconditioner, as in solve.cpp.
#include <algorithm>
#include <atomic>
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
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ < 900 || __CUDA_ARCH__ >= 1200)
constexpr int kStagedBlocks = 1;  // shared memory has no room for a second one
#else
constexpr int kStagedBlocks = 2;
#endif
template <typename Op>
constexpr int kTileBlocks = std::is_same_v<Op, FivePoint>   ? 3
                            : std::is_same_v<Op, NinePoint> ? 2
                                                            : kStagedBlocks;
// Tiles of few blocks: what a block waits for is their time.
template <typename Op>
constexpr bool kStaged = std::is_same_v<Op, StagedNinePoint>;

// The quads of a thread of a tile kernel: four columns of every kThreadRows-th row of the tile and
// of its halo, beginning kAbove rows above the tile. Threads have neighbouring quads of shared
// memory.
template <int kAbove>
struct TileView {
  static constexpr int kRows = kTileHeight + 2 * kAbove;  // in shared memory
  static constexpr int kQuads = (kRows + kThreadRows - 1) / kThreadRows;
  static constexpr int kFirstRow = kAbove, kLastRow = kAbove + kTileHeight - 1;  // the tile's own

  int row0, x, y0, pitch, height;
  std::int64_t origin;  // offset of the first row and column in planes of the level
  int column;
  bool inside;  // whether the columns are in the level
  bool middle;  // whether the columns are the tile's own

  __device__ explicit TileView(const Grid& g)
      : row0(static_cast<int>(threadIdx.x) / (kPitch / kQuad)),
        y0(static_cast<int>(blockIdx.y) * kTileHeight - kAbove),
        pitch(g.pitch),
        height(g.height),
        origin(static_cast<std::int64_t>(y0) * g.pitch + static_cast<int>(blockIdx.x) * kTileWidth -
               kHalo),
        column(static_cast<int>(threadIdx.x) % (kPitch / kQuad) * kQuad) {
    x = static_cast<int>(blockIdx.x) * kTileWidth - kHalo + column;
    inside = x >= 0 && x < g.width;
    middle = column >= kHalo && column < kHalo + kTileWidth;
  }

  __device__ int row(int k) const { return row0 + k * kThreadRows; }
  __device__ int y(int k) const { return y0 + row(k); }
  __device__ int at(int k) const {  // in shared memory
    return static_cast<int>(threadIdx.x) * kQuad + k * kThreadRows * kPitch;
  }
  __device__ int local(int k) const { return row(k) * pitch + column; }  // offset from origin
  // Returns whether quad k is in rows [first, last]. Where all threads' are, the compiler knows it.
  __device__ bool rows(int k, int first, int last) const {
    const int least = k * kThreadRows, most = least + kThreadRows - 1;
    return (least >= first || row(k) >= first) && (most <= last || row(k) <= last);
  }
  // Returns whether quad k belongs to the tile without its halo.
  __device__ bool own(int k) const { return middle && rows(k, kFirstRow, kLastRow); }
  __device__ bool in_level(int k) const {
    return inside && rows(k, 0, kRows - 1) && y(k) >= 0 && y(k) < height;
  }
  // Returns where the operator has its coefficients of quad k.
  template <typename Op>
  __device__ int place(int k) const {
    return kStaged<Op> ? at(k) : local(k);
  }
  // Returns the unknowns of all quads, four bits each.
  template <typename Op>
  __device__ unsigned unknowns(const Op& op) const {
    unsigned all = 0;
#pragma unroll
    for (int k = 0; k < kQuads; ++k) {
      if (in_level(k)) all |= op.unknowns(place<Op>(k)) << (kQuad * k);
    }
    return all;
  }
};

__device__ __forceinline__ unsigned of_quad(unsigned unknowns, int k) {
  return (unknowns >> (kQuad * k)) & ((1u << kQuad) - 1);
}

// A thread keeps the residual of its quads from stage to stage in registers. With stored
// coefficients there are few to spare: where shared memory has room, it is there, and loops are not
// unrolled.
template <typename Op, typename View>
constexpr bool kInRegisters =
    std::is_same_v<Op, FivePoint> || (kStaged<Op> && View::kFirstRow == kHalo);
template <typename Op, typename View>
constexpr int kUnroll = kInRegisters<Op, View> ? 16 : 1;

template <typename Op, typename View>
class KeptQuads {
 public:
  __device__ explicit KeptQuads(float* shared)
      : shared_(shared + static_cast<int>(threadIdx.x) * kQuad) {}

  __device__ Quad get(int k) const {
    if constexpr (kInRegisters<Op, View>) {
      return own_[k];
    } else {
      return load_quad(shared_ + k * kThreadRows * kPitch);
    }
  }
  __device__ void set(int k, const Quad& quad) {
    if constexpr (kInRegisters<Op, View>) {
      own_[k] = quad;
    } else {
      store_quad(shared_ + k * kThreadRows * kPitch, quad);
    }
  }

  __device__ void load(const View& v, unsigned unknowns, const float* from) {
#pragma unroll(kStaged<Op> ? View::kQuads : kUnroll<Op, View>)
    for (int k = 0; k < View::kQuads; ++k) {
      if (of_quad(unknowns, k) != 0) set(k, load_quad(from + v.local(k)));
    }
  }

 private:
  Quad own_[kInRegisters<Op, View> ? View::kQuads : 1];
  float* shared_;
};

// Loads what a thread needs for its quads: for a staged tile all at once, else when it is used.
template <typename Op, int kQuads, typename Load>
class Ahead {
 public:
  __device__ Ahead(unsigned unknowns, const Load& load) : load_(load) {
    if constexpr (kStaged<Op>) {
#pragma unroll
      for (int k = 0; k < kQuads; ++k) {
        if (of_quad(unknowns, k) != 0) loaded_[k] = load(k);
      }
    }
  }
  __device__ auto operator()(int k) const {
    if constexpr (kStaged<Op>) {
      return loaded_[k];
    } else {
      return load_(k);
    }
  }

 private:
  const Load load_;
  std::invoke_result_t<Load, int> loaded_[kStaged<Op> ? kQuads : 1];
};
template <typename Op, typename View, typename Load>
__device__ __forceinline__ Ahead<Op, View::kQuads, Load> ahead(const View&, unsigned unknowns,
                                                               const Load& load) {
  return {unknowns, load};
}

// Shared memory of the tile kernels: rows of kPitch floats.
constexpr std::size_t kRowBytes = kPitch * sizeof(float);
template <typename Op, typename View>
constexpr int kPlanes = kInRegisters<Op, View> ? 2 : 3;
template <typename Op, typename View>
constexpr std::size_t kViewBytes =
    sizeof(Quad) + (kPlanes<Op, View> + (kStaged<Op> ? kInverse + 1 : 0)) * View::kRows * kRowBytes;
template <typename Op>
constexpr std::size_t kDownBytes = kViewBytes<Op, TileView<kHalo>>;
template <typename Op>
constexpr std::size_t kUpBytes = kViewBytes<Op, TileView<2>>;
constexpr std::size_t kDirectionBytes = TileView<1>::kRows * kRowBytes;
static_assert(kDownBytes<NinePoint> <= 48 << 10, "more needs the device's consent");

// The nine-point stencil reads one value before the rows and one behind them, whose products are
// not used: `shared`, which is before a tile's first plane, and the one that nothing is written to
// yet.
template <typename Op, typename View>
__device__ __forceinline__ void clear_margin(const View& v, float* shared, float* plane) {
  if constexpr (std::is_same_v<Op, FivePoint>) return;
  if (threadIdx.x == 0) store_quad(shared, {});
#pragma unroll
  for (int k = 0; k < View::kQuads; ++k) {
    if (v.rows(k, 0, View::kRows - 1)) store_quad(plane + v.at(k), {});
  }
}

// Returns the operator of a tile; a staged one has its coefficients behind the tile's planes in
// `s`.
template <typename Op, typename View>
__device__ __forceinline__ Op tile_operator(const Grid& grid,
                                            const typename Op::Constants& constants,
                                            const unsigned char* memory, const View& v, float* s) {
  if constexpr (kStaged<Op>) {
    return Op(grid, memory, v, s + kPlanes<Op, View> * View::kRows * kPitch);
  } else {
    return Op(grid, constants, memory, v.origin);
  }
}

// ---- one V-cycle --------------------------------------------------------------------------------

enum class DownKind : int { kPlain, kUpdate, kProlong, kStart };

// The parameters of every pass over a level; `coarse` is the next coarser level, where the pass
// needs one. A block does `together` planes of one item, one after the other, and finds once what
// they have in common.
struct LevelParams {
  Grid grid, coarse;
  Hierarchies hierarchies;
  const PlaneState* states;
  int together;
  bool early;  // reads what no solve writes before the launch before ends

  __device__ int first_plane() const { return static_cast<int>(blockIdx.z) * together; }
  __device__ const unsigned char* memory() const { return hierarchies.of_plane(first_plane()); }
  // Returns whether the block has something to do. If not early, it waits first, and blocks whose
  // planes are done read nothing else.
  __device__ bool begins() const {
    const int count = tile_count(grid, memory());
    if (!early || count == 0) HM_LAUNCH_WAIT();
    if (early || count == 0) return count > 0;
    bool done = true;
    for (int c = 0; c < together; ++c) done = done && states[first_plane() + c].done;
    return !done;
  }
};

struct DownPlanes : LevelParams {
  Planes r, r_out, p, x, z;
  Planes coarse_x;  // for kProlong, kStart
  Planes coarse_r;
};
template <typename Op>
struct DownParams : DownPlanes {
  typename Op::Constants constants;
};

// Writes the restriction of a tile's residual `t` to the coarse plane: four nodes of a row a
// thread.
__device__ __forceinline__ void restrict_tile(const LevelParams& p, const float* t,
                                              float* coarse_r) {
  constexpr int kRowQuads = kTileWidth / 2 / kQuad, kRows = kTileHeight / 2;
  static_assert(kRowQuads * kRows <= kTileThreads);
  const int row = static_cast<int>(threadIdx.x) / kRowQuads;
  const int quad = static_cast<int>(threadIdx.x) % kRowQuads;
  const int i = static_cast<int>(blockIdx.y) * kRows + row;
  const int j = static_cast<int>(blockIdx.x) * (kTileWidth / 2) + quad * kQuad;
  if (row >= kRows || i >= p.coarse.height || j >= p.coarse.width) return;
  const float under = p.grid.merge_bottom && i == p.coarse.height - 1 ? 1.0f : 0.5f;
  const int merged = p.grid.merge_right ? p.coarse.width - 1 : -1;
  const float* at = t + (kHalo + 2 * row) * kPitch + kHalo + 2 * kQuad * quad;
  float column[2 * kQuad + 1];  // sums over three rows, from the column before the first node's
  auto add = [&](const float* from, float share, bool first) {
    const WideQuad left(from);
    const Quad right = load_quad(from + kQuad);
#pragma unroll
    for (int c = 0; c <= 2 * kQuad; ++c) {
      const float v = c <= kQuad ? left.value[c] : right.value[c - kQuad - 1];
      column[c] = first ? v : column[c] + share * v;
    }
  };
  add(at, 1.0f, true);
  add(at - kPitch, 0.5f, false);
  add(at + kPitch, under, false);
  Quad out;
#pragma unroll
  for (int c = 0; c < kQuad; ++c) {
    const float beside = j + c == merged ? 1.0f : 0.5f;
    out.value[c] = column[2 * c + 1] + (0.5f * column[2 * c] + beside * column[2 * c + 2]);
  }
  store_quad(coarse_r + static_cast<std::int64_t>(i) * p.coarse.pitch + j, out);
}

// Does two smoothing steps from zero, and forms the residual they leave and its restriction.
// Before, kUpdate: x += alpha p, r -= alpha A p; kProlong: x = P coarse_x, r -= A x; kStart: the
// same on the finest level, with the differences of x, whose rounding would be part of the answer.
template <typename Op, DownKind kKind>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks<Op>)
    poisson_down_kernel(const DownParams<Op> p) {
  // The last residual is that of rows -1 .. kTileHeight - 1 of the tile; each stage before it
  // reaches a row and a column farther. Columns beyond are computed, and not used.
  using View = TileView<kHalo>;
  constexpr int kFirstRow = View::kFirstRow, kLastRow = View::kLastRow;
  HM_DYN_SMEM(float, shared);
  float* const s = shared + kQuad;
  float* const t = s + View::kRows * kPitch;

  if (!p.begins()) return;
  const View v(p.grid);
  const Op op = tile_operator<Op>(p.grid, p.constants, p.memory(), v, s);
  const unsigned unknowns = v.unknowns(op);
  KeptQuads<Op, View> r(t + View::kRows * kPitch);
  clear_margin<Op>(v, shared, kKind == DownKind::kPlain ? s : t);
  HM_LAUNCH_WAIT();

  const int first_plane = p.first_plane();
#pragma unroll 1
  for (int plane = first_plane; plane < first_plane + p.together; ++plane) {
    const PlaneState& state = p.states[plane];
    if (state.done) continue;
    const float* r_in = p.r.of(plane) + v.origin;
    if constexpr (kKind == DownKind::kPlain) {
      if (plane > first_plane) HM_SYNC();  // until then t holds the residual of the plane before
    }
    constexpr bool kFirstR = kKind == DownKind::kPlain || kStaged<Op>;
    if constexpr (kFirstR) r.load(v, unknowns, r_in);
    const Prolongation prolong(p.grid, p.coarse, p.coarse_x.of(plane));
    const auto coarse = ahead<Op>(v, kKind == DownKind::kPlain ? 0 : unknowns,
                                  [&](int k) { return prolong.rows(v.y(k), v.x); });
#pragma unroll(kStaged<Op> ? View::kQuads : 1)
    for (int k = 0; k < View::kQuads; ++k) {
      Quad value = {};
      if (of_quad(unknowns, k) != 0) {
        if constexpr (kKind == DownKind::kPlain) {
          const Quad rest = r.get(k);
          const Quad inverse = op.inverse(v.template place<Op>(k), of_quad(unknowns, k));
#pragma unroll
          for (int c = 0; c < kQuad; ++c) {
            value.value[c] = kFirst * (inverse.value[c] * rest.value[c]);
          }
        } else if constexpr (kKind == DownKind::kUpdate) {
          value = load_quad(p.p.of(plane) + v.origin + v.local(k));
        } else {
          value = at_unknowns(of_quad(unknowns, k), prolong.between(coarse(k), v.x));
        }
      }
      store_quad((kKind == DownKind::kPlain ? t : s) + v.at(k), value);
    }
    if constexpr (!kFirstR) r.load(v, unknowns, r_in);
    HM_SYNC();
    if constexpr (kKind != DownKind::kPlain) {
      float* x = p.x.of(plane) + v.origin;
      float* r_out = p.r_out.of(plane) + v.origin;
      const float alpha = kKind == DownKind::kUpdate ? state.alpha : 1.0f;
#pragma unroll(kUnroll<Op, View>)
      for (int k = 0; k < View::kQuads; ++k) {
        if (!v.rows(k, kFirstRow - 3, kLastRow + 2)) continue;
        Quad d = {};
        if (of_quad(unknowns, k) != 0) {
          const float* at = s + v.at(k);
          const int local = v.local(k);
          const Quad product = kKind == DownKind::kProlong
                                   ? op.apply(at, v.template place<Op>(k), v.y(k), v.x)
                                   : op.exact(at, v.template place<Op>(k), v.y(k), v.x);
          const Quad inverse = op.inverse(v.template place<Op>(k), of_quad(unknowns, k));
          Quad rest = r.get(k);
#pragma unroll
          for (int c = 0; c < kQuad; ++c) {
            rest.value[c] -= alpha * product.value[c];
            d.value[c] = kFirst * (inverse.value[c] * rest.value[c]);
          }
          r.set(k, rest);
          if (v.own(k)) {
            store_quad(r_out + local, rest);
            Quad own = load_quad(at);
            if constexpr (kKind == DownKind::kUpdate) {
              const Quad before = load_quad(x + local);
#pragma unroll
              for (int c = 0; c < kQuad; ++c) {
                own.value[c] = before.value[c] + alpha * own.value[c];
              }
            }
            store_quad(x + local, own);
          }
        }
        store_quad(t + v.at(k), d);
      }
      HM_SYNC();
    }
    float* z = p.z.of(plane) + v.origin;
#pragma unroll(kUnroll<Op, View>)
    for (int k = 0; k < View::kQuads; ++k) {
      if (!v.rows(k, kFirstRow - 2, kLastRow + 1)) continue;
      Quad d = {};
      if (of_quad(unknowns, k) != 0) {
        const float* at = t + v.at(k);
        const int local = v.local(k);
        const Quad product = op.apply(at, v.template place<Op>(k), v.y(k), v.x),
                   own = load_quad(at);
        const Quad inverse = op.inverse(v.template place<Op>(k), of_quad(unknowns, k));
        Quad sum, rest = r.get(k);
#pragma unroll
        for (int c = 0; c < kQuad; ++c) {
          rest.value[c] -= product.value[c];
          d.value[c] = kMomentum * own.value[c] + kSecond * (inverse.value[c] * rest.value[c]);
          sum.value[c] = own.value[c] + d.value[c];
        }
        r.set(k, rest);
        if (v.own(k)) store_quad(z + local, sum);
      }
      store_quad(s + v.at(k), d);
    }
    HM_SYNC();
#pragma unroll(kUnroll<Op, View>)
    for (int k = 0; k < View::kQuads; ++k) {
      if (!v.rows(k, kFirstRow - 1, kLastRow)) continue;
      Quad rest = {};
      if (of_quad(unknowns, k) != 0) {
        const Quad product = op.apply(s + v.at(k), v.template place<Op>(k), v.y(k), v.x);
        rest = r.get(k);
#pragma unroll
        for (int c = 0; c < kQuad; ++c) rest.value[c] -= product.value[c];
        rest = at_unknowns(of_quad(unknowns, k), rest);
      }
      store_quad(t + v.at(k), rest);
    }
    HM_SYNC();
    restrict_tile(p, t, p.coarse_r.of(plane));
  }
}

struct UpPlanes : LevelParams {
  Planes r, z, coarse_z, out;
  bool add;               // adds to `out` instead
  TilePartial* partials;  // kMeasure: r . z and the largest |z|
};
template <typename Op>
struct UpParams : UpPlanes {
  typename Op::Constants constants;
};

// Computes out = z + P coarse_z and two smoothing steps.
template <typename Op, bool kMeasure>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks<Op>)
    poisson_up_kernel(const UpParams<Op> p) {
  using View = TileView<2>;
  constexpr int kFirstRow = View::kFirstRow, kLastRow = View::kLastRow;
  HM_DYN_SMEM(float, shared);
  float* const s = shared + kQuad;
  float* const t = s + View::kRows * kPitch;

  if (!p.begins()) return;
  const View v(p.grid);
  const Op op = tile_operator<Op>(p.grid, p.constants, p.memory(), v, s);
  const unsigned unknowns = v.unknowns(op);
  KeptQuads<Op, View> r(t + View::kRows * kPitch);
  clear_margin<Op>(v, shared, t);
  HM_LAUNCH_WAIT();

  const int first_plane = p.first_plane();
#pragma unroll 1
  for (int plane = first_plane; plane < first_plane + p.together; ++plane) {
    if (p.states[plane].done) continue;
    const float* r_in = p.r.of(plane) + v.origin;
    const float* z_in = p.z.of(plane) + v.origin;
    const Prolongation prolong(p.grid, p.coarse, p.coarse_z.of(plane));
    const auto z = ahead<Op>(v, unknowns, [&](int k) { return load_quad(z_in + v.local(k)); });
    const auto coarse = ahead<Op>(v, unknowns, [&](int k) { return prolong.rows(v.y(k), v.x); });
    r.load(v, unknowns, r_in);
#pragma unroll(kStaged<Op> ? View::kQuads : 1)
    for (int k = 0; k < View::kQuads; ++k) {
      if (!v.rows(k, 0, View::kRows - 1)) continue;
      Quad value = {};
      if (of_quad(unknowns, k) != 0) {
        const Quad before = z(k);
        value = at_unknowns(of_quad(unknowns, k), prolong.between(coarse(k), v.x));
#pragma unroll
        for (int c = 0; c < kQuad; ++c) value.value[c] += before.value[c];
      }
      store_quad(s + v.at(k), value);
    }
    HM_SYNC();
#pragma unroll(kUnroll<Op, View>)
    for (int k = 0; k < View::kQuads; ++k) {
      if (!v.rows(k, kFirstRow - 1, kLastRow + 1)) continue;
      Quad d = {};
      if (of_quad(unknowns, k) != 0) {
        const Quad product = op.apply(s + v.at(k), v.template place<Op>(k), v.y(k), v.x);
        const Quad inverse = op.inverse(v.template place<Op>(k), of_quad(unknowns, k));
        Quad rest = r.get(k);
#pragma unroll
        for (int c = 0; c < kQuad; ++c) {
          rest.value[c] -= product.value[c];
          d.value[c] = kFirst * (inverse.value[c] * rest.value[c]);
        }
        r.set(k, rest);
      }
      store_quad(t + v.at(k), d);
    }
    HM_SYNC();
    float* out = p.out.of(plane) + v.origin;
    const auto old = ahead<Op>(v, unknowns, [&](int k) {
      return p.add && v.own(k) ? load_quad(out + v.local(k)) : Quad();
    });
    float dot = 0, largest = 0;
#pragma unroll(kStaged<Op> ? View::kQuads : kUnroll<Op, View>)
    for (int k = 0; k < View::kQuads; ++k) {
      if (!v.own(k) || of_quad(unknowns, k) == 0) continue;
      const int local = v.local(k);
      const Quad product = op.apply(t + v.at(k), v.template place<Op>(k), v.y(k), v.x);
      const Quad inverse = op.inverse(v.template place<Op>(k), of_quad(unknowns, k));
      const Quad sum = load_quad(s + v.at(k)), step = load_quad(t + v.at(k)), rest = r.get(k);
      Quad value;
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        value.value[c] = sum.value[c] + step.value[c] + kMomentum * step.value[c] +
                         kSecond * (inverse.value[c] * (rest.value[c] - product.value[c]));
      }
      if constexpr (kMeasure) {
        const Quad given = load_quad(r_in + local);
#pragma unroll
        for (int c = 0; c < kQuad; ++c) {
          dot += value.value[c] * given.value[c];
          largest = device::Max()(fabsf(value.value[c]), largest);
        }
      }
      if (p.add) {
        const Quad before = old(k);
#pragma unroll
        for (int c = 0; c < kQuad; ++c) value.value[c] += before.value[c];
      }
      store_quad(out + local, value);
    }
    if constexpr (kMeasure) {
      __shared__ double sums[kTileThreads / 32];
      __shared__ float maxima[kTileThreads / 32];
      const double sum =
          device::block_reduce<kTileThreads>(static_cast<double>(dot), device::Sum(), sums);
      largest = device::block_reduce<kTileThreads>(largest, device::Max(), maxima);
      if (threadIdx.x == 0) p.partials[tile_index(plane)] = {sum, largest, 0};
    }
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
__global__ void __launch_bounds__(kTileThreads, kTileBlocks<Op>)
    poisson_direction_kernel(const DirectionParams<Op> p) {
  using View = TileView<1>;
  HM_DYN_SMEM(float, s);
  __shared__ double sums[kTileThreads / 32];

  if (!p.begins()) return;
  const View v(p.grid);
  const Op op(p.grid, p.constants, p.memory(), v.origin);
  const unsigned unknowns = v.unknowns(op);
  HM_LAUNCH_WAIT();

  const int first_plane = p.first_plane();
#pragma unroll 1
  for (int plane = first_plane; plane < first_plane + p.together; ++plane) {
    const PlaneState& state = p.states[plane];
    if (state.done) continue;
    const float beta = state.beta;
    const float* z = p.z.of(plane) + v.origin;
    const float* old = p.p.of(plane) + v.origin;
    float* out = p.p_out.of(plane) + v.origin;
#pragma unroll(kUnroll<Op, View>)
    for (int k = 0; k < View::kQuads; ++k) {
      if (!v.rows(k, 0, View::kRows - 1)) continue;
      Quad value = {};
      if (of_quad(unknowns, k) != 0) {
        value = load_quad(z + v.local(k));
        if (!p.first) {
          const Quad before = load_quad(old + v.local(k));
#pragma unroll
          for (int c = 0; c < kQuad; ++c) value.value[c] += beta * before.value[c];
        }
        if (v.own(k)) store_quad(out + v.local(k), value);
      }
      store_quad(s + v.at(k), value);
    }
    HM_SYNC();
    float dot = 0;
#pragma unroll(kUnroll<Op, View>)
    for (int k = 0; k < View::kQuads; ++k) {
      if (!v.own(k) || of_quad(unknowns, k) == 0) continue;
      const Quad product = op.exact(s + v.at(k), v.local(k), v.y(k), v.x);
      const Quad own = load_quad(s + v.at(k));
#pragma unroll
      for (int c = 0; c < kQuad; ++c) dot += own.value[c] * product.value[c];
    }
    const double sum =
        device::block_reduce<kTileThreads>(static_cast<double>(dot), device::Sum(), sums);
    if (threadIdx.x == 0) p.partials[tile_index(plane)] = {sum, 0.0f, 0};
  }
}

constexpr int kClearThreads = 256, kClearBlocks = 4096;

// Makes the planes zero that prolongations read, so that they need not ask what is unknown.
__global__ void __launch_bounds__(kClearThreads)
    poisson_clear_kernel(unsigned char* planes, std::int64_t quads) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kClearThreads + threadIdx.x;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kClearThreads;
  for (std::int64_t at = first; at < quads; at += step) {
    store_quad(reinterpret_cast<float*>(planes) + kQuad * at, {});
  }
}

struct RestrictParams : LevelParams {
  std::int64_t active;  // offset on the finest level; negative on others
  Planes r, coarse_r;
};

constexpr int kRestrictThreads = 256;

__global__ void __launch_bounds__(kRestrictThreads)
    poisson_restrict_kernel(const RestrictParams p) {
  const int plane = static_cast<int>(blockIdx.z);
  const unsigned char* memory = p.hierarchies.of_plane(plane);
  const int count = tile_count(p.coarse, memory);
  HM_LAUNCH_WAIT();
  if (count == 0 || p.states[plane].done) return;
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
    if (i >= p.coarse.height || j >= p.coarse.pitch) break;
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
  Progress progress;
  int k;

  // Marks the plane as done, for the host as well.
  __device__ __forceinline__ void tell(int plane) const {
    if (threadIdx.x == 0 && progress.done != nullptr) progress.done[plane] = progress.run;
  }
};

template <int kThreads>
__device__ __forceinline__ TilePartial total(const ScalarParams& p, int plane) {
  return join_tiles<kThreads>(p, p.hierarchies.of_plane(plane), plane, device::Sum());
}

__device__ __forceinline__ bool positive(double v) { return v > 0 && v <= DBL_MAX; }

// Finds, after z = M^-1 r, beta of the next direction, and whether there is one.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) poisson_measure_kernel(const ScalarParams p) {
  HM_LAUNCH_WAIT();
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
    double diagonal = s.inverse_alphas[k] - shift;
    if (k > 0) {
      const double before = s.inverse_alphas[k - 1], link = s.betas[k] * before;
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
  HM_LAUNCH_WAIT();
  const int plane = static_cast<int>(blockIdx.x);
  PlaneState& s = p.states[plane];
  if (s.done) return p.tell(plane);
  __shared__ int good;
  const double curvature = total<kThreads>(p, plane).dot;
  if (threadIdx.x == 0) {
    good = positive(curvature);
    if (good) {
      s.inverse_alphas[p.k] = curvature / s.rz;
      s.alpha = static_cast<float>(s.rz / curvature);
      s.steps = p.k + 1;
      s.pending = p.k;
    } else {
      s.done = 1;
      p.tell(plane);
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
    p.tell(plane);
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
  auto take_level = [&](int k) { return take(plan.grid[k].plane * planes * sizeof(float)); };
  layout.zero = layout.bytes;
  for (int k = 1; k <= plan.tail; ++k) {
    layout.after[k] = take_level(k);
    layout.nested_x[k] = take_level(k);
  }
  take(2 * sizeof(float));  // A prolongation reads up to two values behind the last row.
  layout.zero_bytes = layout.bytes - layout.zero;
  for (int k = 1; k < plan.levels; ++k) {
    layout.nested_b[k] = take_level(k);
    if (k <= plan.tail) layout.b[k] = take_level(k);
    if (k < plan.tail) layout.before[k] = take_level(k);
  }
  return layout;
}

namespace {

// Makes the launches of one solve, in the order of Solver in solve.cpp.
template <typename FineOp>
class Launches {
 public:
  Launches(const Plan& plan, const SolveMemory& memory, const typename FineOp::Constants& constants,
           const Room& room, cudaStream_t stream)
      : plan_(plan), m_(memory), constants_(constants), room_(room), stream_(stream) {
    form_.early = device::has_forms(&poisson_clear_kernel);
    tail_ = tail_form(plan, memory.planes, room, form_.early);
  }

  void run(const GradientsOptions& options, Follower& follower) {
    start();
    ScalarParams scalars = {m_.sums(plan_), options, follower.begin(m_.planes), 0};
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
      HM_LAUNCH_AS(form_, (poisson_direction_kernel<FineOp>), tiles_of(direction),
                   dim3(kTileThreads), kDirectionBytes, stream_, direction);
      find_scalars(scalars, false);
      if (follower.all_done(k, stream_)) break;
    }
  }

 private:
  // Computes the scalars with a block for each plane: after z if `measures`, else after p . A p.
  template <int kThreads>
  void scalars_of(const ScalarParams& p, bool measures) {
    const dim3 planes(static_cast<unsigned>(m_.planes));
    if (measures) {
      HM_LAUNCH_AS(form_, (poisson_measure_kernel<kThreads>), planes, dim3(kThreads), 0, stream_,
                   p);
    } else {
      HM_LAUNCH_AS(form_, (poisson_step_kernel<kThreads>), planes, dim3(kThreads), 0, stream_, p);
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
    static_cast<LevelParams&>(p) = {plan_.grid[k], plan_.grid[k + 1], m_.hierarchies,
                                    m_.states(),   together(k),       false};
    p.early = form_.early && at_once(p, kDownBytes<FivePoint>);  // of few blocks
    return p;
  }
  // Returns the planes of a block: with few tiles more blocks are worth more than what they share.
  int together(int k) const {
    const Grid& g = plan_.grid[k];
    return g.tiles_x * g.tiles_y >= plan_.options.shared_tiles ? m_.hierarchies.channels : 1;
  }
  template <typename Params>
  dim3 tiles_of(const Params& p) const {
    return tile_grid(p.grid, m_.planes / p.together);
  }
  template <typename Op>
  DownParams<Op> down_params(int k, const Planes& r, const Planes& z) const {
    auto p = level_params<DownParams<Op>>(k);
    p.r = r;
    p.z = z;
    p.coarse_r = level_planes(m_.layout.b, k + 1);
    return p;
  }
  // Returns whether all blocks of a launch run at once, with so much shared memory each.
  bool at_once(const LevelParams& params, std::size_t bytes) const {
    constexpr std::size_t kReserved = 1 << 10, kMost = kTileBlocks<NinePoint>;  // of a block
    if (bytes > room_.shared_per_block) return false;
    const std::size_t each = std::min(room_.shared_per_processor / (bytes + kReserved), kMost);
    const dim3 tiles = tiles_of(params);
    return std::size_t(tiles.x) * tiles.y * tiles.z <= each * room_.processors;
  }
  template <typename Op, DownKind kKind>
  void down(const DownParams<Op>& params) {
    if constexpr (kKind == DownKind::kPlain || kKind == DownKind::kProlong) {
      constexpr std::size_t kBytes = kDownBytes<StagedNinePoint>;
      if (at_once(params, kBytes)) {
        DownParams<StagedNinePoint> same{};
        static_cast<DownPlanes&>(same) = params;
        HM_MAX_DYN_SMEM((poisson_down_kernel<StagedNinePoint, kKind>), kBytes);
        HM_LAUNCH_AS(form_, (poisson_down_kernel<StagedNinePoint, kKind>), tiles_of(params),
                     dim3(kTileThreads), kBytes, stream_, same);
        return;
      }
    }
    HM_LAUNCH_AS(form_, (poisson_down_kernel<Op, kKind>), tiles_of(params), dim3(kTileThreads),
                 kDownBytes<Op>, stream_, params);
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
    if constexpr (!kMeasure) {
      constexpr std::size_t kBytes = kUpBytes<StagedNinePoint>;
      if (at_once(params, kBytes)) {
        UpParams<StagedNinePoint> same{};
        static_cast<UpPlanes&>(same) = params;
        HM_MAX_DYN_SMEM((poisson_up_kernel<StagedNinePoint, false>), kBytes);
        HM_LAUNCH_AS(form_, (poisson_up_kernel<StagedNinePoint, false>), tiles_of(params),
                     dim3(kTileThreads), kBytes, stream_, same);
        return;
      }
    }
    HM_LAUNCH_AS(form_, (poisson_up_kernel<Op, kMeasure>), tiles_of(params), dim3(kTileThreads),
                 kUpBytes<Op>, stream_, params);
  }

  // Computes after[k] = M^-1 b[k].
  void cycle(int k) {
    if (k == tail_.first) {
      launch_poisson_tail(plan_, m_, tail_, false, level_planes(m_.layout.b, k),
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
    const std::int64_t quads = m_.layout.zero_bytes / static_cast<std::int64_t>(sizeof(Quad));
    HM_LAUNCH(poisson_clear_kernel,
              dim3(static_cast<unsigned>(std::min<std::int64_t>(
                  (quads + kClearThreads - 1) / kClearThreads, kClearBlocks))),
              dim3(kClearThreads), 0, stream_, m_.base + m_.layout.zero, quads);
    for (int k = 1; k <= tail_.first; ++k) {
      auto p = level_params<RestrictParams>(k - 1);
      p.active = k == 1 ? plan_.active : -1;
      p.r = k == 1 ? fine(kR) : level_planes(m_.layout.nested_b, k - 1);
      p.coarse_r = level_planes(m_.layout.nested_b, k);
      HM_LAUNCH_AS(form_, poisson_restrict_kernel, tile_grid(p.coarse, m_.planes),
                   dim3(kRestrictThreads), 0, stream_, p);
    }
    launch_poisson_tail(plan_, m_, tail_, true, level_planes(m_.layout.nested_b, tail_.first),
                        level_planes(m_.layout.nested_x, tail_.first), stream_);
    for (int k = tail_.first - 1; k >= 1; --k) {
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
  const Room room_;
  device::LaunchForm form_;
  TailForm tail_;
  cudaStream_t stream_;
};

}  // namespace

Progress Follower::begin(int planes) {
  static std::atomic<std::int64_t> runs{0};
  planes_ = planes;
  run_ = ++runs;
  return {done_, run_};
}

bool Follower::all_done(int iteration, cudaStream_t stream) {
  if (done_ == nullptr) return false;
  std::optional<device::Event>& event = events_[iteration % 2];
  if (!event) event.emplace();
  event->record(stream);
  if (iteration == 0) return false;
  events_[1 - iteration % 2]->synchronize();
  const volatile std::int64_t* const done = done_;  // the device writes it
  return std::all_of(done, done + planes_, [&](std::int64_t run) { return run == run_; });
}

void launch_poisson_gradients(const Plan& plan, const SolveMemory& memory,
                              const GradientsOptions& options, Follower& follower,
                              cudaStream_t stream) {
  if (plan.nine()) {
    Launches<NinePoint>(plan, memory, NinePointConstants(), options.room, stream)
        .run(options, follower);
  } else {
    Launches<FivePoint>(plan, memory, five_point(plan), options.room, stream)
        .run(options, follower);
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
