// Does one pass of the Chebyshev iteration over the image, all steps fused.
//
// A tile is a strip of columns by a segment of rows. Its rows are streamed from the top: a row is
// loaded (right-hand side formed on the way), and each step follows one row behind the step
// before it, so that only a band of K + a few rows is ever held. x_{k+1} is written over x_{k-1}
// in place: two bands of the state and one of b serve any number of steps, and consecutive steps
// touch nearly the same rows, which stay in the first-level cache.
//
// Pixels stay interleaved, [W, C] a row: horizontal neighbours are C floats apart. A tile computes
// K + 1 pixels beyond its sides, and K + 1 rows beyond its top and bottom, redundantly. At the
// image's sides these pixels are the mirrored ones, at its top and bottom the neighbouring row is
// the row itself; the equation continues by mirroring, so no other care is needed there.
//
// Every float of the state comes from the same operations in the same order, in whole vectors,
// whatever tile it lies in: the answer does not depend on tiles or threads in a single bit.
//
// Known pixels carry b = NaN: an update that is NaN is not taken.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "core/pool.h"
#include "core/vec.h"
#include "ops/gaussian_poisson/chebyshev.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

using gaussian_poisson::ChebyshevMeasure;
using gaussian_poisson::ChebyshevPass;
using gaussian_poisson::Problem;

constexpr std::int64_t kStreamedBytes = 8 << 20;  // results of this size exceed a core's caches
constexpr int kAdvanceRows = 4;                   // rows that each step does at once
constexpr std::int64_t kManySteps = 32;           // a tile of more may be interrupted
#if HM_SIMD_BYTES == 64
constexpr int kMaxBlockRows = 4;  // rows whose neighbours share registers
#else
constexpr int kMaxBlockRows = 2;
#endif

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

std::int64_t mirror(std::int64_t i, std::int64_t n) {
  const std::int64_t period = 2 * n;
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - 1 - i;
}

// ---- rows in and out ----------------------------------------------------------------------------

// Writes the pixels beyond the image on both sides of [a, b), which is inside; out is [xb - xa, C].
template <int C>
void mirror_sides(std::int64_t width, std::int64_t xa, std::int64_t xb, float* out) {
  auto copy = [&](std::int64_t x) {
    std::memcpy(out + (x - xa) * C, out + (mirror(x, width) - xa) * C, C * sizeof(float));
  };
  for (std::int64_t x = xa; x < std::min<std::int64_t>(xb, 0); ++x) copy(x);
  for (std::int64_t x = std::max(xa, width); x < xb; ++x) copy(x);
}

void mirror_sides(std::int64_t width, std::int64_t xa, std::int64_t xb, std::int64_t c,
                  float* out) {
  switch (c) {
    case 1: return mirror_sides<1>(width, xa, xb, out);
    case 2: return mirror_sides<2>(width, xa, xb, out);
    case 3: return mirror_sides<3>(width, xa, xb, out);
    default: return mirror_sides<4>(width, xa, xb, out);
  }
}

// Loads columns [xa, xb) and channels [k0, k0 + c) of row y, mirrored beyond the image's sides.
void load_pixels(const ImageView& image, std::int64_t y, std::int64_t xa, std::int64_t xb,
                 std::int64_t k0, std::int64_t c, float* __restrict out) {
  const std::int64_t a = std::max<std::int64_t>(xa, 0), n = std::min(xb, image.width) - a;
  float* __restrict inside = out + (a - xa) * c;
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* __restrict row = image.at<T>(y, a, k0);
    if (image.col_stride == c && (c == 1 || image.channel_stride == 1)) {
      convert_to_float(row, n * c, inside);
    } else if (image.channel_stride == 1 && c == 3) {
      // Columns that are stored one after the other: each pixel is read from one cache line.
      for (std::int64_t i = 0; i < n; ++i) {
        for (int k = 0; k < 3; ++k) {
          inside[3 * i + k] = static_cast<float>(row[i * image.col_stride + k]);
        }
      }
    } else {
      const std::int64_t pixels = n, stride = image.col_stride, channels = c;
      for (std::int64_t k = 0; k < channels; ++k) {
        const T* __restrict plane = row + k * image.channel_stride;
        float* __restrict to = inside + k;
        for (std::int64_t i = 0; i < pixels; ++i)
          to[i * channels] = static_cast<float>(plane[i * stride]);
      }
    }
  });
  mirror_sides(image.width, xa, xb, c, out);
}

template <int C, int kPart, int... kIndex>
inline Vec spread(Vec pixels, std::integer_sequence<int, kIndex...>) {
#if defined(__clang__)
  return __builtin_shufflevector(pixels, pixels, ((kPart * kLanes + kIndex) / C)...);
#else
  return __builtin_shuffle(pixels, VecI{((kPart * kLanes + kIndex) / C)...});
#endif
}

// Repeats each of n pixels C times.
template <int C>
void repeat_pixels(const float* __restrict pixels, std::int64_t n, float* __restrict out) {
  constexpr auto kIndices = std::make_integer_sequence<int, kLanes>{};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec v = load_unaligned(pixels + i);
    auto put = [&](int part, Vec values) {
      std::memcpy(out + i * C + part * kLanes, &values, sizeof(values));
    };
    put(0, spread<C, 0>(v, kIndices));
    if constexpr (C > 1) put(1, spread<C, 1>(v, kIndices));
    if constexpr (C > 2) put(2, spread<C, 2>(v, kIndices));
    if constexpr (C > 3) put(3, spread<C, 3>(v, kIndices));
  }
  for (; i < n; ++i) {
    for (int k = 0; k < C; ++k) out[i * C + k] = pixels[i];
  }
}

