// Rows of pyramids: how they are read and doubled. Included by SIMD sources only.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/dispatch.h"
#include "core/vec.h"
#include "ops/pyramid/weights.h"

namespace pyharmony::HM_SIMD_NS {

// Returns the length of a row of floats that vectors may run past.
inline std::int64_t padded(std::int64_t floats) {
  return (floats + kLanes - 1) / kLanes * kLanes + kLanes;
}

inline void store_unaligned(float* p, Vec v) { std::memcpy(p, &v, sizeof(v)); }

inline std::int64_t clamp(std::int64_t i, std::int64_t n) {
  return std::min(std::max<std::int64_t>(i, 0), n - 1);
}

inline bool interleaved(const ImageView& image) {
  return image.col_stride == image.channels && (image.channels == 1 || image.channel_stride == 1);
}

// Reads pixels [x0, x1) of row y, both inside the image, with their channels side by side.
template <typename Real>
inline void read_row(const ImageView& image, std::int64_t y, std::int64_t x0, std::int64_t x1,
                     Real* __restrict out) {
  dispatch_any(image.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t channels = image.channels, n = x1 - x0;
    const T* __restrict row = image.at<T>(y, x0, 0);
    if (interleaved(image)) {
      for (std::int64_t i = 0; i < n * channels; ++i) out[i] = to_real<Real>(row[i]);
      return;
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      const T* __restrict p = row + c * image.channel_stride;
      for (std::int64_t i = 0; i < n; ++i) {
        out[i * channels + c] = to_real<Real>(p[i * image.col_stride]);
      }
    }
  });
}

// Copies n pixels of kC (or c) floats to places that are step pixels apart. With three channels it
// moves four floats at once: the next pixel overwrites the fourth, except after the last.
template <int kC>
inline void copy_pixels(const float* from, std::int64_t from_step, float* to, std::int64_t to_step,
                        std::int64_t n, std::int64_t c) {
  if constexpr (kC == 3) {
    for (std::int64_t i = 0; i + 1 < n; ++i) {
      std::memcpy(to + i * to_step * 3, from + i * from_step * 3, 4 * sizeof(float));
    }
    if (n > 0) {
      std::memcpy(to + (n - 1) * to_step * 3, from + (n - 1) * from_step * 3, 3 * sizeof(float));
    }
  } else {
    const std::int64_t channels = kC > 0 ? kC : c;
    for (std::int64_t i = 0; i < n; ++i) {
      const float* source = from + i * from_step * channels;
      float* target = to + i * to_step * channels;
      for (std::int64_t k = 0; k < channels; ++k) target[k] = source[k];
    }
  }
}

// Keys' cubic at a quarter cell; which products are fused is fixed, so that all users get the same
// bits.
inline Vec cubic(Vec near_outer, Vec near, Vec far, Vec far_outer) {
  return fma(splat(kCubicNearOuter), near_outer, kCubicNear * near) +
         fma(splat(kCubicFar), far, kCubicFarOuter * far_outer);
}

}  // namespace pyharmony::HM_SIMD_NS
