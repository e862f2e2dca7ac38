// Cell-centred multigrid on a device: full multigrid, then V(2,2) cycles; see multigrid_grids.h.
//
// On large grids a warp owns a strip of 120 columns and a segment of rows and marches down them;
// lane l holds four columns. Start, two steps of the smoother and the residual follow each other
// one row apart in registers, and neighbours come by shuffle. So a sweep reads and writes each
// array once and needs neither shared memory nor a barrier. One launch does all grids that fit into
// shared memory together, with one block per plane.
//
// A plane is a channel of an image of the batch. Norms are maxima, collected by atomics on the bits
// of the magnitudes, so any order gives the same result. A kernel of a cycle reads the norms of the
// cycle before and returns where they say that the image is done.
#include <algorithm>
#include <cmath>

#include "core/status.h"
#include "device/workspace.h"
#include "ops/gaussian_poisson/dct.h"
#include "ops/gaussian_poisson/multigrid_answer.cuh"
#include "ops/gaussian_poisson/multigrid_coarse.cuh"
#include "ops/gaussian_poisson/multigrid_rhs.cuh"
#include "ops/gaussian_poisson/multigrid_sweep.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

GridAxis grid_axis(const Axis& fine, const Axis& coarse, bool last) {
  GridAxis a;
  const std::int64_t n = fine.count, m = last ? 0 : fine.coarse_count;
  a.count = static_cast<int>(n);
  a.coarse_count = static_cast<int>(m);
  a.size = static_cast<float>(fine.size);
  a.last_size = static_cast<float>(fine.last_size);
  a.link = static_cast<float>(1.0 / fine.size);
  a.last_link = fine.link(n - 1);
  a.even_last = last ? 0.0f : even_share(fine, coarse, m - 1);
  a.odd_last = last ? 0.0f : odd_share(fine, coarse, m - 2);
  return a;
}

struct Plan : Workspace {
  Level levels[kMaxLevels];
  int count = 0, first_coarse = 0;  // number of grids; the first that is in shared memory
  Axis last_y, last_x;
  std::int64_t planes = 0;
  int group = 0, groups = 0;  // for the right-hand side's kernel
  dim3 rhs_grid;
  std::size_t bytes = 0;
};

int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

Plan make_plan(const MultigridCudaParams& params) {
  Plan plan;
  const ImageBatch& out = params.out;
  plan.planes = std::int64_t(out.count) * out.channels;
  Axis y = pixel_axis(out.height), x = pixel_axis(out.width);
  for (;;) {
    Level& level = plan.levels[plan.count++];
    const bool last = y.count <= kDirect && x.count <= kDirect;
    const Axis coarse_y = last ? y : coarsen(y), coarse_x = last ? x : coarsen(x);
    level.y = grid_axis(y, coarse_y, last);
    level.x = grid_axis(x, coarse_x, last);
    level.pitch = round_up(level.x.count, kLanes);
    level.plane = std::int64_t(level.y.count) * level.pitch;
    if (last) break;
    y = coarse_y;
    x = coarse_x;
  }
  plan.last_y = y;
  plan.last_x = x;
  // The finest grid has an operator of its own: it is in shared memory only where nothing but the
  // direct solve remains.
  std::int64_t cells = 0;
  plan.first_coarse = plan.count;
  while (plan.first_coarse > (plan.count > 1 ? 1 : 0) &&
         plan.count - plan.first_coarse < kMaxCoarse) {
    cells += plan.levels[plan.first_coarse - 1].cells();
    if (cells > kCoarseCells) break;
    --plan.first_coarse;
  }
  for (int l = 0; l < plan.first_coarse; ++l) {
    Level& level = plan.levels[l];
    level.strips = std::max(1, (level.x.count + kStrip - 2) / kStrip);
    for (level.rows = kLongestSegment;; level.rows /= 2) {
      level.segments = std::max(1, (level.y.count + level.rows - 2) / level.rows);
      if (level.rows == kShortestSegment ||
          plan.planes * level.strips * level.segments >= kWantedWarps) {
        break;
      }
    }
  }
  plan.group = std::min(out.channels, kTileChannels);
  plan.groups = (out.channels + plan.group - 1) / plan.group;
  const int tiles_x = (out.width + kTileWidth - 1) / kTileWidth;
  const int tiles_y = (out.height + kTileHeight - 1) / kTileHeight;
  HM_CHECK(tiles_y <= 65535, "out: height ", out.height, ", expected at most ",
           65535 * kTileHeight);
  plan.rhs_grid = dim3(tiles_x, tiles_y, out.count * plan.groups);
  plan.blocks = static_cast<int>(plan.rhs_grid.x * plan.rhs_grid.y);
  plan.answer_blocks = plan.first_coarse > 0 ? plan.levels[0].strips * plan.levels[0].segments : 1;

  char* const memory = static_cast<char*>(params.workspace);
  auto take = [&](auto*& pointer, std::int64_t count) {
    using T = std::remove_reference_t<decltype(*pointer)>;
    pointer = reinterpret_cast<T*>(memory + device::take(plan.bytes, count * sizeof(T)));
  };
  for (int l = 0; l <= std::min(plan.first_coarse, plan.count - 1); ++l) {
    Level& level = plan.levels[l];
    take(level.rhs, plan.planes * level.plane);
    take(level.solution, plan.planes * level.plane);
    if (l < plan.first_coarse) take(level.other, plan.planes * level.plane);
  }
  take(plan.norms, std::int64_t(out.count) * multigrid_cycles(params));
  take(plan.images, out.count);
  take(plan.sums, plan.planes * plan.blocks);
  take(plan.sizes, plan.planes * plan.blocks);
  take(plan.answer_sums, plan.planes * plan.answer_blocks);
  take(plan.shift, plan.planes);
  return plan;
}

