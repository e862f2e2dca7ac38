// The certificate of a solve, as in solve.cpp: with e ~ A^-1 r, |x - x*| <= |e| + |r - A e| |A^-1|
// in the maximum norm, the residuals in float64.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "device/reduce.h"
#include "device/workspace.h"
#include "ops/poisson/solve_cuda.h"

namespace pyharmony::poisson {
namespace {

// The rounds of corrections: the loops of solve.cpp with a fixed end.
constexpr int kAmplificationRounds = 6, kCertifyRounds = 3;
constexpr int kLeastIterations = 12;
constexpr double kCloseEnough = 0.05;  // |1 - A w|
constexpr double kReduction = 1e-3;    // for a solve for w

// The state of an item while it is certified.
struct ProofState {
  double bound, largest, rounding;
  int done;
};

// A tile's share of the extremes of w and of A; minima are negated.
struct ProofPartial {
  double most = 0, least = -DBL_MAX, positive = 0, excess = -DBL_MAX;
};

struct ProofLayout {
  std::int64_t states = 0, partials = 0, one = 0, w = 0, e = 0, bytes = 0;
};

ProofLayout proof_layout(const Plan& plan, int planes) {
  ProofLayout layout;
  auto take = [&](std::int64_t bytes) { return device::take(layout.bytes, bytes); };
  const Grid& g = plan.grid[0];
  const int items = std::max(planes, plan.options.items);
  layout.states = take(static_cast<std::int64_t>(sizeof(ProofState)) * items);
  layout.partials = take(static_cast<std::int64_t>(sizeof(ProofPartial)) * plan.options.items *
                         g.tiles_x * g.tiles_y);
  layout.one = take(sizeof(float));
  layout.w = take(g.plane * plan.options.items * sizeof(double));
  layout.e = take(g.plane * planes * sizeof(double));
  return layout;
}

__device__ __forceinline__ double most_of(double a, double b) { return device::Max()(a, b); }

// Returns the extremes over the block, in thread 0.
__device__ __forceinline__ ProofPartial block_extremes(const ProofPartial& own) {
  __shared__ double scratch[4][kPixelThreads / 32];
  ProofPartial all;
  all.most = device::block_reduce<kPixelThreads>(own.most, device::Max(), scratch[0]);
  all.least = device::block_reduce<kPixelThreads>(own.least, device::Max(), scratch[1]);
  all.positive = device::block_reduce<kPixelThreads>(own.positive, device::Max(), scratch[2]);
  all.excess = device::block_reduce<kPixelThreads>(own.excess, device::Max(), scratch[3]);
  return all;
}

struct AccumulateParams : FinestLevel, Solution {
  const ProofState* proofs;
  const float* whole;  // used instead of the solution
  Planes sum;          // float64
  bool first;          // sets sum = 0 before
  TilePartial* partials;
};

// Adds the solution of the solved planes to sum; finds its largest value.
__global__ void __launch_bounds__(kPixelThreads)
    poisson_accumulate_kernel(const AccumulateParams p) {
  __shared__ float maxima[kPixelThreads / 32];
  const TileThread t;
  const int item = t.item, x = t.x, channels = p.hierarchies.channels;
  if (!p.first && p.proofs[item].done) return;
  const unsigned char* memory = p.hierarchies.of_plane(item * channels);
  if (tile_count(p.grid, memory) == 0) return;
  const unsigned char* active = memory + p.active;
  float largest = 0;
  for (int c = 0; c < channels; ++c) {
    const int plane = item * channels + c;
    const PlaneState& s = p.states[plane];
    const float* from = p.x.of(plane);
    const float* direction = (s.pending % 2 == 0 ? p.even : p.odd).of(plane);
    double* sum = p.sum.doubles_of(plane);
    for (int y = t.y0; y < (t.ty + 1) * kTileHeight; y += kRowStep) {
      if (x >= p.grid.width || y >= p.grid.height) break;
      const std::int64_t at = static_cast<std::int64_t>(y) * p.grid.pitch + x;
      if (active[at] == 0) continue;
      float e = 0;
      if (p.whole != nullptr) {
        e = p.whole[plane * p.grid.plane + at];
      } else if (!s.singular) {
        e = from[at];
        if (s.pending >= 0) e += s.alpha * direction[at];
      }
      sum[at] = p.first ? e : sum[at] + e;
      largest = device::Max()(fabsf(e), largest);
    }
  }
  largest = device::block_reduce<kPixelThreads>(largest, device::Max(), maxima);
  if (threadIdx.x == 0) p.partials[tile_index(item)] = {0.0, largest, 0};
}

struct ProofParams : PlaneSums {
  ProofState* proofs;
  PlaneReport* report;  // null: w is being solved for
  int round;
  double tolerance;
};

// Finds the largest of an item's tiles: of the residual and its rounding, or of a correction.
__device__ __forceinline__ TilePartial largest_of_tiles(const ProofParams& p, int item) {
  return join_tiles<kPixelThreads>(p, p.hierarchies.of_plane(item * p.hierarchies.channels), item,
                                   device::Max());
}

__device__ __forceinline__ void begin_planes(const ProofParams& p, int item, bool done) {
  for (int c = 0; c < p.hierarchies.channels; ++c) {
    PlaneState s;
    s.contraction = kContraction;
    s.done = done;
    p.states[item * p.hierarchies.channels + c] = s;
  }
}

// Adds the size of the corrections to the bound.
__global__ void __launch_bounds__(kPixelThreads) poisson_add_bound_kernel(const ProofParams p) {
  const int item = static_cast<int>(blockIdx.x);
  if (p.proofs[item].done) return;
  const float step = largest_of_tiles(p, item).largest;
  if (threadIdx.x == 0) p.proofs[item].bound += step;
}

// Decides after a residual whether another correction is worthwhile, and updates the proven bound.
__global__ void __launch_bounds__(kPixelThreads) poisson_proof_kernel(const ProofParams p) {
  const int item = static_cast<int>(blockIdx.x);
  ProofState& proof = p.proofs[item];
  const int channels = p.hierarchies.channels;
  const ItemHeader* header =
      reinterpret_cast<const ItemHeader*>(p.hierarchies.of_plane(item * channels));
  if (p.round > 0 && proof.done) return;
  const auto [residual, size, unused] = largest_of_tiles(p, item);
  if (threadIdx.x != 0) return;
  if (p.round == 0) proof.bound = 0;
  proof.largest = residual;
  // There are fewer than 40 operations, on values of at most `size`.
  proof.rounding = 40 * DBL_EPSILON * size;
  if (p.report == nullptr) {
    proof.done = header->amplification >= 0 || (p.round > 0 && residual <= kCloseEnough);
  } else {
    const double rest = residual > 0 || residual != residual
                            ? (residual + proof.rounding) * header->amplification
                            : proof.rounding * header->amplification;
    proof.done = rest <= 0.02 * proof.bound || rest <= 0.005 * p.tolerance || residual == 0;
    for (int c = 0; c < channels; ++c) {
      PlaneReport& report = p.report[item * channels + c];
      if (p.round == 0) report.residual = residual;
      report.max_error = proof.bound + rest;
    }
  }
  begin_planes(p, item, proof.done);
}

struct AmplificationParams : FinestLevel {
  unsigned char* memory;  // the memory of the hierarchies, for writing
  Planes w;
  ProofPartial* partials;
  const ProofState* proofs;
  double excess;  // excess of each row where it is one number; else negative
};

// Finds the extremes of w, the positive entries of A beside the diagonal, and the row excess.
__global__ void __launch_bounds__(kPixelThreads) poisson_rows_kernel(const AmplificationParams p) {
  const TileThread t;
  const int item = t.item, x = t.x;
  const unsigned char* memory = p.hierarchies.of_plane(item);
  const Grid& g = p.grid;
  if (tile_count(g, memory) == 0) return;
  if (reinterpret_cast<const ItemHeader*>(memory)->amplification >= 0) return;
  const unsigned char* active = memory + p.active;
  const double* w = p.w.doubles_of(item);
  ProofPartial own;
  for (int y = t.y0; y < (t.ty + 1) * kTileHeight; y += kRowStep) {
    if (x >= g.width || y >= g.height) break;
    const std::int64_t at = static_cast<std::int64_t>(y) * g.pitch + x;
    if (active[at] == 0) continue;
    own.most = most_of(w[at], own.most);
    own.least = most_of(-w[at], own.least);
    if (g.coefficients < 0) continue;
    const float* sw = coefficient_plane(g, memory, kSW) + at;
    const float* se = sw + g.plane;
    const float* s = se + g.plane;
    const float* e = s + g.plane;
    double links = 0, weighted = 0;
    auto add = [&](float a, std::int64_t near) {
      if (!(a > 0)) return;  // A positive link joins unknowns, so w is there.
      links += a;
      weighted += a * w[near];
    };
    add(e[0], at + 1);
    add(e[-1], at - 1);
    add(s[0], at + g.pitch);
    add(s[-g.pitch], at - g.pitch);
    add(se[0], at + g.pitch + 1);
    add(se[-g.pitch - 1], at - g.pitch - 1);
    add(sw[0], at + g.pitch - 1);
    add(sw[-g.pitch + 1], at - g.pitch + 1);
    const double row = sw[kRowSum * g.plane];
    own.positive = most_of(2 * weighted * (1 + 1e-6), own.positive);
    own.excess = most_of(-(row - 2 * links - 1e-6 * (fabs(row) + links)), own.excess);
  }
  const ProofPartial all = block_extremes(own);
  if (threadIdx.x == 0) p.partials[tile_index(item)] = all;
}

// Computes a bound of |A^-1| in the maximum norm: 1 / row excess, or max w / min (C w) with w > 0
// and the comparison matrix C of A (a_ij replaced by -|a_ij|); infinite where neither is one.
__global__ void __launch_bounds__(kPixelThreads)
    poisson_amplification_kernel(const AmplificationParams p) {
  const int item = static_cast<int>(blockIdx.x);
  unsigned char* memory = p.memory + item * p.hierarchies.item_bytes;
  ItemHeader* header = reinterpret_cast<ItemHeader*>(memory);
  if (header->amplification >= 0) return;
  const int* counts = reinterpret_cast<const int*>(memory + p.grid.counts);
  const int tiles = p.grid.tiles_x * p.grid.tiles_y;
  ProofPartial own;
  for (int tile = static_cast<int>(threadIdx.x); tile < tiles; tile += kPixelThreads) {
    if (counts[tile] == 0) continue;
    const ProofPartial part = p.partials[static_cast<std::int64_t>(item) * tiles + tile];
    own.most = most_of(part.most, own.most);
    own.least = most_of(part.least, own.least);
    own.positive = most_of(part.positive, own.positive);
    own.excess = most_of(part.excess, own.excess);
  }
  const ProofPartial all = block_extremes(own);
  // Thread 0 does the last reads of a reduction, and uses the header.
  if (threadIdx.x != 0) return;
  const ProofState& proof = p.proofs[item];
  const double row = p.excess >= 0 ? p.excess : -all.excess;
  const double lowest = 1 - proof.largest - all.positive - proof.rounding;
  double best = row > 0 ? 1 / row : INFINITY;
  if (-all.least > 0 && lowest > 0) best = fmin(best, all.most / lowest);
  header->amplification = header->unknowns == 0 ? 0.0 : best;
}

__global__ void poisson_one_kernel(float* one) { *one = 1.0f; }

struct ZeroParams : FinestLevel {
  Planes w;
};

__global__ void __launch_bounds__(kPixelThreads) poisson_zero_kernel(const ZeroParams p) {
  const TileThread t;
  const int item = t.item, x = t.x;
  if (tile_count(p.grid, p.hierarchies.of_plane(item)) == 0) return;
  for (int y = t.y0; y < (t.ty + 1) * kTileHeight; y += kRowStep) {
    if (x >= p.grid.width || y >= p.grid.height) break;
    p.w.doubles_of(item)[static_cast<std::int64_t>(y) * p.grid.pitch + x] = 0;
  }
}

// Adds one correction after another to what `sum` holds, until the proofs say that it is enough.
class Proof {
 public:
  Proof(const Plan& plan, const SolveMemory& memory, const SolveImages& images, ProofState* proofs,
        const Planes& sum, PlaneReport* report, double tolerance, Follower& follower,
        cudaStream_t stream)
      : plan_(plan),
        memory_(memory),
        images_(images),
        sum_(sum),
        follower_(follower),
        stream_(stream),
        proof_{memory.sums(plan), proofs, report, 0, tolerance} {}

