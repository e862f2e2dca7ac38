// Planar: a block has a plane, or a warp a small one; a plane that fits into shared memory is read
// once. Channels-last: a block has a strip of positions and up to 8 packs of channels. A first
// launch leaves the sums of its strip, a second one adds those of all strips in order, and writes.
#include <algorithm>
#include <cstdint>

#include "device/launch.h"
#include "device/math.h"
#include "device/pack.h"
#include "device/reduce.h"
#include "device/tensor.h"
#include "ops/instance_norm/instance_norm_cuda.h"

namespace pyharmony {
namespace {

using device::Pack;
using device::smaller;

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kSmallPlane = 1024;  // the most values of a plane that a warp does
// The most bytes of a plane in shared memory: every GPU has them beside the few of the reductions.
constexpr int kSharedBytes = 63 << 10;
constexpr int kColumns = 8;        // packs side by side: 128 bytes of float32
constexpr int kMostStrips = 32;    // in an image: each block of the second launch adds them all
constexpr int kBatchStrips = 128;  // in a batch that is one image
constexpr int kLeastStrip = 256;   // positions
constexpr int kMostSums = 5;

struct Params {
  const void* in[3];
  void* out[2];
  float *stats, *partial;
  int images, channels, plane;
  int cached;                  // planar: packs of a plane that are in shared memory
  int columns, strip, strips;  // for channels-last
  float eps, slope;
  // Of the affine passes.
  const float *scale, *shift;
  float *dscale, *dshift;
  const std::uint8_t* keep;  // null: all are kept
  float gain;
};

// ---- passes: what a value adds to its plane's sums, what follows from them, what is written -----

// A plane's constants: h = (x - constants[0]) constants[1] + constants[2]; of the affine passes
// scale and shift; then what follows from the sums.
constexpr int kNormal = 3, kAffine = kNormal + 2;

__device__ __forceinline__ void normal_of(const float* stats, float* constants) {
  constants[0] = stats[0];
  constants[1] = stats[2];
  constants[2] = -stats[1] * stats[2];
}

__device__ __forceinline__ float normalised(float x, const float* constants) {
  return fmaf(x - constants[0], constants[1], constants[2]);
}

// The sums are the mean of the distances from the plane's first value, and the squared distances
// from that mean: for equal values they are zero, and large means cost no digits.
struct Forward {
  static constexpr bool kMoments = true, kHasAffine = false;
  static constexpr int kInputs = 1, kOutputs = 1, kSums = 2, kConstants = kNormal;

  static __device__ __forceinline__ void write(const float (&in)[1], const float* constants,
                                               float slope, float (&out)[1]) {
    const float h = normalised(in[0], constants);
    out[0] = h > 0 ? h : h * slope;
  }
};

struct Gradient {
  static constexpr bool kMoments = false, kHasAffine = false;
  static constexpr int kInputs = 2, kOutputs = 1, kSums = 2, kConstants = kNormal + 2;

  static __device__ __forceinline__ void add(const float (&in)[2], const float* constants,
                                             float slope, float (&sums)[2]) {
    const float h = normalised(in[0], constants), g = h > 0 ? in[1] : in[1] * slope;
    sums[0] += g;
    sums[1] = fmaf(g, h, sums[1]);
  }
  static __device__ __forceinline__ void follow(const float (&means)[2], float* constants) {
    constants[kNormal] = means[0];
    constants[kNormal + 1] = means[1];
  }
  static __device__ __forceinline__ void write(const float (&in)[2], const float* constants,
                                               float slope, float (&out)[1]) {
    const float h = normalised(in[0], constants), g = h > 0 ? in[1] : in[1] * slope;
    out[0] = constants[1] * (g - constants[kNormal] - h * constants[kNormal + 1]);
  }
};

struct SecondGradient {
  static constexpr bool kMoments = false, kHasAffine = false;
  static constexpr int kInputs = 3, kOutputs = 2, kSums = 5, kConstants = kNormal + 5;

