// Cell-centred multigrid on a device; docs/gaussian_poisson.md describes it. Where weight is zero
// and rhs is given, the mean of the answer is zero.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/image.h"
#include "device/runtime.h"

namespace pyharmony::gaussian_poisson {

constexpr int kMultigridMaxCycles = 64;

struct MultigridImages {
  device::ImageBatch src, dst, base;  // [N, H, W, C]; not read where rhs is given
  device::ImageBatch mask;            // [N, H, W]
  device::ImageBatch rhs;             // [N, H, W, C] float32; no data: b is formed from the images
};

struct MultigridCudaParams : MultigridImages {
  device::ImageBatch out;  // [N, H, W, C], any image dtype
  double weight = 0, w0 = 1, w1 = 0;
  double tolerance = 0.25;    // largest error, in the native unit
  int max_cycles = 0;         // 0: one more than the tolerance is expected to need
  void* workspace = nullptr;  // 256-byte aligned
  std::size_t workspace_bytes = 0;
  void* report = nullptr;  // MultigridReport [N]
};

// The report of one image, in device memory.
struct MultigridReport {
  int cycles = 0;
  int converged = 0;
  double residual = 0;   // largest |b - A x| of the answer, as float32 sees it
  double estimate = 0;   // estimate of the largest error of the answer
  double max_error = 0;  // a bound of that error, before rounding to out's dtype; NaN: not proven
};

// Throws std::invalid_argument unless shapes, dtypes and scalars fit together.
void check_multigrid(const MultigridCudaParams& params);

// Returns the cycles enqueued for a tolerance; after an item is done they are empty launches.
int multigrid_cycles(const MultigridCudaParams& params);

// Returns bytes: at most 24 per pixel and channel, and a constant that matters for small images.
std::size_t gaussian_poisson_multigrid_workspace(const MultigridCudaParams& params);

// Enqueues the solve. It reads nothing back; the sequence of launches depends on shapes and scalars
// alone, and the answer does not depend on the order of threads.
void launch_gaussian_poisson_multigrid(const MultigridCudaParams& params, cudaStream_t stream);

}  // namespace pyharmony::gaussian_poisson
