#include "core/pixel_rows.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/checks.h"
#include "core/dispatch.h"
#include "core/vec.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

#if HM_SIMD_BYTES >= 32
typedef __m128i Bytes;
inline Bytes load_bytes(const unsigned char* p) { return _mm_loadu_si128((const __m128i*)p); }
inline void store_bytes(unsigned char* p, Bytes v) { _mm_storeu_si128((__m128i*)p, v); }
inline Bytes shuffled(Bytes v, Bytes places) { return _mm_shuffle_epi8(v, places); }
constexpr bool kShuffles = true;
#elif defined(__aarch64__)
typedef uint8x16_t Bytes;
inline Bytes load_bytes(const unsigned char* p) { return vld1q_u8(p); }
inline void store_bytes(unsigned char* p, Bytes v) { vst1q_u8(p, v); }
inline Bytes shuffled(Bytes v, Bytes places) { return vqtbl1q_u8(v, places); }
constexpr bool kShuffles = true;
#else
typedef unsigned char Bytes __attribute__((vector_size(16)));
inline Bytes load_bytes(const unsigned char* p) { return Bytes{} + *p; }
inline void store_bytes(unsigned char*, Bytes) {}
inline Bytes shuffled(Bytes v, Bytes) { return v; }
constexpr bool kShuffles = false;  // SSE2 cannot
#endif

constexpr int kWindow = 16;
constexpr unsigned char kNowhere = 128;

// Calls fn(T{}) for an unsigned integer of so many bytes.
template <typename Fn>
void dispatch_size(std::int64_t size, Fn&& fn) {
  switch (size) {
    case 1: return fn(std::uint8_t{});
    case 2: return fn(std::uint16_t{});
    case 4: return fn(std::uint32_t{});
    default: return fn(std::uint64_t{});
  }
}

// Copies n values from one stride to another.
template <typename T>
void copy_values(const T* __restrict from, std::int64_t step, std::int64_t n, T* __restrict to,
                 std::int64_t to_step) {
  if (to_step == 3) {
    for (std::int64_t i = 0; i < n; ++i) to[3 * i] = from[i * step];
  } else if (to_step == 4) {
    for (std::int64_t i = 0; i < n; ++i) to[4 * i] = from[i * step];
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * step];
  }
}

// Copies a plane whose columns lie side by side, in squares whose lines fit in the first cache.
void transpose_plane(const ImageView& from, const ImageView& to) {
  constexpr std::int64_t kSide = 32;
  dispatch_size(dtype_size(from.dtype), [&](auto value) {
    using T = decltype(value);
    for (std::int64_t top = 0; top < from.height; top += kSide) {
      const std::int64_t bottom = std::min(top + kSide, from.height);
      for (std::int64_t left = 0; left < from.width; left += kSide) {
        const std::int64_t n = std::min(kSide, from.width - left);
        for (std::int64_t y = top; y < bottom; ++y) {
          copy_values(from.at<T>(y, left, 0), from.col_stride, n, to.at<T>(y, left, 0),
                      to.col_stride);
        }
      }
    }
  });
}

}  // namespace

PixelRows::PixelRows(const ImageView& image, bool with_alpha)
    : image_(image),
      size_(dtype_size(image.dtype)),
      channels_(with_alpha ? image.channels + 1 : image.channels),
      dense_(!with_alpha && (image.channels == 1 || image.channel_stride == 1) &&
             image.col_stride == image.channels) {
  unsigned char white[8] = {};
  if (with_alpha) {
    dispatch_image(image.dtype, "image", [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T value = static_cast<T>(dtype_range(image.dtype));
      std::memcpy(white, &value, sizeof(value));
    });
    std::memcpy(window_.fill, white, sizeof(white));  // where there is no window
  }
  const std::int64_t step = image.col_stride * size_, plane = image.channel_stride * size_;
  const std::int64_t reach = plane * (image.channels - 1), pixel = channels_ * size_;
  const std::int64_t low = std::min<std::int64_t>(reach, 0);
  const std::int64_t high = std::max<std::int64_t>(reach, 0) + size_;
  std::int64_t& pixels = window_.pixels;
  while (kShuffles && !dense_ && step != 0 && (pixels + 1) * pixel <= kWindow &&
         std::abs(step) * pixels + high - low <= kWindow) {
    ++pixels;
  }
  if (pixels == 0) return;
  // The bytes of a window beyond its pixels are those of the next ones, which follow.
  window_.first = step > 0 ? low : high - kWindow;
  std::fill_n(window_.gather, kWindow, kNowhere);
  std::fill_n(window_.scatter, kWindow, kNowhere);
  std::memset(window_.fill, 0, kWindow);
  for (std::int64_t i = 0; i < pixels; ++i) {
    for (std::int64_t c = 0; c < channels_; ++c) {
      for (std::int64_t b = 0; b < size_; ++b) {
        const std::int64_t to = i * pixel + c * size_ + b;
        const std::int64_t from = i * step + c * plane + b - window_.first;
        if (c == image.channels) {
          window_.fill[to] = white[b];
        } else {
          window_.gather[to] = static_cast<unsigned char>(from);
          window_.scatter[from] = static_cast<unsigned char>(to);
        }
      }
    }
  }
}

