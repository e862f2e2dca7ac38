// Adam's update of many tensors in one pass over them; see pyharmony/reference/adam.py.
//
// All arrays are float32. A parameter, its gradient and its moments are walked in the order of
// their memory. Results have the same bits for any number of threads.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/array.h"
#include "core/host_device.h"
#include "core/simd.h"

namespace pyharmony {

struct AdamTensor {
  float* parameter;
  const float* gradient;
  float *mean, *square;  // the moving averages of the gradient and of its square
  float* step;           // the number of updates
  std::int64_t size;
};

// Arguments that all tensors of a call share.
struct AdamRule {
  double log_beta1, log_beta2;       // minus infinity for a beta of 0
  float beta1, beta2, rest1, rest2;  // rest = 1 - beta
  double lr, weight_decay;
  const float* lr_at;  // where the learning rate is read; null: it is lr
  const float* skip;   // where this is not 0 nothing changes but the clip; null: it is 0
  float eps, clip;     // parameters end in [-clip, clip]; infinite: as they are
  bool decoupled;      // whether the decay is apart from the gradient
};

struct AdamCall {
  std::vector<AdamTensor> tensors;
  AdamRule rule;
};

// Arrays of one tensor have one size and lie in memory without gaps; steps and lr_at and skip have
// one value each. Optional ones may be null.
AdamCall adam_call(const std::vector<ArrayView>& parameters,
                   const std::vector<ArrayView>& gradients, const std::vector<ArrayView>& means,
                   const std::vector<ArrayView>& squares, const std::vector<ArrayView>& steps,
                   double lr, const ArrayView* lr_at, double beta1, double beta2, double eps,
                   double weight_decay, bool decoupled, const ArrayView* skip, double clip);

// The factors of an update, the step-th one: parameter = keep * parameter
// - size * mean / (root * sqrt(square) + eps).
struct AdamScales {
  float size, root, keep;
};
HM_HOST_DEVICE inline AdamScales adam_scales(const AdamRule& rule, double lr, double step) {
  // 1 - beta^step would lose digits in float, and those of a beta near 1 in double.
  const double size = -lr / std::expm1(step * rule.log_beta1);
  const double root = 1 / std::sqrt(-std::expm1(step * rule.log_beta2));
  const double keep = rule.decoupled ? 1 - lr * rule.weight_decay : 1;
  return {static_cast<float>(size), static_cast<float>(root), static_cast<float>(keep)};
}

// The factor of the parameter in the gradient.
HM_HOST_DEVICE inline float adam_pull(const AdamRule& rule) {
  return rule.decoupled ? 0.0f : static_cast<float>(rule.weight_decay);
}

HM_SIMD_DECLARE(void adam_kernel(const AdamCall& call))

}  // namespace pyharmony
