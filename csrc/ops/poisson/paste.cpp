#include "ops/poisson/paste.h"

#include <algorithm>
#include <optional>

#include "core/checks.h"
#include "core/finite.h"
#include "core/limit.h"
#include "core/suspects.h"
#include "ops/poisson/poisson.h"

namespace pyharmony::poisson {

Pasted paste(const ImageView& image, const ImageView& out, const PlacedItem& item,
             const PasteOptions& options, const PlaceLimits& limits) {
  check_same_image_shape(out, "out", image, "dst");
  HM_CHECK(out.dtype == image.dtype, "out: dtype ", dtype_name(out.dtype), ", expected ",
           dtype_name(image.dtype));
  const Pasted left_out;
  const std::optional<Placed> placed = Placed::of(image, item, limits);
  if (!placed) return left_out;
  // There is nothing to solve for outside.
  const Box wide = placed->box.expanded(1, image.height, image.width);
  const PlacedCrop crop = placed->crop(wide);
  for (const ImageView& each : {crop.source, crop.ground.view()}) {
    const bool integers = each.dtype == DType::kUInt8 || each.dtype == DType::kUInt16;
    if (!integers && first_nonfinite(each, crop.mask).y >= 0) return left_out;
  }
  const bool reads_inside =
      options.contour == Contour::kHalf || placed->soft || !placed->place.contains(wide);
  if (reads_inside && placed->looks_erased()) return left_out;

  if (out.data != image.data) copy_rows(image, out);
  SolveParams params;
  params.src = crop.source;
  params.dst = crop.ground.view();
  params.mask = crop.mask;
  params.out = part_of(out, wide);
  params.guidance = options.guidance;
  params.contour = options.contour;
  params.tolerance = options.tolerance;
  params.max_iterations = options.max_iterations;
  const Hierarchy hierarchy(crop.mask, options.weight, ImageView(), 1, 0);
  const Report report = hierarchy.solve(params);
  if (placed->soft) limit_change(params.src, params.dst, params.mask, params.out);

  Pasted result;
  result.pasted = true;
  result.converged = report.converged;
  result.iterations = report.iterations;
  result.estimate = report.estimate;
  result.max_error = report.max_error;
  const std::int64_t values = std::max<std::int64_t>(hierarchy.unknowns() * image.channels, 1);
  result.clipped = static_cast<double>(report.clipped) / static_cast<double>(values);
  if (limits.warns && options.guidance == Guidance::kSource) {
    result.flooded = flooded_levels(placed->object, out, placed->mask, placed->place, placed->box);
  }
  return result;
}

}  // namespace pyharmony::poisson
