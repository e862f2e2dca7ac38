// Small functions on integers for kernels and the host code around them.
#pragma once

#include "device/launch.h"

namespace pyharmony::device {

HM_HOST_DEVICE constexpr int smaller(int a, int b) { return a < b ? a : b; }
HM_HOST_DEVICE constexpr int larger(int a, int b) { return a > b ? a : b; }

#if HM_KERNELS

// Returns the value, but the compiler does not know that it is the same in every round of a loop.
// Whatever depends on it is then computed where it is used and occupies no register between rounds.
__device__ __forceinline__ int anew(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

#endif

}  // namespace pyharmony::device
