// Maps runs of a row's pixels as planes in the first cache. Everything that depends on the row
// alone is computed once: the grid between two of its rows. A run is cut where it passes a centre
// of a cell, and between two centres a pixel has four nodes: two columns and two depths. Tables of
// up to 16 depths or knots are looked up in registers, others in memory.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "ops/color_grid/runs.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kTilePixels = 16384;

// ---- the map of a run

#if HM_SIMD_BYTES >= 32
inline Vec to_float(VecI v) { return __builtin_convertvector(v, Vec); }

// Returns table[index], where index is below kCount, 8 or 16.
template <int kCount>
inline Vec look_up(const float* table, VecI index) {
#if HM_SIMD_BYTES == 64
  return _mm512_maskz_permutexvar_ps(0xffff, (__m512i)index, load(table));
#else
  const Vec low = _mm256_permutevar8x32_ps(load(table), (__m256i)index);
  if constexpr (kCount == 8) return low;
  const Vec high = _mm256_permutevar8x32_ps(load(table + 8), (__m256i)index);
  return _mm256_blendv_ps(low, high, (Vec)(index << 28));
#endif
}

template <int kCount>
void slice_in_registers(const Piece<float>& piece, const float* left, const float* right,
                        std::int64_t depth, Pixels<float>& run) {
  constexpr int kSteps = kCoefficients * kEntries;
  Vec lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = static_cast<float>(i);
  const float count = static_cast<float>(depth);
  for (std::int64_t i = piece.begin; i < piece.end; i += kLanes) {
    const Vec x[3] = {load_unaligned(run.value[0] + i), load_unaligned(run.value[1] + i),
                      load_unaligned(run.value[2] + i)};
    const Vec luma = fma(splat(static_cast<float>(kLuma[0])), held(x[0], 1),
                         fma(splat(static_cast<float>(kLuma[1])), held(x[1], 1),
                             static_cast<float>(kLuma[2]) * held(x[2], 1)));
    const Vec w = held(fma(luma, splat(count), splat(-0.5f)), count - 1);
    const VecI k = __builtin_convertvector(w, VecI);
    const Vec deep = w - to_float(k);
    const float from = piece.offset + static_cast<float>(i - piece.begin);
    const Vec across = fma(from + lane, splat(piece.step), splat(piece.start));
    for (int o = 0; o < 3; ++o) {
      Vec sum[2];
      for (int side = 0; side < 2; ++side) {
        const float* const table = (side == 0 ? left : right) + 4 * o * kEntries;
        for (int j = 3; j >= 0; --j) {
          const float* const at = table + j * kEntries;
          const Vec c = fma(deep, look_up<kCount>(at + kSteps, k), look_up<kCount>(at, k));
          sum[side] = j == 3 ? c : fma(c, x[j], sum[side]);
        }
      }
      store_from_float(run.delta[o] + i, fma(across, sum[1] - sum[0], sum[0]));
    }
  }
}

template <int kCount>
void add_curves_in_registers(const float* tables, std::int64_t knots, std::int64_t n,
                             Pixels<float>& run) {
  const float last = static_cast<float>(knots - 1);
  for (std::int64_t i = 0; i < n; i += kLanes) {
    Vec sum[3];
    for (int o = 0; o < 3; ++o) sum[o] = load(run.delta[o] + i);
    for (int c = 0; c < 3; ++c) {
      const Vec t = last * held(load(run.value[c] + i), 1);
      const VecI k = __builtin_convertvector(t, VecI);
      const Vec f = t - to_float(k);
      for (int o = 0; o < 3; ++o) {
        const float* const table = tables + (3 * c + o) * 2 * kEntries;
        sum[o] += fma(f, look_up<kCount>(table + kEntries, k), look_up<kCount>(table, k));
      }
    }
    for (int o = 0; o < 3; ++o) store(run.delta[o] + i, sum[o]);
  }
}
#endif

