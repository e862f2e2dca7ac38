// A warp marches down the rows of a strip and does all steps of a pass, each one row behind the one
// before; see chebyshev.cu.
#pragma once

#include <algorithm>
#include <cmath>

#include "device/math.h"
#include "device/reduce.h"
#include "ops/gaussian_poisson/chebyshev_rows.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

using device::anew;

struct MarchParams : Tiling {
  // The streamed rows: src, dst, mask and base; or the right-hand side, nothing, mask and nothing.
  // A field without data is not streamed.
  Source field[4];
  Input input;
  Source dst, base, mask, map, out;
  int half_height, half_width;  // size of base where half_base
  bool pinned, half_base, floats, want_norm;
  float c0, c1, c2, rho;              // entries of the stencil; rho = c2 / c1
  float sum, side, corner, slope;     // entries of G, with a map; row excess / c_i
  float weight, damping, mask_scale;  // mask_scale times the sum of two masks is their mean
  int height, width, channels;
  // The items of this launch, and the channels that it does of each.
  int first_item, items, first_channel, its_channels, tasks;
  std::int64_t plane, pitch;  // strides of the state
  float *e[2], *before[2];    // [items, its_channels, H, pitch]; null where one pass does it all
  TileMeasure* measures;      // [N, segments, strips, C]
  const Control* control;     // null in the first run
  const Pass* table;          // [N, passes], null in the first run
  int pass, table_passes;
  Pass plan;  // the plan of the first run
};

template <int N>
struct Sides {
  Run<N> left, right;
};

template <int N>
__device__ __forceinline__ Sides<N> sides_of(const Run<N>& x) {
  Sides<N> s;
  s.left[0] = __shfl_up_sync(kAll, x[N - 1], 1);
  s.right[N - 1] = __shfl_down_sync(kAll, x[0], 1);
#pragma unroll
  for (int j = 1; j < N; ++j) {
    s.left[j] = x[j - 1];
    s.right[j - 1] = x[j];
  }
  return s;
}

// K is the largest number of levels. kShared: the steps are in shared memory, because the host does
// not know them or because there are too many.
template <int K, int N, bool kMap, bool kShared>
class March {
 public:
  static constexpr int kColumns = 32 * N;
  // Where the levels leave few registers, the images' rows i - 1 to i + 1 are in shared memory, and
  // they are loaded when they are due, not a row ahead.
  static constexpr bool kLean = kShared || K > 9;
  static constexpr int kFieldRows = kLean ? 3 : 1;
  // The rows of r0 from the injected one to the finished one; with a map, one more row of c.
  static constexpr int kGroups = (K + (kMap ? 3 : 2) + 2) / 3, kRing = 3 * kGroups;
  static constexpr int kRings = kMap ? 3 : 2, kFields = 4;
  static constexpr int kPlaceFloats = 12;  // room for kFields + 1 places of two floats each
  static constexpr int kFloats = (kRings * kRing + kFieldRows * kFields + 1) * kColumns +
                                 kPlaceFloats + (kShared ? 4 * K : 0);  // floats of shared memory

  __device__ __forceinline__ March(const MarchParams& params, float* shared)
      : p_(params),
        lane_(static_cast<int>(threadIdx.x) % 32),
        rings_(shared),
        fields_(shared + kRings * kRing * kColumns),
        row_out_(fields_ + kFieldRows * kFields * kColumns),
        places_(reinterpret_cast<std::int64_t*>(row_out_ + kColumns)),
        steps_(reinterpret_cast<LevelStep*>(row_out_ + kColumns + kPlaceFloats)) {}

  __device__ __forceinline__ void run(int task) {
    const int channels = p_.its_channels;
    channel_ = p_.first_channel + task % channels;
    const int strip = task / channels % p_.strips;
    const int segment = task / channels / p_.strips % p_.segments;
    item_ = p_.first_item + task / channels / p_.strips / p_.segments;
    if constexpr (kShared) {
      plan_ = &p_.plan;
      if (p_.control != nullptr) {
        const Control& control = p_.control[item_];
        const bool idle = control.done || p_.pass >= control.passes;
        if (__any_sync(kAll, idle)) return;
        plan_ = p_.table + item_ * p_.table_passes + p_.pass;
      }
      // The shuffles tell the compiler that the values are the same for the whole warp.
      count_ = __shfl_sync(kAll, plan_->count, 0);
      ends_ = __shfl_sync(kAll, plan_->ends, 0);
    }
    x0_ = strip * p_.strip_columns;
    x1_ = std::min(p_.width, x0_ + p_.strip_columns);
    y0_ = segment * p_.segment_rows;
    y1_ = std::min(p_.height, y0_ + p_.segment_rows);
    xs_ = x0_ - p_.pad;
    measure_ = TileMeasure{};
    interior_ = xs_ >= 0 && xs_ + kColumns <= p_.width;
    if (known_rows()) march();
    publish(((std::int64_t(item_) * p_.segments + segment) * p_.strips + strip) * p_.channels +
            channel_);
  }

