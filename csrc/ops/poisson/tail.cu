// The coarse levels in one launch: one block per plane, everything in shared memory.
#include <algorithm>

#include "device/reduce.h"
#include "ops/poisson/solve_cuda.h"

namespace pyharmony::poisson {
namespace {

// ---- the coarse levels in one launch ------------------------------------------------------------

constexpr int kTailPoints = 4;  // points of a level for each thread
constexpr int kTailThreads = kTailCells / kTailPoints;

struct TailParams {
  int levels;
  Hierarchies hierarchies;
  std::int64_t inverse;  // inverse of the last level's matrix
  const PlaneState* states;
  Planes in, out;
  Grid grid[kMaxTailLevels];
  int offsets[kMaxTailLevels + 1];  // of the levels in shared memory, in floats, and their end
  Planes nested_b[kMaxTailLevels];  // right-hand sides of the nested iteration; the first is `in`
};

// A level in shared memory: rows of width + 1, where the last column and the rows around are zero.
struct TailLevel {
  float *b, *z, *spare;
  int width, cells, pitch;

  __device__ int at(int i, int j) const { return (i + 1) * pitch + j; }
};

// A row of the operator, for a point and its eight neighbours.
struct Stencil {
  float c, e, w, s, se, sw, n, ne, nw;
  float inverse;  // zero where the point is known

  Stencil() = default;
  __device__ Stencil(const float* sw_plane, std::int64_t plane, int pitch) {
    const float *of_sw = sw_plane, *of_se = sw_plane + kSE * plane, *of_s = sw_plane + kS * plane;
    const float* of_e = sw_plane + kE * plane;
    c = sw_plane[kC * plane];
    e = of_e[0];
    w = of_e[-1];
    s = of_s[0];
    n = of_s[-pitch];
    se = of_se[0];
    nw = of_se[-pitch - 1];
    sw = of_sw[0];
    ne = of_sw[-pitch + 1];
    inverse = sw_plane[kInverse * plane];
  }
  __device__ float apply(const float* at, int pitch) const {
    const float middle = c * at[0] + e * at[1] + w * at[-1];
    const float below = s * at[pitch] + se * at[pitch + 1] + sw * at[pitch - 1];
    const float above = n * at[-pitch] + nw * at[-pitch - 1] + ne * at[-pitch + 1];
    return middle + (below + above);
  }
};

// Runs one block per plane. All levels live in shared memory: b, z and a spare plane of each. In
// the V-cycle a step reads one of z and spare and writes the other, so that one barrier lies
// between two steps. kKeep: a thread keeps the operator of its points in registers while it is on a
// level, else there are too few of them, and it is read for each step.
template <bool kKeep>
class Tail {
 public:
  __device__ Tail(const TailParams& p, float* shared)
      : p_(p),
        plane_(static_cast<int>(blockIdx.x)),
        thread_(static_cast<int>(threadIdx.x)),
        threads_(static_cast<int>(blockDim.x)),
        memory_(p.hierarchies.of_plane(plane_)),
        shared_(shared) {
    for (int at = thread_; at < p.offsets[p.levels]; at += threads_) shared_[at] = 0;
    HM_SYNC();
  }

  // Calls fn(k, i, j) for the thread's points of a level.
  template <typename Fn>
  __device__ void points(int level, Fn&& fn) const {
    const Grid& g = p_.grid[level];
    const int cells = g.height * g.width;
#pragma unroll
    for (int k = 0; k < kTailPoints; ++k) {
      const int cell = thread_ + k * threads_;
      if (cell < cells) fn(k, cell / g.width, cell % g.width);
    }
  }

  __device__ void load(const float* in) {
    const TailLevel own = level(0);
    points(0, [&](int, int i, int j) {
      const int local = i * p_.grid[0].pitch + j;
      own.b[own.at(i, j)] = active(0, i, j) ? in[local] : 0.0f;
    });
  }

