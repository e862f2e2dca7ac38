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
  Planes nested_b[kMaxTailLevels];  // right-hand sides of the nested iteration; the first is `in`
};

// A level in shared memory: rows of width + 1, where the last column and the rows around are zero.
struct TailLevel {
  float *b, *z;
  int height, width, pitch;

  __device__ int at(int i, int j) const { return (i + 1) * pitch + j; }
};

// The operator at points of a level in shared memory.
class TailOperator {
 public:
  __device__ TailOperator(const Grid& grid, const unsigned char* memory)
      : sw_(coefficient_plane(grid, memory, kSW)), plane_(grid.plane), pitch_(grid.pitch) {}

  __device__ bool active(int local) const { return inverse(local) != 0; }
  __device__ float inverse(int local) const { return sw_[kInverse * plane_ + local]; }
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

 private:
  const float* sw_;
  const std::int64_t plane_;
  const int pitch_;
};

// Runs one block per plane. All levels live in shared memory: b and z of each, and a spare plane.
class Tail {
 public:
  __device__ Tail(const TailParams& p, float* shared)
      : p_(p),
        plane_(static_cast<int>(blockIdx.x)),
        thread_(static_cast<int>(threadIdx.x)),
        threads_(static_cast<int>(blockDim.x)),
        memory_(p.hierarchies.of_plane(plane_)),
        shared_(shared) {
    const int floats = floats_before(p.levels);
    for (int at = thread_; at < floats; at += threads_) shared_[at] = 0;
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
    const TailOperator op = operator_of(0);
    const TailLevel own = level(0);
    points(0, [&](int, int i, int j) {
      const int local = i * p_.grid[0].pitch + j;
      own.b[own.at(i, j)] = op.active(local) ? in[local] : 0.0f;
    });
  }

  __device__ void store(float* out) {
    const TailLevel own = level(0);
    points(0, [&](int, int i, int j) { out[i * p_.grid[0].pitch + j] = own.z[own.at(i, j)]; });
  }

  // Computes z = M^-1 b from a level on. b is the threads' own; all threads can read z at the end.
  __device__ void cycle(int first) {
    const int last = p_.levels - 1;
    for (int l = first; l < last; ++l) smooth_down(l);
    HM_SYNC();
    solve_last();
    for (int l = last - 1; l >= first; --l) smooth_up(l);
  }

  // Runs nested iteration for the b that load() took: V-cycles from the last level up.
  __device__ void nested() {
    const int last = p_.levels - 1;
    for (int l = 0; l < last; ++l) {
      HM_SYNC();
      const TailLevel fine = level(l);
      restrict_to(l + 1, fine.b, fine.pitch);
      const TailLevel own = level(l + 1);
      float* keep = p_.nested_b[l + 1].of(plane_);
      points(l + 1,
             [&](int, int i, int j) { keep[i * p_.grid[l + 1].pitch + j] = own.b[own.at(i, j)]; });
    }
    HM_SYNC();
    solve_last();
    for (int l = last - 1; l >= 0; --l) {
      const TailOperator op = operator_of(l);
      const TailLevel own = level(l);
      const float* b = l == 0 ? p_.in.of(plane_) : p_.nested_b[l].of(plane_);
      float x[kTailPoints] = {};
      points(l, [&](int k, int i, int j) {
        x[k] = op.active(i * p_.grid[l].pitch + j) ? prolong(l, i, j) : 0.0f;
        own.z[own.at(i, j)] = x[k];
      });
      HM_SYNC();
      points(l, [&](int, int i, int j) {
        const int local = i * p_.grid[l].pitch + j, at = own.at(i, j);
        own.b[at] =
            op.active(local) ? b[local] - op.apply_pitch(own.z + at, local, own.pitch) : 0.0f;
      });
      HM_SYNC();
      cycle(l);
      points(l, [&](int k, int i, int j) { own.z[own.at(i, j)] += x[k]; });
      HM_SYNC();
    }
  }

 private:
  __device__ int cells_around(int l) const {
    return (p_.grid[l].height + 2) * (p_.grid[l].width + 1) + 1;
  }
  // Returns the floats of b and z of the levels before, and of the spare plane.
  __device__ int floats_before(int l) const {
    int floats = cells_around(0);
    for (int k = 0; k < l; ++k) floats += 2 * cells_around(k);
    return floats;
  }
  __device__ TailLevel level(int l) const {
    TailLevel own;
    own.height = p_.grid[l].height;
    own.width = p_.grid[l].width;
    own.pitch = own.width + 1;
    // A row's last zero also serves as the one before the next row; the first row has its own.
    own.b = shared_ + floats_before(l) + 1;
    own.z = own.b + cells_around(l);
    return own;
  }
  __device__ float* besides() const { return shared_ + 1; }

  __device__ TailOperator operator_of(int l) const { return TailOperator(p_.grid[l], memory_); }

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

  __device__ void restrict_to(int l, const float* fine, int pitch) {
    const TailOperator op = operator_of(l);
    const TailLevel own = level(l);
    const Grid& g = p_.grid[l - 1];
    points(l, [&](int, int i, int j) {
      const bool bottom = g.merge_bottom && i == own.height - 1;
      const bool right = g.merge_right && j == own.width - 1;
      own.b[own.at(i, j)] =
          op.active(i * p_.grid[l].pitch + j)
              ? restrict_at(fine + (2 * i + 1) * pitch + 2 * j, pitch, bottom, right)
              : 0.0f;
    });
  }

