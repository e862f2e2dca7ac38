// Kernels of the direct solver along rows: the right-hand side and its cosine transform, and back.
//
// A block transforms two rows of a channel: a row of complex numbers in shared memory, whose real
// part is the first row and whose imaginary part is the second. Down: decimation in frequency, up:
// in time, so that nothing is reordered.
#pragma once

#include "ops/gaussian_poisson/direct_row.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

// Threads of a block, at most, and blocks that a multiprocessor has registers for.
constexpr int kRowThreads = 256, kRowBlocks = 3;
template <typename T>  // any types of images need more registers
constexpr int kInBlocks = std::is_void_v<T> ? 2 : kRowBlocks;

// The rows of a block. Channels come first, so that blocks beside one another read the same masks.
struct RowPlace {
  int item, channel, y;

  // A kernel asks for it anew after the transform, which needs all registers.
  __device__ __forceinline__ explicit RowPlace(const RowParams& p) {
    const int block = device::anew(static_cast<int>(blockIdx.x)), rest = block / p.channels;
    channel = block % p.channels;
    y = 2 * (rest % p.pairs);
    item = rest / p.pairs;
  }
  __device__ __forceinline__ std::int64_t plane(const RowParams& p) const {
    return std::int64_t(item) * p.channels + channel;
  }
};

// ---- the transform ------------------------------------------------------------------------------

// Does butterflies of one radix in place. Down: the transform, then the twiddles; up: the other
// way.
template <int R, bool kUp>
__device__ __forceinline__ void butterflies(const RowParams& p, const DirectStage& s, float2* z) {
  const std::uint16_t* const base = p.slots(p.plan.base) + s.table;
  const float2* const root = p.factors(p.plan.root) + s.table;
#pragma unroll 1
  for (int b = static_cast<int>(threadIdx.x); b < s.count; b += static_cast<int>(blockDim.x)) {
    float2* const at = z + base[b];
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

// Does the same for a radix above 16, a prime, by sums over sums and differences of pairs. A thread
// has kPairs pairs of frequencies k and radix - k; those of a butterfly read all of it before one
// of them writes.
template <bool kUp>
__device__ __forceinline__ void prime_butterflies(const RowParams& p, const DirectStage& s,
                                                  float2* z) {
  constexpr int kPairs = kPrimePairs;
  const std::uint16_t* const base = p.slots(p.plan.base) + s.table;
  const float2* const roots = p.factors(p.plan.turns);
  const int half = s.radix / 2, parts = (half + kPairs - 1) / kPairs;
  const int at_once = static_cast<int>(blockDim.x) / parts;
  const int part = static_cast<int>(threadIdx.x) / at_once, first = part * kPairs;
#pragma unroll 1
  for (int start = 0; start < s.count; start += at_once) {
    const int b = start + static_cast<int>(threadIdx.x) % at_once;
    const bool works = part < parts && b < s.count;
    float2* const at = z + base[works ? b : 0];
    float2 all = make_float2(0, 0), a[kPairs], d[kPairs];
    if (works) {
      auto value = [&](int t) {
        const float2 v = at[t * s.step];
        return kUp ? times(v, roots[b * t]) : v;
      };
      all = at[0];
#pragma unroll
      for (int i = 0; i < kPairs; ++i) a[i] = all, d[i] = make_float2(0, 0);
      const float2* factors = p.factors(p.plan.prime) + first;
#pragma unroll 1
      for (int t = 1; t <= half; ++t, factors += parts * kPairs) {
        const float2 x = value(t), y = value(s.radix - t), sum = x + y, difference = x - y;
        all = all + sum;
#pragma unroll
        for (int i = 0; i < kPairs; ++i) {
          const float2 f = factors[i];  // cosine and sine
          a[i] = make_float2(fmaf(f.x, sum.x, a[i].x), fmaf(f.x, sum.y, a[i].y));
          d[i] = make_float2(fmaf(f.y, difference.x, d[i].x), fmaf(f.y, difference.y, d[i].y));
        }
      }
    }
    HM_SYNC();
    if (!works) continue;
    auto put = [&](int k, float2 v) { at[k * s.step] = kUp ? v : times(v, roots[b * k]); };
    if (part == 0) at[0] = all;
    // Asked anew, as places of all frequencies would take the registers of the sums.
    const int next = device::anew(first) + 1;
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const int k = next + i;
      if (k > half) continue;
      put(k, make_float2(a[i].x + d[i].y, a[i].y - d[i].x));
      put(s.radix - k, make_float2(a[i].x - d[i].y, a[i].y + d[i].x));
    }
  }
}

template <bool kUp>
__device__ __forceinline__ void transform_rows(const RowParams& p, float2* z) {
#pragma unroll 1
  for (int i = 0; i < p.plan.stages; ++i) {
    const DirectStage& s = p.plan.stage[kUp ? p.plan.stages - 1 - i : i];
    HM_SYNC();
    switch (s.radix) {
      case 16: butterflies<16, kUp>(p, s, z); break;
      case 15: butterflies<15, kUp>(p, s, z); break;
      case 14: butterflies<14, kUp>(p, s, z); break;
      case 13: butterflies<13, kUp>(p, s, z); break;
      case 12: butterflies<12, kUp>(p, s, z); break;
      case 11: butterflies<11, kUp>(p, s, z); break;
      case 10: butterflies<10, kUp>(p, s, z); break;
      case 9: butterflies<9, kUp>(p, s, z); break;
      case 8: butterflies<8, kUp>(p, s, z); break;
      case 7: butterflies<7, kUp>(p, s, z); break;
      case 6: butterflies<6, kUp>(p, s, z); break;
      case 5: butterflies<5, kUp>(p, s, z); break;
      case 4: butterflies<4, kUp>(p, s, z); break;
      case 3: butterflies<3, kUp>(p, s, z); break;
      case 2: butterflies<2, kUp>(p, s, z); break;
      default: prime_butterflies<kUp>(p, s, z); break;
    }
  }
  HM_SYNC();
}

// Convolves rows that were multiplied by the chirp, with zeros behind them; what is left is to
// multiply by the chirp again.
__device__ __forceinline__ void convolve_rows(const RowParams& p, float2* z) {
  transform_rows<false>(p, z);
  const std::uint16_t* const natural = p.slots(p.plan.natural);
  const float2* const kernel = p.factors(p.plan.kernel);
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < p.plan.length;
       i += static_cast<int>(blockDim.x)) {
    float2& value = z[natural[i]];
    const float2 product = times(value, kernel[i]);
    // With the parts exchanged, the transform up is the inverse one.
    value = make_float2(product.y, product.x);
  }
  transform_rows<true>(p, z);
}

