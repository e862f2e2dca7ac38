// Searches for NaN and infinities in the part of an image that a solve reads.
#pragma once

#include <cstdint>

#include "core/array.h"

namespace pyharmony {

struct NonFinite {
  std::int64_t y = -1, x = -1, channel = -1;  // -1: all finite
};

// Returns the first pixel in reading order that holds NaN or an infinity, among those whose 3 x 3
// neighbourhood has mask > 0 (mask [H, W]), or among all where mask.data is null. Integer images
// are finite and not read.
NonFinite first_nonfinite(const ImageView& image, const ImageView& mask);

}  // namespace pyharmony
