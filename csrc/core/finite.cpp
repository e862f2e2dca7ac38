#include "core/finite.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <vector>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/parallel.h"

namespace pyharmony {
namespace {

// Whether n values are finite. Sums of x * 0 are NaN where one is not, and they vectorise without
// branches; halves, which not every machine converts at once, are tested by their exponents.
template <typename T>
bool are_finite(const T* __restrict in, std::int64_t n, std::int64_t step) {
  if constexpr (std::is_same_v<T, Half>) {
    std::uint16_t bad = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, in + i * step, sizeof(bits));
      bad |= static_cast<std::uint16_t>((bits & 0x7c00) == 0x7c00 ? 1 : 0);
    }
    return bad == 0;
  } else {
    constexpr int kLanes = 16;
    T sum[kLanes] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (int k = 0; k < kLanes; ++k) sum[k] += in[(i + k) * step] * T(0);
    }
    for (; i < n; ++i) sum[0] += in[i * step] * T(0);
    return std::all_of(sum, sum + kLanes, [](T s) { return s == 0; });
  }
}

template <typename T>
bool row_is_finite(const ImageView& image, std::int64_t y) {
  const T* const row = image.at<T>(y, 0, 0);
  const std::int64_t width = image.width, channels = image.channels;
  if (image.channel_stride == 1 && image.col_stride == channels) {
    return are_finite(row, width * channels, 1);
  }
  for (std::int64_t k = 0; k < channels; ++k) {
    if (!are_finite(row + k * image.channel_stride, width, image.col_stride)) return false;
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
