// Computes the right-hand side and residual of images.h, and writes the answer back to images.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/planes.h"
#include "ops/poisson/images.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

using poisson::Arithmetic;
using poisson::Contour;
using poisson::Equation;
using poisson::Guidance;
using poisson::kPad;
using poisson::LevelView;
using poisson::ResidualPass;
using poisson::WritePass;

// Holds a few rows of `pitch` reals, and three of each kind that follow the sweep.
template <typename Real>
class Rows {
 public:
  Rows(std::int64_t pitch, std::int64_t rows)
      : pitch_(pitch),
        memory_(Buffer<Real>::zeros(static_cast<std::size_t>(pitch * rows + kPad))) {}
  Real* row(std::int64_t i) { return memory_.data() + i * pitch_ + kPad; }

 private:
  std::int64_t pitch_;
  Buffer<Real> memory_;
};

template <typename Real>
class Band {
 public:
  Band(const ResidualPass& pass)
      : pass_(pass),
        level_(pass.level),
        eq_(pass.equation),
        channels_(static_cast<int>(eq_.channels())),
        with_g_(eq_.weighted() && eq_.w1 > 0),
        source_(level_.stride, 3 * channels_),
        guide_(level_.stride, 3 * channels_),
        target_(level_.stride, 3 * channels_),
        x_(level_.stride, 3 * channels_),
        mask_(level_.stride, 3),
        weight_(level_.stride, 3),
        vertical_(level_.stride, 2 * channels_),
        base_(level_.stride, channels_),
        work_(level_.stride, 3),
        pointers_(static_cast<std::size_t>(channels_)) {}

  void run(int begin, int end, int band) {
    for (int i = begin - 1; i <= begin; ++i) load(i);
    vertical_edges(begin - 1);
    for (int i = begin; i < end; ++i) {
      load(i + 1);
      vertical_edges(i);
      residual_row(i);
    }
    pass_.largest[band] = largest_;
    pass_.magnitude[band] = magnitude_;
  }

 private:
  static constexpr Real kHalf = Real(0.5);

  Real* source(int i, int k) { return source_.row((i + 3) % 3 * channels_ + k); }
  Real* guide(int i, int k) { return guide_.row((i + 3) % 3 * channels_ + k); }
  Real* target(int i, int k) { return target_.row((i + 3) % 3 * channels_ + k); }
  Real* x(int i, int k) { return x_.row((i + 3) % 3 * channels_ + k); }
  Real* mask(int i) { return mask_.row((i + 3) % 3); }
  Real* weight(int i) { return weight_.row((i + 3) % 3); }
  Real* vertical(int i, int k) { return vertical_.row((i + 2) % 2 * channels_ + k); }

  // Returns the columns [lo, hi) that hold all unknowns of the rows from `first` to `last`.
  std::pair<int, int> columns(int first, int last) const {
    int lo = level_.width, hi = 0;
    for (int k = std::max(first, 0); k <= std::min(last, level_.height - 1); ++k) {
      if (level_.lo[k] >= level_.hi[k]) continue;
      lo = std::min(lo, level_.lo[k]);
      hi = std::max(hi, level_.hi[k]);
    }
    return {lo, std::min(hi, level_.width)};
  }

