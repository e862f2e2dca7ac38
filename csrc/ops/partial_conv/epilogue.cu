// The passes over whole tensors before and after a library's convolution.
//
// Channels-last: a block has a run of positions and up to 32 packs of 16 bytes of channels, so that
// a thread keeps its channels. Planar: a block has a run of positions of one channel. Each block
// forms sums, and a second kernel adds them in order.
#include <algorithm>
#include <cstdint>

#include "device/launch.h"
#include "device/reduce.h"
#include "ops/partial_conv/tensors.cuh"

namespace pyharmony {
namespace {

using namespace partial_conv;  // NOLINT: it belongs to this op

constexpr int kThreads = 256;
constexpr int kPacks = 8;  // packs of a thread
// The packs that a thread loads at once; planar ones have a window for each value.
template <int kPack, bool kLast>
constexpr int kBatchOf = kLast || kPack == 1 ? 4 : 2;
constexpr int kSumColumns = 32, kSumRows = 32;

// The division of a tensor among blocks and threads.
struct Walk {
  int images, channels, plane;
  bool last;
  int columns;        // threads side by side along channels, a power of two; planar: 1
  int strip, strips;  // positions of a block; blocks along an image's positions
  int pack;           // values of a pack
  dim3 grid() const {
    const int blocks = last ? (channels + columns * pack - 1) / (columns * pack) : channels;
    return dim3(static_cast<unsigned>(strips), static_cast<unsigned>(blocks),
                static_cast<unsigned>(images));
  }
};

// A thread's place. Channels-last: pack values of positions `first`, `first` + step, ... from
// channel `channel` on. Planar: pack positions from each of those on, of one channel.
struct Place {
  std::int64_t image;  // offset of the image and the channel
  int channel, first, end, step;
  bool inside;
};

template <int kPack, bool kLast>
__device__ __forceinline__ Place place_of(const Walk& w) {
  Place at;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t n = blockIdx.z;
  const int begin = static_cast<int>(blockIdx.x) * w.strip;
  at.end = smaller(w.plane, begin + w.strip);
  if constexpr (kLast) {
    const int column = thread & (w.columns - 1);
    at.channel = (static_cast<int>(blockIdx.y) * w.columns + column) * kPack;
    at.inside = at.channel < w.channels;
    at.step = kThreads / w.columns;
    at.first = begin + thread / w.columns;
    at.image = n * w.channels * w.plane + at.channel;
  } else {
    at.channel = static_cast<int>(blockIdx.y);
    at.inside = true;
    at.step = kThreads * kPack;
    at.first = begin + thread * kPack;
    at.image = (n * w.channels + at.channel) * w.plane;
  }
  if (!at.inside) at.first = at.end;
  return at;
}

template <bool kLast>
__device__ __forceinline__ std::int64_t offset_of(const Walk& w, const Place& at, int position) {
  return at.image + (kLast ? std::int64_t(position) * w.channels : position);
}

// ---- x mask -------------------------------------------------------------------------------------

struct PremaskParams {
  Walk walk;
  const void* x;
  void* out;
  MaskOf mask;
  Factor factor;
};

template <typename T, int kPack, bool kLast>
__global__ void __launch_bounds__(kThreads, 2)
    partial_conv_premask_kernel(const __grid_constant__ PremaskParams p) {
  using Values = Pack<T, kPack>;
  constexpr int kBatch = kBatchOf<kPack, kLast>;
  const Place at = place_of<kPack, kLast>(p.walk);
  const MaskOf& m = p.mask;
  const float factor = load(p.factor);
  const std::int64_t mask = blockIdx.z * m.image + at.channel * m.channel;
  const bool one = m.values.data == nullptr, shared = kLast && m.channel == 0;
  for (int first = at.first; first < at.end; first += kBatch * at.step) {
    Values pack[kBatch] = {};
    float share[kBatch][kPack] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int position = first + b * at.step;
      if (position >= at.end) continue;
      bool any = false;
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        if (one) {
          share[b][i] = 1;
        } else if (i > 0 && shared) {
          share[b][i] = share[b][0];
        } else {
          share[b][i] =
              load(m.values, mask + position * m.position + i * (kLast ? m.channel : m.position));
        }
        any |= share[b][i] != 0;
      }
      if (any) {
        pack[b] = device::load_pack<T, kPack>(p.x, offset_of<kLast>(p.walk, at, position));
      }
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int position = first + b * at.step;
      if (position >= at.end) continue;
      Values out;
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        out.value[i] = device::from_float<T>(
            share[b][i] != 0 ? device::to_float(pack[b].value[i]) * (share[b][i] * factor) : 0.0f);
      }
      device::store_pack(p.out, offset_of<kLast>(p.walk, at, position), out);
    }
  }
}

