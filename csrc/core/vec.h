// Vectors of floats as wide as the instruction set of this copy. Included by SIMD sources only.
//
// GCC's vector extension, plus what it lacks: a multiply-add that is fused wherever the machine
// has one (so that a value does not depend on what the compiler chose to contract) and shifts
// across two registers.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if HM_SIMD_BYTES > 16
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace pyharmony::HM_SIMD_NS {

constexpr int kLanes = HM_SIMD_BYTES / 4;

typedef float Vec __attribute__((vector_size(HM_SIMD_BYTES)));
typedef std::int32_t VecI __attribute__((vector_size(HM_SIMD_BYTES)));

inline Vec splat(float value) { return value - Vec{}; }

inline Vec load(const float* p) {
  return *reinterpret_cast<const Vec*>(__builtin_assume_aligned(p, HM_SIMD_BYTES));
}

inline Vec load_unaligned(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

inline void store(float* p, Vec v) {
  *reinterpret_cast<Vec*>(__builtin_assume_aligned(p, HM_SIMD_BYTES)) = v;
}

// a * b + c
inline Vec fma(Vec a, Vec b, Vec c) {
#if HM_SIMD_BYTES == 64
  return _mm512_fmadd_ps(a, b, c);
#elif HM_SIMD_BYTES == 32
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

inline Vec minimum(Vec a, Vec b) {
#if HM_SIMD_BYTES == 64
  return _mm512_maskz_min_ps(0xffff, a, b);
#elif HM_SIMD_BYTES == 32
  return _mm256_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

inline Vec maximum(Vec a, Vec b) {
#if HM_SIMD_BYTES == 64
  return _mm512_maskz_max_ps(0xffff, a, b);
#elif HM_SIMD_BYTES == 32
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}

inline Vec magnitude(Vec a) { return (Vec)((VecI)a & 0x7fffffff); }

inline float largest(Vec a) {
  float result = a[0];
  for (int i = 1; i < kLanes; ++i) result = a[i] > result ? a[i] : result;
  return result;
}

namespace detail {
template <int kFirst, int... kIndex>
inline Vec extract(Vec low, Vec high, std::integer_sequence<int, kIndex...>) {
#if defined(__clang__)
  return __builtin_shufflevector(low, high, (kFirst + kIndex)...);
#else
  return __builtin_shuffle(low, high, VecI{(kFirst + kIndex)...});
#endif
}
}  // namespace detail

// The vector that starts kFirst elements into `low` and goes on in `high`; 0 <= kFirst <= kLanes.
template <int kFirst>
inline Vec extract(Vec low, Vec high) {
  if constexpr (kFirst == 0) return low;
  if constexpr (kFirst == kLanes) return high;
  return detail::extract<kFirst>(low, high, std::make_integer_sequence<int, kLanes>{});
}

}  // namespace pyharmony::HM_SIMD_NS
