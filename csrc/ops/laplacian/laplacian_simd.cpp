// Compiled once for each instruction set, see core/simd.h. CMake turns contraction off for this
// file: each product is rounded before it is added, except in `cubic`.
#include "ops/laplacian/laplacian.h"

#include <atomic>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/planes.h"
#include "ops/pyramid/filters.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kStripRows = 64;
constexpr std::int64_t kRangePixels = 1 << 16;
constexpr int kMostCells = 3;

// ---- planes of bytes ----

// Rows of which each is 1 where all pixels at most `cells` away along the row are 1; borders of the
// plane are not contours. `n` bytes are written.
void erode_row(const std::uint8_t* in, std::int64_t n, int cells, std::uint8_t* __restrict framed,
               std::uint8_t* __restrict out) {
  std::memset(framed, in[0], static_cast<std::size_t>(cells));
  std::memcpy(framed + cells, in, static_cast<std::size_t>(n));
  std::memset(framed + cells + n, in[n - 1], static_cast<std::size_t>(cells));
  std::memcpy(out, framed, static_cast<std::size_t>(n));
  for (int k = 1; k <= 2 * cells; ++k) {
    for (std::int64_t i = 0; i < n; ++i) out[i] &= framed[i + k];
  }
}

// The rows of an eroded plane, from a strip of rows that are eroded along themselves.
class Eroded {
 public:
  // For rows y0 to y1 of the result, ends excluded.
  Eroded(const std::uint8_t* inside, std::int64_t height, std::int64_t width, int cells,
         std::int64_t y0, std::int64_t y1)
      : height_(height),
        width_(width),
        cells_(cells),
        first_(std::max<std::int64_t>(y0 - cells, 0)),
        last_(std::min(y1 + cells, height)),
        memory_(static_cast<std::size_t>((last_ - first_) * width + width + 2 * kMostCells)) {
    std::uint8_t* const framed = memory_.data() + (last_ - first_) * width;
    for (std::int64_t y = first_; y < last_; ++y) {
      erode_row(inside + y * width, width, cells, framed, memory_.data() + (y - first_) * width);
    }
  }

  void row(std::int64_t y, std::uint8_t* __restrict out) const {
    const std::int64_t from = std::max<std::int64_t>(y - cells_, 0);
    const std::int64_t to = std::min(y + cells_ + 1, height_);
    std::memcpy(out, along(from), static_cast<std::size_t>(width_));
    for (std::int64_t v = from + 1; v < to; ++v) {
      const std::uint8_t* __restrict other = along(v);
      for (std::int64_t i = 0; i < width_; ++i) out[i] &= other[i];
    }
  }

 private:
  const std::uint8_t* along(std::int64_t y) const { return memory_.data() + (y - first_) * width_; }

  std::int64_t height_, width_;
  int cells_;
  std::int64_t first_, last_;
  Buffer<std::uint8_t> memory_;
};

typedef std::uint8_t Bytes __attribute__((vector_size(HM_SIMD_BYTES)));

