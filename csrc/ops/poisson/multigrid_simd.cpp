// The passes of level.h.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "ops/poisson/level.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace pyharmony::HM_SIMD_NS {
namespace {

using poisson::AddPass;
using poisson::CoarsenPass;
using poisson::CoarsePass;
using poisson::Coefficients;
using poisson::DirectionPass;
using poisson::DownMode;
using poisson::DownPass;
using poisson::kFirst;
using poisson::kMomentum;
using poisson::kPad;
using poisson::kSecond;
using poisson::LevelView;
using poisson::RestrictPass;
using poisson::Stencil;
using poisson::UpPass;

constexpr int kLanes = HM_SIMD_BYTES / 4;
static_assert(kPad % kLanes == 0, "spans are whole vectors");

using Vec = float __attribute__((vector_size(HM_SIMD_BYTES)));
using Loose = float __attribute__((vector_size(HM_SIMD_BYTES), aligned(4), may_alias));
using Bits = std::int32_t __attribute__((vector_size(HM_SIMD_BYTES)));
[[maybe_unused]] typedef std::int8_t Bytes __attribute__((vector_size(HM_SIMD_BYTES / 4)));

inline Vec load(const float* p) { return *reinterpret_cast<const Loose*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Loose*>(p) = v; }
inline Vec splat(float v) { return Vec{} + v; }
inline Vec masked(Vec v, Bits mask) { return (Vec)((Bits)v & mask); }

// It avoids the compiler's own widening of bytes, which goes through scalars.
inline Bits load_mask(const std::int8_t* p) {
#if HM_SIMD_BYTES == 64 && defined(__AVX512F__)
  // The unmasked form causes a false warning about uninitialised lanes.
  return (Bits)_mm512_maskz_cvtepi8_epi32(0xffff,
                                          _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif HM_SIMD_BYTES == 32 && defined(__AVX2__)
  return (Bits)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif HM_SIMD_BYTES == 16 && defined(__SSE2__)
  int four;
  std::memcpy(&four, p, sizeof(four));
  const __m128i bytes = _mm_cvtsi32_si128(four);
  const __m128i shorts = _mm_unpacklo_epi8(bytes, bytes);
  return (Bits)_mm_srai_epi32(_mm_unpacklo_epi16(shorts, shorts), 24);
#else
  Bytes bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return __builtin_convertvector(bytes, Bits);
#endif
}

// A sweep touches a new page or two with each row, where the hardware's prefetch starts afresh.
inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

// The operator on row i: apply() is for smoothing, exact() for the residual that conjugate
// gradients carry (differences are exact, so small weights are not lost beside the diagonal, and a
// smooth x leaves no rounding for A^-1 to magnify), start() is exact() where the level has what
// that reads, inverse() is the smoother's diagonal's, keep() zeroes the known pixels.
template <Stencil kStencil>
class RowOperator {
 public:
  RowOperator(const LevelView& level, int i) {
    active_ = level.active + i * level.stride;
    if (kStencil == Stencil::kFiveMap) excess_ = level.excess + i * level.stride;
    left_ = level.left;
    right_ = level.right;
    links_ = level.links;
    excess_all_ = splat(level.excess_all);
    diagonal_all_ = splat(4 + level.excess_all);
    inverse_all_ = splat(level.inverse_all);
    inverse_ = kStencil == Stencil::kFiveMap ? level.inverse + i * level.stride : nullptr;
  }
  Vec excess(int j) const {
    if constexpr (kStencil == Stencil::kFiveMap) return load(excess_ + j);
    return excess_all_;
  }
  Vec apply(const float* up, const float* at, const float* down, int j) const {
    const Vec sum = (load(up + j) + load(down + j)) + (load(at + j - 1) + load(at + j + 1));
    if constexpr (kStencil == Stencil::kFive) return diagonal_all_ * load(at + j) - sum;
    return (load(links_ + j) + excess(j)) * load(at + j) - sum;
  }
  Vec exact(const float* up, const float* at, const float* down, int j) const {
    const Vec x = load(at + j);
    Vec left = x - load(at + j - 1), right = x - load(at + j + 1);
    if constexpr (kStencil != Stencil::kFive) {
      // A neighbour that is missing takes no part: x - 0 would leave the rounding of x.
      left *= load(left_ + j);
      right *= load(right_ + j);
    }
    return excess(j) * x + (((x - load(up + j)) + (x - load(down + j))) + (left + right));
  }
  Vec start(const float* up, const float* at, const float* down, int j) const {
    return exact(up, at, down, j);
  }
  Vec inverse(int j) const {
    if constexpr (kStencil == Stencil::kFiveMap) return load(inverse_ + j);
    return masked(inverse_all_, load_mask(active_ + j));
  }
  Vec keep(Vec v, int j) const { return masked(v, load_mask(active_ + j)); }

 private:
  const std::int8_t* active_;
  const float *excess_ = nullptr, *inverse_, *left_, *right_, *links_;
  Vec excess_all_, diagonal_all_, inverse_all_;
};

template <>
class RowOperator<Stencil::kNine> {
 public:
  RowOperator(const LevelView& level, int i) : up_(-level.stride) {
    const std::ptrdiff_t row = i * level.stride;
    c_ = level.c + row;
    e_ = level.e + row;
    s_ = level.s + row;
    se_ = level.se + row;
    sw_ = level.sw + row;
    inverse_ = level.inverse + row;
    row_sum_ = level.row_sum == nullptr ? nullptr : level.row_sum + row;
  }
  Vec apply(const float* up, const float* at, const float* down, int j) const {
    const Vec middle = load(c_ + j) * load(at + j) + load(e_ + j) * load(at + j + 1) +
                       load(e_ + j - 1) * load(at + j - 1);
    const Vec below = load(s_ + j) * load(down + j) + load(se_ + j) * load(down + j + 1) +
                      load(sw_ + j) * load(down + j - 1);
    const Vec above = load(s_ + up_ + j) * load(up + j) +
                      load(se_ + up_ + j - 1) * load(up + j - 1) +
                      load(sw_ + up_ + j + 1) * load(up + j + 1);
    return middle + (below + above);
  }
  Vec exact(const float* up, const float* at, const float* down, int j) const {
    const Vec x = load(at + j);
    const Vec middle =
        load(e_ + j) * (load(at + j + 1) - x) + load(e_ + j - 1) * (load(at + j - 1) - x);
    const Vec below = load(s_ + j) * (load(down + j) - x) +
                      load(se_ + j) * (load(down + j + 1) - x) +
                      load(sw_ + j) * (load(down + j - 1) - x);
    const Vec above = load(s_ + up_ + j) * (load(up + j) - x) +
                      load(se_ + up_ + j - 1) * (load(up + j - 1) - x) +
                      load(sw_ + up_ + j + 1) * (load(up + j + 1) - x);
    return load(row_sum_ + j) * x + (middle + (below + above));
  }
  Vec start(const float* up, const float* at, const float* down, int j) const {
    return row_sum_ == nullptr ? apply(up, at, down, j) : exact(up, at, down, j);
  }
  Vec inverse(int j) const { return load(inverse_ + j); }
  Vec keep(Vec v, int j) const { return masked(v, load(inverse_ + j) != Vec{}); }

 private:
  const std::ptrdiff_t up_;
  const float *c_, *e_, *s_, *se_, *sw_, *inverse_, *row_sum_;
};

// Holds the rows that a sweep is still going to read.
class Scratch {
 public:
  Scratch(const LevelView& level, float* memory) : next_(memory), stride_(level.stride) {}
  float* rows(int count) {
    float* origin = next_ + kPad;
    next_ += count * stride_;
    return origin;
  }

 private:
  float* next_;
  std::ptrdiff_t stride_;
};

// Zeroes whole vectors. They are so few that a call of memset would take longer, which the barrier
// keeps the compiler from making of this.
__attribute__((always_inline)) inline void clear(float* from, const float* to) {
  for (; from < to; from += kLanes) {
    store(from, Vec{});
    __asm__ volatile("" : : : "memory");
  }
}

// The last rows of a sweep; their number is a power of two, which makes their places cheap.
template <unsigned kRows>
class Ring {
 public:
  Ring(const LevelView& level, Scratch& scratch) : level_(level), memory_(scratch.rows(kRows)) {}
  float* at(int i) const { return memory_ + (static_cast<unsigned>(i) % kRows) * level_.stride; }
  // Returns row i as a neighbour: mirrored or zero outside the image.
  const float* near(int i) const {
    if (i < 0) return level_.mirror_top ? at(0) : level_.zero_row;
    if (i >= level_.height) return level_.mirror_bottom ? at(level_.height - 1) : level_.zero_row;
    return at(i);
  }
  // Zeroes the values beside the span of row i that neighbours read.
  __attribute__((always_inline)) void close(int i) const {
    float* row = at(i);
    const int lo = std::max(level_.lo[i], level_.wide_lo[i]);
    const int hi = std::max(level_.hi[i], lo);
    clear(row + level_.wide_lo[i], row + lo);
    clear(row + hi, row + level_.wide_hi[i]);
  }

 private:
  const LevelView& level_;
  float* memory_;
};

// Returns row i of a plane in memory as a neighbour.
inline const float* plane_row(const LevelView& level, const float* plane, int i) {
  if (i < 0) return level.mirror_top ? plane : level.zero_row;
  if (i >= level.height) {
    return level.mirror_bottom ? plane + (level.height - 1) * level.stride : level.zero_row;
  }
  return plane + i * level.stride;
}

// Returns the lanes of a, then b, that kPlace(lane) names for each lane.
template <int (*kPlace)(int), int... kLane>
inline Vec lanes_at(Vec a, Vec b, std::integer_sequence<int, kLane...>) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, kPlace(kLane)...);
#else
  return __builtin_shuffle(a, b, Bits{kPlace(kLane)...});
#endif
}
template <int (*kPlace)(int)>
inline Vec lanes_at(Vec a, Vec b) {
  return lanes_at<kPlace>(a, b, std::make_integer_sequence<int, kLanes>());
}

