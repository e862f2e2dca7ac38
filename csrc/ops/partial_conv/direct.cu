// A convolution of few channels with everything around it in one kernel: it has so little
// arithmetic that each pass over the result would cost as much again.
//
// A block does 64 output channels of 16 x 8 positions, a thread 8 channels of 4 positions one below
// the other. Shared memory holds the masked pixels and the weights that the block needs, for as
// many of the channels of x at once as fit.
#include <algorithm>
#include <cstdint>

#include "device/launch.h"
#include "ops/partial_conv/tensors.cuh"

namespace pyharmony {
namespace {

using namespace partial_conv;  // NOLINT: it belongs to this op

constexpr int kMaxChannels = 4, kMaxKernel = 7;
constexpr int kTileX = 16, kTileY = 8, kRows = 4;  // positions of a tile; rows of a thread
constexpr int kGroups = 8, kEach = 8;              // threads along channels; channels of each
constexpr int kOut = kGroups * kEach;
constexpr int kThreads = kGroups * kTileX * kTileY / kRows;
constexpr int kMaxShared = 48 << 10;

struct DirectParams {
  const void *x, *weight;
  void* y;
  std::int64_t x_image, x_channel, x_row, x_column;
  std::int64_t w_out, w_channel, w_row, w_column;
  std::int64_t y_image, y_channel, y_position;
  int images, channels, height, width, outputs, out_height, out_width;
  int kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
  int tile_h, tile_w, chunk;  // size in pixels; channels at once
  int across, down;           // numbers of tiles
  bool packed;                // whether four channels of y are written at once
  MaskOf mask;
  Maps maps;
  AnyValues bias;
  Factor factor;
  float slope;
};

// Weights are [tap][2][8][4]: the four floats of neighbouring threads lie side by side. Channels 4
// g + i of the first half and of the second belong to group g.
__device__ __forceinline__ int channel_of(int group, int i) {
  return i / 4 * (kOut / 2) + group * 4 + i % 4;
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 2)
    partial_conv_direct_kernel(const __grid_constant__ DirectParams p) {
  HM_DYN_SMEM(float, shared);
  const int thread = static_cast<int>(threadIdx.x);
  const int group = thread % kGroups, slot = thread / kGroups;
  const int column = slot % kTileX, row = slot / kTileX * kRows;
  const int tile = static_cast<int>(blockIdx.x);
  const int x0 = tile % p.across * kTileX, y0 = tile / p.across * kTileY;
  const int o0 = static_cast<int>(blockIdx.y) * kOut;
  const int n = static_cast<int>(blockIdx.z);
  const int taps = p.kernel_h * p.kernel_w, area = p.tile_h * p.tile_w;
  float* const weights = shared;                         // [chunk][taps][2][8][4]
  float* const pixels = shared + p.chunk * taps * kOut;  // [chunk][tile_h][tile_w]

  Window window[kRows];
  bool any = false;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int y = y0 + row + r, x = x0 + column;
    window[r] = {0, 0};
    if (y < p.out_height && x < p.out_width) {
      window[r] = window_at(p.maps, n * p.maps.image + std::int64_t(y) * p.out_width + x);
    }
    any |= window[r].ratio != 0;
  }
  float sum[kRows][kEach] = {};
  // A tile of holes only has nothing to add up.
  if (HM_SYNC_OR(any)) {
    for (int c0 = 0; c0 < p.channels; c0 += p.chunk) {
      const int some = smaller(p.chunk, p.channels - c0);
      if (c0 > 0) HM_SYNC();
      for (int i = thread; i < some * taps * kOut; i += kThreads) {
        const int part = i % kOut, tap = i / kOut % taps, c = c0 + i / kOut / taps;
        const int o = o0 + channel_of(part % (kOut / 2) / 4, part / (kOut / 2) * 4 + part % 4);
        const int ky = tap / p.kernel_w, kx = tap - ky * p.kernel_w;
        weights[i] =
            o < p.outputs
                ? device::to_float(static_cast<const T*>(
                      p.weight)[o * p.w_out + c * p.w_channel + ky * p.w_row + kx * p.w_column])
                : 0.0f;
      }
      for (int i = thread; i < some * area; i += kThreads) {
        const int c = c0 + i / area, ty = i % area / p.tile_w, tx = i % p.tile_w;
        const int y = y0 * p.stride_h - p.padding_h + ty, x = x0 * p.stride_w - p.padding_w + tx;
        float value = 0;
        if (y >= 0 && y < p.height && x >= 0 && x < p.width) {
          const float share =
              p.mask.values.data == nullptr
                  ? 1.0f
                  : load(p.mask.values, n * p.mask.image + c * p.mask.channel +
                                            (std::int64_t(y) * p.width + x) * p.mask.position);
          if (share != 0) {
            value =
                share * device::to_float(static_cast<const T*>(
                            p.x)[n * p.x_image + c * p.x_channel + y * p.x_row + x * p.x_column]);
          }
        }
        pixels[i] = value;
      }
      HM_SYNC();
      const int step = p.stride_h * p.tile_w;
      for (int c = 0; c < some; ++c) {
        const float* w = weights + c * taps * kOut + group * 4;
        for (int ky = 0; ky < p.kernel_h; ++ky) {
          const float* pixel = pixels + c * area +
                               (row * p.stride_h + ky * p.dilation_h) * p.tile_w +
                               column * p.stride_w;
          for (int kx = 0; kx < p.kernel_w; ++kx) {
            const auto low = *reinterpret_cast<const Pack<float, 4>*>(w);
            const auto high = *reinterpret_cast<const Pack<float, 4>*>(w + kOut / 2);
#pragma unroll
            for (int r = 0; r < kRows; ++r) {
              const float value = pixel[r * step];
#pragma unroll
              for (int i = 0; i < 4; ++i) {
                sum[r][i] = fmaf(value, low.value[i], sum[r][i]);
                sum[r][4 + i] = fmaf(value, high.value[i], sum[r][4 + i]);
              }
            }
            w += kOut;
            pixel += p.dilation_w;
          }
        }
      }
    }
  }

