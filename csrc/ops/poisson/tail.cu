// The coarse levels in one launch, everything in shared memory: the last ones by one block per
// plane, larger ones before them by the cluster of blocks that it is in.
#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

#include "device/reduce.h"
#include "ops/poisson/solve_cuda.h"

namespace pyharmony::poisson {
namespace {

constexpr int kTailPoints = 4;  // points of a level for each thread
constexpr int kTailThreads = kTailCells / kTailPoints;
constexpr int kMaxStripLevels = 6;
constexpr int kAllLevels = kMaxStripLevels + kMaxTailLevels;
constexpr std::size_t kClusterBytes = 227 << 10;  // shared memory of a block of sm_90

// The first `strips` levels are in strips, one in each block of a cluster; the others are one
// block's own.
struct TailParams {
  int levels, strips, blocks;
  Hierarchies hierarchies;
  std::int64_t inverse;  // inverse of the last level's matrix
  const PlaneState* states;
  Planes in, out;
  Grid grid[kAllLevels];
  int offsets[kAllLevels + 1];  // of the levels in shared memory, in floats, and the end
  int rows[kMaxStripLevels];    // of a block's strip
  Planes x[kAllLevels];         // of the nested iteration
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
  __device__ Tail(const TailParams& p, int plane, float* shared)
      : p_(p),
        plane_(plane),
        thread_(static_cast<int>(threadIdx.x)),
        threads_(static_cast<int>(blockDim.x)),
        memory_(p.hierarchies.of_plane(plane_)),
        shared_(shared) {}

