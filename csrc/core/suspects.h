// Signs of an unintended blend: a destination that looks erased, an object that looks flooded.
#pragma once

#include <vector>

#include "core/array.h"
#include "core/box.h"

namespace pyharmony {

// Returns the colour, a value a channel, that dst [H, W, C] has nearly everywhere under the mask
// and hardly anywhere next to it, as if an object had been erased there; nothing if it does not
// look so. mask [h, w] lies over the box `place` of dst, and `box` bounds its pixels above zero.
// Colours are compared on a grid of samples.
std::vector<float> erased_colour(const ImageView& dst, const ImageView& mask, const Box& place,
                                 const Box& box);

// Returns by how many 8-bit levels (the standard deviation) the colours of an object moved
// differently at one side than at another, where that is so much that those around it flood it;
// else 0. src [h, w, C], in the unit of out, and mask [h, w] lie over the box `place` of out
// [H, W, C], the blend. Colours are compared on a grid of samples.
double flooded_levels(const ImageView& src, const ImageView& out, const ImageView& mask,
                      const Box& place, const Box& box);

}  // namespace pyharmony
