// Compiled once for each instruction set, see core/simd.h.
//
// Both kernels work on tiles whose rows fit the first-level cache: rows are converted to float once
// into a ring, filtered down the columns, and then along the row. There, the pixels of even and of
// odd position lie in two arrays, so that all channels of an interleaved image are filtered by
// plain vectors whatever their number.
#include <algorithm>
#include <cstring>

#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/parallel.h"
#include "ops/pyramid/pyramid.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

typedef float Vec __attribute__((vector_size(HM_SIMD_BYTES)));
constexpr std::int64_t kLanes = HM_SIMD_BYTES / 4;
constexpr std::int64_t kRingBytes = 32 << 10;
constexpr std::int64_t kBandRows = 64;  // output rows of a tile

inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof(v)); }

inline std::int64_t padded(std::int64_t floats) {
  return (floats + kLanes - 1) / kLanes * kLanes + kLanes;
}

// Mirrors any index, half-sample.
inline std::int64_t mirror(std::int64_t i, std::int64_t n) {
  if (i >= 0 && i < n) return i;
  i %= 2 * n;
  if (i < 0) i += 2 * n;
  return i < n ? i : 2 * n - 1 - i;
}

inline std::int64_t clamp(std::int64_t i, std::int64_t n) {
  return std::min(std::max<std::int64_t>(i, 0), n - 1);
}

// Copies n pixels of kC (or c) floats to places that are step pixels apart. With three channels it
// moves four floats at once: the next pixel overwrites the fourth, except after the last.
template <int kC>
inline void copy_pixels(const float* from, std::int64_t from_step, float* to, std::int64_t to_step,
                        std::int64_t n, std::int64_t c) {
  if constexpr (kC == 3) {
    for (std::int64_t i = 0; i + 1 < n; ++i) {
      std::memcpy(to + i * to_step * 3, from + i * from_step * 3, 4 * sizeof(float));
    }
    if (n > 0) {
      std::memcpy(to + (n - 1) * to_step * 3, from + (n - 1) * from_step * 3, 3 * sizeof(float));
    }
  } else {
    const std::int64_t channels = kC > 0 ? kC : c;
    for (std::int64_t i = 0; i < n; ++i) {
      const float* source = from + i * from_step * channels;
      float* target = to + i * to_step * channels;
      for (std::int64_t k = 0; k < channels; ++k) target[k] = source[k];
    }
  }
}

// Converts pixels [x0, x1) of row y, both inside the image, to floats: the only code that depends
// on the image's dtype.
using Converter = void (*)(const ImageView& src, float range, std::int64_t y, std::int64_t x0,
                           std::int64_t x1, float* out);

template <typename T>
void convert_run(const ImageView& src, float range, std::int64_t y, std::int64_t x0,
                 std::int64_t x1, float* __restrict out) {
  const std::int64_t channels = src.channels;
  const T* __restrict row = src.at<T>(y, x0, 0);
  const std::int64_t n = x1 - x0;
  if (src.col_stride == channels && (channels == 1 || src.channel_stride == 1)) {
    if (range == 1.0f) {
      for (std::int64_t i = 0; i < n * channels; ++i) out[i] = to_real<float>(row[i]);
    } else {
      for (std::int64_t i = 0; i < n * channels; ++i) out[i] = to_real<float>(row[i]) / range;
    }
    return;
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    const T* __restrict p = row + c * src.channel_stride;
    for (std::int64_t i = 0; i < n; ++i)
      out[i * channels + c] = to_real<float>(p[i * src.col_stride]) / range;
  }
}

Converter converter_of(DType dtype) {
  return dispatch_any(
      dtype, [](auto tag) -> Converter { return convert_run<typename decltype(tag)::type>; });
}

// Loads pixels [x0, x1) of a row; `index` continues it outside the image.
template <int kC, typename Index>
inline void load_row(Converter convert, const ImageView& src, float range, std::int64_t y,
                     std::int64_t x0, std::int64_t x1, Index index, float* out) {
  const std::int64_t c = kC > 0 ? kC : src.channels;
  const std::int64_t left = std::min(std::max<std::int64_t>(x0, 0), x1);
  const std::int64_t right = std::max(std::min(x1, src.width), left);
  convert(src, range, y, left, right, out + (left - x0) * c);
  const auto continue_at = [&](std::int64_t x) {
    const std::int64_t i = index(x, src.width);
    float* to = out + (x - x0) * c;
    if (i < left || i >= right) return convert(src, range, y, i, i + 1, to);
    const float* from = out + (i - x0) * c;
    for (std::int64_t k = 0; k < c; ++k) to[k] = from[k];
  };
  for (std::int64_t x = x0; x < left; ++x) continue_at(x);
  for (std::int64_t x = right; x < x1; ++x) continue_at(x);
}