  __device__ void clear() const {
    for (int at = thread_; at < p_.offsets[p_.levels]; at += threads_) shared_[at] = 0;
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

  // Runs nested iteration for the b of a level: V-cycles from the last level up.
  __device__ void nested(int first) {
    const int last = p_.levels - 1;
    for (int l = first; l < last; ++l) {
      HM_SYNC();
      restrict_to(l + 1, level(l).b);
    }
#pragma unroll 1
    for (int l = last; l >= first; --l) {
      const TailLevel own = level(l);
      float* x = p_.x[l].of(plane_);
      if (l < last) {
        in_turn(l, [&](int i, int j) {
          own.z[own.at(i, j)] = active(l, i, j) ? prolong(l, i, j) : 0.0f;
        });
        HM_SYNC();
        in_turn(l, [&](int i, int j) {
          const int at = own.at(i, j);
          const Stencil a = stencil(l, i, j);
          if (a.inverse != 0) own.b[at] -= a.apply(own.z + at, own.pitch);
          x[i * p_.grid[l].pitch + j] = own.z[at];
        });
        HM_SYNC();
      }
      cycle(l);
      if (l == last) continue;
      in_turn(l, [&](int i, int j) { own.z[own.at(i, j)] += x[i * p_.grid[l].pitch + j]; });
      HM_SYNC();
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
  const int plane = static_cast<int>(blockIdx.x);
  Tail<!kNested> tail(p, plane, shared);
  tail.clear();
  HM_SYNC();
  HM_LAUNCH_WAIT();
  if (p.states[plane].done) return;
  tail.load(p.in.of(plane));
  if constexpr (kNested) {
    tail.nested(0);
  } else {
    tail.cycle(0);
  }
  tail.store(p.out.of(plane));
}

// ---- levels in strips, by a cluster of blocks per plane -----------------------------------------

constexpr int kCoefficients = kInverse + 1, kStripPlanes = kCoefficients + 4;

HM_HOST_DEVICE inline int strip_pitch(const Grid& grid) {
  return (grid.width + kQuad - 1) / kQuad * kQuad + kQuad;
}
HM_HOST_DEVICE inline int strip_plane(const Grid& grid, int rows) {
  return (rows + 2) * strip_pitch(grid) + 2 * kQuad;
}

// Runs the passes of the tile kernels, with their order of sums, on levels in strips: each block
// has rows of a level, with one above and one below that copy those of other blocks. Planes are
// zero where nothing is unknown, and between rows. A barrier of the cluster lies between two
// passes.
template <bool kNested>
class ClusterTail {
 public:
  __device__ ClusterTail(const TailParams& p, float* shared)
      : p_(p),
        rank_(static_cast<int>(blockIdx.x) % p.blocks),
        plane_(static_cast<int>(blockIdx.x) / p.blocks),
        thread_(static_cast<int>(threadIdx.x)),
        threads_(static_cast<int>(blockDim.x)),
        shared_(shared),
        tail_(p, plane_, shared) {}

  __device__ bool done() const { return p_.states[plane_].done != 0; }

  // Starts to copy the coefficients, and clears the rest.
  __device__ void begin() const {
    if (rank_ == 0) tail_.clear();
    const unsigned char* memory = p_.hierarchies.of_plane(plane_);
#pragma unroll 1
    for (int l = 0; l < p_.strips; ++l) {
      const Strip own = strip(l);
      const Grid& g = p_.grid[l];
      for (int at = thread_; at < own.plane; at += threads_) {
        own.b[at] = own.s[at] = own.t[at] = 0;
      }
      const float* first = coefficient_plane(g, memory, kSW);
#pragma unroll 1
      for (int at = thread_ * kQuad; at < own.plane; at += threads_ * kQuad) {
        const int i = at / own.pitch - 1, x = at % own.pitch - kQuad, y = own.first + i;
        const bool inside = i < own.rows && x >= 0 && y >= 0 && y < own.height;
        const float* from = first + (inside ? y * g.pitch + x : 0);
#pragma unroll
        for (int which = 0; which < kCoefficients; ++which) {
          device::async_copy_or_zero<16>(own.coefficients + which * own.plane + at,
                                         from + which * g.plane, inside);
        }
      }
    }
    device::async_commit();
  }

  // Computes M^-1 b, or x, where all has been copied and cleared.
  __device__ void run() {
    HM_CLUSTER_SYNC();
    const Strip own = strip(0);
    const float* in = p_.in.of(plane_);
    each(own, [&](int i, int x, int at, unsigned) {
      store_quad(own.b + at, load_quad(in + (own.first + i) * p_.grid[0].pitch + x));
    });
    if constexpr (kNested) {
      nested();
    } else {
      cycle(0);
    }
  }

 private:
  struct Strip {
    float *coefficients, *b, *rest, *s, *t;
    int plane;                              // floats of each of them
    int pitch, quads, rows, first, height;  // of the level; the last strip may end after it

    __device__ int at(int i, int j) const { return (i + 1) * pitch + kQuad + j; }
  };

  __device__ Strip strip(int l) const {
    const Grid& g = p_.grid[l];
    Strip own;
    own.rows = p_.rows[l];
    own.plane = strip_plane(g, own.rows);
    own.pitch = strip_pitch(g);
    own.quads = own.pitch / kQuad - 1;
    own.first = rank_ * own.rows;
    own.height = g.height;
    own.coefficients = shared_ + p_.offsets[l];
    own.b = own.coefficients + kCoefficients * own.plane;
    own.rest = own.b + own.plane;
    own.s = own.rest + own.plane;
    own.t = own.s + own.plane;
    return own;
  }
  __device__ static NinePoint op(const Strip& own) {
    return NinePoint(own.coefficients, own.plane, own.pitch);
  }

  // Calls fn(i, x, at, unknowns) for the thread's quads with unknowns: row i of the strip, column
  // x.
  template <typename Fn>
  __device__ void each(const Strip& own, Fn&& fn) const {
    const int below = own.height - own.first, rows = below < own.rows ? below : own.rows;
#pragma unroll 1
    for (int quad = thread_; quad < rows * own.quads; quad += threads_) {
      const int i = quad / own.quads, x = quad % own.quads * kQuad, at = own.at(i, x);
      const unsigned unknowns = op(own).unknowns(at);
      if (unknowns != 0) fn(i, x, at, unknowns);
    }
  }
  // Writes a quad of s or t, also where another block copies its row.
  __device__ void put(const Strip& own, float* plane, int i, int at, const Quad& quad) const {
    store_quad(plane + at, quad);
    const int whole = own.rows * own.pitch;
    if (i == 0 && rank_ > 0) store_quad(device::shared_of(plane, rank_ - 1) + at + whole, quad);
    if (i == own.rows - 1 && own.first + own.rows < own.height) {
      store_quad(device::shared_of(plane, rank_ + 1) + at - whole, quad);
    }
  }

  // Returns P z at a quad, from s of the next level, or z where that is one block's own.
  __device__ Quad prolong(int l, const Strip& own, int i, int x, unsigned unknowns) const {
    const Grid& g = p_.grid[l];
    const int y = own.first + i;
    const float* from;
    int pitch;
    if (l + 1 < p_.strips) {
      const Strip coarse = strip(l + 1);
      from = coarse.s + coarse.at(i / 2, x / 2);
      pitch = coarse.pitch;
    } else {
      const TailLevel coarse = tail_.level(l + 1);
      from = device::shared_of(coarse.z, 0) + coarse.at(y / 2, x / 2);
      pitch = coarse.pitch;
    }
    const bool between = (y & 1) && !(g.merge_bottom && y == g.height - 1);
    float above[3], below[3];
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      above[k] = from[k];
      below[k] = from[k + (between ? pitch : 0)];
    }
    return at_unknowns(unknowns, prolong_quad(above, below, x, g.merge_right ? g.width - 1 : -1));
  }

  // Sets b of the next level to the restriction of t.
  __device__ void restrict_next(int l) const {
    const Strip own = strip(l);
    const Grid &g = p_.grid[l], &coarse = p_.grid[l + 1];
    const bool last = l + 1 == p_.strips;
    const int first = (own.first + 1) / 2, end = (own.first + own.rows + 1) / 2;
    const int rows = (end < coarse.height ? end : coarse.height) - first;
#pragma unroll 1
    for (int node = thread_; node < rows * coarse.width; node += threads_) {
      const int i = first + node / coarse.width, j = node % coarse.width;
      const int at = own.at(2 * i - own.first, 2 * j);
      const bool bottom = g.merge_bottom && i == coarse.height - 1;
      const bool right = g.merge_right && j == coarse.width - 1;
      const float r = restrict_at(own.t + at, own.pitch, bottom, right);
      if (last) {
        // A coarse node is unknown where its fine point is.
        const bool unknown = own.coefficients[kInverse * own.plane + at] != 0;
        const TailLevel next = tail_.level(l + 1);
        device::shared_of(next.b, 0)[next.at(i, j)] = unknown ? r : 0.0f;
      } else {
        const Strip next = strip(l + 1);
        next.b[next.at(i - next.first, j)] = r;
      }
    }
  }

  // Computes z = M^-1 b from a level on, of which each thread has its quads of b.
  __device__ void cycle(int first) {
#pragma unroll 1
    for (int l = first; l < p_.strips; ++l) {
      if (l > first) HM_SYNC();
      smooth_down(l);
    }
    HM_CLUSTER_SYNC();
    if (rank_ == 0) tail_.cycle(p_.strips);
    HM_CLUSTER_SYNC();
#pragma unroll 1
    for (int l = p_.strips - 1; l >= first; --l) smooth_up(l, l == first);
  }

  // Leaves the smoothed z in the plane of the rest.
  __device__ void smooth_down(int l) const {
    const Strip own = strip(l);
    each(own, [&](int i, int, int at, unsigned unknowns) {
      const Quad inverse = op(own).inverse(at, unknowns), b = load_quad(own.b + at);
      Quad d;
#pragma unroll
      for (int c = 0; c < kQuad; ++c) d.value[c] = kFirst * (inverse.value[c] * b.value[c]);
      put(own, own.t, i, at, d);
    });
    HM_CLUSTER_SYNC();
    each(own, [&](int i, int, int at, unsigned unknowns) {
      const Quad product = op(own).apply(own.t + at, at, 0, 0, own.pitch);
      const Quad inverse = op(own).inverse(at, unknowns), d = load_quad(own.t + at);
      Quad rest = load_quad(own.b + at), step;
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        rest.value[c] -= product.value[c];
        step.value[c] = kMomentum * d.value[c] + kSecond * (inverse.value[c] * rest.value[c]);
      }
      store_quad(own.rest + at, rest);
      put(own, own.s, i, at, step);
    });
    HM_CLUSTER_SYNC();
    each(own, [&](int i, int, int at, unsigned unknowns) {
      const Quad product = op(own).apply(own.s + at, at, 0, 0, own.pitch);
      const Quad d = load_quad(own.t + at), step = load_quad(own.s + at);
      Quad rest = load_quad(own.rest + at), z;
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        rest.value[c] -= product.value[c];
        z.value[c] = d.value[c] + step.value[c];
      }
      store_quad(own.rest + at, z);
      put(own, own.t, i, at, at_unknowns(unknowns, rest));
    });
    HM_CLUSTER_SYNC();
    restrict_next(l);
  }

