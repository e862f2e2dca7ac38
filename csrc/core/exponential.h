// The exponential function of a register of floats. Included by SIMD sources only.
#pragma once

#include "core/vec.h"

namespace pyharmony::HM_SIMD_NS {

inline Vec keep_nan(Vec x, Vec y) { return x == x ? y : x; }

// Cephes' expf, held within the normal floats.
inline Vec exponential(Vec argument) {
  Vec x = minimum(maximum(argument, splat(-87.0f)), splat(88.0f));
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const Vec shifted = fma(x, splat(1.44269504f), splat(kMagic));
  const Vec n = shifted - kMagic;
  x = fma(n, splat(-0.693359375f), x);
  x = fma(n, splat(2.12194440e-4f), x);
  Vec p = splat(1.9875691500e-4f);
  p = fma(p, x, splat(1.3981999507e-3f));
  p = fma(p, x, splat(8.3334519073e-3f));
  p = fma(p, x, splat(4.1665795894e-2f));
  p = fma(p, x, splat(1.6666665459e-1f));
  p = fma(p, x, splat(5.0000001201e-1f));
  const Vec y = fma(p, x * x, x) + 1.0f;
  return keep_nan(argument, (Vec)((VecI)y + (((VecI)shifted - 0x4b400000) << 23)));
}

}  // namespace pyharmony::HM_SIMD_NS