// Returns how many windows of n pixels lie within the bytes of these.
std::int64_t PixelRows::windows(std::int64_t n) const {
  if (window_.pixels == 0) return 0;
  const std::int64_t step = std::abs(image_.col_stride) * size_;
  const std::int64_t reach = std::abs(image_.channel_stride) * (image_.channels - 1) * size_;
  const std::int64_t bytes = (n - 1) * step + reach + size_;
  if (bytes < kWindow) return 0;
  return std::min((bytes - kWindow) / (step * window_.pixels) + 1, n / window_.pixels);
}

void PixelRows::gather(std::int64_t y, std::int64_t x, std::int64_t n, unsigned char* out) const {
  const std::int64_t count = windows(n), pixel = channels_ * size_;
  const std::int64_t step = image_.col_stride * size_ * window_.pixels;
  const unsigned char* in = start(y, x) + window_.first;
  if (count > 0) {
    const Bytes places = load_bytes(window_.gather), fill = load_bytes(window_.fill);
    for (std::int64_t i = 0; i < count; ++i) {
      store_bytes(out, shuffled(load_bytes(in), places) | fill);
      in += step;
      out += window_.pixels * pixel;
    }
  }
  const std::int64_t first = count * window_.pixels;
  dispatch_size(size_, [&](auto value) {
    using T = decltype(value);
    T* const to = reinterpret_cast<T*>(out);
    for (std::int64_t c = 0; c < image_.channels; ++c) {
      copy_values(image_.at<T>(y, x + first, c), image_.col_stride, n - first, to + c, channels_);
    }
    if (channels_ == image_.channels) return;
    T white;
    std::memcpy(&white, window_.fill + (window_.pixels > 0 ? pixel - size_ : 0), sizeof(white));
    copy_values(&white, 0, n - first, to + image_.channels, channels_);
  });
}

void PixelRows::write(const void* pixels, std::int64_t y, std::int64_t x, std::int64_t n) const {
  const unsigned char* in = static_cast<const unsigned char*>(pixels);
  if (dense_) {
    std::memcpy(start(y, x), in, static_cast<std::size_t>(n * channels_ * size_));
    return;
  }
  // A window is read up to 16 bytes beyond the pixels that it writes: the last ones are moved
  // alone.
  const std::int64_t pixel = channels_ * size_;
  const std::int64_t count = std::max<std::int64_t>(
      0, std::min(windows(n),
                  (n * pixel - kWindow) / std::max<std::int64_t>(window_.pixels * pixel, 1)));
  const std::int64_t step = image_.col_stride * size_ * window_.pixels;
  unsigned char* out = start(y, x) + window_.first;
  if (count > 0) {
    const Bytes places = load_bytes(window_.scatter);
    Bytes kept;
    unsigned char mask[kWindow];
    for (int i = 0; i < kWindow; ++i) mask[i] = window_.scatter[i] == kNowhere ? 255 : 0;
    kept = load_bytes(mask);
    for (std::int64_t i = 0; i < count; ++i) {
      store_bytes(out, (load_bytes(out) & kept) | shuffled(load_bytes(in), places));
      out += step;
      in += window_.pixels * pixel;
    }
  }
  const std::int64_t first = count * window_.pixels;
  dispatch_size(size_, [&](auto value) {
    using T = decltype(value);
    const T* const from = reinterpret_cast<const T*>(in);
    for (std::int64_t c = 0; c < image_.channels; ++c) {
      copy_values(from + c, channels_, n - first, image_.at<T>(y, x + first, c), image_.col_stride);
    }
  });
}

void copy_pixels(const ImageView& from, const ImageView& to) {
  if (from.channels == 1 && from.row_stride == 1 && from.col_stride != 1) {
    return transpose_plane(from, to);
  }
  constexpr std::int64_t kRun = 4096;  // bytes that are side by side in between
  alignas(64) unsigned char buffer[kRun + PixelRows::kSlack];
  const PixelRows in(from), out(to);
  const std::int64_t run =
      in.dense() ? from.width : kRun / (from.channels * dtype_size(from.dtype));
  HM_CHECK(run > 0, "image: ", from.channels, " channels are too many to be copied");
  for (std::int64_t y = 0; y < from.height; ++y) {
    for (std::int64_t x = 0; x < from.width; x += run) {
      const std::int64_t n = std::min(run, from.width - x);
      out.write(in.read(y, x, n, buffer), y, x, n);
    }
  }
}

}  // namespace pyharmony::HM_SIMD_NS