  // Leaves z in s; on the first level of a cycle of the nested iteration, x.
  __device__ void smooth_up(int l, bool first) const {
    const Strip own = strip(l);
    each(own, [&](int i, int x, int at, unsigned unknowns) {
      Quad z = prolong(l, own, i, x, unknowns);
      const Quad before = load_quad(own.rest + at);
#pragma unroll
      for (int c = 0; c < kQuad; ++c) z.value[c] += before.value[c];
      put(own, own.s, i, at, z);
    });
    HM_CLUSTER_SYNC();
    each(own, [&](int i, int, int at, unsigned unknowns) {
      const Quad product = op(own).apply(own.s + at, at, 0, 0, own.pitch);
      const Quad inverse = op(own).inverse(at, unknowns);
      Quad rest = load_quad(own.b + at), d;
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        rest.value[c] -= product.value[c];
        d.value[c] = kFirst * (inverse.value[c] * rest.value[c]);
      }
      store_quad(own.rest + at, rest);
      put(own, own.t, i, at, d);
    });
    HM_CLUSTER_SYNC();
    each(own, [&](int i, int x, int at, unsigned unknowns) {
      const Quad product = op(own).apply(own.t + at, at, 0, 0, own.pitch);
      const Quad inverse = op(own).inverse(at, unknowns);
      const Quad z = load_quad(own.s + at), d = load_quad(own.t + at),
                 rest = load_quad(own.rest + at);
      Quad value;
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        value.value[c] = z.value[c] + d.value[c] + kMomentum * d.value[c] +
                         kSecond * (inverse.value[c] * (rest.value[c] - product.value[c]));
      }
      if (first) {
        float* out = kept(l) + (own.first + i) * p_.grid[l].pitch + x;
        if constexpr (kNested) {
          const Quad before = load_quad(out);
#pragma unroll
          for (int c = 0; c < kQuad; ++c) value.value[c] += before.value[c];
        }
        store_quad(out, value);
      }
      if (l > 0) put(own, own.s, i, at, value);
    });
    if (l > 0) HM_CLUSTER_SYNC();
  }

