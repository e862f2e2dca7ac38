// CMake turns contraction off for this file: a product that is not rounded before it is added would
// change the last bit, on some machines only.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/dispatch.h"
#include "core/parallel.h"
#include "core/vec.h"
#include "ops/alpha/alpha.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kRangePixels = 1 << 16;
constexpr int kMaxChannels = 4;
// The least bytes of a result that is written past the caches, which it would not fit in, and those
// of a run of it.
constexpr std::int64_t kStreamed = std::int64_t{4} << 20, kStreamedRun = 256;
constexpr std::int64_t kLine = 64;  // bytes of a line of a cache

bool interleaved(const ImageView& image) {
  return image.col_stride == image.channels && (image.channels == 1 || image.channel_stride == 1);
}

// Copies bytes, past the caches if streams. Call end_stream() after the last ones.
void copy_bytes(const void* from, void* to, std::int64_t n, bool streams) {
  const char* in = static_cast<const char*>(from);
  char* out = static_cast<char*>(to);
  if (streams && n >= kStreamedRun) {
    // Whole lines only: the rest of a line would be read for them.
    const std::int64_t before = -reinterpret_cast<std::intptr_t>(out) & (kLine - 1);
    std::memcpy(out, in, before);
    in += before;
    out += before;
    n -= before;
    for (; n >= kLine; n -= kLine) {
      for (int i = 0; i < kLine; i += HM_SIMD_BYTES, in += HM_SIMD_BYTES, out += HM_SIMD_BYTES) {
        stream(reinterpret_cast<float*>(out), load_unaligned(reinterpret_cast<const float*>(in)));
      }
    }
  }
  std::memcpy(out, in, n);
}

// Copies n pixels of a row.
template <typename T>
void copy_run(const ImageView& from, const ImageView& to, std::int64_t y, std::int64_t x,
              std::int64_t n, bool streams) {
  const T* const in = from.at<T>(y, x, 0);
  T* const out = to.at<T>(y, x, 0);
  if (interleaved(from) && interleaved(to)) {
    copy_bytes(in, out, n * to.channels * sizeof(T), streams);
    return;
  }
  for (std::int64_t c = 0; c < to.channels; ++c) {
    if (from.col_stride == 1 && to.col_stride == 1) {
      copy_bytes(in + c * from.channel_stride, out + c * to.channel_stride, n * sizeof(T), streams);
      continue;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      out[i * to.col_stride + c * to.channel_stride] =
          in[i * from.col_stride + c * from.channel_stride];
    }
  }
}

// ---- uint8 with a mask of bytes ----
// (k s + (255 - k) d) / 255 is never halfway between two integers, and at least 1/510 from it, far
// more than the rounding errors of float32: integers give the bits of the sum in float32.

constexpr int kBlock = 64;  // pixels

typedef std::uint8_t Bytes __attribute__((vector_size(16)));
typedef std::uint16_t Words __attribute__((vector_size(HM_SIMD_BYTES)));
typedef std::uint8_t NarrowWords __attribute__((vector_size(HM_SIMD_BYTES / 2)));
constexpr int kWords = HM_SIMD_BYTES / 2;
constexpr int kPart = kWords < 16 ? 16 : kWords;  // pixels, whose values are whole registers

inline Words load_words(const std::uint8_t* p) {
  NarrowWords v;
  std::memcpy(&v, p, sizeof(v));
  return __builtin_convertvector(v, Words);
}

template <int kChannels, int kFirst, int... kIndex>
inline Bytes repeated(Bytes v, std::integer_sequence<int, kIndex...>) {
#if defined(__clang__)
  return __builtin_shufflevector(v, v, ((kFirst + kIndex) / kChannels)...);
#else
  return __builtin_shuffle(v, Bytes{((kFirst + kIndex) / kChannels)...});
#endif
}

// Writes each of 16 bytes once for each channel, from part kPart of the result on.
template <int kChannels, int kPart = 0>
inline void repeat_bytes(Bytes v, std::uint8_t* out) {
  if constexpr (kPart < kChannels) {
    const Bytes part = repeated<kChannels, 16 * kPart>(v, std::make_integer_sequence<int, 16>{});
    std::memcpy(out + 16 * kPart, &part, sizeof(part));
    repeat_bytes<kChannels, kPart + 1>(v, out);
  }
}

