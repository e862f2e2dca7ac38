// An object placed over an image: the common part of the blends that take one native call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/array.h"
#include "core/box.h"
#include "core/buffer.h"

namespace pyharmony {

// An image of its own memory, contiguous.
class OwnImage {
 public:
  OwnImage() = default;
  OwnImage(DType dtype, std::int64_t height, std::int64_t width, std::int64_t channels)
      : memory_(static_cast<std::size_t>(height * width * channels * dtype_size(dtype))) {
    view_ = dense_image(memory_.data(), dtype, height, width, channels);
  }
  const ImageView& view() const { return view_; }

 private:
  Buffer<char> memory_;
  ImageView view_;
};

// Copies all rows of a large image, with the threads of core/parallel.h.
void copy_rows(const ImageView& from, const ImageView& to);

// One object and its place.
struct PlacedItem {
  ImageView src;              // [h, w, C]; its alpha multiplies the mask
  ImageView mask;             // [h, w]; data is null: all of src
  std::int64_t y = 0, x = 0;  // position in the image of src's first pixel
};

// The limits of `pyharmony.blend`, which Python holds, and whether its warnings are shown.
struct PlaceLimits {
  std::int64_t strip = 0;  // the widest strip at the image's border that counts as inside
  double faint = 0;        // a pixel of the mask below this share of its range is faint
  double most_faint = 0;   // the largest share of faint pixels that needs no warning
  bool warns = true;       // else an item is not tested for flooded colours
};

// The views of a region that solves read.
struct PlacedCrop {
  ImageView source;  // src, extended beyond its border by the differences of the image
  ImageView mask;    // with the strips at the image's border closed
  OwnImage ground;   // a copy of the image, which may be written meanwhile
  OwnImage closed, wider;
};

class Placed {
 public:
  // Returns nothing where Python refuses the item, or warns before it solves. src has image's
  // dtype and channels.
  static std::optional<Placed> of(const ImageView& image, const PlacedItem& item,
                                  const PlaceLimits& limits);

  // The pixels of the image that src covers; src and the mask of them.
  Box place;
  ImageView object, mask;
  Box box;  // that of the mask with the strips that count as inside; not all of the image
  bool soft = false;
  bool soft_alpha = false;  // whether the alpha of src is soft, inside the mask or not

  PlacedCrop crop(const Box& region) const;
  // Whether the image looks as if an object had been erased there, of which Python warns.
  bool looks_erased() const;

 private:
  // Multiplies the mask by the alpha of src, which is in product_.
  void multiply();

  ImageView image_;
  std::int64_t strip_ = 0;
  OwnImage product_;  // the mask, if it is not the caller's
};

// Whether floats may be levels of 0 to 255, of which Python warns.
bool may_be_bytes(const ImageView& image);

}  // namespace pyharmony
