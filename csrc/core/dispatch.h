// Turns a run-time dtype into a template argument.
#pragma once

#include "core/array.h"

namespace pyharmony {

template <typename T>
struct TypeTag {
  using type = T;
};

// Calls fn(TypeTag<T>{}) for any dtype of images: everything but bool.
template <typename Fn>
inline decltype(auto) dispatch_image(DType dtype, const char* name, Fn&& fn) {
  switch (dtype) {
    case DType::kUInt8: return fn(TypeTag<std::uint8_t>{});
    case DType::kUInt16: return fn(TypeTag<std::uint16_t>{});
    case DType::kFloat16: return fn(TypeTag<Half>{});
    case DType::kFloat32: return fn(TypeTag<float>{});
    case DType::kFloat64: return fn(TypeTag<double>{});
    default: fail(name, ": dtype ", dtype_name(dtype), " is not an image type");
  }
}

// Calls fn(TypeTag<T>{}) for any dtype of images and masks, a bool included.
template <typename Fn>
inline decltype(auto) dispatch_any(DType dtype, Fn&& fn) {
  if (dtype == DType::kBool) return fn(TypeTag<Bool>{});
  return dispatch_image(dtype, "image or mask", fn);
}

// Reads n values of row y of a plane from column x on, divided by the dtype's range. It is a
// division so that the largest value becomes exactly 1. SIMD sources have it compiled, in planes.h.
template <typename Real>
inline void read_plane(const ImageView& plane, std::int64_t y, std::int64_t x, std::int64_t n,
                       Real* __restrict out) {
  dispatch_any(plane.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Real range = static_cast<Real>(dtype_range(plane.dtype));
    const T* __restrict in = plane.at<T>(y, x, 0);
    const std::int64_t step = plane.col_stride;
    if (step == 1) {
      for (std::int64_t i = 0; i < n; ++i) out[i] = to_real<Real>(in[i]) / range;
    } else {
      for (std::int64_t i = 0; i < n; ++i) out[i] = to_real<Real>(in[i * step]) / range;
    }
  });
}

// Returns how many of n values are clipped where they are stored in an image of this dtype.
template <typename Real>
inline std::int64_t count_clipped(const Real* values, std::int64_t n, DType dtype) {
  return dispatch_image(dtype, "out", [&](auto tag) {
    using T = typename decltype(tag)::type;
    int count = 0;
    if constexpr (std::is_integral_v<T>) {
      for (std::int64_t i = 0; i < n; ++i) count += is_clipped<T>(values[i]);
    }
    return static_cast<std::int64_t>(count);
  });
}

// Calls fn(TypeTag<T>{}) for any dtype of layers' tensors.
template <typename Fn>
inline decltype(auto) dispatch_tensor(DType dtype, const char* name, Fn&& fn) {
  switch (dtype) {
    case DType::kFloat16: return fn(TypeTag<Half>{});
    case DType::kBFloat16: return fn(TypeTag<BFloat16>{});
    case DType::kFloat32: return fn(TypeTag<float>{});
    case DType::kFloat64: return fn(TypeTag<double>{});
    default: fail(name, ": dtype ", dtype_name(dtype), " is not a type of tensors");
  }
}

}  // namespace pyharmony
