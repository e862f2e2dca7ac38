#include "ops/alpha/paste.h"

#include <cstdlib>
#include <optional>
#include <utility>

#include "core/checks.h"
#include "core/finite.h"
#include "core/mask_facts.h"
#include "core/pixel_rows.h"
#include "ops/alpha/alpha.h"

namespace pyharmony {
namespace {

// Whether a pixel of an alpha is zero, or NaN.
bool has_zero(const ImageView& alpha) {
  return HM_SIMD_CALL(mask_facts_kernel, alpha, 0.0).inside < alpha.height * alpha.width;
}

// Exchanges rows and columns, in whose order the pixels of some images lie in memory.
void transpose(ImageView& image) {
  std::swap(image.height, image.width);
  std::swap(image.row_stride, image.col_stride);
}

bool is_by_columns(const ImageView& image) {
  return std::abs(image.row_stride) < std::abs(image.col_stride);
}

}  // namespace

bool paste_alpha(const ImageView& image, const ImageView& out, const PlacedItem& item,
                 PlaceLimits limits, const AlphaOptions& options) {
  check_same_image_shape(out, "out", image, "dst");
  HM_CHECK(out.dtype == image.dtype, "out: dtype ", dtype_name(out.dtype), ", expected ",
           dtype_name(image.dtype));
  limits.strip = 0;
  const std::optional<Placed> placed = Placed::of(colors_of(image), item, limits);
  if (!placed || (options.decontaminate && placed->soft_alpha)) return false;
  const Box &box = placed->box, &place = placed->place;
  AlphaParams params{};
  params.src = part_of(placed->object, box, place.y0, place.x0);
  params.mask = part_of(placed->mask, box, place.y0, place.x0);
  params.dst = part_of(image, box);
  params.over_alpha = image.channels == 4;
  params.keep_alpha = params.over_alpha && options.keep_alpha;
  params.checks = options.owned;
  if (!options.owned) {
    if (params.over_alpha && has_zero(alpha_of(params.dst))) return false;
    for (const ImageView& each : {params.src, colors_of(params.dst)}) {
      if (first_nonfinite(each, ImageView()).y >= 0) return false;
    }
  }
  if (placed->soft && placed->looks_erased()) return false;

  if (options.owned) {
    params.dst = image;
    params.out = out;
    params.y0 = box.y0;
    params.x0 = box.x0;
  } else {
    if (out.data != image.data) copy_rows(image, out);
    params.dst = params.out = part_of(out, box);
  }
  OwnImage mask;
  if (is_by_columns(params.src) && is_by_columns(params.dst) && is_by_columns(params.out)) {
    for (ImageView* each : {&params.src, &params.mask, &params.dst, &params.out}) transpose(*each);
    std::swap(params.y0, params.x0);
    mask = OwnImage(params.mask.dtype, params.mask.height, params.mask.width, 1);
    HM_SIMD_CALL(copy_pixels, params.mask, mask.view());
    params.mask = mask.view();
  }
  return HM_SIMD_CALL(alpha_kernel, params) || !params.checks;
}

}  // namespace pyharmony
