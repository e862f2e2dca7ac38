// Computes window sums of masks: the planes of all channels are added, then the rows of a window,
// then its columns.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/parallel.h"
#include "ops/partial_conv/partial_conv.h"

namespace pyharmony {
namespace {

constexpr std::int64_t kBandRows = 32;

template <typename T>
const T* row_of(const ArrayView& a, std::int64_t n, std::int64_t c, std::int64_t y) {
  return a.as<const T>() + n * a.stride[0] + c * a.stride[1] + y * a.stride[2];
}

// Calls fn(TypeTag<T>{}) for a mask.
template <typename Fn>
decltype(auto) dispatch_mask(DType dtype, Fn&& fn) {
  if (dtype == DType::kBool) return fn(TypeTag<Bool>{});
  return dispatch_tensor(dtype, "mask", fn);
}

// planes [N, G, H, W] = sums over the channels of a group; a hard mask counts values above zero.
template <typename T, typename Sum>
void sum_channels(const ArrayView& mask, std::int64_t groups, Sum* planes) {
  const std::int64_t h = mask.shape[2], w = mask.shape[3], each = mask.shape[1] / groups;
  parallel_each(mask.shape[0] * groups * h, kBandRows, [&](std::int64_t i) {
    Sum* out = planes + i * w;
    std::fill(out, out + w, Sum(0));
    const std::int64_t n = i / h / groups, g = i / h % groups;
    for (std::int64_t c = g * each; c < (g + 1) * each; ++c) {
      const T* in = row_of<T>(mask, n, c, i % h);
      for (std::int64_t x = 0; x < w; ++x) {
        const double value = to_real<double>(in[x * mask.stride[3]]);
        out[x] += std::is_integral_v<Sum> ? Sum(value > 0) : static_cast<Sum>(value);
      }
    }
  });
}

// Plans one layer on planes [N, G, H, W]; next [N, G, OH, OW] are the new masks.
template <typename Sum, typename Real>
void plan_layer(const Sum* planes, std::int64_t count, std::int64_t height, std::int64_t width,
                std::int64_t window_size, const PartialConvLayer& layer, Sum* next) {
  const ConvWindow& win = layer.window;
  const std::int64_t oh = win.out_size(0, height), ow = win.out_size(1, width);
  auto* cover_bits = layer.cover.as<std::uint8_t>();
  auto* cover = layer.cover.as<Real>();
  parallel_for(count * oh, kBandRows, [&](std::int64_t begin, std::int64_t end) {
    Buffer<Sum> sums(static_cast<std::size_t>(width));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t top = i % oh * win.stride[0] - win.padding[0];
      std::fill(sums.data(), sums.data() + width, Sum(0));
      for (std::int64_t ky = 0; ky < win.kernel[0]; ++ky) {
        const std::int64_t y = top + ky * win.dilation[0];
        if (y < 0 || y >= height) continue;
        const Sum* in = planes + (i / oh * height + y) * width;
        for (std::int64_t x = 0; x < width; ++x) sums.data()[x] += in[x];
      }
      for (std::int64_t ox = 0; ox < ow; ++ox) {
        Sum u = 0;
        for (std::int64_t kx = 0; kx < win.kernel[1]; ++kx) {
          const std::int64_t x = ox * win.stride[1] - win.padding[1] + kx * win.dilation[1];
          if (x >= 0 && x < width) u += sums.data()[x];
        }
        const std::int64_t at = i * ow + ox;
        layer.count.as<Real>()[at] = static_cast<Real>(u);
        // This is S / u min(u, 1), rounded once.
        const double ratio =
            u > 0 ? static_cast<double>(window_size) / std::max(static_cast<double>(u), 1.0) : 0.0;
        layer.ratio.as<float>()[at] = static_cast<float>(ratio);
        if constexpr (std::is_integral_v<Sum>) {
          next[at] = u > 0;
          cover_bits[at] = u > 0;
        } else {
          cover[at] = static_cast<Real>(std::min(u, Sum(1)));
          next[at] = cover[at];
        }
      }
    }
  });
}

// Lists the positions with a ratio in any group, in order; returns how many.
std::int64_t list_rows(const float* ratio, std::int64_t images, std::int64_t groups,
                       std::int64_t size, std::int32_t* rows) {
  std::int64_t found = 0;
  for (std::int64_t n = 0; n < images; ++n) {
    for (std::int64_t p = 0; p < size; ++p) {
      bool any = false;
      for (std::int64_t g = 0; g < groups; ++g) any |= ratio[(n * groups + g) * size + p] > 0;
      rows[found] = static_cast<std::int32_t>(n * size + p);
      found += any;
    }
  }
  return found;
}

template <typename Sum, typename Real>
std::vector<std::int64_t> plan(const ArrayView& mask, std::int64_t groups,
                               const std::vector<PartialConvLayer>& layers) {
  std::int64_t height = mask.shape[2], width = mask.shape[3];
  std::int64_t channels = mask.shape[1] / groups;
  const std::int64_t images = mask.shape[0], count = images * groups;
  Buffer<Sum> planes(static_cast<std::size_t>(count * height * width));
  dispatch_mask(mask.dtype, [&](auto tag) {
    sum_channels<typename decltype(tag)::type>(mask, groups, planes.data());
  });
  std::vector<std::int64_t> totals;
  for (const PartialConvLayer& layer : layers) {
    const std::int64_t oh = layer.window.out_size(0, height), ow = layer.window.out_size(1, width);
    HM_CHECK(layer.count.shape[0] == images && layer.count.shape[1] == groups &&
                 layer.count.shape[2] == oh && layer.count.shape[3] == ow,
             "layers: the windows on [", height, ", ", width, "] are [", oh, ", ", ow, "]");
    HM_CHECK(images * oh * ow <= std::numeric_limits<std::int32_t>::max(),
             "mask: more than 2^31 windows");
    Buffer<Sum> next(static_cast<std::size_t>(count * oh * ow));
    plan_layer<Sum, Real>(planes.data(), count, height, width, channels * layer.window.taps(),
                          layer, next.data());
    totals.push_back(list_rows(layer.ratio.as<float>(), images, groups, oh * ow, layer.rows));
    planes = std::move(next);
    height = oh;
    width = ow;
    channels = 1;
  }
  return totals;
}

}  // namespace