// ---- sums ---------------------------------------------------------------------------------------

// Writes partial [N strips][C] from the values of each of a thread's channels.
template <int kPack, bool kLast>
__device__ __forceinline__ void store_sums(const Walk& w, const Place& at,
                                           const float (&sum)[kPack], float* partial,
                                           float* shared) {
  const int thread = static_cast<int>(threadIdx.x);
  float* const to = partial + (std::int64_t(blockIdx.z) * w.strips + blockIdx.x) * w.channels;
  if constexpr (kLast) {
    // shared [rows][columns kPack]
    const int width = w.columns * kPack, rows = kThreads / w.columns;
    const int column = thread & (w.columns - 1), row = thread / w.columns;
#pragma unroll
    for (int i = 0; i < kPack; ++i) shared[row * width + column * kPack + i] = sum[i];
    HM_SYNC();
    for (int j = thread; j < width; j += kThreads) {
      float total = 0;
      for (int r = 0; r < rows; ++r) total += shared[r * width + j];
      const int c = static_cast<int>(blockIdx.y) * width + j;
      if (c < w.channels) to[c] = total;
    }
  } else {
    float mine = 0;
#pragma unroll
    for (int i = 0; i < kPack; ++i) mine += sum[i];
    mine = device::block_reduce<kThreads>(mine, device::Sum(), shared);
    if (thread == 0) to[at.channel] = mine;
  }
}

struct SumsParams {
  const float* partial;  // [rows, C]
  int channels, rows;
  void* out;  // [C]
  DType dtype;
};

// Adds partials; blocks lie along channels.
__global__ void __launch_bounds__(kSumColumns* kSumRows)
    partial_conv_sums_kernel(const __grid_constant__ SumsParams p) {
  __shared__ float part[kSumColumns][kSumRows + 1];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int c = static_cast<int>(blockIdx.x) * kSumColumns + x;
  float sum = 0;
  if (c < p.channels) {
#pragma unroll 4
    for (int row = y; row < p.rows; row += kSumRows) {
      sum += p.partial[std::int64_t(row) * p.channels + c];
    }
  }
  part[x][y] = sum;
  HM_SYNC();
  sum = device::warp_reduce(part[y][x], device::Sum());
  const int channel = static_cast<int>(blockIdx.x) * kSumColumns + y;
  if (x == 0 && channel < p.channels) {
    if (p.dtype == DType::kFloat32) {
      static_cast<float*>(p.out)[channel] = sum;
    } else if (p.dtype == DType::kFloat16) {
      static_cast<__half*>(p.out)[channel] = device::from_float<__half>(sum);
    } else {
      static_cast<BFloat16*>(p.out)[channel] = device::from_float<BFloat16>(sum);
    }
  }
}

// ---- act(factor ratio y + bias cover) -----------------------------------------------------------

struct EpilogueParamsOn {
  Walk walk;
  void* y;
  Maps maps;
  AnyValues bias;
  Factor factor;
  float slope;
};

template <typename T, int kPack, bool kLast>
__global__ void __launch_bounds__(kThreads, 2)
    partial_conv_epilogue_kernel(const __grid_constant__ EpilogueParamsOn p) {
  using Values = Pack<T, kPack>;
  constexpr int kBatch = kBatchOf<kPack, kLast>;
  const Place at = place_of<kPack, kLast>(p.walk);
  const float factor = load(p.factor);
  float bias[kLast ? kPack : 1];
#pragma unroll
  for (int i = 0; i < (kLast ? kPack : 1); ++i) {
    bias[i] = p.bias.data != nullptr && at.inside ? load(p.bias, at.channel + i) : 0.0f;
  }
  const std::int64_t own =
      blockIdx.z * p.maps.image + std::int64_t(at.channel / p.maps.each) * p.walk.plane;
  for (int first = at.first; first < at.end; first += kBatch * at.step) {
    Values pack[kBatch] = {};
    Window window[kBatch][kLast ? 1 : kPack] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int position = first + b * at.step;
      if (position >= at.end) continue;
#pragma unroll
      for (int i = 0; i < (kLast ? 1 : kPack); ++i) {
        window[b][i] = window_at(p.maps, own + position + i);
      }
      pack[b] = device::load_pack<T, kPack>(p.y, offset_of<kLast>(p.walk, at, position));
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int position = first + b * at.step;
      if (position >= at.end) continue;
      Values out;
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        const Window w = window[b][kLast ? 0 : i];
        const float more = bias[kLast ? i : 0] * w.cover;
        // Where the ratio is zero, y before does not matter.
        const float value =
            w.ratio != 0 ? fmaf(device::to_float(pack[b].value[i]), w.ratio * factor, more) : more;
        out.value[i] = device::from_float<T>(activate(value, p.slope));
      }
      device::store_pack(p.y, offset_of<kLast>(p.walk, at, position), out);
    }
  }
}

