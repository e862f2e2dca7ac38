#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/real_vec.h"
#include "ops/spectral_norm/spectral_norm.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

// Adds u^T W of kRows rows to t[0 .. cols).
template <int kRows, typename T, typename Real>
inline void add_rows(const T* w, std::int64_t stride, std::int64_t cols, const Real* u, Real* t) {
  using V = typename VecOf<Real>::type;
  constexpr int kStep = kWidth<Real>;
  V factor[kRows];
  for (int k = 0; k < kRows; ++k) factor[k] = all(u[k]);
  std::int64_t c = 0;
  for (; c + kStep <= cols; c += kStep) {
    V total = read(t + c);
    for (int k = 0; k < kRows; ++k)
      total = multiply_add(factor[k], read(w + k * stride + c), total);
    write(t + c, total);
  }
  for (; c < cols; ++c) {
    for (int k = 0; k < kRows; ++k) t[c] += u[k] * to_real<Real>(w[k * stride + c]);
  }
}

template <typename T, typename Real>
void columns(const T* w, std::int64_t stride, std::int64_t rows, std::int64_t cols, const Real* u,
             Real* t) {
  std::memset(t, 0, static_cast<std::size_t>(cols) * sizeof(Real));
  std::int64_t r = 0;
  for (; r + 8 <= rows; r += 8) add_rows<8>(w + r * stride, stride, cols, u + r, t);
  for (; r < rows; ++r) add_rows<1>(w + r * stride, stride, cols, u + r, t);
}

// Adds W v to s[0 .. kRows).
template <int kRows, typename T, typename Real>
inline void dot_rows(const T* w, std::int64_t stride, std::int64_t cols, const Real* v, Real* s) {
  using V = typename VecOf<Real>::type;
  constexpr int kStep = kWidth<Real>, kAhead = 4;
  V total[kRows][kAhead] = {};
  Real rest[kRows] = {};
  std::int64_t c = 0;
  for (; c + kAhead * kStep <= cols; c += kAhead * kStep) {
    for (int a = 0; a < kAhead; ++a) {
      const V x = read(v + c + a * kStep);
      for (int k = 0; k < kRows; ++k) {
        total[k][a] = multiply_add(x, read(w + k * stride + c + a * kStep), total[k][a]);
      }
    }
  }
  for (; c < cols; ++c) {
    for (int k = 0; k < kRows; ++k) rest[k] += v[c] * to_real<Real>(w[k * stride + c]);
  }
  for (int k = 0; k < kRows; ++k) {
    s[k] += sum<Real>((total[k][0] + total[k][1]) + (total[k][2] + total[k][3])) + rest[k];
  }
}

template <typename T, typename Real>
void rows(const T* w, std::int64_t stride, std::int64_t count, std::int64_t cols, const Real* v,
          Real* s) {
  std::int64_t r = 0;
  for (; r + 4 <= count; r += 4) dot_rows<4>(w + r * stride, stride, cols, v, s + r);
  for (; r < count; ++r) dot_rows<1>(w + r * stride, stride, cols, v, s + r);
}

// Calls fn(row, column, elements) for the stretches of memory of a tile's rows: `row` of M,
// `column` where the stretch begins in it. Its offset is offset_of().
template <typename Fn>
inline void stretches(const SpectralNormTile& t, Fn&& fn) {
  for (std::int64_t o = 0; o < t.outer; ++o) {
    for (std::int64_t r = t.row; r < t.row_end; ++r) fn(r, o * t.inner, (o * t.rows + r) * t.inner);
  }
}

// Copies items [first, last) of outer, rows of the tile, to [rows, (last - first) * inner].
template <typename T>
void pack(const SpectralNormTile& t, std::int64_t first, std::int64_t last, T* out) {
  const T* w = static_cast<const T*>(t.weight);
  const std::int64_t stride = (last - first) * t.inner;
  for (std::int64_t o = first; o < last; ++o) {
    for (std::int64_t r = t.row; r < t.row_end; ++r) {
      std::memcpy(out + (r - t.row) * stride + (o - first) * t.inner,
                  w + (o * t.rows + r) * t.inner, static_cast<std::size_t>(t.inner) * sizeof(T));
    }
  }
}

