// The mix of two arrays by a share: an op to copy.
#pragma once

#include "core/array.h"

namespace pyharmony {

// A checked call, which the CPU and the device take.
struct MixCall {
  const float *a, *b, *share;
  float* out;
  std::int64_t size;
};

// All arrays are contiguous float32 of one shape.
MixCall mix_call(const ArrayView& a, const ArrayView& b, const ArrayView& share,
                 const ArrayView& out);

// Writes out = b + share (a - b).
void mix(const MixCall& call);

}  // namespace pyharmony