// Solves L v = value M v of one axis, v^T M v = 1, by Jacobi's rotations. The constants, whose
// value is zero, come first.
struct Spectrum {
  int count = 0;
  double value[kDirect] = {}, vector[kDirect][kDirect] = {};  // vector[cell][index]
};

Spectrum spectrum_of(const Axis& axis) {
  Spectrum s;
  const int n = s.count = static_cast<int>(axis.count);
  double a[kDirect][kDirect] = {}, v[kDirect][kDirect] = {}, scale[kDirect];
  for (int i = 0; i < n; ++i) scale[i] = 1 / std::sqrt(axis.width(i));
  for (int i = 0; i < n; ++i) {
    v[i][i] = 1;
    a[i][i] = (static_cast<double>(axis.link(i)) + axis.link(i + 1)) * scale[i] * scale[i];
    if (i > 0) a[i][i - 1] = a[i - 1][i] = -axis.link(i) * scale[i] * scale[i - 1];
  }
  for (int sweep = 0; sweep < 30; ++sweep) {
    double off = 0;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) {
        off = std::max(off, std::abs(a[p][q]));
        if (std::abs(a[p][q]) < 1e-18 * std::abs(a[0][0])) continue;
        const double t = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double tangent = (t >= 0 ? 1 : -1) / (std::abs(t) + std::sqrt(t * t + 1));
        const double c = 1 / std::sqrt(tangent * tangent + 1), sine = tangent * c;
        const auto rotate = [&](double& x, double& y) {
          const double before = x;
          x = c * before - sine * y;
          y = sine * before + c * y;
        };
        for (int k = 0; k < n; ++k) rotate(a[k][p], a[k][q]);
        for (int k = 0; k < n; ++k) rotate(a[p][k], a[q][k]);
        for (int k = 0; k < n; ++k) rotate(v[k][p], v[k][q]);
      }
    }
    if (off == 0) break;
  }
  int constant = 0;
  for (int i = 1; i < n; ++i) constant = a[i][i] < a[constant][constant] ? i : constant;
  for (int i = 0; i < n; ++i) {
    const int from = i == 0 ? constant : i == constant ? 0 : i;
    s.value[i] = i == 0 ? 0.0 : a[from][from];
    for (int k = 0; k < n; ++k) s.vector[k][i] = v[k][from] * scale[k];
  }
  return s;
}

Problem scalars(const MultigridCudaParams& params) {
  Problem problem;
  problem.weight = params.weight;
  problem.w0 = params.w0;
  problem.w1 = params.w1;
  return problem;
}

double gain_of(const MultigridCudaParams& params) {
  const double sum = params.w0 + 2 * params.w1;
  return params.weight * sum * sum;
}

void fill_direct(CoarseParams& coarse, const MultigridCudaParams& params, const Plan& plan) {
  const Spectrum y = spectrum_of(plan.last_y), x = spectrum_of(plan.last_x);
  const double sum = params.w0 + 2 * params.w1;
  for (int i = 0; i < y.count; ++i) {
    for (int j = 0; j < x.count; ++j) {
      double value = y.value[i] + x.value[j];
      // On the finest grid G has the same vectors: it is w0 + 2 w1 - w1 L along each axis.
      value += plan.count > 1 ? gain_of(params)
                              : params.weight * (sum - params.w1 * y.value[i]) *
                                    (sum - params.w1 * x.value[j]);
      const bool constant = i == 0 && j == 0 && params.weight == 0;
      coarse.inverse[i * kDirect + j] = constant ? 0.0f : static_cast<float>(1 / value);
    }
  }
  for (int k = 0; k < kDirect; ++k) {
    for (int i = 0; i < kDirect; ++i) {
      coarse.vectors_y[k * kDirect + i] = static_cast<float>(y.vector[k][i]);
      coarse.vectors_x[k * kDirect + i] = static_cast<float>(x.vector[k][i]);
    }
  }
}

