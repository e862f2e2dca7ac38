// Takes runs of pixels through the stages, one at a time over planes that stay in the first cache.
#include <algorithm>

#include "core/dispatch.h"
#include "core/exponential.h"
#include "core/parallel.h"
#include "core/planes.h"
#include "core/vec.h"
#include "ops/color_map/color_map.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kTilePixels = 8192;

typedef float Vec4 __attribute__((vector_size(16)));

inline std::int64_t padded(std::int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

inline Vec to_float(VecI v) { return __builtin_convertvector(v, Vec); }

// The smallest argument of a logarithm.
constexpr float kSmallest = 1.1754944e-38f;

// Cephes' logf: x = 2^e m with m in [sqrt(1/2), sqrt(2)), and a polynomial of m - 1.
inline Vec natural_log(Vec x) {
  const VecI bits = (VecI)maximum(x, splat(kSmallest));
  const VecI exponent = (bits - 0x3f3504f3) >> 23;
  const Vec e = to_float(exponent);
  const Vec f = (Vec)(bits - (exponent << 23)) - 1.0f;
  Vec p = splat(7.0376836292e-2f);
  p = fma(p, f, splat(-1.1514610310e-1f));
  p = fma(p, f, splat(1.1676998740e-1f));
  p = fma(p, f, splat(-1.2420140846e-1f));
  p = fma(p, f, splat(1.4249322787e-1f));
  p = fma(p, f, splat(-1.6668057665e-1f));
  p = fma(p, f, splat(2.0000714765e-1f));
  p = fma(p, f, splat(-2.4999993993e-1f));
  p = fma(p, f, splat(3.3333331174e-1f));
  const Vec square = f * f;
  Vec y = p * f * square;
  y = fma(splat(-2.12194440e-4f), e, y);
  y = fma(splat(-0.5f), square, y);
  return keep_nan(x, fma(splat(0.693359375f), e, f + y));
}

void affine(const float* m, std::int64_t n, Run& run) {
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const Vec r = load(run.value[0] + i), g = load(run.value[1] + i), b = load(run.value[2] + i);
    for (int c = 0; c < 3; ++c) {
      const float* const row = m + 4 * c;
      store(run.value[c] + i,
            fma(splat(row[0]), r, fma(splat(row[1]), g, fma(splat(row[2]), b, splat(row[3])))));
    }
  }
}

// Interpolates linearly between the entries of a table; beyond its ends it is constant.
void curve(const float* values, std::int64_t count, std::int64_t n, float* __restrict x) {
  const float low = values[0], high = values[1];
  const float* const table = values + 2;
  const float last = static_cast<float>(count - 1), scale = last / (high - low);
  const std::int32_t final_cell = static_cast<std::int32_t>(count - 2);
  for (std::int64_t i = 0; i < n; ++i) {
    float t = (x[i] - low) * scale;
    t = t > 0 ? t : 0;
    t = t < last ? t : last;
    std::int32_t k = static_cast<std::int32_t>(t);
    k = k < final_cell ? k : final_cell;
    const float f = t - static_cast<float>(k);
    const float y = table[k] + f * (table[k + 1] - table[k]);
    x[i] = x[i] == x[i] ? y : x[i];
  }
}

