// The exact Euclidean distance to the outside of a mask.
#pragma once

#include "core/array.h"

namespace pyharmony {

// Writes, for each pixel with mask > 0, the distance of its centre to the nearest centre of a pixel
// with mask zero, in pixels; 0 where the mask is zero, infinite everywhere if it is zero nowhere.
// mask [H, W] of any dtype and strides, out [H, W] contiguous float32.
void distance(const ArrayView& mask, const ArrayView& out);

}  // namespace pyharmony
