// Values side by side in memory that one instruction reads or writes: up to 16 bytes.
#pragma once

#include <cstdint>

#include "device/launch.h"

namespace pyharmony::device {

template <typename T, int kCount>
struct __align__(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Pack {
  T value[kCount];
};

// Reads and writes the pack that begins with the value at an offset.
template <typename T, int kCount>
__device__ __forceinline__ Pack<T, kCount> load_pack(const void* data, std::int64_t at) {
  return *reinterpret_cast<const Pack<T, kCount>*>(static_cast<const T*>(data) + at);
}
template <typename T, int kCount>
__device__ __forceinline__ void store_pack(void* data, std::int64_t at, Pack<T, kCount> pack) {
  *reinterpret_cast<Pack<T, kCount>*>(static_cast<T*>(data) + at) = pack;
}

}  // namespace pyharmony::device
