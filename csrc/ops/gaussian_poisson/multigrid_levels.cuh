// The grids of a solve as kernels see them, and the rule that tells when an image is done.
#pragma once

#include <cmath>

#include "device/launch.h"
#include "device/math.h"
#include "device/reduce.h"
#include "ops/gaussian_poisson/multigrid_cuda.h"
#include "ops/gaussian_poisson/multigrid_grids.h"

namespace pyharmony::gaussian_poisson {
namespace {

using device::anew;
using device::ImageBatch;
using device::larger;
using device::smaller;

constexpr int kMaxLevels = 32;
constexpr int kLanes = 4;            // columns of a lane
constexpr int kStrip = 30 * kLanes;  // columns of a warp; the first and last lane are its halo
constexpr int kSweepWarps = 4;       // warps of a block
constexpr int kWantedWarps = 4096;   // segments are cut until there are this many warps
constexpr int kLongestSegment = 64, kShortestSegment = 8;  // rows, even numbers
constexpr int kCoarseCells = 5600;                         // cells of all grids in shared memory
constexpr int kCoarseThreads = 512;
constexpr int kDirect = 8;  // largest side of the grid that is solved directly
constexpr int kTileWidth = 64, kTileHeight = 16, kTileThreads = 256, kTileChannels = 4;
// Dynamic shared memory: the bytes of a channel group's tiles, and the most that any launch asks
// for. Together with the static part it is below the 64 KB that every device has.
constexpr std::size_t tile_bytes(int group) {
  return sizeof(float) * (kTileWidth + 2) * (kTileHeight + 2) * (1 + 3 * group);
}
constexpr std::size_t kMostTileBytes = tile_bytes(kTileChannels), kMostCoarseBytes = 63 << 10;
constexpr int kStoreThreads = 256, kStoreEach = 4;
constexpr int kMeanThreads = 512;
// The largest error after a cycle, as a share of the cycle's change.
constexpr float kErrorShare = 0.3f;

// An axis as kernels see it: all cells but the last are alike, and shares are 1/4 except beside the
// last coarse cell.
struct GridAxis {
  int count, coarse_count;
  float size, last_size, link, last_link, even_last, odd_last;
};

__device__ __forceinline__ float width_of(const GridAxis& a, int i) {
  return i + 1 < a.count ? a.size : a.last_size;
}
// Returns the link between cells i - 1 and i.
__device__ __forceinline__ float link_of(const GridAxis& a, int i) {
  return i <= 0 || i >= a.count ? 0.0f : i + 1 < a.count ? a.link : a.last_link;
}
__device__ __forceinline__ float even_of(const GridAxis& a, int i) {
  return i <= 0 || i >= a.coarse_count ? 0.0f : i + 1 < a.coarse_count ? 0.25f : a.even_last;
}
__device__ __forceinline__ float odd_of(const GridAxis& a, int i) {
  return i < 0 || i + 1 >= a.coarse_count ? 0.0f : i + 2 < a.coarse_count ? 0.25f : a.odd_last;
}
__device__ __forceinline__ int owner_of(const GridAxis& a, int i) {
  return i / 2 < a.coarse_count ? i / 2 : a.coarse_count - 1;
}
// Returns one past the last cell that coarse cell i owns.
__device__ __forceinline__ int owned_end(const GridAxis& a, int i) {
  return i + 1 < a.coarse_count ? 2 * i + 2 : a.count;
}

// Returns the share of the other row that row y is interpolated from, and that row in `other`.
__device__ __forceinline__ float share_of(const GridAxis& axis, int y, int owner, int& other) {
  const float share = y == 2 * owner       ? even_of(axis, owner)
                      : y == 2 * owner + 1 ? odd_of(axis, owner)
                                           : 0.0f;
  other = share == 0.0f ? owner : y == 2 * owner ? owner - 1 : owner + 1;
  return share;
}

// A grid: planes of its right-hand side and solutions, and how a sweep cuts it.
struct Level {
  GridAxis y, x;
  int pitch = 0;
  std::int64_t plane = 0;
  float *rhs = nullptr, *solution = nullptr, *other = nullptr;
  int rows = 0, strips = 0, segments = 0;

