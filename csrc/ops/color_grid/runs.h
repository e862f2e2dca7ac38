// Runs of a row's pixels as planes, and their places in a grid. Included by SIMD sources only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/dispatch.h"
#include "core/planes.h"
#include "ops/color_grid/tables.h"
#include "ops/color_map/stages.h"

namespace pyharmony::HM_SIMD_NS {

// Room behind a run, for vectors that begin anywhere in it.
constexpr std::int64_t kBehind = 16;

// Values are in units of the dtype's range; `delta` is the map's change, and later the result.
template <typename Real>
struct alignas(64) Pixels {
  Real value[3][kRun + kBehind];
  Real delta[3][kRun + kBehind];
  Real weight[kRun + kBehind];
};

// The pixels of a run between two centres of cells, from the column `left` to `right`.
template <typename Real>
struct Piece {
  std::int64_t begin, end;
  std::int64_t left, right;
  Real offset, step, start;

  // Returns how far a pixel is on its way to `right`.
  Real share(std::int64_t i) const {
    return start + step * (offset + static_cast<Real>(i - begin));
  }
};

// Calls fn(piece) on the pieces of a run. A pixel's share depends only on its place in the frame.
template <typename Real, typename Fn>
void for_each_piece(const ColorGridCall& call, const RunPlace& at, Fn&& fn) {
  const CellAxis& axis = call.across;
  const std::int64_t x0 = call.x0 + at.x;
  Piece<Real> piece;
  for (std::int64_t begin = 0; begin < at.n; begin = piece.end) {
    const std::int64_t cell = axis.interval(x0 + begin), from = axis.first(cell);
    const bool inside = cell > 0 && cell < axis.cells;
    piece.begin = begin;
    piece.end = cell == axis.cells ? at.n : std::min(at.n, axis.first(cell + 1) - x0);
    piece.left = std::max<std::int64_t>(cell - 1, 0);
    piece.right = inside ? cell : piece.left;
    piece.offset = static_cast<Real>(x0 + begin - from);
    piece.step = 0;
    piece.start = 0;
    if (inside) {
      piece.step = static_cast<Real>(static_cast<double>(axis.cells) / axis.pixels);
      piece.start = static_cast<Real>(axis.place(from).share);
    }
    fn(piece);
  }
}

#if HM_SIMD_BYTES >= 32
// Byte orders that gather 16 pixels, [vector of three][channel], and scatter them.
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

// Splits [n][3] into three planes; reads and writes whole pixels only.
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

inline bool is_packed(const ImageView& image) {
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
  if (mask.data != nullptr) read_plane(mask, at.y, at.x, at.n, run.weight);
}

}  // namespace pyharmony::HM_SIMD_NS