void repeat_pixels(const float* pixels, std::int64_t n, std::int64_t c, float* out) {
  switch (c) {
    case 1: return repeat_pixels<1>(pixels, n, out);
    case 2: return repeat_pixels<2>(pixels, n, out);
    case 3: return repeat_pixels<3>(pixels, n, out);
    default: return repeat_pixels<4>(pixels, n, out);
  }
}

// Loads a row of a plane, divided by `range`, each pixel c times. A value above zero stays above
// zero, even halved.
void load_plane(const ImageView& plane, std::int64_t y, std::int64_t xa, std::int64_t xb,
                std::int64_t c, float* __restrict pixels, float* __restrict out) {
  const std::int64_t a = std::max<std::int64_t>(xa, 0), n = std::min(xb, plane.width) - a;
  const float range = static_cast<float>(dtype_range(plane.dtype));
  dispatch_any(plane.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* __restrict row = plane.at<T>(y, a, 0);
    const std::int64_t count = n, stride = plane.col_stride;
    if (stride == 1 && !std::is_same_v<T, Bool>) {
      convert_to_float(row, count, pixels);
    } else {
      for (std::int64_t i = 0; i < count; ++i) pixels[i] = to_real<float>(row[i * stride]);
    }
    if constexpr (std::is_integral_v<T>) {
      for (std::int64_t i = 0; i < count; ++i) pixels[i] /= range;
    } else if constexpr (std::is_floating_point_v<T>) {
      for (std::int64_t i = 0; i < count; ++i) {
        if (row[i * stride] > T(0) && pixels[i] < FLT_MIN) pixels[i] = FLT_MIN;
      }
    }
  });
  repeat_pixels(pixels, n, c, out + (a - xa) * c);
  mirror_sides(plane.width, xa, xb, c, out);
}

// Returns whether the result is written past the caches: they cannot hold it anyway, and a line
// that is written whole need not be read first.
inline bool is_streamed(const ImageView& out, std::int64_t channels) {
  return out.dtype == DType::kFloat32 && out.col_stride == channels &&
         (channels == 1 || out.channel_stride == 1) &&
         out.height * out.width * channels * 4 >= kStreamedBytes;
}

inline void stream_floats(const float* __restrict from, std::int64_t n, float* __restrict to) {
  constexpr std::int64_t kBytes = HM_SIMD_BYTES;
  const std::int64_t past = reinterpret_cast<std::uintptr_t>(to) % kBytes;
  std::int64_t i = 0;
  const std::int64_t head = std::min(n, (kBytes - past) % kBytes / 4);
  for (; i < head; ++i) to[i] = from[i];
  for (; i + kLanes <= n; i += kLanes) stream(to + i, load_unaligned(from + i));
  for (; i < n; ++i) to[i] = from[i];
}

// Stores pixels [n, c] in row y from column x on, channels from k0 on.
void store_pixels(const float* __restrict pixels, std::int64_t n, const ImageView& out,
                  std::int64_t y, std::int64_t x, std::int64_t k0, std::int64_t c) {
  if (is_streamed(out, c)) return stream_floats(pixels, n * c, out.at<float>(y, x, k0));
  dispatch_image(out.dtype, "out", [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* __restrict row = out.at<T>(y, x, k0);
    if (out.col_stride == c && (c == 1 || out.channel_stride == 1)) {
      convert_from_float(pixels, n * c, row);
    } else {
      const std::int64_t count = n, stride = out.col_stride, channels = c;
      for (std::int64_t k = 0; k < channels; ++k) {
        T* __restrict plane = row + k * out.channel_stride;
        for (std::int64_t i = 0; i < count; ++i)
          plane[i * stride] = from_real<T>(pixels[i * channels + k]);
      }
    }
  });
}

// Prefetches columns [xa, xb) of row y; an image that is not dense in x is left to the hardware. It
// is inlined by force because GCC drops calls of functions that do nothing but prefetch.
template <bool kWrite>
__attribute__((always_inline)) inline void prefetch_pixels(const ImageView& image, std::int64_t y,
                                                           std::int64_t xa, std::int64_t xb,
                                                           std::int64_t k0, std::int64_t channels) {
  if (image.data == nullptr || image.col_stride < 1 || image.col_stride > channels) return;
  xa = std::max<std::int64_t>(xa, 0);
  xb = std::min(xb, image.width);
  const std::int64_t size = dtype_size(image.dtype);
  const char* row = static_cast<const char*>(image.data) +
                    (y * image.row_stride + k0 * image.channel_stride) * size;
  const char* end = row + xb * image.col_stride * size;
  for (const char* p = row + xa * image.col_stride * size; p < end; p += 64) {
    __builtin_prefetch(p, kWrite, 2);
  }
}

// ---- sweeps -------------------------------------------------------------------------------------

// The 9-point stencil of a constant weight, as float: A x = c0 x + shift(c1 x + c2 v) + c1 v with
// v the sum of the pixels above and below and shift(t) the sum of t left and right.
struct Stencil {
  float c0, c1, c2;
};

// The coefficients of one step: next = keep x + vertical v + shift(x_side x + v_side v) + step
// b - momentum before.
struct StepCoefficients {
  float keep, vertical, x_side, v_side, step, momentum;
};

