// Computes window sums of masks, for all layers of a chain.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/checks.h"
#include "device/launch.h"
#include "device/math.h"
#include "device/pack.h"
#include "device/reduce.h"
#include "device/tensor.h"
#include "ops/partial_conv/partial_conv_cuda.h"
#include "ops/partial_conv/tensors.cuh"

namespace pyharmony {
namespace {

using device::Pack;
using device::smaller;
using partial_conv::kListThreads;
using partial_conv::list_places;

constexpr int kMaxLayers = 32;
constexpr int kMaxBits = 63 << 10;  // bytes; any GPU gives a block 64 KB
constexpr int kPlanThreads = 1024, kPlanWarps = kPlanThreads / 32;
constexpr int kPointThreads = 256;

__device__ __forceinline__ float mask_value(Bool value) { return value.value != 0 ? 1.0f : 0.0f; }
__device__ __forceinline__ float mask_value(float value) { return value; }
__device__ __forceinline__ float mask_value(__half value) { return device::to_float(value); }
__device__ __forceinline__ float mask_value(BFloat16 value) { return device::to_float(value); }

__device__ __forceinline__ int flags_of(float value) {
  return value == 0 || value == 1 ? 0
                                  : kMaskNotBits | (value > 0 && value < 1 ? 0 : kMaskOutOfRange);
}

// Returns the flags that any lane of the warp has.
__device__ __forceinline__ int warp_flags(int flags) {
  return (__any_sync(0xffffffffu, flags & kMaskNotBits) ? kMaskNotBits : 0) |
         (__any_sync(0xffffffffu, flags & kMaskOutOfRange) ? kMaskOutOfRange : 0);
}

struct PlanLayer {
  int kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
  int height, width, out_height, out_width;
  // For bits: words of a row, columns of a window that one word holds, and their bits.
  int pitch, out_pitch, taps;
  unsigned tap_bits, last_bits;
  float size;  // S
  float *count, *ratio;
  void* cover;
  std::int32_t* rows;
};

struct PlanMask {
  const void* data;
  std::int64_t image, channel, row, column;  // strides
  int images, channels, groups, height, width;
};

// Returns S / u smaller(u, 1).
__device__ __forceinline__ float ratio_of(float size, float u) {
  return u > 0 ? size / fmaxf(u, 1.0f) : 0.0f;
}

// ---- bits ---------------------------------------------------------------------------------------

struct BitsParams {
  PlanMask mask;
  bool aligned;      // whether every 32 values of a row begin at a multiple of 16 bytes
  int layers, turn;  // turn: words of the first of two buffers
  std::int32_t *totals, *flags;
  PlanLayer layer[kMaxLayers];
};

// Reads 32 values from column x on, of which `width` are in the image, as bits.
template <typename T>
__device__ __forceinline__ unsigned read_word(const T* from, std::int64_t step, int x, int width,
                                              bool aligned, int& flags) {
  constexpr int kEach = 16 / sizeof(T);
  unsigned bits = 0;
  if (aligned && x + 32 <= width) {
#pragma unroll
    for (int i = 0; i < 32 / kEach; ++i) {
      const auto pack = *reinterpret_cast<const Pack<T, kEach>*>(from + i * kEach);
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        const float value = mask_value(pack.value[j]);
        if constexpr (!std::is_same_v<T, Bool>) flags |= flags_of(value);
        bits |= (value > 0 ? 1u : 0u) << (i * kEach + j);
      }
    }
    return bits;
  }
  const int some = smaller(32, width - x);
  for (int i = 0; i < some; ++i) {
    const float value = mask_value(from[i * step]);
    if constexpr (!std::is_same_v<T, Bool>) flags |= flags_of(value);
    bits |= (value > 0 ? 1u : 0u) << i;
  }
  return bits;
}

// Returns 32 bits of a row from x on; zeros beyond the row.
__device__ __forceinline__ unsigned bits_at(const unsigned* row, int pitch, int x) {
  const int word = x >> 5;
  const unsigned low = word >= 0 && word < pitch ? row[word] : 0u;
  const unsigned high = word >= -1 && word + 1 < pitch ? row[word + 1] : 0u;
  return static_cast<unsigned>((std::uint64_t(high) << 32 | low) >> (x & 31));
}

__device__ __forceinline__ int count_bits(const PlanLayer& q, const unsigned* planes, int each,
                                          int y, int x) {
  const int left = x * q.stride_w - q.padding_w, top = y * q.stride_h - q.padding_h;
  int u = 0;
  for (int plane = 0; plane < each; ++plane, planes += q.height * q.pitch) {
    for (int ky = 0; ky < q.kernel_h; ++ky) {
      const int row = top + ky * q.dilation_h;
      if (row < 0 || row >= q.height) continue;
      for (int kx = 0; kx < q.kernel_w; kx += q.taps) {
        const unsigned bits = bits_at(planes + row * q.pitch, q.pitch, left + kx * q.dilation_w);
        u += __popc(bits & (kx + q.taps < q.kernel_w ? q.tap_bits : q.last_bits));
      }
    }
  }
  return u;
}

// Plans an image per block. A warp has a run of words of a layer's new mask. It counts their
// windows, and when all warps know how many rows theirs have, it lists them.
template <typename T>
__global__ void __launch_bounds__(kPlanThreads)
    partial_conv_plan_kernel(const __grid_constant__ BitsParams p) {
  HM_DYN_SMEM(unsigned, words);
  __shared__ int found[2][kPlanWarps];
  __shared__ int seen[kPlanWarps];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int n = static_cast<int>(blockIdx.x);
  const PlanMask& m = p.mask;
  unsigned *in = words, *out = words + p.turn;
  {
    const T* const image = static_cast<const T*>(m.data) + n * m.image;
    const int pitch = p.layer[0].pitch, plane = m.height * pitch;
    int flags = 0;
    for (int i = thread; i < m.channels * plane; i += kPlanThreads) {
      const int c = i / plane, y = i % plane / pitch, x = i % pitch * 32;
      const T* const from = image + c * m.channel + y * m.row + x * m.column;
      in[i] = read_word(from, m.column, x, m.width, p.aligned, flags);
    }
    const int all = warp_flags(flags);
    if (lane == 0) seen[warp] = all;
  }
  HM_SYNC();
  if (thread == 0) {
    int flags = 0;
    for (int i = 0; i < kPlanWarps; ++i) flags |= seen[i];
    p.flags[n] = flags;
  }
  int each = m.channels / m.groups;
#pragma unroll 1
  for (int l = 0; l < p.layers; ++l) {
    const PlanLayer& q = p.layer[l];
    const int size = q.out_height * q.out_width, plane = q.out_height * q.out_pitch;
    const int share = (plane + kPlanWarps - 1) / kPlanWarps;
    const int first = smaller(plane, warp * share), last = smaller(plane, first + share);
    int mine = 0;
    for (int i = first; i < last; ++i) {
      const int y = i / q.out_pitch, x = (i - y * q.out_pitch) * 32 + lane;
      const bool inside = x < q.out_width;
      unsigned any = 0;
      for (int g = 0; g < m.groups; ++g) {
        const int u = inside ? count_bits(q, in + g * each * q.height * q.pitch, each, y, x) : 0;
        const unsigned bits = __ballot_sync(0xffffffffu, u > 0);
        any |= bits;
        if (lane == 0) out[g * plane + i] = bits;
        if (inside) {
          const std::int64_t at = (std::int64_t(n) * m.groups + g) * size + y * q.out_width + x;
          q.count[at] = static_cast<float>(u);
          q.ratio[at] = ratio_of(q.size, static_cast<float>(u));
          static_cast<std::uint8_t*>(q.cover)[at] = u > 0;
        }
      }
      mine += __popc(any);
    }
    if (lane == 0) found[l % 2][warp] = mine;
    HM_SYNC();
    int before = device::warp_reduce(lane < warp ? found[l % 2][lane] : 0, device::Sum());
    if (warp == kPlanWarps - 1 && lane == 0) p.totals[l * m.images + n] = before + mine;
    for (int i = first; i < last; ++i) {
      unsigned any = 0;
      for (int g = 0; g < m.groups; ++g) any |= out[g * plane + i];
      if (any >> lane & 1u) {
        const int y = i / q.out_pitch, x = (i - y * q.out_pitch) * 32 + lane;
        const int at = before + __popc(any & ((1u << lane) - 1));
        q.rows[n * size + at] = n * size + y * q.out_width + x;
      }
      before += __popc(any);
    }
    unsigned* const swap = in;
    in = out;
    out = swap;
    each = 1;
  }
}

// ---- planes -------------------------------------------------------------------------------------

struct SumParams {
  PlanMask mask;
  bool soft;
  float* planes;  // [N, G, H, W]
  std::int32_t* flags;
};

template <typename T>
__global__ void __launch_bounds__(kPointThreads)
    partial_conv_plan_sum_kernel(const __grid_constant__ SumParams p) {
  const PlanMask& m = p.mask;
  const std::int64_t plane = std::int64_t(m.height) * m.width;
  const std::int64_t at = std::int64_t(blockIdx.x) * kPointThreads + threadIdx.x;
  const int y = static_cast<int>(at / m.width),
            x = static_cast<int>(at - std::int64_t(y) * m.width);
  const int each = m.channels / m.groups;
  for (int i = blockIdx.y; i < m.images * m.groups; i += gridDim.y) {
    const int n = i / m.groups, g = i % m.groups;
    int flags = 0;
    if (at < plane) {
      const T* from = static_cast<const T*>(m.data) + n * m.image + g * each * m.channel +
                      y * m.row + x * m.column;
      float sum = 0;
      for (int c = 0; c < each; ++c, from += m.channel) {
        const float value = mask_value(*from);
        if constexpr (!std::is_same_v<T, Bool>) flags |= flags_of(value);
        sum += p.soft ? value : value > 0 ? 1.0f : 0.0f;
      }
      p.planes[i * plane + at] = sum;
    }
    if constexpr (!std::is_same_v<T, Bool>) {
      const int all = warp_flags(flags);
      if (threadIdx.x % 32 == 0 && all != 0) atomicOr(p.flags + n, all);
    }
  }
}

struct LayerParams {
  const void* planes;  // [planes, H, W]
  int count;
  bool soft;
  PlanLayer layer;
};

template <typename T>
__global__ void __launch_bounds__(kPointThreads)
    partial_conv_plan_layer_kernel(const __grid_constant__ LayerParams p) {
  const PlanLayer& q = p.layer;
  const std::int64_t size = std::int64_t(q.out_height) * q.out_width;
  const std::int64_t at = std::int64_t(blockIdx.x) * kPointThreads + threadIdx.x;
  if (at >= size) return;
  const int y = static_cast<int>(at / q.out_width);
  const int left = static_cast<int>(at - std::int64_t(y) * q.out_width) * q.stride_w - q.padding_w;
  const int top = y * q.stride_h - q.padding_h;
  for (int i = blockIdx.y; i < p.count; i += gridDim.y) {
    const T* const plane = static_cast<const T*>(p.planes) + std::int64_t(i) * q.height * q.width;
    float u = 0;
    for (int ky = 0; ky < q.kernel_h; ++ky) {
      const int row = top + ky * q.dilation_h;
      if (row < 0 || row >= q.height) continue;
      const T* const line = plane + std::int64_t(row) * q.width;
      for (int kx = 0; kx < q.kernel_w; ++kx) {
        const int x = left + kx * q.dilation_w;
        if (x >= 0 && x < q.width) u += mask_value(line[x]);
      }
    }
    const std::int64_t to = i * size + at;
    q.count[to] = u;
    q.ratio[to] = ratio_of(q.size, u);
    if (p.soft) {
      static_cast<float*>(q.cover)[to] = fminf(u, 1.0f);
    } else {
      static_cast<std::uint8_t*>(q.cover)[to] = u > 0;
    }
  }
}

struct RowsParams {
  int images, groups, layers;
  std::int32_t* totals;
  struct Layer {
    const float* ratio;
    std::int32_t* rows;
    int size;
  } layer[kMaxLayers];
};

// Lists an image and layer per block.
__global__ void __launch_bounds__(kListThreads)
    partial_conv_plan_rows_kernel(const __grid_constant__ RowsParams p) {
  const int n = static_cast<int>(blockIdx.x), l = static_cast<int>(blockIdx.y);
  const auto& q = p.layer[l];
  const float* const ratio = q.ratio + std::int64_t(n) * p.groups * q.size;
  const auto is_active = [&](int i) {
    bool any = false;
    for (int g = 0; g < p.groups; ++g) any |= ratio[std::int64_t(g) * q.size + i] > 0;
    return any;
  };
  list_places(q.size, n * q.size, is_active, q.rows + n * q.size, p.totals + l * p.images + n);
}

// ---- on the host --------------------------------------------------------------------------------

// Calls fn(TypeTag<T>{}) for a mask.
template <typename Fn>
void dispatch_mask(DType dtype, Fn&& fn) {
  if (dtype == DType::kBool) return fn(TypeTag<Bool>{});
  device::dispatch_tensor(dtype, "mask", fn);
}

int checked(std::int64_t value, const char* name) {
  HM_CHECK(value <= std::numeric_limits<int>::max(), name, ": ", value, " is too large");
  return static_cast<int>(value);
}

struct Size {
  std::int64_t height, width;
  std::int64_t words() const { return height * ((width + 31) / 32); }
};

// Returns the sizes of a chain's masks, the first's included.
std::vector<Size> sizes_of(const ArrayView& mask, const std::vector<ConvWindow>& windows) {
  HM_CHECK(mask.ndim == 4 && mask.size() > 0, "mask: ", mask.ndim,
           " dimensions, expected [N, C, H, W]");
  std::vector<Size> sizes{{mask.shape[2], mask.shape[3]}};
  for (const ConvWindow& window : windows) {
    const Size before = sizes.back();
    const Size after{window.out_size(0, before.height), window.out_size(1, before.width)};
    HM_CHECK(after.height > 0 && after.width > 0, "layers: no window of layer ", sizes.size() - 1,
             " fits [", before.height, ", ", before.width, "]");
    HM_CHECK(mask.shape[0] * std::max(after.height * after.width, before.height * before.width) <=
                 std::numeric_limits<std::int32_t>::max(),
             "mask: more than 2^31 windows");
    sizes.push_back(after);
  }
  return sizes;
}

// The sizes, in words, of the two buffers that layers read from and write to in turn.
struct BitBuffers {
  std::int64_t words[2];
  bool fit() const { return (words[0] + words[1]) * 4 <= kMaxBits; }
};

BitBuffers bit_buffers(const ArrayView& mask, std::int64_t groups, const std::vector<Size>& sizes) {
  BitBuffers buffers{{0, 0}};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::int64_t words = sizes[i].words() * (i == 0 ? mask.shape[1] : groups);
    buffers.words[i % 2] = std::max(buffers.words[i % 2], words);
  }
  return buffers;
}