// kHalf is the number of tap pairs, or 0 where it is known only at run time.
template <int kC, int kHalf>
void downsample_tile(const DownsampleParams& p, Converter convert, std::int64_t y0, std::int64_t y1,
                     std::int64_t x0, std::int64_t x1) {
  const std::int64_t c = kC > 0 ? kC : p.src.channels;
  const int half = kHalf > 0 ? kHalf : p.half;
  const int taps = 2 * half;
  const std::int64_t left = 2 * x0 - (half - 1), right = 2 * x1 + (half - 1);
  const std::int64_t row_floats = (right - left) * c;
  const std::int64_t row_pitch = padded(row_floats);
  const std::int64_t out_floats = (x1 - x0) * c;
  const std::int64_t split_pixels = (right - left) / 2;
  const std::int64_t split_pitch = padded(split_pixels * c);
  const std::int64_t out_width = (p.src.width + 1) / 2;

  // Vectors run past the last pixel of a row; their values there are not used.
  auto scratch =
      Buffer<float>::zeros((taps + 1) * row_pitch + 2 * split_pitch + padded(out_floats));
  float* const ring = scratch.data();
  float* const column = ring + taps * row_pitch;
  float* const split[2] = {column + row_pitch, column + row_pitch + split_pitch};
  float* const result = split[1] + split_pitch;

  const auto slot = [&](std::int64_t y) { return ring + (y % taps + taps) % taps * row_pitch; };
  const auto fill = [&](std::int64_t y) {
    load_row<kC>(convert, p.src, p.range, mirror(y, p.src.height), left, right, mirror, slot(y));
  };
  for (std::int64_t y = 2 * y0 - (half - 1); y < 2 * y0 + (half - 1); ++y) fill(y);

  for (std::int64_t y = y0; y < y1; ++y) {
    fill(2 * y + half - 1);
    fill(2 * y + half);
    const float* low[kHalf > 0 ? kHalf : 65];
    const float* high[kHalf > 0 ? kHalf : 65];
    for (int t = 0; t < half; ++t) {
      low[t] = slot(2 * y - t);
      high[t] = slot(2 * y + 1 + t);
    }
    for (std::int64_t i = 0; i < row_floats; i += kLanes) {
      Vec sum = p.weights[0] * (load(low[0] + i) + load(high[0] + i));
      for (int t = 1; t < half; ++t) sum += p.weights[t] * (load(low[t] + i) + load(high[t] + i));
      store(column + i, sum);
    }
    copy_pixels<kC>(column, 2, split[0], 1, split_pixels, c);
    copy_pixels<kC>(column + c, 2, split[1], 1, split_pixels, c);
    for (std::int64_t i = 0; i < out_floats; i += kLanes) {
      Vec sum = {};
      for (int t = 0; t < half; ++t) {
        const int a = half - 1 - t, b = half + t;  // positions of the pair, from the first tap
        const Vec pair =
            load(split[a & 1] + i + (a >> 1) * c) + load(split[b & 1] + i + (b >> 1) * c);
        sum += p.weights[t] * pair;
      }
      store(result + i, sum);
    }
    std::memcpy(p.out + (y * out_width + x0) * c, result, out_floats * sizeof(float));
  }
}

inline Vec cubic(Vec near_outer, Vec near, Vec far, Vec far_outer) {
  return kCubicNearOuter * near_outer + kCubicNear * near +
         (kCubicFar * far + kCubicFarOuter * far_outer);
}