  void accumulate(bool first, const float* whole) {
    const AccumulateParams p = {
        memory_.finest(plan_), memory_.solution(plan_), proof_.proofs, whole, sum_, first,
        memory_.partials()};
    HM_LAUNCH(poisson_accumulate_kernel, tile_grid(plan_.grid[0], images_.count()),
              dim3(kPixelThreads), 0, stream_, p);
  }

  void run(int rounds, const GradientsOptions& gradients) {
    residual();
    for (int round = 1; round <= rounds; ++round) {
      launch_poisson_gradients(plan_, memory_, gradients, follower_, stream_);
      accumulate(false, nullptr);
      HM_LAUNCH(poisson_add_bound_kernel, dim3(static_cast<unsigned>(images_.count())),
                dim3(kPixelThreads), 0, stream_, proof_);
      proof_.round = round;
      residual();
    }
  }

 private:
  void residual() {
    ResidualOptions options;
    options.r = memory_.fine(plan_, kR);
    options.e = sum_;
    options.partials = memory_.partials();
    launch_poisson_residual(plan_, memory_, images_, options, stream_);
    HM_LAUNCH(poisson_proof_kernel, dim3(static_cast<unsigned>(images_.count())),
              dim3(kPixelThreads), 0, stream_, proof_);
  }

