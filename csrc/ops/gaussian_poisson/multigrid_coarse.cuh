// Kernels for all small grids: one block per plane visits them in shared memory.
#pragma once

#include "ops/gaussian_poisson/multigrid_levels.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

constexpr int kMaxCoarse = 14;

struct CoarseParams : Workspace {
  int levels, cells;  // grids in shared memory, and all their cells
  int offset[kMaxCoarse];
  GridAxis y[kMaxCoarse], x[kMaxCoarse];
  // The last grid's A^-1 is V diag(inverse) V^T; V is the product of both axes' vectors.
  float vectors_y[kDirect * kDirect], vectors_x[kDirect * kDirect], inverse[kDirect * kDirect];
  Level top;
  int channels;
  bool full;   // solves for the image's right-hand side by full multigrid; else one cycle
  bool alone;  // there is no larger grid
  float gain;
  Cycle cycle;
};

struct CoarseGrid {
  const GridAxis &y, &x;
  float *solution, *rhs;
};

__device__ __forceinline__ int cells_of(const CoarseGrid& g) { return g.y.count * g.x.count; }

__device__ __forceinline__ float coarse_diagonal(const CoarseGrid& g, float gain, int y, int x) {
  const float height = width_of(g.y, y), width = width_of(g.x, x);
  return (link_of(g.y, y) + link_of(g.y, y + 1)) * width +
         height * (link_of(g.x, x) + link_of(g.x, x + 1)) + gain * height * width;
}

__device__ __forceinline__ float coarse_residual(const CoarseGrid& g, float gain, const float* u,
                                                 int y, int x) {
  const int n = g.x.count, i = y * n + x;
  const float height = width_of(g.y, y), width = width_of(g.x, x), v = u[i];
  // A link beyond the border is zero, whatever it leads to.
  const float vertical = link_of(g.y, y) * (v - u[y > 0 ? i - n : i]) +
                         link_of(g.y, y + 1) * (v - u[y + 1 < g.y.count ? i + n : i]) +
                         gain * height * v;
  const float horizontal = link_of(g.x, x) * (v - u[x > 0 ? i - 1 : i]) +
                           link_of(g.x, x + 1) * (v - u[x + 1 < n ? i + 1 : i]);
  return g.rhs[i] - (width * vertical + height * horizontal);
}

__device__ __forceinline__ float coarse_interpolated(const CoarseGrid& g, const float* coarse,
                                                     int y, int x) {
  const int i = owner_of(g.y, y), j = owner_of(g.x, x), n = g.x.coarse_count;
  int other_i, other_j;
  const float share_i = share_of(g.y, y, i, other_i), share_j = share_of(g.x, x, j, other_j);
  const float near = fmaf(share_i, coarse[other_i * n + j] - coarse[i * n + j], coarse[i * n + j]);
  const float far = fmaf(share_i, coarse[other_i * n + other_j] - coarse[i * n + other_j],
                         coarse[i * n + other_j]);
  return fmaf(share_j, far - near, near);
}

// Forms the next grid's right-hand side from the residual, or where u is null from this grid's.
__device__ __forceinline__ void coarse_restrict(const CoarseGrid& g, float gain, const float* u,
                                                float* to) {
  const int n = g.x.coarse_count, count = g.y.coarse_count * n;
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    const int row = i / n, column = i % n;
    float sum = 0;
    for (int y = 2 * row; y < owned_end(g.y, row); ++y) {
      for (int x = 2 * column; x < owned_end(g.x, column); ++x) {
        sum += u ? coarse_residual(g, gain, u, y, x) : g.rhs[y * g.x.count + x];
      }
    }
    to[i] = sum;
  }
}

// Does both steps of the smoother; `other` is scratch. Ends with a barrier.
__device__ __forceinline__ void coarse_smooth(const CoarseGrid& g, float gain, bool from_zero,
                                              float* other) {
  const int n = g.x.count, count = cells_of(g);
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    const int y = i / n, x = i % n;
    const float d = kGain1 * reciprocal(coarse_diagonal(g, gain, y, x));
    other[i] = from_zero ? d * g.rhs[i]
                         : fmaf(d, coarse_residual(g, gain, g.solution, y, x), g.solution[i]);
  }
  HM_SYNC();
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    const int y = i / n, x = i % n;
    const float step = other[i] - (from_zero ? 0.0f : g.solution[i]);
    const float d = kGain2 * reciprocal(coarse_diagonal(g, gain, y, x));
    g.solution[i] = other[i] + fmaf(kMomentum2, step, d * coarse_residual(g, gain, other, y, x));
  }
  HM_SYNC();
}

