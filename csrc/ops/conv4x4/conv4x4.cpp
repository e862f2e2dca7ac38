// Checks the arguments of the transforms.
#include "ops/conv4x4/conv4x4.h"

#include "core/checks.h"

namespace pyharmony {
namespace {

void expect(const ArrayView& a, const char* name) {
  HM_CHECK(a.dtype == DType::kFloat32, name, ": dtype ", dtype_name(a.dtype), ", expected float32");
  HM_CHECK(a.ndim == 4 && a.size() > 0 && is_dense(a, true), name,
           ": expected [N, C, H, W], channels-last without gaps");
}

// Returns the stride of the points; what lies behind the first axis is contiguous.
std::int64_t point_stride(const ArrayView& tiles) {
  bool fits = tiles.dtype == DType::kFloat32 && tiles.ndim > 1 && tiles.shape[0] == kWinogradPoints;
  std::int64_t step = 1;
  for (int i = tiles.ndim - 1; i > 0 && fits; --i) {
    fits = tiles.shape[i] == 1 || tiles.stride[i] == step;
    step *= tiles.shape[i];
  }
  HM_CHECK(fits, "tiles: expected float32 [25, ...], contiguous behind the first axis");
  return tiles.stride[0];
}

void check_stride(int stride) {
  HM_CHECK(stride == 1 || stride == 2, "stride: ", stride, ", expected 1 or 2");
}

void check_range(WinogradParams& p, const ArrayView& image, const ArrayView& tiles,
                 std::int64_t first) {
  p.first = first;
  p.last = first + tiles.shape[1];
  HM_CHECK(first >= 0 && p.last <= image.shape[0] * p.down * p.across, "first: ", first, " and ",
           tiles.shape[1], " tiles, of ", image.shape[0] * p.down * p.across);
}

WinogradParams input_params(const ArrayView& image, const ArrayView& tiles, std::int64_t first,
                            int stride, int padding) {
  expect(image, "image");
  check_stride(stride);
  HM_CHECK(padding >= 0 && padding < 4, "padding: ", padding, ", expected 0 to 3");
  WinogradParams p{};
  p.image = image.as<float>();
  p.tiles = tiles.as<float>();
  p.height = image.shape[2];
  p.width = image.shape[3];
  p.channels = image.shape[1];
  const std::int64_t rows = (p.height + 2 * padding - 4) / stride + 1;
  const std::int64_t columns = (p.width + 2 * padding - 4) / stride + 1;
  HM_CHECK(p.height + 2 * padding >= 4 && p.width + 2 * padding >= 4, "image: ", p.height, " x ",
           p.width, " pixels, smaller than the kernel");
  p.down = (rows + kWinogradTile - 1) / kWinogradTile;
  p.across = (columns + kWinogradTile - 1) / kWinogradTile;
  HM_CHECK(tiles.ndim == 4 && tiles.shape[2] == kWinogradGroups && tiles.shape[3] == p.channels,
           "tiles: expected [25, tiles, 4, ", p.channels, "]");
  p.point_stride = point_stride(tiles);
  p.step = stride;
  p.apart = 3 - stride;
  p.padding = padding;
  p.slope = 1;
  check_range(p, image, tiles, first);
  return p;
}

WinogradParams output_params(const ArrayView& output, const ArrayView& tiles, std::int64_t first) {
  expect(output, "output");
  WinogradParams p{};
  p.image = output.as<float>();
  p.tiles = tiles.as<float>();
  p.height = output.shape[2];
  p.width = output.shape[3];
  p.channels = output.shape[1];
  p.down = (p.height + kWinogradTile - 1) / kWinogradTile;
  p.across = (p.width + kWinogradTile - 1) / kWinogradTile;
  HM_CHECK(tiles.ndim == 3 && tiles.shape[2] == p.channels, "tiles: expected [25, tiles, ",
           p.channels, "]");
  p.point_stride = point_stride(tiles);
  p.slope = 1;
  check_range(p, output, tiles, first);
  return p;
}

WinogradWeights weight_params(const ArrayView& weight, const ArrayView& tiles, int stride,
                              bool across = false) {
  expect(weight, "weight");
  check_stride(stride);
  HM_CHECK(weight.shape[2] == 4 && weight.shape[3] == 4, "weight: ", weight.shape[2], " x ",
           weight.shape[3], ", expected 4 x 4");
  WinogradWeights p{};
  p.weight = weight.as<float>();
  p.tiles = tiles.as<float>();
  p.outputs = weight.shape[0];
  p.channels = weight.shape[1];
  const std::int64_t rows = across ? p.channels : p.outputs,
                     columns = across ? p.outputs : p.channels;
  HM_CHECK(tiles.ndim == 4 && tiles.shape[across ? 2 : 1] == rows &&
               tiles.shape[across ? 1 : 2] == kWinogradGroups && tiles.shape[3] == columns,
           "tiles: not those of the weight");
  p.point_stride = point_stride(tiles);
  p.step = stride;
  p.apart = 3 - stride;
  return p;
}

WindowParams window_params(const ArrayView& image, const ArrayView& rows, int stride, int padding) {
  expect(image, "image");
  check_stride(stride);
  HM_CHECK(padding >= 0 && padding < 4, "padding: ", padding, ", expected 0 to 3");
  HM_CHECK(rows.dtype == DType::kFloat32 && rows.ndim == 4 && is_contiguous(rows) &&
               rows.shape[0] == image.shape[0] && rows.shape[3] == 16 * image.shape[1],
           "rows: expected contiguous float32 [", image.shape[0], ", h, w, ", 16 * image.shape[1],
           "]");
  for (int i = 0; i < 2; ++i) {
    HM_CHECK((image.shape[2 + i] + 2 * padding - 4) / stride + 1 == rows.shape[1 + i],
             "rows: not the windows of an image of ", image.shape[2], " x ", image.shape[3]);
  }
  WindowParams p{};
  p.image = image.as<float>();
  p.rows = rows.as<float>();
  p.images = image.shape[0];
  p.channels = image.shape[1];
  p.height = image.shape[2];
  p.width = image.shape[3];
  p.down = rows.shape[1];
  p.across = rows.shape[2];
  p.step = stride;
  p.padding = padding;
  return p;
}

void check_writable(const ArrayView& a, const char* name) {
  HM_CHECK(a.writable, name, ": read-only");
}

}  // namespace

void winograd_input(const ArrayView& image, const ArrayView& tiles, std::int64_t first, int stride,
                    int padding, double slope) {
  check_writable(tiles, "tiles");
  WinogradParams p = input_params(image, tiles, first, stride, padding);
  p.slope = static_cast<float>(slope);
  HM_SIMD_CALL(winograd_read_input, p);
}

void winograd_input_adjoint(const ArrayView& tiles, const ArrayView& image, std::int64_t first,
                            int stride, int padding) {
  check_writable(image, "image");
  HM_SIMD_CALL(winograd_add_input, input_params(image, tiles, first, stride, padding));
}

void winograd_output(const ArrayView& tiles, const ArrayView* bias, const ArrayView& output,
                     std::int64_t first) {
  check_writable(output, "output");
  WinogradParams p = output_params(output, tiles, first);
  if (bias != nullptr) {
    HM_CHECK(bias->dtype == DType::kFloat32 && bias->ndim == 1 && bias->shape[0] == p.channels &&
                 is_contiguous(*bias),
             "bias: expected contiguous float32 [", p.channels, "]");
    p.bias = bias->as<float>();
  }
  HM_SIMD_CALL(winograd_write_output, p);
}

void winograd_output_adjoint(const ArrayView& output, const ArrayView& tiles, std::int64_t first,
                             double slope) {
  check_writable(tiles, "tiles");
  WinogradParams p = output_params(output, tiles, first);
  p.slope = static_cast<float>(slope);
  HM_SIMD_CALL(winograd_read_output, p);
}

void winograd_weight(const ArrayView& weight, const ArrayView& tiles, int stride, bool across) {
  check_writable(tiles, "tiles");
  const WinogradWeights p = weight_params(weight, tiles, stride, across);
  if (across) {
    HM_SIMD_CALL(winograd_read_weights_across, p);
  } else {
    HM_SIMD_CALL(winograd_read_weights, p);
  }
}

void winograd_weight_adjoint(const ArrayView& tiles, const ArrayView& weight, int stride) {
  check_writable(weight, "weight");
  HM_SIMD_CALL(winograd_write_weights, weight_params(weight, tiles, stride));
}

void conv_windows(const ArrayView& image, const ArrayView& rows, int stride, int padding) {
  check_writable(rows, "rows");
  HM_SIMD_CALL(read_windows, window_params(image, rows, stride, padding));
}

void conv_fold(const ArrayView& rows, const ArrayView& image, int stride, int padding) {
  check_writable(image, "image");
  HM_SIMD_CALL(fold_windows, window_params(image, rows, stride, padding));
}

}  // namespace pyharmony
