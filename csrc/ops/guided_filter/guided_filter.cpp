#include "ops/guided_filter/guided_filter.h"

#include "core/buffer.h"
#include "core/checks.h"

namespace pyharmony {
namespace {

constexpr std::int64_t kFunctions = 4, kPacked = 8;

void check_floats(const ArrayView& x, const char* name) {
  HM_CHECK(x.dtype == DType::kFloat32, name, ": dtype ", dtype_name(x.dtype), ", expected float32");
}

void check_plane(const ArrayView& x, const char* name, std::int64_t height, std::int64_t width) {
  check_floats(x, name);
  HM_CHECK(x.ndim == 2 && is_contiguous(x), name, ": expected a contiguous array [h, w]");
  check_image_shape(as_image(x, name), name, height, width, 1);
}

void check_fit(const ArrayView& fit, std::int64_t height, std::int64_t width) {
  check_floats(fit, "fit");
  HM_CHECK(fit.ndim == 3 && is_contiguous(fit) && fit.shape[0] == kFunctions &&
               fit.shape[1] == height && fit.shape[2] == width,
           "fit: expected a contiguous array [4, ", height, ", ", width, "]");
}

std::size_t size_of(std::int64_t planes, std::int64_t height, std::int64_t width) {
  return static_cast<std::size_t>(planes * height * width);
}

}  // namespace

void window_mean(const ArrayView& x, int radius, const ArrayView& out) {
  HM_CHECK(x.ndim == 2, "x: ", x.ndim, " dimensions, expected [h, w]");
  check_plane(x, "x", x.shape[0], x.shape[1]);
  check_plane(out, "out", x.shape[0], x.shape[1]);
  HM_CHECK(out.writable, "out: expected a writable array");
  HM_CHECK(radius >= 0, "radius: ", radius, ", expected at least 0");
  const WindowMeanParams p{x.as<float>(), x.shape[0], x.shape[1], radius, out.as<float>()};
  HM_SIMD_CALL(window_mean_kernel, p);
}

void guided_fit(const ArrayView& guide, const ArrayView& target, int radius, float ridge,
                const ArrayView& fit) {
  GuidedFitParams p{};
  p.guide = as_image(guide, "guide");
  p.target = as_image(target, "target");
  check_floats(guide, "guide");
  check_floats(target, "target");
  check_image_shape(p.guide, "guide", p.guide.height, p.guide.width, 3);
  check_image_shape(p.target, "target", p.guide.height, p.guide.width, 1);
  check_fit(fit, p.guide.height, p.guide.width);
  HM_CHECK(fit.writable, "fit: expected a writable array");
  HM_CHECK(radius >= 0, "radius: ", radius, ", expected at least 0");
  Buffer<float> first(size_of(kFunctions, p.guide.height, p.guide.width));
  p.radius = radius;
  p.ridge = ridge;
  p.first = first.data();
  p.fit = fit.as<float>();
  HM_SIMD_CALL(guided_fit_kernel, p);
}

void guided_apply(const ArrayView& picture, const ArrayView& plain, const ArrayView& fit,
                  const ArrayView* share, float contrast, const ArrayView& out) {
  GuidedApplyParams p{};
  p.picture = as_image(picture, "picture");
  p.out = as_image(out, "out");
  HM_CHECK(picture.dtype == DType::kUInt8 && out.dtype == DType::kUInt8 && out.writable,
           "picture, out: expected uint8, and a writable out");
  check_image_shape(p.picture, "picture", p.out.height, p.out.width, 3);
  check_image_shape(p.out, "out", p.out.height, p.out.width, 1);
  HM_CHECK(plain.ndim == 2 && plain.size() > 0, "plain: expected [h, w] with pixels");
  p.height = plain.shape[0];
  p.width = plain.shape[1];
  check_plane(plain, "plain", p.height, p.width);
  check_fit(fit, p.height, p.width);
  if (share != nullptr) {
    check_plane(*share, "share", p.height, p.width);
    p.share = share->as<float>();
  }
  Buffer<float> packed(size_of(kPacked, p.height, p.width));
  p.plain = plain.as<float>();
  p.fit = fit.as<float>();
  p.contrast = contrast;
  p.packed = packed.data();
  HM_SIMD_CALL(guided_apply_kernel, p);
}

}  // namespace pyharmony