constexpr int even_lane(int i) { return 2 * i; }
constexpr int odd_lane(int i) { return 2 * i + 1; }
constexpr int low_pair(int i) { return i / 2 + i % 2 * kLanes; }
constexpr int high_pair(int i) { return low_pair(i) + kLanes / 2; }

// Stores a[0], b[0], a[1], b[1] and so on.
inline void store_pairs(float* p, Vec a, Vec b) {
  store(p, lanes_at<low_pair>(a, b));
  store(p + kLanes, lanes_at<high_pair>(a, b));
}

// Computes row i of P x over the row's span, known pixels included; `blend` is a scratch row.
void prolong_row(const LevelView& fine, const LevelView& coarse, const float* x, int i,
                 float* __restrict blend, float* __restrict out) {
  const int lo = fine.lo[i], hi = fine.hi[i];
  if (lo >= hi) return;
  const float* __restrict a = x + (i / 2) * coarse.stride;
  const int first = lo / 2, last = hi / 2;  // columns [first, last] of the coarse level
  const bool between = (i & 1) && !(fine.merge_bottom && i == fine.height - 1);
  const float* __restrict b = between ? a + coarse.stride : a;
  if (!(fine.merge_right && last >= coarse.width)) {
    int j = first;
    for (; j + kLanes <= last; j += kLanes) {
      Vec here = load(a + j), right = load(a + j + 1);
      if (between) {
        here = 0.5f * (here + load(b + j));
        right = 0.5f * (right + load(b + j + 1));
      }
      store_pairs(out + 2 * j, here, 0.5f * (here + right));
    }
    for (; j < last; ++j) {
      const float here = between ? 0.5f * (a[j] + b[j]) : a[j];
      const float right = between ? 0.5f * (a[j + 1] + b[j + 1]) : a[j + 1];
      out[2 * j] = here;
      out[2 * j + 1] = 0.5f * (here + right);
    }
    return;
  }
  if (between) {
    for (int j = first; j <= last; ++j) blend[j] = 0.5f * (a[j] + b[j]);
  } else {
    for (int j = first; j <= last; ++j) blend[j] = a[j];
  }
  blend[coarse.width] = blend[coarse.width - 1];
  for (int j = first; j < last; ++j) {
    out[2 * j] = blend[j];
    out[2 * j + 1] = 0.5f * (blend[j] + blend[j + 1]);
  }
}

