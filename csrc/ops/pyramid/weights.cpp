#include "ops/pyramid/weights.h"

#include <cmath>

namespace pyharmony {

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

std::vector<float> meet_weights() {
  std::vector<float> weights(2 * kMeetRadius + 1);
  double total = 0;
  for (int q = -kMeetRadius; q <= kMeetRadius; ++q) total += std::exp(-0.5 * q * q);
  for (int q = -kMeetRadius; q <= kMeetRadius; ++q) {
    weights[q + kMeetRadius] = static_cast<float>(std::exp(-0.5 * q * q) / total);
  }
  return weights;
}

}  // namespace pyharmony
