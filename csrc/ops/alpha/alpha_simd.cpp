// CMake turns contraction off for this file: a product that is not rounded before it is added would
// change the last bit, on some machines only.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "core/dispatch.h"
#include "core/parallel.h"
#include "core/pixel_rows.h"
#include "core/real_vec.h"
#include "ops/alpha/alpha.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kRangePixels = 1 << 16;
constexpr int kMaxChannels = 4;
constexpr int kRun = 256;  // pixels of a row whose reals fit in the first cache
template <typename T>
constexpr std::int64_t kSlack = PixelRows::kSlack / static_cast<std::int64_t>(sizeof(T));

// The rows of a call's images. Planes are taken one at a time.
struct Rows {
  explicit Rows(const AlphaParams& p)
      : src(p.src, p.over_alpha), dst(p.dst), out(p.out), mask(p.mask) {}

  PixelRows src, dst, out, mask;
};

// Copies n pixels of a row of dst to out.
template <typename T>
void copy_run(const Rows& rows, std::int64_t y, std::int64_t x, std::int64_t n) {
  const std::int64_t step = rows.dst.dense() ? n : kRun;
  alignas(64) T buffer[kRun * kMaxChannels + kSlack<T>];
  for (const std::int64_t end = x + n; x < end; x += step) {
    const std::int64_t count = std::min(step, end - x);
    rows.out.write(rows.dst.read(y, x, count, buffer), y, x, count);
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

// GCC 12 splits these conversions of vectors in halves.
inline Words load_words(const std::uint8_t* p) {
#if HM_SIMD_BYTES == 64
  return (Words)_mm512_maskz_cvtepu8_epi16(~__mmask32{0}, _mm256_loadu_si256((const __m256i*)p));
#elif HM_SIMD_BYTES == 32
  return (Words)_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)p));
#else
  NarrowWords v;
  std::memcpy(&v, p, sizeof(v));
  return __builtin_convertvector(v, Words);
#endif
}

inline void store_words(std::uint8_t* p, Words v) {
#if HM_SIMD_BYTES == 64
  _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtepi16_epi8(~__mmask32{0}, (__m512i)v));
#else
  const NarrowWords narrow = __builtin_convertvector(v, NarrowWords);
  std::memcpy(p, &narrow, sizeof(narrow));
#endif
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
int uniform(const std::uint8_t* mask, std::int64_t n) {
  std::uint8_t low = 255, high = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    low &= mask[i];
    high |= mask[i];
  }
  return high == 0 ? 0 : low == 255 ? 255 : 1;
}

// Blends kPart pixels. At the contour of a hard mask few parts of a block are not uniform.
template <int kChannels>
inline void blend_part(const std::uint8_t* s, const std::uint8_t* d, const std::uint8_t* mask,
                       std::uint8_t* out) {
  constexpr int kSize = kPart * kChannels;
  const int kind = uniform<kPart>(mask);
  if (kind != 1) {
    const std::uint8_t* const from = kind == 0 ? d : s;
    for (int i = 0; i < kSize; i += 16) {  // out may be d
      Bytes v;
      std::memcpy(&v, from + i, sizeof(v));
      std::memcpy(out + i, &v, sizeof(v));
    }
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
    store_words(out + i, (sum + (sum >> 8)) >> 8);
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
                  std::int64_t n, std::uint8_t* out) {
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
      std::memcpy(out + first * kSize, from + first * kSize, (i - first) * kSize);
    }
  }
}

// Whether the alpha of n pixels is above zero where the mask is soft.
bool known_where_soft(const std::uint8_t* pixels, const std::uint8_t* mask, std::int64_t n) {
  std::uint32_t unknown = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint32_t pixel;
    std::memcpy(&pixel, pixels + 4 * i, sizeof(pixel));
    unknown |= (pixel >> 24 == 0) & (mask[i] - std::uint32_t{1} < 254);
  }
  return unknown == 0;
}