inline Bytes load_bytes(const std::uint8_t* p) {
  Bytes v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// Writes a + 2 b + c.
void add_three(const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* c, std::int64_t n,
               std::uint8_t* out) {
  std::int64_t i = 0;
  for (; i + HM_SIMD_BYTES <= n; i += HM_SIMD_BYTES) {
    const Bytes middle = load_bytes(b + i);
    const Bytes sum = load_bytes(a + i) + middle + middle + load_bytes(c + i);
    std::memcpy(out + i, &sum, sizeof(sum));
  }
  for (; i < n; ++i) out[i] = static_cast<std::uint8_t>(a[i] + 2 * b[i] + c[i]);
}

template <typename T>
void inside_row(const ImageView& mask, std::int64_t y, std::uint8_t* __restrict out) {
  const T* __restrict row = mask.at<T>(y, 0, 0);
  // A double that rounds to zero is inside too.
  using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const std::int64_t step = mask.col_stride;
  if (step == 1) {
    for (std::int64_t x = 0; x < mask.width; ++x) out[x] = to_real<Real>(row[x]) > 0;
  } else {
    for (std::int64_t x = 0; x < mask.width; ++x) out[x] = to_real<Real>(row[x * step]) > 0;
  }
}

// ---- doubled rows ----

constexpr std::int64_t kTileCells = 192;
constexpr std::int64_t kTileRows = 64;
constexpr std::int64_t kReach = 2;  // cells that the cubic reads on each side

// Rows of an image [h, w, C] of floats at twice its size, over at most kTileCells of its cells.
template <int kC>
class Doubled {
 public:
  Doubled(const float* image, std::int64_t height, std::int64_t width, std::int64_t channels)
      : image_(image), height_(height), width_(width), c_(kC > 0 ? kC : channels) {
    const std::int64_t half = padded(kTileCells * c_);
    memory_ = Buffer<float>(
        static_cast<std::size_t>(padded((kTileCells + 2 * kReach) * c_) + kReach * c_ + 2 * half));
    column_ = memory_.data();
    even_ = column_ + padded((kTileCells + 2 * kReach) * c_) + kReach * c_;
    odd_ = even_ + half;
  }

  // Writes the pixels of cells [x0, x1) of row y: 2 (x1 - x0) of them, also where the image is
  // narrower, and the lanes of a register more.
  void row(std::int64_t y, std::int64_t x0, std::int64_t x1, float* out) {
    const std::int64_t cell = y / 2, toward = y % 2 == 0 ? -1 : 1;  // toward the far neighbour
    const std::int64_t left = std::max<std::int64_t>(x0 - kReach, 0);
    const std::int64_t right = std::min(x1 + kReach, width_);
    const float* const near_outer = at(cell - toward, left);
    const float* const near = at(cell, left);
    const float* const far = at(cell + toward, left);
    const float* const far_outer = at(cell + 2 * toward, left);
    float* const first = column_ + (left - (x0 - kReach)) * c_;
    const std::int64_t n = (right - left) * c_;
    for (std::int64_t i = 0; i < n; i += kLanes) {
      store_unaligned(first + i, cubic(load_unaligned(near_outer + i), load_unaligned(near + i),
                                       load_unaligned(far + i), load_unaligned(far_outer + i)));
    }
    for (float* p = column_; p < first; p += c_) std::copy_n(first, c_, p);
    float* const end = column_ + (x1 - x0 + 2 * kReach) * c_;
    for (float* p = first + n; p < end; p += c_) std::copy_n(first + n - c_, c_, p);
    const float* const centre = column_ + kReach * c_;
    for (std::int64_t i = 0; i < (x1 - x0) * c_; i += kLanes) {
      const Vec before = load_unaligned(centre + i - c_), here = load_unaligned(centre + i),
                after = load_unaligned(centre + i + c_);
      store_unaligned(even_ + i, cubic(after, here, before, load_unaligned(centre + i - 2 * c_)));
      store_unaligned(odd_ + i, cubic(before, here, after, load_unaligned(centre + i + 2 * c_)));
    }
    if constexpr (kC == 3) {
      // Each pixel is moved with a float more, which the next one overwrites.
      for (std::int64_t i = 0; i < x1 - x0; ++i) {
        std::memcpy(out + 6 * i, even_ + 3 * i, 4 * sizeof(float));
        std::memcpy(out + 6 * i + 3, odd_ + 3 * i, 4 * sizeof(float));
      }
    } else {
      copy_pixels<kC>(even_, 1, out, 2, x1 - x0, c_);
      copy_pixels<kC>(odd_, 1, out + c_, 2, x1 - x0, c_);
    }
  }

 private:
  const float* at(std::int64_t y, std::int64_t x) const {
    return image_ + (clamp(y, height_) * width_ + x) * c_;
  }

  const float* image_;
  std::int64_t height_, width_, c_;
  Buffer<float> memory_;
  float *column_, *even_, *odd_;
};

// Writes each of n weights once for each channel, and a float more.
template <int kC>
void repeat(const float* weights, std::int64_t n, std::int64_t channels, float* out) {
  if constexpr (kC == 3) {
    typedef float Four __attribute__((vector_size(16)));
    for (std::int64_t i = 0; i < n; ++i) {
      const Four all = weights[i] - Four{};
      std::memcpy(out + 3 * i, &all, sizeof(all));
    }
  } else {
    const std::int64_t c = kC > 0 ? kC : channels;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t k = 0; k < c; ++k) out[i * c + k] = weights[i];
    }
  }
}

// Calls fn(first, last) for each span of ones.
template <typename Fn>
void for_each_span(const std::uint8_t* inside, std::int64_t n, Fn&& fn) {
  for (std::int64_t i = 0; i < n; ++i) {
    if (!inside[i]) continue;
    const std::int64_t first = i;
    const void* const zero = std::memchr(inside + i, 0, static_cast<std::size_t>(n - i));
    i = zero == nullptr ? n : static_cast<const std::uint8_t*>(zero) - inside;
    fn(first, i);
  }
}