PlanLayer layer_of(const PartialConvLayer& from, const Size& in, const Size& out,
                   std::int64_t channels) {
  const ConvWindow& w = from.window;
  PlanLayer q{};
  // nvcc 12.4 cannot deduce the type of such a list within the loop.
  const std::pair<int*, std::int64_t> fields[] = {
      {&q.kernel_h, w.kernel[0]},     {&q.kernel_w, w.kernel[1]},     {&q.stride_h, w.stride[0]},
      {&q.stride_w, w.stride[1]},     {&q.padding_h, w.padding[0]},   {&q.padding_w, w.padding[1]},
      {&q.dilation_h, w.dilation[0]}, {&q.dilation_w, w.dilation[1]}, {&q.height, in.height},
      {&q.width, in.width},           {&q.out_height, out.height},    {&q.out_width, out.width}};
  for (auto [to, value] : fields) *to = checked(value, "layers");
  // The kernels hold positions of taps as int.
  checked(in.height + 2 * w.padding[0] + w.kernel[0] * w.dilation[0], "layers");
  checked(in.width + 2 * w.padding[1] + w.kernel[1] * w.dilation[1], "layers");
  q.pitch = (q.width + 31) / 32;
  q.out_pitch = (q.out_width + 31) / 32;
  q.taps = std::min(q.kernel_w, 31 / q.dilation_w + 1);
  const int last = (q.kernel_w - 1) % q.taps + 1;
  for (int i = 0; i < q.taps; ++i) {
    q.tap_bits |= 1u << (i * q.dilation_w);
    if (i < last) q.last_bits |= 1u << (i * q.dilation_w);
  }
  q.size = static_cast<float>(channels * w.taps());
  q.count = from.count.as<float>();
  q.ratio = from.ratio.as<float>();
  q.cover = from.cover.data;
  q.rows = from.rows;
  return q;
}

