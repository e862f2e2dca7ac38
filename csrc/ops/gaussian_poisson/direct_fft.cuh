// Discrete Fourier transforms of a few values in registers, for any product of 2, 3, 5, 7, 11, 13.
//
// Factors are exp(-2 pi i / R), formed by the compiler: a transform is additions and fused
// multiplications. Indices are compile-time constants, so that arrays are registers.
#pragma once

#include <type_traits>
#include <utility>

#include "device/launch.h"

namespace pyharmony::gaussian_poisson {
namespace {

// ---- constants ----------------------------------------------------------------------------------

constexpr double kPi = 3.14159265358979323846;

// Returns the sum of every second term of exp's series: cosine (first 0) or sine (first 1).
constexpr double series(double x, int first) {  // |x| <= pi
  double term = first == 0 ? 1 : x, sum = term;
  for (int n = first + 1; n < 36; n += 2) {
    term *= -x * x / (static_cast<double>(n) * (n + 1));
    sum += term;
  }
  return sum;
}
constexpr double turn(int k, int n) {  // 2 pi k / n between -pi and pi
  k %= n;
  return 2 * kPi * (2 * k > n ? k - n : k) / n;
}
constexpr float cosine(int k, int n) { return static_cast<float>(series(turn(k, n), 0)); }
constexpr float sine(int k, int n) { return static_cast<float>(series(turn(k, n), 1)); }

// Calls fn(integral_constant<int, i>) for i = 0 .. kCount - 1.
template <typename Fn, int... kIndex>
__device__ __forceinline__ void each_of(Fn&& fn, std::integer_sequence<int, kIndex...>) {
  (fn(std::integral_constant<int, kIndex>{}), ...);
}
template <int kCount, typename Fn>
__device__ __forceinline__ void each(Fn&& fn) {
  each_of(fn, std::make_integer_sequence<int, kCount>{});
}

// ---- complex numbers ----------------------------------------------------------------------------

__device__ __forceinline__ float2 operator+(float2 a, float2 b) {
  return make_float2(a.x + b.x, a.y + b.y);
}
__device__ __forceinline__ float2 operator-(float2 a, float2 b) {
  return make_float2(a.x - b.x, a.y - b.y);
}
__device__ __forceinline__ float2 times(float2 a, float2 b) {
  return make_float2(fmaf(a.x, b.x, -(a.y * b.y)), fmaf(a.x, b.y, a.y * b.x));
}

// Returns v times the kPower-th power of the first of kRoots roots of one.
template <int kRoots, int kPower>
__device__ __forceinline__ float2 rotate(float2 v) {
  constexpr int k = kPower % kRoots;
  if constexpr (k == 0) {
    return v;
  } else if constexpr (4 * k == kRoots) {
    return make_float2(v.y, -v.x);
  } else if constexpr (2 * k == kRoots) {
    return make_float2(-v.x, -v.y);
  } else if constexpr (4 * k == 3 * kRoots) {
    return make_float2(-v.y, v.x);
  } else if constexpr (8 * k % kRoots == 0 && 8 * k / kRoots % 2 == 1) {
    // Both parts of the root have one magnitude: additions and two products.
    constexpr float c = cosine(k, kRoots);
    constexpr bool equal = (cosine(k, kRoots) > 0) == (sine(k, kRoots) > 0);
    if constexpr (equal) return make_float2(c * (v.x + v.y), c * (v.y - v.x));
    return make_float2(c * (v.x - v.y), c * (v.x + v.y));
  } else {
    constexpr float c = cosine(k, kRoots), s = sine(k, kRoots);
    return make_float2(fmaf(c, v.x, s * v.y), fmaf(c, v.y, -(s * v.x)));
  }
}

// Multiplies values by the powers of a twiddle.
template <int R>
__device__ __forceinline__ void twiddle(float2 (&x)[R], float2 w1) {
  const float2 w2 = times(w1, w1), w3 = times(w1, w2), w4 = times(w2, w2);
  float2 fours = w4;
#pragma unroll
  for (int t = 1; t < R; ++t) {
    if (t > 4 && t % 4 == 0) fours = times(fours, w4);
    const float2 part = t % 4 == 1 ? w1 : t % 4 == 2 ? w2 : w3;
    x[t] = times(x[t], t < 4 ? part : t % 4 == 0 ? fours : times(fours, part));
  }
}

// ---- transforms ---------------------------------------------------------------------------------

constexpr int factor_of(int n) {  // the first of two factors; n itself: a prime, or four
  if (n % 4 == 0) return 4;
  for (int p : {3, 5, 7, 2}) {
    if (n > p && n % p == 0) return p;
  }
  return n;
}

template <int R>
__device__ __forceinline__ void transform(float2 (&x)[R]) {
  constexpr int A = factor_of(R), B = R / A;
  if constexpr (R == 1) {
    return;
  } else if constexpr (R == 2) {
    const float2 a = x[0];
    x[0] = a + x[1];
    x[1] = a - x[1];
  } else if constexpr (R == 4) {
    const float2 a = x[0] + x[2], b = x[0] - x[2], c = x[1] + x[3], d = x[1] - x[3];
    x[0] = a + c;
    x[1] = make_float2(b.x + d.y, b.y - d.x);
    x[2] = a - c;
    x[3] = make_float2(b.x - d.y, b.y + d.x);
  } else if constexpr (A == R) {  // an odd prime: sums and differences of pairs
    constexpr int H = (R - 1) / 2;
    float2 sum[H + 1], difference[H + 1], first = x[0];
    each<H>([&](auto i) {
      constexpr int j = i + 1;
      sum[j] = x[j] + x[R - j];
      difference[j] = x[j] - x[R - j];
      first = first + sum[j];
    });
    each<H>([&](auto i) {
      constexpr int k = i + 1;
      float2 a = x[0], b = make_float2(0, 0);
      each<H>([&](auto l) {
        constexpr int j = l + 1;
        constexpr float c = cosine(j * k, R), s = sine(j * k, R);
        a = make_float2(fmaf(c, sum[j].x, a.x), fmaf(c, sum[j].y, a.y));
        if constexpr (j == 1) {
          b = make_float2(s * difference[j].x, s * difference[j].y);
        } else {
          b = make_float2(fmaf(s, difference[j].x, b.x), fmaf(s, difference[j].y, b.y));
        }
      });
      // x[k] and x[R - k] were read into sums and differences already.
      x[k] = make_float2(a.x + b.y, a.y - b.x);
      x[R - k] = make_float2(a.x - b.y, a.y + b.x);
    });
    x[0] = first;
  } else {
    float2 y[B][A];
    each<B>([&](auto n2) {
      each<A>([&](auto n1) { y[n2][n1] = x[B * n1 + n2]; });
      transform<A>(y[n2]);
      each<A>([&](auto k1) { y[n2][k1] = rotate<R, n2 * k1>(y[n2][k1]); });
    });
    each<A>([&](auto k1) {
      float2 b[B];
      each<B>([&](auto n2) { b[n2] = y[n2][k1]; });
      transform<B>(b);
      each<B>([&](auto k2) { x[k1 + A * k2] = b[k2]; });
    });
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
