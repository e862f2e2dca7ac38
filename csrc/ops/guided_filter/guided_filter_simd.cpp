// Compiled once for each instruction set, see core/simd.h. CMake turns contraction off for this
// file: each product is rounded before it is added, as NumPy's are.
#include "ops/guided_filter/guided_filter.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/buffer.h"
#include "core/parallel.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kStripRows = 32;
constexpr std::int64_t kBlock = 128;  // pixels along the sides of the blocks of a picture
constexpr int kPacked = 8;            // planes side by side in a pixel: one register, or two

// ---- means over windows ----

void add(const float* __restrict x, std::int64_t n, float* __restrict sums) {
  for (std::int64_t i = 0; i < n; ++i) sums[i] += x[i];
}

void add_product(const float* __restrict a, const float* __restrict b, std::int64_t n,
                 float* __restrict sums) {
  for (std::int64_t i = 0; i < n; ++i) sums[i] += a[i] * b[i];
}

std::int64_t count(std::int64_t i, std::int64_t n, std::int64_t radius) {
  return std::min(i + radius, n - 1) - std::max<std::int64_t>(i - radius, 0) + 1;
}

// The means of rows of windows; a plane, or the product of two, is summed down the columns first.
class Windows {
 public:
  Windows(std::int64_t height, std::int64_t width, std::int64_t radius)
      : height_(height),
        width_(width),
        radius_(radius),
        framed_(Buffer<float>::zeros(static_cast<std::size_t>(width + 2 * radius))),
        counts_(static_cast<std::size_t>(width)) {
    for (std::int64_t x = 0; x < width; ++x) {
      counts_[static_cast<std::size_t>(x)] = static_cast<float>(count(x, width, radius));
    }
  }

  // Writes row y of the means of a, or of a * b.
  void row(const float* a, const float* b, std::int64_t y, float* __restrict out) {
    float* const sums = framed_.data() + radius_;
    std::fill_n(sums, width_, 0.0f);
    const std::int64_t from = std::max<std::int64_t>(y - radius_, 0);
    for (std::int64_t v = from; v < std::min(y + radius_ + 1, height_); ++v) {
      if (b == nullptr) {
        add(a + v * width_, width_, sums);
      } else {
        add_product(a + v * width_, b + v * width_, width_, sums);
      }
    }
    std::memcpy(out, framed_.data(), static_cast<std::size_t>(width_) * sizeof(float));
    for (std::int64_t k = 1; k <= 2 * radius_; ++k) add(framed_.data() + k, width_, out);
    divide(static_cast<float>(count(y, height_, radius_)), out);
  }

 private:
  void divide(float rows, float* __restrict out) const {
    const float* __restrict const counts = counts_.data();
    for (std::int64_t x = 0; x < width_; ++x) out[x] /= rows * counts[x];
  }

  std::int64_t height_, width_, radius_;
  Buffer<float> framed_, counts_;
};

// The regression of a target on three channels, from their means in a row.
void solve_row(const float* const (&m)[13], float ridge, std::int64_t n, float* __restrict level,
               float* __restrict to_r, float* __restrict to_g, float* __restrict to_b) {
  const float *r = m[0], *g = m[1], *b = m[2], *middle = m[3];
  for (std::int64_t i = 0; i < n; ++i) {
    const float rr = m[4][i] - r[i] * r[i] + ridge, rg = m[5][i] - r[i] * g[i];
    const float rb = m[6][i] - r[i] * b[i], gg = m[7][i] - g[i] * g[i] + ridge;
    const float gb = m[8][i] - g[i] * b[i], bb = m[9][i] - b[i] * b[i] + ridge;
    const float with_r = m[10][i] - r[i] * middle[i], with_g = m[11][i] - g[i] * middle[i];
    const float with_b = m[12][i] - b[i] * middle[i];
    // The inverse of a symmetric matrix by its cofactors.
    const float a00 = gg * bb - gb * gb, a01 = gb * rb - rg * bb, a02 = rg * gb - gg * rb;
    const float a11 = rr * bb - rb * rb, a12 = rb * rg - rr * gb, a22 = rr * gg - rg * rg;
    const float whole = rr * a00 + rg * a01 + rb * a02;
    const float slope_r = (a00 * with_r + a01 * with_g + a02 * with_b) / whole;
    const float slope_g = (a01 * with_r + a11 * with_g + a12 * with_b) / whole;
    const float slope_b = (a02 * with_r + a12 * with_g + a22 * with_b) / whole;
    to_r[i] = slope_r;
    to_g[i] = slope_g;
    to_b[i] = slope_b;
    level[i] = middle[i] - (slope_r * r[i] + slope_g * g[i] + slope_b * b[i]);
  }
}

