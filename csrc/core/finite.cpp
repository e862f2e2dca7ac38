#include "core/finite.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/parallel.h"

namespace pyharmony {
namespace {

// Sums of x * 0 are NaN where a value is not finite, and they vectorise without branches.
template <typename T>
bool row_is_finite(const ImageView& image, std::int64_t y) {
  const T* row = image.at<T>(y, 0, 0);
  using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;
  constexpr int kLanes = 16;
  Real sum[kLanes] = {};
  auto scan = [&](const T* __restrict in, std::int64_t n, std::int64_t step) {
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (int k = 0; k < kLanes; ++k) sum[k] += static_cast<Real>(in[(i + k) * step]) * Real(0);
    }
    for (; i < n; ++i) sum[0] += static_cast<Real>(in[i * step]) * Real(0);
  };
  if (image.channel_stride == 1 && image.col_stride == image.channels) {
    scan(row, image.width * image.channels, 1);
  } else {
    for (std::int64_t k = 0; k < image.channels; ++k) {
      scan(row + k * image.channel_stride, image.width, image.col_stride);
    }
  }
  for (Real s : sum) {
    if (!(s == 0)) return false;
  }
  return true;
}

bool near_mask(const ImageView& mask, std::int64_t y, std::int64_t x) {
  return dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (std::int64_t i = std::max<std::int64_t>(y - 1, 0); i <= std::min(y + 1, mask.height - 1);
         ++i) {
      for (std::int64_t j = std::max<std::int64_t>(x - 1, 0); j <= std::min(x + 1, mask.width - 1);
           ++j) {
        if (to_real<double>(*mask.at<T>(i, j, 0)) > 0) return true;
      }
    }
    return false;
  });
}

}  // namespace

NonFinite first_nonfinite(const ImageView& image, const ImageView& mask) {
  if (mask.data != nullptr) check_image_shape(mask, "mask", image.height, image.width, 1);
  NonFinite found;
  std::mutex mutex;
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_integral_v<T>) {
      parallel_for(image.height, 32, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t y = begin; y < end; ++y) {
          if (row_is_finite<T>(image, y)) continue;
          for (std::int64_t x = 0; x < image.width; ++x) {
            for (std::int64_t k = 0; k < image.channels; ++k) {
              if (std::isfinite(static_cast<double>(*image.at<T>(y, x, k)))) continue;
              if (mask.data != nullptr && !near_mask(mask, y, x)) break;
              std::lock_guard<std::mutex> lock(mutex);
              if (found.y < 0 || y < found.y) found = {y, x, k};
              return;
            }
          }
        }
      });
    }
  });
  return found;
}

}  // namespace pyharmony