// Computes a coarse row from the fine residual's rows above, at and below, zero where known.
void restrict_row(const LevelView& fine, const LevelView& coarse, int row, const float* above,
                  const float* at, const float* below, float* __restrict sum,
                  float* __restrict out) {
  const int lo = coarse.lo[row], hi = coarse.hi[row];
  if (lo >= hi) return;
  const int i = 2 * row;
  const int from = fine.lo[i] - kPad, to = fine.hi[i] + kPad;
  const int need_from = 2 * lo - kPad, need_to = 2 * hi;
  if (need_from < from) std::fill(sum + need_from, sum + from, 0.0f);
  if (need_to > to) std::fill(sum + to, sum + need_to, 0.0f);
  const Vec half = splat(0.5f);
  const Vec under = splat(fine.merge_bottom && i + 1 == fine.height - 1 ? 1.0f : 0.5f);
  for (int j = from; j < to; j += kLanes) {
    store(sum + j, load(at + j) + half * load(above + j) + under * load(below + j));
  }
  if (fine.merge_right) sum[fine.width - 1] *= 2;
  int j = lo;
  for (; j + kLanes <= hi; j += kLanes) {
    const float* p = sum + 2 * j;
    const Vec middle = load(p), next = load(p + kLanes);
    const Vec before = lanes_at<even_lane>(load(p - 1), load(p + kLanes - 1));
    store(out + j,
          lanes_at<even_lane>(middle, next) + half * (before + lanes_at<odd_lane>(middle, next)));
  }
  for (; j < hi; ++j) {
    out[j] = sum[2 * j] + 0.5f * (sum[2 * j - 1] + sum[2 * j + 1]);
  }
}

// Computes the coarse row that the fine residual's row i completes, if there is one.
void restrict_at(const LevelView& fine, const LevelView& coarse, int i, const Ring<4>& rows,
                 float* sum, float* out) {
  const bool odd = i & 1;
  if (!odd && i != fine.height - 1) return;
  const int at = i & ~1;
  const float* above = at > 0 ? rows.at(at - 1) : fine.zero_row;
  const float* below = odd ? rows.at(i) : fine.zero_row;
  restrict_row(fine, coarse, at / 2, above, rows.at(at), below, sum, out + at / 2 * coarse.stride);
}