  static __device__ __forceinline__ void add(const float (&in)[3], const float* constants,
                                             float slope, float (&sums)[5]) {
    const float h = normalised(in[0], constants), g = h > 0 ? in[1] : in[1] * slope, u = in[2];
    sums[0] += u;
    sums[1] += g;
    sums[2] = fmaf(u, h, sums[2]);
    sums[3] = fmaf(g, h, sums[3]);
    sums[4] = fmaf(u, g, sums[4]);
  }
  static __device__ __forceinline__ void follow(const float (&means)[5], float* constants) {
#pragma unroll
    for (int i = 0; i < 4; ++i) constants[kNormal + i] = means[i];
    constants[kNormal + 4] = means[4] - means[0] * means[1] - 3 * means[2] * means[3];
  }
  static __device__ __forceinline__ void write(const float (&in)[3], const float* constants,
                                               float slope, float (&out)[2]) {
    const float* const mean = constants + kNormal;
    const float h = normalised(in[0], constants), scale = constants[1];
    const float g = (h > 0 ? in[1] : in[1] * slope) - mean[1], u = in[2] - mean[0];
    const float pull = scale * (u - h * mean[2]);
    out[0] = h > 0 ? pull : pull * slope;
    out[1] = -scale * scale * (h * mean[4] + mean[3] * u + mean[2] * g);
  }
};

struct AffineForward {
  static constexpr bool kMoments = true, kHasAffine = true;
  static constexpr int kInputs = 1, kOutputs = 1, kSums = 2, kConstants = kAffine;

  static __device__ __forceinline__ void write(const float (&in)[1], const float* constants,
                                               float slope, float (&out)[1]) {
    const float a = fmaf(constants[kNormal], normalised(in[0], constants), constants[kNormal + 1]);
    out[0] = a > 0 ? a : a * slope;
  }
};

struct AffineGradient {
  static constexpr bool kMoments = false, kHasAffine = true;
  static constexpr int kInputs = 2, kOutputs = 1, kSums = 2, kConstants = kAffine + 2;