// Blends a row whose pixels have kChannels. Returns what the kernel returns.
template <int kChannels>
bool blend_bytes(const AlphaParams& p, const Rows& rows, std::int64_t y) {
  constexpr std::int64_t kPiece = 16 * kBlock, kSize = kPiece * kChannels;
  bool known = true;
  alignas(64) std::uint8_t weights[kPiece + PixelRows::kSlack];
  alignas(64) std::uint8_t above[kSize + PixelRows::kSlack], below[kSize + PixelRows::kSlack];
  for (std::int64_t x = 0; x < p.mask.width; x += kPiece) {
    const std::int64_t n = std::min(kPiece, p.mask.width - x), whole = n / kBlock * kBlock;
    const std::uint8_t* mask = rows.mask.read(y, x, n, weights);
    if (p.mask.dtype == DType::kBool || whole < n) {
      const int scale = p.mask.dtype == DType::kBool ? 255 : 1;
      for (std::int64_t i = 0; i < n; ++i) {
        weights[i] = static_cast<std::uint8_t>(scale == 1 ? mask[i] : mask[i] != 0 ? 255 : 0);
      }
      std::fill(weights + n, weights + (whole < n ? whole + kBlock : n), std::uint8_t{0});
      mask = weights;
    }
    const std::uint8_t* d = rows.dst.read(p.y0 + y, p.x0 + x, n, below);
    const int kind = uniform(mask, n);
    const std::uint8_t* s = kind == 0 ? d : rows.src.read(y, x, n, above);
    if (kind != 1 && !p.keep_alpha) {
      if (s != rows.out.at<std::uint8_t>(p.y0 + y, p.x0 + x))
        rows.out.write(s, p.y0 + y, p.x0 + x, n);
      continue;
    }
    if (p.over_alpha && p.checks) known &= known_where_soft(d, mask, n);
    if (p.keep_alpha && kind != 0) {
      for (std::int64_t i = 0; i < n; ++i) above[kChannels * i + 3] = d[kChannels * i + 3];
    }
    // Pixels that are not side by side are blended where those of dst were copied to.
    std::uint8_t* const out =
        rows.out.dense() ? rows.out.at<std::uint8_t>(p.y0 + y, p.x0 + x) : below;
    blend_blocks<kChannels>(s, d, mask, whole / kBlock, out);
    if (whole < n) {
      // The last pixels are blended in a copy, since a block would reach beyond them.
      const std::int64_t at = whole * kChannels;
      const std::size_t size = static_cast<std::size_t>((n - whole) * kChannels);
      std::uint8_t last[2][kBlock * kChannels] = {};
      std::memcpy(last[0], s + at, size);
      std::memcpy(last[1], d + at, size);
      blend_block<kChannels>(last[0], last[1], mask + whole, last[1]);
      std::memcpy(out + at, last[1], size);
    }
    if (!rows.out.dense()) rows.out.write(out, p.y0 + y, p.x0 + x, n);
  }
  return known;
}

bool are_bytes(const AlphaParams& p) {
  for (const ImageView* image : {&p.src, &p.dst, &p.out}) {
    if (image->dtype != DType::kUInt8) return false;
  }
  const bool mask_of_bytes = p.mask.dtype == DType::kUInt8 || p.mask.dtype == DType::kBool;
  return mask_of_bytes && p.ramp.data == nullptr && !p.keep;
}

bool bytes_row(const AlphaParams& p, const Rows& rows, std::int64_t y) {
  switch (p.out.channels) {
    case 1: return blend_bytes<1>(p, rows, y);
    case 2: return blend_bytes<2>(p, rows, y);
    case 3: return blend_bytes<3>(p, rows, y);
    default: return blend_bytes<4>(p, rows, y);
  }
}

// ---- any types ----

// The bits of a value of a mask without its sign, which are in the order of the values.
template <typename T>
inline auto magnitude_bits(T value) {
  using Bits = std::conditional_t<
      sizeof(T) == 1, std::uint8_t,
      std::conditional_t<sizeof(T) == 2, std::uint16_t,
                         std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;
  Bits bits;
  std::memcpy(&bits, &value, sizeof(bits));
  constexpr bool kHasSign = !std::is_integral_v<T> && !std::is_same_v<T, Bool>;
  return static_cast<Bits>(kHasSign ? bits & (Bits(~Bits{0}) >> 1) : bits);
}

// A run of the mask.
struct Weights {
  float value[kRun];
  bool inside[kRun];
  bool any, all, full;  // whether a pixel is inside, all are, and all wholly; inside if not all
};

void read_weights(const AlphaParams& p, const PixelRows& rows, std::int64_t y, std::int64_t x,
                  std::int64_t n, Weights& weights) {
  dispatch_any(p.mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Bits = decltype(magnitude_bits(T{}));
    alignas(64) T buffer[kRun + kSlack<T>];
    const T* const mask = rows.read(y, x, n, buffer);
    Bits low = static_cast<Bits>(~Bits{0}), high = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const Bits bits = magnitude_bits(mask[i]);
      low = std::min(low, bits);
      high = std::max(high, bits);
    }
    const double white = dtype_range(p.mask.dtype);
    Bits one = 1;
    if constexpr (!std::is_same_v<T, Bool>) one = magnitude_bits(static_cast<T>(white));
    weights.any = high != 0;
    weights.all = low != 0;
    weights.full = low >= one && p.ramp.data == nullptr;
    if (!weights.any) return;
    for (std::int64_t i = 0; i < n; ++i) {
      weights.value[i] = to_real<float>(mask[i]) / static_cast<float>(white);
    }
    if (weights.all) return;
    for (std::int64_t i = 0; i < n; ++i) weights.inside[i] = magnitude_bits(mask[i]) != 0;
  });
  if (p.ramp.data == nullptr || !weights.any) return;
  const float* const ramp = p.ramp.at<float>(y, x, 0);
  for (std::int64_t i = 0; i < n; ++i) weights.value[i] *= ramp[i * p.ramp.col_stride];
}

