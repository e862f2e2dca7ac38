// Values side by side in memory, read and written at once: up to 16 bytes by one instruction.
#pragma once

#include "device/launch.h"

namespace pyharmony::device {

template <typename T, int kCount>
struct __align__(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Pack {
  T value[kCount];
};

}  // namespace pyharmony::device
