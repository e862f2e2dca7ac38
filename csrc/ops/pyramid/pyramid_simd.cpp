// Compiled once for each instruction set, see core/simd.h.
//
// Both kernels work on tiles whose rows fit the first-level cache: rows are converted to float once
// into a ring, filtered down the columns, and then along the row. There, the pixels of even and of
// odd position lie in two arrays, so that all channels of an interleaved image are filtered by
// plain vectors whatever their number.
#include "core/buffer.h"
#include "core/parallel.h"
#include "ops/pyramid/filters.h"
#include "ops/pyramid/pyramid.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kRingBytes = 32 << 10;
constexpr std::int64_t kBandRows = 64;  // output rows of a tile

// Mirrors any index, half-sample.
inline std::int64_t mirror(std::int64_t i, std::int64_t n) {
  if (i >= 0 && i < n) return i;
  i %= 2 * n;
  if (i < 0) i += 2 * n;
  return i < n ? i : 2 * n - 1 - i;
}

template <typename Real, int kRun>
inline void subtract_run(const DownsampleParams& p, std::int64_t y, std::int64_t x0,
                         std::int64_t x1, float* __restrict out) {
  alignas(64) Real a[kRun], b[kRun];
  read_row(p.src, y, x0, x1, a);
  read_row(p.less, y, x0, x1, b);
  for (std::int64_t i = 0; i < (x1 - x0) * p.src.channels; ++i) {
    out[i] = static_cast<float>(a[i] - b[i]);
  }
}

// Reads pixels [x0, x1) of row y of what is halved, both inside the image.
void read_source(const DownsampleParams& p, std::int64_t y, std::int64_t x0, std::int64_t x1,
                 float* __restrict out) {
  const std::int64_t channels = p.src.channels;
  if (p.less.data == nullptr) {
    read_row(p.src, y, x0, x1, out);
    if (p.range != 1.0f) {
      for (std::int64_t i = 0; i < (x1 - x0) * channels; ++i) out[i] /= p.range;
    }
    return;
  }
  constexpr std::int64_t kRun = 512;  // values
  const bool exact = p.src.dtype == DType::kFloat64 || p.less.dtype == DType::kFloat64;
  for (std::int64_t x = x0; x < x1; x += kRun / channels) {
    const std::int64_t end = std::min(x + kRun / channels, x1);
    float* const to = out + (x - x0) * channels;
    exact ? subtract_run<double, kRun>(p, y, x, end, to)
          : subtract_run<float, kRun>(p, y, x, end, to);
  }
}

// Loads pixels [x0, x1) of a row of `width` pixels by read(x0, x1, out); `index` continues it
// outside the image.
template <int kC, typename Read, typename Index>
inline void load_row(Read read, std::int64_t channels, std::int64_t width, std::int64_t x0,
                     std::int64_t x1, Index index, float* out) {
  const std::int64_t c = kC > 0 ? kC : channels;
  const std::int64_t left = std::min(std::max<std::int64_t>(x0, 0), x1);
  const std::int64_t right = std::max(std::min(x1, width), left);
  read(left, right, out + (left - x0) * c);
  const auto continue_at = [&](std::int64_t x) {
    const std::int64_t i = index(x, width);
    float* to = out + (x - x0) * c;
    if (i < left || i >= right) return read(i, i + 1, to);
    const float* from = out + (i - x0) * c;
    for (std::int64_t k = 0; k < c; ++k) to[k] = from[k];
  };
  for (std::int64_t x = x0; x < left; ++x) continue_at(x);
  for (std::int64_t x = right; x < x1; ++x) continue_at(x);
}

// kHalf is the number of tap pairs, or 0 where it is known only at run time.
template <int kC, int kHalf>
void downsample_tile(const DownsampleParams& p, std::int64_t y0, std::int64_t y1, std::int64_t x0,
                     std::int64_t x1) {
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
    const auto read = [&, row = mirror(y, p.src.height)](std::int64_t x0, std::int64_t x1,
                                                         float* out) {
      read_source(p, row, x0, x1, out);
    };
    load_row<kC>(read, c, p.src.width, left, right, mirror, slot(y));
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
      const auto pair = [&](int t) {
        return load_unaligned(low[t] + i) + load_unaligned(high[t] + i);
      };
      // Which products are fused is fixed here, so that all users get the same bits.
      constexpr bool kKnown = kHalf > 1;
      Vec sum = kKnown ? fma(splat(p.weights[0]), pair(0), p.weights[1] * pair(1))
                       : p.weights[0] * pair(0);
      for (int t = kKnown ? 2 : 1; t < half; ++t) sum = fma(splat(p.weights[t]), pair(t), sum);
      store_unaligned(column + i, sum);
    }
    copy_pixels<kC>(column, 2, split[0], 1, split_pixels, c);
    copy_pixels<kC>(column + c, 2, split[1], 1, split_pixels, c);
    for (std::int64_t i = 0; i < out_floats; i += kLanes) {
      Vec sum = {};
      for (int t = 0; t < half; ++t) {
        const int a = half - 1 - t, b = half + t;  // positions of the pair, from the first tap
        const Vec pair = load_unaligned(split[a & 1] + i + (a >> 1) * c) +
                         load_unaligned(split[b & 1] + i + (b >> 1) * c);
        sum = fma(splat(p.weights[t]), pair, sum);
      }
      store_unaligned(result + i, sum);
    }
    std::memcpy(p.out + (y * out_width + x0) * c, result, out_floats * sizeof(float));
  }
}

// Makes output rows [2 y0, 2 y1) and pixels [2 x0, 2 x1), as far as they exist.
template <int kC>
void upsample_tile(const UpsampleParams& p, std::int64_t y0, std::int64_t y1, std::int64_t x0,
                   std::int64_t x1) {
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
    const auto read = [&, row = clamp(y, p.src.height)](std::int64_t x0, std::int64_t x1,
                                                        float* out) {
      read_row(p.src, row, x0, x1, out);
    };
    load_row<kC>(read, c, p.src.width, left, right, clamp, slot(y));
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
        store_unaligned(column + i, cubic(load_unaligned(near_outer + i), load_unaligned(near + i),
                                          load_unaligned(far + i), load_unaligned(far_outer + i)));
      }
      const float* centre = column + kReach * c;
      for (std::int64_t i = 0; i < half_floats; i += kLanes) {
        const Vec before = load_unaligned(centre + i - c), here = load_unaligned(centre + i),
                  after = load_unaligned(centre + i + c);
        store_unaligned(even + i, cubic(after, here, before, load_unaligned(centre + i - 2 * c)));
        store_unaligned(odd + i, cubic(before, here, after, load_unaligned(centre + i + 2 * c)));
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
  const std::int64_t pixels =
      kRingBytes / static_cast<std::int64_t>(sizeof(float)) / (2 * p.half * p.src.channels);
  for_each_tile((p.src.height + 1) / 2, (p.src.width + 1) / 2,
                std::max<std::int64_t>(pixels / 2, 32),
                [&](std::int64_t y0, std::int64_t y1, std::int64_t x0, std::int64_t x1) {
                  downsample_tile<kC, kHalf>(p, y0, y1, x0, x1);
                });
}

template <int kC>
void upsample_image(const UpsampleParams& p) {
  const std::int64_t pixels =
      kRingBytes / static_cast<std::int64_t>(sizeof(float)) / (8 * p.src.channels);
  for_each_tile(p.src.height, p.src.width, std::max<std::int64_t>(pixels, 32),
                [&](std::int64_t y0, std::int64_t y1, std::int64_t x0, std::int64_t x1) {
                  upsample_tile<kC>(p, y0, y1, x0, x1);
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
