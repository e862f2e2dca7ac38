// Layouts, maps and factors for the kernels over whole tensors.
#pragma once

#include <cstdint>

#include "core/checks.h"
#include "device/launch.h"
#include "device/math.h"
#include "device/pack.h"
#include "device/reduce.h"
#include "device/tensor.h"
#include "ops/partial_conv/partial_conv_cuda.h"

namespace pyharmony::partial_conv {

using device::Pack;
using device::smaller;

// A value of a tensor's dtype, known at run time.
struct AnyValues {
  const void* data;
  DType dtype;
};

__device__ __forceinline__ float load(const AnyValues& from, std::int64_t i) {
  if (from.dtype == DType::kFloat32) return static_cast<const float*>(from.data)[i];
  if (from.dtype == DType::kFloat16) {
    return device::to_float(static_cast<const __half*>(from.data)[i]);
  }
  return device::to_float(static_cast<const BFloat16*>(from.data)[i]);
}

struct Factor {
  float value;
  AnyValues more;  // data null: no further factor
};

__device__ __forceinline__ float load(const Factor& factor) {
  return factor.more.data == nullptr ? factor.value : factor.value * load(factor.more, 0);
}

// A mask or a new mask. Null: the ratio tells where it is 1, or it is all ones.
struct Cover {
  const void* data;
  bool bits;
};

__device__ __forceinline__ float load(const Cover& cover, std::int64_t i) {
  return !cover.bits ? static_cast<const float*>(cover.data)[i]
         : static_cast<const std::uint8_t*>(cover.data)[i] != 0 ? 1.0f
                                                                : 0.0f;
}

// The ratio and the cover of a tensor, [N or 1, G, H, W].
struct Maps {
  const float* ratio;  // null: 1
  Cover cover;
  std::int64_t image;  // step between images
  int each;            // channels in a group
};

// The ratio and the new mask of a position's window.
struct Window {
  float ratio, cover;
};

__device__ __forceinline__ Window window_at(const Maps& maps, std::int64_t i) {
  Window w;
  w.ratio = maps.ratio == nullptr ? 1.0f : maps.ratio[i];
  w.cover = maps.cover.data != nullptr ? load(maps.cover, i) : w.ratio != 0 ? 1.0f : 0.0f;
  return w;
}

__device__ __forceinline__ float activate(float value, float slope) {
  return value > 0 ? value : value * slope;
}

constexpr int kListThreads = 1024, kListWarps = kListThreads / 32;

// Lists in order, from base on, the places below size for which is_set(place), and their total. A
// block of kListThreads threads calls it; a warp has a run of the places.
template <typename IsSet>
__device__ __forceinline__ void list_places(int size, int base, IsSet is_set, std::int32_t* rows,
                                            std::int32_t* total) {
  __shared__ int counts[kListWarps];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int share = ((size + 31) / 32 + kListWarps - 1) / kListWarps * 32;
  const int first = smaller(size, warp * share), last = smaller(size, first + share);
  const auto bits_from = [&](int i) {
    return __ballot_sync(0xffffffffu, i + lane < last && is_set(i + lane));
  };
  int mine = 0;
  for (int i = first; i < last; i += 32) mine += __popc(bits_from(i));
  if (lane == 0) counts[warp] = mine;
  HM_SYNC();
  int before = device::warp_reduce(lane < warp ? counts[lane] : 0, device::Sum());
  if (warp == kListWarps - 1 && lane == 0) *total = before + mine;
  for (int i = first; i < last; i += 32) {
    const unsigned bits = bits_from(i);
    if (bits >> lane & 1u) rows[before + __popc(bits & ((1u << lane) - 1))] = base + i + lane;
    before += __popc(bits);
  }
}

// ---- on the host --------------------------------------------------------------------------------

// Returns whether the channels of a dense tensor lie beside each other.
inline bool is_channels_last(const ArrayView& a, const char* name) {
  HM_CHECK(a.ndim == 4 && a.size() > 0, name, ": ", a.ndim, " dimensions, expected [N, C, H, W]");
  const bool last = is_dense(a, true), planar = is_dense(a, false);
  HM_CHECK(last || planar, name, ": neither channels-last nor planar without gaps");
  return last && (!planar || a.shape[2] * a.shape[3] == 1);
}

inline void check_like(const ArrayView& a, const ArrayView& b, bool last, const char* name,
                       const char* other) {
  HM_CHECK(a.ndim == 4 && a.dtype == b.dtype, name, ": dtype ", dtype_name(a.dtype), ", expected ",
           dtype_name(b.dtype), " as of ", other);
  for (int i = 0; i < 4; ++i) {
    HM_CHECK(a.shape[i] == b.shape[i], name, ": size ", a.shape[i], " of dimension ", i, ", ",
             other, " has ", b.shape[i]);
  }
  HM_CHECK(is_dense(a, last), name, ": not of the layout of ", other);
}

inline void check_writable(const ArrayView& a, const char* name) {
  HM_CHECK(a.writable, name, ": read-only");
}

inline void check_tensor_dtype(const ArrayView& a, const char* name) {
  HM_CHECK(a.dtype == DType::kFloat32 || a.dtype == DType::kFloat16 || a.dtype == DType::kBFloat16,
           name, ": dtype ", dtype_name(a.dtype), ", expected float32, float16 or bfloat16");
}

inline AnyValues values_of(const ArrayView* a, std::int64_t count, const char* name) {
  if (a == nullptr) return {nullptr, DType::kFloat32};
  check_tensor_dtype(*a, name);
  HM_CHECK(a->size() == count && (count == 1 || (a->ndim == 1 && a->stride[0] == 1)), name, ": ",
           a->size(), " values, expected ", count, " side by side");
  return {a->data, a->dtype};
}

inline Factor factor_of(const DeviceFactor& factor) {
  return {static_cast<float>(factor.value), values_of(factor.pointer, 1, "factor")};
}

inline Maps maps_of(const ArrayView* ratio, const ArrayView* cover, const ArrayView& y) {
  Maps maps{nullptr, {nullptr, false}, 0, static_cast<int>(y.shape[1])};
  const std::int64_t plane = y.shape[2] * y.shape[3];
  for (const ArrayView* map : {ratio, cover}) {
    if (map == nullptr) continue;
    const char* name = map == ratio ? "ratio" : "cover";
    HM_CHECK(map->ndim == 4 && (map->shape[0] == 1 || map->shape[0] == y.shape[0]) &&
                 y.shape[1] % map->shape[1] == 0 && map->shape[2] == y.shape[2] &&
                 map->shape[3] == y.shape[3] && is_dense(*map, false),
             name, ": not [N or 1, groups, ", y.shape[2], ", ", y.shape[3], "] without gaps");
    maps.image = map->shape[0] == 1 ? 0 : map->shape[1] * plane;
    maps.each = static_cast<int>(y.shape[1] / map->shape[1]);
  }
  if (ratio != nullptr) {
    HM_CHECK(ratio->dtype == DType::kFloat32, "ratio: dtype ", dtype_name(ratio->dtype),
             ", expected float32");
    maps.ratio = ratio->as<const float>();
  }
  if (cover != nullptr) {
    HM_CHECK(cover->dtype == DType::kFloat32 || cover->dtype == DType::kBool, "cover: dtype ",
             dtype_name(cover->dtype), ", expected float32 or bool");
    HM_CHECK(ratio != nullptr && ratio->size() == cover->size(),
             "cover: not of the shape of ratio");
    maps.cover = {cover->data, cover->dtype == DType::kBool};
  }
  return maps;
}

// A mask of x: its values, and the steps of images, channels and positions. A step of zero repeats.
struct MaskOf {
  Cover values;
  std::int64_t image, channel, position;
};

inline MaskOf mask_of(const ArrayView* mask, const ArrayView& x) {
  if (mask == nullptr) return {{nullptr, false}, 0, 0, 0};
  const ArrayView& m = *mask;
  HM_CHECK(m.ndim == 4 && (m.shape[0] == 1 || m.shape[0] == x.shape[0]) &&
               (m.shape[1] == 1 || m.shape[1] == x.shape[1]) && m.shape[2] == x.shape[2] &&
               m.shape[3] == x.shape[3],
           "mask: does not broadcast to x");
  HM_CHECK(m.dtype == DType::kBool || m.dtype == DType::kFloat32, "mask: dtype ",
           dtype_name(m.dtype), ", expected bool or float32");
  const std::int64_t step = m.shape[3] > 1 ? m.stride[3] : m.stride[2];
  HM_CHECK(m.shape[2] == 1 || m.stride[2] == step * m.shape[3], "mask: gaps between its rows");
  return {{m.data, m.dtype == DType::kBool},
          m.shape[0] == 1 ? 0 : m.stride[0],
          m.shape[1] == 1 ? 0 : m.stride[1],
          step};
}

inline bool is_aligned(const ArrayView& a, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(a.data) % bytes == 0;
}

}  // namespace pyharmony::partial_conv
