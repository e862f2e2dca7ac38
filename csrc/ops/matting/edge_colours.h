// The colours of an object and its background at soft edges, from the compositing equation.
// Formulae: pyharmony/reference/matting.py.
#pragma once

#include <utility>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr int kEdgeColours = 3;                   // channels
constexpr int kEdgeMeans = 3 + 2 * kEdgeColours;  // of 1, α, α², αI and I
constexpr int kMostHalvings = 8;

// Holds the images whose edge colours are decontaminated.
struct EdgePixels {
  ImageView colours;  // [H, W, 3] of an image dtype
  ImageView alpha;    // [H, W] of an image dtype
  ImageView soft;     // [H, W] bool
  float opaque;       // the alpha from which on it counts as 1
  bool background;    // whether colours where alpha is zero are read
};

struct EdgeCellsParams {
  EdgePixels pixels;
  std::int64_t top, left;  // of the first pixel of the first cell, maybe beyond the image
  int halvings;
  ImageView means;  // [h, w, 9] float32
  ImageView soft;   // [h, w] bool
  float* limits;    // the least and the largest mean that was read, from 0 and 1 on
};

HM_SIMD_DECLARE(void edge_cells_kernel(const EdgeCellsParams& params))

// Writes the equations of cells of 2^halvings pixels a side: the means [h, w, 9] of 1, α, α², αI
// and I, with 1 for white and 0 for pixels beyond the image or without colour, and whether there is
// a soft pixel [h, w]. Returns the range of αI and I, at least 0 to 1.
std::pair<float, float> edge_cells(const ArrayView& colours, const ArrayView& alpha,
                                   const ArrayView& soft, float opaque, bool background,
                                   std::int64_t top, std::int64_t left, int halvings,
                                   const ArrayView& means, const ArrayView& soft_cells);

// Writes the colours of object and background [h, w, 2, 3] of the soft cells, zero elsewhere. They
// begin with those of cells twice as large, [ceil(h / 2), ceil(w / 2), 2, 3], or with the cells'
// means, and are refined by Gauss-Seidel sweeps over every other cell at once.
void edge_relax(const ArrayView& means, const ArrayView& soft, const ArrayView* coarser, float low,
                float high, int sweeps, const ArrayView& out);

// Writes the object's colours of soft pixels, those closest to its cell's that satisfy the
// pixel's equation, into out [h, w, 3]. Cells of 2 x 2 pixels [.., .., 2, 3] begin `top` rows
// and `left` columns before the first pixel. share [h, w]: how much of the change counts.
void edge_own(const ArrayView& colours, const ArrayView& alpha, const ArrayView& soft, float opaque,
              bool background, const ArrayView& cells, std::int64_t top, std::int64_t left,
              const ArrayView* share, float low, float high, const ArrayView& out);

}  // namespace pyharmony