// Writes each of n weights once for each channel.
template <int kChannels, typename Real>
void repeat(const float* __restrict weights, std::int64_t n, Real* __restrict out) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (int c = 0; c < kChannels; ++c) out[kChannels * i + c] = weights[i];
  }
}

// Writes s m + d (1 - m), each operation rounded on its own. Returns whether no value with m above
// zero is NaN or infinite.
template <typename Real, typename S, typename D, typename T>
bool blend_run(const S* s, const D* d, const Real* m, std::int64_t n, T* out) {
  typename VecOf<Real>::type bad{};
  std::int64_t i = 0;
  for (; i + kWidth<Real> <= n; i += kWidth<Real>) {
    const auto weight = read(m + i);
    const auto value = read(s + i) * weight + read(d + i) * (1 - weight);
    bad += (weight == 0 ? weight : value) * 0;
    write(out + i, value);
  }
  bool finite = sum<Real>(bad) == 0;
  for (; i < n; ++i) {
    const Real value = to_real<Real>(s[i]) * m[i] + to_real<Real>(d[i]) * (1 - m[i]);
    finite &= m[i] == 0 || std::isfinite(value);
    out[i] = from_real<T>(value);
  }
  return finite;
}

// Whether n values are finite.
template <typename Real, typename T>
bool are_finite(const T* values, std::int64_t n) {
  if constexpr (std::is_integral_v<T>) {
    return true;
  } else {
    typename VecOf<Real>::type bad{};
    std::int64_t i = 0;
    for (; i + kWidth<Real> <= n; i += kWidth<Real>) bad += read(values + i) * 0;
    bool finite = sum<Real>(bad) == 0;
    for (; i < n; ++i) finite &= std::isfinite(to_real<Real>(values[i]));
    return finite;
  }
}

// Writes the alpha m + (1 - m) a of n pixels, computed in double. Returns whether a is above zero
// where the mask is soft.
template <typename T>
bool lay_over_alpha(const AlphaParams& p, std::int64_t y, std::int64_t x, std::int64_t n,
                    const T* below, T* out) {
  bool known = true;
  dispatch_any(p.mask.dtype, [&](auto tag) {
    using M = typename decltype(tag)::type;
    const double range = dtype_range(p.mask.dtype), white = dtype_range(p.out.dtype);
    const M* const mask = p.mask.at<M>(y, x, 0);
    for (std::int64_t i = 0; i < n; ++i) {
      const double share = to_real<double>(mask[i * p.mask.col_stride]) / range;
      const double alpha = to_real<double>(below[4 * i + 3]);
      known &= alpha > 0 || share == 0 || share == 1;
      out[4 * i + 3] =
          p.keep_alpha ? below[4 * i + 3] : from_real<T>(share * white + (1 - share) * alpha);
    }
  });
  return known;
}

// Reads pixels that may be reals in the unit of T, and calls fn with them as they are.
template <typename T, typename Real, typename Fn>
bool with_pixels(const PixelRows& rows, DType dtype, std::int64_t y, std::int64_t x, std::int64_t n,
                 Real* buffer, Fn&& fn) {
  if constexpr (!std::is_same_v<T, Real>) {
    if (dtype != (std::is_same_v<T, Half> ? DType::kFloat16
                  : sizeof(T) == 1        ? DType::kUInt8
                                          : DType::kUInt16)) {
      return fn(rows.read(y, x, n, buffer));
    }
  }
  return fn(rows.read(y, x, n, reinterpret_cast<T*>(buffer)));
}

