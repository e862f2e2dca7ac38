#include "ops/color_map/color_map.h"

#include <algorithm>

#include "core/checks.h"

namespace pyharmony {
namespace {

void expect_contiguous(const ArrayView& a, const std::string& name) {
  HM_CHECK(a.dtype == DType::kFloat32, name, ": dtype ", dtype_name(a.dtype), ", expected float32");
  HM_CHECK(is_contiguous(a), name, ": expected a contiguous array");
}

Stage make_stage(const std::string& name, const ArrayView& a) {
  expect_contiguous(a, name);
  const float* const values = a.as<float>();
  if (name == "affine") {
    HM_CHECK(a.ndim == 2 && a.shape[0] == 3 && a.shape[1] == 4, name, ": expected [3, 4]");
    return {StageKind::kAffine, values, 12};
  }
  if (name == "log") return {StageKind::kLog, nullptr, 0};
  if (name == "exp") return {StageKind::kExp, nullptr, 0};
  if (name == "curves") {
    HM_CHECK(a.ndim == 2 && (a.shape[0] == 1 || a.shape[0] == 3) && a.shape[1] >= 4, name,
             ": expected [1 or 3, 2 + n], n at least 2");
    return {StageKind::kCurves, values, a.shape[1] - 2, a.shape[0] == 1 ? 0 : a.shape[1]};
  }
  if (name == "lut") {
    HM_CHECK(a.ndim == 4 && a.shape[0] == a.shape[1] && a.shape[0] == a.shape[2] &&
                 a.shape[0] >= 2 && a.shape[0] <= 256 && a.shape[3] == 4,
             name, ": expected [n, n, n, 4], n from 2 to 256");
    return {StageKind::kLut, values, a.shape[0]};
  }
  HM_CHECK(name == "light", "stage: '", name, "'");
  HM_CHECK(a.ndim == 1 && a.shape[0] == 6, name, ": expected [6]");
  return {StageKind::kLight, values, 6};
}

}  // namespace

std::vector<Stage> make_stages(const NamedStages& given) {
  std::vector<Stage> stages;
  stages.reserve(given.size());
  for (const auto& [name, values] : given) stages.push_back(make_stage(name, values));
  return stages;
}

void color_map(const ArrayView& image, const NamedStages& given, const ArrayView* mask,
               double strength, const ArrayView& out) {
  const std::vector<Stage> stages = make_stages(given);
  ColorMapParams params{
      as_image(image, "image"), {}, as_image(out, "out"), static_cast<float>(strength), &stages};
  HM_CHECK(params.image.channels == 3, "image: ", params.image.channels, " channels, expected 3");
  HM_CHECK(out.writable && out.dtype == image.dtype, "out: expected a writable array like image");
  check_same_image_shape(params.out, "out", params.image, "image");
  if (mask != nullptr) {
    params.mask = as_image(*mask, "mask");
    check_image_shape(params.mask, "mask", params.image.height, params.image.width, 1);
  }
  HM_SIMD_CALL(color_map_kernel, params);
}

}  // namespace pyharmony
