// CUDA on the CPU: a fiber for each CUDA thread. For tests; never in a wheel. See docs/emulator.md.
//
// CUDA's own headers give the types; the extensions that CUDA's compiler adds to the language are
// defined here. A block runs on one thread of the machine; its threads start and wake in an order
// that the seed permutes.
#pragma once

// They give the vector types, and half and bfloat16 with their conversions on the host.
#include <vector_types.h>

#include <vector_functions.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "device/runtime.h"
#include "emulator/streams.h"

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
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#if defined(__SANITIZE_ADDRESS__)
#define __shared__ static  // AddressSanitizer guards it; launches use one thread of the machine
#else
#define __shared__ static thread_local
#endif

namespace pyharmony::emulator {

// A kernel did what CUDA leaves undefined, or its threads wait forever.
struct EmulatorFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The coordinates and state of a CUDA thread.
struct Thread {
  uint3 thread, block;
  dim3 block_size, grid_size;
  unsigned linear, lane, warp;  // in the cluster, which most often is a block
  unsigned rank;                // of the block in it
};

extern thread_local Thread* current;

#if HM_EMULATOR_CHECK
// They return values, so that the checker sees only the kernel's accesses.
uint3 thread_index();
uint3 block_index();
dim3 block_size();
dim3 grid_size();
unsigned lane_index();
#else
inline unsigned lane_index() { return current->lane; }
#endif

// A line of the source code.
struct Place {
  const char* file;
  int line;
};

// The identity of a kernel's barrier or wait; `id` is kernel@file:line.
struct Site {
  std::string id, kernel, file, kind;
  int line;
  std::uint64_t count;  // how often threads came to it
  bool operator<(const Site& other) const;
};

int block_barrier(Place place, int predicate = 0);  // returns whether any thread's predicate holds
void warp_barrier(unsigned mask, Place place);
void cluster_barrier(Place place);
void launch_wait(Place place);
constexpr int kActiveClusters = 8;
// Returns the place of the block's dynamic shared memory in that of another block of its cluster.
void* place_of(void* own, unsigned rank);
template <typename T>
T* shared_of(T* own, unsigned rank) {
  return static_cast<T*>(place_of(own, rank));
}
enum class Meeting : std::uint8_t { kBarrier, kShuffle, kBallot, kMatrices, kProduct };
// Gives each lane the value of lane `from`, among the lanes that the mask names.
void exchange(unsigned mask, const void* value, void* result, unsigned bytes, unsigned from);
unsigned ballot(unsigned mask, bool predicate);
void fence();

// Lane 8 j + i brings row i of matrix j, 16 bytes, and gets its part of the four matrices in the
// order of ldmatrix; transposed: of their transposes, of values of two bytes.
void matrices(const void* row, unsigned (&part)[4], bool transposed);
// Adds the product of a [16, k] and b [k, 8] to d [16, 8], parts of a warp's matrices in the order
// of mma.sync. A sum is exact and rounded once. TF32 ignores the low 13 bits of a float, as GPUs
// do.
enum class Operand : std::uint8_t { kHalf, kBFloat16, kTf32 };
void product(Operand operand, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
std::uint64_t products();  // of two numbers, by all calls of product() so far

// The architecture that kernels say they were compiled for, 90 at first.
int code_version();
void set_code_version(int version);

// Starts a copy that is due at the wait. `to` [bytes] holds the bytes of NaNs meanwhile. Those
// beyond the first `valid` bytes become zero.
void async_copy(void* to, const void* from, unsigned bytes, unsigned valid);
void async_commit();
void async_wait(unsigned groups_left, Place place);

void* dynamic_shared();
// Sets the kernel's limit, for launches of all threads, as cudaFuncSetAttribute does.
void allow_shared(const void* kernel, std::size_t bytes, const char* name);
// The limits that were set, by the kernel's name and the address of its instantiation.
struct SharedLimit {
  std::string kernel;
  const void* address;
  std::size_t bytes;
};
std::vector<SharedLimit> shared_limits();

struct Launch {
  const void* kernel;
  const char* name;
  dim3 grid, block;
  std::size_t shared_bytes;
  void (*body)(void*);
  void* arguments;
  std::size_t argument_bytes;
  device::LaunchForm form;
};
void launch(const Launch& what);
// Without running, launches are checked and counted only, for measurements of the code around them.
void set_running(bool on);
std::uint64_t launch_count();

template <typename... P>
struct Call {
  void (*kernel)(P...);
  std::tuple<P...> arguments;

  static void run(void* self) { static_cast<Call*>(self)->expand(std::index_sequence_for<P...>()); }
  template <std::size_t... I>
  void expand(std::index_sequence<I...>) {
    kernel(std::get<I>(arguments)...);
  }
};

template <typename... P, typename... A>
void launch(const device::LaunchForm& form, void (*kernel)(P...), const char* name, dim3 grid,
            dim3 block, std::size_t shared_bytes, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel takes");
  Call<P...> call{kernel, std::tuple<P...>(static_cast<P>(std::forward<A>(arguments))...)};
  launch({reinterpret_cast<const void*>(kernel), name, grid, block, shared_bytes, &Call<P...>::run,
          &call, sizeof call, form});
}

// Ends the launch of the current thread where an access would do harm.
[[noreturn]] void fail_access(const std::string& what, const void* pc);

// A seed of 0 runs blocks and threads in order.
void set_seed(unsigned seed);
// Returns the barriers and waits that threads reached, in the order of the sources.
std::vector<Site> sites();
// Makes kernels run as if the barrier or wait with this id were not there; "": none is ignored.
void ignore_site(const std::string& id);

// Atomic operations are those of the machine.
std::uint32_t begin_atomic(const std::uint32_t* address);
std::uint64_t begin_atomic(const std::uint64_t* address);
bool compare_exchange(std::uint32_t* address, std::uint32_t* before, std::uint32_t after);
bool compare_exchange(std::uint64_t* address, std::uint64_t* before, std::uint64_t after);

template <typename T, typename Op>
__attribute__((always_inline)) inline T atomic_update(T* address, Op op) {
  static_assert(std::is_integral_v<T>, "results must not depend on the order of atomics");
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static_assert(sizeof(T) == sizeof(Bits));
  Bits* bits = reinterpret_cast<Bits*>(address);
  Bits before = begin_atomic(bits);
  while (!compare_exchange(bits, &before, static_cast<Bits>(op(static_cast<T>(before))))) {
  }
  return static_cast<T>(before);
}

// The second argument of a function takes the type of the first.
template <typename T>
struct As {
  using type = T;
};
template <typename T>
using as_t = typename As<T>::type;

}  // namespace pyharmony::emulator

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#if HM_EMULATOR_CHECK
#define threadIdx (::pyharmony::emulator::thread_index())
#define blockIdx (::pyharmony::emulator::block_index())
#define blockDim (::pyharmony::emulator::block_size())
#define gridDim (::pyharmony::emulator::grid_size())
#else
#define threadIdx (::pyharmony::emulator::current->thread)
#define blockIdx (::pyharmony::emulator::current->block)
#define blockDim (::pyharmony::emulator::current->block_size)
#define gridDim (::pyharmony::emulator::current->grid_size)
#endif

#define HM_HOST_DEVICE
#define HM_SYNC() ((void)::pyharmony::emulator::block_barrier({__FILE__, __LINE__}))
#define HM_SYNC_OR(predicate) \
  (::pyharmony::emulator::block_barrier({__FILE__, __LINE__}, (predicate) ? 1 : 0))
#define HM_SYNCWARP(mask) (::pyharmony::emulator::warp_barrier((mask), {__FILE__, __LINE__}))
#define HM_CLUSTER_SYNC() (::pyharmony::emulator::cluster_barrier({__FILE__, __LINE__}))
#define HM_LAUNCH_WAIT() (::pyharmony::emulator::launch_wait({__FILE__, __LINE__}))
#define HM_DYN_SMEM(T, name) T* name = static_cast<T*>(::pyharmony::emulator::dynamic_shared())
#define HM_LAUNCH(...) HM_LAUNCH_AS(::pyharmony::device::LaunchForm(), __VA_ARGS__)
#define HM_LAUNCH_AS(form, kernel, grid, block, smem, stream, ...)           \
  (::pyharmony::emulator::check_stream(stream),                              \
   ::pyharmony::emulator::launch((form), (kernel), #kernel, (grid), (block), \
                                 (smem), ##__VA_ARGS__))
#define HM_MAX_DYN_SMEM(kernel, most)                                                              \
  do {                                                                                             \
    constexpr std::size_t hm_most_ = static_cast<std::size_t>(most);                               \
    ::pyharmony::emulator::allow_shared(reinterpret_cast<const void*>(kernel), hm_most_, #kernel); \
  } while (false)

// ---- functions that the CUDA language has -------------------------------------------------------

template <typename T>
__forceinline__ T hm_exchange(unsigned mask, T value, int from) {
  static_assert(sizeof(T) <= 16);
  T result;
  pyharmony::emulator::exchange(mask, &value, &result, sizeof(T), static_cast<unsigned>(from));
  return result;
}
template <typename T>
__forceinline__ T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  const int lane = static_cast<int>(pyharmony::emulator::lane_index());
  return hm_exchange(mask, value, lane / width * width + (from & (width - 1)));
}
template <typename T>
__forceinline__ T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = static_cast<int>(pyharmony::emulator::lane_index());
  const int from = lane - static_cast<int>(delta);
  return hm_exchange(mask, value, from >= lane / width * width ? from : lane);
}
template <typename T>
__forceinline__ T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = static_cast<int>(pyharmony::emulator::lane_index());
  const int from = lane + static_cast<int>(delta);
  return hm_exchange(mask, value, from / width == lane / width ? from : lane);
}
template <typename T>
__forceinline__ T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const int lane = static_cast<int>(pyharmony::emulator::lane_index()), from = lane ^ bits;
  return hm_exchange(mask, value, from / width <= lane / width ? from : lane);
}
__forceinline__ unsigned __ballot_sync(unsigned mask, int predicate) {
  return pyharmony::emulator::ballot(mask, predicate != 0);
}
__forceinline__ int __any_sync(unsigned mask, int predicate) {
  return pyharmony::emulator::ballot(mask, predicate != 0) != 0;
}
__forceinline__ int __all_sync(unsigned mask, int predicate) {
  return pyharmony::emulator::ballot(mask, predicate == 0) == 0;
}