bool is_integer(DType dtype) { return dtype == DType::kUInt8 || dtype == DType::kUInt16; }

StopRule stop_rule(const MultigridCudaParams& params) {
  // Unit roundoff times the magnitude of values, counted along the evaluation. A x and the
  // difference from b cost 46 + 16. In b an edge costs 26, or 7 where differences are exact and of
  // one sign; their sum costs 16, or 8.
  constexpr double kUnit = 1.0 / (1 << 24);
  const bool exact = is_integer(params.src.dtype) && is_integer(params.dst.dtype) &&
                     params.src.dtype == params.dst.dtype;
  const double excess = row_excess(scalars(params));
  StopRule rule;
  rule.tolerance = static_cast<float>(params.tolerance);
  rule.inverse_excess = excess > 0 ? static_cast<float>(1 / excess) : 0.0f;
  rule.x_rounding = static_cast<float>(kUnit * (62 + 16 * params.weight));
  rule.image_rounding = params.rhs.exists()
                            ? 0.0f
                            : static_cast<float>(kUnit * ((exact ? 36 : 120) + 3 * params.weight));
  rule.certified = params.weight >= 0.02 && excess > 0;
  return rule;
}

template <bool kFinest, bool kDown, bool kZero>
void launch_sweep(const SweepParams& p, cudaStream_t stream) {
  const unsigned blocks = static_cast<unsigned>((p.warps + kSweepWarps - 1) / kSweepWarps);
  HM_LAUNCH((gaussian_poisson_multigrid_sweep_kernel<kFinest, kDown, kZero>), dim3(blocks),
            dim3(kSweepWarps * 32), 0, stream, p);
}

class Solve {
 public:
  Solve(const MultigridCudaParams& params, cudaStream_t stream)
      : params_(params), plan_(make_plan(params)), stream_(stream) {
    const double weight = params.weight, w0 = params.w0, w1 = params.w1;
    a_.gain = static_cast<float>(gain_of(params));
    a_.edge = static_cast<float>(1 - weight * w0 * w1);
    a_.corner = static_cast<float>(-weight * w1 * w1);
    a_.both = static_cast<float>(1 - weight * w0 * w1 - 2 * weight * w1 * w1);
    a_.weight = static_cast<float>(weight);
    a_.w0 = static_cast<float>(w0);
    a_.w1 = static_cast<float>(w1);
    cycle_.index = -1;
    cycle_.per_image = multigrid_cycles(params);
    cycle_.norms = plan_.norms;
    cycle_.images = plan_.images;
    cycle_.rule = stop_rule(params);
    prepare_coarse();
  }

  void run() {
    form_rhs();
    for (int l = 1; l < plan_.first_coarse;) l = restrict_rhs(l);
    coarse(true);
    for (int l = plan_.first_coarse - 1; l >= 1; --l) {
      v_cycle(l, nullptr, plan_.levels[l + 1].solution);
    }
    for (int i = 0; i < cycle_.per_image && plan_.count > 1; ++i) {
      cycle_.index = i;
      const Level& finest = plan_.levels[0];
      v_cycle(0, i > 0 ? finest.solution : nullptr, i > 0 ? nullptr : plan_.levels[1].solution);
    }
    finish();
  }

 private:
  void form_rhs() {
    const RhsParams p = {params_,         plan_,        plan_.levels[0],
                         plan_.levels[1], a_.weight,    params_.out.channels,
                         plan_.group,     plan_.groups, cycle_.per_image};
    const std::size_t bytes = tile_bytes(plan_.group);
    HM_MAX_DYN_SMEM((gaussian_poisson_multigrid_rhs_kernel), kMostTileBytes);
    HM_LAUNCH((gaussian_poisson_multigrid_rhs_kernel), plan_.rhs_grid, dim3(kTileThreads), bytes,
              stream_, p);
  }

