// Holds what the kernels along rows of the direct solver share, those of any width
// (direct_rows.cuh) and those of known ones (direct_lines.cuh).
#pragma once

#include "device/math.h"
#include "device/pack.h"
#include "device/reduce.h"
#include "ops/gaussian_poisson/direct_cuda.h"
#include "ops/gaussian_poisson/direct_fft.cuh"

namespace pyharmony::gaussian_poisson {

using device::ImageBatch;
using device::larger;
using device::smaller;

constexpr int kColumns = 8;  // columns of a block along columns: a sector of memory

struct RowParams {
  DirectPlan plan;
  const unsigned char* tables;
  ImageBatch src, dst, base, mask, rhs, out;
  float* spectrum;  // [planes, tiles, height, kColumns]
  double* sums;     // [planes, pairs], of base or rhs; null: nobody needs them
  int channels, height, tiles;
  int pairs;                 // of rows
  int groups;                // of channels, of an item: those that a block takes together
  float weight, mask_scale;  // mask_scale times the sum of two masks is their mean in [0, 1]
  // Tells of which arrays four neighbouring values are one aligned access.
  struct {
    bool src, dst, base, mask, rhs, out;
  } vector;

  // Returns the offset of a column of the spectrum from its first one, in the first row.
  __device__ __forceinline__ std::int64_t column_at(int k) const {
    return std::int64_t(k / kColumns) * height * kColumns + k % kColumns;
  }
  __device__ __forceinline__ float* row_of(std::int64_t plane, int y) const {
    return spectrum + (plane * tiles * height + y) * kColumns;
  }
  __device__ const std::uint16_t* slots(int at) const {
    return reinterpret_cast<const std::uint16_t*>(tables + at);
  }
  __device__ const float2* factors(int at) const {
    return reinterpret_cast<const float2*>(tables + at);
  }
};

// Returns the shared memory of a multiprocessor of an architecture, such as 90, in bytes.
constexpr std::size_t shared_of_processor(int architecture) {
  if (architecture == 75) return 64 << 10;
  if (architecture == 80 || architecture == 87) return 164 << 10;
  return architecture < 90 || architecture >= 120 ? 100 << 10 : 228 << 10;
}

// How lines are launched: of images that lie without gaps, aligned to four values.
struct LineLaunch {
  bool in;      // from src, dst and base of one type, and mask; or back to out
  DType dtype;  // uint8 or float32
  int step;     // interleaved channels that a block takes together: 1 or 3
  unsigned blocks;
  std::size_t shared_per_block;
};
// Transforms the rows of a width of kLines.
template <int kWidth>
void launch_lines(const RowParams& p, const LineLaunch& how, cudaStream_t stream);

namespace {

constexpr int kGroup = 3;  // interleaved channels that a block of lines takes together

// Calls launch with a constant that is the most shared memory that blocks of this device may have:
// it is one for all launches of a kernel there.
template <typename Launch>
void with_most(std::size_t limit, Launch&& launch) {
  if (limit >= 227 << 10) return launch(std::integral_constant<int, (227 << 10)>());
  if (limit >= 163 << 10) return launch(std::integral_constant<int, (163 << 10)>());
  if (limit >= 99 << 10) return launch(std::integral_constant<int, (99 << 10)>());
  if (limit >= 64 << 10) return launch(std::integral_constant<int, (64 << 10)>());
  launch(std::integral_constant<int, (48 << 10)>());
}

// Returns where a pixel is among those that are transformed: the even ones come first, and then the
// others from the last on.
__device__ __forceinline__ int index_of(int x, int width) {
  return x % 2 == 0 ? x / 2 : width - 1 - x / 2;
}

// A warp leaves the sum of its values for a thread that adds those of all warps behind a barrier.
__device__ __forceinline__ void leave_sum(double sum, double* sums) {
  sum = device::warp_reduce(sum, device::Sum());
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
}
__device__ __forceinline__ double sum_of_warps(const double* sums, int count) {
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += sums[i];
  return sum;
}

template <typename T>
__device__ __forceinline__ T rounded(float v) {
  constexpr float kMost = sizeof(T) == 1 ? 255.0f : 65535.0f;
  return static_cast<T>(rintf(fminf(fmaxf(v, 0.0f), kMost)));
}
template <>
__device__ __forceinline__ float rounded<float>(float v) {
  return v;
}
template <>
__device__ __forceinline__ __half rounded<__half>(float v) {
  return __float2half_rn(v);
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