// Does kRows rows of one step: x are rows -1 .. kRows, y holds x_before and receives x_next.
template <int C, int kRows, bool kFirst, bool kPinned>
void step_rows(const float* const* x, float* const* y, const float* const* b, std::int64_t begin,
               std::int64_t end, const StepCoefficients& coefficients) {
  const Vec keep = splat(coefficients.keep), vertical = splat(coefficients.vertical),
            x_side = splat(coefficients.x_side), v_side = splat(coefficients.v_side),
            step = splat(coefficients.step), momentum = splat(-coefficients.momentum);
  // Copies, which a store cannot change.
  const float *from[kRows + 2], *rhs[kRows];
  float* to[kRows];
  for (int r = 0; r < kRows + 2; ++r) from[r] = x[r];
  for (int r = 0; r < kRows; ++r) {
    to[r] = y[r];
    rhs[r] = b[r];
  }
  Vec left[kRows], here[kRows], partial[kRows];
  auto column = [&](std::int64_t i, Vec* t, Vec* p) {
    Vec rows[kRows + 2];
    for (int r = 0; r < kRows + 2; ++r) rows[r] = load(from[r] + i);
    for (int r = 0; r < kRows; ++r) {
      const Vec v = rows[r] + rows[r + 2];
      t[r] = fma(v_side, v, x_side * rows[r + 1]);
      p[r] = fma(vertical, v, keep * rows[r + 1]);
    }
  };
  column(begin - kLanes, left, partial);
  column(begin, here, partial);
  for (std::int64_t i = begin; i < end; i += kLanes) {
    Vec right[kRows], next_partial[kRows];
    column(i + kLanes, right, next_partial);
    for (int r = 0; r < kRows; ++r) {
      const Vec sides = extract<kLanes - C>(left[r], here[r]) + extract<C>(here[r], right[r]);
      Vec next = fma(step, load(rhs[r] + i), partial[r] + sides);
      if constexpr (!kFirst) next = fma(momentum, load(to[r] + i), next);
      if constexpr (kPinned) next = next == next ? next : load(from[r + 1] + i);
      store(to[r] + i, next);
      left[r] = here[r];
      here[r] = right[r];
      partial[r] = next_partial[r];
    }
  }
}

// The running maxima of the last sweep.
struct Maxima {
  Vec residual{}, scaled{}, state{};
};

// Returns the lanes of the vector at i that lie before `end`, and zero in the others.
inline Vec before_end(Vec v, std::int64_t i, std::int64_t end) {
  if (i + kLanes <= end) return v;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (i + lane >= end) v[lane] = 0.0f;
  }
  return v;
}

inline float sum_of_squares(const float* r, std::int64_t begin, std::int64_t end) {
  float sum = 0;
  for (std::int64_t i = begin; i < end; ++i) sum += r[i] * r[i];
  return sum;
}

// Computes r = b - A x of one row and the last update out = x + damping r. chebyshev.cpp counts the
// roundings of r.
template <int C, bool kPinned>
void finish_row(const float* const* x, const float* b, float* out, float* residual,
                std::int64_t begin, std::int64_t end, const Stencil& stencil, float damping,
                Maxima& total) {
  Maxima maxima = total;  // a local, which stays in registers
  const Vec c0 = splat(-stencil.c0), c1 = splat(stencil.c1), c2 = splat(stencil.c2),
            minus_c1 = splat(-stencil.c1), omega = splat(damping);
  const float *const above = x[0], *const centre = x[1], *const below = x[2];
  auto column = [&](std::int64_t i, Vec& middle, Vec& v) {
    middle = load(centre + i);
    v = load(above + i) + load(below + i);
    return fma(c2, v, c1 * middle);
  };
  Vec middle, v;
  Vec left = column(begin - kLanes, middle, v);
  Vec here = column(begin, middle, v);
  for (std::int64_t i = begin; i < end; i += kLanes) {
    Vec next_middle, next_v;
    const Vec right = column(i + kLanes, next_middle, next_v);
    const Vec sides = extract<kLanes - C>(left, here) + extract<C>(here, right);
    Vec r = fma(minus_c1, v, fma(c0, middle, load(b + i))) - sides;
    if constexpr (kPinned) r = r == r ? r : Vec{};
    store(out + i, fma(omega, r, middle));
    if (residual != nullptr) store(residual + i, r);
    maxima.residual = maximum(maxima.residual, before_end(magnitude(r), i, end));
    maxima.state = maximum(maxima.state, before_end(magnitude(middle), i, end));
    left = here;
    here = right;
    middle = next_middle;
    v = next_v;
  }
  total = maxima;
}

// Computes b - A x with a map of weights, at offset i.
struct MapStencil {
  float sum, side, corner;  // row sum of G, its entries at an edge and at a corner
};

template <int C>
__attribute__((always_inline)) inline Vec map_residual(const float* const* x, const float* const* c,
                                                       Vec b, std::int64_t i,
                                                       const MapStencil& stencil) {
  const Vec middle = load(x[1] + i), weight = load(c[1] + i);
  Vec edges{}, corners{}, laplace{};
  auto link = [&](int row, int offset, Vec& sum) {
    const Vec difference = middle - load_unaligned(x[row] + i + offset);
    sum = fma(minimum(weight, load_unaligned(c[row] + i + offset)), difference, sum);
    return difference;
  };
  // Pairs that mirror each other are added first: mirrored pixels then get mirrored bits.
  Vec left_edge{}, right_edge{}, left_corner{}, right_corner{};
  const Vec left = link(1, -C, left_edge), right = link(1, C, right_edge);
  const Vec up = link(0, 0, edges), down = link(2, 0, edges);
  link(0, -C, left_corner);
  link(2, -C, left_corner);
  link(0, C, right_corner);
  link(2, C, right_corner);
  laplace = (left + right) + (up + down);
  edges = (left_edge + right_edge) + edges;
  corners = left_corner + right_corner;
  const Vec diagonal = splat(stencil.sum) * weight;
  Vec r = fma(-diagonal, middle, b - laplace);
  r = fma(splat(stencil.side), edges, r);
  return fma(splat(stencil.corner), corners, r);
}