  // Forms right-hand sides from grid l down and returns the grid that it reached.
  int restrict_rhs(int l) {
    const bool two = l + 2 <= plan_.first_coarse;
    const Level& last = plan_.levels[two ? l + 2 : l + 1];
    const RestrictParams p = {plan_.levels[l], plan_.levels[l + 1], last, two,
                              static_cast<int>(plan_.planes)};
    const std::int64_t blocks = (last.cells() * plan_.planes + 255) / 256;
    HM_LAUNCH((gaussian_poisson_multigrid_restrict_kernel), dim3(static_cast<unsigned>(blocks)),
              dim3(256), 0, stream_, p);
    return two ? l + 2 : l + 1;
  }

  void prepare_coarse() {
    CoarseParams& p = coarse_;
    const Level& top = plan_.levels[plan_.first_coarse];
    p.levels = plan_.count - plan_.first_coarse;
    p.cells = 0;
    for (int l = 0; l < p.levels; ++l) {
      const Level& level = plan_.levels[plan_.first_coarse + l];
      p.y[l] = level.y;
      p.x[l] = level.x;
      p.offset[l] = p.cells;
      p.cells += static_cast<int>(level.cells());
    }
    fill_direct(p, params_, plan_);
    static_cast<Workspace&>(p) = plan_;
    p.top = top;
    p.channels = params_.out.channels;
    p.alone = plan_.count == 1;
    p.gain = a_.gain;
    const std::size_t scratch =
        std::max<std::size_t>(2 * kDirect * kDirect, static_cast<std::size_t>(top.cells()));
    coarse_bytes_ = sizeof(float) * (2 * static_cast<std::size_t>(p.cells) + scratch);
    HM_CHECK(coarse_bytes_ <= kMostCoarseBytes, "out: coarse grids of ", coarse_bytes_,
             " bytes, expected at most ", kMostCoarseBytes);
    HM_MAX_DYN_SMEM((gaussian_poisson_multigrid_coarse_kernel), kMostCoarseBytes);
  }

  void coarse(bool full) {
    coarse_.full = full;
    coarse_.cycle = cycle_;
    HM_LAUNCH((gaussian_poisson_multigrid_coarse_kernel), dim3(static_cast<unsigned>(plan_.planes)),
              dim3(kCoarseThreads), coarse_bytes_, stream_, coarse_);
  }

  // Runs V(2,2) from in + interpolate(coarse), one of which may be null, into the grid's solution.
  void v_cycle(int top, const float* in, const float* coarse_solution) {
    for (int l = top; l < plan_.first_coarse; ++l) {
      SweepParams p = sweep(l);
      if (l > top) {
        launch_sweep<false, true, true>(p, stream_);
        continue;
      }
      p.in = in;
      p.coarse = coarse_solution;
      p.out = plan_.levels[l].other;
      l == 0 ? launch_sweep<true, true, false>(p, stream_)
             : launch_sweep<false, true, false>(p, stream_);
    }
    coarse(false);
    for (int l = plan_.first_coarse - 1; l >= top; --l) {
      SweepParams p = sweep(l);
      p.coarse = plan_.levels[l + 1].solution;
      p.out = plan_.levels[l].solution;
      if (l > top) {
        launch_sweep<false, false, true>(p, stream_);
        continue;
      }
      p.in = plan_.levels[l].other;
      l == 0 ? launch_sweep<true, false, false>(p, stream_)
             : launch_sweep<false, false, false>(p, stream_);
    }
  }

  SweepParams sweep(int l) const {
    const Level& level = plan_.levels[l];
    SweepParams p{};
    static_cast<Level&>(p) = level;
    p.next = plan_.levels[l + 1];
    p.sums = plan_.answer_sums;
    p.channels = params_.out.channels;
    p.warps = plan_.planes * level.strips * level.segments;
    const double links = 4, gain = gain_of(params_);
    const double size = l == 0 ? 1.0 : level.y.size;
    p.inverse = static_cast<float>(
        1 / (links + (l == 0 ? params_.weight * params_.w0 * params_.w0 : gain * size * size)));
    p.a = a_;
    p.cycle = cycle_;
    return p;
  }