// ---- its gradient -------------------------------------------------------------------------------

struct EpilogueGradParamsOn {
  Walk walk;
  const void *grad, *y;
  void* h;
  Maps maps;
  Factor factor;
  float slope;
  float* partial;
};

template <typename T, int kPack, bool kLast>
__global__ void __launch_bounds__(kThreads, 2)
    partial_conv_epilogue_grad_kernel(const __grid_constant__ EpilogueGradParamsOn p) {
  using Values = Pack<T, kPack>;
  constexpr int kBatch = kBatchOf<kPack, kLast>;
  HM_DYN_SMEM(float, shared);
  const Place at = place_of<kPack, kLast>(p.walk);
  const float factor = load(p.factor);
  float sum[kPack] = {};
  const std::int64_t own =
      blockIdx.z * p.maps.image + std::int64_t(at.channel / p.maps.each) * p.walk.plane;
  for (int first = at.first; first < at.end; first += kBatch * at.step) {
    Values pack[kBatch] = {}, result[kBatch] = {};
    Window window[kBatch][kLast ? 1 : kPack] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int position = first + b * at.step;
      if (position >= at.end) continue;
      const std::int64_t offset = offset_of<kLast>(p.walk, at, position);
#pragma unroll
      for (int i = 0; i < (kLast ? 1 : kPack); ++i) {
        window[b][i] = window_at(p.maps, own + position + i);
      }
      pack[b] = device::load_pack<T, kPack>(p.grad, offset);
      if (p.y != nullptr) result[b] = device::load_pack<T, kPack>(p.y, offset);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int position = first + b * at.step;
      if (position >= at.end) continue;
      Values out;
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        const Window w = window[b][kLast ? 0 : i];
        float d = device::to_float(pack[b].value[i]);
        if (p.y != nullptr && !(device::to_float(result[b].value[i]) > 0)) d *= p.slope;
        out.value[i] = device::from_float<T>(d * (w.ratio * factor));
        sum[i] = fmaf(d, w.cover, sum[i]);
      }
      device::store_pack(p.h, offset_of<kLast>(p.walk, at, position), out);
    }
  }
  if (p.partial != nullptr) store_sums<kPack, kLast>(p.walk, at, sum, p.partial, shared);
}

// ---- on the host --------------------------------------------------------------------------------

// Returns the walk; `each` is the number of channels that share a map, and a pack has one map.
Walk walk_of(const ArrayView& a, bool last, bool aligned, int each) {
  Walk w{};
  for (int i = 0; i < 4; ++i) {
    HM_CHECK(a.shape[i] <= (i < 2 ? 65535 : 1 << 30), "y: size ", a.shape[i], " of dimension ", i,
             " is too large");
  }
  HM_CHECK(a.size() / a.shape[0] < (std::int64_t(1) << 31), "y: more than 2^31 values of an image");
  w.images = static_cast<int>(a.shape[0]);
  w.channels = static_cast<int>(a.shape[1]);
  w.plane = static_cast<int>(a.shape[2] * a.shape[3]);
  w.last = last;
  const int most = 16 / dtype_size(a.dtype);
  w.pack = aligned && (last ? each : w.plane) % most == 0 ? most : 1;
  w.columns = 1;
  while (last && w.columns < 32 && w.columns * w.pack < w.channels) w.columns *= 2;
  const int step = last ? kThreads / w.columns : kThreads * w.pack;
  w.strip = step * kPacks;
  w.strips = (w.plane + w.strip - 1) / w.strip;
  return w;
}

// Calls fn(TypeTag<T>, pack, last) with numbers as types.
template <typename Fn>
void dispatch_walk(DType dtype, const Walk& w, Fn&& fn) {
  device::dispatch_tensor(dtype, "y", [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int kMost = 16 / sizeof(T);
    using Many = std::integral_constant<int, kMost>;
    using One = std::integral_constant<int, 1>;
    if (w.last && w.pack > 1) return fn(tag, Many{}, std::true_type{});
    if (w.last) return fn(tag, One{}, std::true_type{});
    if (w.pack > 1) return fn(tag, Many{}, std::false_type{});
    fn(tag, One{}, std::false_type{});
  });
}

// Returns the most bytes that any alignment needs: strips are shortest without packs.
std::size_t sums_bytes(const ArrayView& a, bool last) {
  std::int64_t most = 0;
  for (bool aligned : {false, true}) {
    const Walk w = walk_of(a, last, aligned, static_cast<int>(a.shape[1]));
    most = std::max(most, std::int64_t(w.images) * w.strips * w.channels * 4);
  }
  return static_cast<std::size_t>(most);
}

}  // namespace