  // Loads row i of the box and one pixel beyond, mirrored at the image's border.
  void load(int i) {
    const auto [lo, hi] = columns(i - 1, i + 1);  // rows i - 1 .. i + 1 read row i
    if (lo >= hi) return;
    const int from = lo - 1, to = hi + 1;
    const ImageView& frame = eq_.has_rhs() ? eq_.rhs : eq_.dst;
    const std::int64_t y = std::clamp<std::int64_t>(eq_.top + i, 0, frame.height - 1);
    const std::int64_t x0 = std::max<std::int64_t>(eq_.left + from, 0);
    const std::int64_t x1 = std::min<std::int64_t>(eq_.left + to, frame.width);
    const int first = static_cast<int>(x0 - eq_.left), last = static_cast<int>(x1 - eq_.left) - 1;
    const bool left = first > from, right = last < to - 1;
    auto mirror = [&](Real* row) {
      if (left) row[first - 1] = row[first];
      if (right) row[last + 1] = row[last];
    };

    if (eq_.has_map() && eq_.weighted()) {
      read_plane(eq_.weight_map, y - eq_.map_top, x0 - eq_.map_left, x1 - x0, weight(i) + first);
      mirror(weight(i));
    }
    // `own` is the row of the box with these unknowns: a mirrored row has those of its original.
    const int own = static_cast<int>(y - eq_.top);
    const bool inside = own >= 0 && own < level_.height;
    const std::int8_t* active = inside ? level_.active + own * level_.stride : nullptr;
    if (eq_.has_rhs()) {
      for (int k = 0; k < channels_; ++k) {
        Real* row = x(i, k);
        if (active != nullptr && pass_.e != nullptr) {
          const double* e = pass_.e[k] + own * level_.stride;
          for (int j = first; j <= last; ++j)
            row[j] = active[j] ? static_cast<Real>(e[j]) : Real(0);
        } else {
          std::fill(row + first, row + last + 1, Real(0));
        }
        note(row, first, last + 1);
        mirror(row);
      }
      return;
    }

    read_plane(eq_.mask, y, x0, x1 - x0, mask(i) + first);
    mirror(mask(i));
    for (int k = 0; k < channels_; ++k) pointers_[k] = source(i, k) + first;
    read_channels(eq_.src, y, x0, x1, pointers_.data());
    for (int k = 0; k < channels_; ++k) pointers_[k] = target(i, k) + first;
    read_channels(eq_.dst, y, x0, x1, pointers_.data());
    for (int k = 0; k < channels_; ++k) {
      const Real* __restrict s = source(i, k);
      const Real* __restrict d = target(i, k);
      Real* __restrict row = x(i, k);
      const auto add = [&](const auto* __restrict e) {
        for (int j = first; j <= last; ++j)
          row[j] = active[j] ? s[j] + static_cast<Real>(e[j]) : d[j];
      };
      if (active == nullptr) {
        for (int j = first; j <= last; ++j) row[j] = d[j];
      } else if (pass_.e != nullptr) {
        add(pass_.e[k] + own * level_.stride);
      } else if (pass_.e_single != nullptr) {
        add(pass_.e_single[k] + own * level_.stride);
      } else {
        for (int j = first; j <= last; ++j) row[j] = active[j] ? s[j] : d[j];
      }
      if (eq_.guidance == Guidance::kAverage) {
        Real* __restrict v = guide(i, k);
        for (int j = first; j <= last; ++j) v[j] = kHalf * (s[j] + d[j]);
      }
    }
    if (eq_.guidance == Guidance::kMonochrome) {
      Real* __restrict v = guide(i, 0);
      const Real* __restrict s0 = source(i, 0);
      if (channels_ == 3) {  // luma of Rec. 601
        const Real* __restrict s1 = source(i, 1), * __restrict s2 = source(i, 2);
        for (int j = first; j <= last; ++j) {
          v[j] = Real(0.299) * s0[j] + Real(0.587) * s1[j] + Real(0.114) * s2[j];
        }
      } else {
        std::copy(s0 + first, s0 + last + 1, v + first);
        for (int k = 1; k < channels_; ++k) {
          const Real* __restrict s = source(i, k);
          for (int j = first; j <= last; ++j) v[j] += s[j];
        }
        for (int j = first; j <= last; ++j) v[j] /= static_cast<Real>(channels_);
      }
    }
    for (int k = 0; k < channels_; ++k) {
      note(source(i, k), first, last + 1);
      note(target(i, k), first, last + 1);
      note(x(i, k), first, last + 1);
      mirror(source(i, k));
      mirror(target(i, k));
      mirror(x(i, k));
      mirror(guide(i, k));
    }
  }

