// Kernels of the direct solver along rows: the right-hand side and its cosine transform, and back.
//
// A block transforms two rows of each of its channels: a row of complex numbers in shared memory,
// whose real part is the first row and whose imaginary part is the second. Down: decimation in
// frequency, up: in time, so that nothing is reordered.
#pragma once

#include "device/math.h"
#include "device/pack.h"
#include "device/reduce.h"
#include "ops/gaussian_poisson/direct_cuda.h"
#include "ops/gaussian_poisson/direct_fft.cuh"

namespace pyharmony::gaussian_poisson {

using device::ImageBatch;
using device::larger;
using device::smaller;

constexpr int kColumns = 8;  // columns of a block along columns: a sector of memory

struct RowParams {
  DirectPlan plan;
  const unsigned char* tables;
  ImageBatch src, dst, base, mask, rhs, out;
  float* spectrum;  // [planes, tiles, height, kColumns]
  int channels, height, tiles;
  int pairs;                 // of rows
  int groups;                // of channels, of an item
  float weight, mask_scale;  // mask_scale times the sum of two masks is their mean in [0, 1]
  // Of which arrays four neighbouring values are one aligned access; of interleaved ones they are.
  struct {
    bool src, dst, base, mask, rhs, out;
  } vector;

  // Returns the offset of a column of the spectrum from its first one, in the first row.
  __device__ __forceinline__ std::int64_t column_at(int k) const {
    return std::int64_t(k / kColumns) * height * kColumns + k % kColumns;
  }
  __device__ __forceinline__ float* row_of(std::int64_t plane, int y) const {
    return spectrum + (plane * tiles * height + y) * kColumns;
  }
  __device__ const std::uint16_t* slots(int at) const {
    return reinterpret_cast<const std::uint16_t*>(tables + at);
  }
  __device__ const float2* factors(int at) const {
    return reinterpret_cast<const float2*>(tables + at);
  }
};

// How lines are launched: of images that lie without gaps, aligned to four values.
struct LineLaunch {
  bool in;      // from src, dst, base and mask, all of one type; or back to out
  DType dtype;  // uint8 or float32
  int step;     // interleaved channels that a block takes together: 1 or 3
  unsigned blocks;
  std::size_t shared_per_block;
};
// Transforms the rows of a width of kLines.
template <int kWidth>
void launch_lines(const RowParams& p, const LineLaunch& how, cudaStream_t stream);

namespace {

constexpr int kGroup = 3;  // interleaved channels that a block takes together

// Threads of a block, at most, and blocks that a multiprocessor has registers for.
template <int kStep>
constexpr int kRowThreads = kStep == 1 ? 256 : 512;
template <int kStep>
constexpr int kRowBlocks = kStep == 1 ? 3 : 1;
template <typename T, int kStep>  // any types of images need more registers
constexpr int kInBlocks = std::is_void_v<T> ? 2 : kRowBlocks<kStep>;

// Calls launch with a constant that is the most shared memory that blocks of this device may have:
// it is one for all launches of a kernel there.
template <typename Launch>
void with_most(std::size_t limit, Launch&& launch) {
  if (limit >= 227 << 10) return launch(std::integral_constant<int, (227 << 10)>());
  if (limit >= 163 << 10) return launch(std::integral_constant<int, (163 << 10)>());
  if (limit >= 99 << 10) return launch(std::integral_constant<int, (99 << 10)>());
  if (limit >= 64 << 10) return launch(std::integral_constant<int, (64 << 10)>());
  launch(std::integral_constant<int, (48 << 10)>());
}

// The rows of a block. Channels come first, so that blocks beside one another read the same masks.
struct RowPlace {
  int item, channel, y;