  __device__ void store(float* out) {
    const TailLevel own = level(0);
    points(0, [&](int, int i, int j) { out[i * p_.grid[0].pitch + j] = own.z[own.at(i, j)]; });
  }

  // Computes z = M^-1 b from a level on. b is the threads' own; all threads can read z at the end.
  __device__ void cycle(int first) {
    const int last = p_.levels - 1;
#pragma unroll 1
    for (int l = first; l < last; ++l) smooth_down(l);
    HM_SYNC();
    solve_last();
#pragma unroll 1
    for (int l = last - 1; l >= first; --l) smooth_up(l);
  }

  // Runs nested iteration for the b that load() took: V-cycles from the last level up.
  __device__ void nested() {
    const int last = p_.levels - 1;
    for (int l = 0; l < last; ++l) {
      HM_SYNC();
      restrict_to(l + 1, level(l).b);
      const TailLevel own = level(l + 1);
      float* keep = p_.nested_b[l + 1].of(plane_);
      in_turn(l + 1,
              [&](int i, int j) { keep[i * p_.grid[l + 1].pitch + j] = own.b[own.at(i, j)]; });
    }
#pragma unroll 1
    for (int l = last; l >= 0; --l) {
      const TailLevel own = level(l);
      // It holds b until the residual is formed, and x from then on.
      float* keep = p_.nested_b[l].of(plane_);
      if (l < last) {
        in_turn(l, [&](int i, int j) {
          own.z[own.at(i, j)] = active(l, i, j) ? prolong(l, i, j) : 0.0f;
        });
        HM_SYNC();
        in_turn(l, [&](int i, int j) {
          const int at = own.at(i, j);
          const Stencil a = stencil(l, i, j);
          float& kept = keep[i * p_.grid[l].pitch + j];
          own.b[at] = a.inverse != 0 ? kept - a.apply(own.z + at, own.pitch) : 0.0f;
          kept = own.z[at];
        });
        HM_SYNC();
      }
      cycle(l);
      if (l == last) continue;
      in_turn(l, [&](int i, int j) { own.z[own.at(i, j)] += keep[i * p_.grid[l].pitch + j]; });
      HM_SYNC();
    }
  }

 private:
  // A thread's points of a level: where they are in shared memory and in planes, and their rows.
  struct Own {
    int at[kTailPoints], local[kTailPoints];
    Stencil kept[kKeep ? kTailPoints : 1];
    const Grid& grid;
    const unsigned char* memory;

    __device__ Stencil a(int k) const {
      if constexpr (kKeep) return kept[k];
      return Stencil(coefficient_plane(grid, memory, kSW) + local[k], grid.plane, grid.pitch);
    }
  };

  __device__ Own own_points(int l) const {
    const TailLevel own = level(l);
    Own p{{}, {}, {}, p_.grid[l], memory_};
    points(l, [&](int k, int i, int j) {
      p.at[k] = own.at(i, j);
      p.local[k] = i * p_.grid[l].pitch + j;
      if constexpr (kKeep) p.kept[k] = stencil(l, i, j);
    });
    return p;
  }
  // Calls fn(i, j) for the thread's points one after the other, which takes few registers.
  template <typename Fn>
  __device__ void in_turn(int level, Fn&& fn) const {
    const Grid& g = p_.grid[level];
#pragma unroll 1
    for (int cell = thread_; cell < g.height * g.width; cell += threads_) {
      fn(cell / g.width, cell % g.width);
    }
  }
  // Calls fn(k) for the thread's points, without finding where they are.
  template <typename Fn>
  __device__ void each(const TailLevel& own, Fn&& fn) const {
#pragma unroll
    for (int k = 0; k < kTailPoints; ++k) {
      if (thread_ + k * threads_ < own.cells) fn(k);
    }
  }

