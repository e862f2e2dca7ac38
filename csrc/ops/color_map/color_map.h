// A map of colours inside a mask, in one pass over the image.
#pragma once

#include <vector>

#include "core/array.h"
#include "core/simd.h"
#include "ops/color_map/stages.h"

namespace pyharmony {

// out = x + strength * mask * (stages(x) - x) where mask > 0; other pixels of out do not change.
struct ColorMapParams {
  ImageView image;  // [H, W, 3], any image dtype and strides
  ImageView mask;   // [H, W], any dtype; data null: ones
  ImageView out;    // like image; may be the same memory
  float strength;
  const std::vector<Stage>* stages;
};

HM_SIMD_DECLARE(void color_map_kernel(const ColorMapParams& params))

// Maps the colours. image and out [H, W, 3] of one image dtype; mask [H, W], or null for ones.
void color_map(const ArrayView& image, const NamedStages& stages, const ArrayView* mask,
               double strength, const ArrayView& out);

}  // namespace pyharmony