  static double largest_of(const Real* __restrict row, int from, int to) {
    constexpr int kWide = 16;  // independent maxima, so that the loop is vectorised
    Real most[kWide] = {};
    int j = from;
    for (; j + kWide <= to; j += kWide) {
      for (int k = 0; k < kWide; ++k) {
        const Real v = std::abs(row[j + k]);
        most[k] = v > most[k] ? v : most[k];
      }
    }
    for (; j < to; ++j) most[0] = std::max(most[0], std::abs(row[j]));
    return static_cast<double>(*std::max_element(most, most + kWide));
  }

  // Notes the size of the values that form an exact residual; it bounds the rounding.
  void note(const Real* row, int from, int to) {
    if (pass_.arithmetic != Arithmetic::kSingle)
      magnitude_ = std::max(magnitude_, largest_of(row, from, to));
  }

  const Real* wanted(int i, int k) {
    switch (eq_.guidance) {
      case Guidance::kAverage: return guide(i, k);
      case Guidance::kMonochrome: return guide(i, 0);
      default: return source(i, k);
    }
  }

  // Computes the share of the guidance at the edges from (i, j) to (i2, j + step), j in [from, to).
  void edge_weights(int i, int i2, int step, int from, int to, Real* __restrict a) {
    const Real* __restrict m0 = mask(i), * __restrict m1 = mask(i2) + step;
    if (eq_.contour == Contour::kFull) {
      for (int j = from; j < to; ++j) a[j] = m0[j] < m1[j] ? m1[j] : m0[j];
    } else {
      for (int j = from; j < to; ++j) a[j] = kHalf * (m0[j] + m1[j]);
    }
    if (eq_.guidance != Guidance::kMixed) return;
    for (int j = from; j < to; ++j) {
      double ss = 0, dd = 0;
      for (int k = 0; k < channels_; ++k) {
        const double s = static_cast<double>(source(i2, k)[j + step]) - source(i, k)[j];
        const double d = static_cast<double>(target(i2, k)[j + step]) - target(i, k)[j];
        ss += s * s;
        dd += d * d;
      }
      if (dd > ss) a[j] = 0;
    }
  }

  // Computes the wanted difference minus that of x, along the edges from (i, j) to (i2, j + step).
  void edge_row(int i, int i2, int step, int k, int from, int to, const Real* __restrict a,
                Real* __restrict out) {
    const Real* __restrict x0 = x(i, k), * __restrict x1 = x(i2, k) + step;
    if (eq_.has_rhs()) {
      for (int j = from; j < to; ++j) out[j] = x0[j] - x1[j];
      return;
    }
    const Real* __restrict v0 = wanted(i, k), * __restrict v1 = wanted(i2, k) + step;
    const Real* __restrict d0 = target(i, k), * __restrict d1 = target(i2, k) + step;
    for (int j = from; j < to; ++j) {
      const Real d = d1[j] - d0[j];
      out[j] = (d + a[j] * ((v1[j] - v0[j]) - d)) - (x1[j] - x0[j]);
    }
  }

  // Computes the edges between rows i and i + 1.
  void vertical_edges(int i) {
    const auto [lo, hi] = columns(i, i + 1);
    if (lo >= hi) return;
    Real* a = work_.row(0);
    if (!eq_.has_rhs()) edge_weights(i, i + 1, 0, lo, hi, a);
    for (int k = 0; k < channels_; ++k) edge_row(i, i + 1, 0, k, lo, hi, a, vertical(i, k));
  }

