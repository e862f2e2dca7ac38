// Computes the rows of field.h in blocks that share two or three rows with their neighbours.
#include "ops/gaussian_poisson/field.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/buffer.h"
#include "ops/gaussian_poisson/rows.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

using gaussian_poisson::Derivative;
using gaussian_poisson::FieldParams;
using gaussian_poisson::NormParams;

constexpr std::int64_t kBlockRows = 32;

// An image in the forms that its horizontal and its vertical differences need, row by row.
class Smoothed {
 public:
  Smoothed(const ImageView& image, const Derivative& derivative)
      : image_(image),
        height_(image.height),
        width_(image.width),
        channels_(image.channels),
        count_(width_ * channels_),
        along_(derivative.along),
        across_(derivative.across),
        pitch_(count_ + 2 * channels_),
        memory_(Buffer<double>::zeros(static_cast<std::size_t>(10 * pitch_))) {
    for (int i = 0; i < 10; ++i) rows_[i] = memory_.data() + i * pitch_ + channels_;
    horizontal_ = rows_[6];
    vertical_[0] = rows_[7];
    vertical_[1] = rows_[8];
  }

  // Loads row y; rows come in ascending order. [W, C], and one pixel that repeats the border on
  // both sides.
  void next(std::int64_t y) {
    std::swap(vertical_[0], vertical_[1]);
    if (!smooths()) {
      load_row(image_, y, vertical_[1]);
      mirror_row(vertical_[1], width_, channels_);
      horizontal_ = vertical_[1];
      return;
    }
    double** raw = rows_;         // rows y - 1, y, y + 1 of the image
    double** across = rows_ + 3;  // these rows, smoothed along x
    if (!started_) {
      for (int i = 0; i < 3; ++i) load(y - 1 + i, i);
      started_ = true;
    } else {
      for (double** window : {raw, across}) {
        std::swap(window[0], window[1]);
        std::swap(window[1], window[2]);
      }
      load(y + 1, 2);
    }
    const std::int64_t c = channels_;
    blend(raw[0], raw[1], raw[2], across_, rows_[9]);
    mirror_row(rows_[9], width_, c);
    const double* __restrict t = rows_[9];
    double* __restrict h = horizontal_;
    blend(t - c, t, t + c, along_, h);
    for (std::int64_t k = 0; k < c; ++k) {  // A straight line continues through the border.
      h[k] = t[k];
      h[count_ - c + k] = t[count_ - c + k];
    }
    mirror_row(h, width_, c);
    if (y == 0 || y == height_ - 1) {
      std::copy(across[1], across[1] + count_, vertical_[1]);
    } else {
      blend(across[0], across[1], across[2], along_, vertical_[1]);
    }
  }

  const double* horizontal() const { return horizontal_; }
  const double* upper() const { return vertical_[0]; }
  const double* lower() const { return vertical_[1]; }

 private:
  bool smooths() const { return along_ > 0 || across_ > 0; }

  void load(std::int64_t y, int slot) {
    y = std::clamp<std::int64_t>(y, 0, height_ - 1);
    double* row = rows_[slot];
    load_row(image_, y, row);
    mirror_row(row, width_, channels_);
    blend(row - channels_, row, row + channels_, across_, rows_[3 + slot]);
  }

  // Computes b + side ((a - b) + (c - b)): a constant stays the same, to the bit.
  void blend(const double* __restrict a, const double* __restrict b, const double* __restrict c,
             double side, double* __restrict out) const {
    for (std::int64_t i = 0; i < count_; ++i)
      out[i] = b[i] + side * ((a[i] - b[i]) + (c[i] - b[i]));
  }

  const ImageView& image_;
  const std::int64_t height_, width_, channels_, count_;
  const double along_, across_;
  const std::int64_t pitch_;
  Buffer<double> memory_;
  double* rows_[10];
  double* horizontal_;
  double* vertical_[2];
  bool started_ = false;
};

class FieldBlock {
 public:
  explicit FieldBlock(const FieldParams& params)
      : params_(params),
        same_(params.src.data == params.dst.data &&
              params.src.row_stride == params.dst.row_stride &&
              params.src.dtype == params.dst.dtype),
        height_(params.mask.height),
        width_(params.mask.width),
        channels_(params.dst.channels),
        count_(width_ * channels_),
        memory_(Buffer<double>::zeros(static_cast<std::size_t>(8 * (count_ + 2 * channels_)))) {
    for (int i = 0; i < 8; ++i)
      rows_[i] = memory_.data() + i * (count_ + 2 * channels_) + channels_;
    for (int i = 0; i < 2; ++i) {
      mask_[i] = rows_[i];
      gain_[i] = rows_[2 + i];
      if (params_.gain.data == nullptr)
        std::fill(gain_[i] - channels_, gain_[i] + count_ + channels_, 1.0);
    }
    up_ = rows_[4];
    down_ = rows_[5];
    horizontal_ = rows_[6];
    result_ = rows_[7];
  }