  static __device__ __forceinline__ float behind(const float (&in)[2], const float* constants,
                                                 float h, float slope) {
    const float a = fmaf(constants[kNormal], h, constants[kNormal + 1]);
    return a > 0 ? in[1] : in[1] * slope;
  }
  static __device__ __forceinline__ void add(const float (&in)[2], const float* constants,
                                             float slope, float (&sums)[2]) {
    const float h = normalised(in[0], constants), g = behind(in, constants, h, slope);
    sums[0] += g;
    sums[1] = fmaf(g, h, sums[1]);
  }
  static __device__ __forceinline__ void follow(const float (&means)[2], float* constants) {
    constants[kAffine] = means[0];
    constants[kAffine + 1] = means[1];
  }
  static __device__ __forceinline__ void write(const float (&in)[2], const float* constants,
                                               float slope, float (&out)[1]) {
    const float h = normalised(in[0], constants), g = behind(in, constants, h, slope);
    out[0] =
        constants[kNormal] * constants[1] * (g - constants[kAffine] - h * constants[kAffine + 1]);
  }
};

template <typename Pass>
__device__ __forceinline__ void affine_of(const Params& p, int channel, float* constants) {
  if constexpr (Pass::kHasAffine) {
    constants[kNormal] = p.scale[channel];
    constants[kNormal + 1] = p.shift[channel];
  }
}

// Adds a value of a plane, the count-th of this thread. constants[0] is the plane's first value if
// the pass needs moments.
template <typename Pass>
__device__ __forceinline__ void add(const float (&in)[Pass::kInputs], const float* constants,
                                    float slope, float inverse_count, float (&sums)[Pass::kSums]) {
  if constexpr (Pass::kMoments) {
    const float d = in[0] - constants[0], apart = d - sums[0];
    sums[0] = fmaf(apart, inverse_count, sums[0]);
    sums[1] = fmaf(apart, d - sums[0], sums[1]);
  } else {
    Pass::add(in, constants, slope, sums);
  }
}

// Writes mean, what its rounding left, and rstd; the mean is `first` + `apart`.
__device__ __forceinline__ void settle(float first, float apart, float variance, float eps,
                                       float* stats) {
  const float mean = first + apart, added = mean - first;
  stats[0] = mean;
  stats[1] = (first - (mean - added)) + (apart - added);
  stats[2] = 1.0f / sqrtf(variance + eps);
}

template <typename Pass, typename T, int kPack>
__device__ __forceinline__ void load(const Params& p, std::int64_t at,
                                     Pack<T, kPack> (&packs)[Pass::kInputs]) {
#pragma unroll
  for (int k = 0; k < Pass::kInputs; ++k) packs[k] = device::load_pack<T, kPack>(p.in[k], at);
  if constexpr (!Pass::kMoments) {
    if (p.keep != nullptr) {
      const auto keep = device::load_pack<std::uint8_t, kPack>(p.keep, at);
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        const float factor = keep.value[i] != 0 ? p.gain : 0.0f;
        packs[1].value[i] = device::from_float<T>(device::to_float(packs[1].value[i]) * factor);
      }
    }
  }
}

template <typename Pass, typename T, int kPack>
__device__ __forceinline__ void value_of(const Pack<T, kPack> (&packs)[Pass::kInputs], int i,
                                         float (&in)[Pass::kInputs]) {
#pragma unroll
  for (int k = 0; k < Pass::kInputs; ++k) in[k] = device::to_float(packs[k].value[i]);
}

// Writes results; constants [kConstants] of value i are `each` apart.
template <typename Pass, typename T, int kPack>
__device__ __forceinline__ void write(const Params& p, std::int64_t at,
                                      const Pack<T, kPack> (&packs)[Pass::kInputs],
                                      const float* constants, int step, int each) {
  constexpr bool kDrops = Pass::kMoments || Pass::kOutputs == 2;
  Pack<T, kPack> results[Pass::kOutputs];
  Pack<std::uint8_t, kPack> keep{};
  if constexpr (kDrops) {
    if (p.keep != nullptr) keep = device::load_pack<std::uint8_t, kPack>(p.keep, at);
  }
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    float in[Pass::kInputs], own[Pass::kConstants], out[Pass::kOutputs];
    value_of<Pass>(packs, i, in);
#pragma unroll
    for (int k = 0; k < Pass::kConstants; ++k) own[k] = constants[k * step + i * each];
    Pass::write(in, own, p.slope, out);
    if constexpr (kDrops) {
      if (p.keep != nullptr) out[0] *= keep.value[i] != 0 ? p.gain : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < Pass::kOutputs; ++k) {
      results[k].value[i] = device::from_float<T>(out[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < Pass::kOutputs; ++k) device::store_pack(p.out[k], at, results[k]);
}

// The packs that a thread loads at once.
template <typename Pass>
constexpr int kBatchOf = Pass::kInputs == 1 ? 4 : 2;

// ---- planar -------------------------------------------------------------------------------------

// Sums over the threads of a warp or a block, in one order; all get the result. `scratch` [kWarps]
// is shared memory that nobody else uses.
template <int kGroup>
__device__ __forceinline__ float sum_of(float value, float* scratch) {
  value = device::warp_reduce(value, device::Sum());
  if constexpr (kGroup > 32) {
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    HM_SYNC();
    value = scratch[0];
#pragma unroll
    for (int warp = 1; warp < kWarps; ++warp) value += scratch[warp];
  }
  return value;
}

template <typename Pass, typename T, int kPack, int kGroup>
__global__ void __launch_bounds__(kThreads, 2)
    instance_norm_plane_kernel(const __grid_constant__ Params p) {
  using Values = Pack<T, kPack>;
  constexpr int kBatch = kBatchOf<Pass>;
  HM_DYN_SMEM(Values, shared);  // [kInputs][cached]: each thread reads what it wrote itself
  __shared__ float scratch[kMostSums][kWarps];
  const int lane = static_cast<int>(threadIdx.x) % kGroup;
  const int plane =
      static_cast<int>(blockIdx.x) * (kThreads / kGroup) + static_cast<int>(threadIdx.x) / kGroup;
  // Whole warps return here; the threads of a block of one plane are all inside.
  if (plane >= p.images * p.channels) return;
  const std::int64_t first = std::int64_t(plane) * p.plane;
  float* const stats = p.stats + std::int64_t(plane) * kInstanceNormStats;
  const int packs = p.plane / kPack;
  float constants[Pass::kConstants];
  if constexpr (Pass::kMoments) {
    constants[0] = device::to_float(static_cast<const T*>(p.in[0])[first]);
  } else {
    normal_of(stats, constants);
  }
  float sums[kPack][Pass::kSums] = {};
  int count = 0;
  for (int begin = lane; begin < packs; begin += kBatch * kGroup) {
    Values some[kBatch][Pass::kInputs] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int at = begin + b * kGroup;
      if (at < packs) load<Pass>(p, first + std::int64_t(at) * kPack, some[b]);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int at = begin + b * kGroup;
      if (at >= packs) continue;
      if (at < p.cached) {
#pragma unroll
        for (int k = 0; k < Pass::kInputs; ++k) shared[k * p.cached + at] = some[b][k];
      }
      const float inverse = 1.0f / static_cast<float>(++count);
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        float in[Pass::kInputs];
        value_of<Pass>(some[b], i, in);
        add<Pass>(in, constants, p.slope, inverse, sums[i]);
      }
    }
  }
  const float all = 1.0f / static_cast<float>(p.plane);
  if constexpr (Pass::kMoments) {
    float apart = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < kPack; ++i) apart += sums[i][0];
    apart = sum_of<kGroup>(apart * static_cast<float>(count), scratch[0]) * all;
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      const float d = sums[i][0] - apart;
      squares += fmaf(d * d, static_cast<float>(count), sums[i][1]);
    }
    squares = sum_of<kGroup>(squares, scratch[1]);
    float own[kInstanceNormStats];
    settle(constants[0], apart, squares * all, p.eps, own);
    if (lane == 0) {
#pragma unroll
      for (int i = 0; i < kInstanceNormStats; ++i) stats[i] = own[i];
    }
    normal_of(own, constants);
  } else {
    float means[Pass::kSums];
#pragma unroll
    for (int s = 0; s < Pass::kSums; ++s) {
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kPack; ++i) sum += sums[i][s];
      means[s] = sum_of<kGroup>(sum, scratch[s]) * all;
    }
    Pass::follow(means, constants);
  }
  for (int begin = lane; begin < packs; begin += kBatch * kGroup) {
    Values some[kBatch][Pass::kInputs] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int at = begin + b * kGroup;
      if (at < p.cached) {
#pragma unroll
        for (int k = 0; k < Pass::kInputs; ++k) some[b][k] = shared[k * p.cached + at];
      } else if (at < packs) {
        load<Pass>(p, first + std::int64_t(at) * kPack, some[b]);
      }
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int at = begin + b * kGroup;
      if (at < packs) write<Pass>(p, first + std::int64_t(at) * kPack, some[b], constants, 1, 0);
    }
  }
}

