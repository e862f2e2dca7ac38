// The properties of a mask that blends need before they begin, in one pass.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

struct MaskFacts {
  // The smallest region with all pixels above zero; ends are excluded, and it is empty at 0 if
  // there are none.
  std::int64_t y0 = 0, y1 = 0, x0 = 0, x1 = 0;
  bool soft = false;         // whether a pixel is above zero and below the dtype's range
  std::int64_t inside = 0;   // pixels above zero
  std::int64_t faint = 0;    // those of them that are below `least` of the range
  std::int64_t largest = 0;  // the largest value of a mask of integers
  bool within = true;        // whether no float is NaN, below 0 or above 1
};

// Reads mask [H, W], of any dtype. If values are not within its range, the counts are unspecified.
HM_SIMD_DECLARE(MaskFacts mask_facts_kernel(const ImageView& mask, double least))

MaskFacts mask_facts(const ArrayView& mask, double least);

}  // namespace pyharmony