  const float factor = load(p.factor);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int o = o0 + channel_of(group, half * 4);
    float bias[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      bias[i] = p.bias.data != nullptr && o + i < p.outputs ? load(p.bias, o + i) : 0.0f;
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int y = y0 + row + r, x = x0 + column;
      if (y >= p.out_height || x >= p.out_width) continue;
      T* const to = static_cast<T*>(p.y) + n * p.y_image + o * p.y_channel +
                    (std::int64_t(y) * p.out_width + x) * p.y_position;
      Pack<T, 4> out;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float more = bias[i] * window[r].cover;
        const float value = window[r].ratio != 0
                                ? fmaf(sum[r][half * 4 + i], window[r].ratio * factor, more)
                                : more;
        out.value[i] = device::from_float<T>(activate(value, p.slope));
      }
      if (p.packed && o < p.outputs) {
        *reinterpret_cast<Pack<T, 4>*>(to) = out;
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (o + i < p.outputs) to[i * p.y_channel] = out.value[i];
        }
      }
    }
  }
}

struct Tile {
  std::int64_t height, width;
  std::int64_t bytes(const ConvWindow& w) const {  // bytes of a channel
    return (w.taps() * kOut + height * width) * 4;
  }
};

Tile tile_of(const ConvWindow& w) {
  return {(kTileY - 1) * w.stride[0] + (w.kernel[0] - 1) * w.dilation[0] + 1,
          (kTileX - 1) * w.stride[1] + (w.kernel[1] - 1) * w.dilation[1] + 1};
}

int checked(std::int64_t value, std::int64_t most, const char* name) {
  HM_CHECK(value <= most, name, ": ", value, " is too large, expected at most ", most);
  return static_cast<int>(value);
}

}  // namespace

bool partial_conv_direct_fits(std::int64_t channels, const ConvWindow& w) {
  if (channels > kMaxChannels) return false;
  for (int axis = 0; axis < 2; ++axis) {
    if (w.kernel[axis] > kMaxKernel || w.stride[axis] > 64 || w.dilation[axis] > 64) return false;
  }
  return tile_of(w).bytes(w) <= kMaxShared;
}

