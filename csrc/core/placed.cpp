#include "core/placed.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/mask_facts.h"
#include "core/parallel.h"
#include "core/pixel_rows.h"
#include "core/suspects.h"

namespace pyharmony {
namespace {

// Floats of 0 to 255 have a value above this one; Python warns of them.
constexpr double kLevelsOfBytes = 16;
constexpr std::int64_t kLevelSamples = 64;  // the rows and columns that are looked at

OwnImage copy_of(const ImageView& image) {
  OwnImage copy(image.dtype, image.height, image.width, image.channels);
  HM_SIMD_CALL(copy_pixels, image, copy.view());
  return copy;
}

MaskFacts facts_of(const ImageView& mask, double faint = 0) {
  return HM_SIMD_CALL(mask_facts_kernel, mask, faint);
}

// Whether a mask's values are those of a mask beyond doubt: floats from 0 to 1, and integers whose
// largest value is above half of their range.
bool is_plain(const MaskFacts& facts, DType dtype) {
  if (dtype == DType::kUInt8 || dtype == DType::kUInt16) {
    return static_cast<double>(facts.largest) > dtype_range(dtype) / 2;
  }
  return facts.within;
}

// Gives strips of zeros between the image's border and the mask the value of the pixel where they
// end. mask lies over `region` of an image [height, width].
void close_strips(const ImageView& mask, const Box& region, std::int64_t height, std::int64_t width,
                  std::int64_t widest) {
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    // Lines run along the border, the outermost first.
    auto close = [&](std::int64_t lines, std::int64_t length, auto pixel) {
      lines = std::min(lines, widest + 1);
      for (std::int64_t j = 0; j < length; ++j) {
        std::int64_t wide = 0;
        while (wide < lines && !(to_real<double>(*pixel(wide, j)) > 0)) ++wide;
        if (wide == lines) continue;
        for (std::int64_t i = 0; i < wide; ++i) *pixel(i, j) = *pixel(wide, j);
      }
    };
    const std::int64_t h = mask.height, w = mask.width;
    if (region.y0 == 0) close(h, w, [&](auto i, auto j) { return mask.at<T>(i, j, 0); });
    if (region.y1 == height)
      close(h, w, [&](auto i, auto j) { return mask.at<T>(h - 1 - i, j, 0); });
    if (region.x0 == 0) close(w, h, [&](auto i, auto j) { return mask.at<T>(j, i, 0); });
    if (region.x1 == width)
      close(w, h, [&](auto i, auto j) { return mask.at<T>(j, w - 1 - i, 0); });
  });
}

// Extends src, which lies over `common`, to `region` with the differences of dst, so that an edge
// that leaves src has the gradient of dst: dst plus the difference between the two at the nearest
// pixel of src. dst lies over `region`.
template <typename Real>
OwnImage extended(const ImageView& src, const ImageView& dst, const Box& common,
                  const Box& region) {
  const bool is_double = std::is_same_v<Real, double>;
  OwnImage result(is_double ? DType::kFloat64 : DType::kFloat32, dst.height, dst.width,
                  dst.channels);
  const std::int64_t top = common.y0 - region.y0, left = common.x0 - region.x0;
  dispatch_image(src.dtype, "src", [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (std::int64_t y = 0; y < dst.height; ++y) {
      const std::int64_t sy = std::clamp<std::int64_t>(y - top, 0, src.height - 1);
      for (std::int64_t k = 0; k < dst.channels; ++k) {
        Real* __restrict to = result.view().at<Real>(y, 0, k);
        const T* __restrict from = src.at<T>(sy, 0, k);
        const T* __restrict under = dst.at<T>(y, 0, k);
        const T* __restrict below = dst.at<T>(sy + top, left, k);
        auto at = [&](std::int64_t x, std::int64_t sx) {
          const Real difference =
              to_real<Real>(from[sx * src.col_stride]) - to_real<Real>(below[sx * dst.col_stride]);
          to[x * dst.channels] = difference + to_real<Real>(under[x * dst.col_stride]);
        };
        for (std::int64_t x = 0; x < left; ++x) at(x, 0);
        for (std::int64_t x = left + src.width; x < dst.width; ++x) at(x, src.width - 1);
        if (sy == y - top) {
          for (std::int64_t sx = 0; sx < src.width; ++sx) {
            to[(left + sx) * dst.channels] = to_real<Real>(from[sx * src.col_stride]);
          }
        } else {
          for (std::int64_t sx = 0; sx < src.width; ++sx) at(left + sx, sx);
        }
      }
    }
  });
  return result;
}

// The box of a mask with the strips that count as inside.
Box to_border(const Box& box, std::int64_t height, std::int64_t width, std::int64_t strip) {
  const Box far = box.expanded(strip, height, width);
  return {far.y0 == 0 ? 0 : box.y0, far.y1 == height ? height : box.y1, far.x0 == 0 ? 0 : box.x0,
          far.x1 == width ? width : box.x1};
}

}  // namespace

void copy_rows(const ImageView& from, const ImageView& to) {
  constexpr std::int64_t kRows = 256;
  parallel_for(from.height, kRows, [&](std::int64_t begin, std::int64_t end) {
    const Box rows = {begin, end, 0, from.width};
    HM_SIMD_CALL(copy_pixels, part_of(from, rows), part_of(to, rows));
  });
}

