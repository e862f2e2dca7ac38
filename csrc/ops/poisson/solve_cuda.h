// The data that the parts of a solve on a device share: its workspace, and the state of each plane.
#pragma once

#include <optional>

#include "device/reduce.h"
#include "device/runtime.h"
#include "ops/poisson/grid_cuda.h"

namespace pyharmony::poisson {

// The state of one plane's conjugate gradients. Where `pending` is not negative, x still lacks the
// step `alpha` along the direction of that number.
struct PlaneState {
  int done = 0, converged = 0, iterations = 0, pending = -1, singular = 0, steps = 0;
  float alpha = 0, beta = 0;
  double rz = 0, largest = 0, first = 0, second = 0, limit = 0, estimate = 0;
  double contraction = 0, seen = 0, first_left = 0;
  double inverse_alphas[kMaxDeviceIterations] = {}, betas[kMaxDeviceIterations] = {};
};

// A tile's share of the sums and maxima of its plane.
struct TilePartial {
  double dot;
  float largest;
  int unused;
};

// The planes of a level in the workspace, one after the other.
struct Planes {
  unsigned char* data = nullptr;
  std::int64_t plane = 0;  // in elements

  __device__ float* of(int plane_index) const {
    return reinterpret_cast<float*>(data) + plane_index * plane;
  }
  __device__ double* doubles_of(int plane_index) const {
    return reinterpret_cast<double*>(data) + plane_index * plane;
  }
};

// The finest level and its unknowns, a byte each from `active` on in an item's memory.
struct FinestLevel {
  Grid grid;
  Hierarchies hierarchies;
  std::int64_t active;
};

// The solution of a solve: x, which may lack a step along the last direction of its plane.
struct Solution {
  const PlaneState* states;
  Planes x, even, odd;
};

// The partials of the finest level's tiles, and the states of its planes.
struct PlaneSums {
  Grid grid;
  Hierarchies hierarchies;
  PlaneState* states;
  const TilePartial* partials;
};

// Joins a plane's or item's partials in an order that is always the same: `dot` by an operation,
// `largest` as the maximum. The result is in thread 0.
template <int kThreads, typename Join>
__device__ __forceinline__ TilePartial join_tiles(const PlaneSums& p, const unsigned char* memory,
                                                  int plane, Join join) {
  __shared__ double dots[kThreads / 32];
  __shared__ float maxima[kThreads / 32];
  const int* counts = reinterpret_cast<const int*>(memory + p.grid.counts);
  const int tiles = p.grid.tiles_x * p.grid.tiles_y;
  const TilePartial* partials = p.partials + static_cast<std::int64_t>(plane) * tiles;
  double dot = 0;
  float most = 0;
  for (int tile = static_cast<int>(threadIdx.x); tile < tiles; tile += kThreads) {
    if (counts[tile] == 0) continue;
    dot = join(partials[tile].dot, dot);
    most = device::Max()(partials[tile].largest, most);
  }
  dot = device::block_reduce<kThreads>(dot, join, dots);
  return {dot, device::block_reduce<kThreads>(most, device::Max(), maxima), 0};
}

// The buffers of a direction p_k and of the residual r_k depend on the parity of k.
enum FineBuffer : int { kR = 0, kP = 1, kSpare0 = 2, kSpare1 = 3, kX = 4, kFineBuffers = 5 };
HM_HOST_DEVICE inline int direction_buffer(int k) { return k % 2 == 0 ? kSpare1 : kP; }

struct SolveLayout {
  std::int64_t states = 0, partials = 0;
  std::int64_t fine[kFineBuffers] = {};
  // Offsets for level k: the V-cycle's right-hand side, and z before and after the correction; then
  // the right-hand side and x of nested iteration.
  std::int64_t b[kMaxLevels] = {}, before[kMaxLevels] = {}, after[kMaxLevels] = {};
  std::int64_t nested_b[kMaxLevels] = {}, nested_x[kMaxLevels] = {};
  // All of `after` and `nested_x`, which a solve keeps zero where nothing is unknown.
  std::int64_t zero = 0, zero_bytes = 0;
  std::int64_t bytes = 0;
};

SolveLayout solve_layout(const Plan& plan, int planes);

// A solve's memory in the form that kernels take.
struct SolveMemory {
  SolveMemory(const Plan& plan, void* hierarchy, int planes, int channels, void* workspace)
      : layout(solve_layout(plan, planes)),
        hierarchies{static_cast<const unsigned char*>(hierarchy),
                    plan.options.items > 1 ? plan.item_bytes : 0, channels},
        planes(planes),
        base(static_cast<unsigned char*>(workspace)) {}
  PlaneState* states() const { return reinterpret_cast<PlaneState*>(base + layout.states); }
  TilePartial* partials() const { return reinterpret_cast<TilePartial*>(base + layout.partials); }
  Planes at(std::int64_t offset, const Grid& grid) const { return {base + offset, grid.plane}; }
  Planes fine(const Plan& plan, int buffer) const { return at(layout.fine[buffer], plan.grid[0]); }
  FinestLevel finest(const Plan& plan) const { return {plan.grid[0], hierarchies, plan.active}; }
  PlaneSums sums(const Plan& plan) const {
    return {plan.grid[0], hierarchies, states(), partials()};
  }
  Solution solution(const Plan& plan) const {
    return {states(), fine(plan, kX), fine(plan, direction_buffer(0)),
            fine(plan, direction_buffer(1))};
  }

