// Rows of images of any strides with the channels and pixels side by side, and back: views of BGR,
// mirrored ones, the colours of RGBA, planes.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

// Copies an image into another one of the same dtype and shape, which shares no memory with it.
HM_SIMD_DECLARE(void copy_pixels(const ImageView& from, const ImageView& to))

}  // namespace pyharmony

#ifdef HM_SIMD_NS
namespace pyharmony::HM_SIMD_NS {

class PixelRows {
 public:
  // The bytes after the pixels that read() may write in its buffer.
  static constexpr std::int64_t kSlack = 16;

  // with_alpha: whether three colours are read with a fourth channel of the dtype's white.
  explicit PixelRows(const ImageView& image, bool with_alpha = false);

  // Returns where n pixels of row y from column x on lie side by side: in the image or, copied, in
  // `buffer`.
  template <typename T>
  const T* read(std::int64_t y, std::int64_t x, std::int64_t n, T* buffer) const {
    if (dense_) return reinterpret_cast<const T*>(start(y, x));
    gather(y, x, n, reinterpret_cast<unsigned char*>(buffer));
    return buffer;
  }
  // Writes n pixels that lie side by side.
  void write(const void* pixels, std::int64_t y, std::int64_t x, std::int64_t n) const;

  bool dense() const { return dense_; }
  std::int64_t channels() const { return channels_; }
  // Returns a pixel of an image whose pixels are dense.
  template <typename T>
  T* at(std::int64_t y, std::int64_t x) const {
    return image_.at<T>(y, x, 0);
  }

 private:
  // The 16 bytes of `pixels` neighbours: where the first ones begin, from the first pixel on, the
  // place of each in the row of dense pixels and the place of each of those here; 128: nowhere.
  struct Window {
    std::int64_t pixels = 0, first = 0;
    alignas(16) unsigned char gather[16], scatter[16], fill[16] = {};
  };

  unsigned char* start(std::int64_t y, std::int64_t x) const {
    return static_cast<unsigned char*>(image_.data) +
           (y * image_.row_stride + x * image_.col_stride) * size_;
  }
  std::int64_t windows(std::int64_t n) const;
  void gather(std::int64_t y, std::int64_t x, std::int64_t n, unsigned char* out) const;

  ImageView image_;
  std::int64_t size_, channels_;  // bytes of a value; channels of the dense pixels
  bool dense_;
  Window window_;
};

}  // namespace pyharmony::HM_SIMD_NS
#endif