// A pixel lies in one of the six tetrahedra that share the diagonal of its cell. The path from its
// lower left corner to the opposite one goes first along the axis with the largest fraction and
// last along the one with the smallest.
void lut(const float* table, std::int64_t size, std::int64_t n, Run& run) {
  struct alignas(64) Cells {
    std::int32_t base[kRun], first[kRun], second[kRun];
    float weight[4][kRun];
  } cells;
  const float last = static_cast<float>(size - 1);
  const std::int32_t top = static_cast<std::int32_t>(size - 2),
                     dg = static_cast<std::int32_t>(size), dr = dg * dg;
  for (std::int64_t i = 0; i < n; ++i) {
    float t[3];
    std::int32_t k[3];
    for (int c = 0; c < 3; ++c) {
      float v = run.value[c][i] * last;
      v = v > 0 ? v : 0;
      v = v < last ? v : last;
      const std::int32_t cell = static_cast<std::int32_t>(v);
      k[c] = cell < top ? cell : top;
      t[c] = v - static_cast<float>(k[c]);
    }
    const float rg = std::min(t[0], t[1]), hi_rg = std::max(t[0], t[1]);
    const float high = std::max(hi_rg, t[2]), low = std::min(rg, t[2]);
    const float middle = std::max(rg, std::min(hi_rg, t[2]));
    // Equal fractions give the same colour in either order: the corner between has weight zero.
    const std::int32_t first = t[0] >= hi_rg && t[0] >= t[2] ? dr : t[1] >= t[2] ? dg : 1;
    const std::int32_t final = t[2] <= rg ? 1 : t[1] <= t[0] ? dg : dr;
    cells.base[i] = k[0] * dr + k[1] * dg + k[2];
    cells.first[i] = first;
    cells.second[i] = dr + dg + 1 - final;
    const float all = run.value[0][i] + run.value[1][i] + run.value[2][i];
    cells.weight[0][i] = all == all ? 1 - high : all;  // NaN stays NaN
    cells.weight[1][i] = high - middle;
    cells.weight[2][i] = middle - low;
    cells.weight[3][i] = low;
  }
  const std::int64_t across = dr + dg + 1;
  const auto corner = [&](std::int64_t index) {
    Vec4 v;
    std::memcpy(&v, table + 4 * index, sizeof(v));
    return v;
  };
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t base = cells.base[i];
    const Vec4 y = cells.weight[0][i] * corner(base) +
                   cells.weight[1][i] * corner(base + cells.first[i]) +
                   cells.weight[2][i] * corner(base + cells.second[i]) +
                   cells.weight[3][i] * corner(base + across);
    run.value[0][i] = y[0];
    run.value[1][i] = y[1];
    run.value[2][i] = y[2];
  }
}

// Multiplies by 2^(a + b u + c v + d u^2 + e u v + f v^2), u and v from -1 to 1 across the image.
void light(const float* k, const RunPlace& at, std::int64_t n, Run& run) {
  const float v = 2 * (static_cast<float>(at.y) + 0.5f) / static_cast<float>(at.height) - 1;
  const float step = 2 / static_cast<float>(at.width);
  const float constant = k[0] + v * (k[2] + v * k[5]), slope = k[1] + v * k[4];
  for (std::int64_t i = 0; i < n; i += kLanes) {
    Vec u;
    for (int j = 0; j < kLanes; ++j) {
      u[j] = (static_cast<float>(at.x + i + j) + 0.5f) * step - 1;
    }
    const Vec stops = fma(u, fma(u, splat(k[3]), splat(slope)), splat(constant));
    const Vec gain = exponential(0.693147181f * stops);
    for (int c = 0; c < 3; ++c) store(run.value[c] + i, gain * load(run.value[c] + i));
  }
}

template <typename Fn>
inline void each(std::int64_t n, Run& run, Fn fn) {
  for (int c = 0; c < 3; ++c) {
    for (std::int64_t i = 0; i < n; i += kLanes) {
      store(run.value[c] + i, fn(load(run.value[c] + i)));
    }
  }
}

// run.value = range (s run.value + (1 - s) before.value), s = strength weight; exactly the former
// where s is 1.
void mix(const Run& before, float strength, float range, std::int64_t n, Run& run) {
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const Vec share = strength * load(before.weight + i), rest = 1.0f - share;
    for (int c = 0; c < 3; ++c) {
      const Vec y = load(run.value[c] + i);
      const Vec mixed = fma(share, y, rest * load(before.value[c] + i));
      store(run.value[c] + i, range * (share == 1.0f ? y : mixed));
    }
  }
}

template <typename T>
void store_pixels(const ImageView& out, const RunPlace& at, const Run& run, const float* weight) {
  T planes[3][kRun];
  for (int c = 0; c < 3; ++c) convert_from_float(run.value[c], at.n, planes[c]);
  T* const row = out.at<T>(at.y, at.x, 0);
  for (std::int64_t i = 0; i < at.n; ++i) {
    if (!(weight[i] > 0)) continue;
    T* const pixel = row + i * out.col_stride;
    for (int c = 0; c < 3; ++c) pixel[c * out.channel_stride] = planes[c][i];
  }
}

}  // namespace

