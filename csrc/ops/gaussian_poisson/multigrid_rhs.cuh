// Kernels for the right-hand side of the finest grid and of the next ones.
#pragma once

#include "ops/gaussian_poisson/multigrid_levels.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

struct RhsParams : MultigridImages, Workspace {
  Level finest, coarse;  // coarse.rhs: sums of b over 2 x 2 pixels; null where there is one grid
  float weight;
  int channels, group, groups, per_image;
};

// Forms b, one tile and up to four channels per block. The images are read once and in their own
// order; b is written plane by plane.
__global__ void __launch_bounds__(kTileThreads, 4)
    gaussian_poisson_multigrid_rhs_kernel(RhsParams p) {
  const int height = p.finest.y.count, width = p.finest.x.count;
  constexpr int kRows = kTileHeight + 2, kColumns = kTileWidth + 2, kWarps = kTileThreads / 32;
  constexpr int kPlane = kRows * kColumns;
  constexpr int kEach = kTileHeight * kTileWidth / kTileThreads;
  static_assert(kEach == 4 && kTileHeight == 16);
  HM_DYN_SMEM(float, shared);
  __shared__ double sums[kTileChannels][kWarps];
  __shared__ int sizes[kTileChannels][kWarps];
  const int image = blockIdx.z / p.groups, c0 = blockIdx.z % p.groups * p.group;
  const int group = smaller(p.group, p.channels - c0);
  float* mask = shared;
  float* src = mask + kPlane;
  float* dst = src + p.group * kPlane;
  float* base = dst + p.group * kPlane;
  const int x0 = blockIdx.x * kTileWidth;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const bool formed = p.rhs.data == nullptr;
  if (blockIdx.x == 0 && blockIdx.y == 0 && c0 == 0) {
    for (int i = threadIdx.x; i < p.per_image; i += kTileThreads) {
      p.norms[std::int64_t(image) * p.per_image + i] = {};
    }
    if (threadIdx.x == 0) p.images[image] = {};
  }
  const int y0 = blockIdx.y * kTileHeight;
  for (int row = warp; row < kRows; row += kWarps) {
    const int y = smaller(larger(y0 + row - 1, 0), height - 1);
    if (formed) {
      for (int column = lane; column < kColumns; column += 32) {
        const int x = smaller(larger(x0 + column - 1, 0), width - 1);
        mask[row * kColumns + column] = device::load_mask(p.mask, image, y, x);
      }
    }
    for (int e = lane; e < kColumns * group; e += 32) {
      const int column = group == 3 ? e / 3 : group == 4 ? e / 4 : group == 2 ? e / 2 : e;
      const int c = e - column * group;
      const int x = smaller(larger(x0 + column - 1, 0), width - 1);
      const int at = c * kPlane + row * kColumns + column;
      if (formed) {
        src[at] = device::load_value(p.src, image, y, x, c0 + c);
        dst[at] = device::load_value(p.dst, image, y, x, c0 + c);
      }
      if (row > 0 && row <= kTileHeight && column > 0 && column <= kTileWidth) {
        base[at] = formed ? device::load_value(p.base, image, y, x, c0 + c)
                          : device::load_value(p.rhs, image, y, x, c0 + c);
      }
    }
  }
  HM_SYNC();
  for (int c = 0; c < group; ++c) {
    const std::int64_t plane = image * std::int64_t(p.channels) + c0 + c;
    float* const b_plane = p.finest.rhs + plane * p.finest.plane;
    float* const coarse_plane = p.coarse.rhs + plane * p.coarse.plane;
    float sum = 0, above = 0;
    int size = 0;
    const int column = threadIdx.x % kTileWidth + 1, x = x0 + column - 1;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      // Threads take pairs of rows.
      const int row = 2 * (threadIdx.x / kTileWidth) + i % 2 + i / 2 * (kTileHeight / 2) + 1;
      const int y = y0 + row - 1;
      float b = 0;
      if (y < height && x < width) {
        const int m = row * kColumns + column, at = c * kPlane + m;
        b = base[at];
        sum += b;
        size = larger(size, magnitude_bits(b));
        if (formed) {
          const float s = src[at], d = dst[at];
          // Returns the wanted difference from the neighbour at `step` to this pixel.
          auto difference = [&](int step) {
            const float a = 0.5f * (mask[m] + mask[m + step]);
            const float dd = d - dst[at + step];
            return fmaf(a, (s - src[at + step]) - dd, dd);
          };
          size = larger(size, larger(magnitude_bits(s), magnitude_bits(d)));
          b = (difference(-1) + difference(1)) + (difference(-kColumns) + difference(kColumns)) +
              p.weight * b;
        }
        b_plane[std::int64_t(y) * p.finest.pitch + x] = b;
      }
      if (i % 2 == 0) {
        above = b;
        continue;
      }
      const float pair = above + b;
      const float both = pair + __shfl_down_sync(0xffffffffu, pair, 1);
      // No cell of the finest grid is narrower than the others, so an odd last one stays alone.
      if (p.coarse.rhs && x % 2 == 0 && y - 1 < height && x < width) {
        coarse_plane[std::int64_t(y / 2) * p.coarse.pitch + x / 2] = both;
      }
    }
    const double total = device::warp_reduce(static_cast<double>(sum), device::Sum());
    size = device::warp_reduce(size, device::Max());
    if (lane == 0) {
      sums[c][warp] = total;
      sizes[c][warp] = size;
    }
  }
  HM_SYNC();
  if (static_cast<int>(threadIdx.x) < group) {
    const int c = threadIdx.x;
    double sum = 0;
    int size = 0;
    for (int i = 0; i < kWarps; ++i) {
      sum += sums[c][i];
      size = larger(size, sizes[c][i]);
    }
    const std::int64_t at = (image * std::int64_t(p.channels) + c0 + c) * gridDim.x * gridDim.y +
                            std::int64_t(blockIdx.y) * gridDim.x + blockIdx.x;
    p.sums[at] = sum;
    p.sizes[at] = size;
  }
}

