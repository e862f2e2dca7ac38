#include "ops/convolution/points.h"

#include <cmath>

#include "core/checks.h"

namespace pyharmony {
namespace {

constexpr double kEpsilon = 1e-5;  // as in torch

void expect(const ArrayView& a, const char* name, int ndim) {
  HM_CHECK(a.dtype == DType::kFloat32, name, ": dtype ", dtype_name(a.dtype), ", expected float32");
  HM_CHECK(a.ndim == ndim, name, ": ", a.ndim, " dimensions, expected ", ndim);
  HM_CHECK(a.size() == 0 || is_contiguous(a), name, ": expected a contiguous array");
}

// Replaces values by their layer norm.
void norm(std::int64_t count, const float* weight, const float* bias, float* values) {
  double mean = 0, squares = 0;
  for (std::int64_t i = 0; i < count; ++i) mean += values[i];
  mean /= static_cast<double>(count);
  for (std::int64_t i = 0; i < count; ++i) squares += (values[i] - mean) * (values[i] - mean);
  const double scale = 1 / std::sqrt(squares / static_cast<double>(count) + kEpsilon);
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>((values[i] - mean) * scale * weight[i] + bias[i]);
  }
}

}  // namespace

void points(const ArrayView& elements, const ArrayView* added, const ArrayView& parameters,
            std::int64_t heads, const ArrayView& out) {
  expect(elements, "elements", 3);
  expect(parameters, "parameters", 1);
  expect(out, "out", 2);
  HM_CHECK(out.writable, "out: expected a writable array");
  const std::int64_t sets = elements.shape[0], channels = elements.shape[2];
  const std::int64_t pools = heads > 0 ? 4 : 3, width = out.shape[1] / pools;
  HM_CHECK(elements.shape[1] >= 1, "elements: no points, expected at least 1");
  HM_CHECK(heads >= 0 && out.shape[0] == sets && width >= 1 && width * pools == out.shape[1] &&
               (heads == 0 || width % heads == 0),
           "out: shape [", out.shape[0], ", ", out.shape[1], "], expected ", sets, " rows of ",
           pools, " pools, with channels for ", heads, " heads");
  if (added != nullptr) {
    expect(*added, "added", 2);
    HM_CHECK(added->shape[0] == sets && added->shape[1] == width, "added: expected [", sets, ", ",
             width, "]");
  }
  PointsParams params{};
  const float* next = parameters.as<float>();
  const auto take = [&next](std::int64_t count) {
    const float* const at = next;
    next += count;
    return at;
  };
  for (int layer = 0; layer < kPointLayers; ++layer) {
    params.weight[layer] = take((layer == 0 ? channels : width) * width);
    params.bias[layer] = take(width);
  }
  params.scores = take(width * heads);
  params.scores_bias = take(heads);
  const float* const scale = take(pools * width);
  const float* const shift = take(pools * width);
  HM_CHECK(next - parameters.as<float>() == parameters.shape[0],
           "parameters: ", parameters.shape[0], " values, expected ",
           next - parameters.as<float>());
  params.elements = elements.as<float>();
  params.added = added == nullptr ? nullptr : added->as<float>();
  params.pools = out.as<float>();
  params.sets = sets;
  params.points = elements.shape[1];
  params.channels = channels;
  params.width = width;
  params.heads = heads;
  if (sets == 0) return;
  HM_SIMD_CALL(points_kernel, params);
  for (std::int64_t set = 0; set < sets; ++set) {
    for (std::int64_t pool = 0; pool < pools; ++pool) {
      norm(width, scale + pool * width, shift + pool * width,
           params.pools + (set * pools + pool) * width);
    }
  }
}

}  // namespace pyharmony
