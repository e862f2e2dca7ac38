#include "ops/alpha/paste.h"

#include <cstdlib>
#include <cstring>
#include <optional>

#include "core/checks.h"
#include "core/finite.h"
#include "ops/alpha/alpha.h"

namespace pyharmony {
namespace {

// Returns bytes with the channels and pixels of a row side by side, which the kernel reads several
// times faster: the colours and the alpha of one image are two strided ones. Others are left.
ImageView compact(const ImageView& image, OwnImage& own) {
  const bool is_dense = image.col_stride == image.channels;
  if (is_dense || dtype_size(image.dtype) != 1 ||
      (image.channels > 1 &&
       (image.channels != 3 || image.channel_stride != 1 || std::abs(image.col_stride) < 4))) {
    return image;
  }
  own = OwnImage(image.dtype, image.height, image.width, image.channels);
  const std::int64_t step = image.col_stride, last = image.width - 1;
  for (std::int64_t y = 0; y < image.height; ++y) {
    const char* __restrict from = image.at<char>(y, 0, 0);
    char* __restrict to = own.view().at<char>(y, 0, 0);
    if (image.channels == 1) {
      for (std::int64_t x = 0; x <= last; ++x) to[x] = from[x * step];
      continue;
    }
    // Pixels are moved with a byte more, which the next one overwrites, but not the outermost ones:
    // there may be no byte more.
    std::memcpy(to, from, 3);
    for (std::int64_t x = 1; x < last; ++x) std::memcpy(to + 3 * x, from + step * x, 4);
    std::memcpy(to + 3 * last, from + step * last, 3);
  }
  return own.view();
}

}  // namespace

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
  OwnImage src, mask;
  params.src = compact(params.src, src);
  params.mask = compact(params.mask, mask);
  params.dst = params.out = part_of(out, box);
  HM_SIMD_CALL(alpha_kernel, params);
  return true;
}

}  // namespace pyharmony
