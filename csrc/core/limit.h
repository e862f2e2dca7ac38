// Bounds how far a soft mask lets an image change.
#pragma once

#include "core/array.h"

namespace pyharmony {

// Where mask [H, W] is above 0 and below 1, brings out [H, W, C] to at most mask * range from dst.
// The range is that of out's dtype; for floats the largest of 1, |src|, |dst| and |src - dst|.
// src and dst [H, W, C] may have other image dtypes, in the unit of out. Integers are rounded half
// to even.
void limit_change(const ImageView& src, const ImageView& dst, const ImageView& mask,
                  const ImageView& out);

}  // namespace pyharmony