 private:
  __device__ __forceinline__ const Pass& plan() const {
    if constexpr (kShared) return *plan_;
    return p_.plan;
  }
  __device__ __forceinline__ bool starts() const { return p_.pass == 0; }
  __device__ __forceinline__ bool ends() const { return (kShared ? ends_ : p_.plan.ends) != 0; }
  __device__ __forceinline__ int count() const { return kShared ? count_ : p_.plan.count; }
  __device__ __forceinline__ int first() const { return K - count(); }

  __device__ __forceinline__ bool is_pinned() const { return p_.pinned; }

  __device__ __forceinline__ bool inside(int column) const { return column >= x0_ && column < x1_; }

  __device__ __forceinline__ std::int64_t state_row(int y) const {
    const int item = item_ - p_.first_item, channel = channel_ - p_.first_channel;
    return (std::int64_t(item) * p_.its_channels + channel) * p_.plane + y * p_.pitch;
  }

  // Where pixels are known, narrows the rows to those with unknown ones and writes the others.
  // Returns false where no row is left.
  __device__ __forceinline__ bool known_rows() {
    if (!is_pinned()) return true;
    constexpr int kAtOnce = 4;
    int low = y1_, high = y0_;
    for (int y = y0_; y < y1_; y += kAtOnce) {
      unsigned unknown = 0;
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {
        if (y + r >= y1_) continue;
        // Columns beyond the strip's are read from within it.
        const char* from[N];
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const int x = std::min(std::max(xs_ + lane_ + 32 * j, x0_), x1_ - 1);
          from[j] = p_.mask.at(item_, 0, y + r) + std::int64_t(x) * p_.mask.column;
        }
        Bits<N> bits;
        gather(from, bytes_of(p_.mask.dtype), bits);
        const Run<N> values = unpack<false, true>(bits, p_.mask.dtype);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          if (values[j] > 0) unknown |= 1u << r;
        }
      }
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {
        if (!__any_sync(kAll, (unknown >> r) & 1u)) continue;
        low = std::min(low, y + r);
        high = y + r + 1;
      }
    }
    if (low >= high) low = high = y1_;
    hold(low, high);
    y0_ = low;
    y1_ = high;
    return low < high;
  }

  // Writes the rows of known pixels, before `low` and from `high` on: dst, or zero where b is
  // given, and a state of zero.
  __device__ __forceinline__ void hold(int low, int high) {
    const bool have = p_.dst.data != nullptr;
    for (int y = low > y0_ ? y0_ : high; y < y1_; y = y + 1 == low ? high : y + 1) {
#pragma unroll 1
      for (int j = 0; j < N; ++j) {
        const int x = xs_ + lane_ + 32 * j;
        if (!inside(x)) continue;
        if (ends()) {
          float value = 0;
          if (have) {
            const char* from = p_.dst.at(item_, channel_, y) + std::int64_t(x) * p_.dst.column;
            value = value_of(bits_at(from, p_.dst.dtype), p_.dst.dtype);
          }
          store_one(y, x, value);
        } else {
          const std::int64_t at = state_row(y) + x;
          p_.e[p_.pass & 1][at] = 0;
          p_.before[p_.pass & 1][at] = 0;
        }
      }
    }
  }

  static __device__ __forceinline__ float nan() { return __uint_as_float(0x7fc00000u); }

  // ---- rows in ----

  __device__ __forceinline__ bool own(int f) const { return interior_ && p_.field[f].vector; }

  __device__ __forceinline__ int mirrored(int x) const {
    if (interior_) return x;
    return p_.width >= kColumns ? device::mirror_once(x, p_.width) : device::mirror(x, p_.width);
  }

  __device__ __forceinline__ void fetch_row() {
    int columns[N];
#pragma unroll
    for (int j = 0; j < N; ++j) columns[j] = mirrored(xs_ + lane_ + 32 * j);
#pragma unroll
    for (int f = 0; f < kFields; ++f) {
      if (p_.field[f].data == nullptr) continue;
      fetch<N>(p_.field[f], p_.field[f].at(places_[f], cursor_.at), own(f), xs_ + lane_ * N,
               columns, bits_[f]);
    }
  }

  // Names the images' row i, the one before it and the one after it, in each lane's own columns.
  enum { kBefore, kHere, kNext };
  __device__ __forceinline__ float* field_row(int row, int f) const {
    if constexpr (!kLean) return fields_ + f * kColumns;
    return fields_at_[row] + f * kColumns;
  }

  // Unpacks row i + 1 from what was fetched.
  __device__ __forceinline__ void receive(Run<N> (&row)[kFields], Run<N>& weights) {
#pragma unroll
    for (int f = 0; f < kFields; ++f) {
      if (p_.field[f].data == nullptr || own(f)) continue;
      const Run<N> values = f == 2 ? unpack<false, true>(bits_[f], p_.field[f].dtype)
                                   : unpack<false, false>(bits_[f], p_.field[f].dtype);
#pragma unroll
      for (int j = 0; j < N; ++j) field_row(kNext, f)[lane_ + 32 * j] = values[j];
    }
    const bool half = p_.input == Input::kImages && p_.half_base;
    if (half) half_row(field_row(kNext, 3));
    HM_SYNCWARP(kAll);
#pragma unroll
    for (int f = 0; f < kFields; ++f) {
      if (p_.field[f].data == nullptr) {
        row[f] = constant<N>(0);
        if (kLean && f < 3) write<N>(field_row(kNext, f) + lane_ * N, row[f]);
      } else if (own(f)) {
        row[f] = f == 2 ? unpack<true, true>(bits_[f], p_.field[f].dtype)
                        : unpack<true, false>(bits_[f], p_.field[f].dtype);
        if (kLean && f < 3) write<N>(field_row(kNext, f) + lane_ * N, row[f]);
      } else {
        row[f] = read<N>(field_row(kNext, f) + lane_ * N);
      }
    }
    if (half) {
      row[3] = cubic_row(field_row(kNext, 3));
      if (kLean) HM_SYNCWARP(kAll);  // the doubled row is written in its place
    }
    if constexpr (kMap) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        weights[j] = p_.weight;
        if (p_.map.data != nullptr) {
          const int x = mirrored(xs_ + lane_ * N + j);
          weights[j] = *reinterpret_cast<const float*>(p_.map.at(item_, 0, cursor_.at) +
                                                       std::int64_t(x) * p_.map.column);
        }
      }
    }
    cursor_.next();
  }

  // Returns the first column of the half-size base that the strip's cubics reach.
  __device__ __forceinline__ int first_half() const { return std::max(xs_, 0) / 2 - 2; }

  // Interpolates the half-size base vertically to the height of the full row, into `to`.
  __device__ __forceinline__ void half_row(float* to) {
    const int y = cursor_.at / 2, toward = cursor_.at % 2 == 0 ? -1 : 1, last = p_.half_height - 1;
    const int size = bytes_of(p_.base.dtype);
    const char* rows[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int at = std::min(std::max(y + (r - 1) * toward, 0), last);
      rows[r] = p_.base.at(places_[3], at);
    }
    constexpr int kMost = (kColumns / 2 + 5 + 31) / 32;
#pragma unroll 1
    for (int t = 0; t < kMost; ++t) {
      const int x = std::min(std::max(first_half() + lane_ + 32 * t, 0), p_.half_width - 1);
      const char* from[4];
#pragma unroll
      for (int r = 0; r < 4; ++r) from[r] = rows[r] + std::int64_t(x) * p_.base.column;
      Bits<4> bits;
      gather(from, size, bits);
      const Run<4> v = unpack<false, false>(bits, p_.base.dtype);
      to[lane_ + 32 * t] = cubic(v[0], v[1], v[2], v[3]);
    }
  }

  __device__ __forceinline__ Run<N> cubic_row(const float* half) const {
    Run<N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int x = mirrored(xs_ + lane_ * N + j);
      const int toward = x % 2 == 0 ? -1 : 1, at = x / 2 - first_half();
      out[j] = cubic(half[at - toward], half[at], half[at + toward], half[at + 2 * toward]);
    }
    return out;
  }

  // ---- stencils ----

  // Returns b - A x of the row `x`, whose neighbours are `above` and `below`.
  __device__ __forceinline__ Run<N> residual(const Run<N>& above, const Run<N>& x,
                                             const Run<N>& below, const Run<N>& b) const {
    Run<N> v, t, r;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      v[j] = above[j] + below[j];
      t[j] = fmaf(p_.c2, v[j], p_.c1 * x[j]);
    }
    const Sides<N> s = sides_of<N>(t);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      r[j] = fmaf(-p_.c1, v[j], fmaf(-p_.c0, x[j], b[j])) - (s.left[j] + s.right[j]);
    }
    return r;
  }

  // Returns b - A x where the three rows have the weights c_above, c and c_below.
  __device__ __forceinline__ Run<N> residual(const Run<N>& above, const Run<N>& x,
                                             const Run<N>& below, const Run<N>& b,
                                             const Run<N>& c_above, const Run<N>& c,
                                             const Run<N>& c_below) const {
    const Sides<N> x0 = sides_of<N>(above), x1 = sides_of<N>(x), x2 = sides_of<N>(below);
    const Sides<N> c0 = sides_of<N>(c_above), c1 = sides_of<N>(c), c2 = sides_of<N>(c_below);
    Run<N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float middle = x[j], weight = c[j];
      auto link = [&](float neighbour, float its, float& sum) {
        const float difference = middle - neighbour;
        sum = fmaf(fminf(weight, its), difference, sum);
        return difference;
      };
      // Pairs that mirror each other are added first: mirrored pixels then get mirrored bits.
      float edges = 0, left_edge = 0, right_edge = 0, left_corner = 0, right_corner = 0;
      const float left = link(x1.left[j], c1.left[j], left_edge);
      const float right = link(x1.right[j], c1.right[j], right_edge);
      float up_edge = 0, down_edge = 0;
      const float up = link(above[j], c_above[j], up_edge);
      const float down = link(below[j], c_below[j], down_edge);
      float upper = 0, lower = 0;
      link(x0.left[j], c0.left[j], upper);
      link(x2.left[j], c2.left[j], lower);
      left_corner = upper + lower;
      upper = lower = 0;
      link(x0.right[j], c0.right[j], upper);
      link(x2.right[j], c2.right[j], lower);
      right_corner = upper + lower;
      edges = (left_edge + right_edge) + (up_edge + down_edge);
      const float laplace = (left + right) + (up + down);
      float r = fmaf(-(p_.sum * weight), middle, b[j] - laplace);
      r = fmaf(p_.side, edges, r);
      out[j] = fmaf(p_.corner, left_corner + right_corner, r);
    }
    return out;
  }

  // Returns the ring slot of the row injected `back` rows before the current one (sub-row U of
  // three; levels below first_ are counted in).
  template <int U>
  __device__ __forceinline__ float* slot(int ring, int back) const {
    const int sub = ((U - back) % 3 + 3) % 3, group = (back - U + sub) / 3;
    return groups_[group % kGroups] + (ring * kRing + sub) * kColumns;
  }

  // ---- one row ----

  // Reads the last two levels of the pass before: row i, and row i - 1 that level 1 does next.
  __device__ __forceinline__ void resume(int i, Run<N>& level, Run<N>& before) const {
    const int from = (p_.pass & 1) ^ 1;
    const float* e = p_.e[from] + state_row(device::mirror(i, p_.height));
    const float* its = p_.before[from] + state_row(device::mirror(i - 1, p_.height));
    const int first = xs_ + lane_ * N;
    if (interior_) {
      level = read<N>(e + first);
      before = read<N>(its + first);
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const int x = mirrored(first + j);
        level[j] = e[x];
        before[j] = its[x];
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      level[j] *= plan().scale;
      before[j] *= plan().before_scale;
    }
  }

  // Forms r0, x0 and, where the run starts, level 0 of row i; row i + 1 has come already.
  __device__ __forceinline__ void inject(int i, const Run<N> (&row)[kFields], const Run<N>& weights,
                                         Run<N>& r0, Run<N>& x0, Run<N>& level) {
    Run<N> next = row[3];
    const Run<N> x_before = kLean ? read<N>(field_row(kBefore, 3) + lane_ * N) : x_[0],
                 x_here = kLean ? read<N>(field_row(kHere, 3) + lane_ * N) : x_[1];
    const Run<N> s_here = kLean ? read<N>(field_row(kHere, 0) + lane_ * N) : s_,
                 d_here = kLean ? read<N>(field_row(kHere, 1) + lane_ * N) : d_,
                 m_here = kLean ? read<N>(field_row(kHere, 2) + lane_ * N) : m_;
    if (p_.input == Input::kImages) {
      const Run<N>&s1 = row[0], &d1 = row[1], &m1 = row[2];
      Run<N> down, right, b;
      const float s_end = __shfl_down_sync(kAll, s_here[0], 1),
                  d_end = __shfl_down_sync(kAll, d_here[0], 1),
                  m_end = __shfl_down_sync(kAll, m_here[0], 1);
      auto wanted = [&](float ds, float dd, float m) {
        return fmaf(m * p_.mask_scale, ds - dd, dd);
      };
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (is_pinned()) next[j] = m1[j] > 0 ? next[j] : d1[j];
        down[j] = wanted(s1[j] - s_here[j], d1[j] - d_here[j], m_here[j] + m1[j]);
        const float s = j + 1 < N ? s_here[(j + 1) % N] : s_end,
                    d = j + 1 < N ? d_here[(j + 1) % N] : d_end,
                    m = j + 1 < N ? m_here[(j + 1) % N] : m_end;
        right[j] = wanted(s - s_here[j], d - d_here[j], m_here[j] + m);
      }
      float left = __shfl_up_sync(kAll, right[N - 1], 1);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float weight = kMap ? c_[1][j] : p_.weight;
        b[j] = fmaf(weight, x_here[j], (left - right[j]) + (up_[j] - down[j]));
        left = right[j];
        up_[j] = down[j];
      }
      x0 = x_here;
      if constexpr (kMap) {
        r0 = residual(x_before, x_here, next, b, c_[0], c_[1], weights);
      } else {
        r0 = residual(x_before, x_here, next, b);
      }
    } else {
      r0 = s_here;
      x0 = constant<N>(0);
    }
    const bool own = i >= y0_ && i < y1_;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const bool unknown = !is_pinned() || m_here[j] > 0;
      if (starts()) {
        // This measures around the tile as well: known pixels there are in nobody's rows.
        measure_.start = fmaxf(measure_.start, fabsf(x0[j]));
        if (p_.floats) {
          measure_.low = fminf(measure_.low, fminf(s_here[j], d_here[j]));
          measure_.high = fmaxf(measure_.high, fmaxf(s_here[j], d_here[j]));
        }
        if (own && unknown && inside(xs_ + lane_ * N + j)) {
          // The measure is infinite where the images are not finite.
          const float size = r0[j] == r0[j] ? fabsf(r0[j]) : __uint_as_float(0x7f800000u);
          measure_.first_residual = fmaxf(measure_.first_residual, size);
        }
        level[j] = r0[j] * plan().inject;
      }
      if (is_pinned() && !unknown) r0[j] = nan();
      if (is_pinned() && !unknown) level[j] = 0;
    }
    if constexpr (kLean) {
      write<N>(field_row(kNext, 3) + lane_ * N, next);
    } else {
      s_ = row[0];
      d_ = row[1];
      m_ = row[2];
      x_[0] = x_[1];
      x_[1] = next;
    }
    if constexpr (kMap) {
      c_[0] = c_[1];
      c_[1] = weights;
    }
  }

  // Computes the levels of row i, which is sub-row U.
  template <int U, bool kChecked>
  __device__ __forceinline__ void levels(int i, Run<N> current, const Run<N>& start_before) {
    // Level k does row i - (k - first). It is computed from two rows before it is needed.
    const int reach = (i - y0_ + K + 1 + first()) / 2 + 1;
    constexpr int kUp = (U + 1) % 3, kHere = (U + 2) % 3;
#pragma unroll
    for (int k = 1; k <= K; ++k) {
      const Run<N> level = current;
      if (!kChecked || (k > first() && k <= reach)) {
        const Run<N> b = read<N>(slot<U>(0, k));
        const Run<N>&up = rows_[k - 1][kUp], &here = rows_[k - 1][kHere];
        Run<N> next, before;
        if (k == 1 || (kChecked && k == first() + 1)) {
          before = start_before;
        } else {
          before = rows_[k >= 2 ? k - 2 : 0][kUp];
        }
        const LevelStep step = step_of<kChecked>(k);
        if constexpr (kMap) {
          const Run<N> r = residual(up, here, current, b, read<N>(slot<U>(2, k + 1)),
                                    read<N>(slot<U>(2, k)), read<N>(slot<U>(2, k - 1)));
#pragma unroll
          for (int j = 0; j < N; ++j) {
            next[j] = fmaf(step.b, r[j], here[j]);
            next[j] = fmaf(step.a, here[j] - before[j], next[j]);
          }
        } else {
          Run<N> v, t;
#pragma unroll
          for (int j = 0; j < N; ++j) {
            v[j] = up[j] + current[j];
            t[j] = fmaf(p_.rho, v[j], here[j]);
          }
          const Sides<N> s = sides_of<N>(t);
#pragma unroll
          for (int j = 0; j < N; ++j) {
            const float sum = fmaf(step.a, here[j], v[j]) + (s.left[j] + s.right[j]);
            next[j] = fmaf(step.b, fmaf(step.c, b[j], sum), -before[j]);
          }
        }
#pragma unroll
        for (int j = 0; j < N; ++j) {
          if (is_pinned()) next[j] = b[j] == b[j] ? next[j] : 0.0f;
        }
        current = next;
      }
      // The level is stored even where it was not needed, so that what was there before is gone.
      rows_[k - 1][U] = level;
    }
    if (!kChecked || K < reach) finish<U>(i, current);
    rows_[K][U] = current;
  }

  template <bool kChecked>
  __device__ __forceinline__ void levels(int u, int i, const Run<N>& current,
                                         const Run<N>& start_before) {
    if (u == 0) {
      levels<0, kChecked>(i, current, start_before);
    } else if (u == 1) {
      levels<1, kChecked>(i, current, start_before);
    } else {
      levels<2, kChecked>(i, current, start_before);
    }
  }

  // `steady`: every level is under way, none is left out. The code of the levels exists once for
  // each of the three rows whose registers take turns. The code for input and output, which is
  // larger because of its dtypes, exists once.
  __device__ __forceinline__ void row(int u, int i, bool steady) {
    Run<N> in[kFields], weights, r0, x0, current = constant<N>(0), before = current;
    lane_ = anew(lane_);
    if (!!kLean) fetch_row();
    if (!starts()) resume(i, current, before);
    receive(in, weights);
    const Run<N> c_here = c_[1];
    inject(i, in, weights, r0, x0, current);
    // The next row cannot be fetched earlier: this one is in the registers until here.
    if (!kLean) fetch_row();
    float* to = rings_ + slot_ * kColumns + lane_ * N;
    write<N>(to, r0);
    write<N>(to + kRing * kColumns, x0);
    if constexpr (kMap) write<N>(to + 2 * kRing * kColumns, c_here);
    slot_ = slot_ + 1 == kRing ? 0 : slot_ + 1;

    if (kShared || !steady) {
      levels<true>(u, i, current, before);
    } else {
      levels<false>(u, i, current, before);
    }
    const int y = i - count() - 1;
    const bool done = ends() && y >= y0_ && y < y1_;
    const std::int64_t place = places_[kFields];  // read before the next tile's is written
    if (done && p_.out.vector) store_own(p_.out.at(place, y), y, read<N>(row_out_ + lane_ * N));
    HM_SYNCWARP(kAll);
    if (done && !p_.out.vector) store_spread(p_.out.at(place, y));
  }

  __device__ __forceinline__ void store_one(int y, int x, float value) const {
    device::store_value(p_.out.at(item_, channel_, y) + std::int64_t(x) * p_.out.column,
                        p_.out.dtype, 0, value);
  }

  // Stores a row of the answer from shared memory: neighbouring lanes, neighbouring columns.
  __device__ __forceinline__ void store_spread(char* row) const {
    char* to[N];
    float value[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      to[j] = row + std::int64_t(xs_ + lane_ + 32 * j) * p_.out.column;
      value[j] = row_out_[lane_ + 32 * j];
    }
    switch (p_.out.dtype) {
      case DType::kUInt8: return store_spread_as<DType::kUInt8>(to, value);
      case DType::kUInt16: return store_spread_as<DType::kUInt16>(to, value);
      case DType::kFloat16: return store_spread_as<DType::kFloat16>(to, value);
      default: return store_spread_as<DType::kFloat32>(to, value);
    }
  }

  template <DType kType>
  __device__ __forceinline__ void store_spread_as(char* const (&to)[N],
                                                  const float (&value)[N]) const {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (inside(xs_ + lane_ + 32 * j)) device::store_value(to[j], kType, 0, value[j]);
    }
  }

  // Measures the last level's row y = i - count - 1 and writes its last update to the row of the
  // answer. Where the run goes on, stores row i - count of the last two levels instead.
  template <int U>
  __device__ __forceinline__ void finish(int i, const Run<N>& current) {
    constexpr int kUp = (U + 1) % 3, kHere = (U + 2) % 3;
    if (!ends()) {
      const int y = i - count();
      if (y >= y0_ && y < y1_) {
        store_state(p_.e[p_.pass & 1], y, current, p_.before[p_.pass & 1], rows_[K - 1][kHere]);
      }
      return;
    }
    const int y = i - count() - 1;
    const bool wanted = y >= y0_ && y < y1_;
    const Run<N>&up = rows_[K][kUp], &e = rows_[K][kHere];
    const Run<N> b = read<N>(slot<U>(0, K + 1));
    Run<N> r, x0, c;
    if constexpr (kMap) {
      c = read<N>(slot<U>(2, K + 1));
      r = residual(up, e, current, b, read<N>(slot<U>(2, K + 2)), c, read<N>(slot<U>(2, K)));
    } else {
      r = residual(up, e, current, b);
    }
    if (wanted) {
      x0 = read<N>(slot<U>(1, K + 1));
      Run<N> x;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const bool known = is_pinned() && !(b[j] == b[j]);
        x[j] = known ? x0[j] : x0[j] + fmaf(p_.damping, r[j], e[j]);
        if (known || !inside(xs_ + lane_ * N + j)) continue;
        const float size = fabsf(r[j]);
        measure_.residual = fmaxf(measure_.residual, size);
        measure_.correction = fmaxf(measure_.correction, fabsf(e[j]));
        if (kMap) {
          measure_.scaled = fmaxf(measure_.scaled, size / (p_.slope * c[j]));
          if (p_.want_norm) measure_.norm += static_cast<double>(r[j]) * static_cast<double>(r[j]);
        }
      }
      write<N>(row_out_ + lane_ * N, x);
    }
  }

  __device__ __forceinline__ void store_state(float* a, int y, const Run<N>& va, float* b,
                                              const Run<N>& vb) const {
    const std::int64_t at = state_row(y) + xs_ + lane_ * N;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (!inside(xs_ + lane_ * N + j)) continue;
      a[at + j] = va[j];
      b[at + j] = vb[j];
    }
  }

  // Stores a lane's columns at once where all of them are wanted.
  __device__ __forceinline__ void store_own(char* row, int y, const Run<N>& x) const {
    const int first = xs_ + lane_ * N;
    if (first >= x0_ && first + N <= x1_) {
      char* to = row + first * bytes_of(p_.out.dtype);
      switch (p_.out.dtype) {
        case DType::kUInt8: {
#pragma unroll
          for (int j = 0; j < N; j += 4) {
            unsigned packed = 0;
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              packed |= static_cast<unsigned>(rintf(fminf(fmaxf(x[j + k], 0.0f), 255.0f)))
                        << (8 * k);
            }
            reinterpret_cast<unsigned*>(to)[j / 4] = packed;
          }
          return;
        }
        case DType::kUInt16:
        case DType::kFloat16: {
#pragma unroll
          for (int j = 0; j < N; j += 2) {
            unsigned packed = 0;
#pragma unroll
            for (int k = 0; k < 2; ++k) {
              const unsigned v =
                  p_.out.dtype == DType::kUInt16
                      ? static_cast<unsigned>(rintf(fminf(fmaxf(x[j + k], 0.0f), 65535.0f)))
                      : static_cast<unsigned>(__half_as_ushort(__float2half_rn(x[j + k])));
              packed |= v << (16 * k);
            }
            reinterpret_cast<unsigned*>(to)[j / 2] = packed;
          }
          return;
        }
        default: write<N>(reinterpret_cast<float*>(to), x); return;
      }
    }
    // These are the strip's ends.