// Writes values of pixels from (y, x) on where inside, rounded; returns how many were clipped.
template <typename Real>
std::int64_t write_row(const ImageView& out, std::int64_t y, std::int64_t x, std::int64_t n,
                       const std::uint8_t* inside, const Real* values) {
  std::int64_t clipped = 0;
  const std::int64_t c = out.channels;
  dispatch_image(out.dtype, "out", [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* const to = out.at<T>(y, x, 0);
    for_each_span(inside, n, [&](std::int64_t first, std::int64_t last) {
      const Real* const from = values + first * c;
      const std::int64_t count = (last - first) * c;
      clipped += count_clipped(from, count, out.dtype);
      if (interleaved(out)) {
        if constexpr (std::is_same_v<Real, float>) {
          convert_from_float(from, count, to + first * c);
        } else {
          for (std::int64_t i = 0; i < count; ++i) to[first * c + i] = from_real<T>(from[i]);
        }
        return;
      }
      for (std::int64_t i = first; i < last; ++i) {
        for (std::int64_t k = 0; k < c; ++k) {
          to[i * out.col_stride + k * out.channel_stride] = from_real<T>(values[i * c + k]);
        }
      }
    });
  });
  return clipped;
}

template <int kC, typename Real>
class Tile {
 public:
  explicit Tile(const BandParams& p)
      : p_(p),
        c_(kC > 0 ? kC : p.x.channels),
        x_(p.coarse, (p.x.height + 1) / 2, (p.x.width + 1) / 2, c_),
        sum_(p.coarse_sum, (p.x.height + 1) / 2, (p.x.width + 1) / 2, c_),
        floats_(static_cast<std::size_t>(kPitch * (3 * c_ + 1))),
        reals_(static_cast<std::size_t>(2 * kPitch * c_)) {}

  // Computes columns [x0, x1) of row y; x0 is even. Returns how many values were clipped.
  std::int64_t row(std::int64_t y, std::int64_t x0, std::int64_t x1) {
    const bool finest = p_.dst.data != nullptr;
    const std::uint8_t* const inside = finest ? p_.inside + y * p_.x.width : nullptr;
    if (finest) {
      const void* const first = std::memchr(inside + x0, 1, static_cast<std::size_t>(x1 - x0));
      if (first == nullptr) return 0;
      x0 = (static_cast<const std::uint8_t*>(first) - inside) / 2 * 2;
      while (!inside[x1 - 1]) --x1;
    }
    const std::int64_t pixels = x1 - x0, n = pixels * c_;
    float* const below = floats_.data();
    float* const above = below + kPitch * c_;
    float* const weights = above + kPitch * c_;
    float* const each = weights + kPitch * c_;
    Real* __restrict const value = reals_.data();
    Real* __restrict const dst = value + kPitch * c_;

    read_weights(y, x0, pixels, each);
    repeat<kC>(each, pixels, c_, weights);
    read_row(p_.x, y, x0, x1, value);
    if (finest) read_row(p_.dst, y, x0, x1, dst);
    if (p_.coarse != nullptr) {
      x_.row(y, x0 / 2, (x1 + 1) / 2, below);
      sum_.row(y, x0 / 2, (x1 + 1) / 2, above);
    }
    return finest ? finish(y, x0, pixels, n, below, above, weights, value, dst, inside + x0)
                  : (add(n, below, above, weights, value, p_.out.at<float>(y, x0, 0)), 0);
  }

 private:
  static constexpr std::int64_t kPitch = 2 * kTileCells + kLanes;

  void read_weights(std::int64_t y, std::int64_t x, std::int64_t n, float* __restrict out) const {
    read_plane(p_.mask, y, x, n, out);
    const std::uint8_t* __restrict const ramp = p_.ramp + y * p_.x.width + x;
    for (std::int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<float>(ramp[i]) * 0.0625f * out[i];
    }
  }

  void add(std::int64_t n, const float* below, const float* above, const float* weights,
           const Real* x, float* __restrict out) const {
    if (p_.coarse == nullptr) {
      for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(x[i]) * weights[i];
    } else {
      for (std::int64_t i = 0; i < n; ++i) {
        out[i] = (static_cast<float>(x[i]) - below[i]) * weights[i] + above[i];
      }
    }
  }