template <int C, bool kFirst>
void map_step_row(const float* const* x, const float* const* c, float* y, const float* b,
                  std::int64_t begin, std::int64_t end, const MapStencil& stencil,
                  const StepCoefficients& coefficients) {
  const Vec step = splat(coefficients.step), momentum = splat(coefficients.momentum);
  // Copies, which a store through y cannot change.
  const float *const rows[3] = {x[0], x[1], x[2]}, *const weights[3] = {c[0], c[1], c[2]};
  const MapStencil local = stencil;
  for (std::int64_t i = begin; i < end; i += kLanes) {
    const Vec middle = load(rows[1] + i);
    Vec next = fma(step, map_residual<C>(rows, weights, load(b + i), i, local), middle);
    if constexpr (!kFirst) next = fma(momentum, middle - load(y + i), next);
    store(y + i, next == next ? next : middle);
  }
}

template <int C>
void map_finish_row(const float* const* x, const float* const* c, const float* b, float* out,
                    float* residual, std::int64_t begin, std::int64_t end,
                    const MapStencil& stencil, const ChebyshevPass& pass, Maxima& total) {
  Maxima maxima = total;
  const Vec omega = splat(static_cast<float>(pass.damping));
  const Vec slope = splat(static_cast<float>(pass.excess_slope));
  const float *const rows[3] = {x[0], x[1], x[2]}, *const weights[3] = {c[0], c[1], c[2]};
  const MapStencil local = stencil;
  for (std::int64_t i = begin; i < end; i += kLanes) {
    const Vec middle = load(rows[1] + i), weight = load(weights[1] + i);
    Vec r = map_residual<C>(rows, weights, load(b + i), i, local);
    r = r == r ? r : Vec{};
    store(out + i, fma(omega, r, middle));
    if (residual != nullptr) store(residual + i, r);
    const Vec size = before_end(magnitude(r), i, end);
    maxima.residual = maximum(maxima.residual, size);
    maxima.scaled = maximum(maxima.scaled, size / (slope * weight));
    maxima.state = maximum(maxima.state, before_end(magnitude(middle), i, end));
  }
  total = maxima;
}

// ---- tiles --------------------------------------------------------------------------------------

struct Tile {
  std::int64_t x0, x1, y0, y1;
  std::int64_t k0;  // first channel
  std::int64_t strip;
};

struct Coefficients {
  Stencil stencil;
  MapStencil map;
  std::vector<StepCoefficients> steps;  // keep.. are zero with a map
  float weight, damping;
};

Coefficients make_coefficients(const ChebyshevPass& pass) {
  const Problem& p = *pass.problem;
  const double c0 = 4 + p.weight * p.w0 * p.w0, c1 = p.weight * p.w0 * p.w1 - 1,
               c2 = p.weight * p.w1 * p.w1;
  auto real = [](double v) { return static_cast<float>(v); };
  Coefficients c;
  c.stencil = {real(c0), real(c1), real(c2)};
  c.map = {real((p.w0 + 2 * p.w1) * (p.w0 + 2 * p.w1)), real(p.w0 * p.w1), real(p.w1 * p.w1)};
  c.weight = real(p.weight);
  c.damping = real(pass.damping);
  for (const auto& s : pass.steps) {
    c.steps.push_back({real(1 + s.momentum - s.step * c0), real(-s.step * c1), real(-s.step * c1),
                       real(-s.step * c2), real(s.step), real(s.momentum)});
  }
  return c;
}

enum class Kind { kPlain, kPinned, kMap };

// The rows that b of one row is formed from: `here` and `below` of src, dst and the halved mask.
struct RhsRow {
  const float *src[2], *dst[2], *mask[2];
  const float *x, *weights;  // weights is null without a map
  float *b, *vertical;       // vertical holds the edges above and receives those below
  std::int64_t count;
  float weight;
  bool pinned;
};

template <int C, Kind kKind>
void form_rhs_row(const RhsRow& row) {
  const float *s0 = row.src[0], *s1 = row.src[1], *d0 = row.dst[0], *d1 = row.dst[1];
  const float *m0 = row.mask[0], *m1 = row.mask[1], *x = row.x, *weights = row.weights;
  float *b = row.b, *vertical = row.vertical;
  const std::int64_t count = row.count;
  const bool pinned = row.pinned;
  const Vec weight = splat(row.weight);
  auto wanted = [](Vec ds, Vec dd, Vec a) { return fma(a, ds - dd, dd); };
  Vec before{};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Vec s = load(s0 + i), d = load(d0 + i), m = load(m0 + i);
    const Vec down = wanted(load(s1 + i) - s, load(d1 + i) - d, m + load(m1 + i));
    const Vec right = wanted(load_unaligned(s0 + i + C) - s, load_unaligned(d0 + i + C) - d,
                             m + load_unaligned(m0 + i + C));
    Vec divergence = (extract<kLanes - C>(before, right) - right) + (load(vertical + i) - down);
    const Vec w = kKind == Kind::kMap ? load(weights + i) : weight;
    divergence = fma(w, load(x + i), divergence);
    if constexpr (kKind != Kind::kPlain) {
      if (pinned) divergence = m > 0 ? divergence : splat(__builtin_nanf(""));
    }
    store(b + i, divergence);
    store(vertical + i, down);
    before = right;
  }
}

// The loops over rows, which are compiled for each number of channels: all else is compiled once.
struct Kernels {
  using StepRows = void (*)(const float* const* x, float* const* y, const float* const* b,
                            std::int64_t begin, std::int64_t end, const StepCoefficients&);
  using MapStepRow = void (*)(const float* const* x, const float* const* c, float* y,
                              const float* b, std::int64_t begin, std::int64_t end,
                              const MapStencil&, const StepCoefficients&);

