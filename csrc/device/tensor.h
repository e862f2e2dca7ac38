// The elements of layers' tensors in the memory of a device, as floats: float, __half and bfloat16.
#pragma once

#include <cstdint>

#include "core/dispatch.h"
#include "core/dtype.h"
#include "device/launch.h"

#if HM_KERNELS
#include <cuda_fp16.h>

namespace pyharmony::device {

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(BFloat16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}

// Rounds half to even.
template <typename T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ BFloat16 from_float<BFloat16>(float value) {
  const unsigned bits = __float_as_uint(value);
  const unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return BFloat16{static_cast<std::uint16_t>(value == value ? rounded : (bits >> 16) | 0x40u)};
}

// Calls fn(TypeTag<T>{}) for the element type of a tensor that kernels take.
template <typename Fn>
inline decltype(auto) dispatch_tensor(DType dtype, const char* name, Fn&& fn) {
  switch (dtype) {
    case DType::kFloat16: return fn(TypeTag<__half>{});
    case DType::kBFloat16: return fn(TypeTag<BFloat16>{});
    case DType::kFloat32: return fn(TypeTag<float>{});
    default: fail(name, ": dtype ", dtype_name(dtype), ", expected float32, float16 or bfloat16");
  }
}

}  // namespace pyharmony::device
#endif