// Returns the value of all bytes of kCount pixels if it is 0 or 255, else 1.
template <int kCount>
inline int uniform(const std::uint8_t* mask) {
  std::uint64_t low = ~std::uint64_t{0}, high = 0;
  for (int i = 0; i < kCount; i += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, mask + i, sizeof(eight));
    low &= eight;
    high |= eight;
  }
  return high == 0 ? 0 : low == ~std::uint64_t{0} ? 255 : 1;
}

// Blends kPart pixels. At the contour of a hard mask few parts of a block are not uniform.
template <int kChannels>
inline void blend_part(const std::uint8_t* s, const std::uint8_t* d, const std::uint8_t* mask,
                       std::uint8_t* out) {
  constexpr int kSize = kPart * kChannels;
  const int kind = uniform<kPart>(mask);
  if (kind != 1) {
    std::uint8_t copy[kSize];  // out may be d
    std::memcpy(copy, kind == 0 ? d : s, kSize);
    std::memcpy(out, copy, kSize);
    return;
  }
  alignas(64) std::uint8_t weights[kSize];
  for (int i = 0; i < kPart; i += 16) {
    Bytes v;
    std::memcpy(&v, mask + i, sizeof(v));
    repeat_bytes<kChannels>(v, weights + i * kChannels);
  }
  for (int i = 0; i < kSize; i += kWords) {
    const Words below = load_words(d + i);
    // All is modulo 2^16, and the sum is below it.
    const Words sum =
        (below << 8) - below + load_words(weights + i) * (load_words(s + i) - below) + 128;
    const NarrowWords result = __builtin_convertvector((sum + (sum >> 8)) >> 8, NarrowWords);
    std::memcpy(out + i, &result, sizeof(result));
  }
}

template <int kChannels>
void blend_block(const std::uint8_t* s, const std::uint8_t* d, const std::uint8_t* mask,
                 std::uint8_t* out) {
  for (int i = 0; i < kBlock; i += kPart) {
    blend_part<kChannels>(s + i * kChannels, d + i * kChannels, mask + i, out + i * kChannels);
  }
}

// Blends n whole blocks; runs of blocks that are copied are copied at once.
template <int kChannels>
void blend_blocks(const std::uint8_t* s, const std::uint8_t* d, const std::uint8_t* mask,
                  std::int64_t n, std::uint8_t* out, bool streams) {
  constexpr std::int64_t kSize = kBlock * kChannels;
  for (std::int64_t i = 0; i < n;) {
    const int kind = uniform<kBlock>(mask + i * kBlock);
    const std::int64_t first = i++;
    if (kind == 1) {
      blend_block<kChannels>(s + first * kSize, d + first * kSize, mask + first * kBlock,
                             out + first * kSize);
      continue;
    }
    while (i < n && uniform<kBlock>(mask + i * kBlock) == kind) ++i;
    const std::uint8_t* const from = kind == 0 ? d : s;
    if (from != out) {
      copy_bytes(from + first * kSize, out + first * kSize, (i - first) * kSize, streams);
    }
  }
}

// Blends a row of kChannels interleaved channels from `channel` on.
template <int kChannels>
void blend_bytes(const AlphaParams& p, std::int64_t y, std::int64_t channel, bool streams) {
  const std::uint8_t* const s = p.src.at<std::uint8_t>(y, 0, channel);
  const std::uint8_t* const d = p.dst.at<std::uint8_t>(p.y0 + y, p.x0, channel);
  const std::uint8_t* const mask = p.mask.at<std::uint8_t>(y, 0, 0);
  std::uint8_t* const out = p.out.at<std::uint8_t>(p.y0 + y, p.x0, channel);
  const bool is_bool = p.mask.dtype == DType::kBool;
  constexpr std::int64_t kPiece = 16 * kBlock;
  std::uint8_t weights[kPiece];
  const std::int64_t whole = p.mask.width / kBlock * kBlock;
  if (!is_bool) {
    blend_blocks<kChannels>(s, d, mask, whole / kBlock, out, streams);
  } else {
    for (std::int64_t x = 0; x < whole; x += kPiece) {
      const std::int64_t n = std::min(kPiece, whole - x), at = x * kChannels;
      for (std::int64_t i = 0; i < n; ++i) weights[i] = mask[x + i] != 0 ? 255 : 0;
      blend_blocks<kChannels>(s + at, d + at, weights, n / kBlock, out + at, streams);
    }
  }
  if (whole == p.mask.width) return;
  // The end of a row is blended in a copy, since a block would reach beyond it.
  const std::int64_t n = p.mask.width - whole, at = whole * kChannels;
  const std::size_t size = static_cast<std::size_t>(n * kChannels);
  std::uint8_t above[kBlock * kChannels] = {}, below[kBlock * kChannels] = {};
  for (std::int64_t i = 0; i < kBlock; ++i) {
    const std::uint8_t value = i < n ? mask[whole + i] : 0;
    weights[i] = is_bool && value != 0 ? 255 : value;
  }
  std::memcpy(above, s + at, size);
  std::memcpy(below, d + at, size);
  blend_block<kChannels>(above, below, weights, below);
  std::memcpy(out + at, below, size);
}