bool may_be_bytes(const ImageView& image) {
  return dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_integral_v<T>) {
      const std::int64_t rows = std::max<std::int64_t>(1, image.height / kLevelSamples);
      const std::int64_t columns = std::max<std::int64_t>(1, image.width / kLevelSamples);
      for (std::int64_t y = 0; y < image.height; y += rows) {
        for (std::int64_t x = 0; x < image.width; x += columns) {
          for (std::int64_t k = 0; k < image.channels; ++k) {
            if (static_cast<double>(*image.at<T>(y, x, k)) > kLevelsOfBytes) return true;
          }
        }
      }
    }
    return false;
  });
}

std::optional<Placed> Placed::of(const ImageView& image, const PlacedItem& item,
                                 const PlaceLimits& limits) {
  const std::int64_t height = image.height, width = image.width;
  const ImageView src = colors_of(item.src);
  HM_CHECK(src.dtype == image.dtype && src.channels == image.channels, "src: dtype ",
           dtype_name(src.dtype), " and ", src.channels, " channels, expected ",
           dtype_name(image.dtype), " and ", image.channels);
  const bool has_mask = item.mask.data != nullptr;
  if (has_mask) check_image_shape(item.mask, "mask", src.height, src.width, 1);

  Placed result;
  result.image_ = image;
  result.strip_ = limits.strip;
  const Box place = result.place =
      Box{0, src.height, 0, src.width}.moved(item.y, item.x).overlap({0, height, 0, width});
  if (place.empty() || may_be_bytes(src)) return std::nullopt;
  result.object = part_of(src, place, item.y, item.x);
  const bool is_whole = place.height() == src.height && place.width() == src.width;
  MaskFacts facts;
  if (has_mask) {
    result.mask = part_of(item.mask, place, item.y, item.x);
    facts = facts_of(result.mask, limits.faint);
    if (!is_plain(is_whole ? facts : facts_of(item.mask), item.mask.dtype)) return std::nullopt;
  }
  if (const ImageView alpha = alpha_of(item.src); alpha.data != nullptr) {
    const ImageView part = part_of(alpha, place, item.y, item.x);
    result.product_ = copy_of(part);
    const MaskFacts opacity = facts_of(result.product_.view(), limits.faint);
    if (!opacity.within || (!is_whole && !facts_of(alpha).within)) return std::nullopt;
    result.soft_alpha = opacity.soft;
    const bool is_opaque = !opacity.soft && opacity.inside == part.height * part.width;
    if (has_mask && !is_opaque) {
      result.multiply();
      facts = facts_of(result.mask, limits.faint);
    } else if (!has_mask) {
      result.mask = result.product_.view();
      facts = opacity;
    }
  }
  Box box = place;
  if (result.mask.data != nullptr) {
    box = Box{facts.y0, facts.y1, facts.x0, facts.x1};
    if (box.empty()) return std::nullopt;
    if (facts.soft &&
        static_cast<double>(facts.faint) > limits.most_faint * static_cast<double>(facts.inside)) {
      return std::nullopt;
    }
    box = box.moved(place.y0, place.x0);
    result.soft = facts.soft;
  } else {
    result.product_ = OwnImage(DType::kBool, place.height(), place.width(), 1);
    result.mask = result.product_.view();
    std::memset(result.mask.data, 1, static_cast<std::size_t>(place.height() * place.width()));
  }
  result.box = box = to_border(box, height, width, limits.strip);
  // A solve may have no known pixel then.
  if (limits.strip > 0 && box.height() == height && box.width() == width) return std::nullopt;
  return result;
}

void Placed::multiply() {
  const OwnImage alpha = std::move(product_);
  product_ = OwnImage(DType::kFloat32, mask.height, mask.width, 1);
  Buffer<float> shares(static_cast<std::size_t>(mask.width));
  const float* __restrict share = shares.data();
  for (std::int64_t y = 0; y < mask.height; ++y) {
    float* __restrict row = product_.view().at<float>(y, 0, 0);
    read_plane(mask, y, 0, mask.width, row);
    read_plane(alpha.view(), y, 0, mask.width, shares.data());
    for (std::int64_t x = 0; x < mask.width; ++x) row[x] *= share[x];
  }
  mask = product_.view();
}

PlacedCrop Placed::crop(const Box& region) const {
  const std::int64_t height = image_.height, width = image_.width;
  PlacedCrop result;
  result.ground = copy_of(part_of(image_, region));
  const bool covers = place.contains(region);
  const bool at_border =
      region.y0 == 0 || region.x0 == 0 || region.y1 == height || region.x1 == width;
  const Box common = place.overlap(region);
  if (covers && !at_border) {
    result.mask = part_of(mask, region, place.y0, place.x0);
  } else {
    result.closed = OwnImage(mask.dtype, region.height(), region.width(), 1);
    result.mask = result.closed.view();
    if (!covers) {
      const std::int64_t bytes = region.height() * region.width() * dtype_size(mask.dtype);
      std::memset(result.mask.data, 0, static_cast<std::size_t>(bytes));
    }
    HM_SIMD_CALL(copy_pixels, part_of(mask, common, place.y0, place.x0),
                 part_of(result.mask, common, region.y0, region.x0));
    close_strips(result.mask, region, height, width, strip_);
  }
  const ImageView part = part_of(object, common, place.y0, place.x0);
  if (covers) {
    result.source = part;
  } else {
    const ImageView& ground = result.ground.view();
    result.wider = image_.dtype == DType::kFloat64 ? extended<double>(part, ground, common, region)
                                                   : extended<float>(part, ground, common, region);
    result.source = result.wider.view();
  }
  return result;
}

bool Placed::looks_erased() const { return !erased_colour(image_, mask, place, box).empty(); }

}  // namespace pyharmony
