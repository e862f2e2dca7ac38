#include "ops/gaussian_poisson/paste.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/finite.h"
#include "core/limit.h"
#include "core/pixel_rows.h"
#include "core/suspects.h"
#include "ops/gaussian_poisson/gaussian_poisson.h"
#include "ops/poisson/poisson.h"
#include "ops/pyramid/pyramid.h"

namespace pyharmony::gaussian_poisson {
namespace {

OwnImage floats_like(const ImageView& image) {
  return OwnImage(DType::kFloat32, image.height, image.width, image.channels);
}

// The pixels of a coarser level that a box covers, at least in part.
Box halved(const Box& box, int times = 1) {
  const std::int64_t up = (std::int64_t(1) << times) - 1;
  return {box.y0 >> times, (box.y1 + up) >> times, box.x0 >> times, (box.x1 + up) >> times};
}

Box to_even(const Box& box) { return {box.y0 & ~1, box.y1, box.x0 & ~1, box.x1}; }

// Returns the regions that are solved on each level, the finest first: `regions_of` of
// pyharmony/_images/region.py.
std::vector<Box> regions_of(const Box& box, std::int64_t height, std::int64_t width,
                            std::int64_t coarsest) {
  std::vector<Box> regions = {to_even(box.expanded(2, height, width))};
  while (std::min(regions.back().height(), regions.back().width()) > coarsest) {
    height = (height + 1) / 2;
    width = (width + 1) / 2;
    regions.push_back(to_even(halved(regions.back()).expanded(1, height, width)));
  }
  return regions;
}

// A level over the part of the image under the coarsest region, in the coordinates of its own
// pixels.
struct Level {
  Box region;
  ImageView src, dst, mask;
  ImageView known;  // the share of each pixel where the mask is zero
  OwnImage own_src, own_dst, own_mask, own_known;

  Level coarser(double smooth_sigma) const {
    Level result;
    result.region = halved(region);
    auto halve = [](const ImageView& image, double range, double sigma, OwnImage& own) {
      own =
          OwnImage(DType::kFloat32, (image.height + 1) / 2, (image.width + 1) / 2, image.channels);
      downsample(image, range, sigma, own.view().at<float>(0, 0, 0));
      return own.view();
    };
    result.src = halve(src, 1, smooth_sigma, result.own_src);
    result.dst = halve(dst, 1, smooth_sigma, result.own_dst);
    result.mask = halve(mask, dtype_range(mask.dtype), 0, result.own_mask);
    result.known = halve(known, dtype_range(known.dtype), 0, result.own_known);
    return result;
  }
  ImageView of(const ImageView& image, const Box& part) const {
    return part_of(image, part, region.y0, region.x0);
  }
};

// Calls fn(whether the mask is above zero) for each pixel.
template <typename Fn>
void for_inside(const ImageView& mask, Fn&& fn) {
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (std::int64_t y = 0; y < mask.height; ++y) {
      const T* row = mask.at<T>(y, 0, 0);
      for (std::int64_t x = 0; x < mask.width; ++x) {
        fn(y, x, to_real<float>(row[x * mask.col_stride]) > 0);
      }
    }
  });
}

OwnImage known_of(const ImageView& mask) {
  OwnImage known(DType::kBool, mask.height, mask.width, 1);
  unsigned char* to = static_cast<unsigned char*>(known.view().data);
  for_inside(mask, [&](std::int64_t, std::int64_t, bool inside) { *to++ = !inside; });
  return known;
}

OwnImage in_floats(const ImageView& image) {
  OwnImage result = floats_like(image);
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    float* to = result.view().at<float>(0, 0, 0);
    for (std::int64_t y = 0; y < image.height; ++y) {
      for (std::int64_t x = 0; x < image.width; ++x) {
        for (std::int64_t k = 0; k < image.channels; ++k) {
          *to++ = to_real<float>(*image.at<T>(y, x, k));
        }
      }
    }
  });
  return result;
}

// Returns weights that pull the membrane of a coarse level to dst: `_anchor_weights` of
// pyharmony/blend/_pyramid.py. Empty where nothing is known.
OwnImage anchor_weights(const ImageView& known) {
  OwnImage weights = floats_like(known);
  float* to = weights.view().at<float>(0, 0, 0);
  bool some = false;
  for (std::int64_t y = 0; y < known.height; ++y) {
    for (std::int64_t x = 0; x < known.width; ++x) {
      const float share = std::clamp(*known.at<float>(y, x, 0), 0.0f, 0.999f);
      *to++ = share > 0 ? 2.0f + 4.0f * share / (1.0f - share) : 0.0f;
      some = some || share > 0;
    }
  }
  return some ? std::move(weights) : OwnImage();
}

