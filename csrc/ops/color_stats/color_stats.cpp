#include <algorithm>
#include <limits>

#include "core/buffer.h"
#include "core/checks.h"
#include "ops/color_stats/color_stats.h"

namespace pyharmony {
namespace {

constexpr std::int64_t kTilePixels = 16384;
// Each tile has its own histograms, so there are fewer tiles where histograms are long.
constexpr std::int64_t kMaxTiles = 64, kMinTiles = 4, kTileBins = 1 << 16;

void check_result(const ArrayView& a, const char* name) {
  HM_CHECK(a.dtype == DType::kFloat64 && a.writable, name, ": expected writable float64");
  HM_CHECK(a.size() == 0 || is_contiguous(a), name, ": expected a contiguous array");
}

}  // namespace

ColorMoments::ColorMoments() {
  std::fill_n(low, 3, std::numeric_limits<float>::infinity());
  std::fill_n(high, 3, -std::numeric_limits<float>::infinity());
}

void ColorMoments::merge(const ColorMoments& other) {
  for (int c = 0; c < 3; ++c) {
    low[c] = std::min(low[c], other.low[c]);
    high[c] = std::max(high[c], other.high[c]);
  }
  if (other.weight == 0) return;
  const double total = weight + other.weight, share = other.weight / total;
  double apart[3];
  for (int c = 0; c < 3; ++c) apart[c] = other.mean[c] - mean[c];
  for (int i = 0, k = 0; i < 3; ++i) {
    for (int j = i; j < 3; ++j, ++k) {
      scatter[k] += other.scatter[k] + weight * share * apart[i] * apart[j];
    }
  }
  for (int c = 0; c < 3; ++c) mean[c] += share * apart[c];
  weight = total;
}

void color_stats(const ArrayView& image, const NamedStages& given, const ArrayView* mask,
                 const std::vector<double>& low, const std::vector<double>& high,
                 const ArrayView& moments, const ArrayView& histograms) {
  const std::vector<Stage> stages = make_stages(given);
  ColorStatsParams params{};
  params.image = as_image(image, "image");
  params.stages = &stages;
  const std::int64_t pixels = params.image.height * params.image.width;
  HM_CHECK(params.image.channels == 3, "image: ", params.image.channels, " channels, expected 3");
  if (mask != nullptr) {
    params.mask = as_image(*mask, "mask");
    check_image_shape(params.mask, "mask", params.image.height, params.image.width, 1);
  }
  check_result(moments, "moments");
  check_result(histograms, "histograms");
  const std::int64_t regions = moments.shape[0];
  HM_CHECK(moments.ndim == 2 && (regions == 1 || regions == 2) &&
               moments.shape[1] == ColorMoments::kDoubles,
           "moments: expected [1 or 2, ", ColorMoments::kDoubles, "]");
  HM_CHECK(histograms.ndim == 3 && histograms.shape[0] == regions && histograms.shape[1] == 3,
           "histograms: expected [", regions, ", 3, bins]");
  HM_CHECK(low.size() == 3 && high.size() == 3, "low and high: expected three numbers each");
  params.regions = static_cast<int>(regions);
  params.bins = histograms.shape[2];
  for (int c = 0; c < 3; ++c) {
    HM_CHECK(params.bins == 0 || low[c] < high[c], "low: ", low[c], ", high: ", high[c]);
    params.low[c] = static_cast<float>(low[c]);
    params.high[c] = static_cast<float>(high[c]);
  }
  const std::int64_t most =
      std::clamp(kTileBins / std::max<std::int64_t>(params.bins, 1), kMinTiles, kMaxTiles);
  params.tile_pixels = std::max(kTilePixels, (pixels + most - 1) / most);
  const std::int64_t tiles = (pixels + params.tile_pixels - 1) / params.tile_pixels;
  std::vector<ColorMoments> parts(tiles * regions);
  auto counts = Buffer<double>::zeros(tiles * histograms.size());
  params.moments = parts.data();
  params.histograms = counts.data();
  HM_SIMD_CALL(color_stats_kernel, params);

  std::fill_n(histograms.as<double>(), histograms.size(), 0.0);
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const double* const from = counts.data() + tile * histograms.size();
    for (std::int64_t i = 0; i < histograms.size(); ++i) histograms.as<double>()[i] += from[i];
  }
  for (std::int64_t region = 0; region < regions; ++region) {
    ColorMoments all;
    for (std::int64_t tile = 0; tile < tiles; ++tile) all.merge(parts[tile * regions + region]);
    double* out = moments.as<double>() + region * ColorMoments::kDoubles;
    *out++ = all.weight;
    out = std::copy_n(all.mean, 3, out);
    for (int k = 0; k < ColorMoments::kPairs; ++k) *out++ = all.scatter[k] / all.weight;
    out = std::copy_n(all.low, 3, out);
    std::copy_n(all.high, 3, out);
  }
}

}  // namespace pyharmony
