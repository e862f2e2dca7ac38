// A level of the hierarchy as kernels see it: tiles in shared memory, stencils, transfers.
#pragma once

#include "device/async_copy.h"
#include "device/pack.h"
#include "ops/poisson/poisson_cuda.h"

namespace pyharmony::poisson {

// A tile has a halo of kHalo columns on either side. A thread has quads, four columns each, one in
// every kThreadRows-th row.
constexpr int kHalo = 4, kQuad = 4;
constexpr int kPitch = kTileWidth + 2 * kHalo;
constexpr int kThreadRows = 16;
constexpr int kTileThreads = kPitch / kQuad * kThreadRows;
static_assert(kTileThreads % 32 == 0 && kTileWidth % kQuad == 0 && kHalo % kQuad == 0);
static_assert((kTileHeight + 2 * kHalo) % kThreadRows == 0 && kTileHeight % 2 == 0);

using Quad = device::Pack<float, kQuad>;

__device__ __forceinline__ Quad load_quad(const float* at) {
  return device::load_pack<float, kQuad>(at, 0);
}
__device__ __forceinline__ void store_quad(float* at, const Quad& quad) {
  device::store_pack<float, kQuad>(at, 0, quad);
}

// Bit c of `unknowns` is set where value c of a quad is unknown.
__device__ __forceinline__ Quad at_unknowns(unsigned unknowns, const Quad& quad) {
  Quad out;
#pragma unroll
  for (int c = 0; c < kQuad; ++c) out.value[c] = (unknowns >> c) & 1 ? quad.value[c] : 0.0f;
  return out;
}

// A quad with the values before and after it.
struct WideQuad {
  float value[kQuad + 2];

  __device__ explicit WideQuad(const float* at) {
    const Quad own = load_quad(at);
    value[0] = at[-1];
#pragma unroll
    for (int c = 0; c < kQuad; ++c) value[c + 1] = own.value[c];
    value[kQuad + 1] = at[kQuad];
  }
};

// The memory of hierarchies; a plane uses that of its item.
struct Hierarchies {
  const unsigned char* data = nullptr;
  std::int64_t item_bytes = 0;  // zero: one hierarchy for all
  int channels = 1;

  __device__ const unsigned char* of_item(int item) const { return data + item * item_bytes; }
  __device__ const unsigned char* of_plane(int plane) const { return of_item(plane / channels); }
};

// The pixels of a thread where a block does a tile pixel by pixel: column x, every kRowStep-th row
// from y0 on.
constexpr int kPixelThreads = 256, kRowStep = kPixelThreads / kTileWidth;
struct TileThread {
  int item, tx, ty, x, y0;
  __device__ TileThread()
      : item(static_cast<int>(blockIdx.z)),
        tx(static_cast<int>(blockIdx.x)),
        ty(static_cast<int>(blockIdx.y)),
        x(tx * kTileWidth + static_cast<int>(threadIdx.x) % kTileWidth),
        y0(ty * kTileHeight + static_cast<int>(threadIdx.x) / kTileWidth) {}
};

// Returns the index of the block's tile among those of all planes.
__device__ __forceinline__ std::int64_t tile_index(int plane) {
  const std::int64_t tiles = static_cast<std::int64_t>(gridDim.x) * gridDim.y;
  return plane * tiles + blockIdx.y * gridDim.x + blockIdx.x;
}

__device__ __forceinline__ int tile_count(const Grid& grid, const unsigned char* memory, int tx,
                                          int ty) {
  return reinterpret_cast<const int*>(memory + grid.counts)[ty * grid.tiles_x + tx];
}

__device__ __forceinline__ const float* coefficient_plane(const Grid& grid,
                                                          const unsigned char* memory, int which) {
  return reinterpret_cast<const float*>(memory + grid.coefficients) + which * grid.plane;
}

// Returns the number of unknowns in the block's tile.
__device__ __forceinline__ int tile_count(const Grid& grid, const unsigned char* memory) {
  return tile_count(grid, memory, static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y));
}

