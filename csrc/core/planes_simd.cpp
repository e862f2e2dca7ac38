#include "core/planes.h"

#include "core/dispatch.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

template <typename Real>
void split(const ImageView& image, std::int64_t y, std::int64_t x0, std::int64_t x1,
           Real* const* out) {
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* __restrict in = image.at<T>(y, x0, 0);
    const std::int64_t n = x1 - x0;
    if (image.channels == 3 && image.channel_stride == 1 && image.col_stride == 3) {
      Real* __restrict a = out[0], * __restrict b = out[1], * __restrict c = out[2];
      for (std::int64_t j = 0; j < n; ++j) {
        a[j] = to_real<Real>(in[3 * j]);
        b[j] = to_real<Real>(in[3 * j + 1]);
        c[j] = to_real<Real>(in[3 * j + 2]);
      }
      return;
    }
    for (std::int64_t k = 0; k < image.channels; ++k) {
      const T* __restrict plane = in + k * image.channel_stride;
      Real* __restrict row = out[k];
      const std::int64_t step = image.col_stride;
      if (step == 1) {
        for (std::int64_t j = 0; j < n; ++j) row[j] = to_real<Real>(plane[j]);
      } else {
        for (std::int64_t j = 0; j < n; ++j) row[j] = to_real<Real>(plane[j * step]);
      }
    }
  });
}

}  // namespace

void read_plane(const ImageView& plane, std::int64_t y, std::int64_t x, std::int64_t n,
                float* out) {
  pyharmony::read_plane<>(plane, y, x, n, out);
}
void read_plane(const ImageView& plane, std::int64_t y, std::int64_t x, std::int64_t n,
                double* out) {
  pyharmony::read_plane<>(plane, y, x, n, out);
}
void read_plane(const ImageView& plane, std::int64_t y, std::int64_t x, std::int64_t n,
                long double* out) {
  pyharmony::read_plane<>(plane, y, x, n, out);
}

void read_channels(const ImageView& image, std::int64_t y, std::int64_t x0, std::int64_t x1,
                   float* const* out) {
  split(image, y, x0, x1, out);
}
void read_channels(const ImageView& image, std::int64_t y, std::int64_t x0, std::int64_t x1,
                   double* const* out) {
  split(image, y, x0, x1, out);
}
void read_channels(const ImageView& image, std::int64_t y, std::int64_t x0, std::int64_t x1,
                   long double* const* out) {
  split(image, y, x0, x1, out);
}

}  // namespace pyharmony::HM_SIMD_NS
