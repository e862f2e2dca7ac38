// Pastes an object into an image: one call for all that `blend.poisson` does with arrays.
#pragma once

#include "core/array.h"
#include "core/placed.h"
#include "ops/poisson/scheme.h"

namespace pyharmony::poisson {

struct PasteOptions {
  Guidance guidance = Guidance::kSource;
  Contour contour = Contour::kHalf;
  double weight = 0;
  double tolerance = 0;  // largest error, in the unit of the images
  int max_iterations = 30;
};

struct Pasted {
  // False: the item needs what this call lacks, such as a warning beforehand or an error's text;
  // nothing was written.
  bool pasted = false;
  bool converged = true;
  int iterations = 0;
  double estimate = 0, max_error = 0;  // as in Report
  double clipped = 0;                  // share of the values inside that were clipped
  double flooded = 0;                  // levels, see core/suspects.h; 0: not flooded, or not tested
};

// Solves `item` over `image` [H, W, C] and writes all of the result to `out`, which has its form
// and may be `image` itself, but shares no other memory with it. src has image's dtype.
Pasted paste(const ImageView& image, const ImageView& out, const PlacedItem& item,
             const PasteOptions& options, const PlaceLimits& limits);

}  // namespace pyharmony::poisson
