#include "ops/alpha/alpha.h"

#include "core/checks.h"

namespace pyharmony {

void alpha(const ArrayView& src, const ArrayView& dst, const ArrayView& mask, std::int64_t y0,
           std::int64_t x0, const ArrayView* ramp, const ArrayView& out, bool keep) {
  AlphaParams p{as_image(src, "src"),
                as_image(mask, "mask"),
                {},
                as_image(dst, "dst"),
                as_image(out, "out"),
                y0,
                x0,
                keep};
  HM_CHECK(out.writable, "out: expected a writable array");
  const DType real = out.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  HM_CHECK(src.dtype == out.dtype || src.dtype == real, "src: dtype ", dtype_name(src.dtype),
           ", expected ", dtype_name(out.dtype), " or ", dtype_name(real));
  HM_CHECK(dst.dtype == out.dtype || (keep && dst.dtype == real), "dst: dtype ",
           dtype_name(dst.dtype), ", expected ", dtype_name(out.dtype));
  check_same_image_shape(p.dst, "dst", p.out, "out");
  const std::int64_t height = p.mask.height, width = p.mask.width;
  check_image_shape(p.mask, "mask", height, width, 1);
  check_image_shape(p.src, "src", height, width, p.out.channels);
  HM_CHECK(y0 >= 0 && x0 >= 0 && height <= p.out.height - y0 && width <= p.out.width - x0,
           "mask: ", height, " x ", width, " at (", y0, ", ", x0, ") reaches beyond out");
  if (ramp != nullptr) {
    HM_CHECK(ramp->dtype == DType::kFloat32, "ramp: dtype ", dtype_name(ramp->dtype),
             ", expected float32");
    p.ramp = as_image(*ramp, "ramp");
    check_image_shape(p.ramp, "ramp", height, width, 1);
  }
  HM_SIMD_CALL(alpha_kernel, p);
}

}  // namespace pyharmony