// Fills what a convolution has behind the rows with zeros.
__device__ __forceinline__ void pad_rows(const RowParams& p, float2* z) {
  const std::uint16_t* const natural = p.slots(p.plan.natural);
#pragma unroll 1
  for (int i = p.plan.width + static_cast<int>(threadIdx.x); i < p.plan.length;
       i += static_cast<int>(blockDim.x)) {
    z[natural[i]] = make_float2(0, 0);
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

// Four neighbouring values of a row, and one more on either side, which beyond the border repeats
// the last one.
struct Around {
  float v[6];
};

// Loads values around `first` of a row of `width` values; or only the four, without `sides`.
template <typename T>
__device__ __forceinline__ void load_row(const ImageBatch& image, std::int64_t plane, int y,
                                         int first, int width, bool vector, bool sides,
                                         Around& to) {
  const T* const row = static_cast<const T*>(image.data) + plane + y * image.row_stride;
  if (vector) {
    const auto own = device::load_pack<T, 4>(row, first);
#pragma unroll
    for (int j = 0; j < 4; ++j) to.v[1 + j] = value_of(own.value[j]);
    if (!sides) return;
    to.v[0] = value_of(row[larger(first - 1, 0)]);
    to.v[5] = value_of(row[smaller(first + 4, width - 1)]);
    return;
  }
#pragma unroll
  for (int j = 0; j < 6; ++j) {
    if (!sides && (j == 0 || j == 5)) continue;
    to.v[j] = value_of(row[smaller(larger(first - 1 + j, 0), width - 1) * image.col_stride]);
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

// Forms b of two rows, and puts it where the transform wants it; returns the sum of base or rhs of
// this thread's values.
template <typename T>
__device__ __forceinline__ float form_rows(const RowParams& p, const RowPlace& place, float2* z) {
  const int width = p.plan.width, height = p.height, y = place.y;
  const bool two = y + 1 < height;
  auto plane_of = [&](const ImageBatch& image) {
    const int channel = image.channels > 1 ? place.channel : 0;
    return place.item * image.batch_stride + channel * image.channel_stride;
  };
  // The wanted difference between two pixels: dst's, or src's by the mean of their masks.
  auto edge = [&](float ds, float dd, float masks) {
    return fmaf(masks * p.mask_scale, ds - dd, dd);
  };
  const std::uint16_t* const slots = p.slots(p.plan.place);
  float sum = 0;
#pragma unroll 1
  for (int first = 4 * static_cast<int>(threadIdx.x); first < width;
       first += 4 * static_cast<int>(blockDim.x)) {
    float b0[4] = {}, b1[4] = {}, s0[4] = {}, d0[4] = {}, m0[4] = {};
    auto add = [&](const Around& row, bool counts) {
      if (p.sums == nullptr || !counts) return;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (first + j < width) sum += row.v[1 + j];
      }
    };
    // Takes row y - 1 + i.
    auto take = [&](int i) __attribute__((always_inline)) {
      // Asked anew, as addresses of all rows would take the registers of the loop.
      const int at = smaller(larger(device::anew(y) - 1 + i, 0), height - 1);
      const bool inner = i == 1 || i == 2;
      Around s{};
      if (p.rhs.exists()) {
        if (!inner) return;
        load_row<float>(p.rhs, plane_of(p.rhs), at, first, width, p.vector.rhs, false, s);
        add(s, i == 1 || two);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (i == 1) b0[j] = s.v[1 + j];
          if (i == 2) b1[j] = s.v[1 + j];
        }
        return;
      }
      Around d{}, m{}, base{};
      auto load = [&](const ImageBatch& image, bool vector, bool sides, Around& to) {
        return [&, vector, sides](auto type) {
          load_row<decltype(type)>(image, plane_of(image), at, first, width, vector, sides, to);
        };
      };
      with_type<T>(p.src.dtype, load(p.src, p.vector.src, inner, s));
      with_type<T>(p.dst.dtype, load(p.dst, p.vector.dst, inner, d));
      const auto load_mask = load(p.mask, p.vector.mask, inner, m);
      p.mask.dtype == DType::kBool ? load_mask(Flag()) : with_type<void>(p.mask.dtype, load_mask);
      float row[4] = {};
      if (inner) {
        const auto load_base = load(p.base, p.vector.base, false, base);
        if (!std::is_void_v<T> && p.base.dtype == DType::kFloat32) {
          load_base(float());
        } else {
          with_type<T>(p.base.dtype, load_base);
        }
        add(base, i == 1 || two);
        float h[5];  // the difference to the left of each value
#pragma unroll
        for (int k = 0; k < 5; ++k) {
          h[k] = edge(s.v[k + 1] - s.v[k], d.v[k + 1] - d.v[k], m.v[k + 1] + m.v[k]);
        }
#pragma unroll
        for (int j = 0; j < 4; ++j) row[j] = fmaf(p.weight, base.v[1 + j], h[j] - h[j + 1]);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (i > 0) {
          const float down = edge(s.v[1 + j] - s0[j], d.v[1 + j] - d0[j], m.v[1 + j] + m0[j]);
          if (i == 1) b0[j] = row[j] + down;
          if (i == 2) {
            b0[j] -= down;
            b1[j] = row[j] + down;
          }
          if (i == 3) b1[j] -= down;
        }
        s0[j] = s.v[1 + j], d0[j] = d.v[1 + j], m0[j] = m.v[1 + j];
      }
    };
    take(0);
    take(1);
    take(2);
    take(3);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int x = first + j;
      if (x >= width) continue;
      float2 value = make_float2(b0[j], b1[j]);
      if (p.plan.convolves()) value = times(value, p.factors(p.plan.chirp)[index_of(x, width)]);
      z[slots[x]] = value;
    }
  }
  return sum;
}

// Forms b of two rows, transforms them, and stores half of their cosine coefficients. T is the type
// of src, dst and of base, unless that is float32; void: any.
template <typename T>
__global__ void __launch_bounds__(kRowThreads, kInBlocks<T>)
    gaussian_poisson_direct_in_kernel(const __grid_constant__ RowParams p) {
  HM_DYN_SMEM(float2, z);
  const int width = p.plan.width;
  double* const sums = reinterpret_cast<double*>(z + p.plan.slots);  // of warps
  const float sum = form_rows<T>(p, RowPlace(p), z);
  if (p.sums != nullptr) leave_sum(sum, sums);
  const bool convolves = p.plan.convolves();
  if (convolves) {
    pad_rows(p, z);
    convolve_rows(p, z);
  } else {
    transform_rows<false>(p, z);
  }
  const RowPlace place(p);
  const std::uint16_t* const spectral = p.slots(p.plan.spectral);
  const float2* const twist = p.factors(p.plan.twist);
  const float2* const chirp = p.factors(p.plan.chirp);
  const bool two = place.y + 1 < p.height;
  float* const first = p.row_of(place.plane(p), place.y);
  float* const second = first + kColumns;
  if (p.sums != nullptr && threadIdx.x == 0) {
    p.sums[place.plane(p) * p.pairs + place.y / 2] =
        sum_of_warps(sums, static_cast<int>(blockDim.x) / 32);
  }
#pragma unroll 2
  for (int k = static_cast<int>(threadIdx.x); 2 * k <= width; k += static_cast<int>(blockDim.x)) {
    const int other = k == 0 ? 0 : width - k;
    float2 a = z[spectral[k]], b = z[spectral[other]];
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

// ---- back ---------------------------------------------------------------------------------------

// Transforms two rows back, and stores them.
__global__ void __launch_bounds__(kRowThreads, kRowBlocks)
    gaussian_poisson_direct_out_kernel(const __grid_constant__ RowParams p) {
  HM_DYN_SMEM(float2, z);
  const int width = p.plan.width;
  const float2* const chirp = p.factors(p.plan.chirp);
  const bool convolves = p.plan.convolves();
  {
    const RowPlace place(p);
    const std::uint16_t* const spectral = p.slots(p.plan.spectral);
    const float2* const twist = p.factors(p.plan.twist);
    const float* const first = p.row_of(place.plane(p), place.y);
    const float* const second = place.y + 1 < p.height ? first + kColumns : first;
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
      if (2 * k < width) z[spectral[other]] = high;
      z[spectral[k]] = low;
    }
  }
  if (convolves) {
    pad_rows(p, z);
    convolve_rows(p, z);
  } else {
    transform_rows<true>(p, z);
  }
  const std::uint16_t* const slots = p.slots(p.plan.place);
  const RowPlace place(p);
  const bool two = place.y + 1 < p.height;
  const std::int64_t to = place.item * p.out.batch_stride + place.y * p.out.row_stride +
                          place.channel * p.out.channel_stride;
#pragma unroll 1
  for (int at = 4 * static_cast<int>(threadIdx.x); at < width;
       at += 4 * static_cast<int>(blockDim.x)) {
    float2 values[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int x = smaller(at + j, width - 1);
      float2 value = z[slots[x]];
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
      if (p.vector.out) {
        device::store_pack<T, 4>(p.out.data, to + at, one);
        if (two) device::store_pack<T, 4>(p.out.data, to + p.out.row_stride + at, next);
        return;
      }
      T* const out = static_cast<T*>(p.out.data) + to;
      for (int j = 0; j < 4 && at + j < width; ++j) {
        out[(at + j) * p.out.col_stride] = one.value[j];
        if (two) out[p.out.row_stride + (at + j) * p.out.col_stride] = next.value[j];
      }
    });
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
