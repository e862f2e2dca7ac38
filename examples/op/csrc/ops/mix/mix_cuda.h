#pragma once

#include "device/runtime.h"
#include "ops/mix/mix.h"

namespace pyharmony {

void launch_mix(const MixCall& call, cudaStream_t stream);

}  // namespace pyharmony
