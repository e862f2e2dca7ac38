// Convolutions of one image with its channels last, for networks that run without torch.
//
// y = max(s, 0) + slope min(s, 0), at most `high`, where s = bias + added + the convolution with
// zeros around the image. slope 1 leaves s as it is, 0 is a ReLU.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

// Everything is contiguous float32. The padded image has its zeros around it already; a convolution
// of each channel by itself reads the image instead.
struct ConvolutionParams {
  const float* image;   // [image height, image width, channels]
  const float* padded;  // [padded height, padded width, channels]
  const float* weight;  // [kernel, kernel, channels, made], or [kernel, kernel, channels] of `each`
  const float* bias;    // [made]
  const float* added;   // like out; null: nothing
  float* out;           // [height, width, made]
  std::int64_t image_height, image_width, height, width, channels, made, padded_width;
  int kernel, stride, before;
  float slope, high;
};

HM_SIMD_DECLARE(void convolution_kernel(const ConvolutionParams& params))
// Each channel by itself: made == channels.
HM_SIMD_DECLARE(void convolution_each_kernel(const ConvolutionParams& params))

// The image at twice the size, which may be added to another array.
struct EnlargedParams {
  const float* image;  // [height, width, channels]
  const float* added;  // like out; null: nothing
  float* out;          // [2 height, 2 width, channels]
  std::int64_t height, width, channels;
};

HM_SIMD_DECLARE(void enlarged_kernel(const EnlargedParams& params))

// image [H, W, C]; weight [k, k, C, O], or [k, k, C] for a convolution of each channel by itself;
// bias [O]; added like out, or null; out [h, w, O]. There are `before` rows and columns of zeros
// before the image, and as many after it as the windows need.
void convolution(const ArrayView& image, const ArrayView& weight, const ArrayView& bias,
                 const ArrayView* added, const ArrayView& out, int stride, int before, double slope,
                 double high);

// Bilinear: a value of out is 0.75 of the nearest pixel and 0.25 of the next one along each axis,
// columns of pixels first. If `added` is not null, it is added, and values below 0 become 0.
// image [H, W, C]; added like out, or null; out [2 H, 2 W, C].
void enlarged(const ArrayView& image, const ArrayView* added, const ArrayView& out);

}  // namespace pyharmony
