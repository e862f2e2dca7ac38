// Rows of images to reals and back: the only code of the solvers' rows that depends on dtypes, so
// that the solvers themselves are compiled for float and double alone.
#include "ops/gaussian_poisson/rows.h"

#include <limits>
#include <type_traits>

#include "core/dispatch.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

template <typename Real>
void load(const ImageView& image, std::int64_t y, Real* out) {
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    // These are locals because stores through `out` could otherwise change the captured pointers.
    const T* __restrict row = image.at<T>(y, 0, 0);
    Real* __restrict to = out;
    const std::int64_t w = image.width, c = image.channels, n = w * c;
    const std::int64_t col_stride = image.col_stride, channel_stride = image.channel_stride;
    if (channel_stride == 1 && col_stride == c) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = to_real<Real>(row[i]);
    } else {
      for (std::int64_t k = 0; k < c; ++k) {
        const T* __restrict plane = row + k * channel_stride;
        for (std::int64_t x = 0; x < w; ++x) to[x * c + k] = to_real<Real>(plane[x * col_stride]);
      }
    }
  });
}

template <int kChannels, typename Real>
inline void repeat_pixels(const Real* __restrict pixels, std::int64_t n, std::int64_t channels,
                          Real* __restrict out) {
  const std::int64_t c = kChannels ? kChannels : channels;
  for (std::int64_t x = 0; x < n; ++x) {
    for (std::int64_t k = 0; k < c; ++k) out[x * c + k] = pixels[x];
  }
}

template <typename Real>
void repeat(const Real* pixels, std::int64_t n, std::int64_t channels, Real* out) {
  switch (channels) {
    case 3: return repeat_pixels<3>(pixels, n, 3, out);
    case 4: return repeat_pixels<4>(pixels, n, 4, out);
    default: return repeat_pixels<0>(pixels, n, channels, out);
  }
}

template <typename Real>
void load_mask(const ImageView& mask, std::int64_t y, std::int64_t channels, Real* out) {
  constexpr std::int64_t kBlock = 256;
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Real range = static_cast<Real>(dtype_range(mask.dtype));
    const std::int64_t stride = mask.col_stride, width = mask.width, c = channels;
    Real values[kBlock];
    for (std::int64_t x0 = 0; x0 < width; x0 += kBlock) {
      const std::int64_t n = width - x0 < kBlock ? width - x0 : kBlock;
      const T* __restrict row = mask.at<T>(y, x0, 0);
      Real* __restrict to = c == 1 ? out + x0 : values;
      if (stride == 1) {
        for (std::int64_t x = 0; x < n; ++x) to[x] = to_real<Real>(row[x]) / range;
      } else {
        for (std::int64_t x = 0; x < n; ++x) to[x] = to_real<Real>(row[x * stride]) / range;
      }
      if (c > 1) repeat(values, n, c, out + x0 * c);
    }
  });
}

// Rounds as from_real does, without a call to the C library: adding 1.5 * 2^p rounds half to even.
template <typename T, typename Real>
inline T round_to(Real value) {
  if constexpr (std::is_integral_v<T>) {
    constexpr Real kHigh = static_cast<Real>(std::numeric_limits<T>::max());
    constexpr Real kMagic =
        std::is_same_v<Real, float> ? Real(12582912.0) : Real(6755399441055744.0);
    const Real low = value > Real(0) ? value : Real(0);
    const Real held = low < kHigh ? low : kHigh;
    return static_cast<T>(static_cast<std::int32_t>((held + kMagic) - kMagic));
  } else {
    return static_cast<T>(value);
  }
}

template <typename Real>
void store(const Real* in, const ImageView& image, std::int64_t y) {
  dispatch_image(image.dtype, "out", [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* __restrict row = image.at<T>(y, 0, 0);
    const Real* __restrict from = in;
    const std::int64_t w = image.width, c = image.channels, n = w * c;
    const std::int64_t col_stride = image.col_stride, channel_stride = image.channel_stride;
    if (channel_stride == 1 && col_stride == c) {
      for (std::int64_t i = 0; i < n; ++i) row[i] = round_to<T>(from[i]);
    } else {
      for (std::int64_t k = 0; k < c; ++k) {
        T* __restrict plane = row + k * channel_stride;
        for (std::int64_t x = 0; x < w; ++x) plane[x * col_stride] = round_to<T>(from[x * c + k]);
      }
    }
  });
}

}  // namespace

void load_row(const ImageView& image, std::int64_t y, float* out) { load(image, y, out); }
void load_row(const ImageView& image, std::int64_t y, double* out) { load(image, y, out); }

void load_mask_row(const ImageView& mask, std::int64_t y, std::int64_t channels, float* out) {
  load_mask(mask, y, channels, out);
}
void load_mask_row(const ImageView& mask, std::int64_t y, std::int64_t channels, double* out) {
  load_mask(mask, y, channels, out);
}

void store_row(const float* in, const ImageView& image, std::int64_t y) { store(in, image, y); }
void store_row(const double* in, const ImageView& image, std::int64_t y) { store(in, image, y); }

}  // namespace pyharmony::HM_SIMD_NS
