#include "core/resize.h"

#include <algorithm>
#include <cstring>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/vec.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kRangeValues = 1 << 18;
constexpr std::int64_t kShort = 257;  // rows of bytes whose sums fit in 16 bits
constexpr std::int32_t kHalf = 1 << (kResizeBits - 1);

std::int64_t rows_of(std::int64_t values) {
  return std::max<std::int64_t>(1, kRangeValues / std::max<std::int64_t>(1, values));
}

bool interleaved(const ImageView& image) {
  return image.col_stride == image.channels && (image.channels == 1 || image.channel_stride == 1);
}

// Writes a row with its channels side by side.
void copy_row(const ImageView& image, std::int64_t y, std::uint8_t* __restrict out) {
  const std::int64_t c = image.channels;
  const std::uint8_t* __restrict const row = image.at<std::uint8_t>(y, 0, 0);
  if (interleaved(image)) {
    std::memcpy(out, row, static_cast<std::size_t>(image.width * c));
    return;
  }
  for (std::int64_t i = 0; i < image.width; ++i) {
    for (std::int64_t k = 0; k < c; ++k) {
      out[i * c + k] = row[i * image.col_stride + k * image.channel_stride];
    }
  }
}

// Returns a row with its channels side by side, in the image itself or in memory for it.
const std::uint8_t* row_of(const ImageView& image, std::int64_t y, std::uint8_t* memory) {
  if (interleaved(image)) return image.at<std::uint8_t>(y, 0, 0);
  copy_row(image, y, memory);
  return memory;
}

template <typename Sum>
void add_row(const std::uint8_t* __restrict row, std::int64_t n, Sum* __restrict sums) {
  for (std::int64_t i = 0; i < n; ++i) sums[i] = static_cast<Sum>(sums[i] + row[i]);
}

// Returns sum / count, rounded as Pillow does.
inline std::uint8_t mean(std::uint32_t sum, std::uint32_t count) {
  return static_cast<std::uint8_t>((sum + count / 2) * ((1u << 24) / count) >> 24);
}

// Writes the means of two rows and of each pixel and the next one.
template <int kC>
void mean_of_four(const std::uint8_t* __restrict a, const std::uint8_t* __restrict b,
                  std::int64_t n, std::uint8_t* __restrict out) {
  for (std::int64_t i = 0; i < n; ++i) {
    // Two means of two, rounded up, are at most one too large: in bytes, twice as many a register.
    const std::uint8_t left = static_cast<std::uint8_t>((a[i] + b[i] + 1) >> 1);
    const std::uint8_t right = static_cast<std::uint8_t>((a[i + kC] + b[i + kC] + 1) >> 1);
    const int uneven = ((a[i] ^ b[i]) | (a[i + kC] ^ b[i + kC])) & (left ^ right) & 1;
    out[i] = static_cast<std::uint8_t>(((left + right + 1) >> 1) - uneven);
  }
}

// Writes the means of blocks of 2 x 2 of w pixels in two rows, with memory for w pixels.
template <int kC>
void halve_rows(const std::uint8_t* a, const std::uint8_t* b, std::int64_t w, std::uint8_t* means,
                std::uint8_t* out) {
  const std::int64_t n = w / 2;
  mean_of_four<kC>(a, b, (w - 1) * kC, means);
  std::int64_t i = 0;
  if constexpr (kC == 3) {
    // Each pixel is moved with a byte more, which the next one overwrites.
    for (; i + 1 < n; ++i) std::memcpy(out + 3 * i, means + 6 * i, 4);
  }
  for (; i < n; ++i) {
    for (int k = 0; k < kC; ++k) out[kC * i + k] = means[2 * kC * i + k];
  }
  for (int k = 0; w % 2 != 0 && k < kC; ++k) {
    out[n * kC + k] = mean(a[2 * n * kC + k] + b[2 * n * kC + k], 2);
  }
}

// Writes for a row of w pixels the means of `across` of them, of which each is the sum of `down`.
template <typename Sum>
void reduce_row(const Sum* sums, std::int64_t w, std::int64_t c, std::int64_t across,
                std::int64_t down, std::uint8_t* out) {
  for (std::int64_t x = 0, i = 0; x < w; x += across, ++i) {
    const std::int64_t end = std::min(x + across, w);
    for (std::int64_t k = 0; k < c; ++k) {
      std::uint32_t sum = 0;
      for (std::int64_t j = x; j < end; ++j) sum += sums[j * c + k];
      out[i * c + k] = mean(sum, static_cast<std::uint32_t>((end - x) * down));
    }
  }
}