  void residual_row(int i) {
    const int lo = level_.lo[i], hi = std::min(level_.hi[i], level_.width);
    if (lo >= hi) return;
    const std::int64_t y = eq_.top + i;
    Real* a = work_.row(0);
    Real* h = work_.row(1);
    Real* __restrict r = work_.row(2);
    if (!eq_.has_rhs()) edge_weights(i, i, 1, lo - 1, hi, a);
    if (eq_.has_rhs() || (eq_.weighted() && eq_.base.data != nullptr)) {
      for (int k = 0; k < channels_; ++k) pointers_[k] = base_.row(k) + lo;
      read_channels(eq_.has_rhs() ? eq_.rhs : eq_.base, y, eq_.left + lo, eq_.left + hi,
                    pointers_.data());
      for (int k = 0; k < channels_; ++k) note(base_.row(k), lo, hi);
    }
    const std::int8_t* __restrict active = level_.active + i * level_.stride;
    for (int k = 0; k < channels_; ++k) {
      edge_row(i, i, 1, k, lo - 1, hi, a, h);
      const Real* __restrict up = vertical(i - 1, k), * __restrict down = vertical(i, k);
      const Real* __restrict left = h - 1, * __restrict right = h;
      for (int j = lo; j < hi; ++j) r[j] = (left[j] - right[j]) + (up[j] - down[j]);
      if (eq_.has_rhs()) {
        const Real* __restrict b = base_.row(k);
        for (int j = lo; j < hi; ++j) r[j] += b[j];
      }
      if (eq_.weighted()) screening(i, k, lo, hi, r);
      for (int j = lo; j < hi; ++j) r[j] = active[j] ? r[j] : Real(0);
      largest_ = std::max(largest_, largest_of(r, lo, hi));
      if (pass_.r != nullptr) {
        float* __restrict out = pass_.r[k] + i * level_.stride;
        const Real scale = static_cast<Real>(pass_.scale);
        for (int j = lo; j < hi; ++j) out[j] = static_cast<float>(scale * r[j]);
      }
    }
  }

  // Adds to r: c (base - s x) + sum_j min(c, c_j) g_j (x - x_j), s = (w0 + 2 w1)^2
  void screening(int i, int k, int lo, int hi, Real* __restrict r) {
    const Real* __restrict at = x(i, k);
    const Real* __restrict base = eq_.base.data != nullptr ? base_.row(k) : source(i, k);
    const bool map = eq_.has_map();
    const Real all = static_cast<Real>(eq_.weight);
    const Real* __restrict c = weight(i);
    const Real sum = static_cast<Real>((eq_.w0 + 2 * eq_.w1) * (eq_.w0 + 2 * eq_.w1));
    const bool hold = !eq_.has_rhs();
    for (int j = lo; j < hi; ++j) {
      const Real w = map ? c[j] : all, goal = hold ? base[j] : Real(0);
      r[j] += w * (goal - sum * at[j]);
    }
    if (!with_g_) return;
    const Real side = static_cast<Real>(eq_.w0 * eq_.w1),
               corner = static_cast<Real>(eq_.w1 * eq_.w1);
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        if (dy == 0 && dx == 0) continue;
        const Real g = dy == 0 || dx == 0 ? side : corner;
        const Real* __restrict near = x(i + dy, k) + dx;
        const Real* __restrict c_near = weight(i + dy) + dx;
        for (int j = lo; j < hi; ++j) {
          const Real w = map ? std::min(c[j], c_near[j]) : all;
          r[j] += w * g * (at[j] - near[j]);
        }
      }
    }
  }

  const ResidualPass& pass_;
  const LevelView& level_;
  const Equation& eq_;
  const int channels_;
  const bool with_g_;
  Rows<Real> source_, guide_, target_, x_, mask_, weight_, vertical_, base_, work_;
  std::vector<Real*> pointers_;
  double largest_ = 0, magnitude_ = 0;
};

// Stores the active ones of n values in channel k of row y from column x on, rounded to the image's
// dtype; returns how many were clipped.
template <typename Real>
std::int64_t store_active(const Real* __restrict row, const std::int8_t* __restrict active, int n,
                          const ImageView& out, std::int64_t y, std::int64_t x, std::int64_t k) {
  return dispatch_image(out.dtype, "out", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Real* __restrict from = row;
    const std::int8_t* __restrict stored = active;
    T* __restrict to = out.at<T>(y, x, 0) + k * out.channel_stride;
    const std::int64_t step = out.col_stride;
    const int count = n;
    int beyond = 0;
    for (int j = 0; j < count; ++j) {
      T& pixel = to[j * step];
      pixel = stored[j] ? from_real<T>(from[j]) : pixel;
      beyond += stored[j] && is_clipped<T>(from[j]);
    }
    return static_cast<std::int64_t>(beyond);
  });
}