  // Known points have b = 0 and an inverse of zero, so z stays zero there.
  __device__ void smooth_down(int l) {
    const TailOperator op = operator_of(l);
    const TailLevel own = level(l);
    const int pitch = p_.grid[l].pitch;
    float d[kTailPoints] = {};
    points(l, [&](int k, int i, int j) {
      const int at = own.at(i, j);
      d[k] = kFirst * (op.inverse(i * pitch + j) * own.b[at]);
      own.z[at] = d[k];
    });
    HM_SYNC();
    points(l, [&](int k, int i, int j) {
      const int at = own.at(i, j), local = i * pitch + j;
      const float r = own.b[at] - op.apply_pitch(own.z + at, local, own.pitch);
      d[k] += kMomentum * d[k] + kSecond * (op.inverse(local) * r);
    });
    HM_SYNC();
    points(l, [&](int k, int i, int j) { own.z[own.at(i, j)] = d[k]; });
    HM_SYNC();
    float* rest = besides();
    points(l, [&](int, int i, int j) {
      const int at = own.at(i, j), local = i * pitch + j;
      rest[at] = op.active(local) ? own.b[at] - op.apply_pitch(own.z + at, local, own.pitch) : 0.0f;
    });
    // The spare plane's rims become zero for this level's rows.
    for (int i = thread_; i < own.height + 3; i += threads_) rest[i * own.pitch - 1] = 0;
    for (int j = thread_; j < own.width; j += threads_) {
      rest[j] = rest[(own.height + 1) * own.pitch + j] = 0;
    }
    HM_SYNC();
    restrict_to(l + 1, rest, own.pitch);
  }

  __device__ void smooth_up(int l) {
    const TailOperator op = operator_of(l);
    const TailLevel own = level(l);
    const int pitch = p_.grid[l].pitch;
    points(l, [&](int, int i, int j) {
      if (op.active(i * pitch + j)) own.z[own.at(i, j)] += prolong(l, i, j);
    });
    HM_SYNC();
    float d[kTailPoints] = {};
    points(l, [&](int k, int i, int j) {
      const int at = own.at(i, j), local = i * pitch + j;
      d[k] =
          kFirst * (op.inverse(local) * (own.b[at] - op.apply_pitch(own.z + at, local, own.pitch)));
    });
    HM_SYNC();
    points(l, [&](int k, int i, int j) { own.z[own.at(i, j)] += d[k]; });
    HM_SYNC();
    points(l, [&](int k, int i, int j) {
      const int at = own.at(i, j), local = i * pitch + j;
      const float r = own.b[at] - op.apply_pitch(own.z + at, local, own.pitch);
      d[k] = kMomentum * d[k] + kSecond * (op.inverse(local) * r);
    });
    HM_SYNC();
    points(l, [&](int k, int i, int j) { own.z[own.at(i, j)] += d[k]; });
    HM_SYNC();
  }

  // Solves with the inverse of the last level's matrix: a warp for each row.
  __device__ void solve_last() {
    const TailLevel own = level(p_.levels - 1);
    const int cells = own.height * own.width;
    const float* inverse = reinterpret_cast<const float*>(memory_ + p_.inverse);
    for (int row = thread_ / 32; row < cells; row += threads_ / 32) {
      float sum = 0;
      for (int k = thread_ % 32; k < cells; k += 32) {
        sum += inverse[row * cells + k] * own.b[own.at(k / own.width, k % own.width)];
      }
      sum = device::warp_reduce(sum, device::Sum());
      if (thread_ % 32 == 0) own.z[own.at(row / own.width, row % own.width)] = sum;
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
  if (p.states[blockIdx.x].done) return;
  HM_DYN_SMEM(float, shared);
  Tail tail(p, shared);
  tail.load(p.in.of(static_cast<int>(blockIdx.x)));
  if constexpr (kNested) {
    tail.nested();
  } else {
    tail.cycle(0);
  }
  tail.store(p.out.of(static_cast<int>(blockIdx.x)));
}

template <bool kNested>
void launch(const TailParams& params, int planes, std::size_t bytes, cudaStream_t stream) {
  const int cells = params.grid[0].height * params.grid[0].width;
  const int threads = std::clamp((cells + 31) / 32 * 32, 64, kTailThreads);
  constexpr std::size_t kWithoutAsking = 48 << 10;
  if (bytes > kWithoutAsking) HM_MAX_DYN_SMEM((poisson_tail_kernel<kNested>), kTailBytes);
  HM_LAUNCH((poisson_tail_kernel<kNested>), dim3(static_cast<unsigned>(planes)),
            dim3(static_cast<unsigned>(threads)), bytes, stream, params);
}

}  // namespace

void launch_poisson_tail(const Plan& plan, const SolveMemory& memory, bool nested, const Planes& in,
                         const Planes& out, cudaStream_t stream) {
  TailParams p = {
      plan.levels - plan.tail, memory.hierarchies, plan.inverse, memory.states(), in, out, {}, {}};
  for (int l = 0; l < p.levels; ++l) {
    p.grid[l] = plan.grid[plan.tail + l];
    p.nested_b[l] = memory.at(memory.layout.nested_b[plan.tail + l], p.grid[l]);
  }
  const std::size_t bytes = tail_floats(plan, plan.tail) * sizeof(float);
  nested ? launch<true>(p, memory.planes, bytes, stream)
         : launch<false>(p, memory.planes, bytes, stream);
}

}  // namespace pyharmony::poisson
