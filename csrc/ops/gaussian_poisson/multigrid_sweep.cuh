// A sweep of a large grid does the start, two smoothing steps and the residual, a row apart each.
#pragma once

#include "ops/gaussian_poisson/multigrid_levels.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

struct SweepParams : Level {
  Level next;                // receives the residual on the way down
  const float *in, *coarse;  // the sweep starts from in + interpolate(coarse); null: zero
  float* out;
  double* sums;  // sums of the answer's values, one for each warp
  int channels;
  std::int64_t warps;
  float inverse;  // 1 / D of most rows and columns
  Operator a;
  Cycle cycle;
};

// Row y of a stage, and the part of A x there that is known before row y + 1 comes.
template <bool kFinest>
struct Stage {
  float x[kLanes], part[kLanes];
  float bend[kFinest ? kLanes : 1];  // 2 x minus both horizontal neighbours
};

// The position of a lane's columns.
struct Columns {
  int j0;
  bool first;   // whether it holds column 0
  bool edge;    // whether the warp reaches the last columns, which are not alike
  bool border;  // whether the warp reaches these or holds column 0
};

// Takes row y and writes A x of row y - 1 to ax. `fresh`: it is the first row that this stage sees,
// and the row above the image's border is its mirror image.
template <bool kFinest>
__device__ __forceinline__ void feed(Stage<kFinest>& s, const float (&x)[kLanes], int y, bool fresh,
                                     const SweepParams& p, const Columns& c, float (&ax)[kLanes]) {
  constexpr unsigned kAll = 0xffffffffu;
  float left = __shfl_up_sync(kAll, x[kLanes - 1], 1);
  const float right = __shfl_down_sync(kAll, x[0], 1);
  if constexpr (kFinest) {
    if (c.first) left = x[0];
    float bend[kLanes];
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float before = k == 0 ? left : x[k > 0 ? k - 1 : 0];
      float after = k + 1 < kLanes ? x[k + 1 < kLanes ? k + 1 : 0] : right;
      if (c.edge && c.j0 + k + 1 == p.x.count) after = x[k];
      bend[k] = fmaf(2.0f, x[k], -(before + after));
    }
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float up = fresh ? 0.0f : x[k] - s.x[k];
      const float above = fresh ? bend[k] : s.bend[k];
      ax[k] = fmaf(p.a.corner, bend[k], fmaf(-p.a.both, up, s.part[k]));
      s.part[k] =
          fmaf(p.a.gain, x[k], fmaf(p.a.edge, bend[k], fmaf(p.a.corner, above, p.a.both * up)));
      s.bend[k] = bend[k];
      s.x[k] = x[k];
    }
  } else {
    const float link = link_of(p.y, y), height = width_of(p.y, y), gain = p.a.gain * height;
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float before = k == 0 ? left : x[k > 0 ? k - 1 : 0];
      const float after = k + 1 < kLanes ? x[k + 1 < kLanes ? k + 1 : 0] : right;
      const int j = c.j0 + k;
      const float width = c.edge ? width_of(p.x, j) : p.x.size;
      const float link_before = c.border ? link_of(p.x, j) : p.x.link;
      const float link_after = c.border ? link_of(p.x, j + 1) : p.x.link;
      const float across = fmaf(link_before, x[k] - before, link_after * (x[k] - after));
      const float up = fresh ? 0.0f : link * (x[k] - s.x[k]);
      ax[k] = fmaf(-width, up, s.part[k]);
      s.part[k] = fmaf(width, fmaf(gain, x[k], up), height * across);
      s.x[k] = x[k];
    }
  }
}

template <bool kFinest>
__device__ __forceinline__ float inverse_diagonal(const SweepParams& p, int y, int j) {
  float d;
  if constexpr (kFinest) {
    const float down = static_cast<float>((y > 0) + (y + 1 < p.y.count));
    const float across = static_cast<float>((j > 0) + (j + 1 < p.x.count));
    d = (down + across) +
        p.a.weight * (p.a.w0 + p.a.w1 * (2.0f - down)) * (p.a.w0 + p.a.w1 * (2.0f - across));
  } else {
    const float height = width_of(p.y, y), width = width_of(p.x, j);
    d = (link_of(p.y, y) + link_of(p.y, y + 1)) * width +
        height * (link_of(p.x, j) + link_of(p.x, j + 1)) + p.a.gain * height * width;
  }
  return d > 0 ? reciprocal(d) : 0.0f;
}

