// Pastes an object into an image: one call for what `blend.gaussian_poisson` does with arrays.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/placed.h"

namespace pyharmony::gaussian_poisson {

struct PasteOptions {
  double weight = 1, w0 = 1, w1 = 0;  // as in Problem
  double smooth_sigma = 1;
  std::int64_t coarsest = 64;  // the short side of a level that has no coarser one, at most
  // The largest errors of the finest level, and of those below and the membrane, in the unit of the
  // images; Chebyshev's steps reach both under a mask with known pixels.
  double tolerance = 0, coarse_tolerance = 0;
  bool covered = false;  // whether they reach the second one also where no pixel is known
  int max_steps = 0, max_iterations = 0;  // of Chebyshev's iteration, and of the membrane's solve
};

struct Pasted {
  // False: the item needs what this call lacks, such as a warning beforehand, an error's text or
  // another method; nothing was written.
  bool pasted = false;
  double clipped = 0;  // share of the values inside that were clipped
  double flooded = 0;  // levels, see core/suspects.h; 0: not flooded, or not tested
};

// Solves `item` over `image` [H, W, C] from the membrane of the coarsest level to the finest, with
// the background preserved, and writes all of the result to `out`, which has its form and may be
// `image` itself, but shares no other memory with it. src has image's dtype, which is not float64.
Pasted paste(const ImageView& image, const ImageView& out, const PlacedItem& item,
             const PasteOptions& options, const PlaceLimits& limits);

}  // namespace pyharmony::gaussian_poisson