  __device__ TailLevel level(int l) const {
    TailLevel own;
    own.width = p_.grid[l].width;
    own.cells = p_.grid[l].height * own.width;
    own.pitch = own.width + 1;
    // A row's last zero also serves as the one before the next row; the first row has its own.
    const int floats = (p_.offsets[l + 1] - p_.offsets[l]) / kTailPlanes;
    own.b = shared_ + p_.offsets[l] + 1;
    own.z = own.b + floats;
    own.spare = own.z + floats;
    return own;
  }

  __device__ Stencil stencil(int l, int i, int j) const {
    const Grid& g = p_.grid[l];
    return Stencil(coefficient_plane(g, memory_, kSW) + i * g.pitch + j, g.plane, g.pitch);
  }
  __device__ bool active(int l, int i, int j) const {
    const Grid& g = p_.grid[l];
    return coefficient_plane(g, memory_, kInverse)[i * g.pitch + j] != 0;
  }

  __device__ float prolong(int l, int y, int x) const {
    const TailLevel coarse = level(l + 1);
    const Grid& g = p_.grid[l];
    const bool rows = (y & 1) && !(g.merge_bottom && y == g.height - 1);
    const bool cols = (x & 1) && !(g.merge_right && x == g.width - 1);
    const float* at = coarse.z + coarse.at(y / 2, x / 2);
    float v = at[0];
    if (rows) v = 0.5f * (v + at[coarse.pitch]);
    if (!cols) return v;
    float w = at[1];
    if (rows) w = 0.5f * (w + at[coarse.pitch + 1]);
    return 0.5f * (v + w);
  }

  // Sets b of a level to the restriction of a plane of the level before.
  __device__ void restrict_to(int l, const float* fine) {
    const TailLevel own = level(l);
    const Grid& g = p_.grid[l - 1];
    const int pitch = g.width + 1, height = p_.grid[l].height;
    in_turn(l, [&](int i, int j) {
      const bool bottom = g.merge_bottom && i == height - 1;
      const bool right = g.merge_right && j == own.width - 1;
      own.b[own.at(i, j)] =
          active(l, i, j) ? restrict_at(fine + (2 * i + 1) * pitch + 2 * j, pitch, bottom, right)
                          : 0.0f;
    });
  }

  // Known points have b = 0 and an inverse of zero, so z stays zero there. Leaves the smoothed z in
  // the spare plane.
  __device__ void smooth_down(int l) {
    const TailLevel own = level(l);
    const Own p = own_points(l);
    float d[kTailPoints] = {};
    each(own, [&](int k) {
      d[k] = kFirst * (p.a(k).inverse * own.b[p.at[k]]);
      own.z[p.at[k]] = d[k];
    });
    HM_SYNC();
    each(own, [&](int k) {
      const Stencil a = p.a(k);
      const float r = own.b[p.at[k]] - a.apply(own.z + p.at[k], own.pitch);
      own.spare[p.at[k]] = d[k] + (kMomentum * d[k] + kSecond * (a.inverse * r));
    });
    HM_SYNC();
    each(own, [&](int k) {
      const Stencil a = p.a(k);
      const float rest = own.b[p.at[k]] - a.apply(own.spare + p.at[k], own.pitch);
      own.z[p.at[k]] = a.inverse != 0 ? rest : 0.0f;
    });
    HM_SYNC();
    restrict_to(l + 1, own.z);
  }

  __device__ void smooth_up(int l) {
    const TailLevel own = level(l);
    const Own p = own_points(l);
    points(l, [&](int k, int i, int j) {
      const float correction = p.a(k).inverse != 0 ? prolong(l, i, j) : 0.0f;
      own.z[p.at[k]] = own.spare[p.at[k]] + correction;
    });
    HM_SYNC();
    float d[kTailPoints] = {};
    each(own, [&](int k) {
      const Stencil a = p.a(k);
      const float* z = own.z + p.at[k];
      d[k] = kFirst * (a.inverse * (own.b[p.at[k]] - a.apply(z, own.pitch)));
      own.spare[p.at[k]] = z[0] + d[k];
    });
    HM_SYNC();
    each(own, [&](int k) {
      const Stencil a = p.a(k);
      const float* z = own.spare + p.at[k];
      const float r = own.b[p.at[k]] - a.apply(z, own.pitch);
      own.z[p.at[k]] = z[0] + (kMomentum * d[k] + kSecond * (a.inverse * r));
    });
    HM_SYNC();
  }

