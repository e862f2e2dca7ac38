// A box of an image: rows y0..y1 and columns x0..x1, ends excluded.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/array.h"

namespace pyharmony {

struct Box {
  std::int64_t y0 = 0, y1 = 0, x0 = 0, x1 = 0;

  std::int64_t height() const { return y1 - y0; }
  std::int64_t width() const { return x1 - x0; }
  bool empty() const { return y0 >= y1 || x0 >= x1; }

  Box moved(std::int64_t rows, std::int64_t columns) const {
    return {y0 + rows, y1 + rows, x0 + columns, x1 + columns};
  }
  // The box with `pixels` more on every side, as far as an image of this size goes.
  Box expanded(std::int64_t pixels, std::int64_t height, std::int64_t width) const {
    return {std::max<std::int64_t>(y0 - pixels, 0), std::min(y1 + pixels, height),
            std::max<std::int64_t>(x0 - pixels, 0), std::min(x1 + pixels, width)};
  }
  // The pixels of both; without any, the empty box at 0.
  Box overlap(const Box& other) const {
    const Box both = {std::max(y0, other.y0), std::min(y1, other.y1), std::max(x0, other.x0),
                      std::min(x1, other.x1)};
    return both.empty() ? Box{} : both;
  }
  bool contains(const Box& other) const {
    return y0 <= other.y0 && y1 >= other.y1 && x0 <= other.x0 && x1 >= other.x1;
  }
};

// The pixels of a box as a view of an image whose first pixel is at (top, left).
inline ImageView part_of(const ImageView& image, const Box& box, std::int64_t top = 0,
                         std::int64_t left = 0) {
  ImageView part = image;
  part.data = static_cast<char*>(image.data) +
              ((box.y0 - top) * image.row_stride + (box.x0 - left) * image.col_stride) *
                  dtype_size(image.dtype);
  part.height = box.height();
  part.width = box.width();
  return part;
}

}  // namespace pyharmony