void check_map(const ArrayView& a, const ArrayView& ratio, DType dtype, const char* name) {
  HM_CHECK(a.ndim == 4 && a.size() == ratio.size() && is_contiguous(a) && a.writable,
           "layers: ", name, " is no contiguous map of its layer");
  HM_CHECK(a.dtype == dtype, "layers: ", name, ": dtype ", dtype_name(a.dtype), ", expected ",
           dtype_name(dtype));
}

void plan_bits(const PlanMask& mask, DType dtype, const BitBuffers& buffers,
               const std::vector<PlanLayer>& layers, std::int32_t* totals, std::int32_t* flags,
               cudaStream_t stream) {
  BitsParams p{};
  p.mask = mask;
  const std::int64_t each = 16 / dtype_size(dtype);
  p.aligned = mask.column == 1 && reinterpret_cast<std::uintptr_t>(mask.data) % 16 == 0 &&
              (mask.images == 1 || mask.image % each == 0) &&
              (mask.channels == 1 || mask.channel % each == 0) &&
              (mask.height == 1 || mask.row % each == 0);
  p.layers = static_cast<int>(layers.size());
  p.turn = static_cast<int>(buffers.words[0]);
  p.totals = totals;
  p.flags = flags;
  std::copy(layers.begin(), layers.end(), p.layer);
  const std::size_t bytes = static_cast<std::size_t>(buffers.words[0] + buffers.words[1]) * 4;
  dispatch_mask(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (bytes > (47u << 10)) HM_MAX_DYN_SMEM((partial_conv_plan_kernel<T>), kMaxBits);
    HM_LAUNCH((partial_conv_plan_kernel<T>), dim3(static_cast<unsigned>(mask.images)),
              dim3(kPlanThreads), bytes, stream, p);
  });
}

