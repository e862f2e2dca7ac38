// Layers for each point of a set, pooled over the set: part of networks that run without torch.
//
// x = W2 silu(W1 silu(W0 (3 (e - 0.5)) + b0 + added) + b1) + b2 for each element e. The pools of a
// set are the mean, the maximum and the deviation of x and, with heads, means with weights that are
// softmax(Ws x + bs) over the set, each for its share of the channels. A layer norm follows each.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr int kPointLayers = 3;

// Everything is contiguous float32.
struct PointsParams {
  const float* elements;              // [sets, points, channels]
  const float* added;                 // [sets, width]; null: nothing
  const float* weight[kPointLayers];  // [channels, width], then [width, width]
  const float* bias[kPointLayers];    // [width]
  const float* scores;                // [width, heads]
  const float* scores_bias;           // [heads]
  float* pools;                       // [sets, 3, or 4 with heads, width]
  std::int64_t sets, points, channels, width, heads;
};

HM_SIMD_DECLARE(void points_kernel(const PointsParams& params))

// elements [V, P, C], P at least 1; added [V, W] or null; out [V, 3 W], or [V, 4 W] with heads, a
// divisor of W. parameters: the weights [in, out] and biases of the three layers and of the scores,
// then the weights [pools, W] and the biases of the norms, in one array.
void points(const ArrayView& elements, const ArrayView* added, const ArrayView& parameters,
            std::int64_t heads, const ArrayView& out);

}  // namespace pyharmony
