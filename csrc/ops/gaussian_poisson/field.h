// The wanted differences of pyharmony/reference/gaussian_poisson.py, summed at each pixel: the part
// of b beside the colours. The solvers form it on the way. Here it is an array, for smoothed
// derivatives and for gradients that are changed from pixel to pixel.
#pragma once

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony::gaussian_poisson {

// The derivative on an edge is the difference of its pixels after smoothing by
// [along, 1 - 2 along, along] in its direction, where the image continues as a straight line, and
// by [across, 1 - 2 across, across] across it, where the image's border is repeated.
struct Derivative {
  double along = 0, across = 0;
};

struct FieldParams {
  ImageView src, dst;  // [H, W, C]
  ImageView mask;      // [H, W]
  ImageView gain;      // [H, W] float32 or float64, factor of src's differences; data is null for 1
  Derivative derivative;
  bool full = false;  // an edge takes the larger mask of its pixels, instead of their mean
  ImageView out;      // [H, W, C] float64
};

// |gradient| [H, W]. Where smooth, it is by Sobel's kernel over 8, of the channel where it is the
// largest. Otherwise it is the root of the mean over the channels of gx^2 + gy^2, each the mean of
// the squared differences to both neighbours along an axis, zero across the image's border.
struct NormParams {
  ImageView image;  // [H, W, C]
  bool smooth = false;
  ImageView out;  // [H, W] float32 or float64, also the dtype of the arithmetic
};

// Writes out [H, W] float32: 1 where norm >= high, and where norm >= low and a path of such pixels
// leads, over the eight neighbours, to one that is >= high; else 0.
void edge_map(const ImageView& norm, float low, float high, const ImageView& out);

}  // namespace pyharmony::gaussian_poisson

namespace pyharmony {

HM_SIMD_DECLARE(void gaussian_poisson_field(const gaussian_poisson::FieldParams& params))
HM_SIMD_DECLARE(void gradient_norm(const gaussian_poisson::NormParams& params))

}  // namespace pyharmony