std::size_t partial_conv_sums_workspace(const ArrayView& grad) {
  check_tensor_dtype(grad, "grad");
  return sums_bytes(grad, is_channels_last(grad, "grad"));
}

void launch_partial_conv_premask(const ArrayView& x, const ArrayView* mask,
                                 const DeviceFactor& factor, const ArrayView& out,
                                 cudaStream_t stream) {
  const bool last = is_channels_last(out, "out");
  check_tensor_dtype(out, "out");
  check_writable(out, "out");
  check_like(x, out, last, "x", "out");
  PremaskParams p{};
  p.walk =
      walk_of(out, last, is_aligned(x, 16) && is_aligned(out, 16), static_cast<int>(out.shape[1]));
  p.x = x.data;
  p.out = out.data;
  p.mask = mask_of(mask, x);
  p.factor = factor_of(factor);
  dispatch_walk(out.dtype, p.walk, [&](auto tag, auto pack, auto channels_last) {
    using T = typename decltype(tag)::type;
    HM_LAUNCH(
        (partial_conv_premask_kernel<T, decltype(pack)::value, decltype(channels_last)::value>),
        p.walk.grid(), dim3(kThreads), 0, stream, p);
  });
}

void launch_partial_conv_epilogue(const DeviceEpilogue& call, cudaStream_t stream) {
  const ArrayView& y = *call.y;
  const bool last = is_channels_last(y, "y");
  check_tensor_dtype(y, "y");
  check_writable(y, "y");
  EpilogueParamsOn p{};
  p.maps = maps_of(call.ratio, call.cover, y);
  p.walk = walk_of(y, last, is_aligned(y, 16), p.maps.each);
  p.y = y.data;
  p.bias = values_of(call.bias, y.shape[1], "bias");
  p.factor = factor_of(call.factor);
  p.slope = static_cast<float>(call.negative_slope);
  dispatch_walk(y.dtype, p.walk, [&](auto tag, auto pack, auto channels_last) {
    using T = typename decltype(tag)::type;
    HM_LAUNCH(
        (partial_conv_epilogue_kernel<T, decltype(pack)::value, decltype(channels_last)::value>),
        p.walk.grid(), dim3(kThreads), 0, stream, p);
  });
}

void launch_partial_conv_epilogue_grad(const DeviceEpilogueGrad& call, cudaStream_t stream) {
  const ArrayView& h = *call.h;
  const bool last = is_channels_last(h, "h");
  check_tensor_dtype(h, "h");
  check_writable(h, "h");
  check_like(*call.grad, h, last, "grad", "h");
  HM_CHECK(call.y != nullptr || call.negative_slope == 1, "y: missing beside a negative_slope");
  EpilogueGradParamsOn p{};
  bool aligned = is_aligned(*call.grad, 16) && is_aligned(h, 16);
  if (call.y != nullptr && call.negative_slope != 1) {
    check_like(*call.y, h, last, "y", "h");
    aligned = aligned && is_aligned(*call.y, 16);
    p.y = call.y->data;
  }
  p.maps = maps_of(call.ratio, call.cover, h);
  p.walk = walk_of(h, last, aligned, p.maps.each);
  p.grad = call.grad->data;
  p.h = h.data;
  p.factor = factor_of(call.factor);
  p.slope = static_cast<float>(call.negative_slope);
  if (call.bias_grad != nullptr) {
    values_of(call.bias_grad, h.shape[1], "bias_grad");
    check_writable(*call.bias_grad, "bias_grad");
    const std::size_t needed = sums_bytes(h, last);
    HM_CHECK(call.workspace != nullptr && call.workspace_bytes >= needed,
             "workspace: ", call.workspace_bytes, " bytes, expected ", needed);
    p.partial = static_cast<float*>(call.workspace);
  }
  const int floats = p.partial == nullptr ? 0 : last ? kThreads * p.walk.pack : kThreads / 32;
  const std::size_t bytes = static_cast<std::size_t>(floats) * sizeof(float);
  dispatch_walk(h.dtype, p.walk, [&](auto tag, auto pack, auto channels_last) {
    using T = typename decltype(tag)::type;
    HM_LAUNCH((partial_conv_epilogue_grad_kernel<T, decltype(pack)::value,
                                                 decltype(channels_last)::value>),
              p.walk.grid(), dim3(kThreads), bytes, stream, p);
  });
  if (call.bias_grad != nullptr) {
    const Walk& w = p.walk;
    HM_LAUNCH(partial_conv_sums_kernel,
              dim3(static_cast<unsigned>((w.channels + kSumColumns - 1) / kSumColumns)),
              dim3(kSumColumns, kSumRows), 0, stream,
              SumsParams{p.partial, w.channels, w.images * w.strips, call.bias_grad->data,
                         call.bias_grad->dtype});
  }
}

}  // namespace pyharmony