  SolveLayout layout;
  Hierarchies hierarchies;
  int planes;
  unsigned char* base;
};

// Returns the corrections, which follow a warm start's WarmPlanes.
inline float* warm_planes(void* warm, int planes) {
  return reinterpret_cast<float*>(static_cast<unsigned char*>(warm) +
                                  (sizeof(WarmPlane) * planes + 255) / 256 * 256);
}

// Returns the checked images of a solve, with batch strides of zero where one image serves all.
SolveImages checked_images(const Plan& plan, const SolveImages& images);

// r = b - A (start + e) on the unknown pixels, where start is src, or zero with rhs.
struct ResidualOptions {
  Planes r;                     // float
  const float* warm = nullptr;  // planes of e; read where the plane is valid
  const WarmPlane* warm_state = nullptr;
  Planes e;                            // e in float64, so is the arithmetic; data null: float32
  TilePartial* partials = nullptr;     // dot: largest |r|; `largest`: largest value
  const PlaneState* states = nullptr;  // an item is left alone where all its planes are done
};
void launch_poisson_residual(const Plan& plan, const SolveMemory& memory, const SolveImages& images,
                             const ResidualOptions& options, cudaStream_t stream);

// The launch that does all levels from `first` on, plan.tail or one before it.
struct TailForm {
  int first = 0;
  device::LaunchForm form;
};
// Returns the one for so many planes; `forms` says whether kernels have any.
TailForm tail_form(const Plan& plan, int planes, const Room& room, bool forms);
// Runs those levels: out = M^-1 in, or out = x of nested iteration for in.
void launch_poisson_tail(const Plan& plan, const SolveMemory& memory, const TailForm& tail,
                         bool nested, const Planes& in, const Planes& out, cudaStream_t stream);

// Where kernels tell the host which planes are done: the number of the run, which no other one has.
struct Progress {
  std::int64_t* done = nullptr;  // [planes], pinned memory of the host; null: nobody follows
  std::int64_t run = 0;
};

// Follows solves an iteration behind what is enqueued, so that the device never waits for the host
// and at most one iteration is enqueued that no plane needs.
class Follower {
 public:
  explicit Follower(std::int64_t* done) : done_(done) {}

  Progress begin(int planes);
  // Waits for the iteration before the one just enqueued. Returns whether no plane needs another.
  bool all_done(int iteration, cudaStream_t stream);

 private:
  std::int64_t* done_;
  std::int64_t run_ = 0;
  int planes_ = 0;
  std::optional<device::Event> events_[2];
};

// Solves A x = r for every plane. r is in buffer kR and is lost; x is kX plus the pending step.
struct GradientsOptions {
  double tolerance = 0, reduction = kFloatReduction;
  int max_iterations = 8;
  Room room;
};
void launch_poisson_gradients(const Plan& plan, const SolveMemory& memory,
                              const GradientsOptions& options, Follower& follower,
                              cudaStream_t stream);

}  // namespace pyharmony::poisson
