// The guided filter: affine functions of an image's colours, fitted at a low resolution and applied
// at a high one. Formulae: pyharmony/reference/guided_filter.py.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

// Means over windows of side 2 radius + 1, of the pixels that exist.
struct WindowMeanParams {
  const float* x;  // [h, w]
  std::int64_t height, width, radius;
  float* out;  // [h, w]
};

struct GuidedFitParams {
  ImageView guide;   // [h, w, 3] float32
  ImageView target;  // [h, w] float32
  std::int64_t radius;
  float ridge;
  float* first;  // [4, h, w], scratch
  float* fit;    // [4, h, w]: intercept and slopes
};

struct GuidedApplyParams {
  ImageView picture;   // [H, W, 3] uint8
  const float* plain;  // [h, w]
  const float* fit;    // [4, h, w]
  const float* share;  // [h, w], how much of the functions counts; null: where plain is uncertain
  std::int64_t height, width;  // of the three
  float contrast;
  float* packed;  // [h, w, 8], scratch
  ImageView out;  // [H, W] uint8
};

HM_SIMD_DECLARE(void window_mean_kernel(const WindowMeanParams& params))
HM_SIMD_DECLARE(void guided_fit_kernel(const GuidedFitParams& params))
HM_SIMD_DECLARE(void guided_apply_kernel(const GuidedApplyParams& params))

// Writes the mean of the pixels of x [h, w] at most radius away along each axis. Both are
// contiguous float32.
void window_mean(const ArrayView& x, int radius, const ArrayView& out);

// Writes the intercept and the three slopes [4, h, w] of the regression of a target [h, w] on the
// colours of a guide [h, w, 3], both float32, in windows, as means over windows.
void guided_fit(const ArrayView& guide, const ArrayView& target, int radius, float ridge,
                const ArrayView& fit);

// Writes a mask [H, W] uint8: the functions `fit` of the colours of a picture [H, W, 3] uint8,
// enlarged bilinearly, and plain [h, w] where it is certain, or by 1 - share where share is given.
void guided_apply(const ArrayView& picture, const ArrayView& plain, const ArrayView& fit,
                  const ArrayView* share, float contrast, const ArrayView& out);

}  // namespace pyharmony
