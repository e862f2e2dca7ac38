// Functions for the kernels of color_grid: pixels in and out, and places in a grid.
#pragma once

#include <cstdint>

#include "device/image.h"
#include "device/launch.h"
#include "device/math.h"
#include "ops/color_grid/color_grid.h"

namespace pyharmony::color_grid {

constexpr int kCoefficients = 12;
constexpr float kRed = 0.299f, kGreen = 0.587f, kBlue = 0.114f;

using device::larger;
using device::smaller;

#if HM_KERNELS

// NaN becomes 0.
__device__ __forceinline__ float held(float x, float high) {
  const float low = x > 0.0f ? x : 0.0f;
  return low < high ? low : high;
}

__device__ __forceinline__ float luma_of(float r, float g, float b) {
  return fmaf(kRed, held(r, 1.0f), fmaf(kGreen, held(g, 1.0f), kBlue * held(b, 1.0f)));
}

// Returns entry i of [3, 4] minus that of the identity.
__device__ __forceinline__ float above_identity(const float* affine, int i) {
  return affine[i] - (i == 0 || i == 5 || i == 10 ? 1.0f : 0.0f);
}

// Returns y, held no further outside [0, 1] than x; NaN stays NaN.
__device__ __forceinline__ float kept_inside(float y, float x) {
  const float low = x < 0.0f ? x : 0.0f, high = x > 1.0f ? x : 1.0f;
  const float above = y < low ? low : y;
  return above > high ? high : above;
}

__device__ __forceinline__ float mixed(float x, float y, float weight) {
  return weight == 1.0f ? y : fmaf(weight, y - x, x);
}

__device__ __forceinline__ std::int64_t offset(const PixelBatch& a, int n, int y, int x) {
  return n * a.stride[0] + y * a.stride[1] + x * a.stride[2];
}

__device__ __forceinline__ float range_of(DType dtype) { return device::mask_range(dtype); }

__device__ __forceinline__ float load_weight(const PixelBatch& mask, int n, int y, int x) {
  if (mask.data == nullptr) return 1.0f;
  return device::load_value(mask.data, mask.dtype, offset(mask, n, y, x)) / range_of(mask.dtype);
}

__device__ __forceinline__ float dot(float4 c, float x, float y, float z) {
  return fmaf(c.x, x, fmaf(c.y, y, fmaf(c.z, z, c.w)));
}

#endif

}  // namespace pyharmony::color_grid
