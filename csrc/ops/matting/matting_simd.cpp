// Compiled once for each instruction set, see core/simd.h. CMake turns contraction off for this
// file: each product is rounded before it is added, as NumPy's are.
#include "ops/matting/matting.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "core/vec.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kRows = 32;

// Returns the rows from `number` on, one a lane, for pixels from (y, x) on.
Vec products(const MattingParams& p, std::int64_t y, std::int64_t x, std::int64_t number) {
  constexpr int kSide = 2 * kMattingReach + 1;
  Vec sum = {};
  for (int down = 0; down < kSide; ++down) {
    const std::int64_t v = y + down - kMattingReach;
    if (v < 0 || v >= p.height) continue;  // the weights are zero
    const float* const values = p.values + v * p.width + x - kMattingReach;
    const float* const weights = p.weights + down * kSide * p.count + number;
    for (int across = 0; across < kSide; ++across) {
      sum += load_unaligned(weights + across * p.count) * load_unaligned(values + across);
    }
  }
  return sum;
}

float product(const MattingParams& p, std::int64_t y, std::int64_t x, std::int64_t number) {
  constexpr int kSide = 2 * kMattingReach + 1;
  float sum = 0;
  for (int k = 0; k < kMattingTerms; ++k) {
    const std::int64_t v = y + k / kSide - kMattingReach;
    if (v < 0 || v >= p.height) continue;
    sum += p.weights[k * p.count + number] * p.values[v * p.width + x + k % kSide - kMattingReach];
  }
  return sum;
}

// Does a run of n pixels from (y, x) on; the last vector overlaps the one before it.
void do_run(const MattingParams& p, std::int64_t y, std::int64_t x, std::int64_t n,
            std::int64_t number) {
  float* const out = p.out + number;
  if (n < kLanes) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = product(p, y, x + i, number + i);
    return;
  }
  for (std::int64_t i = 0;; i = std::min(i + kLanes, n - kLanes)) {
    store_from_float(out + i, products(p, y, x + i, number + i));
    if (i == n - kLanes) return;
  }
}

}  // namespace

void matting_product_kernel(const MattingParams& p) {
  parallel_each(p.height, kRows, [&](std::int64_t y) {
    const std::uint8_t* const band = p.band + y * p.width;
    std::int64_t number = p.first[y];
    const auto find = [&](std::int64_t x, int value) {
      const void* const at = std::memchr(band + x, value, static_cast<std::size_t>(p.width - x));
      return at == nullptr ? p.width : static_cast<const std::uint8_t*>(at) - band;
    };
    for (std::int64_t x = find(0, 1); x < p.width;) {
      const std::int64_t end = find(x, 0);
      do_run(p, y, x, end - x, number);
      number += end - x;
      x = find(end, 1);
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