void launch_partial_conv_direct(const DeviceDirect& call, cudaStream_t stream) {
  const ArrayView &x = *call.x, &weight = *call.weight, &y = *call.y;
  const ConvWindow& w = call.window;
  check_tensor_dtype(x, "x");
  HM_CHECK(x.ndim == 4 && weight.ndim == 4 && y.ndim == 4, "x, weight, y: expected 4 dimensions");
  HM_CHECK(partial_conv_direct_fits(x.shape[1], w),
           "weight: not of few channels and a small kernel");
  HM_CHECK(weight.dtype == x.dtype && weight.shape[0] == y.shape[1] &&
               weight.shape[1] == x.shape[1] && weight.shape[2] == w.kernel[0] &&
               weight.shape[3] == w.kernel[1],
           "weight: expected [", y.shape[1], ", ", x.shape[1], ", ", w.kernel[0], ", ", w.kernel[1],
           "] of x's dtype");
  HM_CHECK(y.dtype == x.dtype && y.shape[0] == x.shape[0] &&
               y.shape[2] == w.out_size(0, x.shape[2]) && y.shape[3] == w.out_size(1, x.shape[3]),
           "y: expected [", x.shape[0], ", ", weight.shape[0], ", ", w.out_size(0, x.shape[2]),
           ", ", w.out_size(1, x.shape[3]), "] of x's dtype");
  check_writable(y, "y");
  const bool last = is_channels_last(y, "y");
  const std::int64_t plane = y.shape[2] * y.shape[3];
  checked(x.shape[2] * x.shape[3], 1 << 30, "x");
  checked(plane, 1 << 30, "y");

  DirectParams p{};
  p.x = x.data;
  p.weight = weight.data;
  p.y = y.data;
  p.x_image = x.stride[0], p.x_channel = x.stride[1], p.x_row = x.stride[2];
  p.x_column = x.stride[3];
  p.w_out = weight.stride[0], p.w_channel = weight.stride[1], p.w_row = weight.stride[2];
  p.w_column = weight.stride[3];
  p.y_image = y.shape[1] * plane;
  p.y_channel = last ? 1 : plane;
  p.y_position = last ? y.shape[1] : 1;
  p.images = checked(x.shape[0], 65535, "x");
  p.channels = static_cast<int>(x.shape[1]);
  p.height = static_cast<int>(x.shape[2]);
  p.width = static_cast<int>(x.shape[3]);
  p.outputs = checked(y.shape[1], 65535, "y");
  p.out_height = static_cast<int>(y.shape[2]);
  p.out_width = static_cast<int>(y.shape[3]);
  p.kernel_h = static_cast<int>(w.kernel[0]), p.kernel_w = static_cast<int>(w.kernel[1]);
  p.stride_h = static_cast<int>(w.stride[0]), p.stride_w = static_cast<int>(w.stride[1]);
  p.padding_h = checked(w.padding[0], 1 << 20, "padding");
  p.padding_w = checked(w.padding[1], 1 << 20, "padding");
  p.dilation_h = static_cast<int>(w.dilation[0]), p.dilation_w = static_cast<int>(w.dilation[1]);
  const Tile tile = tile_of(w);
  p.tile_h = static_cast<int>(tile.height), p.tile_w = static_cast<int>(tile.width);
  p.chunk = static_cast<int>(std::min<std::int64_t>(p.channels, kMaxShared / tile.bytes(w)));
  p.across = (p.out_width + kTileX - 1) / kTileX;
  p.down = (p.out_height + kTileY - 1) / kTileY;
  p.packed = last && p.outputs % 4 == 0 &&
             is_aligned(y, static_cast<std::size_t>(4 * dtype_size(y.dtype)));
  p.mask = mask_of(call.mask, x);
  p.maps = maps_of(call.ratio, call.cover, y);
  HM_CHECK(p.maps.each == p.outputs, "ratio: of groups, expected one map for all channels");
  p.bias = values_of(call.bias, y.shape[1], "bias");
  p.factor = factor_of(call.factor);
  p.slope = static_cast<float>(call.negative_slope);
  const std::size_t bytes = static_cast<std::size_t>(p.chunk * tile.bytes(w));
  const dim3 grid(static_cast<unsigned>(p.across) * static_cast<unsigned>(p.down),
                  static_cast<unsigned>((p.outputs + kOut - 1) / kOut),
                  static_cast<unsigned>(p.images));
  device::dispatch_tensor(x.dtype, "x", [&](auto tag) {
    using T = typename decltype(tag)::type;
    HM_LAUNCH((partial_conv_direct_kernel<T>), grid, dim3(kThreads), bytes, stream, p);
  });
}

}  // namespace pyharmony