template <typename T>
void columns_tile(const SpectralNormTile& t) {
  using Real = typename RealOf<T>::type;
  const Real* u = static_cast<const Real*>(t.u) + t.row;
  Real* result = static_cast<Real*>(t.result);
  const std::int64_t count = t.row_end - t.row, cols = t.column_end - t.column;
  if (t.outer == 1) {
    columns(static_cast<const T*>(t.weight) + t.row * t.inner + t.column, t.inner, count, cols, u,
            result);
    return;
  }
  Buffer<T> packed(static_cast<std::size_t>(count * cols));
  pack(t, t.column / t.inner, t.column_end / t.inner, packed.data());
  columns(packed.data(), cols, count, cols, u, result);
}

template <typename T>
void rows_tile(const SpectralNormTile& t) {
  using Real = typename RealOf<T>::type;
  constexpr std::int64_t kChunk = 2048;
  const Real* v = static_cast<const Real*>(t.v);
  Real* s = static_cast<Real*>(t.result) + t.row;
  const std::int64_t count = t.row_end - t.row;
  std::memset(s, 0, static_cast<std::size_t>(count) * sizeof(Real));
  if (t.outer == 1) {
    rows(static_cast<const T*>(t.weight) + t.row * t.inner, t.inner, count, t.inner, v, s);
    return;
  }
  const std::int64_t items = kChunk / t.inner > 1 ? kChunk / t.inner : 1;
  Buffer<T> packed(static_cast<std::size_t>(count * items * t.inner));
  for (std::int64_t o = 0; o < t.outer; o += items) {
    const std::int64_t last = o + items < t.outer ? o + items : t.outer;
    pack(t, o, last, packed.data());
    const std::int64_t cols = (last - o) * t.inner;
    rows(packed.data(), cols, count, cols, v + o * t.inner, s);
  }
}

// Returns whether the rows of a tile make up a stretch of memory without gaps.
inline bool gapless(const SpectralNormTile& t) {
  return t.outer == 1 || (t.row == 0 && t.row_end == t.rows);
}

template <typename T, typename Real>
inline void scale_stretch(const T* w, std::int64_t n, Real scale, T* out) {
  constexpr int kStep = kWidth<Real>;
  const auto factor = all(scale);
  std::int64_t i = 0;
  if constexpr (std::is_same_v<T, float>) {
    // This stores past the caches: the layers that read it come when all of it is done.
    if (n >= 4 * kStep) {
      for (; reinterpret_cast<std::uintptr_t>(out + i) % HM_SIMD_BYTES != 0; ++i)
        out[i] = w[i] * scale;
      for (; i + kStep <= n; i += kStep) stream(out + i, read(w + i) * factor);
    }
  }
  for (; i + kStep <= n; i += kStep) write(out + i, read(w + i) * factor);
  for (; i < n; ++i) out[i] = from_real<T>(to_real<Real>(w[i]) * scale);
}

template <typename T>
void scale_tile(const SpectralNormTile& t) {
  using Real = typename RealOf<T>::type;
  const T* w = static_cast<const T*>(t.weight);
  T* out = static_cast<T*>(t.out);
  const Real scale = static_cast<Real>(t.scale);
  if (gapless(t)) {
    const std::int64_t first = t.row * t.inner, n = t.outer * (t.row_end - t.row) * t.inner;
    scale_stretch(w + first, n, scale, out + first);
  } else {
    stretches(t, [&](std::int64_t, std::int64_t, std::int64_t at) {
      scale_stretch(w + at, t.inner, scale, out + at);
    });
  }
  end_stream();
}