// ---- channels-last ------------------------------------------------------------------------------

// The place of a thread: pack values from channel `channel` on, of positions `begin`,
// `begin` + step, ... of a strip.
struct Place {
  int channel, column, row, begin, end, step;
  std::int64_t image;  // offset of the image and the channel
};

template <int kPack>
__device__ __forceinline__ Place place_of(const Params& p) {
  Place at;
  at.column = static_cast<int>(threadIdx.x) & (p.columns - 1);
  at.row = static_cast<int>(threadIdx.x) / p.columns;
  at.step = kThreads / p.columns;
  at.channel = (static_cast<int>(blockIdx.y) * p.columns + at.column) * kPack;
  at.begin = static_cast<int>(blockIdx.x) * p.strip + at.row;
  at.end = smaller(p.plane, (static_cast<int>(blockIdx.x) + 1) * p.strip);
  at.image = std::int64_t(blockIdx.z) * p.plane * p.channels + at.channel;
  if (at.channel >= p.channels) at.begin = at.end;
  return at;
}

// Loads the packs of a thread's next positions, from `begin` on; zeros beyond the strip.
template <typename Pass, typename T, int kPack, int kBatch>
__device__ __forceinline__ void load_batch(const Params& p, const Place& at, int begin,
                                           Pack<T, kPack> (&some)[kBatch][Pass::kInputs]) {
#pragma unroll
  for (int b = 0; b < kBatch; ++b) {
    const int position = begin + b * at.step;
    if (position < at.end) load<Pass>(p, at.image + std::int64_t(position) * p.channels, some[b]);
  }
}

