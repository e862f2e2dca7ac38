// Partial convolution on a device: everything around a library's convolution, and products of
// the active windows alone. Formulae and shapes are in partial_conv.h.
//
// Tensors are float32, float16 or bfloat16 in the memory of the current device; ratios, biases'
// gradients, soft masks and sums are float32. A launcher allocates nothing, waits for nothing,
// reads nothing on the host and can be captured; results have the same bits every time.
#pragma once

#include <driver_types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/array.h"
#include "ops/partial_conv/partial_conv.h"

namespace pyharmony {

// Flags of a mask with values other than zeros and ones, or outside of [0, 1].
enum PartialConvMaskFlags : std::int32_t { kMaskNotBits = 1, kMaskOutOfRange = 2 };

// Plans a chain of layers: counts, ratios, new masks, and the windows with u > 0. Those of image n
// are in order in rows [N, OH OW] from n OH OW on, and totals [layers, N] says how many. A hard
// mask whose bits fit into a block's shared memory, 63 KB for what a layer reads and writes, takes
// one launch with one block per image; others take one for the sum over channels, one per layer and
// one for all rows.
//
// mask [N, C, H, W]: bool or a tensor's dtype, any strides. flags [N].
void launch_partial_conv_plan(const ArrayView& mask, std::int64_t groups, bool soft,
                              const std::vector<PartialConvLayer>& layers, std::int32_t* totals,
                              std::int32_t* flags, void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream);
std::size_t partial_conv_plan_workspace(const ArrayView& mask, std::int64_t groups, bool soft,
                                        const std::vector<ConvWindow>& windows);

// A factor: a host value, times a float32, float16 or bfloat16 on the device if there is one.
struct DeviceFactor {
  double value = 1;
  const ArrayView* pointer = nullptr;
};

// Writes out = x mask factor [N, C, H, W]; where the mask is zero, out is zero whatever x is. x and
// out are dense and of one layout: channels-last or planar; out may be x. mask: null, or
// [N or 1, 1 or C, H, W], bool or float32, with rows one after another.
void launch_partial_conv_premask(const ArrayView& x, const ArrayView* mask,
                                 const DeviceFactor& factor, const ArrayView& out,
                                 cudaStream_t stream);

// y = act(factor ratio y + bias cover), in place.
struct DeviceEpilogue {
  const ArrayView* ratio;  // [N or 1, G, H, W] float32; null: 1
  const ArrayView* cover;  // same shape, bool or float32; null: 1 wherever ratio is not 0
  const ArrayView* bias;   // [C], a tensor's dtype; null: 0
  DeviceFactor factor;
  double negative_slope;  // 1: no activation
  const ArrayView* y;     // [N, C, H, W], channels-last or planar
};
void launch_partial_conv_epilogue(const DeviceEpilogue& call, cudaStream_t stream);

// h = factor ratio act'(y) grad; bias_grad [C] = the sum of act'(y) cover grad. h may be grad.
struct DeviceEpilogueGrad {
  const ArrayView* grad;
  const ArrayView* y;  // null where the slope is 1
  const ArrayView* ratio;
  const ArrayView* cover;
  DeviceFactor factor;
  double negative_slope;
  const ArrayView* h;
  const ArrayView* bias_grad;  // a tensor's dtype, or null
  void* workspace;             // needed for bias_grad
  std::size_t workspace_bytes;
};
void launch_partial_conv_epilogue_grad(const DeviceEpilogueGrad& call, cudaStream_t stream);

// Returns the bytes of workspace for the bias_grad of a gradient.
std::size_t partial_conv_sums_workspace(const ArrayView& grad);

// The rows of a layer's plan.
struct DeviceRowList {
  const std::int32_t* rows;    // [images, OH OW], see launch_partial_conv_plan
  const std::int32_t* totals;  // [images]
  std::int64_t images;         // 1, or those of x
};

// y as above, of the rows of the plan alone; it is zero elsewhere. Channels of x and y lie side by
// side, in whole pieces of 16 bytes. Tensor cores multiply float16, bfloat16, and float32 as TF32;
// sums are float32. All launches are of one size whatever the mask is.
struct DeviceRows {
  const ArrayView* x;       // [N, C, H, W]
  const ArrayView* mask;    // [N or 1, 1, H, W] bool
  const ArrayView* weight;  // [O, kh, kw, C] contiguous
  ConvWindow window;
  DeviceRowList list;
  const ArrayView *ratio, *bias;  // [N or 1, 1, OH, OW], and see the epilogue
  DeviceFactor factor;
  double negative_slope;
  const ArrayView* y;  // [N, O, OH, OW]
  void* workspace;
  std::size_t workspace_bytes;
};
void launch_partial_conv_rows(const DeviceRows& call, cudaStream_t stream);
std::size_t partial_conv_rows_workspace(const ArrayView& y);
// Returns whether x, weight and windows suit the products of rows, forward and backward: at most 64
// taps, strides whose product is at most 16, and tensor cores of the current device, from sm_80 on.
bool partial_conv_rows_fit(int value_bytes, std::int64_t channels, std::int64_t outputs,
                           const ConvWindow& window);

// dx = factor mask conv^T(h, weight), computed for the pixels whose mask is not zero. They are
// listed first, apart for each remainder of their place by the stride, since those have the same
// taps.
struct DeviceRowsInputGrad {
  const ArrayView* h;       // [N, O, OH, OW]
  const ArrayView* cover;   // [N or 1, 1, OH, OW] bool: where h is read
  const ArrayView* weight;  // [C, kh, kw, O] contiguous
  ConvWindow window;
  const ArrayView* mask;  // [N or 1, 1, H, W] bool
  DeviceFactor factor;
  const ArrayView* dx;  // [N, C, H, W]
  void* workspace;
  std::size_t workspace_bytes;
};
void launch_partial_conv_rows_input_grad(const DeviceRowsInputGrad& call, cudaStream_t stream);
std::size_t partial_conv_rows_input_workspace(const ArrayView& dx, const ConvWindow& window);

// dw = the sum over the plan's rows of h times the windows of mask x. The rows are divided among
// blocks by their number, and the sums of blocks are added in order.
struct DeviceRowsWeightGrad {
  const ArrayView* h;     // [N, O, OH, OW]
  const ArrayView* x;     // [N, C, H, W]
  const ArrayView* mask;  // [N or 1, 1, H, W] bool
  ConvWindow window;
  DeviceRowList list;
  const ArrayView* dw;  // [O, kh, kw, C] contiguous
  void* workspace;
  std::size_t workspace_bytes;
};
void launch_partial_conv_rows_weight_grad(const DeviceRowsWeightGrad& call, cudaStream_t stream);
std::size_t partial_conv_rows_weight_workspace(const ArrayView& h, const ArrayView& dw);

}  // namespace pyharmony