  // Solves with the inverse of the last level's matrix: a warp for each row.
  __device__ void solve_last() {
    static_assert(kDirectCells == 64, "a lane has two cells");
    const TailLevel own = level(p_.levels - 1);
    const int cells = own.cells, first = thread_ % 32, second = first + 32;
    const float* inverse = reinterpret_cast<const float*>(memory_ + p_.inverse);
    auto place = [&](int cell) { return own.at(cell / own.width, cell % own.width); };
    const float b0 = first < cells ? own.b[place(first)] : 0.0f;
    const float b1 = second < cells ? own.b[place(second)] : 0.0f;
#pragma unroll 4
    for (int row = thread_ / 32; row < cells; row += threads_ / 32) {
      const float* from = inverse + row * cells;
      float sum = 0;
      if (first < cells) sum += from[first] * b0;
      if (second < cells) sum += from[second] * b1;
      sum = device::warp_reduce(sum, device::Sum());
      if (first == 0) own.z[place(row)] = sum;
    }
    HM_SYNC();
  }

  const TailParams& p_;
  const int plane_, thread_, threads_;
  const unsigned char* memory_;
  float* shared_;
};

template <bool kNested>
__global__ void __launch_bounds__(kTailThreads) poisson_tail_kernel(const TailParams p) {
  HM_DYN_SMEM(float, shared);
  Tail<!kNested> tail(p, shared);
  HM_LAUNCH_WAIT();
  if (p.states[blockIdx.x].done) return;
  tail.load(p.in.of(static_cast<int>(blockIdx.x)));
  if constexpr (kNested) {
    tail.nested();
  } else {
    tail.cycle(0);
  }
  tail.store(p.out.of(static_cast<int>(blockIdx.x)));
}

template <bool kNested>
void launch(const TailParams& params, const device::LaunchForm& form, int planes, std::size_t bytes,
            cudaStream_t stream) {
  const int cells = params.grid[0].height * params.grid[0].width;
  const int threads = std::clamp((cells + 31) / 32 * 32, 64, kTailThreads);
  HM_LAUNCH_AS(form, (poisson_tail_kernel<kNested>), dim3(static_cast<unsigned>(planes)),
               dim3(static_cast<unsigned>(threads)), bytes, stream, params);
}

}  // namespace

void launch_poisson_tail(const Plan& plan, const SolveMemory& memory,
                         const device::LaunchForm& form, bool nested, const Planes& in,
                         const Planes& out, cudaStream_t stream) {
  TailParams p{};
  p.levels = plan.levels - plan.tail;
  p.hierarchies = memory.hierarchies;
  p.inverse = plan.inverse;
  p.states = memory.states();
  p.in = in;
  p.out = out;
  const int floats = static_cast<int>(tail_floats(plan, plan.tail));
  for (int l = 0; l < p.levels; ++l) {
    p.grid[l] = plan.grid[plan.tail + l];
    p.nested_b[l] = memory.at(memory.layout.nested_b[plan.tail + l], p.grid[l]);
    p.offsets[l] = floats - static_cast<int>(tail_floats(plan, plan.tail + l));
  }
  p.offsets[p.levels] = floats;
  const std::size_t bytes = floats * sizeof(float);
  nested ? launch<true>(p, form, memory.planes, bytes, stream)
         : launch<false>(p, form, memory.planes, bytes, stream);
}

}  // namespace pyharmony::poisson
