#include <algorithm>
#include <cstring>
#include <vector>

#include "core/buffer.h"
#include "core/checks.h"
#include "core/dispatch.h"
#include "core/parallel.h"
#include "ops/pyramid/pyramid.h"

namespace pyharmony {
namespace {

void check_out(const ArrayView& out, std::int64_t height, std::int64_t width,
               std::int64_t channels) {
  const ImageView v = as_image(out, "out");
  HM_CHECK(out.dtype == DType::kFloat32 && out.writable, "out: expected writable float32");
  check_image_shape(v, "out", height, width, channels);
  HM_CHECK(is_contiguous(out), "out: expected a contiguous array");
}

void run_downsample(const ImageView& src, double range, double sigma, const ArrayView& out) {
  HM_CHECK(src.height > 0 && src.width > 0 && src.channels > 0, "image: no pixels");
  HM_CHECK(sigma >= 0 && sigma <= kMaxSmoothSigma, "smooth_sigma: ", sigma, ", expected 0 to ",
           kMaxSmoothSigma);
  check_out(out, (src.height + 1) / 2, (src.width + 1) / 2, src.channels);
  downsample(src, range, sigma, out.as<float>());
}

template <typename T>
void flag_known(const ImageView& known, std::int64_t y, std::uint8_t* __restrict flags) {
  const T* __restrict row = known.at<T>(y, 0, 0);
  if (known.col_stride == 1) {
    for (std::int64_t u = 0; u < known.width; ++u) flags[u] = to_real<float>(row[u]) >= 1;
  } else {
    for (std::int64_t u = 0; u < known.width; ++u)
      flags[u] = to_real<float>(row[u * known.col_stride]) >= 1;
  }
}

inline void or_into(std::uint8_t* __restrict into, const std::uint8_t* __restrict from,
                    std::int64_t n) {
  for (std::int64_t u = 0; u < n; ++u) into[u] |= from[u];
}

// Does one pixel of meet_known. flags: rows of bytes, 1 where a pixel is known.
template <typename T>
void meet_pixel(const ImageView& colours, const ImageView& dst, const std::uint8_t* const* flags,
                const float* weights, float share, std::int64_t y, std::int64_t x) {
  const std::int64_t y0 = std::max<std::int64_t>(y - kMeetRadius, 0);
  const std::int64_t y1 = std::min(y + kMeetRadius + 1, colours.height);
  const std::int64_t x0 = std::max<std::int64_t>(x - kMeetRadius, 0);
  const std::int64_t x1 = std::min(x + kMeetRadius + 1, colours.width);
  float* const here = colours.at<float>(y, x, 0);
  float known = 0, all = 0;
  for (std::int64_t v = y0; v < y1; ++v) {
    for (std::int64_t u = x0; u < x1; ++u) {
      const float g = weights[v - y + kMeetRadius] * weights[u - x + kMeetRadius];
      all += g;
      if (flags[v][u]) known += g;
    }
  }
  const float strength = known > 0 ? std::min(1.0f, 3 * known / all) / known : 0.0f;
  for (std::int64_t c = 0; c < colours.channels; ++c) {
    float difference = 0;
    for (std::int64_t v = y0; v < y1; ++v) {
      for (std::int64_t u = x0; u < x1; ++u) {
        if (!flags[v][u]) continue;
        const float g = weights[v - y + kMeetRadius] * weights[u - x + kMeetRadius];
        difference += g * (to_real<float>(*dst.at<T>(v, u, c)) - *colours.at<float>(v, u, c));
      }
    }
    here[c] += share * (to_real<float>(*dst.at<T>(y, x, c)) - here[c]) + strength * difference;
  }
}

}  // namespace

void downsample(const ImageView& image, double range, double smooth_sigma, float* out) {
  const std::vector<float> weights = downsample_weights(smooth_sigma);
  const DownsampleParams params{image, static_cast<float>(range), out, weights.data(),
                                static_cast<int>(weights.size())};
  HM_SIMD_CALL(downsample_kernel, params);
}

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
  upsample(src, height, width, out.as<float>());
}

void upsample(const ImageView& image, std::int64_t height, std::int64_t width, float* out) {
  const UpsampleParams params{image, out, height, width};
  HM_SIMD_CALL(upsample_kernel, params);
}

void meet_known(const ArrayView& colours, const ArrayView& dst, const ArrayView& known) {
  const ImageView d = as_image(dst, "dst"), k = as_image(known, "known");
  check_out(colours, d.height, d.width, d.channels);
  check_image_shape(k, "known", d.height, d.width, 1);
  HM_CHECK(known.dtype == DType::kBool || known.dtype == DType::kFloat32, "known: dtype ",
           dtype_name(known.dtype), ", expected bool or float32");
  meet_known(as_image(colours, "colours"), d, k);
}

void meet_known(const ImageView& x, const ImageView& d, const ImageView& k) {
  constexpr std::int64_t kBand = 64;
  const bool flags_known = k.dtype == DType::kBool;
  const std::vector<float> weights = meet_weights();
  const std::int64_t w = d.width;

  const auto share = [&](std::int64_t y, std::int64_t u) {
    return flags_known ? to_real<float>(*k.at<Bool>(y, u, 0)) : *k.at<float>(y, u, 0);
  };
  parallel_for((d.height + kBand - 1) / kBand, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = std::max<std::int64_t>(begin * kBand - kMeetRadius, 0);
    const std::int64_t last = std::min(end * kBand + kMeetRadius, d.height);
    const std::int64_t pitch = w + 2 * kMeetRadius;
    Buffer<std::uint8_t> scratch((last - first) * w + pitch + w);
    std::uint8_t* const near =
        scratch.data() + (last - first) * w;  // whether a known pixel is within the rows
    std::uint8_t* const wanted = near + pitch;
    std::vector<const std::uint8_t*> flags(d.height, nullptr);
    for (std::int64_t y = first; y < last; ++y) {
      std::uint8_t* const row = scratch.data() + (y - first) * w;
      flags[y] = row;
      flags_known ? flag_known<Bool>(k, y, row) : flag_known<float>(k, y, row);
    }
    for (std::int64_t y = begin * kBand; y < std::min(end * kBand, d.height); ++y) {
      std::memset(near, 0, pitch);
      for (std::int64_t v = std::max(y - kMeetRadius, first);
           v < std::min(y + kMeetRadius + 1, last); ++v) {
        or_into(near + kMeetRadius, flags[v], w);
      }
      std::memset(wanted, 0, w);
      for (int q = 0; q <= 2 * kMeetRadius; ++q) or_into(wanted, near + q, w);
      for (std::int64_t u = 0; u < w; ++u) wanted[u] &= static_cast<std::uint8_t>(!flags[y][u]);
      for (std::int64_t u = 0; u < w; ++u) {
        if (u + 8 <= w) {
          std::uint64_t eight;
          std::memcpy(&eight, wanted + u, sizeof(eight));
          if (eight == 0) {
            u += 7;
            continue;
          }
        }
        if (!wanted[u]) continue;
        dispatch_image(d.dtype, "dst", [&](auto tag) {
          meet_pixel<typename decltype(tag)::type>(x, d, flags.data(), weights.data(), share(y, u),
                                                   y, u);
        });
      }
    }
  });
}

}  // namespace pyharmony
