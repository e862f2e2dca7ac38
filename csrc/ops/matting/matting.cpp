// CMake turns contraction off for this file: each product is rounded before it is added.
#include "ops/matting/matting.h"

#include <algorithm>
#include <vector>

#include "core/buffer.h"
#include "core/checks.h"

namespace pyharmony {
namespace {

using Floats = Buffer<float>;

constexpr std::int64_t kChunk = 8192;  // products that are summed in pairs before they are added
constexpr std::int64_t kPairs = 128;   // products that are summed in eight sums

std::size_t length(std::int64_t count) { return static_cast<std::size_t>(count); }

void check(const ArrayView& x, const char* name, std::int64_t size) {
  HM_CHECK(x.dtype == DType::kFloat32 && x.size() == size && (size == 0 || is_contiguous(x)), name,
           ": ", x.size(), " values of ", dtype_name(x.dtype), ", expected ", size,
           " of float32, contiguous");
}

void check_band(const ArrayView& band, const ArrayView& out, const char* name) {
  HM_CHECK(band.ndim == 2 && band.dtype == DType::kBool && is_contiguous(band),
           "band: expected a contiguous array [h, w] of bool");
  HM_CHECK(out.writable, name, ": expected a writable array");
}

double paired_sum(const float* a, const float* b, std::int64_t n) {
  if (n > kPairs) {
    const std::int64_t half = n / 2 - n / 2 % 8;
    return paired_sum(a, b, half) + paired_sum(a + half, b + half, n - half);
  }
  double sum = 0;
  std::int64_t i = 0;
  if (n >= 8) {
    double sums[8];
    for (int k = 0; k < 8; ++k) sums[k] = a[k] * b[k];
    for (i = 8; i + 8 <= n; i += 8) {
      for (int k = 0; k < 8; ++k) sums[k] += a[i + k] * b[i + k];
    }
    sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  }
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// Returns the scalar product: products in float32, their sum in float64, both in NumPy's order.
double dot(const Floats& a, const Floats& b) {
  double sum = 0;
  const auto n = static_cast<std::int64_t>(a.size());
  for (std::int64_t i = 0; i < n; i += kChunk) {
    sum += paired_sum(a.data() + i, b.data() + i, std::min(kChunk, n - i));
  }
  return sum;
}

}  // namespace

void matting_rows(const ArrayView& guide, const ArrayView& band, double ridge,
                  const ArrayView& weights) {
  check_band(band, weights, "weights");
  MattingRowsParams p{};
  p.guide = as_image(guide, "guide");
  p.band = band.as<std::uint8_t>();
  p.height = band.shape[0];
  p.width = band.shape[1];
  HM_CHECK(guide.dtype == DType::kFloat32, "guide: dtype ", dtype_name(guide.dtype),
           ", expected float32");
  check_image_shape(p.guide, "guide", p.height, p.width, 3);
  HM_CHECK(ridge > 0, "ridge: ", ridge, ", expected above 0");
  p.ridge = ridge;
  p.count = std::count(p.band, p.band + band.size(), 1);
  check(weights, "weights", kMattingTerms * p.count);
  Buffer<std::int32_t> number(length(band.size()));
  std::int32_t next = 0;
  for (std::size_t i = 0; i < number.size(); ++i) {
    number[i] = p.band[i] ? next++ : static_cast<std::int32_t>(p.count);
  }
  auto sums = Floats::zeros(length(kMattingTerms * (p.count + 1)));
  p.number = number.data();
  p.sums = sums.data();
  p.weights = weights.as<float>();
  HM_SIMD_CALL(matting_rows_kernel, p);
}

void matting_solve(const ArrayView& band, const ArrayView& weights, const ArrayView& pull,
                   const ArrayView& start, int steps, double solved, const ArrayView& out) {
  check_band(band, out, "out");
  MattingParams p{};
  p.band = band.as<std::uint8_t>();
  p.height = band.shape[0];
  p.width = band.shape[1];
  std::vector<std::int64_t> first(length(p.height)), places;
  for (std::int64_t y = 0; y < p.height; ++y) {
    first[length(y)] = static_cast<std::int64_t>(places.size());
    for (std::int64_t i = y * p.width; i < (y + 1) * p.width; ++i) {
      if (p.band[i]) places.push_back(i);
    }
  }
  const std::int64_t size = band.size();
  const std::size_t n = places.size();
  p.count = static_cast<std::int64_t>(n);
  check(weights, "weights", kMattingTerms * p.count);
  check(pull, "pull", p.count);
  check(start, "start", size);
  check(out, "out", size);

  auto framed = Floats::zeros(length(size + 2 * kMattingReach));
  float* const values = framed.data() + kMattingReach;
  Floats product(n), solution(n), scale(n), residual(n), along(n), nearer(n);
  p.first = first.data();
  p.weights = weights.as<float>();
  p.values = values;
  p.out = product.data();
  const float* const diagonal = p.weights + kMattingTerms / 2 * p.count;
  const float* const right = pull.as<float>();

  std::copy_n(start.as<float>(), size, values);
  HM_SIMD_CALL(matting_product_kernel, p);
  for (std::size_t i = 0; i < n; ++i) {
    solution[i] = values[places[i]];
    scale[i] = 1 / diagonal[i];
    residual[i] = right[i] * solution[i] - product[i];
    along[i] = scale[i] * residual[i];
  }
  std::fill_n(values, size, 0.0f);
  double norm = dot(residual, along);
  for (int step = 0; step < steps && norm > 0 && norm >= solved; ++step) {
    for (std::size_t i = 0; i < n; ++i) values[places[i]] = along[i];
    HM_SIMD_CALL(matting_product_kernel, p);
    const float far = static_cast<float>(norm / dot(along, product));
    for (std::size_t i = 0; i < n; ++i) {
      solution[i] += far * along[i];
      residual[i] -= far * product[i];
      nearer[i] = scale[i] * residual[i];
    }
    const double before = norm;
    norm = dot(residual, nearer);
    const float turn = static_cast<float>(norm / before);
    for (std::size_t i = 0; i < n; ++i) along[i] = nearer[i] + turn * along[i];
  }
  float* const result = out.as<float>();
  std::copy_n(start.as<float>(), size, result);
  for (std::size_t i = 0; i < n; ++i) result[places[i]] = solution[i];
}

}  // namespace pyharmony
