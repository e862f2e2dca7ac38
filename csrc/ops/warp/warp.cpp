#include "ops/warp/warp.h"

#include <algorithm>
#include <cmath>

#include "core/dispatch.h"
#include "core/parallel.h"

namespace pyharmony {
namespace {

constexpr std::int64_t kTile = 64;  // the side of a tile of the result
constexpr double kPi = 3.14159265358979323846;

// Exact at whole numbers, so that whole shifts copy.
double sinc(double t) {
  if (t == std::round(t)) return t == 0 ? 1 : 0;
  return std::sin(kPi * t) / (kPi * t);
}

WarpTable make_table() {
  WarpTable table = {};
  constexpr std::int64_t reach = kWarpTaps / 2;
  for (std::int64_t phase = 0; phase <= kWarpPhases; ++phase) {
    const double at = static_cast<double>(phase) / kWarpPhases;
    double weights[kWarpTaps], total = 0;
    for (std::int64_t tap = 0; tap < kWarpTaps; ++tap) {
      const double t = at - static_cast<double>(tap - reach + 1);
      weights[tap] = std::abs(t) < reach ? sinc(t) * sinc(t / reach) : 0;
      total += weights[tap];
    }
    for (std::int64_t tap = 0; tap < kWarpTaps; ++tap) {
      table.weight[phase][tap] = static_cast<float>(weights[tap] / total);
    }
  }
  return table;
}

}  // namespace

void warp(const ArrayView& image, const ArrayView& matrix, const ArrayView& out) {
  const ImageView from = as_image(image, "image"), to = as_image(out, "out");
  HM_CHECK(from.channels >= 1 && from.channels <= 4, "image: ", from.channels,
           " channels, expected up to 4");
  HM_CHECK(from.height > 0 && from.width > 0, "image: it is empty");
  HM_CHECK(to.channels == from.channels, "out: ", to.channels, " channels, expected ",
           from.channels, " as image");
  HM_CHECK(out.dtype == DType::kFloat32 && out.writable, "out: expected writable float32");
  HM_CHECK(matrix.ndim == 2 && matrix.shape[0] == 3 && matrix.shape[1] == 3 &&
               matrix.dtype == DType::kFloat64,
           "matrix: expected float64 [3, 3]");
  double m[9];
  for (int i = 0; i < 9; ++i) {
    m[i] = matrix.as<double>()[i / 3 * matrix.stride[0] + i % 3 * matrix.stride[1]];
    HM_CHECK(std::isfinite(m[i]), "matrix: contains NaN or an infinity");
  }
  const double right = static_cast<double>(std::max<std::int64_t>(to.width - 1, 0));
  const double bottom = static_cast<double>(std::max<std::int64_t>(to.height - 1, 0));
  for (const double y : {0.0, bottom}) {
    for (const double x : {0.0, right}) {
      HM_CHECK(m[6] * x + m[7] * y + m[8] > 0, "matrix: its third row is not positive over out");
    }
  }
  dispatch_image(image.dtype, "image", [](auto) {});
  static const WarpTable table = make_table();
  const std::int64_t across = (to.width + kTile - 1) / kTile;
  const std::int64_t down = (to.height + kTile - 1) / kTile;
  parallel_each(across * down, 1, [&](std::int64_t i) {
    const std::int64_t y = i / across * kTile, x = i % across * kTile;
    const WarpTile tile{
        from, to, m, &table, y, std::min(y + kTile, to.height), x, std::min(x + kTile, to.width)};
    HM_SIMD_CALL(warp_tile, tile);
  });
}

}  // namespace pyharmony
