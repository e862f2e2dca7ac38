// The Chebyshev solver of gaussian_poisson on a device.
//
// Nothing is read back: a run with the steps that photographs need, the decision on it, and two
// more runs that return at once where the decision was that the answer stands. Decisions are made
// for each item of the batch. A caller who reads the reports anyway enqueues the first run alone,
// and the others where a report asks for more: they are seldom needed, and take memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/image.h"

namespace pyharmony::gaussian_poisson {

constexpr int kChebyshevRepeats = 2;  // runs after the first

// Of one item; the fields are those of ChebyshevResult, and whether another run was decided on.
struct ChebyshevReport {
  int steps, total_steps, finite, converged, more, unused;
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
  std::size_t shared_per_processor = 64 << 10;  // bytes of shared memory
  int segment_rows = 0;                         // of a tile, 0: chosen; no bit depends on it
  // Room for what passes leave to the next one, 0: chosen; items and channels take turns where it
  // is not enough for all; a channel of an item is always whole. No bit depends on it.
  std::int64_t state_bytes = 0;
  // Of these runs; the workspace and the report of earlier ones are as those have left them.
  int first_run = 0, last_run = kChebyshevRepeats;
  void* workspace = nullptr;  // both aligned to 256 bytes
  void* state = nullptr;      // may be missing where it takes no bytes
  std::size_t workspace_size = 0, state_size = 0;
  ChebyshevReport* report = nullptr;  // [N], device memory
};

// A launch of the kernel that streams the image: blocks of `warps` warps, of which `places` run at
// once on the whole device.
struct ChebyshevLaunch {
  int warps = 0, blocks = 0, places = 0;
  int strips = 0, segments = 0, segment_rows = 0;
  std::size_t block_bytes = 0;  // of shared memory
};

// What a solve will enqueue.
struct ChebyshevSchedule {
  std::size_t workspace_size = 0, state_size = 0;  // bytes
  int launches = 0;                                // decisions included
  ChebyshevLaunch first, repeat;                   // the first launch of each kind of run
};

// Throws std::invalid_argument unless shapes, dtypes and options fit together.
ChebyshevSchedule chebyshev_schedule(const ChebyshevDeviceParams& params);

void launch_gaussian_poisson_chebyshev(const ChebyshevDeviceParams& params, cudaStream_t stream);

}  // namespace pyharmony::gaussian_poisson