  // A kernel asks for it anew after the transform, which needs all registers.
  __device__ __forceinline__ RowPlace(const RowParams& p, int step) {
    const int block = device::anew(static_cast<int>(blockIdx.x));
    const int group = block % p.groups, rest = block / p.groups;
    y = 2 * (rest % p.pairs);
    item = rest / p.pairs;
    channel = group * step;
  }
};

// ---- the transform ------------------------------------------------------------------------------

// Does butterflies of one radix in place. Down: the transform, then the twiddles; up: the other
// way.
template <int R, int kStep, bool kUp>
__device__ __forceinline__ void butterflies(const RowParams& p, const DirectStage& s, float2* z) {
  const std::uint16_t* const base = p.slots(p.plan.base) + s.table;
  const float2* const root = p.factors(p.plan.root) + s.table;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < kStep * s.count;
       i += static_cast<int>(blockDim.x)) {
    int b = i, channel = 0;
#pragma unroll
    for (int c = 1; c < kStep; ++c) {
      if (b >= s.count) {
        b -= s.count;
        channel = c;
      }
    }
    float2* const at = z + (channel * p.plan.slots + base[b]);
    float2 x[R];
#pragma unroll
    for (int t = 0; t < R; ++t) x[t] = at[t * s.step];
    // The last stage has no twiddles. Sixteen values leave no registers for a factor that waits.
    auto turn = [&] {
      if (s.step > 1) twiddle(x, root[R == 16 ? device::anew(b) : b]);
    };
    if (kUp) turn();
    transform<R>(x);
    if (!kUp) turn();
#pragma unroll
    for (int t = 0; t < R; ++t) at[t * s.step] = x[t];
  }
}

template <int kStep, bool kUp>
__device__ __forceinline__ void transform_rows(const RowParams& p, float2* z) {
#pragma unroll 1
  for (int i = 0; i < p.plan.stages; ++i) {
    const DirectStage& s = p.plan.stage[kUp ? p.plan.stages - 1 - i : i];
    HM_SYNC();
    switch (s.radix) {
      case 16: butterflies<16, kStep, kUp>(p, s, z); break;
      case 15: butterflies<15, kStep, kUp>(p, s, z); break;
      case 14: butterflies<14, kStep, kUp>(p, s, z); break;
      case 13: butterflies<13, kStep, kUp>(p, s, z); break;
      case 12: butterflies<12, kStep, kUp>(p, s, z); break;
      case 11: butterflies<11, kStep, kUp>(p, s, z); break;
      case 10: butterflies<10, kStep, kUp>(p, s, z); break;
      case 9: butterflies<9, kStep, kUp>(p, s, z); break;
      case 8: butterflies<8, kStep, kUp>(p, s, z); break;
      case 7: butterflies<7, kStep, kUp>(p, s, z); break;
      case 6: butterflies<6, kStep, kUp>(p, s, z); break;
      case 5: butterflies<5, kStep, kUp>(p, s, z); break;
      case 4: butterflies<4, kStep, kUp>(p, s, z); break;
      case 3: butterflies<3, kStep, kUp>(p, s, z); break;
      case 2: butterflies<2, kStep, kUp>(p, s, z); break;
      default: break;
    }
  }
  HM_SYNC();
}

// Returns where a pixel is among those that are transformed: the even ones come first, and then the
// others from the last on.
__device__ __forceinline__ int index_of(int x, int width) {
  return x % 2 == 0 ? x / 2 : width - 1 - x / 2;
}

// Convolves rows that were multiplied by the chirp, with zeros behind them; what is left is to
// multiply by the chirp again.
template <int kStep>
__device__ __forceinline__ void convolve_rows(const RowParams& p, float2* z) {
  transform_rows<kStep, false>(p, z);
  const std::uint16_t* const natural = p.slots(p.plan.natural);
  const float2* const kernel = p.factors(p.plan.kernel);
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < p.plan.length;
       i += static_cast<int>(blockDim.x)) {
    const float2 factor = kernel[i];
#pragma unroll
    for (int c = 0; c < kStep; ++c) {
      float2& value = z[c * p.plan.slots + natural[i]];
      const float2 product = times(value, factor);
      // With the parts exchanged, the transform up is the inverse one.
      value = make_float2(product.y, product.x);
    }
  }
  transform_rows<kStep, true>(p, z);
}

// Fills what a convolution has behind the rows with zeros.
template <int kStep>
__device__ __forceinline__ void pad_rows(const RowParams& p, float2* z) {
  const std::uint16_t* const natural = p.slots(p.plan.natural);
#pragma unroll 1
  for (int i = p.plan.width + static_cast<int>(threadIdx.x); i < p.plan.length;
       i += static_cast<int>(blockDim.x)) {
#pragma unroll
    for (int c = 0; c < kStep; ++c) z[c * p.plan.slots + natural[i]] = make_float2(0, 0);
  }
}