// ---- at the size of the picture ----

typedef float Eight __attribute__((vector_size(4 * kPacked)));

// Where pixels of a block lie between the cells along an axis.
struct Between {
  std::int64_t first[kBlock], second[kBlock];
  float share[kBlock];
  std::int64_t near, far;  // the cells that a block depends on; far is excluded

  // The pixels from `begin` to `end`, of `size` on `cells` cells.
  void place(std::int64_t begin, std::int64_t end, std::int64_t size, std::int64_t cells) {
    const double from = static_cast<double>(begin * cells) / static_cast<double>(size);
    const double to = static_cast<double>(end * cells) / static_cast<double>(size);
    const double count = static_cast<double>(end - begin);
    const std::int64_t last = cells - 1;
    for (std::int64_t i = 0; i < end - begin; ++i) {
      const double at = from + (static_cast<double>(i) + 0.5) * (to - from) / count - 0.5;
      const double clipped = std::min(std::max(at, 0.0), static_cast<double>(last));
      first[i] = std::min(static_cast<std::int64_t>(clipped), std::max<std::int64_t>(0, last - 1));
      second[i] = std::min(first[i] + 1, last);
      share[i] = static_cast<float>(clipped - static_cast<double>(first[i]));
    }
    near = std::max<std::int64_t>(0, static_cast<std::int64_t>(from) - 1);
    far = std::min(static_cast<std::int64_t>(std::ceil(to)) + 1, cells);
  }
};

// Returns low + share * (high - low).
inline void mix(const float* low, const float* high, float share, float* out) {
  Eight a, b;
  std::memcpy(&a, low, sizeof(a));
  std::memcpy(&b, high, sizeof(b));
  a += share * (b - a);
  std::memcpy(out, &a, sizeof(a));
}

class Blocks {
 public:
  explicit Blocks(const GuidedApplyParams& p)
      : p_(p),
        rows_(static_cast<std::size_t>(p.width * kPacked)),
        planes_(static_cast<std::size_t>(kPacked * kBlock)),
        colours_(static_cast<std::size_t>(3 * kBlock)) {}

  void make(std::int64_t top, std::int64_t left) {
    const std::int64_t bottom = std::min(top + kBlock, p_.out.height);
    const std::int64_t right = std::min(left + kBlock, p_.out.width);
    y_.place(top, bottom, p_.out.height, p_.height);
    x_.place(left, right, p_.out.width, p_.width);
    std::uint8_t value;
    if (is_plain(value)) {
      for (std::int64_t y = top; y < bottom; ++y) {
        std::uint8_t* const out = p_.out.at<std::uint8_t>(y, left, 0);
        if (p_.out.col_stride == 1) {
          std::memset(out, value, static_cast<std::size_t>(right - left));
        } else {
          for (std::int64_t i = 0; i < right - left; ++i) out[i * p_.out.col_stride] = value;
        }
      }
      return;
    }
    for (std::int64_t y = top; y < bottom; ++y) make_row(y, y - top, left, right - left);
  }