  // Returns the plane of x of the nested iteration; on the first level, that of the result.
  __device__ float* kept(int l) const { return (l == 0 ? p_.out : p_.x[l]).of(plane_); }

  // Runs nested iteration for the b of the first level.
  __device__ void nested() {
#pragma unroll 1
    for (int l = 0; l < p_.strips; ++l) {
      if (l > 0) HM_SYNC();
      const Strip own = strip(l);
      each(own, [&](int i, int, int at, unsigned unknowns) {
        put(own, own.t, i, at, at_unknowns(unknowns, load_quad(own.b + at)));
      });
      HM_CLUSTER_SYNC();
      restrict_next(l);
    }
    HM_CLUSTER_SYNC();
    if (rank_ == 0) tail_.nested(p_.strips);
    HM_CLUSTER_SYNC();
#pragma unroll 1
    for (int l = p_.strips - 1; l >= 0; --l) {
      const Strip own = strip(l);
      each(own, [&](int i, int x, int at, unsigned unknowns) {
        const Quad value = prolong(l, own, i, x, unknowns);
        store_quad(kept(l) + (own.first + i) * p_.grid[l].pitch + x, value);
        put(own, own.s, i, at, value);
      });
      HM_CLUSTER_SYNC();
      each(own, [&](int, int, int at, unsigned) {
        const Quad product = op(own).apply(own.s + at, at, 0, 0, own.pitch);
        Quad rest = load_quad(own.b + at);
#pragma unroll
        for (int c = 0; c < kQuad; ++c) rest.value[c] -= product.value[c];
        store_quad(own.b + at, rest);
      });
      cycle(l);
    }
  }

  const TailParams& p_;
  const int rank_, plane_, thread_, threads_;
  float* shared_;
  Tail<!kNested> tail_;
};

template <bool kNested>
__global__ void __launch_bounds__(kTailThreads) poisson_cluster_kernel(const TailParams p) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  HM_DYN_SMEM(float, shared);
  ClusterTail<kNested> tail(p, shared);
  tail.begin();
  HM_LAUNCH_WAIT();
  const bool done = tail.done();
  device::async_wait<0>();
  if (!done) tail.run();
#endif
}

// Returns the rows of a block's strip of a level.
int strip_rows(const Plan& plan, int level, unsigned blocks) {
  const int last = plan.tail - 1, count = static_cast<int>(blocks);
  return (plan.grid[last].height + count - 1) / count << (last - level);
}

// Returns where the strips begin in shared memory, in floats.
int first_strip(const Plan& plan) {
  return static_cast<int>(tail_floats(plan, plan.tail) + kQuad - 1) / kQuad * kQuad;
}

