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

}  // namespace pyharmony