template <Stencil kStencil, DownMode kMode>
void down(const DownPass& pass, int begin, int end, float* memory) {
  using Op = RowOperator<kStencil>;
  const LevelView& level = pass.level;
  Scratch scratch(level, memory);
  float* blend = scratch.rows(2);  // its last columns may run over into the second
  Ring<4> x_ring(level, scratch), d1(level, scratch), d2(level, scratch), r2(level, scratch);
  Ring<2> r0(level, scratch), r1(level, scratch);

  const bool restricts = pass.coarse != nullptr;
  const int reach = restricts ? 1 : 0;
  const int from2 = std::max(begin - reach, 0), to2 = end;  // rows of the last residual
  const int from1 = std::max(from2 - reach, 0), to1 = std::min(to2 + reach, level.height);
  const int from0 = std::max(from1 - 1, 0), to0 = std::min(to1 + 1, level.height);
  const int from_x = std::max(from0 - 1, 0), to_x = std::min(to0 + 1, level.height);
  constexpr int kLag = kMode == DownMode::kProlong ? 1 : 0;

  const Vec first = splat(kFirst), second = splat(kSecond), momentum = splat(kMomentum);
  const Vec alpha = splat(pass.alpha);

  for (int t = kMode == DownMode::kProlong ? from_x : from0; t < to1 + kLag + 2; ++t) {
    if (kMode == DownMode::kProlong && t < to_x) {
      const Op op(level, t);
      float* __restrict x = x_ring.at(t);
      prolong_row(level, *pass.coarse, pass.coarse_x, t, blend, x);
      for (int j = level.lo[t]; j < level.hi[t]; j += kLanes) store(x + j, op.keep(load(x + j), j));
      x_ring.close(t);
    }

    const int i0 = t - kLag;
    if (i0 >= from0 && i0 < to0) {
      const Op op(level, i0);
      const std::ptrdiff_t row = i0 * level.stride;
      const float* r = pass.r + row;
      float* r_row = r0.at(i0);
      float* d_row = d1.at(i0);
      const int lo = level.lo[i0], hi = level.hi[i0];
      const float *up = nullptr, *at = nullptr, *below = nullptr;
      if constexpr (kMode == DownMode::kUpdate) {
        up = plane_row(level, pass.p, i0 - 1);
        at = plane_row(level, pass.p, i0);
        below = plane_row(level, pass.p, i0 + 1);
      } else if constexpr (kMode == DownMode::kProlong) {
        up = x_ring.near(i0 - 1);
        at = x_ring.at(i0);
        below = x_ring.near(i0 + 1);
      }
      for (int j = lo; j < hi; j += kLanes) {
        Vec v = load(r + j);
        if constexpr (kMode == DownMode::kUpdate) {
          v = op.keep(v - alpha * op.exact(up, at, below, j), j);
          prefetch(below + j + level.stride);
        } else if constexpr (kMode == DownMode::kProlong) {
          v = op.keep(v - op.start(up, at, below, j), j);
        }
        prefetch(r + j + level.stride);
        store(r_row + j, v);
        store(d_row + j, first * (op.inverse(j) * v));
      }
      if (kMode != DownMode::kPlain && i0 >= begin && i0 < end) {
        float* x = pass.x + row;
        float* r_out = pass.r_out + row;
        for (int j = lo; j < hi; j += kLanes) {
          if constexpr (kMode == DownMode::kUpdate) {
            store(x + j, load(x + j) + alpha * load(at + j));
            prefetch(x + j + level.stride);
          } else {
            store(x + j, load(at + j));
          }
          store(r_out + j, load(r_row + j));
        }
      }
      d1.close(i0);
    }

    const int i1 = i0 - 1;
    if (i1 >= from1 && i1 < to1) {
      const Op op(level, i1);
      const float* up = d1.near(i1 - 1);
      const float* at = d1.at(i1);
      const float* below = d1.near(i1 + 1);
      const float* r = r0.at(i1);
      float* r_row = r1.at(i1);
      float* d_row = d2.at(i1);
      const int lo = level.lo[i1], hi = level.hi[i1];
      for (int j = lo; j < hi; j += kLanes) {
        const Vec v = load(r + j) - op.apply(up, at, below, j);
        store(r_row + j, v);
        store(d_row + j, momentum * load(at + j) + second * (op.inverse(j) * v));
      }
      if (i1 >= begin && i1 < end) {
        float* z = pass.z + i1 * level.stride;
        for (int j = lo; j < hi; j += kLanes) store(z + j, load(at + j) + load(d_row + j));
      }
      d2.close(i1);
    }

    const int i2 = i1 - 1;
    if (restricts && i2 >= from2 && i2 < to2) {
      const Op op(level, i2);
      const float* up = d2.near(i2 - 1);
      const float* at = d2.at(i2);
      const float* below = d2.near(i2 + 1);
      const float* r = r1.at(i2);
      float* r_row = r2.at(i2);
      for (int j = level.lo[i2]; j < level.hi[i2]; j += kLanes) {
        store(r_row + j, op.keep(load(r + j) - op.apply(up, at, below, j), j));
      }
      r2.close(i2);
      if (i2 >= begin) restrict_at(level, *pass.coarse, i2, r2, blend, pass.coarse_r);
    }
  }
}