// Computes 1 / D in row y.
template <bool kFinest>
__device__ __forceinline__ void inverse_row(const SweepParams& p, const Columns& c, int y,
                                            float (&d)[kLanes]) {
  const bool regular = !c.border && y > 0 && y + (kFinest ? 1 : 2) < p.y.count;
#pragma unroll
  for (int k = 0; k < kLanes; ++k) d[k] = p.inverse;
  if (!regular) {
#pragma unroll
    for (int k = 0; k < kLanes; ++k) d[k] = inverse_diagonal<kFinest>(p, y, c.j0 + k);
  }
}

// The values that the start of a row needs from memory.
struct Fetched {
  float in[kLanes], near[2], far[2];
};

__device__ __forceinline__ void load_lane(const float* from, const Columns& c, int width,
                                          float (&to)[kLanes]) {
  if (!c.edge || c.j0 + kLanes <= width) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
  } else {
#pragma unroll
    for (int k = 0; k < kLanes; ++k) to[k] = c.j0 + k < width ? from[k] : 0.0f;
  }
}

__device__ __forceinline__ void load_pair(const float* from, const Columns& c, int count,
                                          float (&to)[2]) {
  if (!c.edge || c.j0 / 2 + 1 < count) {
    const float2 v = *reinterpret_cast<const float2*>(from);
    to[0] = v.x;
    to[1] = v.y;
  } else {
    to[0] = *from;
  }
}

