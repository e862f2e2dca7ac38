// Rows of images as the lanes of a warp hold them, in any layout.
#pragma once

#include <type_traits>

#include "ops/gaussian_poisson/chebyshev_plans.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

__device__ __forceinline__ int bytes_of(DType dtype) {
  return dtype == DType::kFloat32 ? 4 : dtype == DType::kUInt16 || dtype == DType::kFloat16 ? 2 : 1;
}

// An image as the kernels read it; its strides are in bytes.
struct Source {
  char* data;
  std::int64_t item, channel;
  int row, column;
  DType dtype;
  bool vector;  // four neighbouring columns are one aligned load

  // Returns the offset of row 0.
  __device__ __forceinline__ std::int64_t place(int n, int c) const {
    return n * item + c * channel;
  }
  // Returns the address of column 0 of a row.
  __device__ __forceinline__ char* at(std::int64_t place, int y) const {
    return data + (place + std::int64_t(y) * row);
  }
  __device__ __forceinline__ char* at(int n, int c, int y) const { return at(place(n, c), y); }
};

__device__ __forceinline__ float value_of(unsigned bits, DType dtype) {
  switch (dtype) {
    case DType::kBool: return bits != 0 ? 1.0f : 0.0f;
    case DType::kFloat16: return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
    case DType::kFloat32: return __uint_as_float(bits);
    default: return static_cast<float>(bits);
  }
}

__device__ __forceinline__ unsigned bits_at(const char* p, DType dtype) {
  switch (bytes_of(dtype)) {
    case 4: return *reinterpret_cast<const unsigned*>(p);
    case 2: return *reinterpret_cast<const unsigned short*>(p);
    default: return *reinterpret_cast<const unsigned char*>(p);
  }
}

// N values, one for each column of a lane.
template <int N>
struct Run {
  float v[N];
  __device__ __forceinline__ float& operator[](int j) { return v[j]; }
  __device__ __forceinline__ float operator[](int j) const { return v[j]; }
};

template <int N>
__device__ __forceinline__ Run<N> constant(float value) {
  Run<N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out[j] = value;
  return out;
}

template <int N>
__device__ __forceinline__ Run<N> read(const float* p) {
  Run<N> out;
#pragma unroll
  for (int j = 0; j < N; j += 4) {
    const float4 q = *reinterpret_cast<const float4*>(p + j);
    out[j] = q.x;
    out[j + 1] = q.y;
    out[j + 2] = q.z;
    out[j + 3] = q.w;
  }
  return out;
}

template <int N>
__device__ __forceinline__ void write(float* p, const Run<N>& run) {
#pragma unroll
  for (int j = 0; j < N; j += 4) {
    *reinterpret_cast<float4*>(p + j) = make_float4(run[j], run[j + 1], run[j + 2], run[j + 3]);
  }
}

// The bits of one row as they were loaded: a lane's own columns, packed, or every 32nd column.
template <int N>
struct Bits {
  unsigned v[N];
};

// Loads one value of `size` bytes from each address.
template <int N>
__device__ __forceinline__ void gather(const char* const (&from)[N], int size, Bits<N>& bits) {
  if (size == 4) {
#pragma unroll
    for (int j = 0; j < N; ++j) bits.v[j] = *reinterpret_cast<const unsigned*>(from[j]);
  } else if (size == 2) {
#pragma unroll
    for (int j = 0; j < N; ++j) bits.v[j] = *reinterpret_cast<const unsigned short*>(from[j]);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) bits.v[j] = *reinterpret_cast<const unsigned char*>(from[j]);
  }
}

template <typename Words, int kCount, int N>
__device__ __forceinline__ void fetch_words(const char* p, Bits<N>& bits) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const Words w = reinterpret_cast<const Words*>(p)[i];
    if constexpr (sizeof(Words) == 4) {
      bits.v[i] = w;
    } else {
      constexpr int kEach = sizeof(Words) / 4;
      bits.v[kEach * i] = w.x;
      bits.v[kEach * i + 1] = w.y;
      if constexpr (kEach == 4) {
        bits.v[kEach * i + 2] = w.z;
        bits.v[kEach * i + 3] = w.w;
      }
    }
  }
}

// Loads a lane's own columns from `first` on, aligned, if `own`, or else those of `columns`.
template <int N>
__device__ __forceinline__ void fetch(const Source& image, const char* p, bool own, int first,
                                      const int (&columns)[N], Bits<N>& bits) {
  static_assert(N == 4 || N == 8);
  const int size = bytes_of(image.dtype);
  if (own) {
    p += first * size;
    if (size == 4) {
      fetch_words<uint4, N / 4>(p, bits);
    } else if (size == 2) {
      fetch_words<std::conditional_t<N == 8, uint4, uint2>, 1>(p, bits);
    } else {
      fetch_words<std::conditional_t<N == 8, uint2, unsigned>, 1>(p, bits);
    }
  } else {
    const char* from[N];
#pragma unroll
    for (int j = 0; j < N; ++j) from[j] = p + std::int64_t(columns[j]) * image.column;
    gather(from, size, bits);
  }
}

template <DType kType, bool kOwn, int N>
__device__ __forceinline__ Run<N> unpack_as(const Bits<N>& bits) {
  Run<N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    constexpr int kSize = kType == DType::kFloat32                              ? 4
                          : kType == DType::kUInt16 || kType == DType::kFloat16 ? 2
                                                                                : 1;
    unsigned b = bits.v[j];
    if (kOwn && kSize == 2) b = bits.v[j / 2] >> (j % 2 * 16) & 0xffffu;
    if (kOwn && kSize == 1) b = bits.v[j / 4] >> (j % 4 * 8) & 0xffu;
    out[j] = value_of(b, kType);
  }
  return out;
}

// Only masks may be bool.
template <bool kOwn, bool kMask, int N>
__device__ __forceinline__ Run<N> unpack(const Bits<N>& bits, DType dtype) {
  if (dtype == DType::kFloat32) return unpack_as<DType::kFloat32, kOwn>(bits);
  if (dtype == DType::kFloat16) return unpack_as<DType::kFloat16, kOwn>(bits);
  if (dtype == DType::kUInt16) return unpack_as<DType::kUInt16, kOwn>(bits);
  if (kMask && dtype == DType::kBool) return unpack_as<DType::kBool, kOwn>(bits);
  return unpack_as<DType::kUInt8, kOwn>(bits);
}

// Walks over the rows one by one, mirrored at both ends as often as needed.
struct RowCursor {
  int at, direction, count;

  __device__ __forceinline__ RowCursor(int row, int n) : count(n) {
    const int period = 2 * n;
    row %= period;
    if (row < 0) row += period;
    direction = row < n ? 1 : -1;
    at = row < n ? row : period - 1 - row;
  }
  __device__ __forceinline__ void next() {
    at += direction;
    if (at < 0 || at >= count) {
      at -= direction;
      direction = -direction;
    }
  }
};

// Returns Keys' cubic at the cell centres from four neighbours; the second is the nearest, and the
// first lies beyond it. See ops/pyramid/pyramid.h.
__device__ __forceinline__ float cubic(float near_outer, float near_, float far_, float far_outer) {
  constexpr float kNear = 111.0f / 128, kFar = 29.0f / 128, kNearOuter = -9.0f / 128,
                  kFarOuter = -3.0f / 128;
  return kNearOuter * near_outer + kNear * near_ + (kFar * far_ + kFarOuter * far_outer);
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
