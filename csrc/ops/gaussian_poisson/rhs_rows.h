// The right-hand side b, row by row, on a strip of columns. Included by SIMD sources only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/array.h"
#include "core/buffer.h"
#include "core/dispatch.h"
#include "ops/gaussian_poisson/dct.h"
#include "ops/gaussian_poisson/rows.h"

namespace pyharmony::HM_SIMD_NS {

inline ImageView columns(ImageView image, std::int64_t begin, std::int64_t end) {
  image.data = static_cast<char*>(image.data) + begin * image.col_stride * dtype_size(image.dtype);
  image.width = end - begin;
  return image;
}

// Sums interleaved values [n, C] by channel, in many accumulators and a fixed order.
class ChannelSums {
 public:
  explicit ChannelSums(std::int64_t channels)
      : channels_(channels), used_(channels <= kLanes ? kLanes / channels * channels : 0) {}

  template <typename Real>
  void add(const Real* __restrict row, std::int64_t n, double* sum) {
    const std::int64_t count = n * channels_, used = used_;
    double* __restrict acc = acc_;
    std::int64_t i = 0;
    if (used > 0) {
      for (; i + used <= count; i += used) {
        for (std::int64_t j = 0; j < used; ++j) acc[j] += row[i + j];
      }
    }
    for (std::int64_t k = 0; i < count; ++i) {
      sum[k] += row[i];
      k = k + 1 == channels_ ? 0 : k + 1;
    }
  }

  void finish(double* sum) const {
    for (std::int64_t j = 0; j < used_; ++j) sum[j % channels_] += acc_[j];
  }

 private:
  static constexpr std::int64_t kLanes = 48;
  const std::int64_t channels_, used_;
  alignas(64) double acc_[kLanes] = {};
};

// Prefetches row y of an image: strips are too short for the CPU to see the pattern. It is inlined
// by force because GCC drops calls of functions that only prefetch.
__attribute__((always_inline)) inline void prefetch_row(const ImageView& image, std::int64_t y,
                                                        std::int64_t height) {
  if (y >= height || image.channel_stride * image.channels != image.col_stride) return;
  const std::int64_t size = dtype_size(image.dtype);
  const char* row = static_cast<const char*>(image.data) + y * image.row_stride * size;
  for (std::int64_t i = 0; i < image.width * image.col_stride * size; i += 64) {
    __builtin_prefetch(row + i);
  }
}

// Forms b on the columns [x0, x1), for rows that are asked for in ascending order.
template <typename Real>
class RhsRows {
 public:
  RhsRows(const gaussian_poisson::DctParams& params, std::int64_t x0, std::int64_t x1)
      : params_(params), x0_(x0), x1_(x1), channels_(params.channels()), sums_(channels_) {
    const std::int64_t n = (x1 - x0) * channels_, padding = 16 * channels_;
    row_ = Buffer<Real>(static_cast<std::size_t>(n + padding));
    std::fill(row_.data() + n, row_.data() + n + padding, Real(0));
    if (params.has_rhs()) {
      rhs_ = columns(params.rhs, x0, x1);
      return;
    }
    const gaussian_poisson::Problem& problem = params.problem;
    left_ = x0 > 0 ? 1 : 0;
    right_ = x1 < params.width() ? 1 : 0;
    src_ = columns(problem.src, x0 - left_, x1 + right_);
    dst_ = columns(problem.dst, x0 - left_, x1 + right_);
    mask_ = columns(problem.mask, x0 - left_, x1 + right_);
    base_ = columns(problem.base, x0, x1);
    pitch_ = (n + 2 * channels_ + 31) / 16 * 16;
    memory_ = Buffer<Real>(static_cast<std::size_t>(13 * pitch_));
    for (int i = 0; i < 9; ++i) window_[i / 3][i % 3] = memory_.data() + i * pitch_;
    horizontal_ = memory_.data() + 9 * pitch_;
    up_ = memory_.data() + 10 * pitch_;
    down_ = memory_.data() + 11 * pitch_;
    base_row_ = memory_.data() + 12 * pitch_;
  }