struct RestrictParams {
  Level fine, coarse, coarser;
  bool two;  // whether the right-hand side of `coarser` is formed as well
  int planes;
};

// Computes the right-hand side on the next two grids: the sums over the cells that each cell owns.
__global__ void __launch_bounds__(256)
    gaussian_poisson_multigrid_restrict_kernel(RestrictParams p) {
  const GridAxis &fine_y = p.fine.y, &fine_x = p.fine.x;
  const int rows = p.two ? p.coarse.y.coarse_count : fine_y.coarse_count;
  const int columns = p.two ? p.coarse.x.coarse_count : fine_x.coarse_count;
  const std::int64_t index = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= std::int64_t(rows) * columns * p.planes) return;
  const int column = static_cast<int>(index % columns);
  const std::int64_t rest = index / columns;
  const int row = static_cast<int>(rest % rows);
  const std::int64_t plane = rest / rows;
  const float* fine = p.fine.rhs + plane * p.fine.plane;
  float* coarse = p.coarse.rhs + plane * p.coarse.plane;
  const int i0 = p.two ? 2 * row : row, j0 = p.two ? 2 * column : column;
  const int i1 = p.two ? owned_end(p.coarse.y, row) : row + 1;
  const int j1 = p.two ? owned_end(p.coarse.x, column) : column + 1;
  float total = 0;
  for (int i = i0; i < i1; ++i) {
    for (int j = j0; j < j1; ++j) {
      float sum = 0;
      for (int y = 2 * i; y < owned_end(fine_y, i); ++y) {
        for (int x = 2 * j; x < owned_end(fine_x, j); ++x) {
          sum += fine[std::int64_t(y) * p.fine.pitch + x];
        }
      }
      coarse[std::int64_t(i) * p.coarse.pitch + j] = sum;
      total += sum;
    }
  }
  if (p.two) {
    const std::int64_t at = std::int64_t(row) * p.coarser.pitch + column;
    p.coarser.rhs[plane * p.coarser.plane + at] = total;
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