bool are_planar(const AlphaParams& p) {
  return p.src.col_stride == 1 && p.dst.col_stride == 1 && p.out.col_stride == 1;
}

bool are_bytes(const AlphaParams& p) {
  for (const ImageView* image : {&p.src, &p.dst, &p.out}) {
    if (image->dtype != DType::kUInt8) return false;
  }
  const bool one_line = interleaved(p.src) && interleaved(p.dst) && interleaved(p.out) &&
                        p.out.channels <= kMaxChannels;
  const bool mask_of_bytes = p.mask.dtype == DType::kUInt8 || p.mask.dtype == DType::kBool;
  return (one_line || are_planar(p)) && mask_of_bytes && p.mask.col_stride == 1 &&
         p.ramp.data == nullptr && !p.keep;
}

void bytes_row(const AlphaParams& p, std::int64_t y, bool streams) {
  if (are_planar(p)) {
    for (std::int64_t c = 0; c < p.out.channels; ++c) blend_bytes<1>(p, y, c, streams);
    return;
  }
  switch (p.out.channels) {
    case 2: return blend_bytes<2>(p, y, 0, streams);
    case 3: return blend_bytes<3>(p, y, 0, streams);
    default: return blend_bytes<4>(p, y, 0, streams);
  }
}

// ---- any types and strides ----

constexpr int kRun = 256;  // pixels of a row whose reals fit in the first cache

struct Weights {
  float value[kRun];
  bool inside[kRun];
};

// A row's part of a plane, or of interleaved channels as one longer plane.
struct Line {
  std::int64_t y, x, channel, n, step;
};

// Reads the mask; returns whether a pixel is inside.
bool read_weights(const AlphaParams& p, std::int64_t y, std::int64_t x, std::int64_t n,
                  Weights& weights) {
  int any = 0;
  dispatch_any(p.mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const float range = static_cast<float>(dtype_range(p.mask.dtype));
    const T* const mask = p.mask.at<T>(y, x, 0);
    for (std::int64_t i = 0; i < n; ++i) {
      const T value = mask[i * p.mask.col_stride];
      // A double that rounds to zero is inside too.
      const bool inside =
          to_real<std::conditional_t<std::is_same_v<T, double>, T, float>>(value) != 0;
      weights.inside[i] = inside;
      any |= inside;
      weights.value[i] = to_real<float>(value) / range;
    }
  });
  if (p.ramp.data != nullptr) {
    const float* const ramp = p.ramp.at<float>(y, x, 0);
    for (std::int64_t i = 0; i < n; ++i) weights.value[i] *= ramp[i * p.ramp.col_stride];
  }
  return any != 0;
}

template <typename Real>
void read_line(const ImageView& image, const Line& line, Real* __restrict out) {
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const in = image.at<T>(line.y, line.x, line.channel);
    const std::int64_t step = line.step == 1 ? 1 : image.col_stride;
    if constexpr (std::is_same_v<Real, float>) {
      if (step == 1) return convert_to_float(in, line.n, out);
    }
    for (std::int64_t i = 0; i < line.n; ++i) out[i] = to_real<Real>(in[i * step]);
  });
}

// Calls fn(first, last) for each span of pixels inside.
template <typename Fn>
void for_each_span(const Weights& weights, std::int64_t n, Fn&& fn) {
  for (std::int64_t i = 0; i < n; ++i) {
    if (!weights.inside[i]) continue;
    const std::int64_t first = i;
    while (i < n && weights.inside[i]) ++i;
    fn(first, i);
  }
}

