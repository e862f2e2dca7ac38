// A level of the hierarchy as kernels see it: tiles in shared memory, stencils, transfers.
#pragma once

#include "ops/poisson/poisson_cuda.h"

namespace pyharmony::poisson {

// A tile has a halo of kHalo columns on either side. A thread has one column.
constexpr int kHalo = 4;
constexpr int kPitch = kTileWidth + 2 * kHalo;
constexpr int kThreadRows = 4;
constexpr int kTileThreads = kPitch * kThreadRows;
static_assert(kTileThreads % 32 == 0);

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

// The operator at points of a tile. `at` is the point in shared memory, where unknown points have
// their value and all others zero; `local` is the point's offset from the tile's origin in planes.
class FivePoint {
 public:
  using Constants = FivePointConstants;
  __device__ FivePoint(const Grid&, const Constants& constants, const unsigned char* memory,
                       std::int64_t origin)
      : k_(constants), active_(memory + constants.active + origin) {}

  __device__ bool active(int local) const { return active_[local] != 0; }
  __device__ float inverse(int) const { return k_.inverse; }
  __device__ float apply(const float* at, int, int y, int x) const {
    return (4.0f + k_.excess) * at[0] - ((up(at, y) + down(at, y)) + (left(at, x) + right(at, x)));
  }
  // Computes A x for the residual that conjugate gradients carry. Its differences are exact, so
  // that small weights are not lost beside the diagonal.
  __device__ float exact(const float* at, int, int y, int x) const {
    const float v = at[0];
    return k_.excess * v +
           (((v - up(at, y)) + (v - down(at, y))) + ((v - left(at, x)) + (v - right(at, x))));
  }

 private:
  __device__ float up(const float* at, int y) const { return at[y == k_.mirror_top ? 0 : -kPitch]; }
  __device__ float down(const float* at, int y) const {
    return at[y == k_.mirror_bottom ? 0 : kPitch];
  }
  __device__ float left(const float* at, int x) const { return at[x == k_.mirror_left ? 0 : -1]; }
  __device__ float right(const float* at, int x) const { return at[x == k_.mirror_right ? 0 : 1]; }

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

  __device__ bool active(int local) const { return inverse(local) != 0; }
  __device__ float inverse(int local) const { return sw_[kInverse * plane_ + local]; }
  __device__ float apply(const float* at, int local, int, int) const {
    return apply_pitch(at, local, kPitch);
  }
  __device__ float apply_pitch(const float* at, int local, int pitch) const {
    const float* sw = sw_ + local;
    const float* se = sw + plane_;
    const float* s = se + plane_;
    const float* e = s + plane_;
    const float* c = e + plane_;
    const float middle = c[0] * at[0] + e[0] * at[1] + e[-1] * at[-1];
    const float below = s[0] * at[pitch] + se[0] * at[pitch + 1] + sw[0] * at[pitch - 1];
    const float above = s[-pitch_] * at[-pitch] + se[-pitch_ - 1] * at[-pitch - 1] +
                        sw[-pitch_ + 1] * at[-pitch + 1];
    return middle + (below + above);
  }
  __device__ float exact(const float* at, int local, int, int) const {
    const float* sw = sw_ + local;
    const float* se = sw + plane_;
    const float* s = se + plane_;
    const float* e = s + plane_;
    const float v = at[0];
    const float middle = e[0] * (at[1] - v) + e[-1] * (at[-1] - v);
    const float below =
        s[0] * (at[kPitch] - v) + se[0] * (at[kPitch + 1] - v) + sw[0] * (at[kPitch - 1] - v);
    const float above = s[-pitch_] * (at[-kPitch] - v) + se[-pitch_ - 1] * (at[-kPitch - 1] - v) +
                        sw[-pitch_ + 1] * (at[-kPitch + 1] - v);
    return sw_[kRowSum * plane_ + local] * v + (middle + (below + above));
  }

 private:
  const float* sw_;
  const std::int64_t plane_;
  const int pitch_;
};

// Returns the value of P x at fine (y, x), read from a plane of the coarse level.
struct Prolongation {
  const float* x = nullptr;        // the plane
  const float* inverse = nullptr;  // plane of the coarse level: zero where nothing is unknown
  int height = 0, width = 0, pitch = 0;
  int merged_row = -1, merged_col = -1;  // on the fine level: copies of the one before

  __device__ float coarse(int i, int j) const {
    if (i >= height || j >= width) return 0.0f;
    const std::int64_t at = static_cast<std::int64_t>(i) * pitch + j;
    return inverse[at] != 0 ? x[at] : 0.0f;
  }
  __device__ float operator()(int y, int x_fine) const {
    const int i = y / 2, j = x_fine / 2;
    const bool rows = (y & 1) && y != merged_row, cols = (x_fine & 1) && x_fine != merged_col;
    float v = coarse(i, j);
    if (rows) v = 0.5f * (v + coarse(i + 1, j));
    if (!cols) return v;
    float w = coarse(i, j + 1);
    if (rows) w = 0.5f * (w + coarse(i + 1, j + 1));
    return 0.5f * (v + w);
  }
};

__device__ __forceinline__ Prolongation make_prolongation(const Grid& fine, const Grid& coarse,
                                                          const unsigned char* memory,
                                                          const float* x) {
  Prolongation p;
  p.x = x;
  p.inverse = coefficient_plane(coarse, memory, kInverse);
  p.height = coarse.height;
  p.width = coarse.width;
  p.pitch = coarse.pitch;
  p.merged_row = fine.merge_bottom ? fine.height - 1 : -1;
  p.merged_col = fine.merge_right ? fine.width - 1 : -1;
  return p;
}

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
