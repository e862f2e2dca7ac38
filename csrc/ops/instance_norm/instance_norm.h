// Instance norm without scale, shift and running statistics; see
// pyharmony/reference/instance_norm.py. Over the positions of each plane, with act(v) = v where
// v > 0, else slope v,
//
//   h = (x - mean) rstd,  rstd = 1 / sqrt(variance + eps),  y = act(h)
//   dx = rstd (g - mean(g) - h mean(g h))  with g = act'(h) dy
//
// For the cotangent u of that dx, the cotangents of dy and of x are, with m() the mean over a
// plane, D = m(u h) and B = m(g h),
//
//   ddy = act'(h) rstd (u - m(u) - h D)
//   dx  = -rstd^2 (h (m(u g) - m(u) m(g) - 3 B D) + B (u - m(u)) + D (g - m(g)))
//
// A batch norm in training is the norm of one image whose plane are the positions of the whole
// batch, of channels-last memory, with a scale and a shift of each channel before the activation:
//
//   y = act(a),  a = scale h + shift
//   dx = scale rstd (g - mean(g) - h mean(g h))  with g = act'(a) dy
//   dscale = sum(g h),  dshift = sum(g)
//
// Behind the activation there may be a dropout: results, and dy and ddy of the gradients, times
// `gain` where `keep` is 1, and 0 where it is 0.
//
// Statistics and sums are float beside float, Half and BFloat16, double beside double; results have
// the same bits for any number of threads.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

// The statistics of each plane: the mean, what its rounding left, and rstd.
constexpr int kInstanceNormStats = 3;

enum class InstanceNormPass : int {
  kForward,
  kGradient,
  kSecondGradient,
  kAffineForward,
  kAffineGradient
};

// The checked arguments of one of the passes. Tensors are [N, C, H, W] of one dtype without gaps,
// all planar or all channels-last; stats [N, C, 3] of the type of sums, contiguous.
struct InstanceNormCall {
  InstanceNormPass pass = InstanceNormPass::kForward;
  DType dtype = DType::kFloat32;
  bool channels_last = false;
  std::int64_t images = 0, channels = 0, plane = 0;
  double eps = 0, slope = 1;
  void* stats = nullptr;   // written by the first pass, read by the others
  const void* in[3] = {};  // x, dy, u
  void* out[2] = {};       // y; dx; ddy and dx
  // Of the affine passes: [C] each, of the type of sums.
  const void *scale = nullptr, *shift = nullptr;
  void *dscale = nullptr, *dshift = nullptr;
  const std::uint8_t* keep = nullptr;  // like x, 0 and 1; null: all are kept
  double gain = 1;
};

// keep: of x's shape and layout, or null.
InstanceNormCall instance_norm_call(const ArrayView& x, double eps, double slope,
                                    const ArrayView& y, const ArrayView& stats,
                                    const ArrayView* keep, double gain);
InstanceNormCall instance_norm_gradient_call(const ArrayView& x, const ArrayView& stats,
                                             const ArrayView& grad, double slope,
                                             const ArrayView& dx, const ArrayView* keep,
                                             double gain);
InstanceNormCall instance_norm_second_gradient_call(const ArrayView& x, const ArrayView& stats,
                                                    const ArrayView& grad, const ArrayView& pull,
                                                    double slope, const ArrayView& dgrad,
                                                    const ArrayView& dx, const ArrayView* keep,
                                                    double gain);

// x [N, C, H, W] channels-last; stats [1, C, 3].
InstanceNormCall batch_norm_call(const ArrayView& x, const ArrayView& scale, const ArrayView& shift,
                                 double eps, double slope, const ArrayView& y,
                                 const ArrayView& stats, const ArrayView* keep, double gain);
InstanceNormCall batch_norm_gradient_call(const ArrayView& x, const ArrayView& stats,
                                          const ArrayView& scale, const ArrayView& shift,
                                          const ArrayView& grad, double slope, const ArrayView& dx,
                                          const ArrayView& dscale, const ArrayView& dshift,
                                          const ArrayView* keep, double gain);

HM_SIMD_DECLARE(void instance_norm_kernel(const InstanceNormCall& call))

}  // namespace pyharmony
