#include "core/limit.h"

#include <algorithm>
#include <cmath>

#include "core/buffer.h"
#include "core/checks.h"
#include "core/dispatch.h"
#include "core/parallel.h"

namespace pyharmony {
namespace {

constexpr std::int64_t kRows = 32;

bool is_soft(double mask) { return mask > 0 && mask < 1; }

// Reads a row of the mask as shares of the dtype's range.
void read_shares(const ImageView& mask, std::int64_t y, double* __restrict out) {
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const double range = dtype_range(mask.dtype);
    const T* __restrict in = mask.at<T>(y, 0, 0);
    const std::int64_t step = mask.col_stride;
    for (std::int64_t x = 0; x < mask.width; ++x) out[x] = to_real<double>(in[x * step]) / range;
  });
}

// Reads a channel of columns [x0, x1) of row y into out[x0..].
template <typename Real>
void read_channel(const ImageView& image, std::int64_t y, std::int64_t channel, std::int64_t x0,
                  std::int64_t x1, Real* __restrict out) {
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* __restrict in = image.at<T>(y, 0, channel);
    const std::int64_t step = image.col_stride;
    for (std::int64_t x = x0; x < x1; ++x) out[x] = to_real<Real>(in[x * step]);
  });
}

// Returns whether a value is farther from d than m * range, for columns [x0, x1).
template <typename Real>
bool any_beyond(const Real* __restrict value, const Real* __restrict d, const Real* __restrict m,
                const Real* __restrict range, std::int64_t x0, std::int64_t x1) {
  int beyond = 0;
  for (std::int64_t x = x0; x < x1; ++x) beyond |= !(std::abs(value[x] - d[x]) <= m[x] * range[x]);
  return beyond != 0;
}

// Limits columns [x0, x1) of row y, where the mask is soft throughout.
template <typename Real>
void limit_run(const ImageView& src, const ImageView& dst, const ImageView& out, std::int64_t y,
               std::int64_t x0, std::int64_t x1, const Real* __restrict m, Real* const (&rows)[3]) {
  Real* __restrict d = rows[0];
  Real* __restrict range = rows[1];
  Real* __restrict value = rows[2];
  const bool whole = out.dtype == DType::kUInt8 || out.dtype == DType::kUInt16;
  const Real white = static_cast<Real>(dtype_range(out.dtype));
  for (std::int64_t k = 0; k < out.channels; ++k) {
    read_channel(dst, y, k, x0, x1, d);
    if (whole) {
      std::fill(range + x0, range + x1, white);
    } else {
      read_channel(src, y, k, x0, x1, range);
      for (std::int64_t x = x0; x < x1; ++x) {
        const Real s = range[x];
        range[x] = std::max({white, std::abs(s), std::abs(d[x]), std::abs(s - d[x])});
      }
    }
    read_channel(out, y, k, x0, x1, value);
    if (!any_beyond(value, d, m, range, x0, x1)) continue;
    dispatch_image(out.dtype, "out", [&](auto tag) {
      using T = typename decltype(tag)::type;
      T* __restrict to = out.at<T>(y, 0, k);
      for (std::int64_t x = x0; x < x1; ++x) {
        const Real reach = m[x] * range[x];
        if (std::abs(value[x] - d[x]) <= reach) continue;  // Rounding takes its time.
        T& result = to[x * out.col_stride];
        result = std::clamp(result, from_real<T>(d[x] - reach), from_real<T>(d[x] + reach));
      }
    });
  }
}

template <typename Real>
void limit_rows(const ImageView& src, const ImageView& dst, const ImageView& mask,
                const ImageView& out, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = out.width;
  Buffer<Real> memory(static_cast<std::size_t>(4 * width));
  Buffer<double> exact(static_cast<std::size_t>(width));  // a float may round to 0 what is above it
  Real* m = memory.data();
  Real* const rows[3] = {m + width, m + 2 * width, m + 3 * width};
  for (std::int64_t y = begin; y < end; ++y) {
    const double* share = exact.data();
    read_shares(mask, y, exact.data());
    for (std::int64_t x = 0; x < width; ++x) {
      if (!is_soft(share[x])) continue;
      const std::int64_t first = x;
      for (; x < width && is_soft(share[x]); ++x) m[x] = static_cast<Real>(share[x]);
      limit_run<Real>(src, dst, out, y, first, x, m, rows);
    }
  }
}

}  // namespace

void limit_change(const ImageView& src, const ImageView& dst, const ImageView& mask,
                  const ImageView& out) {
  check_same_image_shape(src, "src", out, "out");
  check_same_image_shape(dst, "dst", out, "out");
  check_image_shape(mask, "mask", out.height, out.width, 1);
  parallel_for(out.height, kRows, [&](std::int64_t begin, std::int64_t end) {
    if (out.dtype == DType::kFloat64) {
      limit_rows<double>(src, dst, mask, out, begin, end);
    } else {
      limit_rows<float>(src, dst, mask, out, begin, end);
    }
  });
}

}  // namespace pyharmony