// Makes output rows [2 y0, 2 y1) and pixels [2 x0, 2 x1), as far as they exist.
template <int kC>
void upsample_tile(const UpsampleParams& p, Converter convert, std::int64_t y0, std::int64_t y1,
                   std::int64_t x0, std::int64_t x1) {
  constexpr std::int64_t kRing = 5, kReach = 2;
  const std::int64_t c = kC > 0 ? kC : p.src.channels;
  const std::int64_t left = x0 - kReach, right = x1 + kReach;
  const std::int64_t row_floats = (right - left) * c, row_pitch = padded(row_floats);
  const std::int64_t half_floats = (x1 - x0) * c, half_pitch = padded(half_floats);
  auto scratch = Buffer<float>::zeros((kRing + 1) * row_pitch + 2 * half_pitch + 4 * c);
  float* const ring = scratch.data();
  float* const column = ring + kRing * row_pitch;
  float* const even = column + row_pitch;
  float* const odd = even + half_pitch;

  const auto slot = [&](std::int64_t y) { return ring + (y + kRing) % kRing * row_pitch; };
  const auto fill = [&](std::int64_t y) {
    load_row<kC>(convert, p.src, 1.0f, clamp(y, p.src.height), left, right, clamp, slot(y));
  };
  for (std::int64_t y = y0 - kReach; y < y0 + kReach; ++y) fill(y);

  for (std::int64_t y = y0; y < y1; ++y) {
    fill(y + kReach);
    for (int parity = 0; parity < 2; ++parity) {
      const std::int64_t out_y = 2 * y + parity;
      if (out_y >= p.height) break;
      const int toward = parity == 0 ? -1 : 1;  // toward the far neighbour
      const float* near_outer = slot(y - toward);
      const float* near = slot(y);
      const float* far = slot(y + toward);
      const float* far_outer = slot(y + 2 * toward);
      for (std::int64_t i = 0; i < row_floats; i += kLanes) {
        store(column + i,
              cubic(load(near_outer + i), load(near + i), load(far + i), load(far_outer + i)));
      }
      const float* centre = column + kReach * c;
      for (std::int64_t i = 0; i < half_floats; i += kLanes) {
        const Vec before = load(centre + i - c), here = load(centre + i),
                  after = load(centre + i + c);
        store(even + i, cubic(after, here, before, load(centre + i - 2 * c)));
        store(odd + i, cubic(before, here, after, load(centre + i + 2 * c)));
      }
      float* out = p.out + (out_y * p.width + 2 * x0) * c;
      const std::int64_t odds = std::min(2 * x1, p.width) / 2 - x0;
      if constexpr (kC == 3) {
        for (std::int64_t i = 0; i + 1 < odds; ++i) {
          std::memcpy(out + 6 * i, even + 3 * i, 4 * sizeof(float));
          std::memcpy(out + 6 * i + 3, odd + 3 * i, 4 * sizeof(float));
        }
        const std::int64_t last = std::max<std::int64_t>(odds - 1, 0);
        for (std::int64_t i = last; i < x1 - x0; ++i) {
          std::memcpy(out + 6 * i, even + 3 * i, 3 * sizeof(float));
          if (i < odds) std::memcpy(out + 6 * i + 3, odd + 3 * i, 3 * sizeof(float));
        }
      } else {
        copy_pixels<kC>(even, 1, out, 2, x1 - x0, c);
        copy_pixels<kC>(odd, 1, out + c, 2, odds, c);
      }
    }
  }
}

// Calls tile(y0, y1, x0, x1) over an output of height x width in fixed tiles.
template <typename Tile>
void for_each_tile(std::int64_t height, std::int64_t width, std::int64_t tile_width, Tile tile) {
  const std::int64_t columns = (width + tile_width - 1) / tile_width;
  const std::int64_t bands = (height + kBandRows - 1) / kBandRows;
  parallel_each(bands * columns, 1, [&](std::int64_t i) {
    const std::int64_t y = i / columns * kBandRows, x = i % columns * tile_width;
    tile(y, std::min(y + kBandRows, height), x, std::min(x + tile_width, width));
  });
}

template <int kC, int kHalf>
void downsample_image(const DownsampleParams& p) {
  const Converter convert = converter_of(p.src.dtype);
  const std::int64_t pixels =
      kRingBytes / static_cast<std::int64_t>(sizeof(float)) / (2 * p.half * p.src.channels);
  for_each_tile((p.src.height + 1) / 2, (p.src.width + 1) / 2,
                std::max<std::int64_t>(pixels / 2, 32),
                [&](std::int64_t y0, std::int64_t y1, std::int64_t x0, std::int64_t x1) {
                  downsample_tile<kC, kHalf>(p, convert, y0, y1, x0, x1);
                });
}

template <int kC>
void upsample_image(const UpsampleParams& p) {
  const Converter convert = converter_of(p.src.dtype);
  const std::int64_t pixels =
      kRingBytes / static_cast<std::int64_t>(sizeof(float)) / (8 * p.src.channels);
  for_each_tile(p.src.height, p.src.width, std::max<std::int64_t>(pixels, 32),
                [&](std::int64_t y0, std::int64_t y1, std::int64_t x0, std::int64_t x1) {
                  upsample_tile<kC>(p, convert, y0, y1, x0, x1);
                });
}

}  // namespace

void downsample_kernel(const DownsampleParams& params) {
  constexpr int kSigmaOne = 5, kBox = 1;  // tap pairs of the two usual filters
  const std::int64_t channels = params.src.channels;
  if (channels == 3 && params.half == kSigmaOne) return downsample_image<3, kSigmaOne>(params);
  if (channels == 1 && params.half == kSigmaOne) return downsample_image<1, kSigmaOne>(params);
  if (channels == 1 && params.half == kBox) return downsample_image<1, kBox>(params);
  downsample_image<0, 0>(params);
}

void upsample_kernel(const UpsampleParams& params) {
  if (params.src.channels == 3) return upsample_image<3>(params);
  if (params.src.channels == 1) return upsample_image<1>(params);
  upsample_image<0>(params);
}

}  // namespace pyharmony::HM_SIMD_NS