int partial_conv_mask_kind(const ArrayView& mask) {
  HM_CHECK(mask.ndim == 4, "mask: ", mask.ndim, " dimensions, expected [N, C, H, W]");
  bool ones = true, bits = true, range = true;
  dispatch_mask(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (std::int64_t n = 0; n < mask.shape[0]; ++n) {
      for (std::int64_t c = 0; c < mask.shape[1]; ++c) {
        for (std::int64_t y = 0; y < mask.shape[2]; ++y) {
          const T* row = row_of<T>(mask, n, c, y);
          bool row_ones = true, row_bits = true, row_range = true;
          for (std::int64_t x = 0; x < mask.shape[3]; ++x) {
            using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;
            const Real value = to_real<Real>(row[x * mask.stride[3]]);
            row_ones &= value == Real(1);
            row_bits &= (value == Real(0)) | (value == Real(1));
            row_range &= (value >= Real(0)) & (value <= Real(1));
          }
          ones &= row_ones;
          bits &= row_bits;
          range &= row_range;
        }
      }
    }
  });
  return ones ? 0 : bits ? 1 : range ? 2 : 3;
}

std::vector<std::int64_t> partial_conv_plan(const ArrayView& mask, std::int64_t groups, bool soft,
                                            const std::vector<PartialConvLayer>& layers) {
  HM_CHECK(mask.ndim == 4 && groups > 0 && mask.shape[1] % groups == 0,
           "mask: its channels do not divide by groups ", groups);
  for (const PartialConvLayer& layer : layers) {
    for (const ArrayView* a : {&layer.count, &layer.ratio, &layer.cover}) {
      HM_CHECK(a->ndim == 4 && a->size() == layer.count.size(), "layers: maps of one shape");
    }
    HM_CHECK(layer.ratio.dtype == DType::kFloat32, "layers: ratios are float32");
  }
  if (!soft) return plan<std::int32_t, float>(mask, groups, layers);
  if (mask.dtype == DType::kFloat64) return plan<double, double>(mask, groups, layers);
  return plan<double, float>(mask, groups, layers);
}

void partial_conv_index(const std::int32_t* rows, std::int64_t count, std::int32_t* index,
                        std::int64_t positions) {
  std::fill(index, index + positions, -1);
  for (std::int64_t i = 0; i < count; ++i) {
    HM_CHECK(rows[i] >= 0 && rows[i] < positions, "rows: ", rows[i], " is not below ", positions);
    index[rows[i]] = static_cast<std::int32_t>(i);
  }
}

}  // namespace pyharmony
