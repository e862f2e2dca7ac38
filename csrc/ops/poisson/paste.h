// Pastes an object into an image: one call for all that `blend.poisson` does with arrays.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "ops/poisson/scheme.h"

namespace pyharmony::poisson {

// One object and its place.
struct PasteItem {
  ImageView src;              // [h, w, C]
  ImageView mask;             // [h, w]; data is null: all of src
  std::int64_t y = 0, x = 0;  // position in the image of src's first pixel
  Guidance guidance = Guidance::kSource;
  Contour contour = Contour::kHalf;
  double weight = 0;
  double tolerance = 0;  // largest error, in the unit of the images
};

// The limits of `pyharmony.blend`, which Python holds.
struct PasteLimits {
  std::int64_t strip = 0;  // the widest strip at the image's border that counts as inside
  double faint = 0;        // a pixel of the mask below this share of its range is faint
  double most_faint = 0;   // the largest share of faint pixels that needs no warning
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
  double flooded = 0;                  // levels, see core/suspects.h; 0: not flooded
};

// Solves `item` over `image` [H, W, C] and writes all of the result to `out`, which has its form
// and may be `image` itself, but shares no other memory with it. src has image's dtype.
Pasted paste(const ImageView& image, const ImageView& out, const PasteItem& item,
             const PasteLimits& limits);

// Whether floats may be levels of 0 to 255, of which Python warns.
bool may_be_bytes(const ImageView& image);

}  // namespace pyharmony::poisson
