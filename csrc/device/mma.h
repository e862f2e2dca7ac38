// Products of small matrices by a warp: ldmatrix, and mma.sync from sm_80 on.
//
//   load_matrices(row, part)         four matrices of 8 rows of 16 bytes from shared memory: lane
//                                    8 j + i names row i of matrix j, on a multiple of 16 bytes
//   load_transposed(row, part)       the same, each matrix of values of two bytes transposed
//   kTensorCode                      the code_version() of a kernel from which on it may call
//                                    multiply(), which does nothing before
//   multiply<T>(d, a, b)             d [16, 8] += a [16, k] b [k, 8]: k = 16 for __half and
//                                    BFloat16, 8 for float as TF32
//   round_operand<T>(word)           what multiply<T> takes: a float is rounded to TF32
//
// A word is 4 bytes of a row, of one or two values. Lane 4 g + t holds words t and t + 4 of rows g
// and g + 8 of a, in the order (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4); words t and t + 4 of
// column g of b; and the values 2 t and 2 t + 1 of rows g and g + 8 of d.
#pragma once

#include <cuda_fp16.h>

#include <type_traits>

#include "core/dtype.h"
#include "device/launch.h"

#if HM_KERNELS
namespace pyharmony::device {

constexpr int kTensorCode = 80;

#if defined(__CUDACC__)

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define HM_TENSOR_CORES 1
#endif

__device__ __forceinline__ void load_matrices(const void* row, unsigned (&part)[4]) {
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(part[0]), "=r"(part[1]), "=r"(part[2]), "=r"(part[3])
               : "r"(from)
               : "memory");
}

__device__ __forceinline__ void load_transposed(const void* row, unsigned (&part)[4]) {
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(part[0]), "=r"(part[1]), "=r"(part[2]), "=r"(part[3])
               : "r"(from)
               : "memory");
}

template <typename T>
__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2]) {
#if HM_TENSOR_CORES
#define HM_MULTIPLY_(shape)                            \
  asm("mma.sync.aligned." shape                        \
      " {%0, %1, %2, %3}, {%4, %5, %6, %7}, "          \
      "{%8, %9}, {%0, %1, %2, %3};"                    \
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
  if constexpr (std::is_same_v<T, __half>) {
    HM_MULTIPLY_("m16n8k16.row.col.f32.f16.f16.f32");
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    HM_MULTIPLY_("m16n8k16.row.col.f32.bf16.bf16.f32");
  } else {
    HM_MULTIPLY_("m16n8k8.row.col.f32.tf32.tf32.f32");
  }
#undef HM_MULTIPLY_
#endif
}

template <typename T>
__device__ __forceinline__ unsigned round_operand(unsigned word) {
#if HM_TENSOR_CORES
  if constexpr (std::is_same_v<T, float>) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(word)));
    return rounded;
  }
#endif
  return word;
}

#undef HM_TENSOR_CORES

#else

__forceinline__ void load_matrices(const void* row, unsigned (&part)[4]) {
  const uint4 mine = *static_cast<const uint4*>(row);
  emulator::matrices(&mine, part, false);
}

__forceinline__ void load_transposed(const void* row, unsigned (&part)[4]) {
  const uint4 mine = *static_cast<const uint4*>(row);
  emulator::matrices(&mine, part, true);
}

template <typename T>
__forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  emulator::product(std::is_same_v<T, __half>     ? emulator::Operand::kHalf
                    : std::is_same_v<T, BFloat16> ? emulator::Operand::kBFloat16
                                                  : emulator::Operand::kTf32,
                    d, a, b);
}

// Ties away from zero.
template <typename T>
__forceinline__ unsigned round_operand(unsigned word) {
  if (!std::is_same_v<T, float>) return word;
  const bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
  return is_nan ? 0x7fffe000u : (word + 0x1000u) & 0xffffe000u;
}

#endif

}  // namespace pyharmony::device
#endif