template <Stencil kStencil, bool kMeasure, bool kAdd>
void up(const UpPass& pass, int begin, int end, int band, float* memory) {
  using Op = RowOperator<kStencil>;
  const LevelView& level = pass.level;
  Scratch scratch(level, memory);
  float* blend = scratch.rows(2);  // its last columns may run over into the second
  float* fine = scratch.rows(1);
  Ring<4> z(level, scratch), d1(level, scratch);
  Ring<2> q(level, scratch);

  const int from1 = std::max(begin - 1, 0), to1 = std::min(end + 1, level.height);
  const int from0 = std::max(begin - 2, 0), to0 = std::min(end + 2, level.height);
  const Vec first = splat(kFirst), second = splat(kSecond), momentum = splat(kMomentum);
  [[maybe_unused]] const Bits magnitude = Bits{} + 0x7fffffff;
  [[maybe_unused]] double dot = 0;
  [[maybe_unused]] Vec largest{};

  for (int t = from0; t < end + 2; ++t) {
    if (t < to0) {
      const Op op(level, t);
      const float* old = pass.z + t * level.stride;
      float* z_row = z.at(t);
      const int lo = level.lo[t], hi = level.hi[t];
      if (pass.coarse != nullptr) {
        prolong_row(level, *pass.coarse, pass.coarse_z, t, blend, fine);
        for (int j = lo; j < hi; j += kLanes) {
          store(z_row + j, op.keep(load(old + j) + load(fine + j), j));
          prefetch(old + j + level.stride);
        }
      } else {
        for (int j = lo; j < hi; j += kLanes) store(z_row + j, load(old + j));
      }
      z.close(t);
    }

    const int i1 = t - 1;
    if (i1 >= from1 && i1 < to1) {
      const Op op(level, i1);
      const float* above = z.near(i1 - 1);
      const float* at = z.at(i1);
      const float* below = z.near(i1 + 1);
      const float* r = pass.r + i1 * level.stride;
      float* q_row = q.at(i1);
      float* d_row = d1.at(i1);
      for (int j = level.lo[i1]; j < level.hi[i1]; j += kLanes) {
        const Vec v = load(r + j) - op.apply(above, at, below, j);
        prefetch(r + j + level.stride);
        store(q_row + j, v);
        store(d_row + j, first * (op.inverse(j) * v));
      }
      d1.close(i1);
    }

    const int i2 = t - 2;
    if (i2 >= begin && i2 < end) {
      const Op op(level, i2);
      const float* above = d1.near(i2 - 1);
      const float* at = d1.at(i2);
      const float* below = d1.near(i2 + 1);
      const float* q_row = q.at(i2);
      const float* z_row = z.at(i2);
      const float* r = pass.r + i2 * level.stride;
      float* out = pass.out + i2 * level.stride;
      [[maybe_unused]] Vec row_dot{};
      for (int j = level.lo[i2]; j < level.hi[i2]; j += kLanes) {
        const Vec d = load(at + j);
        const Vec residual = load(q_row + j) - op.apply(above, at, below, j);
        Vec v = load(z_row + j) + d + momentum * d + second * (op.inverse(j) * residual);
        if constexpr (kMeasure) {
          row_dot += v * load(r + j);
          const Vec size = masked(v, magnitude);
          largest = size > largest ? size : largest;
        }
        if constexpr (kAdd) v += load(out + j);
        store(out + j, v);
      }
      if constexpr (kMeasure) {
        for (int k = 0; k < kLanes; ++k) dot += static_cast<double>(row_dot[k]);
      }
    }
  }
  if constexpr (kMeasure) {
    float most = 0;
    for (int k = 0; k < kLanes; ++k) most = std::max(most, largest[k]);
    pass.partial[band] = {dot, most};
  }
}

template <Stencil kStencil>
void direction(const DirectionPass& pass, int begin, int end, int band, float* memory) {
  using Op = RowOperator<kStencil>;
  const LevelView& level = pass.level;
  Scratch scratch(level, memory);
  Ring<4> p(level, scratch);
  const int from = std::max(begin - 1, 0), to = std::min(end + 1, level.height);
  const Vec beta = splat(pass.beta);
  double dot = 0;
  for (int t = from; t < end + 1; ++t) {
    if (t < to) {
      const std::ptrdiff_t row = t * level.stride;
      const float* z = pass.z + row;
      float* p_row = p.at(t);
      const int lo = level.lo[t], hi = level.hi[t];
      if (pass.first) {
        for (int j = lo; j < hi; j += kLanes) store(p_row + j, load(z + j));
      } else {
        const float* old = pass.p + row;
        for (int j = lo; j < hi; j += kLanes) {
          store(p_row + j, load(z + j) + beta * load(old + j));
          prefetch(z + j + level.stride);
          prefetch(old + j + level.stride);
        }
      }
      if (t >= begin && t < end) {
        float* out = pass.p_out + row;
        for (int j = lo; j < hi; j += kLanes) store(out + j, load(p_row + j));
      }
      p.close(t);
    }
    const int i = t - 1;
    if (i >= begin && i < end) {
      const Op op(level, i);
      const float* above = p.near(i - 1);
      const float* at = p.at(i);
      const float* below = p.near(i + 1);
      Vec row_dot{};
      for (int j = level.lo[i]; j < level.hi[i]; j += kLanes) {
        row_dot += load(at + j) * op.exact(above, at, below, j);
      }
      for (int k = 0; k < kLanes; ++k) dot += static_cast<double>(row_dot[k]);
    }
  }
  pass.partial[band] = {dot, 0};
}

template <Stencil kStencil>
void restrict_band(const RestrictPass& pass, int begin, int end, float* memory) {
  using Op = RowOperator<kStencil>;
  const LevelView& level = pass.level;
  Scratch scratch(level, memory);
  float* sum = scratch.rows(2);  // its last columns may run over into the second
  Ring<4> r(level, scratch);
  for (int t = std::max(begin - 1, 0); t < end; ++t) {
    const Op op(level, t);
    const float* in = pass.r + t * level.stride;
    float* row = r.at(t);
    for (int j = level.lo[t]; j < level.hi[t]; j += kLanes) {
      store(row + j, op.keep(load(in + j), j));
    }
    r.close(t);
    if (t >= begin) restrict_at(level, pass.coarse, t, r, sum, pass.coarse_r);
  }
}