std::size_t cluster_bytes(const Plan& plan, int first, unsigned blocks) {
  std::size_t floats = first_strip(plan);
  for (int k = first; k < plan.tail; ++k) {
    floats += std::size_t(kStripPlanes) * strip_plane(plan.grid[k], strip_rows(plan, k, blocks));
  }
  return floats * sizeof(float);
}

// Returns how many clusters run at once on the current device, which it asks for once.
int active_clusters(unsigned blocks, std::size_t bytes) {
  static std::mutex mutex;
  static std::map<std::tuple<int, unsigned, std::size_t>, int> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto [entry, is_new] = known.insert({{device::current_device(), blocks, bytes}, 0});
  if (is_new) {
    HM_MAX_DYN_SMEM((poisson_cluster_kernel<false>), kClusterBytes);
    HM_MAX_DYN_SMEM((poisson_cluster_kernel<true>), kClusterBytes);
    const auto active = [&](auto kernel) {
      return device::active_clusters(kernel, blocks, dim3(kTailThreads), bytes);
    };
    entry->second =
        std::min(active(&poisson_cluster_kernel<false>), active(&poisson_cluster_kernel<true>));
  }
  return entry->second;
}

template <bool kNested>
void launch(const TailParams& params, const device::LaunchForm& form, int planes, std::size_t bytes,
            cudaStream_t stream) {
  const Grid& g = params.grid[params.strips];
  int work = (g.height * g.width + 31) / 32 * 32;
  const dim3 grid(static_cast<unsigned>(planes) * form.cluster);
  if (params.strips > 0) {
    work = std::max(work, (params.rows[0] * strip_pitch(params.grid[0]) / kQuad + 31) / 32 * 32);
  }
  const dim3 block(static_cast<unsigned>(std::clamp(work, 64, kTailThreads)));
  if (params.strips > 0) {
    HM_LAUNCH_AS(form, (poisson_cluster_kernel<kNested>), grid, block, bytes, stream, params);
  } else {
    HM_LAUNCH_AS(form, (poisson_tail_kernel<kNested>), grid, block, bytes, stream, params);
  }
}

}  // namespace

TailForm tail_form(const Plan& plan, int planes, const Room& room, bool forms) {
  TailForm out;
  out.first = plan.tail;
  out.form.early = forms;
  constexpr int kMost = 16, kPortable = 8;  // blocks of a cluster
  const int most = plan.options.cluster < 0 ? kMost : plan.options.cluster;
  if (!forms || room.shared_per_block < kClusterBytes || most < 2) return out;
  for (int blocks = most; blocks == most || blocks >= kPortable; blocks /= 2) {
    const auto cluster = static_cast<unsigned>(blocks);
    int first = plan.tail;
    while (first > 1 && plan.tail - first < kMaxStripLevels &&
           cluster_bytes(plan, first - 1, cluster) <= kClusterBytes) {
      --first;
    }
    if (first < out.first &&
        active_clusters(cluster, cluster_bytes(plan, first, cluster)) >= planes) {
      out.first = first;
      out.form.cluster = cluster;
    }
  }
  return out;
}

void launch_poisson_tail(const Plan& plan, const SolveMemory& memory, const TailForm& tail,
                         bool nested, const Planes& in, const Planes& out, cudaStream_t stream) {
  TailParams p{};
  p.levels = plan.levels - tail.first;
  p.strips = plan.tail - tail.first;
  p.blocks = static_cast<int>(tail.form.cluster);
  p.hierarchies = memory.hierarchies;
  p.inverse = plan.inverse;
  p.states = memory.states();
  p.in = in;
  p.out = out;
  const int floats = static_cast<int>(tail_floats(plan, plan.tail));
  int offset = first_strip(plan);
  for (int l = 0; l < p.levels; ++l) {
    const int k = tail.first + l;
    p.grid[l] = plan.grid[k];
    p.x[l] = memory.at(memory.layout.nested_b[k], p.grid[l]);
    if (l < p.strips) {
      p.rows[l] = strip_rows(plan, k, tail.form.cluster);
      p.offsets[l] = offset;
      offset += kStripPlanes * strip_plane(p.grid[l], p.rows[l]);
    } else {
      p.offsets[l] = floats - static_cast<int>(tail_floats(plan, k));
    }
  }
  p.offsets[p.levels] = floats;
  const std::size_t bytes = (p.strips > 0 ? offset : floats) * sizeof(float);
  nested ? launch<true>(p, tail.form, memory.planes, bytes, stream)
         : launch<false>(p, tail.form, memory.planes, bytes, stream);
}

}  // namespace pyharmony::poisson
