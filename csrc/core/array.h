// ArrayView: the only array type in C++. A pointer, a shape and strides; it owns nothing.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/status.h"

namespace pyharmony {

constexpr int kMaxDims = 4;

struct ArrayView {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int ndim = 0;
  std::int64_t shape[kMaxDims] = {};
  std::int64_t stride[kMaxDims] = {};  // in elements; may be negative
  bool writable = false;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }

  std::int64_t size() const {
    std::int64_t n = 1;
    for (int i = 0; i < ndim; ++i) n *= shape[i];
    return n;
  }
};

// An image [H, W, C] or a plane [H, W], viewed as rows, columns and channels.
struct ImageView {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  std::int64_t height = 0, width = 0, channels = 0;
  std::int64_t row_stride = 0, col_stride = 0, channel_stride = 0;  // in elements

  template <typename T>
  T* at(std::int64_t y, std::int64_t x, std::int64_t c) const {
    return static_cast<T*>(data) + y * row_stride + x * col_stride + c * channel_stride;
  }
};

inline ImageView as_image(const ArrayView& a, const char* name) {
  HM_CHECK(a.ndim == 2 || a.ndim == 3, name, ": ", a.ndim,
           " dimensions, expected [H, W] or [H, W, C]");
  ImageView v;
  v.data = a.data;
  v.dtype = a.dtype;
  v.height = a.shape[0];
  v.width = a.shape[1];
  v.channels = a.ndim == 3 ? a.shape[2] : 1;
  v.row_stride = a.stride[0];
  v.col_stride = a.stride[1];
  v.channel_stride = a.ndim == 3 ? a.stride[2] : 1;
  return v;
}

// Returns a view of interleaved pixels whose rows have no gaps.
inline ImageView dense_image(void* data, DType dtype, std::int64_t height, std::int64_t width,
                             std::int64_t channels) {
  return {data, dtype, height, width, channels, width * channels, channels, 1};
}

// The colours of an image, and its alpha: data is null if it has none.
inline ImageView colors_of(ImageView image) {
  if (image.channels == 4) image.channels = 3;
  return image;
}
inline ImageView alpha_of(ImageView image) {
  if (image.channels != 4) return {};
  image.data = static_cast<char*>(image.data) + 3 * image.channel_stride * dtype_size(image.dtype);
  image.channels = 1;
  return image;
}

inline void check_same_image_shape(const ImageView& a, const char* a_name, const ImageView& b,
                                   const char* b_name) {
  HM_CHECK(a.height == b.height && a.width == b.width && a.channels == b.channels, a_name,
           ": shape [", a.height, ", ", a.width, ", ", a.channels, "] differs from ", b_name, " [",
           b.height, ", ", b.width, ", ", b.channels, "]");
}

}  // namespace pyharmony