// Sums groups of 4 kStep products in Real, and their sums in double.
template <typename T, typename Real>
inline double dot_stretch(const T* a, const T* b, std::int64_t n) {
  using V = typename VecOf<Real>::type;
  constexpr int kStep = kWidth<Real>, kRun = 64;
  double total = 0;
  std::int64_t i = 0;
  while (i + 4 * kStep <= n) {
    V part[4] = {};
    for (int run = 0; run < kRun && i + 4 * kStep <= n; ++run, i += 4 * kStep) {
      for (int k = 0; k < 4; ++k) {
        part[k] = multiply_add(read(a + i + k * kStep), read(b + i + k * kStep), part[k]);
      }
    }
    total += static_cast<double>(sum<Real>((part[0] + part[1]) + (part[2] + part[3])));
  }
  for (; i < n; ++i) total += to_real<double>(a[i]) * to_real<double>(b[i]);
  return total;
}

template <typename T>
void dot_tile(const SpectralNormTile& t) {
  using Real = typename RealOf<T>::type;
  const T* w = static_cast<const T*>(t.weight);
  const T* g = static_cast<const T*>(t.grad);
  if (g == nullptr) return;
  double total = 0;
  if (gapless(t)) {
    const std::int64_t first = t.row * t.inner, n = t.outer * (t.row_end - t.row) * t.inner;
    total = dot_stretch<T, Real>(w + first, g + first, n);
  } else {
    stretches(t, [&](std::int64_t, std::int64_t, std::int64_t at) {
      total += dot_stretch<T, Real>(w + at, g + at, t.inner);
    });
  }
  *static_cast<double*>(t.result) = total;
}

template <typename T>
void gradient_tile(const SpectralNormTile& t) {
  using Real = typename RealOf<T>::type;
  constexpr int kStep = kWidth<Real>;
  const T* grad = static_cast<const T*>(t.grad);
  const Real *u = static_cast<const Real*>(t.u), *v = static_cast<const Real*>(t.v);
  const Real scale = static_cast<Real>(t.scale);
  const auto factor = all(scale);
  stretches(t, [&](std::int64_t row, std::int64_t column, std::int64_t at) {
    const Real weight = static_cast<Real>(t.rank_one) * u[row];
    const auto along = all(weight);
    const Real* x = v + column;
    T* out = static_cast<T*>(t.out) + at;
    std::int64_t i = 0;
    if (grad == nullptr) {
      for (; i + kStep <= t.inner; i += kStep) write(out + i, along * read(x + i));
      for (; i < t.inner; ++i) out[i] = from_real<T>(weight * x[i]);
      return;
    }
    const T* g = grad + at;
    if constexpr (std::is_same_v<T, float>) {
      if (t.inner >= 4 * kStep) {
        for (; reinterpret_cast<std::uintptr_t>(out + i) % HM_SIMD_BYTES != 0; ++i) {
          out[i] = std::fma(weight, x[i], scale * g[i]);
        }
        for (; i + kStep <= t.inner; i += kStep) {
          stream(out + i, multiply_add(along, read(x + i), factor * read(g + i)));
        }
      }
    }
    for (; i + kStep <= t.inner; i += kStep) {
      write(out + i, multiply_add(along, read(x + i), factor * read(g + i)));
    }
    for (; i < t.inner; ++i) {
      out[i] = from_real<T>(weight * x[i] + scale * to_real<Real>(g[i]));
    }
  });
  end_stream();
}

}  // namespace

void spectral_norm_kernel(SpectralNormPass pass, const SpectralNormTile& tile) {
  dispatch_tensor(tile.dtype, "weights", [&](auto tag) {
    using T = typename decltype(tag)::type;
    switch (pass) {
      case SpectralNormPass::kColumns: return columns_tile<T>(tile);
      case SpectralNormPass::kRows: return rows_tile<T>(tile);
      case SpectralNormPass::kScale: return scale_tile<T>(tile);
      case SpectralNormPass::kDot: return dot_tile<T>(tile);
      case SpectralNormPass::kGradient: return gradient_tile<T>(tile);
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
