// Statistics of the colours inside and outside of a mask, in one pass.
#pragma once

#include <vector>

#include "core/array.h"
#include "core/simd.h"
#include "ops/color_map/stages.h"

namespace pyharmony {

// The statistics of one region: the sum of the weights, mean, covariance as rr, rg, rb, gg, gb, bb,
// and the smallest and largest value where the weight is above zero.
struct ColorMoments {
  static constexpr int kPairs = 6, kDoubles = 1 + 3 + kPairs + 3 + 3;
  double weight = 0;
  double mean[3] = {};
  double scatter[kPairs] = {};  // covariance times weight
  float low[3], high[3];        // infinite where there is no pixel

  ColorMoments();
  // Adds the moments of other pixels (Chan, Golub, LeVeque 1979).
  void merge(const ColorMoments& other);
};

struct ColorStatsParams {
  ImageView image;  // [H, W, 3], any image dtype and strides
  ImageView mask;   // [H, W], any dtype; data null: ones
  const std::vector<Stage>* stages;
  int regions;  // 1: the inside; 2: the outside as well
  std::int64_t bins;
  float low[3], high[3];  // ends of the first and the last bin
  std::int64_t tile_pixels;
  ColorMoments* moments;  // [tiles, regions]
  double* histograms;     // [tiles, regions, 3, bins], zeros
};

HM_SIMD_DECLARE(void color_stats_kernel(const ColorStatsParams& params))

// Fills moments [regions, 16] and histograms [regions, 3, bins], contiguous float64. Region 0 is
// the inside, region 1 the outside. low and high: the bounds of each channel's histogram.
void color_stats(const ArrayView& image, const NamedStages& stages, const ArrayView* mask,
                 const std::vector<double>& low, const std::vector<double>& high,
                 const ArrayView& moments, const ArrayView& histograms);

}  // namespace pyharmony