dim3 points_of(std::int64_t points, std::int64_t planes) {
  return dim3(static_cast<unsigned>((points + kPointThreads - 1) / kPointThreads),
              static_cast<unsigned>(std::min<std::int64_t>(planes, 65535)));
}

void plan_planes(const PlanMask& mask, DType dtype, bool soft, const std::vector<PlanLayer>& layers,
                 std::int32_t* totals, std::int32_t* flags, float* planes, cudaStream_t stream) {
  const int count = checked(std::int64_t(mask.images) * mask.groups, "mask");
  device::fill_zero(flags, static_cast<std::size_t>(mask.images) * sizeof *flags, stream);
  dispatch_mask(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const dim3 grid = points_of(std::int64_t(mask.height) * mask.width, count);
    HM_LAUNCH((partial_conv_plan_sum_kernel<T>), grid, dim3(kPointThreads), 0, stream,
              SumParams{mask, soft, planes, flags});
  });
  RowsParams rows{};
  rows.images = mask.images;
  rows.groups = mask.groups;
  rows.layers = static_cast<int>(layers.size());
  rows.totals = totals;
  LayerParams p{planes, count, soft, {}};
  for (std::size_t i = 0; i < layers.size(); ++i) {
    p.layer = layers[i];
    const dim3 grid = points_of(std::int64_t(p.layer.out_height) * p.layer.out_width, count);
    if (i == 0 || soft) {
      HM_LAUNCH((partial_conv_plan_layer_kernel<float>), grid, dim3(kPointThreads), 0, stream, p);
    } else {
      HM_LAUNCH((partial_conv_plan_layer_kernel<Bool>), grid, dim3(kPointThreads), 0, stream, p);
    }
    p.planes = p.layer.cover;
    rows.layer[i] = {p.layer.ratio, p.layer.rows, p.layer.out_height * p.layer.out_width};
  }
  HM_LAUNCH(partial_conv_plan_rows_kernel,
            dim3(static_cast<unsigned>(mask.images), static_cast<unsigned>(rows.layers)),
            dim3(kListThreads), 0, stream, rows);
}