  void finish() {
    const ImageBatch& out = params_.out;
    const MeanParams mean = {plan_, static_cast<double>(out.height) * out.width,
                             mean_divisor(scalars(params_), params_.rhs.exists())};
    HM_LAUNCH((gaussian_poisson_multigrid_mean_kernel), dim3(static_cast<unsigned>(plan_.planes)),
              dim3(kMeanThreads), 0, stream_, mean);
    const double excess = row_excess(scalars(params_));
    const StoreParams p = {plan_.levels[0],
                           plan_.shift,
                           out,
                           cycle_.per_image,
                           gain_of(params_),
                           excess > 0 ? 1 / excess : 0,
                           static_cast<MultigridReport*>(params_.report),
                           cycle_};
    const std::int64_t elements = std::int64_t(out.width) * out.channels;
    const dim3 grid(static_cast<unsigned>((elements + kStoreThreads * kStoreEach - 1) /
                                          (kStoreThreads * kStoreEach)),
                    static_cast<unsigned>(std::min(out.height, 65535)),
                    static_cast<unsigned>(out.count));
    HM_LAUNCH((gaussian_poisson_multigrid_store_kernel), grid, dim3(kStoreThreads), 0, stream_, p);
  }

  const MultigridCudaParams& params_;
  const Plan plan_;
  const cudaStream_t stream_;
  Operator a_;
  Cycle cycle_;
  CoarseParams coarse_ = {};
  std::size_t coarse_bytes_ = 0;
};

void check_shape(const ImageBatch& image, const char* name, const ImageBatch& out, int channels) {
  device::check_image_shape(image, name, out.count, out.height, out.width, channels);
}

}  // namespace

void check_multigrid(const MultigridCudaParams& params) {
  const ImageBatch& out = params.out;
  HM_CHECK(out.exists(), "out: no data");
  HM_CHECK(out.dtype != DType::kBool, "out: dtype bool is not an image type");
  HM_CHECK(std::int64_t(out.count) * out.channels <= 65535, "out: ", out.count, " images of ",
           out.channels, " channels, expected at most 65535 together");
  HM_CHECK(std::int64_t(out.width) * out.channels < (std::int64_t(1) << 31), "out: rows of ",
           out.width, " x ", out.channels, " values, expected less than 2^31");
  if (params.rhs.exists()) {
    HM_CHECK(params.rhs.dtype == DType::kFloat32, "rhs: dtype ", dtype_name(params.rhs.dtype),
             ", expected float32");
    check_shape(params.rhs, "rhs", out, out.channels);
  } else {
    const struct {
      const ImageBatch& image;
      const char* name;
    } images[] = {{params.src, "src"}, {params.dst, "dst"}, {params.base, "base"}};
    for (const auto& i : images) {
      HM_CHECK(i.image.dtype != DType::kBool, i.name, ": dtype bool is not an image type");
      check_shape(i.image, i.name, out, out.channels);
    }
    check_shape(params.mask, "mask", out, 1);
  }
  HM_CHECK(std::int64_t(out.height) * (out.width + kLanes) < (std::int64_t(1) << 31),
           "out: ", out.height, " x ", out.width, " pixels, expected less than 2^31");
  HM_CHECK(params.weight >= 0 && std::isfinite(params.weight), "weight: ", params.weight,
           ", expected at least 0");
  HM_CHECK(params.tolerance > 0, "tolerance: ", params.tolerance, ", expected a positive number");
  HM_CHECK(params.max_cycles >= 0 && params.max_cycles <= kMultigridMaxCycles,
           "max_cycles: ", params.max_cycles, ", expected 0 to ", kMultigridMaxCycles);
}

int multigrid_cycles(const MultigridCudaParams& params) {
  if (params.max_cycles > 0) return params.max_cycles;
  // The first approximation is off by less than the range of the values (which is unknown for a
  // given right-hand side); a certified stop asks for more.
  if (params.rhs.exists()) return 10;
  const double wanted =
      std::log(dtype_range(params.dst.dtype) / params.tolerance) / -std::log(kCycleFactor);
  const int certified = stop_rule(params).certified ? 2 : 0;
  return std::clamp(static_cast<int>(std::ceil(wanted)) + 1 + certified, 2, 12);
}

std::size_t gaussian_poisson_multigrid_workspace(const MultigridCudaParams& params) {
  check_multigrid(params);
  return make_plan(params).bytes;
}

void launch_gaussian_poisson_multigrid(const MultigridCudaParams& params, cudaStream_t stream) {
  check_multigrid(params);
  HM_CHECK(
      params.workspace != nullptr && reinterpret_cast<std::uintptr_t>(params.workspace) % 256 == 0,
      "workspace: not aligned to 256 bytes");
  HM_CHECK(params.report != nullptr, "report: no memory");
  Solve solve(params, stream);
  const std::size_t needed = gaussian_poisson_multigrid_workspace(params);
  HM_CHECK(params.workspace_bytes >= needed, "workspace: ", params.workspace_bytes,
           " bytes, expected at least ", needed);
  solve.run();
}

}  // namespace pyharmony::gaussian_poisson
