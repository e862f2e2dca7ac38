// The weights of the filters, for processors and devices alike.
#pragma once

#include <vector>

namespace pyharmony {

constexpr double kMaxSmoothSigma = 16.0;
constexpr int kMaxDownsamplePairs = 65;  // tap pairs of the widest Gaussian

// The Gaussian, cut at 4 sigma, convolved with the box of two pixels: weights of the pairs.
std::vector<float> downsample_weights(double sigma);

constexpr int kMeetRadius = 3;

// The Gaussian of one pixel, cut at kMeetRadius, sum one: 2 kMeetRadius + 1 weights.
std::vector<float> meet_weights();

// Keys' cubic at a quarter cell: the nearest cell, the next on the sample's side, and those beyond.
constexpr float kCubicNear = 111.0f / 128, kCubicFar = 29.0f / 128, kCubicNearOuter = -9.0f / 128,
                kCubicFarOuter = -3.0f / 128;

}  // namespace pyharmony
