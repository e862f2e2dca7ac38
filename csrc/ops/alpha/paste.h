// Composites an object over an image: one call for what `blend.alpha` does with arrays.
#pragma once

#include "core/array.h"
#include "core/placed.h"

namespace pyharmony {

// Composites `item` over `image` [H, W, C] and writes all of the result to `out`, which has its
// form and may be `image` itself, but shares no other memory with it. src has image's dtype.
// Returns false, and writes nothing, where Python refuses the item or warns before it composites.
bool paste_alpha(const ImageView& image, const ImageView& out, const PlacedItem& item,
                 PlaceLimits limits);

}  // namespace pyharmony
