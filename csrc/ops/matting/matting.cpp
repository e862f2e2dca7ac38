#include "ops/matting/matting.h"

#include <vector>

#include "core/checks.h"

namespace pyharmony {
namespace {

void check(const ArrayView& x, const char* name, std::int64_t size) {
  HM_CHECK(x.dtype == DType::kFloat32 && x.size() == size && (size == 0 || is_contiguous(x)), name,
           ": ", x.size(), " values of ", dtype_name(x.dtype), ", expected ", size,
           " of float32, contiguous");
}

}  // namespace

void matting_product(const ArrayView& band, const ArrayView& weights, const ArrayView& values,
                     const ArrayView& out) {
  HM_CHECK(band.ndim == 2 && band.dtype == DType::kBool && is_contiguous(band),
           "band: expected a contiguous array [h, w] of bool");
  HM_CHECK(out.writable, "out: expected a writable array");
  MattingParams p{};
  p.band = band.as<std::uint8_t>();
  p.height = band.shape[0];
  p.width = band.shape[1];
  std::vector<std::int64_t> first(static_cast<std::size_t>(p.height));
  for (std::int64_t y = 0; y < p.height; ++y) {
    first[static_cast<std::size_t>(y)] = p.count;
    int its = 0;
    for (std::int64_t x = 0; x < p.width; ++x) its += p.band[y * p.width + x];
    p.count += its;
  }
  check(weights, "weights", kMattingTerms * p.count);
  check(values, "values", p.height * p.width + 2 * kMattingReach);
  check(out, "out", p.count);
  p.first = first.data();
  p.weights = weights.as<float>();
  p.values = values.as<float>() + kMattingReach;
  p.out = out.as<float>();
  HM_SIMD_CALL(matting_product_kernel, p);
}

}  // namespace pyharmony