// The constants of the finest level, where there is no Gaussian and only one weight: the outer
// neighbour of a pixel at the image's borders is the pixel itself.
struct FivePointConstants {
  float excess = 0, inverse = 0;  // 1 / the smoother's diagonal
  std::int64_t active = 0;
  int mirror_top = -1, mirror_bottom = -1, mirror_left = -1, mirror_right = -1;  // rows, columns
};

inline FivePointConstants five_point(const Plan& plan) {
  FivePointConstants k;
  const Grid& g = plan.grid[0];
  k.excess = static_cast<float>(plan.options.weight * plan.options.w0 * plan.options.w0);
  k.inverse = 0.5f / (4 + k.excess);
  k.active = plan.active;
  if (plan.mirror_top) k.mirror_top = 0;
  if (plan.mirror_left) k.mirror_left = 0;
  if (plan.mirror_bottom) k.mirror_bottom = g.height - 1;
  if (plan.mirror_right) k.mirror_right = g.width - 1;
  return k;
}

// The operator at the quads of a tile. `at` is the quad in shared memory, where unknown points have
// their value and all others zero; `local` is its offset from the tile's origin in planes, y and x
// are its row and first column in the level.
class FivePoint {
 public:
  using Constants = FivePointConstants;
  __device__ FivePoint(const Grid&, const Constants& constants, const unsigned char* memory,
                       std::int64_t origin)
      : k_(constants), active_(memory + constants.active + origin) {}

  __device__ unsigned unknowns(int local) const {
    // The product has byte c, which is 0 or 1, at bit 24 + c, and nothing else there or above.
    return *reinterpret_cast<const unsigned*>(active_ + local) * 0x01020408u >> 24;
  }
  // Returns zero where nothing is unknown.
  __device__ Quad inverse(int, unsigned unknowns) const {
    const Quad all = {{k_.inverse, k_.inverse, k_.inverse, k_.inverse}};
    return at_unknowns(unknowns, all);
  }
  __device__ Quad apply(const float* at, int, int y, int x) const {
    return with_neighbours(at, y, x, [&](float v, float up, float down, float left, float right) {
      return (4.0f + k_.excess) * v - ((up + down) + (left + right));
    });
  }
  // Computes A x for the residual that conjugate gradients carry. Its differences are exact, so
  // that small weights are not lost beside the diagonal.
  __device__ Quad exact(const float* at, int, int y, int x) const {
    return with_neighbours(at, y, x, [&](float v, float up, float down, float left, float right) {
      return k_.excess * v + (((v - up) + (v - down)) + ((v - left) + (v - right)));
    });
  }

 private:
  // Calls fn for each value of a quad; the outer neighbour at the image's border is the value.
  template <typename Fn>
  __device__ Quad with_neighbours(const float* at, int y, int x, Fn&& fn) const {
    const WideQuad row(at);
    const Quad up = load_quad(at + (y == k_.mirror_top ? 0 : -kPitch));
    const Quad down = load_quad(at + (y == k_.mirror_bottom ? 0 : kPitch));
    Quad out;
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      const float v = row.value[c + 1];
      const float left = c == 0 && x == k_.mirror_left ? v : row.value[c];
      const float right = x + c == k_.mirror_right ? v : row.value[c + 2];
      out.value[c] = fn(v, up.value[c], down.value[c], left, right);
    }
    return out;
  }

  const Constants& k_;
  const unsigned char* active_;
};

struct NinePointConstants {};

// The operator of a level with stored coefficients.
class NinePoint {
 public:
  using Constants = NinePointConstants;
  __device__ NinePoint(const Grid& grid, const Constants&, const unsigned char* memory,
                       std::int64_t origin)
      : sw_(coefficient_plane(grid, memory, kSW) + origin),
        plane_(grid.plane),
        pitch_(grid.pitch) {}
  __device__ NinePoint(const float* coefficients, int plane, int pitch)
      : sw_(coefficients), plane_(plane), pitch_(pitch) {}

