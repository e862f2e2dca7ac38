// Values side by side in memory that one instruction reads or writes: up to 16 bytes.
#pragma once

#include "device/launch.h"

namespace pyharmony::device {

template <typename T, int kCount>
struct __align__(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Pack {
  T value[kCount];
};

}  // namespace pyharmony::device