// Solves the last grid directly. Ends with a barrier.
__device__ __forceinline__ void coarse_solve(const CoarseGrid& g, const float* tables,
                                             float* scratch) {
  const int h = g.y.count, w = g.x.count, i = threadIdx.x;
  const float* vy = tables;
  const float* vx = vy + kDirect * kDirect;
  const float* inverse = vx + kDirect * kDirect;
  const bool works = i < h * w;
  const int y = i / w, x = i % w;
  float* other = scratch + kDirect * kDirect;
  HM_SYNC();
  if (works) {
    float v = 0;
    for (int k = 0; k < h; ++k) v = fmaf(vy[k * kDirect + y], g.rhs[k * w + x], v);
    scratch[i] = v;
  }
  HM_SYNC();
  if (works) {
    float v = 0;
    for (int k = 0; k < w; ++k) v = fmaf(vx[k * kDirect + x], scratch[y * w + k], v);
    other[i] = v * inverse[y * kDirect + x];
  }
  HM_SYNC();
  if (works) {
    float v = 0;
    for (int k = 0; k < h; ++k) v = fmaf(vy[y * kDirect + k], other[k * w + x], v);
    scratch[i] = v;
  }
  HM_SYNC();
  if (works) {
    float v = 0;
    for (int k = 0; k < w; ++k) v = fmaf(vx[x * kDirect + k], scratch[y * w + k], v);
    g.solution[i] = v;
  }
  HM_SYNC();
}

__global__ void __launch_bounds__(kCoarseThreads, 2)
    gaussian_poisson_multigrid_coarse_kernel(const CoarseParams p) {
  HM_DYN_SMEM(float, shared);
  __shared__ float tables[3 * kDirect * kDirect];
  const int plane = blockIdx.x, image = plane / p.channels;
  if (image_is_done(p.cycle, image)) return;
  float* const solutions = shared;
  float* const sides = solutions + p.cells;
  float* const other = sides + p.cells;
  auto grid = [&](int l) {
    return CoarseGrid{p.y[l], p.x[l], solutions + p.offset[l], sides + p.offset[l]};
  };
  const int last = p.levels - 1, n = p.x[0].count, count = p.y[0].count * n;
  for (int i = threadIdx.x; i < 3 * kDirect * kDirect; i += kCoarseThreads) {
    const int table = i / (kDirect * kDirect), k = i % (kDirect * kDirect);
    tables[i] = table == 0 ? p.vectors_y[k] : table == 1 ? p.vectors_x[k] : p.inverse[k];
  }
  const float* rhs = p.top.rhs + plane * p.top.plane;
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    sides[i] = rhs[std::int64_t(i / n) * p.top.pitch + i % n];
  }
  int top = 0;  // the grid where the current cycle starts
  if (p.full) {
    for (int l = 0; l < last; ++l) {
      HM_SYNC();
      coarse_restrict(grid(l), p.gain, nullptr, grid(l + 1).rhs);
    }
    top = last;
  }
  for (;; --top) {
    // Goes down to the coarsest grid and up again, from zero or from what the coarser one holds.
    for (int l = top; l < last; ++l) {
      const CoarseGrid g = grid(l);
      if (p.full && l == top) {
        const float* coarse = grid(l + 1).solution;
        const int w = g.x.count, cells = cells_of(g);
        for (int i = threadIdx.x; i < cells; i += kCoarseThreads) {
          g.solution[i] = coarse_interpolated(g, coarse, i / w, i % w);
        }
        HM_SYNC();
      }
      coarse_smooth(g, p.gain, !(p.full && l == top), other);
      coarse_restrict(g, p.gain, g.solution, grid(l + 1).rhs);
    }
    coarse_solve(grid(last), tables, other);
    for (int l = last - 1; l >= top; --l) {
      const CoarseGrid g = grid(l);
      const float* coarse = grid(l + 1).solution;
      const int w = g.x.count, cells = cells_of(g);
      for (int i = threadIdx.x; i < cells; i += kCoarseThreads) {
        g.solution[i] += coarse_interpolated(g, coarse, i / w, i % w);
      }
      HM_SYNC();
      coarse_smooth(g, p.gain, false, other);
    }
    if (top == 0) break;
  }
  float* to = p.top.solution + plane * p.top.plane;
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    to[std::int64_t(i / n) * p.top.pitch + i % n] = solutions[i];
  }
  if (p.full) {
    int size = 0;
    for (int i = threadIdx.x; i < p.blocks; i += kCoarseThreads) {
      size = larger(size, p.sizes[std::int64_t(plane) * p.blocks + i]);
    }
    size = device::warp_reduce(size, device::Max());
    if (threadIdx.x % 32 == 0) atomicMax(&p.images[image].size, size);
    if (p.alone && threadIdx.x == 0) {
      double sum = 0;
      for (int i = 0; i < count; ++i) sum += solutions[i];
      p.answer_sums[plane] = sum;
    }
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
