// The passes of instance_norm.h on a device: one launch for planar tensors, two for channels-last.
//
// Tensors are float32, float16 or bfloat16 in the memory of the current device, stats float32. A
// launcher allocates nothing, waits for nothing and can be captured; results have the same bits
// every time.
#pragma once

#include <driver_types.h>

#include <cstddef>

#include "ops/instance_norm/instance_norm.h"

namespace pyharmony {

// Returns bytes of workspace for any pass over a tensor like x; 0 where it is planar.
std::size_t instance_norm_workspace(const ArrayView& x);
// Bytes of workspace of a batch norm, whose batch is one image.
std::size_t batch_norm_workspace(const ArrayView& x);

void launch_instance_norm(const InstanceNormCall& call, void* workspace,
                          std::size_t workspace_bytes, cudaStream_t stream);

}  // namespace pyharmony
