// Sums a run of pixels in double, about its first pixel of weight above zero: nothing cancels,
// however far from zero the colours lie.
#include <algorithm>

#include "core/parallel.h"
#include "core/vec.h"
#include "ops/color_stats/color_stats.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr int kWide = HM_SIMD_BYTES / 8;

typedef double VecD __attribute__((vector_size(HM_SIMD_BYTES)));
typedef float VecHalf __attribute__((vector_size(HM_SIMD_BYTES / 2)));

inline VecD load_double(const float* p) {
  VecHalf v;
  std::memcpy(&v, p, sizeof(v));
  return __builtin_convertvector(v, VecD);
}

inline double sum(VecD v) {
  double total = 0;
  for (int i = 0; i < kWide; ++i) total += v[i];
  return total;
}

// Adds the n pixels of a run; the arrays hold a whole number of vectors. A pixel without weight
// becomes the first colour that has one, so that its NaN stays out.
void add(std::int64_t n, Run& run, ColorMoments& moments) {
  std::int64_t first = 0;
  while (first < n && !(run.weight[first] > 0)) ++first;
  if (first == n) return;
  const std::int64_t end = (n + kLanes - 1) / kLanes * kLanes;
  for (std::int64_t i = n; i < end; ++i) run.weight[i] = 0;
  ColorMoments part;
  double shift[3];
  for (int c = 0; c < 3; ++c) {
    const Vec known = splat(run.value[c][first]);
    shift[c] = run.value[c][first];
    Vec low = known, high = known;
    for (std::int64_t i = 0; i < end; i += kLanes) {
      const Vec x = load(run.weight + i) > 0.0f ? load(run.value[c] + i) : known;
      low = minimum(low, x);
      high = maximum(high, x);
      store(run.value[c] + i, x);
    }
    for (int j = 0; j < kLanes; ++j) {
      part.low[c] = std::min(part.low[c], low[j]);
      part.high[c] = std::max(part.high[c], high[j]);
    }
  }
  VecD weight = {}, s0 = {}, s1 = {}, s2 = {}, s00 = {}, s01 = {}, s02 = {}, s11 = {}, s12 = {},
       s22 = {};
  for (std::int64_t i = 0; i < end; i += kWide) {
    const VecD w = load_double(run.weight + i), x0 = load_double(run.value[0] + i) - shift[0],
               x1 = load_double(run.value[1] + i) - shift[1],
               x2 = load_double(run.value[2] + i) - shift[2];
    const VecD w0 = w * x0, w1 = w * x1, w2 = w * x2;
    weight += w;
    s0 += w0;
    s1 += w1;
    s2 += w2;
    s00 += w0 * x0;
    s01 += w0 * x1;
    s02 += w0 * x2;
    s11 += w1 * x1;
    s12 += w1 * x2;
    s22 += w2 * x2;
  }
  part.weight = sum(weight);
  const double sums[3] = {sum(s0), sum(s1), sum(s2)};
  const double squares[ColorMoments::kPairs] = {sum(s00), sum(s01), sum(s02),
                                                sum(s11), sum(s12), sum(s22)};
  for (int i = 0, k = 0; i < 3; ++i) {
    part.mean[i] = shift[i] + sums[i] / part.weight;
    for (int j = i; j < 3; ++j, ++k) part.scatter[k] = squares[k] - sums[i] * sums[j] / part.weight;
  }
  moments.merge(part);
}

// Adds each pixel's weight to the bin of each channel; beyond the ends to the first and the last.
void count(const ColorStatsParams& p, std::int64_t n, const Run& run, double* histogram) {
  std::int32_t bin[kRun];
  const float last = static_cast<float>(p.bins - 1);
  for (int c = 0; c < 3; ++c) {
    const float low = p.low[c], scale = static_cast<float>(p.bins) / (p.high[c] - low);
    for (std::int64_t i = 0; i < n; ++i) {
      float t = (run.value[c][i] - low) * scale;
      t = t > 0 ? t : 0;
      bin[i] = static_cast<std::int32_t>(t < last ? t : last);
    }
    double* const into = histogram + c * p.bins;
    for (std::int64_t i = 0; i < n; ++i) into[bin[i]] += static_cast<double>(run.weight[i]);
  }
}

}  // namespace

void color_stats_kernel(const ColorStatsParams& p) {
  const std::int64_t pixels = p.image.height * p.image.width;
  const std::int64_t tiles = (pixels + p.tile_pixels - 1) / p.tile_pixels;
  parallel_for(tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    Run run, outside;
    for (std::int64_t tile = begin; tile < end; ++tile) {
      ColorMoments* const moments = p.moments + tile * p.regions;
      double* const histogram = p.histograms + tile * p.regions * 3 * p.bins;
      const auto visit = [&](RunPlace at) {
        if (p.regions == 1 && !trim(p.mask, at)) return;
        load_weights(p.mask, at, run);
        load_pixels(p.image, at, run);
        run_stages(*p.stages, at, run);
        if (p.regions == 2) {
          for (std::int64_t i = 0; i < at.n; ++i) outside.weight[i] = 1 - run.weight[i];
          for (int c = 0; c < 3; ++c) std::copy_n(run.value[c], at.n, outside.value[c]);
          if (p.bins > 0) count(p, at.n, outside, histogram + 3 * p.bins);
          add(at.n, outside, moments[1]);
        }
        if (p.bins > 0) count(p, at.n, run, histogram);
        add(at.n, run, moments[0]);
      };
      for_each_run(p.image.height, p.image.width, tile * p.tile_pixels,
                   std::min((tile + 1) * p.tile_pixels, pixels), visit);
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
