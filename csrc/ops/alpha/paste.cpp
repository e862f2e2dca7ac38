#include "ops/alpha/paste.h"

#include <optional>

#include "core/checks.h"
#include "core/finite.h"
#include "ops/alpha/alpha.h"

namespace pyharmony {

bool paste_alpha(const ImageView& image, const ImageView& out, const PlacedItem& item,
                 PlaceLimits limits) {
  check_same_image_shape(out, "out", image, "dst");
  HM_CHECK(out.dtype == image.dtype, "out: dtype ", dtype_name(out.dtype), ", expected ",
           dtype_name(image.dtype));
  limits.strip = 0;
  const std::optional<Placed> placed = Placed::of(image, item, limits);
  if (!placed) return false;
  const Box &box = placed->box, &place = placed->place;
  AlphaParams params{};
  params.src = part_of(placed->object, box, place.y0, place.x0);
  params.mask = part_of(placed->mask, box, place.y0, place.x0);
  for (const ImageView& each : {params.src, part_of(image, box)}) {
    const bool integers = each.dtype == DType::kUInt8 || each.dtype == DType::kUInt16;
    if (!integers && first_nonfinite(each, ImageView()).y >= 0) return false;
  }
  if (placed->soft && placed->looks_erased()) return false;

  if (out.data != image.data) copy_rows(image, out);
  params.dst = params.out = part_of(out, box);
  HM_SIMD_CALL(alpha_kernel, params);
  return true;
}

}  // namespace pyharmony
