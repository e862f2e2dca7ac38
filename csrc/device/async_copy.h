// Copies from global to shared memory that run beside the threads: cp.async from sm_80 on, loads
// and stores before.
//
//   async_copy<16>(shared, global);                 4, 8 or 16 bytes, both aligned to them
//   async_copy_or_zero<16>(shared, global, inside);
//   async_commit();                                 makes a group of the copies since the last
//   async_wait<1>();                                waits until at most one group is under way
//   HM_SYNC();                                      shows the copies to the other threads
#pragma once

#include <type_traits>

#include "device/launch.h"

namespace pyharmony::device {

#if defined(__CUDACC__)

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define HM_ASYNC_COPY 1
#endif

// Copies `valid` bytes, all or none; the others become zero.
template <int bytes>
__device__ __forceinline__ void async_copy_part(void* shared, const void* global, int valid) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
#if HM_ASYNC_COPY
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(bytes),
                 "r"(valid)
                 : "memory");
  }
#else
  using Word =
      std::conditional_t<bytes == 4, unsigned, std::conditional_t<bytes == 8, uint2, uint4>>;
  *static_cast<Word*>(shared) = valid > 0 ? *static_cast<const Word*>(global) : Word{};
#endif
}

__device__ __forceinline__ void async_commit() {
#if HM_ASYNC_COPY
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int groups_left>
__device__ __forceinline__ void async_wait() {
#if HM_ASYNC_COPY
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
#endif
}

#undef HM_ASYNC_COPY

#else

template <int bytes>
__forceinline__ void async_copy_part(void* shared, const void* global, int valid) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  emulator::async_copy(shared, global, bytes, static_cast<unsigned>(valid));
}

__forceinline__ void async_commit() { emulator::async_commit(); }

template <int groups_left>
__forceinline__ void async_wait(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator::async_wait(groups_left, {file, line});
}

#endif

template <int bytes>
__device__ __forceinline__ void async_copy(void* shared, const void* global) {
  async_copy_part<bytes>(shared, global, bytes);
}

// Copies where `inside`, else writes zeros. `global` must be an address of the array even so.
template <int bytes>
__device__ __forceinline__ void async_copy_or_zero(void* shared, const void* global, bool inside) {
  async_copy_part<bytes>(shared, global, inside ? bytes : 0);
}

}  // namespace pyharmony::device