#pragma unroll 1
    for (int j = 0; j < N; ++j) {
      float value = x[0];
#pragma unroll
      for (int k = 1; k < N; ++k) value = j == k ? x[k] : value;
      if (inside(first + j)) store_one(y, first + j, value);
    }
  }

  template <bool kChecked>
  __device__ __forceinline__ LevelStep step_of(int k) const {
    if constexpr (kShared) return steps_[k - 1];
    return p_.plan.steps[kChecked ? k - 1 - first() : k - 1];
  }

  __device__ __forceinline__ void march() {
    if constexpr (kShared) {
      for (int k = lane_; k < count(); k += 32) steps_[k + first()] = plan().steps[k];
    }
    if (lane_ == 0) {
#pragma unroll
      for (int f = 0; f < kFields; ++f) {
        const Source& field = f == 3 && p_.half_base ? p_.base : p_.field[f];
        places_[f] = field.place(item_, f == 2 ? 0 : channel_);
      }
      places_[kFields] = p_.out.place(item_, channel_);
    }
    HM_SYNCWARP(kAll);
    const int begin = y0_ - (count() + 2);
    cursor_ = RowCursor(begin, p_.height);
    fetch_row();
    // What the levels read too early never reaches the tile; zeros keep it the same in every run.
#pragma unroll 1
    for (int r = 0; r < kRings * kRing; ++r) {
      write<N>(rings_ + r * kColumns + lane_ * N, constant<N>(0));
    }
#pragma unroll
    for (int k = 0; k <= K; ++k) {
#pragma unroll
      for (int r = 0; r < 3; ++r) rows_[k][r] = constant<N>(0);
    }
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      groups_[g] = rings_ + (g == 0 ? 0 : kGroups - g) * 3 * kColumns + lane_ * N;
    }
    slot_ = first() == 0 ? 0 : kRing - first();
    up_ = c_[0] = c_[1] = constant<N>(0);
    if constexpr (kLean) {
#pragma unroll
      for (int r = 0; r < 3; ++r) fields_at_[r] = fields_ + r * kFields * kColumns;
    }
    Run<N> in[kFields];
    receive(in, c_[1]);
    HM_SYNCWARP(kAll);
    if (!kLean) fetch_row();
    if (p_.input == Input::kImages && is_pinned()) {
#pragma unroll
      for (int j = 0; j < N; ++j) in[3][j] = in[2][j] > 0 ? in[3][j] : in[1][j];
    }
    if constexpr (kLean) {
      write<N>(field_row(kNext, 3) + lane_ * N, in[3]);
      write<N>(field_row(kHere, 3) + lane_ * N, constant<N>(0));
      next_row();
    } else {
      s_ = in[0];
      d_ = in[1];
      m_ = in[2];
      x_[0] = constant<N>(0);
      x_[1] = in[3];
    }
    const int last = ends() ? y1_ + count() : y1_ + count() - 1;
    const int steady = !kShared && first() == 0 ? y0_ + K : last + 1;
    int u = 0;