  __device__ unsigned unknowns(int local) const {
    const Quad own = inverse(local, 0);
    unsigned bits = 0;
    // The comparison is not shifted itself: with -fsanitize=shift,bounds g++ 12 makes wrong bits.
#pragma unroll
    for (int c = 0; c < kQuad; ++c) bits |= own.value[c] != 0 ? 1u << c : 0u;
    return bits;
  }
  __device__ Quad inverse(int local, unsigned) const {
    return load_quad(sw_ + kInverse * plane_ + local);
  }
  // The rows at `at` are `row` apart.
  __device__ Quad apply(const float* at, int local, int, int, int row = kPitch) const {
    Quad out = own_row(at, local, [](float, float beside) { return beside; });
    const Quad c = load_quad(sw_ + kC * plane_ + local), own = load_quad(at);
#pragma unroll
    for (int k = 0; k < kQuad; ++k) out.value[k] += c.value[k] * own.value[k];
    return add_rows(out, at, row, local, [](float, float beside) { return beside; });
  }
  __device__ Quad exact(const float* at, int local, int, int) const {
    auto difference = [](float v, float beside) { return beside - v; };
    Quad out = own_row(at, local, difference);
    out = add_rows(out, at, kPitch, local, difference);
    const Quad sum = load_quad(sw_ + kRowSum * plane_ + local), own = load_quad(at);
#pragma unroll
    for (int k = 0; k < kQuad; ++k) out.value[k] += sum.value[k] * own.value[k];
    return out;
  }

 private:
  // Returns the sum over the neighbours left and right of link x value(own value, neighbour).
  template <typename Value>
  __device__ Quad own_row(const float* at, int local, Value&& value) const {
    const float* e = sw_ + kE * plane_ + local;
    const WideQuad row(at);
    const Quad east = load_quad(e);
    Quad out;
#pragma unroll
    for (int k = 0; k < kQuad; ++k) {
      const float v = row.value[k + 1], west = k == 0 ? e[-1] : east.value[k - 1];
      out.value[k] = east.value[k] * value(v, row.value[k + 2]) + west * value(v, row.value[k]);
    }
    return out;
  }
  // Adds the same over the neighbours in the rows below and above.
  template <typename Value>
  __device__ Quad add_rows(Quad out, const float* at, int row, int local, Value&& value) const {
    const float* sw = sw_ + local;
    const float* se = sw + plane_;
    const float* s = se + plane_;
    const Quad own = load_quad(at);
    const WideQuad under(at + row), over(at - row);
    const Quad under_sw = load_quad(sw), under_se = load_quad(se), under_s = load_quad(s);
    const Quad over_s = load_quad(s - pitch_);
    const WideQuad over_se(se - pitch_), over_sw(sw - pitch_);
#pragma unroll
    for (int k = 0; k < kQuad; ++k) {
      const float v = own.value[k];
      const float below = under_s.value[k] * value(v, under.value[k + 1]) +
                          under_se.value[k] * value(v, under.value[k + 2]) +
                          under_sw.value[k] * value(v, under.value[k]);
      const float above = over_s.value[k] * value(v, over.value[k + 1]) +
                          over_se.value[k] * value(v, over.value[k]) +
                          over_sw.value[k + 2] * value(v, over.value[k + 2]);
      out.value[k] += below + above;
    }
    return out;
  }

  const float* sw_;
  const std::int64_t plane_;
  const int pitch_;
};

// The same with the coefficients of a tile in shared memory, in rows of kPitch. All copies are
// under way at once, where reads in each stage would wait for memory one after the other.
class StagedNinePoint : public NinePoint {
 public:
  // A thread copies its own quads. Those of others are there after the next barrier.
  template <typename View>
  __device__ StagedNinePoint(const Grid& grid, const unsigned char* memory, const View& v,
                             float* shared)
      : NinePoint(shared, View::kRows * kPitch, kPitch) {
    const float* first = coefficient_plane(grid, memory, kSW);
#pragma unroll
    for (int k = 0; k < View::kQuads; ++k) {
      if (!v.rows(k, 0, View::kRows - 1)) continue;
      const bool there = v.in_level(k);
      const float* from = first + (there ? v.origin + v.local(k) : 0);
#pragma unroll
      for (int which = 0; which <= kInverse; ++which) {
        device::async_copy_or_zero<16>(shared + which * View::kRows * kPitch + v.at(k),
                                       from + which * grid.plane, there);
      }
    }
    device::async_commit();
    device::async_wait<0>();
  }
};

