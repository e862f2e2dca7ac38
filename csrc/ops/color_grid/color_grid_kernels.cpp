// Runs of a row's pixels as planes in the first cache. What depends on the row alone is worked out
// once: the grid between two of its rows. A run is cut where it passes a centre of a cell, and
// between two centres a pixel has four nodes: two columns and two depths. Tables of up to 16 depths
// or knots are looked up in registers, others in memory.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "core/dispatch.h"
#include "ops/color_grid/tables.h"
#include "ops/color_map/stages.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kTilePixels = 16384;
// Behind a run, for vectors that begin anywhere in it.
constexpr std::int64_t kBehind = 16;

// In units of the dtype's range; `delta` is what the map adds, then the result.
template <typename Real>
struct alignas(64) Pixels {
  Real value[3][kRun + kBehind];
  Real delta[3][kRun + kBehind];
  Real weight[kRun + kBehind];
};

// ---- tables
// --------------------------------------------------------------------------------------

constexpr bool kPermutes = HM_SIMD_BYTES >= 32;

template <typename Real>
struct Tables {
  bool grid_in_registers = false, curves_in_registers = false;
  bool has_affine = false;
  Real affine[kCoefficients] = {};  // less the identity; where there is no grid
  Buffer<Real> curves;              // as pack_knots, or [3 in][3 out][2][kEntries]: values, steps
  Buffer<Real> grid;  // as pack_nodes, or [row][column][kCoefficients][kEntries], the last repeated
};

template <typename Real>
void make_tables(const ColorGridCall& call, std::int64_t image, Tables<Real>& tables) {
  const Real* const affine = call.affine.of<Real>(image);
  const Real* const curves = call.curves.of<Real>(image);
  const Real* const grid = call.grid.of<Real>(image);
  constexpr bool kRegisters = kPermutes && std::is_same_v<Real, float>;
  if (affine != nullptr) {
    tables.has_affine = true;
    less_identity(affine, tables.affine);
  }
  if (curves != nullptr) {
    tables.curves_in_registers = kRegisters && call.knots <= kEntries;
    if (tables.curves_in_registers) {
      tables.curves = Buffer<Real>(9 * 2 * kEntries);
      for (int t = 0; t < 9; ++t) {
        const Real* const from = curves + (t % 3 * 3 + t / 3) * call.knots;
        Real* const to = tables.curves.data() + t * 2 * kEntries;
        for (int k = 0; k < kEntries; ++k) {
          const auto at = [&](int i) { return from[std::min<std::int64_t>(i, call.knots - 1)]; };
          to[k] = at(k);
          to[kEntries + k] = at(k + 1) - at(k);
        }
      }
    } else {
      tables.curves = Buffer<Real>(3 * (call.knots + 1) * 4);
      pack_knots(curves, call.knots, tables.curves.data());
    }
  }
  if (grid == nullptr) return;
  const Real* const add = tables.has_affine ? tables.affine : nullptr;
  const std::int64_t columns = call.down.cells * call.across.cells;
  tables.grid_in_registers = kRegisters && call.depth <= kEntries;
  if (tables.grid_in_registers) {
    tables.grid = Buffer<Real>(columns * kCoefficients * kEntries);
    for (std::int64_t i = 0; i < columns; ++i) {
      const Real* const from = grid + i * call.depth * kCoefficients;
      Real* const to = tables.grid.data() + i * kCoefficients * kEntries;
      for (int j = 0; j < kCoefficients; ++j) {
        for (int k = 0; k < kEntries; ++k) {
          const std::int64_t depth = std::min<std::int64_t>(k, call.depth - 1);
          to[j * kEntries + k] = from[depth * kCoefficients + j] + (add != nullptr ? add[j] : 0);
        }
      }
    }
  } else {
    tables.grid = Buffer<Real>(columns * call.depth * kNode);
    pack_nodes(grid, add, columns * call.depth, tables.grid.data());
  }
}

// A column of a row's grid: in registers [2][kCoefficients][kEntries], values and steps to the next
// depth; in memory [depth][kNode].
template <typename Real>
std::int64_t column_size(const ColorGridCall& call, const Tables<Real>& tables) {
  return tables.grid_in_registers ? 2 * kCoefficients * kEntries : call.depth * kNode;
}