// ---- the right-hand side ------------------------------------------------------------------------

template <typename T>
__device__ __forceinline__ float value_of(T v) {
  return static_cast<float>(v);
}
template <>
__device__ __forceinline__ float value_of<__half>(__half v) {
  return __half2float(v);
}
// Exact, by the bits of 2^23 + v: two operations of full rate.
template <>
__device__ __forceinline__ float value_of<std::uint8_t>(std::uint8_t v) {
  return __uint_as_float(0x4b000000u | v) - 8388608.0f;
}
template <>
__device__ __forceinline__ float value_of<std::uint16_t>(std::uint16_t v) {
  return __uint_as_float(0x4b000000u | v) - 8388608.0f;
}
struct Flag {  // a bool of any bits
  std::uint8_t bits;
};
template <>
__device__ __forceinline__ float value_of<Flag>(Flag v) {
  return v.bits != 0 ? 1.0f : 0.0f;
}

// Four neighbouring values of a row, and kStep more on either side, of which the pixels beyond the
// border repeat the last ones.
template <int kStep>
struct Around {
  float v[4 + 2 * kStep];
};

// Loads values around `first` of a row of `count` values, kStep of which are a pixel; or only the
// four, without `sides`.
template <typename T, int kStep>
__device__ __forceinline__ void load_vectors(const T* row, int first, int count, bool sides,
                                             Around<kStep>& to) {
  const auto own = device::load_pack<T, 4>(row, first);
#pragma unroll
  for (int j = 0; j < 4; ++j) to.v[kStep + j] = value_of(own.value[j]);
  if (!sides) return;
  const bool begins = first == 0, ends = first + 4 >= count;
  if constexpr (kStep == 1) {
    to.v[0] = value_of(row[begins ? 0 : first - 1]);
    to.v[5] = value_of(row[ends ? count - 1 : first + 4]);
  } else {
    const auto left = device::load_pack<T, 4>(row, begins ? 0 : first - 4);
    const auto right = device::load_pack<T, 4>(row, ends ? first : first + 4);
#pragma unroll
    for (int j = 0; j < kStep; ++j) {
      to.v[j] = begins ? to.v[kStep + j] : value_of(left.value[4 - kStep + j]);
      to.v[4 + kStep + j] = ends ? to.v[4 + j] : value_of(right.value[j]);
    }
  }
}

// The same in any layout; `row` is the row's first value.
template <typename T, int kStep>
__device__ __forceinline__ void load_each(const T* row, std::int64_t column, std::int64_t channel,
                                          int first, int count, bool sides, Around<kStep>& to) {
#pragma unroll
  for (int j = -kStep; j < 4 + kStep; ++j) {
    if (!sides && (j < 0 || j >= 4)) continue;
    // A value beyond the border is that of the same channel in the last pixel.
    int at = first + j;
    if (at < 0) at += kStep;
    while (at >= count) at -= kStep;
    to.v[kStep + j] = value_of(row[at / kStep * column + at % kStep * channel]);
  }
}

template <typename T, int kStep>
__device__ __forceinline__ void load_row(const ImageBatch& image, std::int64_t plane, int y,
                                         int first, int count, bool vector, bool sides,
                                         Around<kStep>& to) {
  const T* const row = static_cast<const T*>(image.data) + plane + y * image.row_stride;
  if (kStep > 1 || vector) {
    load_vectors<T, kStep>(row, first, count, sides, to);
  } else {
    load_each<T, kStep>(row, image.col_stride, image.channel_stride, first, count, sides, to);
  }
}

// Calls fn with a value of the image's type, which is T unless that is void.
template <typename T, typename Fn>
__device__ __forceinline__ void with_type(DType dtype, Fn&& fn) {
  if constexpr (!std::is_void_v<T>) return fn(T());
  switch (dtype) {
    case DType::kUInt8: return fn(std::uint8_t());
    case DType::kUInt16: return fn(std::uint16_t());
    case DType::kFloat16: return fn(__half());
    default: return fn(float());
  }
}

// Masks of the pixels around four values, as many as those lie in.
template <int kStep>
struct Masks {
  static constexpr int kCount = kStep == 1 ? 6 : 4;
  float v[kCount];
  int shift;  // kStep > 1: which channel the first value is of

