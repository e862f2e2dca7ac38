// Reductions over a block, in an order that is always the same.
#pragma once

#include "device/launch.h"

namespace pyharmony::device {

struct Sum {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};

// The maximum of a NaN and a number is NaN, so that it is seen.
struct Max {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

template <typename T, typename Op>
__device__ __forceinline__ T warp_reduce(T value, Op op) {
#pragma unroll
  for (int distance = 16; distance > 0; distance >>= 1) {
    value = op(value, __shfl_xor_sync(0xffffffffu, value, distance));
  }
  return value;
}

// Reduces over all threads of a block of kThreads, a multiple of 32, in x. The result is in thread
// 0. `scratch` [kThreads / 32] is shared memory that nobody else uses until the next HM_SYNC().
template <int kThreads, typename T, typename Op>
__device__ __forceinline__ T block_reduce(T value, Op op, T* scratch) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  constexpr int kWarps = kThreads / 32;
  value = warp_reduce(value, op);
  if constexpr (kWarps > 1) {
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    HM_SYNC();
    if (threadIdx.x == 0) {
#pragma unroll
      for (int warp = 1; warp < kWarps; ++warp) value = op(value, scratch[warp]);
    }
  }
  return value;
}

}  // namespace pyharmony::device
