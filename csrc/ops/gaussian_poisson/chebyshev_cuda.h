// The Chebyshev solver of gaussian_poisson on a device.
//
// Everything is enqueued at once and nothing is read back: a run with the steps that photographs
// need, the decision on it, and two more runs that return at once where the decision was that the
// answer stands. Decisions are made for each item of the batch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/image.h"

namespace pyharmony::gaussian_poisson {

// Of one item; the fields are those of ChebyshevResult.
struct ChebyshevReport {
  int steps, total_steps, finite, converged;
  double residual, max_error;
};

struct ChebyshevDeviceParams {
  // [N, H, W, C] of uint8, uint16, float16 or float32 each. With half_base, base is
  // [N, ceil(H/2), ceil(W/2), C], taken to full size by Keys' cubic at the cell centres.
  device::ImageBatch src, dst, base, out;
  device::ImageBatch mask;        // [N, H, W], of these types or bool
  device::ImageBatch weight_map;  // [N, H, W] float32, or without data
  // [N, H, W, C] float32, or without data; with it src, dst and base are not looked at, the
  // iteration starts at zero and known pixels are zero.
  device::ImageBatch rhs;
  double weight = 1, w0 = 1, w1 = 0;
  double least_weight = 1, most_weight = 1;  // of the map
  bool preserve_background = false, half_base = false;
  double tolerance = 0;
  double range = 1;  // of the values of float images, or the largest magnitude in rhs; it decides
                     // how many steps are prepared for, not whether the certificate holds
  int max_steps = 0;
  int processors = 1;
  int segment_rows = 0;  // of a tile, 0: chosen; no bit depends on it
  // Room for what passes leave to the next one, 0: chosen; items and channels take turns where it
  // is not enough for all; a channel of an item is always whole. No bit depends on it.
  std::int64_t state_bytes = 0;
  void* workspace = nullptr;  // aligned to 256 bytes
  std::size_t workspace_bytes = 0;
  ChebyshevReport* report = nullptr;  // [N], device memory
};

// Throws std::invalid_argument unless shapes, dtypes and options fit together. Bytes.
std::size_t chebyshev_workspace(const ChebyshevDeviceParams& params);

void launch_gaussian_poisson_chebyshev(const ChebyshevDeviceParams& params, cudaStream_t stream);

}  // namespace pyharmony::gaussian_poisson