  // Returns the mask of the pixel of value j, or of the pixel before (-1) or after it (1).
  __device__ __forceinline__ float of(int j, int pixel) const {
    if constexpr (kStep == 1) return v[1 + j + pixel];
    return shift + j >= kStep ? v[2 + pixel] : v[1 + pixel];
  }
};

template <int kStep>
__device__ __forceinline__ void load_masks(const ImageBatch& mask, std::int64_t plane, int y,
                                           int first, int width, bool vector, bool sides,
                                           Masks<kStep>& to) {
  constexpr int kCount = Masks<kStep>::kCount;
  const std::int64_t row = plane + y * mask.row_stride;
  if constexpr (kStep == 1) {
    if (vector) {
      auto load = [&](auto type) {
        using T = decltype(type);
        Around<1> values{};
        load_vectors<T, 1>(static_cast<const T*>(mask.data) + row, first, width, sides, values);
#pragma unroll
        for (int j = 0; j < kCount; ++j) to.v[j] = values.v[j];
      };
      if (mask.dtype == DType::kBool) return load(Flag());
      return with_type<void>(mask.dtype, load);
    }
  }
  const int x = first / kStep;
  to.shift = first % kStep;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    if (!sides && (j == 0 || j == kCount - 1)) continue;
    const int at = smaller(larger(x - 1 + j, 0), width - 1);
    to.v[j] = device::load_value(mask.data, mask.dtype, row + at * mask.col_stride);
  }
}

// Forms b of two rows of kStep channels, and puts it where the transform wants it.
template <typename T, int kStep>
__device__ __forceinline__ void form_rows(const RowParams& p, const RowPlace& place, float2* z) {
  const int width = p.plan.width, height = p.height, count = width * kStep, y = place.y;
  auto plane_of = [&](const ImageBatch& image) {
    return place.item * image.batch_stride + place.channel * image.channel_stride;
  };
  // The wanted difference between two pixels: dst's, or src's by the mean of their masks.
  auto edge = [&](float ds, float dd, float masks) {
    return fmaf(masks * p.mask_scale, ds - dd, dd);
  };
  const std::uint16_t* const slots = p.slots(p.plan.place);
#pragma unroll 1
  for (int first = 4 * static_cast<int>(threadIdx.x); first < count;
       first += 4 * static_cast<int>(blockDim.x)) {
    float b0[4] = {}, b1[4] = {}, s0[4] = {}, d0[4] = {};
    Masks<kStep> m0{};
    // Takes row y - 1 + i.
    auto take = [&](int i) __attribute__((always_inline)) {
      const int at = smaller(larger(y - 1 + i, 0), height - 1);
      const bool inner = i == 1 || i == 2;
      Around<kStep> s{};
      if (p.rhs.exists()) {
        if (!inner) return;
        load_row<float, kStep>(p.rhs, plane_of(p.rhs), at, first, count, p.vector.rhs, false, s);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (i == 1) b0[j] = s.v[kStep + j];
          if (i == 2) b1[j] = s.v[kStep + j];
        }
        return;
      }
      Around<kStep> d{}, base{};
      Masks<kStep> m{};
      with_type<T>(p.src.dtype, [&](auto type) {
        load_row<decltype(type), kStep>(p.src, plane_of(p.src), at, first, count, p.vector.src,
                                        inner, s);
      });
      with_type<T>(p.dst.dtype, [&](auto type) {
        load_row<decltype(type), kStep>(p.dst, plane_of(p.dst), at, first, count, p.vector.dst,
                                        inner, d);
      });
      load_masks<kStep>(p.mask, place.item * p.mask.batch_stride, at, first, width, p.vector.mask,
                        inner, m);
      float row[4] = {};
      if (inner) {
        const std::int64_t plane = plane_of(p.base);
        auto load = [&](auto type) {
          load_row<decltype(type), kStep>(p.base, plane, at, first, count, p.vector.base, false,
                                          base);
        };
        if (!std::is_void_v<T> && p.base.dtype == DType::kFloat32) {
          load(float());
        } else {
          with_type<T>(p.base.dtype, load);
        }
        float h[4 + kStep];  // the difference to the left of each value
#pragma unroll
        for (int k = 0; k < 4 + kStep; ++k) {
          // Beyond the four it is the one to the right of a value within.
          const float masks =
              k < 4 ? m.of(k, 0) + m.of(k, -1) : m.of(k - kStep, 0) + m.of(k - kStep, 1);
          h[k] = edge(s.v[kStep + k] - s.v[k], d.v[kStep + k] - d.v[k], masks);
        }
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          row[j] = fmaf(p.weight, base.v[kStep + j], h[j] - h[j + kStep]);
        }
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (i > 0) {
          const float down =
              edge(s.v[kStep + j] - s0[j], d.v[kStep + j] - d0[j], m.of(j, 0) + m0.of(j, 0));
          if (i == 1) b0[j] = row[j] + down;
          if (i == 2) {
            b0[j] -= down;
            b1[j] = row[j] + down;
          }
          if (i == 3) b1[j] -= down;
        }
        s0[j] = s.v[kStep + j];
        d0[j] = d.v[kStep + j];
      }
      m0 = m;
    };
    if constexpr (kStep == 1) {
      take(0);
      take(1);
      take(2);
      take(3);
    } else {  // three channels leave no registers to mix the rows
#pragma unroll 1
      for (int i = 0; i < 4; ++i) take(i);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int at = first + j, x = at / kStep;
      if (at >= count) continue;
      float2 value = make_float2(b0[j], b1[j]);
      if (p.plan.convolves()) value = times(value, p.factors(p.plan.chirp)[index_of(x, width)]);
      z[at % kStep * p.plan.slots + slots[x]] = value;
    }
  }
}

