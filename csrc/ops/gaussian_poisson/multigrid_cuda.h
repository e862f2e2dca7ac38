// Cell-centred multigrid on a device; docs/gaussian_poisson.md has its plan. Where weight is zero
// and rhs is given, the mean of the answer is zero.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/image.h"
#include "device/runtime.h"

namespace pyharmony::gaussian_poisson {

constexpr int kMultigridMaxCycles = 64;

struct MultigridCudaParams {
  device::ImageBatch src, dst, base;  // [N, H, W, C]; not looked at where rhs is given
  device::ImageBatch mask;            // [N, H, W]
  device::ImageBatch rhs;             // [N, H, W, C] float32; or b is formed from the images
  device::ImageBatch out;             // [N, H, W, C], any image dtype
  double weight = 0, w0 = 1, w1 = 0;
  double tolerance = 0.25;    // of the largest error, in the native unit
  int max_cycles = 0;         // 0: what the tolerance is expected to need, and one more
  void* workspace = nullptr;  // 256-byte aligned
  std::size_t workspace_bytes = 0;
  void* report = nullptr;  // MultigridReport [N]
};

// In memory of the device.
struct MultigridReport {
  int cycles = 0;
  int converged = 0;
  double residual = 0;   // largest |b - A x| of the answer, as float32 sees it
  double estimate = 0;   // of the largest error of the answer
  double max_error = 0;  // a bound of it, before rounding to out's dtype; NaN: not proven
};

// Throws std::invalid_argument unless shapes, dtypes and scalars fit together.
void check_multigrid(const MultigridCudaParams& params);

// Cycles that are enqueued for a tolerance; an item that is done earlier costs only empty launches.
int multigrid_cycles(const MultigridCudaParams& params);

// Bytes; at most 24 for a pixel and channel, and a constant that small images notice.
std::size_t gaussian_poisson_multigrid_workspace(const MultigridCudaParams& params);

// Enqueues the solve. Reads nothing back; the sequence of launches depends on shapes and scalars
// alone, and the answer does not depend on the order of threads.
void launch_gaussian_poisson_multigrid(const MultigridCudaParams& params, cudaStream_t stream);

}  // namespace pyharmony::gaussian_poisson