template <typename Real>
void slice_in_memory(const Piece<Real>& piece, const Real* left, const Real* right,
                     std::int64_t depth, Pixels<Real>& run) {
  const Real count = static_cast<Real>(depth);
  for (std::int64_t i = piece.begin; i < piece.end; ++i) {
    const Real x[4] = {run.value[0][i], run.value[1][i], run.value[2][i], Real(1)};
    Real luma = 0;
    for (int c = 0; c < 3; ++c) luma += static_cast<Real>(kLuma[c]) * held(x[c], Real(1));
    const Real w = held(luma * count - Real(0.5), count - 1);
    const std::int64_t k = static_cast<std::int64_t>(w);
    const Real deep = w - static_cast<Real>(k);
    const Real across = piece.share(i);
    const std::int64_t at = k * kNode, next = std::min(k + 1, depth - 1) * kNode;
    Four<Real> sum = {};
    for (int j = 0; j < 4; ++j) {
      const Four<Real> low = ReadFour<Real>(left + at + 4 * j).value;
      const Four<Real> high = ReadFour<Real>(right + at + 4 * j).value;
      const Four<Real> next_low = ReadFour<Real>(left + next + 4 * j).value;
      const Four<Real> next_high = ReadFour<Real>(right + next + 4 * j).value;
      const Four<Real> a = low + deep * (next_low - low), b = high + deep * (next_high - high);
      sum += x[j] * (a + across * (b - a));
    }
    for (int o = 0; o < 3; ++o) run.delta[o][i] = sum[o];
  }
}

template <typename Real>
void add_curves_in_memory(const Real* tables, std::int64_t knots, std::int64_t n,
                          Pixels<Real>& run) {
  const Real last = static_cast<Real>(knots - 1);
  for (std::int64_t i = 0; i < n; ++i) {
    Four<Real> sum = {};
    for (int c = 0; c < 3; ++c) {
      const Real t = last * held(run.value[c][i], Real(1));
      const std::int64_t k = static_cast<std::int64_t>(t);
      const Real* const at = tables + (c * (knots + 1) + k) * 4;
      const Four<Real> low = ReadFour<Real>(at).value;
      sum += low + (t - static_cast<Real>(k)) * (ReadFour<Real>(at + 4).value - low);
    }
    for (int o = 0; o < 3; ++o) run.delta[o][i] += sum[o];
  }
}

template <typename Real>
void affine(const Real* m, std::int64_t n, Pixels<Real>& run) {
  for (std::int64_t i = 0; i < n; i += kWidth<Real>) {
    const auto r = read(run.value[0] + i), g = read(run.value[1] + i), b = read(run.value[2] + i);
    for (int o = 0; o < 3; ++o) {
      const Real* const row = m + 4 * o;
      const auto rest = multiply_add(all(row[2]), b, all(row[3]));
      write(run.delta[o] + i, multiply_add(all(row[0]), r, multiply_add(all(row[1]), g, rest)));
    }
  }
}

// Computes the map's change of the n pixels from (y, x) on; make_row has made `row`.
template <typename Real>
void map_run(const ColorGridCall& call, const Tables<Real>& tables, const Real* row,
             const RunPlace& at, Pixels<Real>& run) {
  if (call.grid.data == nullptr) {
    affine(tables.affine, at.n, run);
  } else {
    const std::int64_t size = column_size(call, tables);
    for_each_piece<Real>(call, at, [&](const Piece<Real>& piece) {
      const Real* const left = row + (piece.left - tables.left) * size;
      const Real* const right = row + (piece.right - tables.left) * size;
#if HM_SIMD_BYTES >= 32
      if constexpr (std::is_same_v<Real, float>) {
        if (tables.grid_in_registers) {
          if (call.depth <= 8) {
            slice_in_registers<8>(piece, left, right, call.depth, run);
          } else {
            slice_in_registers<kEntries>(piece, left, right, call.depth, run);
          }
          return;
        }
      }
#endif
      slice_in_memory(piece, left, right, call.depth, run);
    });
  }
  if (call.curves.data == nullptr) return;
#if HM_SIMD_BYTES >= 32
  if constexpr (std::is_same_v<Real, float>) {
    if (tables.curves_in_registers) {
      if (call.knots <= 8) {
        add_curves_in_registers<8>(tables.curves.data(), call.knots, at.n, run);
      } else {
        add_curves_in_registers<kEntries>(tables.curves.data(), call.knots, at.n, run);
      }
      return;
    }
  }
#endif
  add_curves_in_memory(tables.curves.data(), call.knots, at.n, run);
}

// delta = range (x + weight (y - x)), y = x + delta held no further outside [0, 1] than x.
template <typename Real>
void mix(Real range, std::int64_t n, Pixels<Real>& run) {
  using V = typename VecOf<Real>::type;
  const V zero = {}, one = all(Real(1));
  for (std::int64_t i = 0; i < n; i += kWidth<Real>) {
    const V weight = read(run.weight + i);
    for (int c = 0; c < 3; ++c) {
      const V x = read(run.value[c] + i), given = x + read(run.delta[c] + i);
      const V low = x < zero ? x : zero, high = x > one ? x : one;
      const V above = given < low ? low : given;  // NaN stays NaN
      const V y = above > high ? high : above;
      const V mixed = multiply_add(weight, y - x, x);
      write(run.delta[c] + i, range * (weight == one ? y : mixed));
    }
  }
}