// Writes partial [N, strips, kSums, C], the sums of a strip.
template <typename Pass, typename T, int kPack>
__global__ void __launch_bounds__(kThreads, 2)
    instance_norm_strip_kernel(const __grid_constant__ Params p) {
  using Values = Pack<T, kPack>;
  constexpr int kBatch = kBatchOf<Pass>;
  HM_DYN_SMEM(float, shared);  // [rows][kSums][columns kPack]
  const Place at = place_of<kPack>(p);
  const bool inside = at.channel < p.channels;
  float constants[kPack][Pass::kHasAffine ? kAffine : kNormal] = {};
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    if (!inside) continue;
    if constexpr (Pass::kMoments) {
      constants[i][0] = device::to_float(static_cast<const T*>(p.in[0])[at.image + i]);
    } else {
      const std::int64_t plane = std::int64_t(blockIdx.z) * p.channels + at.channel + i;
      normal_of(p.stats + plane * kInstanceNormStats, constants[i]);
      affine_of<Pass>(p, at.channel + i, constants[i]);
    }
  }
  float sums[kPack][Pass::kSums] = {};
  int count = 0;
  for (int begin = at.begin; begin < at.end; begin += kBatch * at.step) {
    Values some[kBatch][Pass::kInputs] = {};
    load_batch<Pass>(p, at, begin, some);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (begin + b * at.step >= at.end) continue;
      const float inverse = 1.0f / static_cast<float>(++count);
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        float in[Pass::kInputs];
        value_of<Pass>(some[b], i, in);
        add<Pass>(in, constants[i], p.slope, inverse, sums[i]);
      }
    }
  }
  const int width = p.columns * kPack, rows = at.step, step = Pass::kSums * width;
#pragma unroll
  for (int s = 0; s < Pass::kSums; ++s) {
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      shared[at.row * step + s * width + at.column * kPack + i] = sums[i][s];
    }
  }
  HM_SYNC();
  const int strip_begin = static_cast<int>(blockIdx.x) * p.strip, size = at.end - strip_begin;
  float* const to =
      p.partial + (std::int64_t(blockIdx.z) * p.strips + blockIdx.x) * Pass::kSums * p.channels;
  for (int j = static_cast<int>(threadIdx.x); j < width; j += kThreads) {
    const int channel = static_cast<int>(blockIdx.y) * width + j;
    if (channel >= p.channels) continue;
    if constexpr (Pass::kMoments) {
      // Row r has the positions r, r + rows, ... of the strip.
      const auto count_of = [&](int r) {
        return r < size ? static_cast<float>((size - r - 1) / rows + 1) : 0.0f;
      };
      float apart = 0, squares = 0;
      for (int r = 0; r < rows; ++r) apart = fmaf(count_of(r), shared[r * step + j], apart);
      apart /= static_cast<float>(size);
      for (int r = 0; r < rows; ++r) {
        const float d = shared[r * step + j] - apart;
        squares += fmaf(d * d, count_of(r), shared[r * step + width + j]);
      }
      to[channel] = apart;
      to[p.channels + channel] = squares;
    } else {
#pragma unroll
      for (int s = 0; s < Pass::kSums; ++s) {
        float total = 0;
        for (int r = 0; r < rows; ++r) total += shared[r * step + s * width + j];
        to[s * p.channels + channel] = total;
      }
    }
  }
}

// Adds the sums of all strips of the image for the channels of a block, and writes its strip.
template <typename Pass, typename T, int kPack>
__global__ void __launch_bounds__(kThreads, 2)
    instance_norm_write_kernel(const __grid_constant__ Params p) {
  using Values = Pack<T, kPack>;
  constexpr int kBatch = kBatchOf<Pass>;
  HM_DYN_SMEM(float, shared);  // [kConstants][columns kPack]
  const Place at = place_of<kPack>(p);
  const int width = p.columns * kPack;
  const std::int64_t n = blockIdx.z;
  const float* const partial = p.partial + n * p.strips * Pass::kSums * p.channels;
  const std::int64_t step = std::int64_t(Pass::kSums) * p.channels;
  const float all = 1.0f / static_cast<float>(p.plane);
  for (int j = static_cast<int>(threadIdx.x); j < width; j += kThreads) {
    const int channel = static_cast<int>(blockIdx.y) * width + j;
    if (channel >= p.channels) continue;
    const float* const from = partial + channel;
    float* const stats = p.stats + (n * p.channels + channel) * kInstanceNormStats;
    float constants[Pass::kConstants];
    if constexpr (Pass::kMoments) {
      const auto count_of = [&](int s) {
        return static_cast<float>(smaller(p.strip, p.plane - s * p.strip));
      };
      float apart = 0, squares = 0;
#pragma unroll 8
      for (int s = 0; s < p.strips; ++s) apart = fmaf(count_of(s), from[s * step], apart);
      apart *= all;
#pragma unroll 8
      for (int s = 0; s < p.strips; ++s) {
        const float d = from[s * step] - apart;
        squares += fmaf(d * d, count_of(s), from[s * step + p.channels]);
      }
      const float first =
          device::to_float(static_cast<const T*>(p.in[0])[n * p.plane * p.channels + channel]);
      float own[kInstanceNormStats];
      settle(first, apart, squares * all, p.eps, own);
      if (blockIdx.x == 0) {
#pragma unroll
        for (int i = 0; i < kInstanceNormStats; ++i) stats[i] = own[i];
      }
      normal_of(own, constants);
    } else {
      normal_of(stats, constants);
      float means[Pass::kSums] = {};
#pragma unroll 4
      for (int s = 0; s < p.strips; ++s) {
#pragma unroll
        for (int k = 0; k < Pass::kSums; ++k) means[k] += from[s * step + k * p.channels];
      }
      if constexpr (Pass::kHasAffine) {
        if (blockIdx.x == 0) {
          p.dshift[channel] = means[0];
          p.dscale[channel] = means[1];
        }
      }
#pragma unroll
      for (int k = 0; k < Pass::kSums; ++k) means[k] *= all;
      Pass::follow(means, constants);
    }
    affine_of<Pass>(p, channel, constants);
#pragma unroll
    for (int k = 0; k < Pass::kConstants; ++k) shared[k * width + j] = constants[k];
  }
  HM_SYNC();
  for (int begin = at.begin; begin < at.end; begin += kBatch * at.step) {
    Values some[kBatch][Pass::kInputs] = {};
    load_batch<Pass>(p, at, begin, some);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int position = begin + b * at.step;
      if (position < at.end) {
        write<Pass>(p, at.image + std::int64_t(position) * p.channels, some[b],
                    shared + at.column * kPack, width, 1);
      }
    }
  }
}

