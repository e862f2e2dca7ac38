#include "ops/convolution/convolution.h"

#include <algorithm>
#include <cstring>

#include "core/buffer.h"
#include "core/checks.h"

namespace pyharmony {
namespace {

void expect(const ArrayView& a, const char* name, int ndim) {
  HM_CHECK(a.dtype == DType::kFloat32, name, ": dtype ", dtype_name(a.dtype), ", expected float32");
  HM_CHECK(a.ndim == ndim, name, ": ", a.ndim, " dimensions, expected ", ndim);
  HM_CHECK(is_contiguous(a), name, ": expected a contiguous array");
}

// Copies the image to `before` rows and columns of a padded one, whose other values become zero.
void pad(const ConvolutionParams& p, std::int64_t height, float* out) {
  const std::int64_t row = p.padded_width * p.channels;
  const std::int64_t rows = std::max<std::int64_t>(0, std::min(p.image_height, height - p.before));
  const std::int64_t columns = std::min(p.image_width, p.padded_width - p.before);
  const std::int64_t left = p.before * p.channels;
  const std::int64_t count = std::max<std::int64_t>(0, columns) * p.channels;
  std::fill_n(out, p.before * row, 0.0f);
  for (std::int64_t y = 0; y < rows; ++y) {
    float* const to = out + (y + p.before) * row;
    std::fill_n(to, left, 0.0f);
    std::memcpy(to + left, p.image + y * p.image_width * p.channels, count * sizeof(float));
    std::fill(to + left + count, to + row, 0.0f);
  }
  std::fill(out + (p.before + rows) * row, out + height * row, 0.0f);
}

}  // namespace

void convolution(const ArrayView& image, const ArrayView& weight, const ArrayView& bias,
                 const ArrayView* added, const ArrayView& out, int stride, int before, double slope,
                 double high) {
  const bool each = weight.ndim == 3;
  expect(image, "image", 3);
  expect(weight, "weight", each ? 3 : 4);
  expect(bias, "bias", 1);
  expect(out, "out", 3);
  HM_CHECK(out.writable, "out: expected a writable array");
  const std::int64_t height = image.shape[0], width = image.shape[1], channels = image.shape[2];
  const std::int64_t kernel = weight.shape[0], made = each ? channels : weight.shape[3];
  HM_CHECK(kernel >= 1 && kernel <= 31 && weight.shape[1] == kernel, "weight: windows of ",
           weight.shape[0], " x ", weight.shape[1], ", expected the same side from 1 to 31 twice");
  HM_CHECK(weight.shape[2] == channels, "weight: ", weight.shape[2], " channels, image has ",
           channels);
  HM_CHECK(bias.shape[0] == made, "bias: ", bias.shape[0], " values, expected ", made);
  HM_CHECK(stride >= 1 && stride <= 16, "stride: ", stride, ", expected 1 to 16");
  HM_CHECK(before >= 0 && before < kernel, "before: ", before, ", expected 0 to ", kernel - 1);
  HM_CHECK(out.shape[2] == made, "out: ", out.shape[2], " channels, expected ", made);
  if (added != nullptr) {
    expect(*added, "added", 3);
    HM_CHECK(std::equal(out.shape, out.shape + 3, added->shape),
             "added: expected the shape of out");
  }
  ConvolutionParams params{};
  params.image = image.as<float>();
  params.image_height = height;
  params.image_width = width;
  params.weight = weight.as<float>();
  params.bias = bias.as<float>();
  params.added = added == nullptr ? nullptr : added->as<float>();
  params.out = out.as<float>();
  params.height = out.shape[0];
  params.width = out.shape[1];
  params.channels = channels;
  params.made = made;
  params.kernel = static_cast<int>(kernel);
  params.stride = stride;
  params.before = before;
  params.slope = static_cast<float>(slope);
  params.high = static_cast<float>(high);
  if (params.height == 0 || params.width == 0 || made == 0) return;
  const std::int64_t padded_height = stride * (params.height - 1) + kernel;
  params.padded_width = stride * (params.width - 1) + kernel;
  if (each) {
    HM_SIMD_CALL(convolution_each_kernel, params);
    return;
  }
  Buffer<float> padded;
  if (before == 0 && params.padded_width == width && padded_height <= height) {
    params.padded = params.image;
  } else {
    padded = Buffer<float>(padded_height * params.padded_width * channels);
    pad(params, padded_height, padded.data());
    params.padded = padded.data();
  }
  HM_SIMD_CALL(convolution_kernel, params);
}

void enlarged(const ArrayView& image, const ArrayView* added, const ArrayView& out) {
  expect(image, "image", 3);
  expect(out, "out", 3);
  HM_CHECK(out.writable, "out: expected a writable array");
  HM_CHECK(out.shape[0] == 2 * image.shape[0] && out.shape[1] == 2 * image.shape[1] &&
               out.shape[2] == image.shape[2],
           "out: expected twice the size of image");
  if (added != nullptr) {
    expect(*added, "added", 3);
    HM_CHECK(std::equal(out.shape, out.shape + 3, added->shape),
             "added: expected the shape of out");
  }
  EnlargedParams params{};
  params.image = image.as<float>();
  params.added = added == nullptr ? nullptr : added->as<float>();
  params.out = out.as<float>();
  params.height = image.shape[0];
  params.width = image.shape[1];
  params.channels = image.shape[2];
  if (params.height == 0 || params.width == 0 || params.channels == 0) return;
  HM_SIMD_CALL(enlarged_kernel, params);
}

}  // namespace pyharmony
