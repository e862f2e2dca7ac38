// Adam on a device: two launches for every kAdamItems tensors.
//
// All arrays are in the memory of the current device. The launcher allocates nothing, waits for
// nothing and can be captured; results have the same bits every time.
#pragma once

#include <driver_types.h>

#include "ops/adam/adam.h"

namespace pyharmony {

constexpr int kAdamItems = 64;

struct AdamItem {
  AdamTensor tensor;
  int first_tile;  // in the launch
  int wide;        // whether four neighbours can be loaded at once
};

struct AdamParams {
  AdamItem items[kAdamItems];
  AdamRule rule;
  AdamScales* scales;  // of the items
  int count;
};

// Returns bytes of workspace for a call of that many tensors.
std::size_t adam_workspace(std::int64_t tensors);

// Does the same as adam_kernel().
void launch_adam(const AdamCall& call, void* workspace, std::size_t workspace_bytes,
                 cudaStream_t stream);

}  // namespace pyharmony