typedef std::int32_t Four __attribute__((vector_size(16)));

inline Four load_four(const std::uint8_t* p) {
#if defined(__SSE4_1__)
  std::int32_t bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return (Four)_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes));
#else
  return Four{p[0], p[1], p[2], p[3]};
#endif
}

inline std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kResizeBits, 0, 255));
}

// Writes the first kC of four rounded sums.
template <int kC>
void store_rounded(const Four& sums, std::uint8_t* out) {
#if defined(__SSE4_1__)
  const __m128i words = _mm_packs_epi32(_mm_srai_epi32((__m128i)sums, kResizeBits), __m128i{});
  const std::int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  std::memcpy(out, &bytes, kC);
#else
  for (int k = 0; k < kC; ++k) out[k] = rounded(sums[k]);
#endif
}

// Writes a row of kC channels; pixels are read as four bytes.
template <int kC>
void along_row(const ResizeTaps& taps, const std::uint8_t* row, std::int64_t n, std::uint8_t* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t* const weights = taps.weights + i * taps.size;
    const std::uint8_t* const in = row + taps.first[i] * kC;
    if constexpr (kC == 1) {
      std::int32_t sum = kHalf;
      for (std::int32_t t = 0; t < taps.count[i]; ++t) sum += in[t] * weights[t];
      out[i] = rounded(sum);
    } else {
      Four sum = Four{} + kHalf;
      for (std::int32_t t = 0; t < taps.count[i]; ++t) {
        sum += load_four(in + t * kC) * weights[t];
      }
      store_rounded<kC>(sum, out + kC * i);
    }
  }
}

void along_row(const ResizeTaps& taps, const std::uint8_t* row, std::int64_t n, std::int64_t c,
               std::uint8_t* out) {
  switch (c) {
    case 1: return along_row<1>(taps, row, n, out);
    case 2: return along_row<2>(taps, row, n, out);
    case 3: return along_row<3>(taps, row, n, out);
    default: return along_row<4>(taps, row, n, out);
  }
}

void add_weighted(const std::uint8_t* __restrict row, std::int32_t weight, std::int64_t n,
                  std::int32_t* __restrict sums) {
  for (std::int64_t i = 0; i < n; ++i) sums[i] += row[i] * weight;
}

void round_row(const std::int32_t* __restrict sums, std::int64_t n, std::uint8_t* __restrict out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = rounded(sums[i]);
}

// Writes a row, whose channels are side by side.
void write_row(const ImageView& image, std::int64_t y, const std::uint8_t* row) {
  const std::int64_t c = image.channels;
  std::uint8_t* const out = image.at<std::uint8_t>(y, 0, 0);
  if (interleaved(image)) {
    std::memcpy(out, row, static_cast<std::size_t>(image.width * c));
    return;
  }
  for (std::int64_t x = 0; x < image.width; ++x) {
    for (std::int64_t k = 0; k < c; ++k) {
      out[x * image.col_stride + k * image.channel_stride] = row[x * c + k];
    }
  }
}

// Computes rows of an image whose blocks are averaged, or of the image itself.
class Rows {
 public:
  Rows(const ImageView& image, const Blocks& blocks)
      : image_(image),
        blocks_(blocks),
        // Three bytes beyond the last pixel are read.
        row_(static_cast<std::size_t>(blocks.width * image.channels + 3)) {
    std::memset(row_.data() + row_.size() - 3, 0, 3);
    if (blocks.across == 1 && blocks.down == 1) return;
    const std::size_t n = static_cast<std::size_t>(image.width * image.channels);
    sums_ = Buffer<std::uint32_t>(n);
    memory_ = Buffer<std::uint8_t>(2 * n);
  }

  const std::uint8_t* operator()(std::int64_t y) {
    if (sums_.size() == 0) {
      copy_row(image_, y, row_.data());
    } else {
      reduce(y);
    }
    return row_.data();
  }

