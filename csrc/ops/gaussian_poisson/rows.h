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
void load_row(const ImageView& image, std::int64_t y, float* out);
void load_row(const ImageView& image, std::int64_t y, double* out);

// Loads row y of a mask, scaled to [0, 1], each pixel repeated for `channels`.
void load_mask_row(const ImageView& mask, std::int64_t y, std::int64_t channels, float* out);
void load_mask_row(const ImageView& mask, std::int64_t y, std::int64_t channels, double* out);

// Stores the row [W, C] as row y of an image, rounded to its dtype.
void store_row(const float* in, const ImageView& image, std::int64_t y);
void store_row(const double* in, const ImageView& image, std::int64_t y);

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