// Returns the membrane of a level's src over dst; nothing if it does not converge, of which Python
// warns, or if no pixel of it is known.
std::optional<OwnImage> membrane(const Level& level, bool coarse, const PasteOptions& options) {
  const OwnImage src = in_floats(level.src), dst = in_floats(level.dst);
  OwnImage out = in_floats(level.dst);
  const OwnImage weights = coarse ? anchor_weights(level.known) : OwnImage();
  std::int64_t outside = 0;
  for_inside(level.mask, [&](std::int64_t, std::int64_t, bool inside) { outside += !inside; });
  if (outside == 0 && weights.view().data == nullptr) return std::nullopt;
  poisson::SolveParams params;
  params.src = src.view();
  params.dst = params.base = dst.view();
  params.mask = level.mask;
  params.out = out.view();
  params.tolerance = options.coarse_tolerance;
  params.max_iterations = options.max_iterations;
  const poisson::Hierarchy hierarchy(level.mask, 0, weights.view(), 1, 0);
  if (!hierarchy.solve(params).converged) return std::nullopt;
  return out;
}

}  // namespace

Pasted paste(const ImageView& image, const ImageView& out, const PlacedItem& item,
             const PasteOptions& options, const PlaceLimits& limits) {
  check_same_image_shape(out, "out", image, "dst");
  HM_CHECK(out.dtype == image.dtype, "out: dtype ", dtype_name(out.dtype), ", expected ",
           dtype_name(image.dtype));
  const Pasted left_out;
  const std::optional<Placed> placed = Placed::of(image, item, limits);
  if (!placed) return left_out;
  const std::vector<Box> regions =
      regions_of(placed->box, image.height, image.width, options.coarsest);
  const int count = static_cast<int>(regions.size()) - 1;
  const Box& last = regions.back();
  const Box part =
      Box{last.y0 << count, last.y1 << count, last.x0 << count, last.x1 << count}.overlap(
          {0, image.height, 0, image.width});
  const PlacedCrop crop = placed->crop(part);
  const Box& place = placed->place;
  const ImageView source = part_of(placed->object, place.overlap(part), place.y0, place.x0);
  for (const ImageView& each : {source, crop.ground.view()}) {
    if (first_nonfinite(each, ImageView()).y >= 0) return left_out;
  }
  if (placed->looks_erased()) return left_out;

  std::vector<Level> levels(1);
  Level& finest = levels.front();
  finest.region = part;
  finest.src = crop.source;
  finest.dst = crop.ground.view();
  finest.mask = crop.mask;
  finest.own_known = known_of(crop.mask);
  finest.known = finest.own_known.view();
  for (int k = 0; k < count; ++k) levels.push_back(levels.back().coarser(options.smooth_sigma));
  std::optional<OwnImage> colours = membrane(levels.back(), count > 0, options);
  if (!colours) return left_out;
  Box colours_region = levels.back().region;
  std::int64_t inside = 0, clipped = 0;
  for (int k = count; k >= 0; --k) {
    const Level& level = levels[k];
    const Box& region = regions[k];
    ChebyshevParams params;
    Problem& problem = params.problem;
    problem.src = level.of(level.src, region);
    problem.dst = level.of(level.dst, region);
    problem.mask = level.of(level.mask, region);
    OwnImage doubled;
    if (k < count) {
      doubled = floats_like(problem.dst);
      upsample(part_of(colours->view(), halved(region), colours_region.y0, colours_region.x0),
               region.height(), region.width(), doubled.view().at<float>(0, 0, 0));
      meet_known(doubled.view(), problem.dst, level.of(level.known, region));
      problem.base = doubled.view();
    } else {
      problem.base = part_of(colours->view(), region, colours_region.y0, colours_region.x0);
    }
    inside = 0;
    for_inside(problem.mask, [&](std::int64_t, std::int64_t, bool unknown) { inside += unknown; });
    const bool covered = inside == region.height() * region.width();
    if (inside == 0 || (covered && (k == 0 || !options.covered))) return left_out;
    problem.weight = options.weight;
    problem.w0 = options.w0;
    problem.w1 = options.w1;
    problem.preserve_background = !covered;
    OwnImage result(k == 0 ? image.dtype : DType::kFloat32, region.height(), region.width(),
                    image.channels);
    params.out = result.view();
    params.tolerance = k == 0 ? options.tolerance : options.coarse_tolerance;
    params.max_steps = options.max_steps;
    const ChebyshevResult solved = chebyshev(params);
    if (!solved.converged) return left_out;
    clipped = solved.clipped;
    colours = std::move(result);
    colours_region = region;
  }

  if (out.data != image.data) copy_rows(image, out);
  HM_SIMD_CALL(copy_pixels, colours->view(), part_of(out, regions[0]));
  if (placed->soft) limit_change(crop.source, crop.ground.view(), crop.mask, part_of(out, part));
  Pasted pasted;
  pasted.pasted = true;
  pasted.clipped = static_cast<double>(clipped) / static_cast<double>(inside * image.channels);
  if (limits.warns) {
    pasted.flooded = flooded_levels(placed->object, out, placed->mask, place, placed->box);
  }
  return pasted;
}

}  // namespace pyharmony::gaussian_poisson