  const Plan& plan_;
  const SolveMemory& memory_;
  const SolveImages& images_;
  const Planes sum_;
  Follower& follower_;
  cudaStream_t stream_;
  ProofParams proof_;
};

void amplify(const Plan& plan, void* hierarchy, const SolveImages& images, void* workspace,
             unsigned char* proof_memory, const ProofLayout& layout,
             const GradientsOptions& options, Follower& follower, cudaStream_t stream) {
  const int items = plan.options.items;
  const SolveMemory memory(plan, hierarchy, items, 1, workspace);
  const Planes w = {proof_memory + layout.w, plan.grid[0].plane};
  float* one = reinterpret_cast<float*>(proof_memory + layout.one);
  HM_LAUNCH(poisson_one_kernel, dim3(1), dim3(1), 0, stream, one);
  const ZeroParams zero = {memory.finest(plan), w};
  HM_LAUNCH(poisson_zero_kernel, tile_grid(plan.grid[0], items), dim3(kPixelThreads), 0, stream,
            zero);
  SolveImages ones;
  ones.rhs = {one, DType::kFloat32, items, plan.options.height, plan.options.width, 1};
  ones.weight_map = images.weight_map;
  ProofState* proofs = reinterpret_cast<ProofState*>(proof_memory + layout.states);
  GradientsOptions gradients = options;
  gradients.reduction = kReduction;
  Proof proof(plan, memory, ones, proofs, w, nullptr, 0, follower, stream);
  proof.run(kAmplificationRounds, gradients);

  const double excess =
      plan.nine() ? -1.0 : plan.options.weight * plan.options.w0 * plan.options.w0 * (1 - 1e-6);
  const AmplificationParams p = {memory.finest(plan),
                                 static_cast<unsigned char*>(hierarchy),
                                 w,
                                 reinterpret_cast<ProofPartial*>(proof_memory + layout.partials),
                                 proofs,
                                 excess};
  HM_LAUNCH(poisson_rows_kernel, tile_grid(plan.grid[0], items), dim3(kPixelThreads), 0, stream, p);
  HM_LAUNCH(poisson_amplification_kernel, dim3(static_cast<unsigned>(items)), dim3(kPixelThreads),
            0, stream, p);
}

}  // namespace

std::size_t certify_workspace_bytes(const Plan& plan, int planes) {
  return static_cast<std::size_t>(proof_layout(plan, planes).bytes);
}

void launch_poisson_certify(const Plan& plan, void* hierarchy, const DeviceSolve& solve,
                            void* workspace, void* certify_workspace, cudaStream_t stream) {
  HM_CHECK(hierarchy != nullptr && workspace != nullptr && certify_workspace != nullptr,
           "memory or workspace: missing");
  const SolveImages images = checked_images(plan, solve.images);
  const int channels = images.channels(), planes = device_planes(images.count(), channels);
  const SolveMemory memory(plan, hierarchy, planes, channels, workspace);
  const ProofLayout layout = proof_layout(plan, planes);
  unsigned char* proof_memory = static_cast<unsigned char*>(certify_workspace);
  GradientsOptions gradients;
  gradients.max_iterations =
      std::min(std::max(solve.max_iterations, kLeastIterations), kMaxDeviceIterations);
  gradients.room = solve.room;

  const Planes e = {proof_memory + layout.e, plan.grid[0].plane};
  Follower follower(solve.done);
  Proof proof(plan, memory, images, reinterpret_cast<ProofState*>(proof_memory + layout.states), e,
              solve.report, solve.tolerance, follower, stream);
  // This comes before the workspace is used for w.
  proof.accumulate(true, solve.warm == nullptr ? nullptr : warm_planes(solve.warm, planes));
  amplify(plan, hierarchy, images, workspace, proof_memory, layout, gradients, follower, stream);
  proof.run(kCertifyRounds, gradients);
}

}  // namespace pyharmony::poisson
