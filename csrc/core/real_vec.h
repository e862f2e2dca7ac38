// Loops over tensors of layers that are written once for every dtype: sums are float beside float,
// Half and BFloat16, double beside double. Included by SIMD sources only.
#pragma once

#include "core/vec.h"

namespace pyharmony::HM_SIMD_NS {

template <typename T>
struct RealOf {
  using type = float;
};
template <>
struct RealOf<double> {
  using type = double;
};

template <typename Real>
struct VecOf;
template <>
struct VecOf<float> {
  using type = Vec;
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(HM_SIMD_BYTES)));
};
using VecD = VecOf<double>::type;

template <typename Real>
constexpr int kWidth = HM_SIMD_BYTES / static_cast<int>(sizeof(Real));

// Reads as many elements as a register has reals.
template <typename T>
inline Vec read(const T* p) {
  return load_as_float(p);
}
inline VecD read(const double* p) {
  VecD v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline Vec read(const BFloat16* p) {
#if HM_SIMD_BYTES == 64
  const __m512i bits =
      _mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, bits, 16));
#elif HM_SIMD_BYTES == 32
  const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
#else
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = to_real<float>(p[i]);
  return v;
#endif
}

template <typename T>
inline void write(T* p, Vec v) {
  store_from_float(p, v);
}
inline void write(double* p, VecD v) { std::memcpy(p, &v, sizeof(v)); }
inline void write(BFloat16* p, Vec v) {
  typedef std::uint32_t Bits __attribute__((vector_size(HM_SIMD_BYTES)));
  typedef std::uint16_t Upper __attribute__((vector_size(HM_SIMD_BYTES / 2)));
  const Bits bits = (Bits)v;
  // This rounds as from_real<BFloat16> does.
  const Bits rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const Upper upper = __builtin_convertvector(v == v ? rounded : bits >> 16 | 0x40, Upper);
  std::memcpy(p, &upper, sizeof(upper));
}

inline Vec multiply_add(Vec a, Vec b, Vec c) { return fma(a, b, c); }
inline VecD multiply_add(VecD a, VecD b, VecD c) {
#if HM_SIMD_BYTES == 64
  return _mm512_fmadd_pd(a, b, c);
#elif HM_SIMD_BYTES == 32
  return _mm256_fmadd_pd(a, b, c);
#else
  return a * b + c;
#endif
}

template <typename Real>
inline typename VecOf<Real>::type all(Real value) {
  return value - typename VecOf<Real>::type{};
}

template <typename Real>
inline Real sum(typename VecOf<Real>::type v) {
  for (int half = kWidth<Real> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) v[i] += v[i + half];
  }
  return v[0];
}

}  // namespace pyharmony::HM_SIMD_NS