  // Returns b of row y, [x1 - x0, C], followed by zeros to the next multiple of 16 pixels. Adds to
  // sum [C] what finish() completes to the sums of base (or of rhs).
  const Real* next(std::int64_t y, double* sum) {
    const std::int64_t c = channels_, n = (x1_ - x0_) * c;
    if (params_.has_rhs()) {
      load_row(rhs_, y, row_.data());
      sums_.add(row_.data(), x1_ - x0_, sum);
      return row_.data();
    }
    if (y != y_ + 1 || y_ < 0) {
      for (int i = 0; i < 3; ++i) load(y - 1 + i, i);
      vertical_edges(0, up_);
    } else {
      for (auto& window : window_) {
        std::swap(window[0], window[1]);
        std::swap(window[1], window[2]);
      }
      load(y + 1, 2);
      std::swap(up_, down_);
    }
    y_ = y;
    vertical_edges(1, down_);
    const Real* s = window_[0][1];
    const Real* d = window_[1][1];
    const Real* m = window_[2][1];
    edge_row(gaussian_poisson::Gradients::kSource, s, s + c, d, d + c, m, m + c, x1_ - x0_ + 1, c,
             horizontal_);
    load_row(base_, y, base_row_);
    sums_.add(base_row_, x1_ - x0_, sum);
    prefetch_row(base_, y + 2, params_.height());
    const Real weight = static_cast<Real>(params_.problem.weight);
    const Real* __restrict h = horizontal_;
    const Real* __restrict up = up_;
    const Real* __restrict down = down_;
    const Real* __restrict base = base_row_;
    Real* __restrict b = row_.data();
    for (std::int64_t i = 0; i < n; ++i)
      b[i] = (h[i] - h[i + c]) + (up[i] - down[i]) + weight * base[i];
    return b;
  }

  void finish(double* sum) const { sums_.finish(sum); }

 private:
  // Rows hold the columns x0 - 1 .. x1, mirrored at the image's border.
  void load(std::int64_t y, int slot) {
    const std::int64_t c = channels_, n = x1_ - x0_;
    y = std::clamp<std::int64_t>(y, 0, params_.height() - 1);
    Real* rows[3] = {window_[0][slot], window_[1][slot], window_[2][slot]};
    load_row(src_, y, rows[0] + (1 - left_) * c);
    load_row(dst_, y, rows[1] + (1 - left_) * c);
    load_mask_row(mask_, y, c, rows[2] + (1 - left_) * c);
    for (const ImageView* image : {&src_, &dst_, &mask_})
      prefetch_row(*image, y + 2, params_.height());
    for (Real* row : rows) {
      for (std::int64_t k = 0; k < c; ++k) {
        if (!left_) row[k] = row[k + c];
        if (!right_) row[(n + 1) * c + k] = row[n * c + k];
      }
    }
  }

  void vertical_edges(int upper, Real* out) {
    const std::int64_t c = channels_;
    edge_row(gaussian_poisson::Gradients::kSource, window_[0][upper] + c, window_[0][upper + 1] + c,
             window_[1][upper] + c, window_[1][upper + 1] + c, window_[2][upper] + c,
             window_[2][upper + 1] + c, x1_ - x0_, c, out);
  }

  const gaussian_poisson::DctParams& params_;
  const std::int64_t x0_, x1_, channels_;
  ChannelSums sums_;
  std::int64_t left_ = 0, right_ = 0, pitch_ = 0, y_ = -2;
  ImageView rhs_, src_, dst_, mask_, base_;
  Buffer<Real> row_, memory_;
  Real* window_[3][3] = {};
  Real *horizontal_ = nullptr, *up_ = nullptr, *down_ = nullptr, *base_row_ = nullptr;
};

}  // namespace pyharmony::HM_SIMD_NS
