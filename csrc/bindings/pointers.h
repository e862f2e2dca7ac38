// Streams and addresses of devices, which Python gives as numbers.
#pragma once

#include <cstdint>

#include "device/runtime.h"

namespace pyharmony {

inline cudaStream_t stream_of(std::uintptr_t stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}
inline void* pointer_of(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

}  // namespace pyharmony