// The columns [first, last] of the grid at an image's row.
template <typename Real>
void make_row(const ColorGridCall& call, const Tables<Real>& tables, std::int64_t y,
              std::int64_t first, std::int64_t last, Real* row) {
  constexpr int kStep = kWidth<Real>;
  const CellAxis::Place at = call.down.place(call.y0 + y);
  const auto share = all<Real>(static_cast<Real>(at.share));
  const std::int64_t size = column_size(call, tables);
  const std::int64_t given = tables.grid_in_registers ? size / 2 : size;
  const Real* const low = tables.grid.data() + at.low * call.across.cells * given;
  const Real* const high = tables.grid.data() + at.high * call.across.cells * given;
  for (std::int64_t u = first; u <= last; ++u) {
    Real* const to = row + (u - first) * size;
    for (std::int64_t i = 0; i < given; i += kStep) {
      const auto a = read(low + u * given + i), b = read(high + u * given + i);
      write(to + i, multiply_add(share, b - a, a));
    }
    if (!tables.grid_in_registers) continue;
    for (std::int64_t i = 0; i < given; i += kStep) {
      write(to + given + i, read(to + i + 1) - read(to + i));
    }
    for (int j = 1; j <= kCoefficients; ++j) to[given + j * kEntries - 1] = 0;
  }
}

// ---- the map of a run
// ----------------------------------------------------------------------------

// Pixels of a run between two centres of cells: f = start + step (i - begin) of the way from the
// column `left` to `right`.
template <typename Real>
struct Piece {
  std::int64_t begin, end;
  const Real *left, *right;
  Real offset, step, start;  // f = start + step (offset + i - begin)
};

#if HM_SIMD_BYTES >= 32
inline Vec to_float(VecI v) { return __builtin_convertvector(v, Vec); }

