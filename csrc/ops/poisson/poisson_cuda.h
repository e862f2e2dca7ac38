// Op poisson on a device: the equation and the scheme of poisson.h, with the set-up on the device.
//
// A level is cut into tiles of kTileWidth x kTileHeight. Tiles without unknowns return at once, so
// that time follows the mask. Planes are read and written in quads, four values each. They are
// undefined in quads without unknowns, which nobody reads. The plan and the greatest number of
// iterations fix the sequence of launches; kernels return at once where their plane is done. A call
// whose caller waits for it anyway follows the device, and leaves out iterations that none needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/image.h"
#include "device/launch.h"
#include "ops/poisson/scheme.h"

namespace pyharmony::poisson {

constexpr int kTileWidth = 64, kTileHeight = 40;
constexpr int kMaxLevels = 28, kMaxTailLevels = 8;
constexpr int kMaxDeviceIterations = 32;
// The last level is solved with the inverse of its matrix and has at most this many cells.
constexpr int kDirectCells = 64;
// From the first level with at most this many cells on, one launch does all levels.
constexpr int kTailCells = 2048;
constexpr int kTailPlanes = 3;
// On a level with so many tiles a block does all channels of an image.
constexpr int kSharedTiles = 2048;
constexpr std::size_t kTailBytes = 48 << 10;  // shared memory of a block that asks for no more

// The symmetric nine-point stencil as its links to the right and to the row below. The last rows of
// sw, se and s are zero, so each serves as the row above the plane that follows.
enum CoefficientPlane : int { kSW, kSE, kS, kE, kC, kInverse, kRowSum };
constexpr int kLeadingZeros = 8;  // plus a row

// A level. Offsets are in bytes and from the start of an item's memory in a hierarchy.
struct Grid {
  int height = 0, width = 0;
  int pitch = 0;  // elements of a row
  int tiles_x = 0, tiles_y = 0;
  bool merge_bottom = false, merge_right = false;  // even size at the image's border
  std::int64_t plane = 0;                          // elements of a plane
  // The planes of CoefficientPlane; -1: none, as on the five-point level. Rows end with at least
  // one zero, and zeros precede the first row: links across the level's rim read as zero.
  std::int64_t coefficients = -1;
  std::int64_t counts = 0;  // int, the number of unknowns of each tile
};

struct PlanOptions {
  int height = 0, width = 0;                     // size of the image
  int top = 0, left = 0, bottom = 0, right = 0;  // the box: all unknowns are in it
  int items = 1;                                 // number of masks
  bool pinned = true;                            // false: every pixel is unknown
  double weight = 0, w0 = 1, w1 = 0;
  bool weight_map = false;  // used instead of weight
  int tail_cells = kTailCells;
  int shared_tiles = kSharedTiles;
  int processors = -1;  // negative: those of the device
  int cluster = -1;     // blocks of a cluster; 0: none, negative: as many as the device allows
};

// The geometry of a hierarchy; memory that Python allocates holds the rest.
struct Plan {
  PlanOptions options;
  bool mirror_top = false, mirror_bottom = false, mirror_left = false, mirror_right = false;
  int levels = 0, tail = 0;  // the first level of the one-launch part, at least 1
  Grid grid[kMaxLevels];
  std::int64_t active = 0;   // a byte for each cell of the finest level: 1 where unknown
  std::int64_t inverse = 0;  // inverse of the last level's matrix, [cells, cells]
  std::int64_t item_bytes = 0;

  bool nine() const { return grid[0].coefficients >= 0; }
  std::size_t bytes() const { return static_cast<std::size_t>(item_bytes) * options.items; }
};

Plan make_plan(const PlanOptions& options);
// Returns the floats of shared memory that the one-launch part needs where it begins at `level`.
std::size_t tail_floats(const Plan& plan, int level);

// The beginning of a hierarchy's memory, for each item.
struct ItemHeader {
  double amplification;   // for certificates; negative: not known yet
  std::int64_t unknowns;  // the number of them in the mask
};

// mask [items, H, W], no data where every pixel is unknown; weight_map float32 [items or 1, H, W].
void launch_poisson_hierarchy(const Plan& plan, const device::ImageBatch& mask,
                              const device::ImageBatch& weight_map, void* memory,
                              cudaStream_t stream);

// Writes boxes [N, 4] of int: top, left, bottom, right of pixels above zero, or zeros without any.
void launch_poisson_box(const device::ImageBatch& mask, int* boxes, cudaStream_t stream);

// The report on one plane of a solve, an item's channel.
struct PlaneReport {
  double estimate;   // estimated error, from the last preconditioned residual
  double first;      // the estimate before the first iteration
  double residual;   // largest |b - A x| with a certificate, else NaN
  double max_error;  // proven bound with a certificate, else NaN
  std::int64_t unknowns;
  int iterations;
  int converged;
};

// A plane's part of a warm start's memory, before the corrections [planes][finest plane].
struct WarmPlane {
  double contraction, first_left, largest;
  int valid, unused;
};

std::size_t warm_bytes(const Plan& plan, int planes);

struct SolveImages {
  device::ImageBatch src, dst, mask, base;  // base may be missing: src is used
  device::ImageBatch rhs;                   // float32 or float64, instead of those
  device::ImageBatch weight_map;            // given where the plan has one
  device::ImageBatch out;
  Guidance guidance = Guidance::kSource;
  Contour contour = Contour::kHalf;

  int count() const { return rhs.exists() ? rhs.count : dst.count; }
  int channels() const { return rhs.exists() ? rhs.channels : dst.channels; }
};

// The multiprocessors of a device, which decide on the form of a launch; memory is in bytes.
struct Room {
  int processors = 0;
  std::size_t shared_per_processor = 0, shared_per_block = 0;
};

struct DeviceSolve {
  SolveImages images;
  double tolerance = 0;  // largest error, in the unit of the images
  int max_iterations = 8;
  Room room;
  void* warm = nullptr;           // warm_bytes(); its WarmPlanes are zero before the first frame
  PlaneReport* report = nullptr;  // [planes], device memory
  // [planes], pinned memory of the host, by which the call stops enqueuing iterations when all
  // planes are done; null: the call does not wait for the device.
  std::int64_t* done = nullptr;
};

std::size_t solve_workspace_bytes(const Plan& plan, int planes);

// Writes only the unknown pixels of out. The workspace keeps what a certificate needs.
void launch_poisson_solve(const Plan& plan, void* memory, const DeviceSolve& solve, void* workspace,
                          cudaStream_t stream);

// Returns the bytes of workspace that certificates take beyond solve_workspace_bytes.
std::size_t certify_workspace_bytes(const Plan& plan, int planes);

// Fills residual and max_error in the reports of the solve before it, whose workspace must be
// unchanged. Both hold for the solution before it is rounded to out's type.
void launch_poisson_certify(const Plan& plan, void* memory, const DeviceSolve& solve,
                            void* workspace, void* certify_workspace, cudaStream_t stream);

}  // namespace pyharmony::poisson