// Forms b of two rows of each channel, transforms them, and stores half of their cosine
// coefficients. T is the type of src, dst and of base, unless that is float32; void: any.
template <typename T, int kStep>
__global__ void __launch_bounds__(kRowThreads<kStep>, (kInBlocks<T, kStep>))
    gaussian_poisson_direct_in_kernel(const __grid_constant__ RowParams p) {
  HM_DYN_SMEM(float2, z);
  const int width = p.plan.width;
  form_rows<T, kStep>(p, RowPlace(p, kStep), z);
  const bool convolves = p.plan.convolves();
  if (convolves) {
    pad_rows<kStep>(p, z);
    convolve_rows<kStep>(p, z);
  } else {
    transform_rows<kStep, false>(p, z);
  }
  const RowPlace place(p, kStep);
  const std::uint16_t* const spectral = p.slots(p.plan.spectral);
  const float2* const twist = p.factors(p.plan.twist);
  const float2* const chirp = p.factors(p.plan.chirp);
  const bool two = place.y + 1 < p.height;
#pragma unroll 1
  for (int c = 0; c < kStep; ++c) {
    const std::int64_t plane = std::int64_t(place.item) * p.channels + place.channel + c;
    float* const first = p.row_of(plane, place.y);
    float* const second = first + kColumns;
    const float2* const row = z + c * p.plan.slots;
#pragma unroll 2
    for (int k = static_cast<int>(threadIdx.x); 2 * k <= width; k += static_cast<int>(blockDim.x)) {
      const int other = k == 0 ? 0 : width - k;
      float2 a = row[spectral[k]], b = row[spectral[other]];
      if (convolves) {
        a = times(make_float2(a.y, a.x), chirp[k]);
        b = times(make_float2(b.y, b.x), chirp[other]);
      }
      const float2 w = twist[k];
      const float2 p1 = times(make_float2(a.x + b.x, a.y - b.y), w);
      const float2 p2 = times(make_float2(a.y + b.y, b.x - a.x), w);
      if (k > 0) {
        const std::int64_t to = p.column_at(other);
        first[to] = -p1.y;
        if (two) second[to] = -p2.y;
      }
      const std::int64_t to = p.column_at(k);
      first[to] = p1.x;
      if (two) second[to] = p2.x;
    }
    const int beyond = width + static_cast<int>(threadIdx.x);
    if (beyond < p.tiles * kColumns) {
      first[p.column_at(beyond)] = 0;
      if (two) second[p.column_at(beyond)] = 0;
    }
  }
}

// ---- back ---------------------------------------------------------------------------------------

template <typename T>
__device__ __forceinline__ T rounded(float v) {
  constexpr float kMost = sizeof(T) == 1 ? 255.0f : 65535.0f;
  return static_cast<T>(rintf(fminf(fmaxf(v, 0.0f), kMost)));
}
template <>
__device__ __forceinline__ float rounded<float>(float v) {
  return v;
}
template <>
__device__ __forceinline__ __half rounded<__half>(float v) {
  return __float2half_rn(v);
}