// ---- on the host --------------------------------------------------------------------------------

int ceil_div(int a, int b) { return (a + b - 1) / b; }

int strip_of(std::int64_t plane, int most) {
  return static_cast<int>(std::max<std::int64_t>(kLeastStrip, (plane + most - 1) / most));
}

std::size_t workspace_of(std::int64_t images, std::int64_t channels, std::int64_t plane,
                         int most = kMostStrips) {
  const std::int64_t strip = strip_of(plane, most);
  return static_cast<std::size_t>(images * ((plane + strip - 1) / strip) * channels * kMostSums *
                                  4);
}

template <typename Pass, typename T, int kPack>
void launch_planar(Params p, cudaStream_t stream) {
  const int planes = p.images * p.channels;
  if (p.plane <= kSmallPlane) {
    HM_LAUNCH((instance_norm_plane_kernel<Pass, T, kPack, 32>), dim3(ceil_div(planes, kWarps)),
              dim3(kThreads), 0, stream, p);
    return;
  }
  constexpr int kEach = Pass::kInputs * static_cast<int>(sizeof(T)) * kPack;
  p.cached = smaller(p.plane / kPack, kSharedBytes / kEach);
  const std::size_t bytes = static_cast<std::size_t>(p.cached) * kEach;
  if (bytes > (47u << 10)) {
    HM_MAX_DYN_SMEM((instance_norm_plane_kernel<Pass, T, kPack, kThreads>), kSharedBytes);
  }
  HM_LAUNCH((instance_norm_plane_kernel<Pass, T, kPack, kThreads>), dim3(planes), dim3(kThreads),
            bytes, stream, p);
}

template <typename Pass, typename T, int kPack>
void launch_channels_last(Params p, void* workspace, std::size_t workspace_bytes,
                          cudaStream_t stream) {
  constexpr int kMost = Pass::kHasAffine ? kBatchStrips : kMostStrips;
  const std::size_t needed = workspace_of(p.images, p.channels, p.plane, kMost);
  HM_CHECK(workspace != nullptr && workspace_bytes >= needed, "workspace: ", workspace_bytes,
           " bytes, expected ", needed);
  p.partial = static_cast<float*>(workspace);
  p.columns = 1;
  while (p.columns < kColumns && p.columns * kPack < p.channels) p.columns *= 2;
  p.strip = strip_of(p.plane, kMost);
  p.strips = ceil_div(p.plane, p.strip);
  const dim3 grid(static_cast<unsigned>(p.strips),
                  static_cast<unsigned>(ceil_div(p.channels, p.columns * kPack)),
                  static_cast<unsigned>(p.images));
  const std::size_t sums = kThreads * kPack * Pass::kSums * sizeof(float);
  static_assert(kThreads * kPack * Pass::kSums * sizeof(float) <= (48 << 10));
  HM_LAUNCH((instance_norm_strip_kernel<Pass, T, kPack>), grid, dim3(kThreads), sums, stream, p);
  const std::size_t constants =
      static_cast<std::size_t>(p.columns) * kPack * Pass::kConstants * sizeof(float);
  HM_LAUNCH((instance_norm_write_kernel<Pass, T, kPack>), grid, dim3(kThreads), constants, stream,
            p);
}

