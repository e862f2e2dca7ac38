// A tile at a time: the pixels that it reads are copied as floats of four channels, with the border
// replicated; then each pixel of the result is a sum over 6 x 6 of them, all channels at once.
#include "ops/warp/warp.h"

#include <algorithm>
#include <cmath>

#include "core/buffer.h"
#include "core/dispatch.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

typedef float Vec4 __attribute__((vector_size(16)));

constexpr std::int64_t kReach = kWarpTaps / 2;

// The rows or columns of the image that a tile reads.
struct Range {
  double low = 0, high = 0;
  std::int64_t first = 0, count = 0;

  void include(double at) {
    low = std::min(low, at);
    high = std::max(high, at);
  }
  // Positions are held in an image of so many pixels, so that a range is never longer than it.
  void close(std::int64_t size) {
    const double last = static_cast<double>(size - 1);
    low = std::clamp(low, 0.0, last);
    high = std::clamp(high, 0.0, last);
    first = static_cast<std::int64_t>(low) - kReach + 1;
    count = static_cast<std::int64_t>(high) + kReach + 1 - first;
  }
};

template <typename T>
void copy_pixels(const ImageView& image, const Range& rows, const Range& columns, Vec4* to) {
  for (std::int64_t v = 0; v < rows.count; ++v) {
    const std::int64_t y = std::clamp<std::int64_t>(rows.first + v, 0, image.height - 1);
    for (std::int64_t u = 0; u < columns.count; ++u) {
      const std::int64_t x = std::clamp<std::int64_t>(columns.first + u, 0, image.width - 1);
      Vec4 pixel = {};
      for (std::int64_t c = 0; c < image.channels; ++c) {
        pixel[c] = to_real<float>(*image.at<T>(y, x, c));
      }
      *to++ = pixel;
    }
  }
}

// The weights of the taps of a position, and the first of them.
struct Taps {
  std::int64_t first;
  float weight[8];

  Taps(double at, const Range& range, const WarpTable& table) {
    at = std::clamp(at, range.low, range.high);
    const std::int64_t pixel = static_cast<std::int64_t>(at);
    const float phase = static_cast<float>(at - static_cast<double>(pixel)) * kWarpPhases;
    const std::int64_t cell =
        std::min<std::int64_t>(static_cast<std::int64_t>(phase), kWarpPhases - 1);
    const float share = phase - static_cast<float>(cell);
    for (int i = 0; i < 8; ++i) {
      const float low = table.weight[cell][i];
      weight[i] = low + share * (table.weight[cell + 1][i] - low);
    }
    first = pixel - kReach + 1 - range.first;
  }
};

}  // namespace

void warp_tile(const WarpTile& tile) {
  const double* const m = tile.matrix;
  const auto place = [&](std::int64_t x, std::int64_t y, double& u, double& v) {
    const double across = static_cast<double>(x), down = static_cast<double>(y);
    const double w = m[6] * across + m[7] * down + m[8];
    u = (m[0] * across + m[1] * down + m[2]) / w;
    v = (m[3] * across + m[4] * down + m[5]) / w;
  };
  // A homography maps the tile to a quadrilateral: its corners are the extremes.
  double u, v;
  place(tile.x0, tile.y0, u, v);
  Range columns{u, u}, rows{v, v};
  for (const std::int64_t y : {tile.y0, tile.y1 - 1}) {
    for (const std::int64_t x : {tile.x0, tile.x1 - 1}) {
      place(x, y, u, v);
      columns.include(u);
      rows.include(v);
    }
  }
  columns.close(tile.image.width);
  rows.close(tile.image.height);
  Buffer<Vec4> pixels(static_cast<std::size_t>(rows.count * columns.count));
  dispatch_image(tile.image.dtype, "image", [&](auto tag) {
    copy_pixels<typename decltype(tag)::type>(tile.image, rows, columns, pixels.data());
  });
  const std::int64_t channels = tile.image.channels;
  for (std::int64_t y = tile.y0; y < tile.y1; ++y) {
    for (std::int64_t x = tile.x0; x < tile.x1; ++x) {
      place(x, y, u, v);
      const Taps across(u, columns, *tile.table), down(v, rows, *tile.table);
      const Vec4* row = pixels.data() + down.first * columns.count + across.first;
      Vec4 sum = {};
      for (std::int64_t j = 0; j < kWarpTaps; ++j, row += columns.count) {
        Vec4 part = across.weight[0] * row[0];
        for (std::int64_t i = 1; i < kWarpTaps; ++i) part += across.weight[i] * row[i];
        sum += down.weight[j] * part;
      }
      float* const to = tile.out.at<float>(y, x, 0);
      for (std::int64_t c = 0; c < channels; ++c) to[c * tile.out.channel_stride] = sum[c];
    }
  }
}

}  // namespace pyharmony::HM_SIMD_NS