// Stores three channels of interleaved pixels as store_active does, with all of a pixel at once.
template <typename Real, typename T>
std::int64_t store_pixels(const Real* const* rows, const std::int8_t* __restrict active, int n,
                          T* __restrict to, T* work) {
  std::int64_t clipped = 0;
  T* values[3] = {work, work + n, work + 2 * n};
  for (int k = 0; k < 3; ++k) {
    const Real* __restrict from = rows[k];
    T* __restrict value = values[k];
    int beyond = 0;
    for (int j = 0; j < n; ++j) {
      value[j] = from_real<T>(from[j]);
      beyond += active[j] & static_cast<int>(is_clipped<T>(from[j]));
    }
    clipped += beyond;
  }
  const T* __restrict a = values[0], * __restrict b = values[1], * __restrict c = values[2];
  for (int j = 0; j < n; ++j) {
    T* __restrict pixel = to + 3 * j;
    const bool stored = active[j];
    pixel[0] = stored ? a[j] : pixel[0];
    pixel[1] = stored ? b[j] : pixel[1];
    pixel[2] = stored ? c[j] : pixel[2];
  }
  return clipped;
}

template <typename Real>
std::int64_t write_rows(const WritePass& pass, const Real* const* e, int begin, int end) {
  std::int64_t clipped = 0;
  const LevelView& level = pass.level;
  const Equation& eq = pass.equation;
  const int channels = static_cast<int>(eq.channels());
  Rows<Real> rows(level.stride, channels);
  std::vector<Real*> pointers(static_cast<std::size_t>(channels));
  const bool whole = pass.out.dtype == DType::kUInt8 && channels == 3 &&
                     pass.out.channel_stride == 1 && pass.out.col_stride == 3;
  std::vector<std::uint8_t> work(whole ? static_cast<std::size_t>(level.stride) * 3 : 0);
  for (int i = begin; i < end; ++i) {
    const int lo = level.lo[i], hi = std::min(level.hi[i], level.width);
    if (lo >= hi) continue;
    const std::int64_t y = eq.top + i, x = eq.left + lo;
    if (!eq.has_rhs()) {
      for (int k = 0; k < channels; ++k) pointers[k] = rows.row(k) + lo;
      read_channels(eq.src, y, x, eq.left + hi, pointers.data());
    }
    const std::int8_t* active = level.active + i * level.stride + lo;
    for (int k = 0; k < channels; ++k) {
      Real* __restrict row = rows.row(k);
      const Real* __restrict add = e[k] + i * level.stride;
      if (eq.has_rhs()) {
        for (int j = lo; j < hi; ++j) row[j] = add[j];
      } else {
        for (int j = lo; j < hi; ++j) row[j] += add[j];
      }
      pointers[k] = row + lo;
      if (!whole) clipped += store_active(row + lo, active, hi - lo, pass.out, y, x, k);
    }
    if (whole) {
      std::uint8_t* to = pass.out.at<std::uint8_t>(y, x, 0);
      clipped += store_pixels(pointers.data(), active, hi - lo, to, work.data());
    }
  }
  return clipped;
}

}  // namespace

void poisson_residual(const ResidualPass& pass, int begin, int end, int band) {
  switch (pass.arithmetic) {
    case Arithmetic::kSingle: return Band<float>(pass).run(begin, end, band);
    case Arithmetic::kDouble: return Band<double>(pass).run(begin, end, band);
#if HM_SIMD_BYTES == 64 && !defined(HM_SIMD_ALONE)
    // No vector holds a long double: AVX-512 has nothing to add to the code for AVX2.
    case Arithmetic::kExtended: return simd_avx2::poisson_residual(pass, begin, end, band);
#else
    case Arithmetic::kExtended: return Band<long double>(pass).run(begin, end, band);
#endif
  }
}

std::int64_t poisson_write(const WritePass& pass, int begin, int end) {
  return pass.e_double != nullptr ? write_rows(pass, pass.e_double, begin, end)
                                  : write_rows(pass, pass.e, begin, end);
}

}  // namespace pyharmony::HM_SIMD_NS
