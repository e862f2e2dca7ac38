// Composites an object over an image: one call for what `blend.alpha` does with arrays.
#pragma once

#include "core/array.h"
#include "core/placed.h"

namespace pyharmony {

struct AlphaOptions {
  bool keep_alpha = false;     // whether out has the alpha of dst under the object
  bool decontaminate = false;  // whether the colours of src change where its alpha is soft
  bool owned = false;          // whether out is new memory, which may be written in vain
};

// Composites `item` over `image` [H, W, C] and writes all of the result to `out`, which has its
// form and may be `image` itself, but shares no other memory with it. src has image's dtype; both
// may have alpha. Returns false where Python refuses the item or warns before it composites; out is
// unchanged then, unless it is owned.
bool paste_alpha(const ImageView& image, const ImageView& out, const PlacedItem& item,
                 PlaceLimits limits, const AlphaOptions& options);

}  // namespace pyharmony
