// What convolutions of 4 x 4 weights need beside products of matrices, which a library makes.
//
// Winograd's minimal filtering gives 4 x 4 values from 25 products for each of 4 groups of 2 x 2
// weights, in place of 64.
//
// A convolution of stride 2 splits input and kernel by the parity of rows and columns, one of
// stride 1 the kernel into its halves: four groups of 2 x 2 weights either way. With the points 0,
// 1, -1/2, -2 and infinity, 2 weights k and 5 values d give 4 sums d[i] k[0] + d[i + 1] k[1]:
//
//   y = A' ((G k) * (B' d))          (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//                                     Networks", CVPR 2016; in two dimensions once along each)
//
// What lies between the transforms is 25 products of matrices, [tiles, 4 C] with [4 C, K]. Each
// transform has its adjoint here: gradients and transposed convolutions are made of those.
//
// Small images and few channels are better served by one product: windows of the image as rows, or
// rows of products that are folded together into an image.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr int kWinogradPoints = 25, kWinogradGroups = 4, kWinogradTile = 4;

// Tiles [first, last) of N images, each of [down, across] tiles: of `inner`, the side with C
// channels at [height, width], or of `outer`, the convolution's result. Images are channels-last.
struct WinogradParams {
  float* image;       // [N, height, width, channels]
  float* tiles;       // [25, tiles, 4, channels] of the input, [25, tiles, channels] of the output
  const float* bias;  // [channels], of outputs that are written; null: none
  std::int64_t height, width, channels, down, across, first, last, point_stride;
  int step, apart, padding;  // between the values of a group, and between groups
  float slope;               // of what is read: v where v > 0, else slope v
};

// weight [K, C, 4, 4] with the channels C side by side; tiles [25, K, 4, C], or across
// [25, 4, C, K].
struct WinogradWeights {
  float *weight, *tiles;
  std::int64_t outputs, channels, point_stride;
  int step, apart;
};

HM_SIMD_DECLARE(void winograd_read_input(const WinogradParams& params))
HM_SIMD_DECLARE(void winograd_add_input(const WinogradParams& params))
HM_SIMD_DECLARE(void winograd_read_output(const WinogradParams& params))
HM_SIMD_DECLARE(void winograd_write_output(const WinogradParams& params))
HM_SIMD_DECLARE(void winograd_read_weights(const WinogradWeights& params))
HM_SIMD_DECLARE(void winograd_read_weights_across(const WinogradWeights& params))
HM_SIMD_DECLARE(void winograd_write_weights(const WinogradWeights& params))

// Windows of 4 x 4 pixels of images with the channels last, `step` apart, with zeros around.
struct WindowParams {
  float* image;  // [N, height, width, channels]
  float* rows;   // [N, down, across, 4, 4, channels]
  std::int64_t images, height, width, channels, down, across;
  int step, padding;
};

HM_SIMD_DECLARE(void read_windows(const WindowParams& params))
HM_SIMD_DECLARE(void fold_windows(const WindowParams& params))

// image [N, C, H, W] float32, channels-last without gaps, of which tiles first to first + count
// become tiles [25, count, 4, C] (B' d B), count that of the array. The convolution has this
// stride and padding, and what is read goes through the activation.
void winograd_input(const ArrayView& image, const ArrayView& tiles, std::int64_t first, int stride,
                    int padding, double slope);
// The adjoint: adds B tiles B' to the image.
void winograd_input_adjoint(const ArrayView& tiles, const ArrayView& image, std::int64_t first,
                            int stride, int padding);
// tiles [25, count, K] become those pixels of output [N, K, h, w], A' tiles A + bias.
void winograd_output(const ArrayView& tiles, const ArrayView* bias, const ArrayView& output,
                     std::int64_t first);
// The adjoint: tiles [25, count, K] from an output, A y A'.
void winograd_output_adjoint(const ArrayView& output, const ArrayView& tiles, std::int64_t first,
                             double slope);
// weight [K, C, 4, 4], channels-last, to tiles [25, K, 4, C] (G k G'), across to [25, 4, C, K], and
// the adjoint of the first.
void winograd_weight(const ArrayView& weight, const ArrayView& tiles, int stride, bool across);
void winograd_weight_adjoint(const ArrayView& tiles, const ArrayView& weight, int stride);

// image [N, C, H, W], channels-last, to rows [N, h, w, 16 C], and the adjoint: the image becomes
// the sum of the windows.
void conv_windows(const ArrayView& image, const ArrayView& rows, int stride, int padding);
void conv_fold(const ArrayView& rows, const ArrayView& image, int stride, int padding);

}  // namespace pyharmony
