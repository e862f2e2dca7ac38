// Types and tasks of the loops over tensors and the rows of a product. Included by SIMD sources
// only.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/parallel.h"
#include "ops/partial_conv/partial_conv.h"

namespace pyharmony::HM_SIMD_NS {

template <typename T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;
template <typename T>
using Product = std::conditional_t<std::is_same_v<T, Half>, float, T>;

// Returns how many rows one task takes: enough to be worth a thread, few enough for two.
inline std::int64_t grain_of(std::int64_t bytes_each) {
  constexpr std::int64_t kTaskBytes = std::int64_t(512) << 10;
  return std::max<std::int64_t>(1, kTaskBytes / std::max<std::int64_t>(1, bytes_each));
}

}  // namespace pyharmony::HM_SIMD_NS