// Transforms two rows of each channel back, and stores them.
template <int kStep>
__global__ void __launch_bounds__(kRowThreads<kStep>, kRowBlocks<kStep>)
    gaussian_poisson_direct_out_kernel(const __grid_constant__ RowParams p) {
  HM_DYN_SMEM(float2, z);
  const int width = p.plan.width;
  const std::uint16_t* const spectral = p.slots(p.plan.spectral);
  const float2* const twist = p.factors(p.plan.twist);
  const float2* const chirp = p.factors(p.plan.chirp);
  const bool convolves = p.plan.convolves();
#pragma unroll 1
  for (int c = 0; c < kStep; ++c) {
    const RowPlace place(p, kStep);
    const std::int64_t plane = std::int64_t(place.item) * p.channels + place.channel + c;
    const float* const first = p.row_of(plane, place.y);
    const float* const second = place.y + 1 < p.height ? first + kColumns : first;
    float2* const row = z + c * p.plan.slots;
#pragma unroll 2
    for (int k = static_cast<int>(threadIdx.x); 2 * k <= width; k += static_cast<int>(blockDim.x)) {
      const int other = k == 0 ? 0 : width - k;
      const float2 w = twist[k];
      const std::int64_t low_at = p.column_at(k), high_at = p.column_at(other);
      const float a1 = first[low_at], a2 = second[low_at];
      const float b1 = k == 0 ? 0.0f : first[high_at], b2 = k == 0 ? 0.0f : second[high_at];
      const float2 v1 = make_float2(fmaf(a1, w.x, -(b1 * w.y)), -fmaf(a1, w.y, b1 * w.x));
      const float2 v2 = make_float2(fmaf(a2, w.x, -(b2 * w.y)), -fmaf(a2, w.y, b2 * w.x));
      // With the parts exchanged, the forward transform is the inverse one.
      float2 low = make_float2(v1.y + v2.x, v1.x - v2.y);
      float2 high = make_float2(v2.x - v1.y, v1.x + v2.y);
      if (convolves) {
        low = times(low, chirp[k]);
        high = times(high, chirp[other]);
      }
      if (2 * k < width) row[spectral[other]] = high;
      row[spectral[k]] = low;
    }
  }
  if (convolves) {
    pad_rows<kStep>(p, z);
    convolve_rows<kStep>(p, z);
  } else {
    transform_rows<kStep, true>(p, z);
  }
  const std::uint16_t* const slots = p.slots(p.plan.place);
  const int count = width * kStep;
  const RowPlace place(p, kStep);
  const bool two = place.y + 1 < p.height;
  const std::int64_t to = place.item * p.out.batch_stride + place.y * p.out.row_stride +
                          place.channel * p.out.channel_stride;
#pragma unroll 1
  for (int at = 4 * static_cast<int>(threadIdx.x); at < count;
       at += 4 * static_cast<int>(blockDim.x)) {
    float2 values[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int i = smaller(at + j, count - 1), x = i / kStep;
      float2 value = z[i % kStep * p.plan.slots + slots[x]];
      if (convolves) {
        value = times(make_float2(value.y, value.x), chirp[index_of(x, width)]);
      }
      values[j] = make_float2(value.y, value.x);
    }
    with_type<void>(p.out.dtype, [&](auto type) {
      using T = decltype(type);
      device::Pack<T, 4> one, next;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        one.value[j] = rounded<T>(values[j].x);
        next.value[j] = rounded<T>(values[j].y);
      }
      if (kStep > 1 || p.vector.out) {
        device::store_pack<T, 4>(p.out.data, to + at, one);
        if (two) device::store_pack<T, 4>(p.out.data, to + p.out.row_stride + at, next);
        return;
      }
      T* const out = static_cast<T*>(p.out.data) + to;
      for (int j = 0; j < 4 && at + j < count; ++j) {
        const std::int64_t place_of =
            (at + j) / kStep * p.out.col_stride + (at + j) % kStep * p.out.channel_stride;
        out[place_of] = one.value[j];
        if (two) out[p.out.row_stride + place_of] = next.value[j];
      }
    });
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
