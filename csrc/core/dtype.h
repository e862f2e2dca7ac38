// Element types of the arrays that cross the boundary, and how a value is read and written.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace pyharmony {

enum class DType : int { kBool, kUInt8, kUInt16, kFloat16, kFloat32, kFloat64, kBFloat16 };

// IEEE's two-byte format. GCC 12 has _Float16 in C++ on x86 only; on Arm __fp16 is the same.
#if defined(__aarch64__)
using Half = __fp16;
#else
using Half = _Float16;
#endif

// The upper half of a float32; for layers' tensors, never for images.
struct BFloat16 {
  std::uint16_t bits;
};

// One byte, 0 or 1; a type of its own because its values are not scaled by 255.
struct Bool {
  std::uint8_t value;
};

inline const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kBool: return "bool";
    case DType::kUInt8: return "uint8";
    case DType::kUInt16: return "uint16";
    case DType::kFloat16: return "float16";
    case DType::kFloat32: return "float32";
    case DType::kFloat64: return "float64";
    case DType::kBFloat16: return "bfloat16";
  }
  return "unknown";
}

inline int dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kUInt8: return 1;
    case DType::kUInt16:
    case DType::kFloat16:
    case DType::kBFloat16: return 2;
    case DType::kFloat32: return 4;
    case DType::kFloat64: return 8;
  }
  return 0;
}

// Returns the value that stands for 1.0 in an image or mask of this type.
inline double dtype_range(DType dtype) {
  switch (dtype) {
    case DType::kUInt8: return 255.0;
    case DType::kUInt16: return 65535.0;
    default: return 1.0;
  }
}

template <typename Real, typename T>
inline Real to_real(T value) {
  if constexpr (std::is_same_v<T, Bool>) {
    return static_cast<Real>(value.value != 0);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
    float single;
    std::memcpy(&single, &bits, sizeof single);
    return static_cast<Real>(single);
  } else {
    return static_cast<Real>(value);
  }
}

// Integers are rounded half to even and held in the type's range, floats converted, never clipped.
template <typename T, typename Real>
inline T from_real(Real value) {
  if constexpr (std::is_integral_v<T>) {
    constexpr Real kHigh = static_cast<Real>(std::numeric_limits<T>::max());
    const Real low = value > Real(0) ? value : Real(0);
    return static_cast<T>(std::nearbyint(low < kHigh ? low : kHigh));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    const float single = static_cast<float>(value);
    std::uint32_t bits;
    std::memcpy(&bits, &single, sizeof bits);
    // This rounds half to even; a NaN stays one.
    const std::uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return BFloat16{static_cast<std::uint16_t>(single == single ? rounded : bits >> 16 | 0x40)};
  } else {
    return static_cast<T>(value);
  }
}

// Returns whether from_real holds the value in T's range: whether rounded it would be beyond.
template <typename T, typename Real>
inline bool is_clipped(Real value) {
  if constexpr (std::is_integral_v<T>) {
    constexpr Real kHigh = static_cast<Real>(std::numeric_limits<T>::max()) + Real(0.5);
    return value < Real(-0.5) || value >= kHigh;
  } else {
    return false;
  }
}

}  // namespace pyharmony