// kDown: the residual of the answer goes to the next grid. Otherwise, on the finest grid, its norm
// and the sum of the answer are taken. kZero: the cycle starts from zero, so the answer of the
// sweep down follows from the right-hand side by one stencil. It is not stored; the sweep up forms
// it again.
template <bool kFinest, bool kDown, bool kZero>
__global__ void __launch_bounds__(kSweepWarps * 32, 4)
    gaussian_poisson_multigrid_sweep_kernel(const SweepParams p) {
  constexpr unsigned kAll = 0xffffffffu;
  constexpr bool kThird = kDown || kFinest;  // the answer's residual is wanted
  constexpr int kHalo = kThird ? 3 : 2;
  constexpr bool kStarts = !(kZero && kDown), kAgain = kZero && !kDown;
  const int lane = threadIdx.x % 32;
  const std::int64_t id = std::int64_t(blockIdx.x) * kSweepWarps + threadIdx.x / 32;
  if (id >= p.warps) return;
  const int strip = static_cast<int>(id % p.strips);
  const std::int64_t rest = id / p.strips;
  const int segment = static_cast<int>(rest % p.segments);
  const std::int64_t plane = rest / p.segments;
  const int image = static_cast<int>(plane / p.channels);
  if (image_is_done(p.cycle, image)) return;

  const int h = p.y.count, w = p.x.count;
  const int y0 = segment * p.rows, y1 = segment + 1 < p.segments ? y0 + p.rows : h;
  const int begin = larger(0, y0 - kHalo), limit = smaller(h, y1 + kHalo);
  Columns c;
  c.j0 = strip * kStrip - kLanes + kLanes * lane;
  c.first = c.j0 == 0;
  c.edge = strip * kStrip + kStrip + 2 * kLanes > w;
  c.border = c.edge || strip == 0;
  const bool loads = c.j0 >= 0 && c.j0 < w;
  const bool owns = loads && lane > 0 && (lane < 31 || strip + 1 == p.strips);
  const int cj = c.j0 / 2, nx = p.x.coarse_count;
  const bool interpolates = loads && cj < nx;

  const std::int64_t at = plane * p.plane + c.j0, coarse_at = plane * p.next.plane + cj;

  auto fetch = [&](int y, Fetched& f) {
    const std::int64_t row = at + y * p.pitch;
    if (loads && p.in) load_lane(p.in + row, c, w, f.in);
    if (p.coarse && interpolates) {
      const int owner = owner_of(p.y, y);
      int other;
      share_of(p.y, y, owner, other);
      const float* const coarse = p.coarse + coarse_at;
      load_pair(coarse + owner * p.next.pitch, c, nx, f.near);
      load_pair(coarse + other * p.next.pitch, c, nx, f.far);
    }
  };

  Fetched next = {};
  Stage<kFinest> start = {}, first = {}, second = {};
  float rhs1[kLanes] = {}, rhs2[kLanes] = {}, rhs3[kLanes] = {}, step[kLanes] = {};
  float coarse_sum[2] = {};
  int correction = 0, moved = 0, residual = 0, size = 0;
  float sum = 0, lost = 0;
  if constexpr (kStarts) fetch(begin, next);
  // The sweep up forms the answer of the sweep down's first step again, one row ahead of the start.
  const int first_again = larger(0, begin - 1);
  Stage<kFinest> again_first = {};
  float rhs_ahead[kLanes] = {}, rhs_now[kLanes] = {};
  if constexpr (kAgain) {
    if (loads) load_lane(p.rhs + at + first_again * p.pitch, c, w, rhs_ahead);
  }
#pragma unroll 1
  for (int i = kAgain ? first_again - 1 : begin; i < y1 + kHalo; ++i) {
    c.j0 = anew(c.j0);
    const int cj = c.j0 / 2;
    float x[kLanes] = {}, ax[kLanes] = {}, before[kLanes] = {}, d[kLanes];
    float rhs0[kLanes] = {};  // not needed before the next row comes
    float in[kLanes];
    if constexpr (kAgain) {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) rhs0[k] = rhs_now[k];
      inverse_row<kFinest>(p, c, i + 1, d);
#pragma unroll
      for (int k = 0; k < kLanes; ++k) {
        before[k] = again_first.x[k];
        x[k] = i + 1 < h ? kGain1 * d[k] * rhs_ahead[k] : before[k];
        rhs_now[k] = rhs_ahead[k];
      }
      if (loads && i + 2 < h) load_lane(p.rhs + at + (i + 2) * p.pitch, c, w, rhs_ahead);
      feed(again_first, x, i + 1, i + 1 == first_again, p, c, ax);
      if (i < begin) continue;
      inverse_row<kFinest>(p, c, i, d);
#pragma unroll
      for (int k = 0; k < kLanes; ++k) {
        in[k] = fmaf(1 + kMomentum2, before[k], kGain2 * d[k] * (rhs0[k] - ax[k]));
      }
    } else {
      if (loads && i < limit) load_lane(p.rhs + at + i * p.pitch, c, w, rhs0);
#pragma unroll
      for (int k = 0; k < kLanes; ++k) in[k] = next.in[k];
    }
    // This is the start, row i; below the border lies its mirror image.
    if (kStarts && i < limit) {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) x[k] = in[k];
      float near[2] = {next.near[0], next.near[1]}, far[2] = {next.far[0], next.far[1]};
      if (i + 1 < limit) fetch(i + 1, next);
      if (p.coarse) {
        int other;
        const float share = share_of(p.y, i, owner_of(p.y, i), other);
        float q0 = fmaf(share, far[0] - near[0], near[0]);
        float q1 = fmaf(share, far[1] - near[1], near[1]);
        const float left = __shfl_up_sync(kAll, q1, 1);
        const float right = __shfl_down_sync(kAll, q0, 1);
        if (c.edge) {  // the third column of the last cell, and what lies beyond it
          if (cj >= nx) q0 = left;
          if (cj + 1 >= nx) q1 = q0;
        }
        const float even0 = c.border ? even_of(p.x, cj) : 0.25f;
        const float odd0 = c.border ? odd_of(p.x, cj) : 0.25f;
        const float even1 = c.border ? even_of(p.x, cj + 1) : 0.25f;
        const float odd1 = c.border ? odd_of(p.x, cj + 1) : 0.25f;
        const float add[kLanes] = {fmaf(even0, left - q0, q0), fmaf(odd0, q1 - q0, q0),
                                   fmaf(even1, q0 - q1, q1), fmaf(odd1, right - q1, q1)};
#pragma unroll
        for (int k = 0; k < kLanes; ++k) x[k] += add[k];
        if constexpr (kFinest && !kDown) {
          if (owns && i >= y0 && i < y1) {
#pragma unroll
            for (int k = 0; k < kLanes; ++k) {
              if (c.j0 + k < w) correction = larger(correction, magnitude_bits(add[k]));
            }
          }
        }
      }
    } else {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) x[k] = start.x[k];
    }
    // This is the first step, row i - 1.
    float new_step[kLanes];
    if constexpr (kStarts) {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) before[k] = start.x[k];
      feed(start, x, i, i == begin, p, c, ax);
    }
    inverse_row<kFinest>(p, c, i - 1, d);
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      new_step[k] = kGain1 * d[k] * (rhs1[k] - ax[k]);
      x[k] = i - 1 < h ? before[k] + new_step[k] : first.x[k];
    }
    // This is the second step, row i - 2.
