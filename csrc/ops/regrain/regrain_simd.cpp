#include "ops/regrain/regrain.h"

namespace pyharmony::HM_SIMD_NS {

void regrain_sweep(const RegrainSweep& s, std::int64_t begin, std::int64_t end) {
  for (std::int64_t y = begin; y < end; ++y) {
    const std::int64_t row = (y + 1) * s.pitch + 1;
    const float* __restrict up = s.weight[0] + row;
    const float* __restrict down = s.weight[1] + row;
    const float* __restrict left = s.weight[2] + row;
    const float* __restrict right = s.weight[3] + row;
    for (int c = 0; c < 3; ++c) {
      const float* __restrict x = s.from + c * s.plane + row;
      const float* __restrict wanted = s.wanted + c * s.plane + row;
      float* __restrict to = s.to + c * s.plane + row;
      for (std::int64_t i = 0; i < s.width; ++i) {
        const float sum = wanted[i] + up[i] * x[i - s.pitch] + down[i] * x[i + s.pitch] +
                          left[i] * x[i - 1] + right[i] * x[i + 1];
        to[i] = x[i] + s.damping * (sum - x[i]);
      }
    }
  }
}

}  // namespace pyharmony::HM_SIMD_NS
