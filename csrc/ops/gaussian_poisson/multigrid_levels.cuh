// The grids of a solve as kernels see them, and the rule by which an image is done.
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
constexpr int kSweepWarps = 4;       // of a block
constexpr int kWantedWarps = 4096;   // segments are cut until there are as many
constexpr int kLongestSegment = 64, kShortestSegment = 8;  // rows; even
constexpr int kCoarseCells = 5600;                         // of all grids in shared memory
constexpr int kCoarseThreads = 512;
constexpr int kDirect = 8;  // sides of the grid that is solved directly
constexpr int kTileWidth = 64, kTileHeight = 16, kTileThreads = 256, kTileChannels = 4;
// Dynamic shared memory: of a channel group's tiles, and the most that any launch asks for. With
// what is static it is below the 64 KB that every device has.
constexpr std::size_t tile_bytes(int group) {
  return sizeof(float) * (kTileWidth + 2) * (kTileHeight + 2) * (1 + 3 * group);
}
constexpr std::size_t kMostTileBytes = tile_bytes(kTileChannels), kMostCoarseBytes = 63 << 10;
constexpr int kStoreThreads = 256, kStoreEach = 4;
constexpr int kMeanThreads = 512;
// The largest error after a cycle, as a share of what the cycle changed.
constexpr float kErrorShare = 0.3f;

// An axis as kernels see it: its cells are alike but for the last, its shares are 1/4 but for
// those beside the last coarse cell.
struct GridAxis {
  int count, coarse_count;
  float size, last_size, link, last_link, even_last, odd_last;
};

__device__ __forceinline__ float width_of(const GridAxis& a, int i) {
  return i + 1 < a.count ? a.size : a.last_size;
}
// Between cells i - 1 and i.
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
// One past the last cell that coarse cell i owns.
__device__ __forceinline__ int owned_end(const GridAxis& a, int i) {
  return i + 1 < a.coarse_count ? 2 * i + 2 : a.count;
}

// The row beside `owner` that row y is interpolated with, and its share.
__device__ __forceinline__ float share_of(const GridAxis& axis, int y, int owner, int& other) {
  const float share = y == 2 * owner       ? even_of(axis, owner)
                      : y == 2 * owner + 1 ? odd_of(axis, owner)
                                           : 0.0f;
  other = share == 0.0f ? owner : y == 2 * owner ? owner - 1 : owner + 1;
  return share;
}

// Of the V-cycle's operator: A = L + weight G on the finest grid, finite volumes below it.
struct Operator {
  float gain;                // weight times the sum of G's taps
  float edge, corner, both;  // of the finest grid; both = edge + 2 corner
  float weight, w0, w1;      // for the diagonal
};

// 1 / v to two units in the last place, for the smoother: any value near D^-1 serves it.
__device__ __forceinline__ float reciprocal(float v) {
#if defined(__CUDA_ARCH__)
  return __fdividef(1.0f, v);
#else
  return 1.0f / v;
#endif
}

// ---- when an image is done ------------------------------------------------------------------

// Magnitudes of a cycle, as bits.
struct CycleNorms {
  int before, correction, after;  // changes by smoothing, interpolation, smoothing
  int residual, size;             // of its answer
  int ran;
  int unused[2];
};

struct ImageState {
  int size;  // of the images' values
  int unused[7];
};

struct StopRule {
  float tolerance;
  float inverse_excess;              // zero: rows have none
  float x_rounding, image_rounding;  // of the residual in float32, for values of magnitude 1
  int certified;                     // the bound decides, not the estimate
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
// Whether no cycle follows `cycle`: it met the tolerance, was not run, or only rounding is left.
__device__ __forceinline__ bool done_after(const CycleNorms* norms, int cycle,
                                           const ImageState& image, const StopRule& rule) {
  const CycleNorms& n = norms[cycle];
  if (n.ran == 0 || met(n, image, rule)) return true;
  return cycle >= 2 && !(change_of(n) < 0.7f * change_of(norms[cycle - 1]));
}

// What the kernels of a cycle know of it.
struct Cycle {
  int index;      // -1: of the first approximation
  int per_image;  // norms
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
