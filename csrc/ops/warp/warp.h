// An image as it looks through a homography, between pixels by a windowed sinc.
// Formulae: pyharmony/reference/warp.py.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr std::int64_t kWarpTaps = 6;       // along an axis
constexpr std::int64_t kWarpPhases = 1024;  // between two pixels; weights between them are linear

// The weights of the taps at each phase; they are padded to 8.
struct WarpTable {
  alignas(64) float weight[kWarpPhases + 1][8];
};

struct WarpTile {
  ImageView image;       // [H, W, C]
  ImageView out;         // [h, w, C] float32
  const double* matrix;  // [9], row by row
  const WarpTable* table;
  std::int64_t y0, y1, x0, x1;  // of out
};

// Writes a tile of out.
HM_SIMD_DECLARE(void warp_tile(const WarpTile& tile))

// out(x, y) = image(matrix (x, y, 1)), where the centre of the first pixel is (0, 0) and the border
// is replicated. image [H, W, C] of any image dtype, C up to 4; out [h, w, C] float32, in image's
// own unit; matrix [3, 3] float64, whose third row is positive over out.
void warp(const ArrayView& image, const ArrayView& matrix, const ArrayView& out);

}  // namespace pyharmony