 private:
  // Returns whether a block needs no colours, and its value then.
  bool is_plain(std::uint8_t& value) const {
    const float* const plane = p_.share == nullptr ? p_.plain : p_.share;
    const std::int64_t first = y_.near * p_.width + x_.near;
    const float known = p_.share == nullptr ? plane[first] : 0.0f;
    if (known != 0 && known != 1) return false;
    for (std::int64_t y = y_.near; y < y_.far; ++y) {
      for (std::int64_t x = x_.near; x < x_.far; ++x) {
        if (plane[y * p_.width + x] != known) return false;
      }
    }
    value = static_cast<std::uint8_t>(p_.plain[first] * 255);
    return true;
  }

  void make_row(std::int64_t y, std::int64_t row, std::int64_t left, std::int64_t n) {
    const std::int64_t pitch = p_.width * kPacked;
    const float* const low = p_.packed + y_.first[row] * pitch;
    const float* const high = p_.packed + y_.second[row] * pitch;
    float* const cells = rows_.data();
    for (std::int64_t x = x_.first[0]; x <= x_.second[n - 1]; ++x) {
      mix(low + x * kPacked, high + x * kPacked, y_.share[row], cells + x * kPacked);
    }
    alignas(64) float pixel[kPacked];
    float* const planes = planes_.data();
    for (std::int64_t i = 0; i < n; ++i) {
      mix(cells + x_.first[i] * kPacked, cells + x_.second[i] * kPacked, x_.share[i], pixel);
      for (int k = 0; k < 6; ++k) planes[k * kBlock + i] = pixel[k];
    }
    read_colours(y, left, n);
    alignas(64) std::uint8_t levels[kBlock];
    p_.share == nullptr ? edges(n, levels) : shares(n, levels);
    std::uint8_t* const out = p_.out.at<std::uint8_t>(y, left, 0);
    for (std::int64_t i = 0; i < n; ++i) out[i * p_.out.col_stride] = levels[i];
  }

  void read_colours(std::int64_t y, std::int64_t left, std::int64_t n) {
    for (int k = 0; k < 3; ++k) {
      const std::uint8_t* __restrict const in = p_.picture.at<std::uint8_t>(y, left, k);
      float* __restrict const out = colours_.data() + k * kBlock;
      const std::int64_t step = p_.picture.col_stride;
      for (std::int64_t i = 0; i < n; ++i) {
        out[i] = static_cast<float>(in[i * step]) * static_cast<float>(1.0 / 255);
      }
    }
  }

  // The function of a pixel's colours.
  static float fine(const float* planes, const float* colours, std::int64_t i) {
    float value = planes[kBlock + i];
    value += planes[2 * kBlock + i] * colours[i];
    value += planes[3 * kBlock + i] * colours[kBlock + i];
    value += planes[4 * kBlock + i] * colours[2 * kBlock + i];
    return value;
  }

  static std::uint8_t rounded(float value) {
    const float clipped = std::min(std::max(value, 0.0f), 1.0f) * 255.0f;
    return static_cast<std::uint8_t>(static_cast<std::int32_t>(std::nearbyintf(clipped)));
  }

  void edges(std::int64_t n, std::uint8_t* __restrict out) const {
    const float* __restrict const planes = planes_.data();
    const float* __restrict const colours = colours_.data();
    const float contrast = p_.contrast;
    for (std::int64_t i = 0; i < n; ++i) {
      const float plain = planes[i];
      float value = (fine(planes, colours, i) - 0.5f) * contrast + 0.5f;
      const float sure = std::min(std::max(std::abs(plain - 0.5f) * 20 - 9, 0.0f), 1.0f);
      value += sure * (plain - value);
      out[i] = rounded(value);
    }
  }

  void shares(std::int64_t n, std::uint8_t* __restrict out) const {
    const float* __restrict const planes = planes_.data();
    const float* __restrict const colours = colours_.data();
    const float contrast = p_.contrast;
    for (std::int64_t i = 0; i < n; ++i) {
      const float plain = planes[i];
      const float value = plain + planes[5 * kBlock + i] * (fine(planes, colours, i) - plain);
      out[i] = rounded((value - 0.5f) * contrast + 0.5f);
    }
  }

