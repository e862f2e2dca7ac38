// Partial convolution on the CPU: everything but the matrix product.
//
//   y = act(scale r conv(m x, W) + b c)
//
// u is the sum of the mask m over a window of S values, c = min(u, 1) is the new mask and
// r = S / u c is the ratio, zero where u is. Windows with u > 0 are the rows of the product; a plan
// lists them in order, for all layers of a chain in one call. Around a library's product are
//   columns = gather(m x)          [rows, kh kw C]
//   y = scatter(columns W^T)       rows that are not listed are zero
//   h = gather of the incoming gradient times r, scale and the slope of the activation
//   dx = m fold(h W)
// Where nearly all windows are listed, a library's convolution replaces the product, with passes
// before and after it on whole tensors. Results have the same bits whatever the number of threads.
//
// Tensors are [N, C, H, W]: float16, bfloat16, float32 or float64. "real" is double beside float64
// and float beside the others: the type of ratios, biases, soft masks and sums. Products have the
// tensor's type, or float beside float16. The x of gather may have any strides; other tensors are
// channels-last (channels beside each other, positions a constant step apart) or planar.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

// Kernel, stride, padding and dilation, each for rows and for columns.
struct ConvWindow {
  std::int64_t kernel[2], stride[2], padding[2], dilation[2];

  std::int64_t out_size(int axis, std::int64_t size) const {
    const std::int64_t room = size + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1;
    return room < 0 ? 0 : room / stride[axis] + 1;
  }
  std::int64_t taps() const { return kernel[0] * kernel[1]; }
};

inline ConvWindow conv_window(const std::array<std::int64_t, 8>& v) {
  const ConvWindow window{{v[0], v[1]}, {v[2], v[3]}, {v[4], v[5]}, {v[6], v[7]}};
  for (int axis = 0; axis < 2; ++axis) {
    HM_CHECK(window.kernel[axis] > 0 && window.stride[axis] > 0 && window.padding[axis] >= 0 &&
                 window.dilation[axis] > 0,
             "window: kernel ", window.kernel[axis], ", stride ", window.stride[axis], ", padding ",
             window.padding[axis], ", dilation ", window.dilation[axis]);
  }
  return window;
}

// Returns 0: all ones; 1: zeros and ones; 2: values in [0, 1]; 3: others. mask [N, C, H, W].
int partial_conv_mask_kind(const ArrayView& mask);

// The plan of one layer. G is the number of groups if the first layer's mask has a plane for each
// channel, else 1.
struct PartialConvLayer {
  ConvWindow window;
  ArrayView count;     // [N, G, OH, OW] real: u; hard masks are counted in integers
  ArrayView ratio;     // [N, G, OH, OW] float32
  ArrayView cover;     // [N, G, OH, OW] the new mask: bool for a hard mask, else real
  std::int32_t* rows;  // [N OH OW]: positions in [N, OH, OW] with u > 0 in any group, in order
};

// Plans a chain of layers, each on the new mask of the one before; returns how many rows each has.
// A hard mask is 1 wherever it is above zero.
std::vector<std::int64_t> partial_conv_plan(const ArrayView& mask, std::int64_t groups, bool soft,
                                            const std::vector<PartialConvLayer>& layers);

// Writes index [positions]: the number of the position's row, -1 where it has none.
void partial_conv_index(const std::int32_t* rows, std::int64_t count, std::int32_t* index,
                        std::int64_t positions);

// Forms columns [M, K] from x times mask; K is (kh, kw, C), with channels_first (C, kh, kw). mask:
// one plane, bool or real, of x's height and width, or null.
struct GatherParams {
  ArrayView x;
  const ArrayView* mask;
  ConvWindow window;
  std::int64_t out_height, out_width;
  const std::int32_t* rows;
  std::int64_t count;
  ArrayView columns;
  bool channels_first;
};
void partial_conv_gather(const GatherParams& params);

// Forms dx [N, C, H, W] = mask times the sum of columns [M, K] over the windows that hold a pixel.
struct FoldParams {
  ArrayView columns;
  const std::int32_t* index;  // [N, OH, OW]
  ConvWindow window;
  std::int64_t out_height, out_width;
  const ArrayView* mask;
  ArrayView dx;
  bool channels_first;
};
void partial_conv_fold(const FoldParams& params);

// Computes y = act(scale ratio acc + bias cover). With rows, acc is [M, C] and all of y is written;
// else acc is y and is changed in place. cover: null where it is 1 wherever ratio is not 0.
struct EpilogueParams {
  const ArrayView* acc;
  const std::int32_t* rows;
  std::int64_t count;
  const ArrayView* ratio;  // [N, OH, OW] real; null: 1
  const ArrayView* cover;  // [N, OH, OW] real
  const ArrayView* bias;   // [C] real
  double scale;
  double negative_slope;  // 1: no activation
  ArrayView y;
};
void partial_conv_epilogue(const EpilogueParams& params);

// The gradient of the epilogue: h = scale ratio act'(y) grad, with rows [M, C], else like grad; and
// bias_grad [C] = the sum of act'(y) cover grad. y may be null where the slope is 1.
struct EpilogueGradParams {
  ArrayView grad;
  const ArrayView* y;
  const std::int32_t* rows;
  std::int64_t count;
  const ArrayView* ratio;
  const ArrayView* cover;
  double scale;
  double negative_slope;
  ArrayView h;
  const ArrayView* bias_grad;  // [C] real
};
void partial_conv_epilogue_grad(const EpilogueGradParams& params);

// Writes out = x mask, in place where out is x. mask: bool or real, one plane or C, any strides.
void partial_conv_premask(const ArrayView& x, const ArrayView& mask, const ArrayView& out);

namespace partial_conv {

// The places of a tensor's elements in memory.
struct Layout {
  bool channels_last;
  std::int64_t position, channel, image;  // steps; channels-last: image is H W positions
};
Layout layout_of(const ArrayView& tensor, const char* name);

struct Epilogue {
  EpilogueParams call;
  Layout to;
};
struct EpilogueGrad {
  EpilogueGradParams call;
  Layout from;
};
struct Premask {
  const ArrayView *x, *mask, *out;
  Layout layout;
};

}  // namespace partial_conv

HM_SIMD_DECLARE(void partial_conv_gather_kernel(const GatherParams& params))
HM_SIMD_DECLARE(void partial_conv_fold_kernel(const FoldParams& params))
HM_SIMD_DECLARE(void partial_conv_epilogue_kernel(const partial_conv::Epilogue& params))
HM_SIMD_DECLARE(void partial_conv_epilogue_grad_kernel(const partial_conv::EpilogueGrad& params))
HM_SIMD_DECLARE(void partial_conv_premask_kernel(const partial_conv::Premask& params))

}  // namespace pyharmony
