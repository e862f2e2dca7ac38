// Vectors of floats as wide as the instruction set of this copy. Included by SIMD sources only.
//
// GCC's vector extension, plus what it lacks: a multiply-add that is fused wherever the machine
// has one (so that a value does not depend on what the compiler chose to contract) and shifts
// across two registers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/dtype.h"

#if defined(__x86_64__)
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

// Stores past the caches what is not read again soon. Call end_stream() before other threads read.
inline void stream(float* p, Vec v) {
#if HM_SIMD_BYTES == 64
  _mm512_stream_ps(p, v);
#elif HM_SIMD_BYTES == 32
  _mm256_stream_ps(p, v);
#elif defined(__x86_64__)
  _mm_stream_ps(p, v);
#else
  store(p, v);
#endif
}

inline void end_stream() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Returns a * b + c.
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

// Returns the vector from element kFirst of `low` on into `high`; 0 <= kFirst <= kLanes.
template <int kFirst>
inline Vec extract(Vec low, Vec high) {
  if constexpr (kFirst == 0) return low;
  if constexpr (kFirst == kLanes) return high;
  return detail::extract<kFirst>(low, high, std::make_integer_sequence<int, kLanes>{});
}

// ---- kLanes consecutive elements of any type, as floats ----

template <typename T>
inline Vec load_as_float(const T* p) {
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = to_real<float>(p[i]);
  return v;
}

// Integers are rounded half to even and held in the type's range, NaN as 0; floats are converted.
template <typename T>
inline void store_from_float(T* p, Vec v) {
  for (int i = 0; i < kLanes; ++i) p[i] = from_real<T>(static_cast<float>(v[i]));
}

template <>
inline Vec load_as_float(const float* p) {
  return load_unaligned(p);
}
template <>
inline void store_from_float(float* p, Vec v) {
  std::memcpy(p, &v, sizeof(v));
}

#if HM_SIMD_BYTES == 64
template <>
inline Vec load_as_float(const std::uint8_t* p) {
  return _mm512_maskz_cvtepi32_ps(
      0xffff, _mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128((const __m128i*)p)));
}
template <>
inline Vec load_as_float(const std::uint16_t* p) {
  return _mm512_maskz_cvtepi32_ps(
      0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256((const __m256i*)p)));
}
template <>
inline Vec load_as_float(const Half* p) {
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i*)p));
}
inline __m512i round_to_int(Vec v, float high) {
  return _mm512_maskz_cvtps_epi32(0xffff, minimum(maximum(v, Vec{}), splat(high)));
}
template <>
inline void store_from_float(std::uint8_t* p, Vec v) {
  _mm_storeu_si128((__m128i*)p, _mm512_maskz_cvtepi32_epi8(0xffff, round_to_int(v, 255.0f)));
}
template <>
inline void store_from_float(std::uint16_t* p, Vec v) {
  _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtepi32_epi16(0xffff, round_to_int(v, 65535.0f)));
}
template <>
inline void store_from_float(Half* p, Vec v) {
  _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtps_ph(0xffff, v, _MM_FROUND_TO_NEAREST_INT));
}
#elif HM_SIMD_BYTES == 32
template <>
inline Vec load_as_float(const std::uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)));
}
template <>
inline Vec load_as_float(const std::uint16_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)));
}
template <>
inline Vec load_as_float(const Half* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
}
inline __m128i round_to_uint16(Vec v, float high) {
  const __m256i i = _mm256_cvtps_epi32(minimum(maximum(v, Vec{}), splat(high)));
  return _mm_packus_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
}
template <>
inline void store_from_float(std::uint8_t* p, Vec v) {
  const __m128i i = round_to_uint16(v, 255.0f);
  _mm_storel_epi64((__m128i*)p, _mm_packus_epi16(i, i));
}
template <>
inline void store_from_float(std::uint16_t* p, Vec v) {
  _mm_storeu_si128((__m128i*)p, round_to_uint16(v, 65535.0f));
}
template <>
inline void store_from_float(Half* p, Vec v) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
#endif

// Converts n elements; the last vector overlaps the one before it.
template <typename T>
inline void convert_to_float(const T* in, std::int64_t n, float* out) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_from_float(out + i, load_as_float(in + i));
  if (i == n) return;
  if (n >= kLanes) {
    store_from_float(out + n - kLanes, load_as_float(in + n - kLanes));
  } else {
    for (; i < n; ++i) out[i] = to_real<float>(in[i]);
  }
}

template <typename T>
inline void convert_from_float(const float* in, std::int64_t n, T* out) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_from_float(out + i, load_unaligned(in + i));
  if (i == n) return;
  if (n >= kLanes) {
    store_from_float(out + n - kLanes, load_unaligned(in + n - kLanes));
  } else {
    for (; i < n; ++i) out[i] = from_real<T>(in[i]);
  }
}

}  // namespace pyharmony::HM_SIMD_NS