// Calls fn(op, at, j) for the whole vectors of a level: at is the place of column j of a row in a
// plane.
template <typename Fn>
__attribute__((always_inline)) inline void for_vectors(const LevelView& level, Fn&& fn) {
  for (int i = 0; i < level.height; ++i) {
    const RowOperator<Stencil::kNine> op(level, i);
    const std::ptrdiff_t row = i * level.stride;
    for (int j = level.lo[i]; j < level.hi[i]; j += kLanes) fn(op, row + j, j);
  }
}

// Returns the operator's product with a plane, at its column j.
template <typename Op>
inline Vec product(const Op& op, const LevelView& level, const float* plane, std::ptrdiff_t at,
                   int j) {
  const float* row = plane + at - j;
  return op.apply(row - level.stride, row, row + level.stride, j);
}

// Restricts `rest`, which is zero at known nodes.
void coarse_restrict(const CoarsePass& pass, float* sum) {
  const LevelView &level = pass.level, &coarse = *pass.coarse;
  for (int i = 0; i < coarse.height; ++i) {
    const float* at = pass.rest + 2 * i * level.stride;
    restrict_row(level, coarse, i, at - level.stride, at, at + level.stride, sum,
                 pass.coarse_r + i * coarse.stride);
  }
}

// Sets x = P coarse_x, without the known nodes.
void coarse_prolong(const CoarsePass& pass, float* blend) {
  const LevelView& level = pass.level;
  for (int i = 0; i < level.height; ++i) {
    prolong_row(level, *pass.coarse, pass.coarse_x, i, blend, pass.x + i * level.stride);
  }
  for_vectors(level, [&](const auto& op, std::ptrdiff_t at, int j) {
    store(pass.x + at, op.keep(load(pass.x + at), j));
  });
}

// One fine row of coefficients, coarsened along x: the symmetric coupling within the row (c, e) and
// the coupling to the row below (sw, s, se).
struct HalfRow {
  float *c, *e, *sw, *s, *se;
};

// Reads coefficients of fine row i into rows of scratch, for columns [from, to).
template <Stencil kStencil>
void fine_row(const LevelView& level, int i, int from, int to, const HalfRow& out) {
  if constexpr (kStencil == Stencil::kNine) {
    const std::ptrdiff_t row = i * level.stride;
    const std::size_t bytes = static_cast<std::size_t>(to - from) * sizeof(float);
    std::memcpy(out.c + from, level.c + row + from, bytes);
    std::memcpy(out.e + from, level.e + row + from, bytes);
    std::memcpy(out.sw + from, level.sw + row + from, bytes);
    std::memcpy(out.s + from, level.s + row + from, bytes);
    std::memcpy(out.se + from, level.se + row + from, bytes);
  } else {
    const std::int8_t* __restrict at = level.active + i * level.stride;
    const std::int8_t* __restrict below = at + level.stride;
    const float missing = static_cast<float>((level.mirror_top && i == 0) +
                                             (level.mirror_bottom && i == level.height - 1));
    const float* __restrict excess = nullptr;
    if (kStencil == Stencil::kFiveMap) excess = level.excess + i * level.stride;
    float* __restrict c = out.c, * __restrict e = out.e, * __restrict s = out.s;
    for (int j = from; j < to; ++j) {
      const float own = kStencil == Stencil::kFiveMap ? excess[j] : level.excess_all;
      const float links = kStencil == Stencil::kFive ? 4.0f : level.links[j];
      c[j] = at[j] ? links - missing + own : 0.0f;
      e[j] = static_cast<float>(-(at[j] & at[j + 1] & 1));
      s[j] = static_cast<float>(-(at[j] & below[j] & 1));
    }
  }
}

// Coarsens a row that fine_row read; that of a five-point stencil has no sw and se.
template <Stencil kStencil>
void half_coarsen(const LevelView& fine, const LevelView& coarse, const HalfRow& in, int from,
                  int to, const HalfRow& out) {
  const float* __restrict c = in.c, * __restrict e = in.e;
  const float* __restrict sw = in.sw, * __restrict s = in.s, * __restrict se = in.se;
  float* __restrict oc = out.c, * __restrict oe = out.e;
  float* __restrict osw = out.sw, * __restrict os = out.s, * __restrict ose = out.se;
  for (int k = from; k < to; ++k) {
    const int j = 2 * k;
    oc[k] = c[j] + 0.25f * (c[j - 1] + c[j + 1]) + (e[j - 1] + e[j]);
    oe[k] = 0.25f * c[j + 1] + 0.5f * (e[j] + e[j + 1]);
    if constexpr (kStencil == Stencil::kNine) {
      os[k] =
          s[j] + 0.25f * (s[j - 1] + s[j + 1]) + 0.5f * ((se[j - 1] + sw[j]) + (se[j] + sw[j + 1]));
      ose[k] = 0.25f * s[j + 1] + 0.5f * (se[j] + se[j + 1]);
      osw[k] = 0.25f * s[j - 1] + 0.5f * (sw[j] + sw[j - 1]);
    } else {
      os[k] = s[j] + 0.25f * (s[j - 1] + s[j + 1]);
      ose[k] = 0.25f * s[j + 1];
      osw[k] = 0.25f * s[j - 1];
    }
  }
  const int k = coarse.width - 1;
  if (fine.merge_right && k >= from && k < to) {
    const int j = 2 * k;
    oc[k] += 0.75f * c[j + 1] + e[j];
    os[k] += 0.75f * s[j + 1];
    if constexpr (kStencil == Stencil::kNine) os[k] += 0.5f * (se[j] + sw[j + 1]);
  }
}