// table[index], index below kCount, 8 or 16.
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
void slice_in_registers(const Piece<float>& piece, std::int64_t depth, Pixels<float>& run) {
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
        const float* const table = (side == 0 ? piece.left : piece.right) + 4 * o * kEntries;
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
void slice_in_memory(const Piece<Real>& piece, std::int64_t depth, Pixels<Real>& run) {
  const Real count = static_cast<Real>(depth);
  for (std::int64_t i = piece.begin; i < piece.end; ++i) {
    const Real x[4] = {run.value[0][i], run.value[1][i], run.value[2][i], Real(1)};
    Real luma = 0;
    for (int c = 0; c < 3; ++c) luma += static_cast<Real>(kLuma[c]) * held(x[c], Real(1));
    const Real w = held(luma * count - Real(0.5), count - 1);
    const std::int64_t k = static_cast<std::int64_t>(w);
    const Real deep = w - static_cast<Real>(k);
    const Real across =
        piece.start + piece.step * (piece.offset + static_cast<Real>(i - piece.begin));
    const std::int64_t at = k * kNode, next = std::min(k + 1, depth - 1) * kNode;
    Four<Real> sum = {};
    for (int j = 0; j < 4; ++j) {
      const Four<Real> left = ReadFour<Real>(piece.left + at + 4 * j).value;
      const Four<Real> right = ReadFour<Real>(piece.right + at + 4 * j).value;
      const Four<Real> low = left + deep * (ReadFour<Real>(piece.left + next + 4 * j).value - left);
      const Four<Real> high =
          right + deep * (ReadFour<Real>(piece.right + next + 4 * j).value - right);
      sum += x[j] * (low + across * (high - low));
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

// What a map adds to the n pixels from (y, x) on; `row` are the columns of the grid from `first`
// on.
template <typename Real>
void map_run(const ColorGridCall& call, const Tables<Real>& tables, const Real* row,
             std::int64_t first, const RunPlace& at, Pixels<Real>& run) {
  if (call.grid.data == nullptr) {
    affine(tables.affine, at.n, run);
  } else {
    const CellAxis& axis = call.across;
    const std::int64_t x0 = call.x0 + at.x, size = column_size(call, tables);
    Piece<Real> piece;
    for (std::int64_t begin = 0; begin < at.n; begin = piece.end) {
      const std::int64_t cell = axis.interval(x0 + begin);
      const bool inside = cell > 0 && cell < axis.cells;
      const std::int64_t left = std::max<std::int64_t>(cell - 1, 0) - first;
      const std::int64_t from = axis.first(cell);
      piece.begin = begin;
      piece.end = cell == axis.cells ? at.n : std::min(at.n, axis.first(cell + 1) - x0);
      piece.left = row + left * size;
      piece.right = row + (inside ? left + 1 : left) * size;
      piece.offset = static_cast<Real>(x0 + begin - from);
      piece.step =
          inside ? static_cast<Real>(static_cast<double>(axis.cells) / axis.pixels) : Real(0);
      piece.start = inside ? static_cast<Real>(axis.place(from).share) : Real(0);
#if HM_SIMD_BYTES >= 32
      if constexpr (std::is_same_v<Real, float>) {
        if (tables.grid_in_registers) {
          if (call.depth <= 8) {
            slice_in_registers<8>(piece, call.depth, run);
          } else {
            slice_in_registers<kEntries>(piece, call.depth, run);
          }
          continue;
        }
      }
#endif
      slice_in_memory(piece, call.depth, run);
    }
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

// delta = range (x + weight (y - x)), y being x + delta, no further outside [0, 1] than x.
template <typename Real>
void mix(Real range, std::int64_t n, Pixels<Real>& run) {
  using V = typename VecOf<Real>::type;
  const V zero = {}, one = all(Real(1));
  for (std::int64_t i = 0; i < n; i += kWidth<Real>) {
    const V weight = read(run.weight + i);
    for (int c = 0; c < 3; ++c) {
      const V x = read(run.value[c] + i), given = x + read(run.delta[c] + i);
      const V low = x < zero ? x : zero, high = x > one ? x : one;
      const V above = given < low ? low : given;  // NaN stays one
      const V y = above > high ? high : above;
      const V mixed = multiply_add(weight, y - x, x);
      write(run.delta[c] + i, range * (weight == one ? y : mixed));
    }
  }
}

// ---- pixels in and out
// ---------------------------------------------------------------------------

#if HM_SIMD_BYTES >= 32
// Where the bytes of 16 pixels lie: [vector of three][channel], and back.
struct Shuffles {
  alignas(16) std::uint8_t apart[3][3][16], together[3][3][16];
};
constexpr Shuffles make_shuffles() {
  Shuffles s = {};
  for (int part = 0; part < 3; ++part) {
    for (int c = 0; c < 3; ++c) {
      for (int i = 0; i < 16; ++i) {
        const int byte = 3 * i + c - 16 * part, at = 16 * part + i;
        s.apart[part][c][i] = static_cast<std::uint8_t>(byte >= 0 && byte < 16 ? byte : 0x80);
        s.together[part][c][i] = static_cast<std::uint8_t>(at % 3 == c ? at / 3 : 0x80);
      }
    }
  }
  return s;
}
constexpr Shuffles kShuffles = make_shuffles();

inline __m128i gather(const __m128i (&from)[3], const std::uint8_t (&a)[16],
                      const std::uint8_t (&b)[16], const std::uint8_t (&c)[16]) {
  const auto part = [](__m128i v, const std::uint8_t* order) {
    return _mm_shuffle_epi8(v, _mm_load_si128(reinterpret_cast<const __m128i*>(order)));
  };
  return _mm_or_si128(_mm_or_si128(part(from[0], a), part(from[1], b)), part(from[2], c));
}
#endif

// [n][3] as three planes; reads and writes whole pixels only.
template <typename T>
void take_apart(const T* pixels, std::int64_t n, T (*planes)[kRun + kBehind]) {
  std::int64_t i = 0;
#if HM_SIMD_BYTES >= 32
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    for (; i + 16 <= n; i += 16) {
      __m128i from[3];
      std::memcpy(from, pixels + 3 * i, sizeof(from));
      for (int c = 0; c < 3; ++c) {
        const auto& order = kShuffles.apart;
        const __m128i plane = gather(from, order[0][c], order[1][c], order[2][c]);
        std::memcpy(planes[c] + i, &plane, sizeof(plane));
      }
    }
  }
#endif
  for (; i < n; ++i) {
    for (int c = 0; c < 3; ++c) planes[c][i] = pixels[3 * i + c];
  }
}

template <typename T>
void put_together(const T (*planes)[kRun + kBehind], std::int64_t n, T* pixels) {
  std::int64_t i = 0;
#if HM_SIMD_BYTES >= 32
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    for (; i + 16 <= n; i += 16) {
      __m128i from[3], to[3];
      for (int c = 0; c < 3; ++c) std::memcpy(&from[c], planes[c] + i, sizeof(from[c]));
      for (int part = 0; part < 3; ++part) {
        const auto& order = kShuffles.together[part];
        to[part] = gather(from, order[0], order[1], order[2]);
      }
      std::memcpy(pixels + 3 * i, to, sizeof(to));
    }
  }
#endif
  for (; i < n; ++i) {
    for (int c = 0; c < 3; ++c) pixels[3 * i + c] = planes[c][i];
  }
}

bool is_packed(const ImageView& image) {
  return image.col_stride == 3 && image.channel_stride == 1;
}

template <typename T, typename Real>
void load_run(const ImageView& image, const RunPlace& at, Real scale, Pixels<Real>& run) {
  alignas(64) T planes[3][kRun + kBehind];
  const T* const row = image.at<T>(at.y, at.x, 0);
  if (is_packed(image)) {
    take_apart(row, at.n, planes);
  } else {
    for (int c = 0; c < 3; ++c) {
      const T* const plane = row + c * image.channel_stride;
      for (std::int64_t i = 0; i < at.n; ++i) planes[c][i] = plane[i * image.col_stride];
    }
  }
  for (int c = 0; c < 3; ++c) {
    std::fill_n(planes[c] + at.n, kBehind, T(0));
    for (std::int64_t i = 0; i < at.n + kBehind; i += kWidth<Real>) {
      write(run.value[c] + i, scale * read(planes[c] + i));
    }
  }
}

template <typename Real>
void load_weights(const ImageView& mask, const RunPlace& at, Pixels<Real>& run) {
  std::fill_n(run.weight, kRun + kBehind, Real(mask.data == nullptr));
  if (mask.data == nullptr) return;
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    // A quotient: the largest value is 1.
    const Real range = static_cast<Real>(dtype_range(mask.dtype));
    const T* const row = mask.at<T>(at.y, at.x, 0);
    if (mask.col_stride == 1) {
      for (std::int64_t i = 0; i < at.n; ++i) run.weight[i] = to_real<Real>(row[i]) / range;
    } else {
      for (std::int64_t i = 0; i < at.n; ++i) {
        run.weight[i] = to_real<Real>(row[i * mask.col_stride]) / range;
      }
    }
  });
}

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
  // Integers without weight have become what they were; of floats the bits are kept, NaN's too.
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

// The pixels [x, x + n) of a row as they are.
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
// ----------------------------------------------------------------------------

template <typename T, typename Real>
void map_rows(const ColorGridCall& call, const Tables<Real>& tables, std::int64_t n,
              std::int64_t top, std::int64_t bottom) {
  const ImageView image = call.image.item(n, call.height, call.width, 3);
  const ImageView mask = call.mask.item(n, call.height, call.width, 1);
  const ImageView out = call.out.item(n, call.height, call.width, 3);
  const bool has_grid = call.grid.data != nullptr;
  const std::int64_t first = call.across.place(call.x0).low;
  const std::int64_t last = call.across.place(call.x0 + call.width - 1).high;
  Buffer<Real> row(has_grid ? (last - first + 1) * column_size(call, tables) : 0);
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
      if (!made) make_row(call, tables, y, first, last, row.data());
      made = true;
      load_run<T>(image, at, 1 / range, run);
      load_weights(mask, at, run);
      map_run(call, tables, row.data(), first, at, run);
      mix(range, at.n, run);
      store_run<T>(out, image, at, mask.data != nullptr, run);
    }
  }
}

template <typename T, typename Real>
void map_images(const ColorGridCall& call) {
  // One set of tables where the images share their map.
  const bool shared = call.affine.step == 0 && call.curves.step == 0 && call.grid.step == 0;
  const std::int64_t sets = shared ? 1 : call.images;
  std::vector<Tables<Real>> tables(static_cast<std::size_t>(sets));
  parallel_for(sets, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) make_tables(call, i, tables[i]);
  });
  const std::int64_t rows = std::max<std::int64_t>(1, kTilePixels / call.width);
  const std::int64_t tiles = (call.height + rows - 1) / rows;
  parallel_for(call.images * tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / tiles, top = i % tiles * rows;
      map_rows<T>(call, tables[shared ? 0 : n], n, top, std::min(top + rows, call.height));
    }
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