template <typename Pass>
void launch(const InstanceNormCall& call, void* workspace, std::size_t workspace_bytes,
            cudaStream_t stream) {
  HM_CHECK(call.images <= 65535 && call.channels <= 65535 && call.plane <= (1 << 30) &&
               call.images * call.channels < (std::int64_t(1) << 31),
           "x: [", call.images, ", ", call.channels, "] planes of ", call.plane,
           " values are too many");
  Params p{};
  for (int k = 0; k < Pass::kInputs; ++k) p.in[k] = call.in[k];
  for (int k = 0; k < Pass::kOutputs; ++k) p.out[k] = call.out[k];
  p.stats = static_cast<float*>(call.stats);
  p.images = static_cast<int>(call.images);
  p.channels = static_cast<int>(call.channels);
  p.plane = static_cast<int>(call.plane);
  p.eps = static_cast<float>(call.eps);
  p.slope = static_cast<float>(call.slope);
  p.scale = static_cast<const float*>(call.scale);
  p.shift = static_cast<const float*>(call.shift);
  p.dscale = static_cast<float*>(call.dscale);
  p.dshift = static_cast<float*>(call.dshift);
  p.keep = call.keep;
  p.gain = static_cast<float>(call.gain);
  device::dispatch_tensor(call.dtype, "x", [&](auto tag) {
    using T = typename decltype(tag)::type;
    // With three arrays, eight values each would not fit into the registers.
    constexpr int kMost = Pass::kInputs == 3 ? 4 : 16 / sizeof(T);
    const std::int64_t run = call.channels_last ? call.channels : call.plane;
    bool packed = run % kMost == 0;
    const auto aligned = [](const void* a) {
      return reinterpret_cast<std::uintptr_t>(a) % (kMost * sizeof(T)) == 0;
    };
    for (int k = 0; k < Pass::kInputs; ++k) packed = packed && aligned(p.in[k]);
    for (int k = 0; k < Pass::kOutputs; ++k) packed = packed && aligned(p.out[k]);
    packed = packed && reinterpret_cast<std::uintptr_t>(p.keep) % kMost == 0;
    if (Pass::kHasAffine || call.channels_last) {
      packed ? launch_channels_last<Pass, T, kMost>(p, workspace, workspace_bytes, stream)
             : launch_channels_last<Pass, T, 1>(p, workspace, workspace_bytes, stream);
    } else if constexpr (!Pass::kHasAffine) {
      packed ? launch_planar<Pass, T, kMost>(p, stream) : launch_planar<Pass, T, 1>(p, stream);
    }
  });
}

}  // namespace

std::size_t instance_norm_workspace(const ArrayView& x) {
  HM_CHECK(x.ndim == 4, "x: expected [N, C, H, W]");
  return workspace_of(x.shape[0], x.shape[1], x.shape[2] * x.shape[3]);
}

std::size_t batch_norm_workspace(const ArrayView& x) {
  HM_CHECK(x.ndim == 4, "x: expected [N, C, H, W]");
  return workspace_of(1, x.shape[1], x.shape[0] * x.shape[2] * x.shape[3], kBatchStrips);
}

void launch_instance_norm(const InstanceNormCall& call, void* workspace,
                          std::size_t workspace_bytes, cudaStream_t stream) {
  switch (call.pass) {
    case InstanceNormPass::kForward:
      return launch<Forward>(call, workspace, workspace_bytes, stream);
    case InstanceNormPass::kGradient:
      return launch<Gradient>(call, workspace, workspace_bytes, stream);
    case InstanceNormPass::kSecondGradient:
      return launch<SecondGradient>(call, workspace, workspace_bytes, stream);
    case InstanceNormPass::kAffineForward:
      return launch<AffineForward>(call, workspace, workspace_bytes, stream);
    case InstanceNormPass::kAffineGradient:
      return launch<AffineGradient>(call, workspace, workspace_bytes, stream);
  }
}

}  // namespace pyharmony