  void run(std::int64_t y0, std::int64_t y1) {
    Smoothed dst(params_.dst, params_.derivative);
    Smoothed own(params_.src, params_.derivative);
    Smoothed& src = same_ ? dst : own;
    const std::int64_t c = channels_;
    const std::int64_t first = std::max<std::int64_t>(y0 - 1, 0);
    const double *s = nullptr, *d = nullptr;
    for (std::int64_t y = first; y <= std::min(y1, height_ - 1); ++y) {
      // The row before has its horizontal differences; their lower edges follow from this row.
      if (y > first) {
        edges(s - c, s, d - c, d, mask_[1] - c, mask_[1], gain_[1] - c, gain_[1], width_ + 1,
              horizontal_);
      }
      std::swap(mask_[0], mask_[1]);
      std::swap(gain_[0], gain_[1]);
      load_mask_row(params_.mask, y, c, mask_[1]);
      mirror_row(mask_[1], width_, c);
      if (params_.gain.data != nullptr) {
        load_mask_row(params_.gain, y, c, gain_[1]);
        mirror_row(gain_[1], width_, c);
      }
      dst.next(y);
      if (!same_) own.next(y);
      s = src.horizontal();
      d = dst.horizontal();
      if (y == first) continue;
      edges(src.upper(), src.lower(), dst.upper(), dst.lower(), mask_[0], mask_[1], gain_[0],
            gain_[1], width_, down_);
      if (y - 1 >= y0) finish(y - 1);
      std::swap(up_, down_);
    }
    if (y1 == height_) {
      edges(s - c, s, d - c, d, mask_[1] - c, mask_[1], gain_[1] - c, gain_[1], width_ + 1,
            horizontal_);
      std::fill(down_, down_ + count_, 0.0);
      finish(height_ - 1);
    }
  }

 private:
  // Computes dd + a (g ds - dd) for `pixels` edges, where g is the mean of both ends, and a as well
  // or, for the full contour, the larger.
  void edges(const double* __restrict s0, const double* __restrict s1, const double* __restrict d0,
             const double* __restrict d1, const double* __restrict m0, const double* __restrict m1,
             const double* __restrict g0, const double* __restrict g1, std::int64_t pixels,
             double* __restrict out) const {
    const std::int64_t n = pixels * channels_;
    const bool full = params_.full;
    for (std::int64_t i = 0; i < n; ++i) {
      const double mean = (m0[i] + m1[i]) * 0.5, larger = m0[i] < m1[i] ? m1[i] : m0[i];
      const double a = full ? larger : mean, g = (g0[i] + g1[i]) * 0.5;
      const double dd = d1[i] - d0[i];
      out[i] = dd + a * (g * (s1[i] - s0[i]) - dd);
    }
  }

  void finish(std::int64_t y) {
    const std::int64_t c = channels_;
    const double* __restrict h = horizontal_, * __restrict up = up_, * __restrict down = down_;
    double* __restrict r = result_;
    for (std::int64_t i = 0; i < count_; ++i) r[i] = (h[i] - h[i + c]) + (up[i] - down[i]);
    const ImageView& out = params_.out;
    double* row = out.at<double>(y, 0, 0);
    for (std::int64_t k = 0; k < c; ++k) {
      for (std::int64_t x = 0; x < width_; ++x) {
        row[x * out.col_stride + k * out.channel_stride] = r[x * c + k];
      }
    }
  }

  const FieldParams& params_;
  const bool same_;
  const std::int64_t height_, width_, channels_, count_;
  Buffer<double> memory_;
  double* rows_[8];
  double *mask_[2], *gain_[2];
  double *up_, *down_, *horizontal_, *result_;
};

template <typename Real>
void norm_row(const RowWindow<Real>& window, std::int64_t width, std::int64_t c, bool smooth,
              Real* __restrict squares, Real* __restrict out) {
  const Real* __restrict a = window.row[0], * __restrict m = window.row[1], * __restrict b = window.row[2];
  const std::int64_t n = width * c;
  if (smooth) {
    for (std::int64_t i = 0; i < n; ++i) {
      const Real gx = (a[i + c] - a[i - c]) + 2 * (m[i + c] - m[i - c]) + (b[i + c] - b[i - c]);
      const Real gy = (b[i - c] - a[i - c]) + 2 * (b[i] - a[i]) + (b[i + c] - a[i + c]);
      squares[i] = (gx * gx + gy * gy) * (Real(1) / 64);
    }
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      const Real left = m[i] - m[i - c], right = m[i + c] - m[i], up = m[i] - a[i],
                 down = b[i] - m[i];
      squares[i] = Real(0.5) * ((left * left + right * right) + (up * up + down * down));
    }
  }
  for (std::int64_t x = 0; x < width; ++x) {
    Real total = squares[x * c];
    for (std::int64_t k = 1; k < c; ++k) {
      const Real s = squares[x * c + k];
      total = smooth ? std::max(total, s) : total + s;
    }
    out[x] = std::sqrt(smooth ? total : total / static_cast<Real>(c));
  }
}

}  // namespace

void gaussian_poisson_field(const FieldParams& params) {
  for_blocks(params.mask.height, kBlockRows,
             [&](std::int64_t y0, std::int64_t y1) { FieldBlock(params).run(y0, y1); });
}

void gradient_norm(const NormParams& params) {
  const ImageView& image = params.image;
  const ImageView& out = params.out;
  auto run = [&](auto zero) {
    using Real = decltype(zero);
    for_blocks(image.height, kBlockRows, [&](std::int64_t y0, std::int64_t y1) {
      RowWindow<Real> window(image.width, image.channels);
      const auto load = [&](std::int64_t y, int slot) {
        load_row(image, std::clamp<std::int64_t>(y, 0, image.height - 1), window.row[slot]);
        mirror_row(window.row[slot], image.width, image.channels);
      };
      Buffer<Real> squares(static_cast<std::size_t>(image.width * image.channels));
      Buffer<Real> row(static_cast<std::size_t>(image.width));
      load(y0 - 1, 0);
      load(y0, 1);
      for (std::int64_t y = y0; y < y1; ++y) {
        if (y > y0) window.advance();
        load(y + 1, 2);
        norm_row(window, image.width, image.channels, params.smooth, squares.data(), row.data());
        for (std::int64_t x = 0; x < image.width; ++x) *out.at<Real>(y, x, 0) = row.data()[x];
      }
    });
  };
  if (out.dtype == DType::kFloat64) {
    run(0.0);
  } else {
    run(0.0f);
  }
}

}  // namespace pyharmony::HM_SIMD_NS
