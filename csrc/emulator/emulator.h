// CUDA on the CPU: a fiber for each CUDA thread. For tests; never in a wheel.
//
// CUDA's own headers give the types; what the compiler of CUDA adds to the language is defined
// here. A block runs on one thread of the machine; its threads start and wake in an order that
// the seed permutes.
#pragma once

// The vector types, and half and bfloat16 with their conversions on the host.
#include <vector_types.h>

#include <vector_functions.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "device/runtime.h"

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __grid_constant__
#undef __launch_bounds__
#undef __forceinline__
#undef __align__
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static thread_local

namespace pyharmony::emulator {

// What a CUDA thread knows of itself.
struct Thread {
  uint3 thread, block;
  dim3 block_size, grid_size;
  unsigned linear, lane, warp;
};

// A barrier in the source, the same for all instantiations.
struct Site {
  Site(const char* file, int line, const char* kind);
  int id;  // index in sites()
};

extern thread_local Thread* current __attribute__((tls_model("initial-exec")));

void block_barrier(const Site& site);
void warp_barrier(unsigned mask, const Site* site);
// Slots alternate, so that a lane may begin its next exchange while another still reads.
unsigned warp_parity();
void* warp_slot(unsigned lane, unsigned parity);
void* dynamic_shared();
void launch(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(void*), void* argument,
            const char* name);
template <typename Body>
void launch(dim3 grid, dim3 block, std::size_t shared_bytes, Body&& body, const char* name) {
  launch(
      grid, block, shared_bytes,
      [](void* p) { (*static_cast<std::remove_reference_t<Body>*>(p))(); }, &body, name);
}

// 0: threads run in order.
void set_seed(unsigned seed);

template <typename T>
__attribute__((noinline, no_sanitize("thread"))) T exchange(unsigned mask, T value, unsigned from) {
  static_assert(sizeof(T) <= 32);
  const unsigned parity = warp_parity();
  std::memcpy(warp_slot(current->lane, parity), &value, sizeof(T));
  warp_barrier(mask, nullptr);
  T result;
  std::memcpy(&result, warp_slot(from & 31u, parity), sizeof(T));
  return result;
}

template <typename T, typename Op>
inline T atomic_update(T* address, Op op) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static_assert(sizeof(T) == sizeof(Bits));
  Bits* bits = reinterpret_cast<Bits*>(address);
  Bits before = __atomic_load_n(bits, __ATOMIC_RELAXED), after;
  T value;
  do {
    std::memcpy(&value, &before, sizeof(T));
    const T next = op(value);
    std::memcpy(&after, &next, sizeof(T));
  } while (!__atomic_compare_exchange_n(bits, &before, after, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
  return value;
}

}  // namespace pyharmony::emulator

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#define threadIdx (::pyharmony::emulator::current->thread)
#define blockIdx (::pyharmony::emulator::current->block)
#define blockDim (::pyharmony::emulator::current->block_size)
#define gridDim (::pyharmony::emulator::current->grid_size)

#define HM_HOST_DEVICE
#define HM_SITE_(kind)                                                       \
  ([]() -> const ::pyharmony::emulator::Site& {                              \
    static const ::pyharmony::emulator::Site site(__FILE__, __LINE__, kind); \
    return site;                                                             \
  }())
#define HM_SYNC() ::pyharmony::emulator::block_barrier(HM_SITE_("block"))
#define HM_SYNCWARP(mask) ::pyharmony::emulator::warp_barrier(mask, &HM_SITE_("warp"))
#define HM_DYN_SMEM(T, name) T* name = static_cast<T*>(::pyharmony::emulator::dynamic_shared())
#define HM_LAUNCH(kernel, grid, block, smem, stream, ...)                 \
  ((void)(stream), ::pyharmony::emulator::launch((grid), (block), (smem), \
                                                 [&] { (kernel)(__VA_ARGS__); }, #kernel))
#define HM_MAX_DYN_SMEM(kernel, bytes) ((void)(bytes))

// ---- what the CUDA language has as functions ----------------------------------------------------

template <typename T>
inline T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  const int lane = static_cast<int>(pyharmony::emulator::current->lane);
  return pyharmony::emulator::exchange(
      mask, value, static_cast<unsigned>(lane / width * width + (from & (width - 1))));
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = static_cast<int>(pyharmony::emulator::current->lane);
  const int from = lane - static_cast<int>(delta);
  return pyharmony::emulator::exchange(
      mask, value, static_cast<unsigned>(from >= lane / width * width ? from : lane));
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = static_cast<int>(pyharmony::emulator::current->lane);
  const int from = lane + static_cast<int>(delta);
  return pyharmony::emulator::exchange(
      mask, value, static_cast<unsigned>(from / width == lane / width ? from : lane));
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const int lane = static_cast<int>(pyharmony::emulator::current->lane), from = lane ^ bits;
  return pyharmony::emulator::exchange(
      mask, value, static_cast<unsigned>(from / width <= lane / width ? from : lane));
}
unsigned __ballot_sync(unsigned mask, int predicate);
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <typename T>
inline T __ldg(const T* address) {
  return *address;
}
template <typename T>
inline T atomicAdd(T* address, T value) {
  return pyharmony::emulator::atomic_update(address,
                                            [=](T v) { return static_cast<T>(v + value); });
}
template <typename T>
inline T atomicMax(T* address, T value) {
  return pyharmony::emulator::atomic_update(address, [=](T v) { return v > value ? v : value; });
}
template <typename T>
inline T atomicMin(T* address, T value) {
  return pyharmony::emulator::atomic_update(address, [=](T v) { return v < value ? v : value; });
}
template <typename T>
inline T atomicOr(T* address, T value) {
  return pyharmony::emulator::atomic_update(address, [=](T v) { return v | value; });
}
template <typename T>
inline T atomicExch(T* address, T value) {
  return pyharmony::emulator::atomic_update(address, [=](T) { return value; });
}
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz(static_cast<unsigned>(v)); }
inline float __int_as_float(int v) {
  float f;
  std::memcpy(&f, &v, sizeof f);
  return f;
}
inline int __float_as_int(float f) {
  int v;
  std::memcpy(&v, &f, sizeof v);
  return v;
}
inline unsigned __float_as_uint(float f) {
  unsigned v;
  std::memcpy(&v, &f, sizeof v);
  return v;
}
inline float __uint_as_float(unsigned v) {
  float f;
  std::memcpy(&f, &v, sizeof f);
  return f;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
