// An affine map of colours, curves and a slice of a bilateral grid, mixed with the image by a mask,
// in one pass. Formulae: pyharmony/reference/color_grid.py.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/host_device.h"
#include "core/simd.h"

namespace pyharmony {

constexpr std::int64_t kColorGridCells = 256, kColorGridDepth = 64, kColorGridKnots = 256;

// The weights of red, green and blue in luma.
constexpr double kLuma[3] = {0.299, 0.587, 0.114};

// Finds the place of pixels among cells that share a frame with them.
struct CellAxis {
  std::int64_t cells = 1, pixels = 1;

  struct Place {
    std::int64_t low, high;
    double share;  // the share of high
  };
  // Returns (pixel + 1/2) cells / pixels - 1/2, held to [0, cells - 1]; exact but for the division.
  HM_HOST_DEVICE Place place(std::int64_t pixel) const {
    const std::int64_t numerator = (2 * pixel + 1) * cells - pixels, unit = 2 * pixels;
    if (numerator < 0) return {0, 0, 0.0};
    const std::int64_t low = numerator / unit;
    if (low >= cells - 1) return {cells - 1, cells - 1, 0.0};
    return {low, low + 1, static_cast<double>(numerator - low * unit) / static_cast<double>(unit)};
  }
  // Returns the first pixel between the centres cell - 1 and cell, or beyond the last centre where
  // cell == cells.
  HM_HOST_DEVICE std::int64_t first(std::int64_t cell) const {
    if (cell <= 0) return 0;
    const std::int64_t numerator = (2 * cell - 1) * pixels - cells, unit = 2 * cells;
    return numerator <= 0 ? 0 : (numerator + unit - 1) / unit;
  }
  // Returns a pixel's interval: 0 before the first centre, cells after the last one.
  HM_HOST_DEVICE std::int64_t interval(std::int64_t pixel) const {
    const std::int64_t numerator = (2 * pixel + 1) * cells - pixels;
    if (numerator < 0) return 0;
    const std::int64_t low = numerator / (2 * pixels);
    return low >= cells - 1 ? cells : low + 1;
  }
};

// A batch [N, H, W, 3] or [N, H, W]; strides are in elements.
struct PixelBatch {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  std::int64_t stride[4] = {};

  ImageView item(std::int64_t n, std::int64_t height, std::int64_t width, int channels) const {
    ImageView v;
    if (data == nullptr) return v;
    v.dtype = dtype;
    v.height = height;
    v.width = width;
    v.channels = channels;
    v.row_stride = stride[1];
    v.col_stride = stride[2];
    v.channel_stride = channels == 1 ? 1 : stride[3];
    v.data = static_cast<char*>(data) + n * stride[0] * dtype_size(dtype);
    return v;
  }
};

// One part of a map, for one image or for each: contiguous, float64 beside float64 images, else
// float32; null where the map does not have it. `step` leads from one image's part to the next's.
struct ColorGridPart {
  void* data = nullptr;
  std::int64_t step = 0;

  template <typename Real>
  HM_HOST_DEVICE Real* of(std::int64_t image) const {
    return data == nullptr ? nullptr : static_cast<Real*>(data) + image * step;
  }
};

struct ColorGridCall {
  std::int64_t images = 0, height = 0, width = 0;
  PixelBatch image, mask, out;  // mask.data null: ones; out may be image
  ColorGridPart affine;         // [3, 4]
  ColorGridPart curves;         // [3 out, 3 in, knots]
  ColorGridPart grid;           // [down.cells, across.cells, depth, 3, 4]
  std::int64_t knots = 0, depth = 0;
  CellAxis down, across;
  std::int64_t x0 = 0, y0 = 0;  // origin of the image in the frame

  std::int64_t grid_size() const { return down.cells * across.cells * depth * 12; }
};

// The place of the image in its frame.
struct ColorGridFrame {
  std::int64_t x0, y0, height, width;
};

// Checks the arguments and returns the call. image and out [N, H, W, 3], mask [N, H, W]; affine
// [M, 3, 4], curves [M, 9, K], grid [M * Gh, Gw, D, 12], where M is 1 or N. All but image may be
// null, out where nothing is written.
ColorGridCall color_grid_call(const ArrayView& image, const ArrayView* mask,
                              const ArrayView* affine, const ArrayView* curves,
                              const ArrayView* grid, std::int64_t grid_rows,
                              const ColorGridFrame& frame, const ArrayView* out);

// The gradients of a call without `out`: null where not wanted, otherwise one for each image.
struct ColorGridGradient {
  PixelBatch grad;         // gradient of the result, like image
  PixelBatch image;        // like image
  void* mask = nullptr;    // [N, H, W], the type of the map, contiguous
  void* affine = nullptr;  // [N, 3, 4]
  void* curves = nullptr;  // [N, 3, 3, knots]
  void* grid = nullptr;    // [N, down.cells, across.cells, depth, 3, 4]
};

// Returns the same views with an N of their own; `mask` [N, H, W] as well.
ColorGridGradient color_grid_gradient_of(const ColorGridCall& call, const ArrayView& grad,
                                         const ArrayView* image, const ArrayView* mask,
                                         const ArrayView* affine, const ArrayView* curves,
                                         const ArrayView* grid);

HM_SIMD_DECLARE(void color_grid_kernel(const ColorGridCall& call))
HM_SIMD_DECLARE(void color_grid_gradient_kernel(const ColorGridCall& call,
                                                const ColorGridGradient& gradient))

}  // namespace pyharmony
