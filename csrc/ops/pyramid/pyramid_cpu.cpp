#include <cmath>
#include <vector>

#include "ops/pyramid/pyramid.h"

namespace pyharmony {
namespace {

// The Gaussian, cut at 4 sigma, convolved with the box of two pixels: weights of the pairs.
std::vector<float> downsample_weights(double sigma) {
  const int radius = static_cast<int>(4 * sigma + 0.5);
  std::vector<double> gaussian(radius + 1, 1.0);
  double total = 1.0;
  for (int q = 1; q <= radius; ++q) {
    gaussian[q] = std::exp(-0.5 * q * q / (sigma * sigma));
    total += 2 * gaussian[q];
  }
  std::vector<float> weights(radius + 1);
  for (int t = 0; t <= radius; ++t) {
    const double next = t < radius ? gaussian[t + 1] : 0.0;
    weights[t] = static_cast<float>((gaussian[t] + next) / (2 * total));
  }
  return weights;
}

void check_out(const ArrayView& out, std::int64_t height, std::int64_t width, std::int64_t channels) {
  const ImageView v = as_image(out, "out");
  HM_CHECK(out.dtype == DType::kFloat32 && out.writable, "out: expected writable float32");
  HM_CHECK(v.height == height && v.width == width && v.channels == channels, "out: shape [", v.height,
           ", ", v.width, ", ", v.channels, "], expected [", height, ", ", width, ", ", channels, "]");
  HM_CHECK((v.channels == 1 || v.channel_stride == 1) && (v.width == 1 || v.col_stride == channels) &&
               (v.height == 1 || v.row_stride == width * channels),
           "out: expected a contiguous array");
}

void run_downsample(const ImageView& src, double range, double sigma, const ArrayView& out) {
  HM_CHECK(src.height > 0 && src.width > 0 && src.channels > 0, "image: no pixels");
  HM_CHECK(sigma >= 0 && sigma <= kMaxSmoothSigma, "smooth_sigma: ", sigma, ", expected 0 to ",
           kMaxSmoothSigma);
  check_out(out, (src.height + 1) / 2, (src.width + 1) / 2, src.channels);
  const std::vector<float> weights = downsample_weights(sigma);
  const DownsampleParams params{src, static_cast<float>(range), out.as<float>(), weights.data(),
                                static_cast<int>(weights.size())};
  HM_SIMD_CALL(downsample_kernel, params);
}

}  // namespace

void downsample(const ArrayView& image, double smooth_sigma, const ArrayView& out) {
  HM_CHECK(image.dtype != DType::kBool, "image: dtype bool is not an image type");
  run_downsample(as_image(image, "image"), 1.0, smooth_sigma, out);
}

void downsample_mask(const ArrayView& mask, const ArrayView& out) {
  HM_CHECK(mask.ndim == 2, "mask: ", mask.ndim, " dimensions, expected [H, W]");
  run_downsample(as_image(mask, "mask"), dtype_range(mask.dtype), 0.0, out);
}

void upsample(const ArrayView& image, const ArrayView& out) {
  const ImageView src = as_image(image, "image");
  HM_CHECK(image.dtype != DType::kBool, "image: dtype bool is not an image type");
  const std::int64_t height = out.shape[0], width = out.shape[1];
  HM_CHECK(out.ndim >= 2 && height > 0 && width > 0 && src.height == (height + 1) / 2 &&
               src.width == (width + 1) / 2,
           "image: shape [", src.height, ", ", src.width, "], expected [", (height + 1) / 2, ", ",
           (width + 1) / 2, "] for an output of [", height, ", ", width, "]");
  check_out(out, height, width, src.channels);
  const UpsampleParams params{src, out.as<float>(), height, width};
  HM_SIMD_CALL(upsample_kernel, params);
}

}  // namespace pyharmony