  std::int64_t finish(std::int64_t y, std::int64_t x0, std::int64_t pixels, std::int64_t n,
                      const float* below, const float* above, const float* weights,
                      Real* __restrict value, const Real* __restrict dst,
                      const std::uint8_t* inside) const {
    if (p_.coarse == nullptr) {
      for (std::int64_t i = 0; i < n; ++i) {
        value[i] = static_cast<Real>(static_cast<float>(value[i] - dst[i]) * weights[i]) + dst[i];
      }
    } else {
      for (std::int64_t i = 0; i < n; ++i) {
        const float band = static_cast<float>(value[i] - dst[i]) - below[i];
        value[i] = static_cast<Real>(band * weights[i] + above[i]) + dst[i];
      }
    }
    return write_row(p_.out, y, x0, pixels, inside, value);
  }

  const BandParams& p_;
  std::int64_t c_;
  Doubled<kC> x_, sum_;
  Buffer<float> floats_;
  Buffer<Real> reals_;
};

template <int kC, typename Real>
std::int64_t band(const BandParams& p) {
  const std::int64_t across = 2 * kTileCells, columns = (p.x1 - p.x0 + across - 1) / across;
  const std::int64_t strips = (p.y1 - p.y0 + kTileRows - 1) / kTileRows;
  std::atomic<std::int64_t> clipped{0};
  parallel_each(strips * columns, 1, [&](std::int64_t i) {
    Tile<kC, Real> tile(p);
    const std::int64_t y0 = p.y0 + i / columns * kTileRows, x0 = p.x0 + i % columns * across;
    std::int64_t count = 0;
    for (std::int64_t y = y0; y < std::min(y0 + kTileRows, p.y1); ++y) {
      count += tile.row(y, x0, std::min(x0 + across, p.x1));
    }
    clipped += count;
  });
  return clipped;
}

template <int kC>
std::int64_t band(const BandParams& p) {
  const bool exact = p.x.dtype == DType::kFloat64 || p.dst.dtype == DType::kFloat64 ||
                     p.out.dtype == DType::kFloat64;
  return exact ? band<kC, double>(p) : band<kC, float>(p);
}

}  // namespace

void inside_kernel(const ImageView& mask, std::uint8_t* inside) {
  const std::int64_t rows = std::max<std::int64_t>(1, kRangePixels / mask.width);
  dispatch_any(mask.dtype, [&](auto tag) {
    parallel_each(mask.height, rows, [&](std::int64_t y) {
      inside_row<typename decltype(tag)::type>(mask, y, inside + y * mask.width);
    });
  });
}

void ramp_kernel(const RampParams& p) {
  const std::int64_t w = p.width;
  parallel_for(p.height, kStripRows, [&](std::int64_t begin, std::int64_t end) {
    const Eroded eroded(p.inside, p.height, w, p.cells, std::max<std::int64_t>(begin - 1, 0),
                        std::min(end + 1, p.height));
    Buffer<std::uint8_t> memory(static_cast<std::size_t>(4 * w + 2));
    std::uint8_t* const sum = memory.data() + 1;  // with a byte before and after
    std::uint8_t* rows[3] = {memory.data() + w + 2, memory.data() + 2 * w + 2,
                             memory.data() + 3 * w + 2};
    const auto fill = [&](std::int64_t y, std::uint8_t* out) {
      eroded.row(clamp(y, p.height), out);
    };
    fill(begin - 1, rows[0]);
    fill(begin, rows[1]);
    for (std::int64_t y = begin; y < end; ++y) {
      fill(y + 1, rows[2]);
      add_three(rows[0], rows[1], rows[2], w, sum);
      sum[-1] = sum[0];
      sum[w] = sum[w - 1];
      add_three(sum - 1, sum, sum + 1, w, p.ramp + y * w);
      std::rotate(rows, rows + 1, rows + 3);
    }
  });
}

std::int64_t core_kernel(const std::uint8_t* inside, std::int64_t height, std::int64_t width,
                         int cells) {
  std::atomic<std::int64_t> total{0};
  parallel_for(height, kStripRows, [&](std::int64_t begin, std::int64_t end) {
    const Eroded eroded(inside, height, width, cells, begin, end);
    Buffer<std::uint8_t> row(static_cast<std::size_t>(width));
    std::int64_t count = 0;
    for (std::int64_t y = begin; y < end; ++y) {
      eroded.row(y, row.data());
      int its = 0;
      for (std::int64_t x = 0; x < width; ++x) its += row[static_cast<std::size_t>(x)];
      count += its;
    }
    total += count;
  });
  return total;
}

std::int64_t band_kernel(const BandParams& params) {
  if (params.x.channels == 3) return band<3>(params);
  if (params.x.channels == 1) return band<1>(params);
  return band<0>(params);
}

}  // namespace pyharmony::HM_SIMD_NS
