// Hysteresis: weak pixels count where they lead to strong ones.
#include <algorithm>
#include <utility>
#include <vector>

#include "core/interrupt.h"
#include "ops/gaussian_poisson/field.h"

namespace pyharmony::gaussian_poisson {

void edge_map(const ImageView& norm, float low, float high, const ImageView& out) {
  const std::int64_t height = norm.height, width = norm.width;
  for (std::int64_t y = 0; y < height; ++y) {
    check_interrupt();
    for (std::int64_t x = 0; x < width; ++x) *out.at<float>(y, x, 0) = 0;
  }
  std::vector<std::pair<std::int64_t, std::int64_t>> open;
  auto mark = [&](std::int64_t y, std::int64_t x) {
    *out.at<float>(y, x, 0) = 1;
    open.emplace_back(y, x);
  };
  std::int64_t marked = 0;
  for (std::int64_t y = 0; y < height; ++y) {
    check_interrupt();
    for (std::int64_t x = 0; x < width; ++x) {
      if (!(*norm.at<float>(y, x, 0) >= high) || *out.at<float>(y, x, 0) != 0) continue;
      mark(y, x);
      while (!open.empty()) {
        const auto [cy, cx] = open.back();
        open.pop_back();
        if (++marked % 4096 == 0) check_interrupt();
        for (std::int64_t ny = std::max<std::int64_t>(cy - 1, 0); ny < std::min(cy + 2, height);
             ++ny) {
          for (std::int64_t nx = std::max<std::int64_t>(cx - 1, 0); nx < std::min(cx + 2, width);
               ++nx) {
            if (*out.at<float>(ny, nx, 0) == 0 && *norm.at<float>(ny, nx, 0) >= low) mark(ny, nx);
          }
        }
      }
    }
  }
}

}  // namespace pyharmony::gaussian_poisson
