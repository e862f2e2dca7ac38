// Resizing of bytes with the bits of Pillow: `Image.resize` by BILINEAR with a box and a
// reducing_gap of 3, that is, whole blocks are averaged first if an image shrinks a lot. Values are
// rounded to bytes after each axis; since Pillow 13 the columns come first where the height shrinks
// by more than twice as many pixels as the width.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr int kResizeBits = 22;  // of the fraction of a weight

// The weights of the pixels [first, first + count) for each pixel of the result along an axis.
struct ResizeTaps {
  const std::int32_t* first;
  const std::int32_t* count;
  const std::int32_t* weights;  // `size` a pixel
  std::int64_t size;
};

// Blocks of pixels that are averaged first; those at the far sides may be smaller.
struct Blocks {
  std::int64_t across, down;   // the sides of a block, in pixels
  std::int64_t height, width;  // of the image of their means
};

struct ResizeParams {
  ImageView src;  // [h, w, C] uint8
  Blocks blocks;  // of src; its pixels are their means from here on
  ImageView out;  // [H, W, C] uint8
  ResizeTaps x, y;
  bool down_first;        // along the columns, then along the rows
  std::uint8_t* between;  // scratch: [y1 - y0, W, C], or with down_first [H, w, C]
  std::int64_t y0, y1;    // the rows of src that are read
};

HM_SIMD_DECLARE(void resize_kernel(const ResizeParams& params))
HM_SIMD_DECLARE(void block_means_kernel(const ImageView& image, const Blocks& blocks,
                                        const ImageView& out))

// Resizes the part of image between left, top, right and bottom to out. image [h, w, C] and out
// [H, W, C] are uint8 of up to 4 channels.
void resize(const ArrayView& image, const ArrayView& out, double left, double top, double right,
            double bottom);

// Writes the means of blocks of across x down pixels, as `Image.reduce` does: smaller blocks at the
// far sides. image [h, w, C] and out [ceil(h / down), ceil(w / across), C] are uint8 of one or
// three channels.
void block_means(const ArrayView& image, std::int64_t across, std::int64_t down,
                 const ArrayView& out);

}  // namespace pyharmony