// ---- pixels in and out

template <typename T, typename Real>
void store_run(const ImageView& out, const ImageView& image, const RunPlace& at, bool masked,
               const Pixels<Real>& run) {
  alignas(64) T planes[3][kRun + kBehind];
  for (int c = 0; c < 3; ++c) {
    for (std::int64_t i = 0; i < at.n; i += kWidth<Real>) {
      write(planes[c] + i, read(run.delta[c] + i));
    }
  }
  T* const row = out.at<T>(at.y, at.x, 0);
  // Integers without weight are back at their old values; for floats the bits are kept, NaN's too.
  constexpr bool kExact = std::is_integral_v<T>;
  if (is_packed(out) && (kExact || !masked)) {
    put_together(planes, at.n, row);
    return;
  }
  const T* const given = image.at<T>(at.y, at.x, 0);
  for (std::int64_t i = 0; i < at.n; ++i) {
    for (int c = 0; c < 3; ++c) {
      row[i * out.col_stride + c * out.channel_stride] =
          kExact || run.weight[i] > 0 ? planes[c][i]
                                      : given[i * image.col_stride + c * image.channel_stride];
    }
  }
}

// Copies the pixels [x, x + n) of a row without change.
template <typename T>
void copy_pixels(const ImageView& image, const ImageView& out, std::int64_t y, std::int64_t x,
                 std::int64_t n) {
  if (n <= 0 || image.data == out.data) return;
  const T* const from = image.at<T>(y, x, 0);
  T* const to = out.at<T>(y, x, 0);
  if (is_packed(image) && is_packed(out)) {
    std::memcpy(to, from, static_cast<std::size_t>(3 * n) * sizeof(T));
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    for (int c = 0; c < 3; ++c) {
      to[i * out.col_stride + c * out.channel_stride] =
          from[i * image.col_stride + c * image.channel_stride];
    }
  }
}

// ---- rows of an image

template <typename T, typename Real>
void map_rows(const ColorGridCall& call, const Tables<Real>& tables, std::int64_t n,
              std::int64_t top, std::int64_t bottom) {
  const ImageView image = call.image.item(n, call.height, call.width, 3);
  const ImageView mask = call.mask.item(n, call.height, call.width, 1);
  const ImageView out = call.out.item(n, call.height, call.width, 3);
  const bool has_grid = call.grid.data != nullptr;
  Buffer<Real> row(tables.columns * column_size(call, tables));
  const Real range = static_cast<Real>(dtype_range(image.dtype));
  Pixels<Real> run;
  for (std::int64_t y = top; y < bottom; ++y) {
    bool made = !has_grid;
    for (std::int64_t x = 0; x < call.width; x += kRun) {
      const std::int64_t width = std::min(kRun, call.width - x);
      RunPlace at{y, x, width, call.height, call.width};
      if (!trim(mask, at)) {
        copy_pixels<T>(image, out, y, x, width);
        continue;
      }
      copy_pixels<T>(image, out, y, x, at.x - x);
      copy_pixels<T>(image, out, y, at.x + at.n, x + width - at.x - at.n);
      if (!made) make_row(call, tables, y, row.data());
      made = true;
      load_run<T>(image, at, 1 / range, run);
      load_weights(mask, at, run);
      map_run(call, tables, row.data(), at, run);
      mix(range, at.n, run);
      store_run<T>(out, image, at, mask.data != nullptr, run);
    }
  }
}

template <typename T, typename Real>
void map_images(const ColorGridCall& call) {
  // There is one set of tables where the images share their map.
  const bool shared = call.affine.step == 0 && call.curves.step == 0 && call.grid.step == 0;
  const std::int64_t sets = shared ? 1 : call.images;
  std::vector<Tables<Real>> tables(static_cast<std::size_t>(sets));
  parallel_each(sets, 1, [&](std::int64_t i) { make_tables(call, i, true, tables[i]); });
  const std::int64_t rows = std::max<std::int64_t>(1, kTilePixels / call.width);
  const std::int64_t tiles = (call.height + rows - 1) / rows;
  parallel_each(call.images * tiles, 1, [&](std::int64_t i) {
    const std::int64_t n = i / tiles, top = i % tiles * rows;
    map_rows<T>(call, tables[shared ? 0 : n], n, top, std::min(top + rows, call.height));
  });
}

}  // namespace

void color_grid_kernel(const ColorGridCall& call) {
  dispatch_image(call.image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    map_images<T, typename RealOf<T>::type>(call);
  });
}

}  // namespace pyharmony::HM_SIMD_NS
