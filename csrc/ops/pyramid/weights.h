// The weights of the filters, for the CPU and for devices.
#pragma once

#include <vector>

namespace pyharmony {

constexpr double kMaxSmoothSigma = 16.0;
constexpr int kMaxDownsamplePairs = 65;  // pairs of taps of the widest Gaussian

// Returns weights of pairs: the Gaussian, cut at 4 sigma, convolved with the box of two pixels.
std::vector<float> downsample_weights(double sigma);

constexpr int kMeetRadius = 3;

// Returns 2 kMeetRadius + 1 weights: the Gaussian of one pixel, cut at kMeetRadius, with sum one.
std::vector<float> meet_weights();

// Keys' cubic at a quarter cell: the nearest cell, the next on the sample's side, and those beyond.
constexpr float kCubicNear = 111.0f / 128, kCubicFar = 29.0f / 128, kCubicNearOuter = -9.0f / 128,
                kCubicFarOuter = -3.0f / 128;

}  // namespace pyharmony