 private:
  void reduce(std::int64_t y) {
    const std::int64_t c = image_.channels, w = image_.width;
    const std::int64_t first = y * blocks_.down;
    const std::int64_t last = std::min(first + blocks_.down, image_.height);
    if (blocks_.across == 2 && last - first == 2 && (c == 1 || c == 3)) {
      const std::uint8_t* const upper = row_of(image_, first, memory_.data());
      const std::uint8_t* const lower = row_of(image_, first + 1, memory_.data() + w * c);
      std::uint8_t* const means = reinterpret_cast<std::uint8_t*>(sums_.data());
      c == 1 ? halve_rows<1>(upper, lower, w, means, row_.data())
             : halve_rows<3>(upper, lower, w, means, row_.data());
      return;
    }
    if (blocks_.down <= kShort) {
      reduce(first, last, reinterpret_cast<std::uint16_t*>(sums_.data()));
    } else {
      reduce(first, last, sums_.data());
    }
  }

  template <typename Sum>
  void reduce(std::int64_t first, std::int64_t last, Sum* sums) {
    const std::int64_t n = image_.width * image_.channels;
    std::fill_n(sums, n, Sum{0});
    for (std::int64_t v = first; v < last; ++v) {
      add_row(row_of(image_, v, memory_.data()), n, sums);
    }
    reduce_row(sums, image_.width, image_.channels, blocks_.across, last - first, row_.data());
  }

  const ImageView& image_;
  const Blocks& blocks_;
  Buffer<std::uint8_t> row_;
  Buffer<std::uint32_t> sums_;
  Buffer<std::uint8_t> memory_;
};

// Resizes the rows of an image from row y0 on; `taps` null: copies them.
void across(const ImageView& in, const Blocks& blocks, std::int64_t y0, const ResizeTaps* taps,
            const ImageView& out) {
  const std::int64_t c = in.channels;
  parallel_for(out.height, rows_of(in.width * blocks.down * c),
               [&](std::int64_t begin, std::int64_t end) {
                 Rows rows(in, blocks);
                 Buffer<std::uint8_t> result(static_cast<std::size_t>(out.width * c));
                 for (std::int64_t y = begin; y < end; ++y) {
                   const std::uint8_t* row = rows(y0 + y);
                   if (taps != nullptr) {
                     along_row(*taps, row, out.width, c, result.data());
                     row = result.data();
                   }
                   write_row(out, y, row);
                 }
               });
}

// Resizes the columns of an image whose first row is row y0 of the taps.
void down(const ImageView& in, std::int64_t y0, const ResizeTaps& taps, const ImageView& out) {
  const std::int64_t n = in.width * in.channels;
  parallel_for(out.height, rows_of(n), [&](std::int64_t begin, std::int64_t end) {
    Buffer<std::int32_t> sums(static_cast<std::size_t>(n));
    Buffer<std::uint8_t> row(static_cast<std::size_t>(n));
    for (std::int64_t y = begin; y < end; ++y) {
      std::fill_n(sums.data(), n, kHalf);
      for (std::int32_t t = 0; t < taps.count[y]; ++t) {
        const std::uint8_t* const its = row_of(in, taps.first[y] - y0 + t, row.data());
        add_weighted(its, taps.weights[y * taps.size + t], n, sums.data());
      }
      round_row(sums.data(), n, row.data());
      write_row(out, y, row.data());
    }
  });
}

}  // namespace

void resize_kernel(const ResizeParams& p) {
  const std::int64_t c = p.out.channels;
  if (!p.down_first) {
    const ImageView between = dense_image(p.between, DType::kUInt8, p.y1 - p.y0, p.out.width, c);
    across(p.src, p.blocks, p.y0, &p.x, between);
    down(between, p.y0, p.y, p.out);
    return;
  }
  ImageView reduced = p.src;
  const bool reduces = p.blocks.across > 1 || p.blocks.down > 1;
  Buffer<std::uint8_t> memory(
      static_cast<std::size_t>(reduces ? p.blocks.height * p.blocks.width * c : 0));
  if (reduces) {
    reduced = dense_image(memory.data(), DType::kUInt8, p.blocks.height, p.blocks.width, c);
    across(p.src, p.blocks, 0, nullptr, reduced);
  }
  const ImageView between = dense_image(p.between, DType::kUInt8, p.out.height, p.blocks.width, c);
  down(reduced, 0, p.y, between);
  across(between, Blocks{1, 1, between.height, between.width}, 0, &p.x, p.out);
}

void block_means_kernel(const ImageView& image, const Blocks& blocks, const ImageView& out) {
  across(image, blocks, 0, nullptr, out);
}

}  // namespace pyharmony::HM_SIMD_NS
