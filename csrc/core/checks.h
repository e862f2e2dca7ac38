// Checks of arrays that several ops share.
#pragma once

#include <initializer_list>

#include "core/array.h"

namespace pyharmony {

// Returns whether the elements lie side by side, the last axis the fastest.
inline bool is_contiguous(const ArrayView& a) {
  std::int64_t step = 1;
  for (int i = a.ndim - 1; i >= 0; --i) {
    if (a.shape[i] != 1 && a.stride[i] != step) return false;
    step *= a.shape[i];
  }
  return true;
}

// Returns whether [N, C, H, W] has no gaps, with a pixel's channels side by side if channels_last.
inline bool is_dense(const ArrayView& a, bool channels_last) {
  if (!channels_last) return is_contiguous(a);
  std::int64_t step = 1;
  for (int i : {1, 3, 2, 0}) {
    if (a.shape[i] != 1 && a.stride[i] != step) return false;
    step *= a.shape[i];
  }
  return true;
}

inline void check_image_shape(const ImageView& image, const char* name, std::int64_t height,
                              std::int64_t width, std::int64_t channels) {
  HM_CHECK(image.height == height && image.width == width && image.channels == channels, name,
           ": shape [", image.height, ", ", image.width, ", ", image.channels, "], expected [",
           height, ", ", width, ", ", channels, "]");
}

}  // namespace pyharmony