  std::int64_t channels;
  Kind kind;
  void (*form_rhs)(const RhsRow& row);
  StepRows step[3][2];  // one, two and four rows; later steps and the first
  MapStepRow map_step[2];
  void (*finish)(const float* const* x, const float* b, float* out, float* residual,
                 std::int64_t begin, std::int64_t end, const Stencil&, float damping, Maxima&);
  void (*map_finish)(const float* const* x, const float* const* c, const float* b, float* out,
                     float* residual, std::int64_t begin, std::int64_t end, const MapStencil&,
                     const ChebyshevPass&, Maxima&);
};

template <int C, Kind kKind>
constexpr Kernels kKernels = [] {
  Kernels kernels = {};
  kernels.channels = C;
  kernels.kind = kKind;
  kernels.form_rhs = form_rhs_row<C, kKind>;
  if constexpr (kKind == Kind::kMap) {
    kernels.map_step[0] = map_step_row<C, false>;
    kernels.map_step[1] = map_step_row<C, true>;
    kernels.map_finish = map_finish_row<C>;
  } else {
    constexpr bool kPinned = kKind == Kind::kPinned;
    kernels.step[0][0] = step_rows<C, 1, false, kPinned>;
    kernels.step[0][1] = step_rows<C, 1, true, kPinned>;
    kernels.step[1][0] = step_rows<C, 2, false, kPinned>;
    kernels.step[1][1] = step_rows<C, 2, true, kPinned>;
    if constexpr (kMaxBlockRows >= 4) {
      kernels.step[2][0] = step_rows<C, 4, false, kPinned>;
      kernels.step[2][1] = step_rows<C, 4, true, kPinned>;
    }
    kernels.finish = finish_row<C, kPinned>;
  }
  return kernels;
}();

template <Kind kKind>
const Kernels& kernels_of(std::int64_t channels) {
  switch (channels) {
    case 1: return kKernels<1, kKind>;
    case 2: return kKernels<2, kKind>;
    case 3: return kKernels<3, kKind>;
    default: return kKernels<4, kKind>;
  }
}

const Kernels& kernels_of(const Problem& problem, std::int64_t channels) {
  if (problem.has_map()) return kernels_of<Kind::kMap>(channels);
  if (problem.preserve_background) return kernels_of<Kind::kPinned>(channels);
  return kernels_of<Kind::kPlain>(channels);
}

// Holds rows of floats for one tile at a time; a row starts kLanes floats into its pitch.
class Workspace {
 public:
  Workspace(std::int64_t steps, std::int64_t strip, std::int64_t channels, bool map)
      : halo(steps + 1),
        margin(round_up(halo * channels, kLanes)),
        ring(steps + 1 + kAdvanceRows + 3),
        pitch(round_up(margin + (strip + halo) * channels, kLanes) + 2 * kLanes) {
    if (pitch % 1024 < 3 * kLanes) pitch += 3 * kLanes;  // rows a page apart share cache sets
    const std::int64_t bands = map ? 4 : 3;
    const std::int64_t rows = bands * ring + kSingleRows;
    memory_ = Buffer<float>::zeros(static_cast<std::size_t>(rows * pitch));
    float* next = memory_.data() + kLanes;
    auto take = [&](std::int64_t n) {
      float* band = next;
      next += n * pitch;
      return band;
    };
    state[0] = take(ring);
    state[1] = take(ring);
    b = take(ring);
    weights = map ? take(ring) : nullptr;
    for (int i = 0; i < 2; ++i) {
      src[i] = take(1);
      dst[i] = take(1);
      mask[i] = take(1);
    }
    vertical = take(1);
    out = take(1);
    pixels = take(1);
    residual = take(1);
  }

  const std::int64_t halo, margin, ring;
  std::int64_t pitch;
  float* state[2];  // x of even and of odd steps
  float *b, *weights;
  float *src[2], *dst[2], *mask[2];  // rows y - 1 and y; masks are halved
  float *vertical, *out, *pixels, *residual;

 private:
  static constexpr int kSingleRows = 10;
  Buffer<float> memory_;
};

class TileRun {
 public:
  TileRun(const Kernels& kernels, const ChebyshevPass& pass, const Coefficients& coefficients,
          Workspace& work, const Tile& tile, double* row_norms)
      : kernels_(kernels),
        channels_(kernels.channels),
        pass_(pass),
        problem_(*pass.problem),
        coefficients_(coefficients),
        work_(work),
        tile_(tile),
        row_norms_(row_norms),
        steps_(static_cast<std::int64_t>(pass.steps.size())),
        height_(problem_.height()),
        xa_(tile.x0 - work.halo),
        xb_(tile.x1 + work.halo),
        first_(work.margin - work.halo * channels_),
        count_(first_ + (xb_ - xa_) * channels_) {}

  ChebyshevMeasure run() {
    const std::int64_t last = steps_ + 1;  // the sweep that measures
    std::vector<std::int64_t> done(static_cast<std::size_t>(last + 1));
    for (std::int64_t k = 0; k <= last; ++k) done[k] = low(k);
    std::int64_t loaded = low(0);
    while (done[last] < tile_.y1) {
      if (last > kManySteps) check_interrupt();
      const std::int64_t target = std::min(high(0), loaded + kAdvanceRows);
      for (; loaded < target; ++loaded) load_row(loaded);
      for (std::int64_t k = 1; k <= last; ++k) {
        // Row y of step k needs row y + 1 of the step before.
        const std::int64_t end = loaded == high(0) ? high(k) : std::min(high(k), loaded - k);
        prefetch(loaded, k, last);
        if (end <= done[k]) continue;
        if (k < last) {
          step(k, done[k], end);
        } else {
          for (std::int64_t y = done[k]; y < end; ++y) finish(y);
        }
        done[k] = end;
      }
    }
    measure_.residual = largest(maxima_.residual);
    measure_.scaled_residual = largest(maxima_.scaled);
    measure_.largest = largest(maxima_.state);
    return measure_;
  }