template <Stencil kStencil>
void coarsen(const CoarsenPass& pass, int begin, int end, float* memory) {
  const LevelView &fine = pass.fine, &coarse = pass.coarse;
  Scratch scratch(fine, memory);
  auto coefficient_row = [&](int count) {
    HalfRow row;
    for (float** p : {&row.c, &row.e, &row.sw, &row.s, &row.se}) *p = scratch.rows(count);
    return row;
  };
  const HalfRow full = coefficient_row(2);  // its last columns run over, see to below
  HalfRow rows[3] = {coefficient_row(1), coefficient_row(1), coefficient_row(1)};
  int held[3] = {-2, -2, -2}, held_from[3] = {}, held_to[3] = {};
  for (int row = begin; row < end; ++row) {
    const int lo = coarse.lo[row], hi = coarse.hi[row];
    if (lo >= hi) continue;
    for (int i = 2 * row - 1; i <= 2 * row + 1; ++i) {
      const int slot = (i + 3) % 3;
      if (held[slot] == i && held_from[slot] <= lo && held_to[slot] >= hi) continue;
      held[slot] = i;
      held_from[slot] = lo;
      held_to[slot] = hi;
      const HalfRow& out = rows[slot];
      if (i < 0 || i >= fine.height) {
        for (float* p : {out.c, out.e, out.sw, out.s, out.se})
          std::fill(p + lo - 1, p + hi + 1, 0.0f);
        continue;
      }
      const int from = std::max(2 * lo - 4, -kPad);
      const int to = std::min<int>(2 * hi + 4, static_cast<int>(fine.stride) - 1);
      fine_row<kStencil>(fine, i, from, to, full);
      constexpr int kRead = kStencil == Stencil::kNine ? 5 : 3;
      float* const read[] = {full.c, full.e, full.s, full.sw, full.se};
      for (int k = 0; k < kRead; ++k) std::fill(read[k] + to, read[k] + 2 * hi + 4, 0.0f);
      half_coarsen<kStencil>(fine, coarse, full, std::max(lo - 1, -kPad / 2 + 1), hi + 1, out);
    }
    const HalfRow &a = rows[(2 * row + 2) % 3], &b = rows[(2 * row) % 3],
                  &d = rows[(2 * row + 1) % 3];
    const bool merged = fine.merge_bottom && 2 * row + 1 == fine.height - 1;
    const float under = merged ? 1.0f : 0.5f;
    const std::ptrdiff_t at = row * coarse.stride;
    const float* __restrict active = pass.out.inverse + at;
    const float* __restrict active_below = active + coarse.stride;
    const Coefficients& to = pass.out;
    float* __restrict c = to.c + at, * __restrict e = to.e + at, * __restrict s = to.s + at;
    float* __restrict se = to.se + at, * __restrict sw = to.sw + at;
    for (int j = lo; j < hi; ++j) {
      const float diagonal =
          b.c[j] + 0.25f * a.c[j] + under * under * d.c[j] + a.s[j] + 2 * under * b.s[j];
      const float east = b.e[j] + 0.25f * a.e[j] + under * under * d.e[j] +
                         0.5f * (a.se[j] + a.sw[j + 1]) + under * (b.se[j] + b.sw[j + 1]);
      c[j] = active[j] * diagonal;
      e[j] = active[j] * active[j + 1] * east;
      s[j] = active[j] * active_below[j] * (0.25f * d.c[j] + 0.5f * (b.s[j] + d.s[j]));
      se[j] = active[j] * active_below[j + 1] * (0.25f * d.e[j] + 0.5f * (b.se[j] + d.se[j]));
      sw[j] = active[j] * active_below[j - 1] * (0.25f * d.e[j - 1] + 0.5f * (b.sw[j] + d.sw[j]));
    }
  }
}

// Calls fn(constant) with the stencil as a template argument.
template <typename Fn>
void with_stencil(Stencil stencil, Fn&& fn) {
  switch (stencil) {
    case Stencil::kFive: return fn(std::integral_constant<Stencil, Stencil::kFive>{});
    case Stencil::kFiveColumns: return fn(std::integral_constant<Stencil, Stencil::kFiveColumns>{});
    case Stencil::kFiveMap: return fn(std::integral_constant<Stencil, Stencil::kFiveMap>{});
    case Stencil::kNine: return fn(std::integral_constant<Stencil, Stencil::kNine>{});
  }
}

}  // namespace

void poisson_down(const DownPass& pass, int begin, int end, float* scratch) {
  with_stencil(pass.level.stencil, [&](auto stencil) {
    switch (pass.mode) {
      case DownMode::kPlain:
        return down<stencil.value, DownMode::kPlain>(pass, begin, end, scratch);
      case DownMode::kUpdate:
        return down<stencil.value, DownMode::kUpdate>(pass, begin, end, scratch);
      case DownMode::kProlong:
        return down<stencil.value, DownMode::kProlong>(pass, begin, end, scratch);
    }
  });
}

