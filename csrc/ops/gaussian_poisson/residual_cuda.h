// The residual b - A x on a device, in float64: what residual_cpu.cpp computes.
#pragma once

#include <cstddef>

#include "device/image.h"
#include "device/runtime.h"

namespace pyharmony::gaussian_poisson {

struct ResidualCudaParams {
  device::ImageBatch src, dst, base;  // [N, H, W, C]; b is formed from their differences
  device::ImageBatch mask;            // [N, H, W]
  device::ImageBatch weight_map;  // [N, H, W] float32; data is null where weight holds everywhere
  device::ImageBatch x;           // [N, H, W, C], any image dtype
  device::ImageBatch out;         // [N, H, W, C] float32; data is null where not wanted
  double weight = 1, w0 = 1, w1 = 0;
  bool preserve_background = false;
  double* result = nullptr;   // [N] in memory of the device: the largest magnitudes
  void* workspace = nullptr;  // 256-byte aligned
  std::size_t workspace_bytes = 0;
};

std::size_t gaussian_poisson_residual_workspace(const ResidualCudaParams& params);

// Known pixels have residual zero and count as dst, whatever x is there. NaN where there is one.
void launch_gaussian_poisson_residual(const ResidualCudaParams& params, cudaStream_t stream);

}  // namespace pyharmony::gaussian_poisson