 private:
  // These bound the rows that step k computes; step 0 is the load.
  std::int64_t low(std::int64_t k) const {
    return std::max<std::int64_t>(0, tile_.y0 - (steps_ + 1 - k));
  }
  std::int64_t high(std::int64_t k) const { return std::min(height_, tile_.y1 + (steps_ + 1 - k)); }
  float* row(float* band, std::int64_t y) const { return band + y % work_.ring * work_.pitch; }
  // Returns row y of a band, mirrored at the border.
  const float* neighbour(float* band, std::int64_t y) const {
    return row(band, std::clamp<std::int64_t>(y, 0, height_ - 1));
  }

  // Prefetches the k-th of n shares of what the next rows to load and to store will touch. Spread
  // over the steps, the cache misses pass while there is work.
  __attribute__((always_inline)) void prefetch(std::int64_t loaded, std::int64_t k,
                                               std::int64_t n) const {
    constexpr std::int64_t kImages = 5, kAll = kImages * kAdvanceRows;
    for (std::int64_t i = kAll * (k - 1) / n; i < kAll * k / n; ++i) {
      const std::int64_t y = loaded + i / kImages, stored = y - steps_ - 1;
      const bool load = y < high(0);
      switch (i % kImages) {
        case 0:
          if (load) prefetch_pixels<false>(problem_.src, y, xa_, xb_, tile_.k0, channels_);
          break;
        case 1:
          if (load) prefetch_pixels<false>(problem_.dst, y, xa_, xb_, tile_.k0, channels_);
          break;
        case 2:
          if (load) {
            const ImageView& image = problem_.has_rhs() ? problem_.rhs : problem_.base;
            prefetch_pixels<false>(image, y, xa_, xb_, tile_.k0, channels_);
          }
          break;
        case 3:
          if (load) prefetch_pixels<false>(problem_.mask, y, xa_, xb_, 0, 1);
          break;
        default:
          if (stored >= tile_.y0 && stored < tile_.y1 && !is_streamed(pass_.out, channels_)) {
            prefetch_pixels<true>(pass_.out, stored, tile_.x0, tile_.x1, tile_.k0, channels_);
          }
      }
    }
  }

  void clear_margins(float* x) const {
    std::memset(x, 0, static_cast<std::size_t>(first_) * sizeof(float));
    std::memset(x + count_, 0,
                static_cast<std::size_t>(round_up(count_, kLanes) - count_) * sizeof(float));
  }

  void track(const float* x, double& low, double& high) {
    Vec least{}, most{}, nothing{};
    for (std::int64_t i = 0; i < count_; i += kLanes) {
      const Vec v = load(x + i);
      least = minimum(least, v);
      most = maximum(most, v);
      nothing = nothing + v * Vec{};  // becomes NaN from the first value on that is not finite
    }
    low = std::min<double>(low, -largest(-least));
    high = std::max<double>(high, largest(most));
    for (std::int64_t i = 0; i < kLanes; ++i) {
      if (!(nothing[i] == 0)) measure_.finite = false;
    }
  }

  void track_base(const float* x) {
    double low = 0, high = 0;
    track(x, low, high);
    measure_.largest_base = std::max({measure_.largest_base, -low, high});
  }

  static bool is_float(const ImageView& image) {
    return image.dtype == DType::kFloat16 || image.dtype == DType::kFloat32;
  }

  // Loads row y, starts the state there and completes b of row y - 1 (and of the last row).
  void load_row(std::int64_t y) {
    float* x = row(work_.state[0], y);
    const bool pinned = problem_.preserve_background;
    std::swap(work_.mask[0], work_.mask[1]);
    float* mask = work_.mask[1];
    if (!problem_.has_rhs() || pinned) {
      load_plane(problem_.mask, y, xa_, xb_, channels_, work_.pixels, mask + first_);
      clear_margins(mask);
    }
    if (kernels_.kind == Kind::kMap) {
      float* weights = row(work_.weights, y);
      load_plane(problem_.weight_map, y, xa_, xb_, channels_, work_.pixels, weights + first_);
      clear_margins(weights);
    }
    if (problem_.has_rhs()) {
      float* b = row(work_.b, y);
      load_pixels(problem_.rhs, y, xa_, xb_, tile_.k0, channels_, b + first_);
      clear_margins(b);
      track_base(b);
      std::memset(x, 0, static_cast<std::size_t>(round_up(count_, kLanes)) * sizeof(float));
      if (pinned) {
        for (std::int64_t i = 0; i < count_; i += kLanes) {
          store(b + i, load(mask + i) > 0 ? load(b + i) : splat(__builtin_nanf("")));
        }
      }
      return;
    }

    std::swap(work_.src[0], work_.src[1]);
    std::swap(work_.dst[0], work_.dst[1]);
    float* dst = work_.dst[1];
    load_pixels(problem_.src, y, xa_, xb_, tile_.k0, channels_, work_.src[1] + first_);
    load_pixels(problem_.dst, y, xa_, xb_, tile_.k0, channels_, dst + first_);
    load_pixels(problem_.base, y, xa_, xb_, tile_.k0, channels_, x + first_);
    clear_margins(work_.src[1]);
    clear_margins(dst);
    clear_margins(x);
    if (is_float(problem_.src)) track(work_.src[1], measure_.image_low, measure_.image_high);
    if (is_float(problem_.dst)) track(dst, measure_.image_low, measure_.image_high);
    if (is_float(problem_.base)) track_base(x);
    const Vec half = splat(0.5f);
    for (std::int64_t i = 0; i < count_; i += kLanes) {
      const Vec m = load(mask + i);
      store(mask + i, m * half);
      if (pinned) store(x + i, m > 0 ? load(x + i) : load(dst + i));
    }
    if (y == low(0)) {
      std::memset(work_.vertical, 0,
                  static_cast<std::size_t>(work_.pitch - kLanes) * sizeof(float));
      // Above the first row that a tile loads there is another row, but b is not needed there.
    } else {
      form_rhs(y - 1, 0, 1);
    }
    if (y == height_ - 1) form_rhs(y, 1, 1);
  }