void poisson_up(const UpPass& pass, int begin, int end, int band, float* scratch) {
  with_stencil(pass.level.stencil, [&](auto stencil) {
    if (pass.measure) return up<stencil.value, true, false>(pass, begin, end, band, scratch);
    if (pass.add) return up<stencil.value, false, true>(pass, begin, end, band, scratch);
    return up<stencil.value, false, false>(pass, begin, end, band, scratch);
  });
}

void poisson_direction(const DirectionPass& pass, int begin, int end, int band, float* scratch) {
  with_stencil(pass.level.stencil,
               [&](auto stencil) { direction<stencil.value>(pass, begin, end, band, scratch); });
}

void poisson_restrict(const RestrictPass& pass, int begin, int end, float* scratch) {
  with_stencil(pass.level.stencil,
               [&](auto stencil) { restrict_band<stencil.value>(pass, begin, end, scratch); });
}

void poisson_coarse_down(const CoarsePass& pass, float* memory) {
  const LevelView& level = pass.level;
  float* blend = Scratch(level, memory).rows(2);  // its last columns may run over into the second
  const Vec first = splat(kFirst), second = splat(kSecond), momentum = splat(kMomentum);
  const float* r = pass.r;
  if (pass.coarse_x != nullptr) {
    coarse_prolong(pass, blend);
    for_vectors(level, [&](const auto& op, std::ptrdiff_t at, int j) {
      const float* x = pass.x + at - j;
      const Vec v = op.keep(load(r + at) - op.start(x - level.stride, x, x + level.stride, j), j);
      store(pass.r_out + at, v);
      store(pass.d + at, first * (op.inverse(j) * v));
    });
    r = pass.r_out;
  } else {
    for_vectors(level, [&](const auto& op, std::ptrdiff_t at, int j) {
      store(pass.d + at, first * (op.inverse(j) * load(r + at)));
    });
  }
  for_vectors(level, [&](const auto& op, std::ptrdiff_t at, int j) {
    const Vec v = load(r + at) - product(op, level, pass.d, at, j);
    const Vec d = load(pass.d + at), step = momentum * d + second * (op.inverse(j) * v);
    store(pass.rest + at, v);
    store(pass.step + at, step);
    store(pass.z + at, d + step);
  });
  if (pass.coarse == nullptr) return;
  for_vectors(level, [&](const auto& op, std::ptrdiff_t at, int j) {
    const Vec v = load(pass.rest + at) - product(op, level, pass.step, at, j);
    store(pass.rest + at, op.keep(v, j));
  });
  coarse_restrict(pass, blend);
}

void poisson_coarse_up(const CoarsePass& pass, float* memory) {
  const LevelView& level = pass.level;
  Scratch scratch(level, memory);
  float* blend = scratch.rows(2);  // its last columns may run over into the second
  float* fine = scratch.rows(1);
  const Vec first = splat(kFirst), second = splat(kSecond), momentum = splat(kMomentum);
  if (pass.coarse != nullptr) {
    for (int i = 0; i < level.height; ++i) {
      const RowOperator<Stencil::kNine> op(level, i);
      prolong_row(level, *pass.coarse, pass.coarse_z, i, blend, fine);
      float* z = pass.z + i * level.stride;
      for (int j = level.lo[i]; j < level.hi[i]; j += kLanes) {
        store(z + j, op.keep(load(z + j) + load(fine + j), j));
      }
    }
  }
  for_vectors(level, [&](const auto& op, std::ptrdiff_t at, int j) {
    const Vec v = load(pass.r + at) - product(op, level, pass.z, at, j);
    store(pass.rest + at, v);
    store(pass.d + at, first * (op.inverse(j) * v));
  });
  for_vectors(level, [&](const auto& op, std::ptrdiff_t at, int j) {
    const Vec v = load(pass.rest + at) - product(op, level, pass.d, at, j);
    const Vec d = load(pass.d + at);
    Vec z = load(pass.z + at) + d + momentum * d + second * (op.inverse(j) * v);
    if (pass.add) z += load(pass.out + at);
    store(pass.out + at, z);
  });
}

void poisson_coarse_prolong(const CoarsePass& pass, float* scratch) {
  coarse_prolong(pass, Scratch(pass.level, scratch).rows(2));
}

void poisson_coarse_restrict(const CoarsePass& pass, float* scratch) {
  for_vectors(pass.level, [&](const auto& op, std::ptrdiff_t at, int j) {
    store(pass.rest + at, op.keep(load(pass.r + at), j));
  });
  coarse_restrict(pass, Scratch(pass.level, scratch).rows(2));
}

void poisson_add(const AddPass& pass, int begin, int end) {
  const LevelView& level = pass.level;
  const Vec alpha = splat(pass.alpha);
  for (int i = begin; i < end; ++i) {
    const float* p = pass.p + i * level.stride;
    float* x = pass.x + i * level.stride;
    for (int j = level.lo[i]; j < level.hi[i]; j += kLanes) {
      store(x + j, load(x + j) + alpha * load(p + j));
    }
  }
}

void poisson_coarsen(const CoarsenPass& pass, int begin, int end, float* scratch) {
  with_stencil(pass.fine.stencil,
               [&](auto stencil) { coarsen<stencil.value>(pass, begin, end, scratch); });
}

}  // namespace pyharmony::HM_SIMD_NS
