// Values side by side in memory, read and written at once.
#pragma once

#include "device/launch.h"

namespace pyharmony::partial_conv {

template <typename T, int kCount>
struct __align__(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Pack {
  T value[kCount];
};

HM_HOST_DEVICE constexpr int smaller(int a, int b) { return a < b ? a : b; }

}  // namespace pyharmony::partial_conv