std::size_t planes_bytes(const ArrayView& mask, std::int64_t groups) {
  return static_cast<std::size_t>(mask.shape[0] * groups * mask.shape[2] * mask.shape[3]) * 4;
}

}  // namespace

std::size_t partial_conv_plan_workspace(const ArrayView& mask, std::int64_t groups, bool soft,
                                        const std::vector<ConvWindow>& windows) {
  const std::vector<Size> sizes = sizes_of(mask, windows);
  return !soft && bit_buffers(mask, groups, sizes).fit() ? 0 : planes_bytes(mask, groups);
}

void launch_partial_conv_plan(const ArrayView& mask, std::int64_t groups, bool soft,
                              const std::vector<PartialConvLayer>& layers, std::int32_t* totals,
                              std::int32_t* flags, void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream) {
  HM_CHECK(groups > 0 && mask.shape[1] % groups == 0, "mask: its channels do not divide by groups ",
           groups);
  HM_CHECK(!layers.empty() && totals != nullptr && flags != nullptr, "layers: none, or no totals");
  std::vector<ConvWindow> windows;
  for (const PartialConvLayer& layer : layers) windows.push_back(layer.window);
  const std::vector<Size> sizes = sizes_of(mask, windows);
  std::vector<PlanLayer> all;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const PartialConvLayer& layer = layers[i];
    const std::int64_t shape[4] = {mask.shape[0], groups, sizes[i + 1].height, sizes[i + 1].width};
    HM_CHECK(layer.ratio.ndim == 4 && std::equal(shape, shape + 4, layer.ratio.shape),
             "layers: the ratio of layer ", i, " is not [", shape[0], ", ", shape[1], ", ",
             shape[2], ", ", shape[3], "]");
    check_map(layer.ratio, layer.ratio, DType::kFloat32, "ratio");
    check_map(layer.cover, layer.ratio, soft ? DType::kFloat32 : DType::kBool, "cover");
    check_map(layer.count, layer.ratio, DType::kFloat32, "count");
    HM_CHECK(layer.rows != nullptr, "layers: no rows");
    all.push_back(layer_of(layer, sizes[i], sizes[i + 1], i == 0 ? mask.shape[1] / groups : 1));
  }
  PlanMask from{mask.data,
                mask.stride[0],
                mask.stride[1],
                mask.stride[2],
                mask.stride[3],
                checked(mask.shape[0], "mask"),
                checked(mask.shape[1], "mask"),
                checked(groups, "groups"),
                checked(mask.shape[2], "mask"),
                checked(mask.shape[3], "mask")};
  const BitBuffers buffers = bit_buffers(mask, groups, sizes);
  const bool bits = !soft && buffers.fit();
  HM_CHECK(bits || workspace_bytes >= planes_bytes(mask, groups), "workspace: ", workspace_bytes,
           " bytes, expected ", planes_bytes(mask, groups));
  HM_CHECK(layers.size() <= kMaxLayers, "layers: ", layers.size(), ", expected at most ",
           kMaxLayers);
  if (bits) {
    plan_bits(from, mask.dtype, buffers, all, totals, flags, stream);
  } else {
    plan_planes(from, mask.dtype, soft, all, totals, flags, static_cast<float*>(workspace), stream);
  }
}

}  // namespace pyharmony