#define HM_ATOMIC_(name, ...)                                                \
  template <typename T>                                                      \
  __forceinline__ T name(T* address, pyharmony::emulator::as_t<T> value) {   \
    return pyharmony::emulator::atomic_update(                               \
        address, [value](T before) { return static_cast<T>(__VA_ARGS__); }); \
  }
HM_ATOMIC_(atomicAdd, before + value)
HM_ATOMIC_(atomicSub, before - value)
HM_ATOMIC_(atomicMax, before > value ? before : value)
HM_ATOMIC_(atomicMin, before < value ? before : value)
HM_ATOMIC_(atomicAnd, before& value)
HM_ATOMIC_(atomicOr, before | value)
HM_ATOMIC_(atomicXor, before ^ value)
HM_ATOMIC_(atomicInc, before >= value ? T(0) : before + 1)
HM_ATOMIC_(atomicExch, (static_cast<void>(before), value))
#undef HM_ATOMIC_
template <typename T>
__forceinline__ T atomicCAS(T* address, pyharmony::emulator::as_t<T> expected,
                            pyharmony::emulator::as_t<T> value) {
  return pyharmony::emulator::atomic_update(
      address, [=](T before) { return before == expected ? value : before; });
}
inline void __threadfence() { pyharmony::emulator::fence(); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
template <typename To, typename From>
inline To hm_bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline float __int_as_float(int v) { return hm_bits_as<float>(v); }
inline int __float_as_int(float f) { return hm_bits_as<int>(f); }
inline unsigned __float_as_uint(float f) { return hm_bits_as<unsigned>(f); }
inline float __uint_as_float(unsigned v) { return hm_bits_as<float>(v); }
inline int __float2int_rn(float x) { return static_cast<int>(std::rint(x)); }
