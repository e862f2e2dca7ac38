// The Chebyshev solver of gaussian_poisson on a device.
//
// Nothing is read back. The launches are a run with the steps that photographs need, the decision
// on it, and two more runs that return at once where the answer stands. Each item of the batch has
// its own decision. A caller who reads the reports anyway enqueues the first run alone, and the
// others where a report asks for more: they are seldom needed, and take memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/image.h"

namespace pyharmony::gaussian_poisson {

constexpr int kChebyshevRepeats = 2;  // runs after the first

// The fields of ChebyshevResult for one item, and whether another run was decided on.
struct ChebyshevReport {
  int steps, total_steps, finite, converged, more, unused;
  double residual, max_error;
};

struct ChebyshevDeviceParams {
  // [N, H, W, C], each uint8, uint16, float16 or float32. With half_base, base is
  // [N, ceil(H/2), ceil(W/2), C] and is brought to full size by Keys' cubic at the cell centres.
  device::ImageBatch src, dst, base, out;
  device::ImageBatch mask;        // [N, H, W], one of these types or bool
  device::ImageBatch weight_map;  // [N, H, W] float32, or no data
  // [N, H, W, C] float32, or no data. Where it is given, src, dst and base are not read, the
  // iteration starts at zero and known pixels are zero.
  device::ImageBatch rhs;
  double weight = 1, w0 = 1, w1 = 0;
  double least_weight = 1, most_weight = 1;  // the bounds of the map
  bool preserve_background = false, half_base = false;
  double tolerance = 0;
  double range = 1;  // The range of float images, or the largest magnitude in rhs. It decides how
                     // many steps are prepared for, not whether the certificate holds.
  int max_steps = 0;
  int processors = 1;
  std::size_t shared_per_processor = 64 << 10;  // bytes of shared memory
  int segment_rows = 0;                         // height of a tile, 0: chosen; no bit depends on it
  // Bytes for what passes leave to the next one, 0: chosen. Where they are too few, items and
  // channels take turns; an item's channel is done whole. No bit depends on it.
  std::int64_t state_bytes = 0;
  // The runs to enqueue. Later ones need the workspace and the report as earlier ones left them.
  int first_run = 0, last_run = kChebyshevRepeats;
  void* workspace = nullptr;  // both aligned to 256 bytes
  void* state = nullptr;      // may be missing where it takes no bytes
  std::size_t workspace_size = 0, state_size = 0;
  ChebyshevReport* report = nullptr;  // [N], device memory
};

// A launch of the kernel that streams the image, in blocks of `warps` warps; the whole device runs
// `places` of them at once.
struct ChebyshevLaunch {
  int warps = 0, blocks = 0, places = 0;
  int strips = 0, segments = 0, segment_rows = 0;
  std::size_t block_bytes = 0;  // bytes of shared memory
};

// The memory and the launches of a solve.
struct ChebyshevSchedule {
  std::size_t workspace_size = 0, state_size = 0;  // bytes
  int launches = 0;                                // decisions included
  ChebyshevLaunch first, repeat;                   // the first launch of each kind of run
};

// Throws std::invalid_argument unless shapes, dtypes and options fit together.
ChebyshevSchedule chebyshev_schedule(const ChebyshevDeviceParams& params);

void launch_gaussian_poisson_chebyshev(const ChebyshevDeviceParams& params, cudaStream_t stream);

}  // namespace pyharmony::gaussian_poisson