#pragma unroll
    for (int k = 0; k < kLanes; ++k) before[k] = first.x[k];
    feed(first, x, i - 1, i - 1 == begin, p, c, ax);
    inverse_row<kFinest>(p, c, i - 2, d);
    float change[kLanes];
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float second_step = fmaf(kMomentum2, step[k], kGain2 * d[k] * (rhs2[k] - ax[k]));
      x[k] = before[k] + second_step;
      change[k] = step[k] + second_step;
      step[k] = new_step[k];
    }
    if (i - 2 >= y0 && i - 2 < y1 && owns) {
      if constexpr (kStarts) {
        *reinterpret_cast<float4*>(p.out + at + (i - 2) * p.pitch) =
            make_float4(x[0], x[1], x[2], x[3]);
      }
      if constexpr (kFinest) {
        float row = 0;
#pragma unroll
        for (int k = 0; k < kLanes; ++k) {
          if (c.j0 + k < w) {
            moved = larger(moved, magnitude_bits(change[k]));
            if constexpr (!kDown) {
              size = larger(size, magnitude_bits(x[k]));
              row += x[k];
            }
          }
        }
        if constexpr (!kDown) {  // The sum carries along what its rounding loses.
          const float term = row - lost, total = sum + term;
          lost = (total - sum) - term;
          sum = total;
        }
      }
    }
    // This is the residual, row i - 3.
    if constexpr (kThird) {
      if (i - 2 >= h) {
#pragma unroll
        for (int k = 0; k < kLanes; ++k) x[k] = second.x[k];
      }
      feed(second, x, i - 2, i - 2 == begin, p, c, ax);
      const int y = i - 3;
      if (y >= y0) {
        float r[kLanes];
#pragma unroll
        for (int k = 0; k < kLanes; ++k) {
          r[k] = !c.edge || c.j0 + k < w ? rhs3[k] - ax[k] : 0.0f;
        }
        if constexpr (kDown) {
          float pair0 = r[0] + r[1], pair1 = r[2] + r[3];
          if (c.edge) {
            const float beyond = __shfl_down_sync(kAll, r[0], 1);
            if (w > 2 * nx) {
              if (c.j0 + 2 == 2 * nx) pair0 += r[2];
              if (c.j0 + 4 == 2 * nx) pair1 += beyond;
            }
          }
          const int owner = owner_of(p.y, y);
          coarse_sum[0] = y == 2 * owner ? pair0 : coarse_sum[0] + pair0;
          coarse_sum[1] = y == 2 * owner ? pair1 : coarse_sum[1] + pair1;
          if (owns && cj < nx && y + 1 == owned_end(p.y, owner)) {
            *reinterpret_cast<float2*>(p.next.rhs + coarse_at + owner * p.next.pitch) =
                make_float2(coarse_sum[0], coarse_sum[1]);
          }
        } else if (owns) {
#pragma unroll
          for (int k = 0; k < kLanes; ++k) residual = larger(residual, magnitude_bits(r[k]));
        }
      }
    }
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      rhs3[k] = rhs2[k];
      rhs2[k] = rhs1[k];
      rhs1[k] = rhs0[k];
    }
  }

  if constexpr (kFinest) {
    CycleNorms* norms = p.cycle.norms + std::int64_t(image) * p.cycle.per_image + p.cycle.index;
    moved = device::warp_reduce(moved, device::Max());
    if constexpr (kDown) {
      if (lane == 0) {
        atomicMax(&norms->before, moved);
        if (strip == 0 && segment == 0 && plane % p.channels == 0) norms->ran = 1;
      }
    } else {
      correction = device::warp_reduce(correction, device::Max());
      residual = device::warp_reduce(residual, device::Max());
      size = device::warp_reduce(size, device::Max());
      const double total = device::warp_reduce(static_cast<double>(sum) - lost, device::Sum());
      if (lane == 0) {
        atomicMax(&norms->after, moved);
        atomicMax(&norms->correction, correction);
        atomicMax(&norms->residual, residual);
        atomicMax(&norms->size, size);
        p.sums[id] = total;
      }
    }
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