void load_pixels(const ImageView& image, const RunPlace& at, Run& run) {
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const float scale = static_cast<float>(1 / dtype_range(image.dtype));
    const T* const row = image.at<T>(at.y, at.x, 0);
    if (image.col_stride == 3 && image.channel_stride == 1) {
      for (std::int64_t i = 0; i < at.n; ++i) {
        for (int c = 0; c < 3; ++c) run.value[c][i] = scale * to_real<float>(row[3 * i + c]);
      }
    } else {
      for (int c = 0; c < 3; ++c) {
        const T* const plane = row + c * image.channel_stride;
        for (std::int64_t i = 0; i < at.n; ++i) {
          run.value[c][i] = scale * to_real<float>(plane[i * image.col_stride]);
        }
      }
    }
    for (int c = 0; c < 3; ++c) {
      for (std::int64_t i = at.n; i < padded(at.n); ++i) run.value[c][i] = 0;
    }
  });
}

bool trim(const ImageView& mask, RunPlace& at) {
  if (mask.data == nullptr) return true;
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const row = mask.at<T>(at.y, at.x, 0);
    const auto above = [&](std::int64_t i) { return to_real<float>(row[i * mask.col_stride]) > 0; };
    std::int64_t first = 0, last = at.n;
    if constexpr (sizeof(T) == 1) {
      const auto none = [&](std::int64_t i) {
        std::uint64_t eight;
        std::memcpy(&eight, row + i, sizeof(eight));
        return eight == 0;
      };
      if (mask.col_stride == 1) {
        while (first + 8 <= last && none(first)) first += 8;
        while (last - 8 >= first && none(last - 8)) last -= 8;
      }
    }
    while (first < last && !above(first)) ++first;
    while (last > first && !above(last - 1)) --last;
    at.x += first;
    at.n = last - first;
  });
  return at.n > 0;
}

void load_weights(const ImageView& mask, const RunPlace& at, Run& run) {
  std::fill_n(run.weight, padded(at.n), mask.data == nullptr ? 1.0f : 0.0f);
  if (mask.data != nullptr) read_plane(mask, at.y, at.x, at.n, run.weight);
}

void run_stages(const std::vector<Stage>& stages, const RunPlace& at, Run& run) {
  const std::int64_t n = padded(at.n);
  for (const Stage& stage : stages) {
    switch (stage.kind) {
      case StageKind::kAffine: affine(stage.values, n, run); break;
      case StageKind::kLog: each(n, run, natural_log); break;
      case StageKind::kExp: each(n, run, exponential); break;
      case StageKind::kCurves:
        for (int c = 0; c < 3; ++c) {
          curve(stage.values + c * stage.channel_stride, stage.n, n, run.value[c]);
        }
        break;
      case StageKind::kLut: lut(stage.values, stage.n, n, run); break;
      case StageKind::kLight: light(stage.values, at, n, run); break;
    }
  }
}

void color_map_kernel(const ColorMapParams& p) {
  const std::int64_t pixels = p.image.height * p.image.width;
  parallel_for(
      (pixels + kTilePixels - 1) / kTilePixels, 1, [&](std::int64_t first, std::int64_t last) {
        Run before, run;
        for_each_run(p.image.height, p.image.width, first * kTilePixels,
                     std::min(last * kTilePixels, pixels), [&](RunPlace at) {
                       if (!trim(p.mask, at)) return;
                       load_weights(p.mask, at, before);
                       load_pixels(p.image, at, before);
                       for (int c = 0; c < 3; ++c) {
                         std::copy_n(before.value[c], padded(at.n), run.value[c]);
                       }
                       run_stages(*p.stages, at, run);
                       mix(before, p.strength, static_cast<float>(dtype_range(p.out.dtype)),
                           padded(at.n), run);
                       dispatch_image(p.out.dtype, "out", [&](auto tag) {
                         store_pixels<typename decltype(tag)::type>(p.out, at, run, before.weight);
                       });
                     });
      });
}

}  // namespace pyharmony::HM_SIMD_NS
