// A blur by a matrix with a band of weights. What it leaves out are products of zero, so each sum
// has the bits of the one over all.
#include <algorithm>

#include "core/buffer.h"
#include "core/vec.h"
#include "ops/convolution/samples.h"

namespace pyharmony::HM_SIMD_NS {

void blurred_kernel(const BlurParams& p) {
  const std::int64_t taps = 2 * p.reach + 1, wide = (p.side + kLanes - 1) / kLanes * kLanes;
  // The weights of each distance: weights [taps, wide].
  auto weights = Buffer<float>::zeros(taps * wide);
  for (std::int64_t i = 0; i < p.side; ++i) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const std::int64_t k = i + tap - p.reach;
      if (k >= 0 && k < p.side) weights.data()[tap * wide + i] = p.blur[i * p.side + k];
    }
  }
  // A row between zeros, and a whole register after its last value.
  auto row = Buffer<float>::zeros(wide + 2 * p.reach);
  Buffer<float> sums(wide);
  float* const middle = row.data() + p.reach;
  for (std::int64_t y = 0; y < p.side; ++y) {
    const std::int64_t first = std::max<std::int64_t>(0, y - p.reach);
    const std::int64_t end = std::min(p.side, y + p.reach + 1);
    std::int64_t x = 0;
    for (; x + kLanes <= p.side; x += kLanes) {
      Vec sum{};
      for (std::int64_t k = first; k < end; ++k) {
        sum = fma(splat(p.blur[y * p.side + k]), load_unaligned(p.plane + k * p.side + x), sum);
      }
      store_from_float(middle + x, sum);
    }
    if (x < p.side) {
      const std::int64_t bytes = (p.side - x) * static_cast<std::int64_t>(sizeof(float));
      Vec sum{};
      for (std::int64_t k = first; k < end; ++k) {
        Vec value{};
        std::memcpy(&value, p.plane + k * p.side + x, bytes);
        sum = fma(splat(p.blur[y * p.side + k]), value, sum);
      }
      std::memcpy(middle + x, &sum, bytes);
    }
    for (x = 0; x < p.side; x += kLanes) {
      Vec sum{};
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        sum = fma(load_unaligned(row.data() + x + tap), load(weights.data() + tap * wide + x), sum);
      }
      store(sums.data() + x, sum);
    }
    std::copy_n(sums.data(), p.side, p.out + y * p.side);
  }
}

}  // namespace pyharmony::HM_SIMD_NS
