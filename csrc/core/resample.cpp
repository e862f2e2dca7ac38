#include "core/resample.h"

#include <algorithm>

#include "core/checks.h"
#include "core/parallel.h"

namespace pyharmony {

void resample(const ArrayView& image, int axis, const ArrayView& taps, const ArrayView& weights,
              const ArrayView& out) {
  constexpr std::int64_t kGrain = 1 << 20;  // multiplications
  HM_CHECK(axis == 0 || axis == 1, "axis: ", axis, ", expected 0 or 1");
  HM_CHECK(image.ndim == 3 && out.ndim == 3, "image: expected [h, w, C], like out");
  ResampleParams p{};
  p.image = as_image(image, "image");
  p.out = as_image(out, "out");
  p.across = axis == 1;
  HM_CHECK(taps.dtype == DType::kFloat64 && weights.dtype == DType::kFloat64,
           "taps: expected float64, like weights");
  HM_CHECK(taps.ndim == 2 && weights.ndim == 2 && is_contiguous(taps) && is_contiguous(weights) &&
               std::equal(taps.shape, taps.shape + 2, weights.shape),
           "taps: expected contiguous [count, cells], like weights");
  p.count = taps.shape[0];
  p.cells = taps.shape[1];
  p.taps = taps.as<double>();
  p.weights = weights.as<double>();
  HM_CHECK(out.writable && is_contiguous(out), "out: expected a contiguous, writable array");
  HM_CHECK(out.dtype == DType::kFloat32 || out.dtype == DType::kFloat64, "out: dtype ",
           dtype_name(out.dtype), ", expected float32 or float64");
  const std::int64_t length = axis == 0 ? p.image.height : p.image.width;
  HM_CHECK(p.image.channels >= 1 && p.image.channels <= 4, "image: ", p.image.channels,
           " channels, expected 1 to 4");
  check_image_shape(p.out, "out", axis == 0 ? p.cells : p.image.height,
                    axis == 0 ? p.image.width : p.cells, p.image.channels);
  HM_CHECK(p.count >= 1, "taps: none");
  HM_CHECK(std::all_of(p.taps, p.taps + p.count * p.cells,
                       [&](double tap) { return tap >= 0 && tap < static_cast<double>(length); }),
           "taps: beyond the image");
  const std::int64_t row = p.out.width * p.out.channels * p.count;
  parallel_for(p.out.height, std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, row)),
               [&](std::int64_t begin, std::int64_t end) {
                 ResampleParams part = p;
                 part.y0 = begin;
                 part.y1 = end;
                 HM_SIMD_CALL(resample_kernel, part);
               });
}

}  // namespace pyharmony