#pragma unroll 1
    for (int i = begin; i <= last; ++i) {
      row(u, i, i >= steady);
      if constexpr (kLean) next_row();
      u = u == 2 ? 0 : u + 1;
      if (u > 0) continue;
      float* const oldest = groups_[kGroups - 1];
#pragma unroll
      for (int g = kGroups - 1; g > 0; --g) groups_[g] = groups_[g - 1];
      groups_[0] = oldest;
    }
  }

  __device__ __forceinline__ void next_row() {
    float* const oldest = fields_at_[kBefore];
    fields_at_[kBefore] = fields_at_[kHere];
    fields_at_[kHere] = fields_at_[kNext];
    fields_at_[kNext] = oldest;
  }

  __device__ __forceinline__ void publish(std::int64_t task) {
    using device::warp_reduce;
    struct Larger {
      __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
    };
    TileMeasure m = measure_;
    if (starts()) {
      m.first_residual = warp_reduce(m.first_residual, Larger());
      m.start = warp_reduce(m.start, Larger());
      m.low = -warp_reduce(-m.low, Larger());
      m.high = warp_reduce(m.high, Larger());
    }
    if (ends()) {
      m.residual = warp_reduce(m.residual, Larger());
      m.scaled = warp_reduce(m.scaled, Larger());
      m.correction = warp_reduce(m.correction, Larger());
      if (kMap) m.norm = warp_reduce(m.norm, device::Sum());
    }
    if (lane_ != 0) return;
    TileMeasure& to = p_.measures[task];
    if (starts()) {
      to.first_residual = m.first_residual;
      to.start = m.start;
      to.low = m.low;
      to.high = m.high;
    }
    if (ends()) {
      to.residual = m.residual;
      to.scaled = m.scaled;
      to.correction = m.correction;
      to.norm = m.norm;
    }
  }

  const MarchParams& p_;
  int lane_;
  float* const rings_;
  float* const fields_;
  float* const row_out_;
  std::int64_t* const places_;  // places of the fields and the answer: long to compute
  LevelStep* const steps_;
  int item_, channel_, x0_, x1_, y0_, y1_, xs_;
  int slot_;
  bool interior_;
  const Pass* plan_ = nullptr;
  int count_ = 0, ends_ = 0;
  RowCursor cursor_{0, 1};
  Bits<N> bits_[kFields];
  Run<N> s_, d_, m_, up_;  // row i
  Run<N> x_[2], c_[2];     // rows i - 1 and i
  Run<N> rows_[K + 1][3];
  float* groups_[kGroups];
  float* fields_at_[3];  // where the images' rows i - 1 to i + 1 are
  TileMeasure measure_;
};

template <int K, int N, bool kMap, bool kShared>
__global__ void __launch_bounds__(128)
    gaussian_poisson_chebyshev_kernel(const __grid_constant__ MarchParams params) {
  using Work = March<K, N, kMap, kShared>;
  HM_DYN_SMEM(float, shared);
  // The shuffle tells the compiler that the number is the same for the whole warp.
  const int warp = __shfl_sync(kAll, static_cast<int>(threadIdx.x) / 32, 0);
  const int warps = static_cast<int>(blockDim.x) / 32;
  Work work(params, shared + warp * Work::kFloats);
  for (int task = static_cast<int>(blockIdx.x) * warps + warp; task < params.tasks;
       task += static_cast<int>(gridDim.x) * warps) {
    work.run(task);
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