// Returns whether all values that were read inside the mask are finite.
template <typename T>
bool any_row(const AlphaParams& p, const Rows& rows, std::int64_t y, bool copies) {
  using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const std::int64_t channels = p.out.channels;
  Weights weights;
  constexpr std::int64_t kSize = kRun * kMaxChannels;
  alignas(64) Real m[kSize], s[kSize + kSlack<Real>], d[kSize + kSlack<Real>];
  alignas(64) T result[kSize + kSlack<T>];
  bool finite = true;
  for (std::int64_t x = 0; x < p.mask.width; x += kRun) {
    const std::int64_t pixels = std::min<std::int64_t>(kRun, p.mask.width - x);
    const std::int64_t n = pixels * channels, oy = p.y0 + y, ox = p.x0 + x;
    read_weights(p, rows.mask, y, x, pixels, weights);
    if (!weights.any) {
      if (copies) copy_run<T>(rows, oy, ox, pixels);
      continue;
    }
    const bool is_copy = weights.full && p.src.dtype == p.out.dtype && !p.keep_alpha;
    if (!is_copy) {
      switch (channels) {
        case 1: repeat<1>(weights.value, pixels, m); break;
        case 2: repeat<2>(weights.value, pixels, m); break;
        case 3: repeat<3>(weights.value, pixels, m); break;
        default: repeat<4>(weights.value, pixels, m);
      }
    }
    T* const target =
        rows.out.dense() && weights.all && !p.over_alpha ? rows.out.at<T>(oy, ox) : result;
    const T* values = target;
    finite &= with_pixels<T>(rows.src, p.src.dtype, y, x, pixels, s, [&](const auto* above) {
      return with_pixels<T>(rows.dst, p.dst.dtype, oy, ox, pixels, d, [&](const auto* below) {
        using S = std::remove_const_t<std::remove_pointer_t<decltype(above)>>;
        using D = std::remove_const_t<std::remove_pointer_t<decltype(below)>>;
        if constexpr (std::is_same_v<S, T>) {
          if (is_copy) {
            values = above;
            return !p.checks || (are_finite<Real>(above, n) && are_finite<Real>(below, n));
          }
        }
        bool good = blend_run<Real>(above, below, m, n, target);
        if constexpr (std::is_same_v<D, T>) {
          if (p.over_alpha) good &= lay_over_alpha(p, y, x, pixels, below, target);
          if (!weights.all && !p.keep) {
            for (std::int64_t i = 0; i < pixels; ++i) {
              if (!weights.inside[i])
                std::copy_n(below + channels * i, channels, result + channels * i);
            }
          }
        }
        return good;
      });
    });
    if (p.keep && !weights.all) {
      for (std::int64_t i = 0; i < pixels; ++i) {
        if (weights.inside[i]) rows.out.write(values + channels * i, oy, ox + i, 1);
      }
    } else if (values != rows.out.at<T>(oy, ox)) {
      rows.out.write(values, oy, ox, pixels);
    }
  }
  return finite;
}

// Calls row(y) for each row of the mask, and copies what is beside and above and below it.
template <typename T, typename Row>
void for_each_row(const AlphaParams& p, const Rows& images, bool copies, Row&& row) {
  const std::int64_t height = copies ? p.out.height : p.mask.height, first = copies ? p.y0 : 0;
  const std::int64_t right = p.x0 + p.mask.width;
  const std::int64_t rows = kRangePixels / std::max<std::int64_t>(1, p.out.width);
  const auto run = [&](std::int64_t i) {
    const std::int64_t y = i - first;
    if (y < 0 || y >= p.mask.height) return copy_run<T>(images, i, 0, p.out.width);
    if (copies) copy_run<T>(images, i, 0, p.x0);
    row(y);
    if (copies) copy_run<T>(images, i, right, p.out.width - right);
  };
  parallel_for(height, std::max<std::int64_t>(1, rows), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) run(i);
  });
}

// The rows of images whose channels are interleaved, or of one plane.
bool blend(const AlphaParams& p) {
  const bool copies = !p.keep && p.out.data != p.dst.data;
  const Rows rows(p);
  std::atomic<bool> good{true};
  if (are_bytes(p)) {
    for_each_row<std::uint8_t>(p, rows, copies, [&](std::int64_t y) {
      if (!bytes_row(p, rows, y)) good = false;
    });
    return good;
  }
  dispatch_image(p.out.dtype, "out", [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_each_row<T>(p, rows, copies, [&](std::int64_t y) {
      if (!any_row<T>(p, rows, y, copies)) good = false;
    });
  });
  return good;
}

ImageView plane_of(ImageView image, std::int64_t channel) {
  image.data =
      static_cast<char*>(image.data) + channel * image.channel_stride * dtype_size(image.dtype);
  image.channels = 1;
  return image;
}

}  // namespace

bool alpha_kernel(const AlphaParams& p) {
  const auto is_planar = [](const ImageView& image) { return image.col_stride == 1; };
  const bool are_planes = is_planar(p.src) && is_planar(p.dst) && is_planar(p.out);
  if (p.over_alpha || (p.out.channels <= kMaxChannels && !are_planes)) return blend(p);
  bool good = true;
  for (std::int64_t c = 0; c < p.out.channels; ++c) {
    AlphaParams plane = p;
    plane.src = plane_of(p.src, c);
    plane.dst = plane_of(p.dst, c);
    plane.out = plane_of(p.out, c);
    good &= blend(plane);
  }
  return good;
}

}  // namespace pyharmony::HM_SIMD_NS