  // Forms b of row y, whose images are in slot `here`; `below` is the slot of the row below it.
  void form_rhs(std::int64_t y, int here, int below) {
    RhsRow rhs = {};
    const int slots[2] = {here, below};
    for (int i = 0; i < 2; ++i) {
      rhs.src[i] = work_.src[slots[i]];
      rhs.dst[i] = work_.dst[slots[i]];
      rhs.mask[i] = work_.mask[slots[i]];
    }
    rhs.x = row(work_.state[0], y);
    rhs.weights = kernels_.kind == Kind::kMap ? row(work_.weights, y) : nullptr;
    rhs.b = row(work_.b, y);
    rhs.vertical = work_.vertical;
    rhs.count = count_;
    rhs.weight = coefficients_.weight;
    rhs.pinned = problem_.preserve_background;
    kernels_.form_rhs(rhs);
  }

  void step(std::int64_t k, std::int64_t begin, std::int64_t end) {
    std::int64_t y = begin;
    if (kernels_.kind == Kind::kMap) {
      for (; y < end; ++y) map_step(k, y);
    } else {
      if constexpr (kMaxBlockRows >= 4) {
        for (; y + 4 <= end; y += 4) step_block<4>(k, y);
      }
      for (; y + 2 <= end; y += 2) step_block<2>(k, y);
      for (; y < end; ++y) step_block<1>(k, y);
    }
  }

  // These bound the vectors of a row that step k must compute.
  std::int64_t from(std::int64_t k) const {
    return (work_.margin - (steps_ + 1 - k) * channels_) / kLanes * kLanes;
  }
  std::int64_t to(std::int64_t k) const {
    return work_.margin + (tile_.x1 - tile_.x0 + steps_ + 1 - k) * channels_;
  }

  template <int kRows>
  void step_block(std::int64_t k, std::int64_t y) {
    float* old = work_.state[(k - 1) & 1];
    const float* x[kRows + 2];
    float* next[kRows];
    const float* b[kRows];
    for (int r = 0; r < kRows + 2; ++r) x[r] = neighbour(old, y - 1 + r);
    for (int r = 0; r < kRows; ++r) {
      next[r] = row(work_.state[k & 1], y + r);
      b[r] = row(work_.b, y + r);
    }
    kernels_.step[kRows / 2][k == 1](x, next, b, from(k), to(k), coefficients_.steps[k - 1]);
  }

  void map_step(std::int64_t k, std::int64_t y) {
    const float *x[3], *c[3];
    for (int r = 0; r < 3; ++r) {
      x[r] = neighbour(work_.state[(k - 1) & 1], y - 1 + r);
      c[r] = neighbour(work_.weights, y - 1 + r);
    }
    float* next = row(work_.state[k & 1], y);
    const float* b = row(work_.b, y);
    kernels_.map_step[k == 1](x, c, next, b, from(k), to(k), coefficients_.map,
                              coefficients_.steps[k - 1]);
  }

  void finish(std::int64_t y) {
    const float *x[3], *c[3];
    for (int r = 0; r < 3; ++r) {
      x[r] = neighbour(work_.state[steps_ & 1], y - 1 + r);
      c[r] = kernels_.kind == Kind::kMap ? neighbour(work_.weights, y - 1 + r) : nullptr;
    }
    const float* b = row(work_.b, y);
    const std::int64_t pixels = tile_.x1 - tile_.x0;
    const std::int64_t begin = work_.margin, end = begin + pixels * channels_;
    float* residual = pass_.want_norm ? work_.residual : nullptr;
    if (kernels_.kind == Kind::kMap) {
      kernels_.map_finish(x, c, b, work_.out, residual, begin, end, coefficients_.map, pass_,
                          maxima_);
    } else {
      kernels_.finish(x, b, work_.out, residual, begin, end, coefficients_.stencil,
                      coefficients_.damping, maxima_);
    }
    if (residual != nullptr) row_norms_[y] = sum_of_squares(residual, begin, end);
    measure_.clipped += count_clipped(work_.out + begin, end - begin, pass_.out.dtype);
    store_pixels(work_.out + begin, pixels, pass_.out, y, tile_.x0, tile_.k0, channels_);
  }

  const Kernels& kernels_;
  const std::int64_t channels_;
  const ChebyshevPass& pass_;
  const Problem& problem_;
  const Coefficients& coefficients_;
  Workspace& work_;
  const Tile tile_;
  double* row_norms_;  // [H] of this strip and these channels
  const std::int64_t steps_, height_;
  const std::int64_t xa_, xb_;        // columns held
  const std::int64_t first_, count_;  // offsets of the first held float and past the last
  Maxima maxima_;
  ChebyshevMeasure measure_;
};