  const GuidedApplyParams& p_;
  Between y_, x_;
  Buffer<float> rows_, planes_, colours_;
};

}  // namespace

void window_mean_kernel(const WindowMeanParams& p) {
  parallel_for(p.height, kStripRows, [&](std::int64_t begin, std::int64_t end) {
    Windows windows(p.height, p.width, p.radius);
    for (std::int64_t y = begin; y < end; ++y) windows.row(p.x, nullptr, y, p.out + y * p.width);
  });
}

void guided_fit_kernel(const GuidedFitParams& p) {
  const std::int64_t h = p.guide.height, w = p.guide.width, size = h * w;
  // Colours and target as planes.
  Buffer<float> memory(static_cast<std::size_t>(4 * size));
  const float* const planes[4] = {memory.data(), memory.data() + size, memory.data() + 2 * size,
                                  memory.data() + 3 * size};
  parallel_for(h, kStripRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      for (int k = 0; k < 4; ++k) {
        const ImageView& image = k < 3 ? p.guide : p.target;
        const float* __restrict const in = image.at<float>(y, 0, k < 3 ? k : 0);
        float* __restrict const out = memory.data() + k * size + y * w;
        for (std::int64_t x = 0; x < w; ++x) out[x] = in[x * image.col_stride];
      }
    }
  });
  constexpr int kMeans = 13;
  // Means of the planes, of the products of colours, and of those with the target.
  constexpr int kFirst[kMeans] = {0, 1, 2, 3, 0, 0, 0, 1, 1, 2, 0, 1, 2};
  constexpr int kSecond[kMeans] = {-1, -1, -1, -1, 0, 1, 2, 1, 2, 2, 3, 3, 3};
  parallel_for(h, kStripRows, [&](std::int64_t begin, std::int64_t end) {
    Windows windows(h, w, p.radius);
    Buffer<float> rows(static_cast<std::size_t>(kMeans * w));
    const float* means[kMeans];
    for (int k = 0; k < kMeans; ++k) means[k] = rows.data() + k * w;
    for (std::int64_t y = begin; y < end; ++y) {
      for (int k = 0; k < kMeans; ++k) {
        windows.row(planes[kFirst[k]], kSecond[k] < 0 ? nullptr : planes[kSecond[k]], y,
                    rows.data() + k * w);
      }
      float* const out = p.first + y * w;
      solve_row(means, p.ridge, w, out, out + size, out + 2 * size, out + 3 * size);
    }
  });
  parallel_for(h, kStripRows, [&](std::int64_t begin, std::int64_t end) {
    Windows windows(h, w, p.radius);
    for (int k = 0; k < 4; ++k) {
      for (std::int64_t y = begin; y < end; ++y) {
        windows.row(p.first + k * size, nullptr, y, p.fit + k * size + y * w);
      }
    }
  });
}

void guided_apply_kernel(const GuidedApplyParams& p) {
  const std::int64_t size = p.height * p.width;
  parallel_for(p.height, kStripRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * p.width; i < end * p.width; ++i) {
      float* const pixel = p.packed + i * kPacked;
      pixel[0] = p.plain[i];
      for (int k = 0; k < 4; ++k) pixel[1 + k] = p.fit[k * size + i];
      pixel[5] = p.share == nullptr ? 0.0f : p.share[i];
      pixel[6] = pixel[7] = 0.0f;
    }
  });
  const std::int64_t columns = (p.out.width + kBlock - 1) / kBlock;
  const std::int64_t strips = (p.out.height + kBlock - 1) / kBlock;
  parallel_for(strips * columns, columns, [&](std::int64_t begin, std::int64_t end) {
    Blocks blocks(p);
    for (std::int64_t i = begin; i < end; ++i) {
      blocks.make(i / columns * kBlock, i % columns * kBlock);
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