// Writes the pixels of a line that are inside; each has `channels` values in it.
template <typename T, typename Real>
void write_line(const ImageView& image, const Line& line, std::int64_t channels,
                const Weights& weights, const Real* values) {
  T rounded[kRun * kMaxChannels];
  if constexpr (std::is_same_v<Real, float>) {
    convert_from_float(values, line.n, rounded);
  } else {
    std::copy_n(values, line.n, rounded);
  }
  T* const out = image.at<T>(line.y, line.x, line.channel);
  const std::int64_t step = line.step == 1 ? 1 : image.col_stride;
  for_each_span(weights, line.n / channels, [&](std::int64_t first, std::int64_t last) {
    if (step == 1) {
      std::copy(rounded + first * channels, rounded + last * channels, out + first * channels);
    } else {
      for (std::int64_t i = first; i < last; ++i) out[i * step] = rounded[i];
    }
  });
}

template <typename T>
void any_row(const AlphaParams& p, std::int64_t y, bool copies) {
  using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const bool one_line = interleaved(p.src) && interleaved(p.dst) && interleaved(p.out) &&
                        p.out.channels <= kMaxChannels;
  const std::int64_t channels = one_line ? p.out.channels : 1;
  Weights weights;
  alignas(64) Real m[kRun * kMaxChannels], s[kRun * kMaxChannels], d[kRun * kMaxChannels];
  for (std::int64_t x = 0; x < p.mask.width; x += kRun) {
    const std::int64_t pixels = std::min<std::int64_t>(kRun, p.mask.width - x);
    const bool any = read_weights(p, y, x, pixels, weights);
    if (copies) copy_run<T>(p.dst, p.out, p.y0 + y, p.x0 + x, pixels, false);
    if (!any) continue;
    if (channels == 3) {
      for (std::int64_t i = 0; i < pixels; ++i) {
        m[3 * i] = m[3 * i + 1] = m[3 * i + 2] = static_cast<Real>(weights.value[i]);
      }
    } else {
      for (std::int64_t i = 0; i < pixels; ++i) {
        for (std::int64_t c = 0; c < channels; ++c) {
          m[channels * i + c] = static_cast<Real>(weights.value[i]);
        }
      }
    }
    for (std::int64_t c = 0; c < p.out.channels; c += channels) {
      const std::int64_t n = pixels * channels, step = one_line ? 1 : 0;
      const Line line{p.y0 + y, p.x0 + x, c, n, step};
      read_line(p.src, Line{y, x, c, n, step}, s);
      read_line(p.dst, line, d);
      // NaN outside stays in its own element, which is not written.
      for (std::int64_t i = 0; i < n; ++i) s[i] = s[i] * m[i] + d[i] * (1 - m[i]);
      write_line<T>(p.out, line, channels, weights, s);
    }
  }
}

// Calls row(y) for each row of the mask, and copies what is beside and above and below it.
template <typename T, typename Row>
void for_each_row(const AlphaParams& p, bool copies, bool streams, Row&& row) {
  const std::int64_t height = copies ? p.out.height : p.mask.height, first = copies ? p.y0 : 0;
  const std::int64_t right = p.x0 + p.mask.width;
  const std::int64_t rows = kRangePixels / std::max<std::int64_t>(1, p.out.width);
  const auto run = [&](std::int64_t i) {
    const std::int64_t y = i - first;
    if (y < 0 || y >= p.mask.height) return copy_run<T>(p.dst, p.out, i, 0, p.out.width, streams);
    if (copies) copy_run<T>(p.dst, p.out, i, 0, p.x0, streams);
    row(y);
    if (copies) copy_run<T>(p.dst, p.out, i, right, p.out.width - right, streams);
  };
  parallel_for(height, std::max<std::int64_t>(1, rows), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) run(i);
    if (streams) end_stream();
  });
}

}  // namespace

void alpha_kernel(const AlphaParams& p) {
  const bool copies = !p.keep && p.out.data != p.dst.data;
  const std::int64_t size = p.out.height * p.out.width * p.out.channels * dtype_size(p.out.dtype);
  const bool streams = copies && size >= kStreamed;
  if (are_bytes(p)) {
    for_each_row<std::uint8_t>(p, copies, streams,
                               [&](std::int64_t y) { bytes_row(p, y, streams); });
    return;
  }
  dispatch_image(p.out.dtype, "out", [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_each_row<T>(p, copies, streams, [&](std::int64_t y) { any_row<T>(p, y, copies); });
  });
}

}  // namespace pyharmony::HM_SIMD_NS
