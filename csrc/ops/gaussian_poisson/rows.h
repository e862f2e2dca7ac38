// Rows of images as interleaved reals, and the edge field on them. Included by SIMD sources only.
//
// A row [W, C] is W * C reals, so horizontal neighbours are C apart.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/array.h"
#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/parallel.h"
#include "ops/gaussian_poisson/gaussian_poisson.h"

namespace pyharmony::HM_SIMD_NS {

// Loads row y of an image, [W, C], in its native unit.
template <typename Real>
inline void load_row(const ImageView& image, std::int64_t y, Real* out) {
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    // These are locals because stores through `out` could otherwise change the captured pointers.
    const T* __restrict row = image.at<T>(y, 0, 0);
    Real* __restrict to = out;
    const std::int64_t w = image.width, c = image.channels, n = w * c;
    const std::int64_t col_stride = image.col_stride, channel_stride = image.channel_stride;
    if (channel_stride == 1 && col_stride == c) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = to_real<Real>(row[i]);
    } else {
      for (std::int64_t k = 0; k < c; ++k) {
        const T* __restrict plane = row + k * channel_stride;
        for (std::int64_t x = 0; x < w; ++x) to[x * c + k] = to_real<Real>(plane[x * col_stride]);
      }
    }
  });
}

namespace detail {

template <int kChannels, typename Real, typename T>
inline void repeat_mask(const T* __restrict row, std::int64_t stride, std::int64_t width,
                        std::int64_t channels, Real range, Real* __restrict out) {
  const std::int64_t c = kChannels ? kChannels : channels;
  constexpr std::int64_t kBlock = 64;
  Real values[kBlock];
  for (std::int64_t x0 = 0; x0 < width; x0 += kBlock) {
    const std::int64_t n = width - x0 < kBlock ? width - x0 : kBlock;
    if (stride == 1) {
      for (std::int64_t x = 0; x < n; ++x) values[x] = to_real<Real>(row[x0 + x]) / range;
    } else {
      for (std::int64_t x = 0; x < n; ++x)
        values[x] = to_real<Real>(row[(x0 + x) * stride]) / range;
    }
    for (std::int64_t x = 0; x < n; ++x) {
      for (std::int64_t k = 0; k < c; ++k) out[(x0 + x) * c + k] = values[x];
    }
  }
}

}  // namespace detail

// Loads row y of a mask, scaled to [0, 1], each pixel repeated for `channels`.
template <typename Real>
inline void load_mask_row(const ImageView& mask, std::int64_t y, std::int64_t channels, Real* out) {
  const Real range = static_cast<Real>(dtype_range(mask.dtype));
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* row = mask.at<T>(y, 0, 0);
    switch (channels) {
      case 1: return detail::repeat_mask<1>(row, mask.col_stride, mask.width, 1, range, out);
      case 3: return detail::repeat_mask<3>(row, mask.col_stride, mask.width, 3, range, out);
      case 4: return detail::repeat_mask<4>(row, mask.col_stride, mask.width, 4, range, out);
      default:
        return detail::repeat_mask<0>(row, mask.col_stride, mask.width, channels, range, out);
    }
  });
}

// Continues a row by mirroring: row[-C..] and row[W * C..] become the first and the last pixel.
template <typename Real>
inline void mirror_row(Real* row, std::int64_t width, std::int64_t channels) {
  for (std::int64_t k = 0; k < channels; ++k) {
    row[k - channels] = row[k];
    row[width * channels + k] = row[(width - 1) * channels + k];
  }
}

// Rows y - 1, y and y + 1 of an image, and one more pixel on both sides.
template <typename Real>
struct RowWindow {
  RowWindow(std::int64_t width, std::int64_t channels)
      : pitch((width + 2) * channels), memory(static_cast<std::size_t>(3 * pitch)) {
    for (int i = 0; i < 3; ++i) row[i] = memory.data() + i * pitch + channels;
  }
  void advance() {
    std::swap(row[0], row[1]);
    std::swap(row[1], row[2]);
  }
  std::int64_t pitch;
  Buffer<Real> memory;
  Real* row[3];
};

// Calls fn(y0, y1) for blocks of rows.
template <typename Fn>
void for_blocks(std::int64_t height, std::int64_t rows, Fn&& fn) {
  parallel_each((height + rows - 1) / rows, 1,
                [&](std::int64_t i) { fn(i * rows, std::min(height, (i + 1) * rows)); });
}

// Computes the wanted differences x1 - x0 of `pixels` edges: s, d [pixels, C] are both ends of each
// edge, m the masks, repeated for the channels. Across a mirrored border the result is zero.
template <typename Real>
inline void edge_row(gaussian_poisson::Gradients gradients, const Real* __restrict s0,
                     const Real* __restrict s1, const Real* __restrict d0,
                     const Real* __restrict d1, const Real* __restrict m0,
                     const Real* __restrict m1, std::int64_t pixels, std::int64_t channels,
                     Real* __restrict out) {
  using gaussian_poisson::Gradients;
  const std::int64_t n = pixels * channels;
  const Real half = Real(0.5);
  switch (gradients) {
    case Gradients::kSource:
      for (std::int64_t i = 0; i < n; ++i) {
        const Real a = (m0[i] + m1[i]) * half, dd = d1[i] - d0[i];
        out[i] = dd + a * ((s1[i] - s0[i]) - dd);
      }
      return;
    case Gradients::kAverage:
      for (std::int64_t i = 0; i < n; ++i) {
        const Real a = (m0[i] + m1[i]) * half, dd = d1[i] - d0[i];
        out[i] = dd + a * half * ((s1[i] - s0[i]) - dd);
      }
      return;
  }
}

}  // namespace pyharmony::HM_SIMD_NS