// Returns P x at a quad of column x from three coarse values above and below; `merged` is the
// column that copies the one before.
__device__ __forceinline__ Quad prolong_quad(const float (&above)[3], const float (&below)[3],
                                             int x, int merged) {
  float v[3];
#pragma unroll
  for (int k = 0; k < 3; ++k) v[k] = 0.5f * (above[k] + below[k]);
  Quad out;
  out.value[0] = v[0];
  out.value[1] = x + 1 == merged ? v[0] : 0.5f * (v[0] + v[1]);
  out.value[2] = v[1];
  out.value[3] = x + 3 == merged ? v[1] : 0.5f * (v[1] + v[2]);
  return out;
}

// Returns the values of P x at quads of the block's tile, read from a plane of the coarse level
// that is zero where nothing is unknown.
class Prolongation {
 public:
  __device__ Prolongation(const Grid& fine, const Grid& coarse, const float* x)
      : x_(x + static_cast<std::int64_t>(blockIdx.y) * (kTileHeight / 2) * coarse.pitch +
           static_cast<int>(blockIdx.x) * (kTileWidth / 2)),
        y0_(static_cast<int>(blockIdx.y) * kTileHeight),
        x0_(static_cast<int>(blockIdx.x) * kTileWidth),
        pitch_(coarse.pitch),
        last_row_(2 * coarse.height - 1),
        merged_row_(fine.merge_bottom ? fine.height - 1 : -1),
        merged_col_(fine.merge_right ? fine.width - 1 : -1) {}

  struct Rows {
    float above[3] = {}, below[3] = {};
  };

  // y and x are the row and first column of a quad in the fine level.
  __device__ Quad operator()(int y, int x) const { return between(rows(y, x), x); }
  __device__ Rows rows(int y, int x) const {
    const float* at = x_ + (((y - y0_) >> 1) * pitch_ + ((x - x0_) >> 1));
    const bool between = (y & 1) && y != merged_row_;
    Rows rows;
    load(at, rows.above);
    // On a coarse row the mean is that of a value with itself.
    if (!between || y != last_row_) load(at + (between ? pitch_ : 0), rows.below);
    return rows;
  }
  __device__ Quad between(const Rows& rows, int x) const {
    return prolong_quad(rows.above, rows.below, x, merged_col_);
  }

 private:
  __device__ static void load(const float* at, float (&v)[3]) {
    const auto two = device::load_pack<float, 2>(at, 0);
    v[0] = two.value[0];
    v[1] = two.value[1];
    v[2] = at[2];
  }

  const float* x_;
  const int y0_, x0_, pitch_, last_row_;
  const int merged_row_, merged_col_;  // copies of the row and the column before
};

// Returns P^T r at a coarse node from the fine values around `at`, which are zero where nothing is
// unknown; `bottom` and `right` say that the lower and right neighbours are merged into the node.
__device__ __forceinline__ float restrict_at(const float* at, int pitch, bool bottom, bool right) {
  const float under = bottom ? 1.0f : 0.5f, beside = right ? 1.0f : 0.5f;
  const float left = at[-1] + 0.5f * at[-pitch - 1] + under * at[pitch - 1];
  const float middle = at[0] + 0.5f * at[-pitch] + under * at[pitch];
  const float after = at[1] + 0.5f * at[-pitch + 1] + under * at[pitch + 1];
  return middle + (0.5f * left + beside * after);
}

inline dim3 tile_grid(const Grid& grid, int planes) {
  return dim3(static_cast<unsigned>(grid.tiles_x), static_cast<unsigned>(grid.tiles_y),
              static_cast<unsigned>(planes));
}

inline int device_planes(int count, int channels) {
  const std::int64_t planes = static_cast<std::int64_t>(count) * channels;
  HM_CHECK(planes <= 65535, "images: ", count, " of ", channels,
           " channels, expected at most 65535 planes");
  return static_cast<int>(planes);
}

}  // namespace pyharmony::poisson