// Writes the known pixels of a tile: dst, or zero where b is given.
void copy_known(const ChebyshevPass& pass, Workspace& work, const Tile& tile, std::int64_t c) {
  if (tile.x0 >= tile.x1) return;
  for (std::int64_t y = tile.y0; y < tile.y1; ++y) {
    if (pass.problem->has_rhs()) {
      std::memset(work.out, 0, static_cast<std::size_t>((tile.x1 - tile.x0) * c) * sizeof(float));
    } else {
      load_pixels(pass.problem->dst, y, tile.x0, tile.x1, tile.k0, c, work.out);
    }
    store_pixels(work.out, tile.x1 - tile.x0, pass.out, y, tile.x0, tile.k0, c);
  }
}

// Returns the smallest tile within `tile` that holds all its unknown pixels; empty without any.
Tile unknown_part(const ImageView& mask, const Tile& tile) {
  Tile part = tile;
  part.x0 = tile.x1;
  part.x1 = tile.x0;
  part.y0 = tile.y1;
  part.y1 = tile.y0;
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto unknown = [](T v) {
      if constexpr (std::is_same_v<T, Bool>) {
        return v.value != 0;
      } else {
        return v > T(0);
      }
    };
    for (std::int64_t y = tile.y0; y < tile.y1; ++y) {
      const T* row = mask.at<T>(y, 0, 0);
      std::int64_t a = tile.x0, b = tile.x1;
      while (a < b && !unknown(row[a * mask.col_stride])) ++a;
      if (a == b) continue;
      while (!unknown(row[(b - 1) * mask.col_stride])) --b;
      part.x0 = std::min(part.x0, a);
      part.x1 = std::max(part.x1, b);
      part.y0 = std::min(part.y0, y);
      part.y1 = y + 1;
    }
  });
  return part;
}

ChebyshevMeasure run_tile(const Kernels& kernels, const ChebyshevPass& pass,
                          const Coefficients& coefficients, Workspace& work, const Tile& tile,
                          double* row_norms) {
  if (!pass.problem->preserve_background) {
    return TileRun(kernels, pass, coefficients, work, tile, row_norms).run();
  }
  const std::int64_t c = kernels.channels;
  const Tile part = unknown_part(pass.problem->mask, tile);
  if (part.y0 >= part.y1) {
    copy_known(pass, work, tile, c);
    return {};
  }
  copy_known(pass, work, {tile.x0, tile.x1, tile.y0, part.y0, tile.k0, tile.strip}, c);
  copy_known(pass, work, {tile.x0, tile.x1, part.y1, tile.y1, tile.k0, tile.strip}, c);
  copy_known(pass, work, {tile.x0, part.x0, part.y0, part.y1, tile.k0, tile.strip}, c);
  copy_known(pass, work, {part.x1, tile.x1, part.y0, part.y1, tile.k0, tile.strip}, c);
  return TileRun(kernels, pass, coefficients, work, part, row_norms).run();
}

}  // namespace

ChebyshevMeasure gaussian_poisson_chebyshev_pass(const ChebyshevPass& pass) {
  const Problem& problem = *pass.problem;
  const bool whole = pass.x1 == 0;
  const std::int64_t top = whole ? 0 : pass.y0, left = whole ? 0 : pass.x0;
  const std::int64_t height = (whole ? problem.height() : pass.y1) - top,
                     width = (whole ? problem.width() : pass.x1) - left,
                     channels = problem.channels();
  const Coefficients coefficients = make_coefficients(pass);

  // Interleaved channels are done in groups of up to four, planes one by one.
  const bool planar = pass.out.col_stride == 1 && channels > 1;
  const std::int64_t group = planar ? 1 : std::min<std::int64_t>(4, channels);
  const std::int64_t groups = (channels + group - 1) / group;
  const std::int64_t wanted = std::max<std::int64_t>(1, pass.strip_floats / group);
  const std::int64_t strips = (width + wanted - 1) / wanted;
  const std::int64_t strip = (width + strips - 1) / strips;
  const std::int64_t segments = (height + pass.segment_rows - 1) / pass.segment_rows;
  const std::int64_t segment = (height + segments - 1) / segments;

  Pool<Workspace> pool([&] {
    return std::make_unique<Workspace>(static_cast<std::int64_t>(pass.steps.size()), strip, group,
                                       problem.has_map());
  });
  const std::int64_t rows = problem.height();
  auto row_norms =
      Buffer<double>::zeros(static_cast<std::size_t>(pass.want_norm ? groups * strips * rows : 0));

  ChebyshevMeasure total;
  std::mutex mutex;
  parallel_for(groups * segments * strips, 1, [&](std::int64_t begin, std::int64_t end) {
    Pool<Workspace>::Lease work(pool);
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t s = task % strips, t = task / strips % segments,
                         g = task / strips / segments;
      const Tile tile{left + s * strip,  left + std::min(width, (s + 1) * strip),
                      top + t * segment, top + std::min(height, (t + 1) * segment),
                      g * group,         s};
      if (tile.x0 >= tile.x1 || tile.y0 >= tile.y1) continue;
      double* norms = row_norms.data() + (pass.want_norm ? (g * strips + s) * rows : 0);
      const std::int64_t c = std::min(group, channels - g * group);
      const ChebyshevMeasure measure =
          run_tile(kernels_of(problem, c), pass, coefficients, *work, tile, norms);
      std::lock_guard<std::mutex> lock(mutex);
      gaussian_poisson::merge(total, measure);
    }
    end_stream();
  });
  double norm = 0;
  for (std::size_t i = 0; i < row_norms.size(); ++i) norm += row_norms[i];
  total.norm = std::sqrt(norm);
  return total;
}

}  // namespace pyharmony::HM_SIMD_NS