  std::int64_t cells() const { return std::int64_t(y.count) * x.count; }
};

// The V-cycle's operator: A = L + weight G on the finest grid, finite volumes below it.
struct Operator {
  float gain;                // weight times the sum of G's taps
  float edge, corner, both;  // entries of the finest grid; both = edge + 2 corner
  float weight, w0, w1;      // needed for the diagonal
};

// Returns 1 / v to two units in the last place; the smoother can use any value near D^-1.
__device__ __forceinline__ float reciprocal(float v) {
#if defined(__CUDA_ARCH__)
  return __fdividef(1.0f, v);
#else
  return 1.0f / v;
#endif
}

// ---- when an image is done ------------------------------------------------------------------

// Magnitudes in a cycle, as the bits of floats.
struct CycleNorms {
  int before, correction, after;  // changes by smoothing, by interpolation, by smoothing again
  int residual, size;             // largest residual and largest value of its answer
  int ran;
  int unused[2];
};

struct ImageState {
  int size;  // largest magnitude in the images, as bits
  int unused[7];
};

struct StopRule {
  float tolerance;
  float inverse_excess;              // zero: rows have no excess
  float x_rounding, image_rounding;  // rounding of the float32 residual, for values of magnitude 1
  int certified;                     // whether the bound decides, not the estimate
};

__device__ __forceinline__ float change_of(const CycleNorms& n) {
  return (__int_as_float(n.before) + __int_as_float(n.correction)) + __int_as_float(n.after);
}
__device__ __forceinline__ float bound_of(const CycleNorms& n, const ImageState& image,
                                          const StopRule& rule) {
  return (__int_as_float(n.residual) + rule.x_rounding * __int_as_float(n.size) +
          rule.image_rounding * __int_as_float(image.size)) *
         rule.inverse_excess;
}
__device__ __forceinline__ bool met(const CycleNorms& n, const ImageState& image,
                                    const StopRule& rule) {
  return (rule.certified ? bound_of(n, image, rule) : kErrorShare * change_of(n)) <= rule.tolerance;
}
// Returns whether `cycle` is the last: it met the tolerance, did not run, or only rounding is left.
__device__ __forceinline__ bool done_after(const CycleNorms* norms, int cycle,
                                           const ImageState& image, const StopRule& rule) {
  const CycleNorms& n = norms[cycle];
  if (n.ran == 0 || met(n, image, rule)) return true;
  return cycle >= 2 && !(change_of(n) < 0.7f * change_of(norms[cycle - 1]));
}

// The results of kernels that others read, and the counts of partial sums that a plane has.
struct Workspace {
  CycleNorms* norms = nullptr;
  ImageState* images = nullptr;
  double *sums = nullptr, *answer_sums = nullptr;  // of base, or of rhs; of the answer
  int* sizes = nullptr;                            // magnitudes of the images' values, as bits
  float* shift = nullptr;                          // [N C], what is to be added to each plane
  int blocks = 0, answer_blocks = 0;
};

// The facts that the kernels of a cycle need about it.
struct Cycle {
  int index;      // -1: the first approximation
  int per_image;  // number of norms
  CycleNorms* norms;
  const ImageState* images;
  StopRule rule;
};

__device__ __forceinline__ bool image_is_done(const Cycle& c, int image) {
  return c.index > 0 && done_after(c.norms + std::int64_t(image) * c.per_image, c.index - 1,
                                   c.images[image], c.rule);
}

__device__ __forceinline__ int magnitude_bits(float v) { return __float_as_int(fabsf(v)); }

}  // namespace
}  // namespace pyharmony::gaussian_poisson
