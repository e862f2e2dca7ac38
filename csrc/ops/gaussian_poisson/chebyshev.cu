// The Chebyshev iteration on a device: right-hand side, all steps, measure and rounding while the
// image streams through registers once.
//
// A warp owns a strip of columns of one channel, N columns a lane, and marches down a segment of
// rows. The state is the correction e = x - x0 of the start x0 (base, or dst at known pixels):
// e_0 = 0, so the first step is a multiple of r0 = b - A x0, and known pixels stay zero. Each
// level (step) follows one row behind the level before it, so a level keeps its last two rows, in
// registers; r0 and x0 of the rows under way are in the lane's own shared memory. Neighbours left
// and right are in registers but for the ends of a lane's run of columns, for which
// t = x + rho (up + down) is exchanged: two shuffles a level and row.
//
// A tile computes as many pixels beyond its sides and ends redundantly as there are stencils one
// after another. Loads beyond the image are mirrored, and the equation continues by mirroring, so
// the sweeps have no borders. Mirrored pixels get mirrored bits: sums are of pairs.
//
// With y_k = e_k / alpha_k, alpha_k = momentum_k alpha_(k-2), a step is
//   y_k = q (kappa y + up + down + t_left + t_right + inverse r0) - y_(k-2)
// for A e = c1 (c0 / c1 e + up + down + t_left + t_right), rho = c2 / c1; alpha is one at the end.
// Where c1 is near zero, and with a map of weights, the steps are those of A itself.
//
// Known pixels carry r0 = NaN.
#include <algorithm>
#include <cmath>

#include "core/status.h"
#include "device/workspace.h"
#include "ops/gaussian_poisson/chebyshev_decide.cuh"
#include "ops/gaussian_poisson/chebyshev_march.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

constexpr int kLane = 4;                         // columns of a lane
constexpr std::size_t kBlockBytes = 64 << 10;    // shared memory that every device has
constexpr std::size_t kReservedBytes = 1 << 10;  // part of it that the system takes for each block
constexpr int kMostWarps = 4;                    // warps of a block
// With 255 registers a thread, a multiprocessor of any device holds this many warps.
constexpr int kWarpsAtOnce = 8;
// Bytes of the state between passes. A larger one is done in turns of items and channels, which are
// independent; each turn costs some launches, which is little beside a state of this size.
constexpr std::int64_t kStateBytes = 256 << 20;

bool is_image(DType dtype) {
  return dtype == DType::kUInt8 || dtype == DType::kUInt16 || is_float(dtype);
}

void check_image(const ImageBatch& image, const char* name, const ChebyshevDeviceParams& params,
                 bool half = false) {
  const ImageBatch& out = params.out;
  const int h = half ? (out.height + 1) / 2 : out.height,
            w = half ? (out.width + 1) / 2 : out.width;
  HM_CHECK(image.exists(), name, ": missing");
  HM_CHECK(is_image(image.dtype), name, ": dtype ", dtype_name(image.dtype),
           ", expected uint8, uint16, float16 or float32");
  device::check_image_shape(image, name, out.count, h, w, out.channels);
}

void check_plane(const ImageBatch& plane, const char* name, const ChebyshevDeviceParams& params) {
  const ImageBatch& out = params.out;
  HM_CHECK(plane.count == out.count && plane.height == out.height && plane.width == out.width, name,
           ": shape [", plane.count, ", ", plane.height, ", ", plane.width, "], expected [",
           out.count, ", ", out.height, ", ", out.width, "]");
}

void check(const ChebyshevDeviceParams& params) {
  HM_CHECK(params.out.exists(), "out: missing");
  check_image(params.out, "out", params);
  if (params.rhs.exists()) {
    HM_CHECK(params.rhs.dtype == DType::kFloat32, "rhs: dtype ", dtype_name(params.rhs.dtype),
             ", expected float32");
    check_image(params.rhs, "rhs", params);
  } else {
    check_image(params.src, "src", params);
    check_image(params.dst, "dst", params);
    check_image(params.base, "base", params, params.half_base);
  }
  if (!params.rhs.exists() || params.preserve_background) {
    HM_CHECK(params.mask.exists(), "mask: missing");
    HM_CHECK(params.mask.dtype != DType::kFloat64,
             "mask: dtype float64, expected bool, uint8, uint16, float16 or float32");
    check_plane(params.mask, "mask", params);
  }
  if (params.weight_map.exists()) {
    HM_CHECK(params.weight_map.dtype == DType::kFloat32, "weight_map: dtype ",
             dtype_name(params.weight_map.dtype), ", expected float32");
    check_plane(params.weight_map, "weight_map", params);
    HM_CHECK(params.least_weight > 0 && params.least_weight <= params.most_weight &&
                 params.most_weight <= 1e6,
             "weight_map: values from ", params.least_weight, " to ", params.most_weight,
             ", expected more than 0 and at most 1e6");
  } else {
    HM_CHECK(params.weight > 0 && params.weight <= 1e6, "weight: ", params.weight,
             ", expected more than 0 and at most 1e6");
  }
  HM_CHECK(params.w0 > 0 && params.w1 >= 0 && params.w0 + 2 * params.w1 < 1 + 1e-9,
           "w0, w1: ", params.w0, ", ", params.w1, ", expected taps of a Gaussian");
  HM_CHECK(params.tolerance > 0, "tolerance: ", params.tolerance, ", expected more than 0");
  HM_CHECK(params.range > 0 && std::isfinite(params.range), "range: ", params.range,
           ", expected more than 0");
  HM_CHECK(params.max_steps >= 1, "max_steps: ", params.max_steps, ", expected at least 1");
  HM_CHECK(params.state_bytes >= 0, "state_bytes: ", params.state_bytes, ", expected at least 0");
  HM_CHECK(params.processors >= 1, "processors: ", params.processors, ", expected at least 1");
  HM_CHECK(params.first_run >= 0 && params.first_run <= params.last_run &&
               params.last_run <= kChebyshevRepeats,
           "first_run, last_run: ", params.first_run, ", ", params.last_run, ", expected 0 to ",
           kChebyshevRepeats);
}

// The tiles that an image is cut into for a run.
struct Cut : Tiling {
  int levels;  // levels of the kernel
  int warps;
  int tasks_per_item;
  int at_once;  // blocks on a multiprocessor
  std::size_t warp_floats;
};

struct Prepared : Setup {
  bool map;
  int passes, most_passes;  // passes of the first run; most of the others, 0 where there are none
  Cut first, repeat;
  // These are offsets in the workspace.
  std::size_t control, table, measures, bytes;
  std::int64_t pitch, plane;  // strides of the state; 0: there is none
  // The arrays [items, channels, plane] of the state: two for what a pass leaves to the next one,
  // and two more where a pass in the middle reads and writes.
  int arrays;
  // The state has room for this many items and channels at once; one of the two is one.
  int items, channels;
};

template <int K, bool kMap, bool kShared>
void cut_levels(Cut& cut) {
  cut.levels = K;
  cut.warp_floats = March<K, kLane, kMap, kShared>::kFloats;
}

// Returns the cut for launches of this many items and channels.
Cut make_cut(const ChebyshevDeviceParams& params, bool map, bool repeat, int most_levels, int items,
             int channels) {
  Cut cut{};
  if (map) {
    cut_levels<kMapLevels, true, true>(cut);
  } else if (!repeat && most_levels <= kFewLevels) {
    cut_levels<kFewLevels, false, false>(cut);
  } else if (!repeat) {
    cut_levels<kMoreLevels, false, false>(cut);
  } else {
    cut_levels<kRepeatLevels, false, true>(cut);
  }
  const int columns = 32 * kLane, halo = std::min(most_levels, cut.levels) + 2;
  cut.pad = (halo + kLane - 1) / kLane * kLane;
  cut.strip_columns = (columns - cut.pad - halo) / kLane * kLane;
  const int width = params.out.width, height = params.out.height, c = channels,
            processors = params.processors;
  cut.strips = (width + cut.strip_columns - 1) / cut.strip_columns;
  const int even = (width + cut.strips - 1) / cut.strips;
  cut.strip_columns = (even + kLane - 1) / kLane * kLane;
  cut.strips = (width + cut.strip_columns - 1) / cut.strip_columns;

  // All warps that a multiprocessor holds go through a row in the time of one, as there is not
  // enough work while one waits: time is waves of blocks times rows. Rows around a segment cost
  // half on average. The channels of a strip share what they load, so a large block is better than
  // a small one, but not better than more warps at once.
  const double across = double(cut.strips) * c * items;
  constexpr double kMostWaves = 32;
  double best = 0;
  const int most = std::max(1, height / 8);
  for (int segments = 1; segments <= most; ++segments) {
    const int rows = (height + segments - 1) / segments;
    double fewest = 0;
    for (int warps = kMostWarps; warps >= 1; --warps) {
      const std::size_t bytes = warps * cut.warp_floats * sizeof(float);
      if (warps > 1 && bytes > kBlockBytes) continue;
      const int at_once = std::max(
          1, std::min(kWarpsAtOnce / warps,
                      static_cast<int>(params.shared_per_processor / (bytes + kReservedBytes))));
      const double blocks = std::ceil(across * segments / warps);
      const double waves = std::ceil(blocks / (double(at_once) * processors));
      const double time = (rows + 1.5 * halo) * waves;
      if (fewest == 0 || waves < fewest) fewest = waves;
      if (best == 0 || time < best) {
        best = time;
        cut.segment_rows = rows;
        cut.warps = warps;
        cut.at_once = at_once;
      }
    }
    if (fewest > kMostWaves) break;
  }
  if (params.segment_rows > 0) cut.segment_rows = std::min(params.segment_rows, height);
  cut.segments = (height + cut.segment_rows - 1) / cut.segment_rows;
  const double tasks = double(cut.strips) * cut.segments * params.out.channels * params.out.count;
  HM_CHECK(tasks < 2e9, "out: ", tasks, " tiles are more than one launch has");
  cut.tasks_per_item = cut.strips * params.out.channels * cut.segments;
  return cut;
}

Prepared prepare(const ChebyshevDeviceParams& params) {
  check(params);
  Prepared out{};
  Problem problem;  // has no data
  problem.w0 = params.w0;
  problem.w1 = params.w1;
  problem.weight = params.weight;
  problem.src.dtype = params.src.dtype;
  problem.dst.dtype = params.dst.dtype;
  problem.mask.height = params.out.height;
  problem.mask.width = params.out.width;
  problem.dst.channels = problem.rhs.channels = params.out.channels;
  if (params.rhs.exists()) problem.rhs.data = params.rhs.data;
  out.entries = {4 + params.weight * params.w0 * params.w0,
                 params.weight * params.w0 * params.w1 - 1, params.weight * params.w1 * params.w1};
  const bool has_map = params.weight_map.exists();
  // Where rows have no excess, another measure is needed, which the kernel of maps has.
  const double edges = params.weight * params.w0 * params.w1 - 1;
  const bool excess = (params.w0 + 2 * params.w1) * (params.w0 + 2 * params.w1) * params.weight -
                          8 * params.w1 * params.w1 * params.weight >
                      8 * std::max(0.0, edges);
  out.map = has_map || !excess || std::abs(out.entries.c1) < kLeastC1;
  if (has_map) problem.weight_map.data = params.out.data;  // marks a map, is not read
  out.op = analyse(problem, has_map ? params.least_weight : params.weight,
                   has_map ? params.most_weight : params.weight);
  // The residual then rounds as in the kernel of maps, whether there is a map or not.
  if (out.map) problem.weight_map.data = params.out.data;
  out.facts = facts_of(problem);
  out.facts.correction = !params.rhs.exists();

  const bool rhs = params.rhs.exists();
  const double range =
      rhs || is_float(params.dst.dtype) ? params.range : dtype_range(params.dst.dtype);
  out.start = rhs ? start_of_rhs(out.op, params.range) : photograph(out.op, range);
  ChebyshevMeasure nominal;
  if (!rhs) nominal.image_high = nominal.largest_base = nominal.largest_start = range;
  const double rounding = certify(out.facts, out.op, damping_of(out.op), nominal).floor;
  const double limit = std::max(params.tolerance - rounding, params.tolerance / 4);
  out.plan = make_plan(out.op, out.start, limit, 1, params.max_steps);
  out.bound = out.start.bound(out.op, out.plan);
  out.reduction = reduction(out.op, out.plan).upper;

  // This is the worst that images of this range can ask for; floats may go beyond it.
  double worst = rhs ? 4 * params.range
                     : (is_float(params.dst.dtype) || is_float(params.src.dtype) ? 4 : 1) * range *
                           (8 + 2 * out.op.largest_weight);
  worst /= out.op.excess > 0 ? out.op.excess : out.op.low;
  const Plan last = make_plan(out.op, {worst, worst}, kSafety * limit,
                              std::min(out.plan.steps, params.max_steps), params.max_steps);
  constexpr double kWider[] = {1, 1.25, 1.75, 2.5};
  const double widest = std::max(1.0, 0.5 * (out.op.high + out.op.low) / out.op.low);
  constexpr int kCounts = kMostPlans / 4;
  const int above = last.steps - out.plan.steps;
  int steps = out.plan.steps;
  for (int i = 1; i <= kCounts && steps < last.steps; ++i) {
    // The counts grow geometrically, by at least one, and end with the last one.
    const int wanted = i == kCounts || above <= kCounts
                           ? std::min(last.steps, i == kCounts ? last.steps : steps + 1)
                           : static_cast<int>(std::lround(
                                 out.plan.steps * std::pow(double(last.steps) / out.plan.steps,
                                                           double(i) / kCounts)));
    steps = std::max(wanted, steps + 1);
    for (int k = 3; k >= 0; --k) {
      const Plan plan{steps, out.op.low * std::min(widest, kWider[k])};
      const Reduction r = reduction(out.op, plan);
      // They are rounded up because they are bounds.
      out.candidate[out.candidates++] = {steps, static_cast<float>(plan.low),
                                         static_cast<float>(r.upper * (1 + 1e-6)),
                                         static_cast<float>(r.lowest * (1 + 1e-6))};
    }
  }

  const int capacity = out.map ? kMapLevels : kRepeatLevels;
  out.passes = pass_count(out.plan.steps, out.map ? kMapLevels : kMoreLevels);
  if (out.candidates > 0) out.most_passes = pass_count(steps, capacity);
  out.items = params.out.count;
  out.channels = params.out.channels;
  if (std::max(out.passes, out.most_passes) > 1) {
    out.pitch = (params.out.width + kLane - 1) / kLane * kLane;
    out.plane = out.pitch * params.out.height;
    out.arrays = std::max(out.passes, out.most_passes) > 2 ? 4 : 2;
    const std::int64_t room = params.state_bytes > 0 ? params.state_bytes : kStateBytes;
    const std::int64_t planes =
        std::max<std::int64_t>(1, room / (std::int64_t(sizeof(float)) * out.arrays * out.plane));
    out.items = static_cast<int>(
        std::clamp<std::int64_t>(planes / params.out.channels, 1, params.out.count));
    if (planes < params.out.channels) out.channels = static_cast<int>(planes);
  }
  const bool one = out.passes == 1;
  out.first =
      make_cut(params, out.map, false, pass_levels(out.plan.steps, out.passes, 0),
               one ? params.out.count : out.items, one ? params.out.channels : out.channels);
  if (out.candidates > 0) {
    out.repeat = make_cut(params, out.map, true, capacity, out.items, out.channels);
  }
  const std::size_t n = static_cast<std::size_t>(params.out.count);
  auto take = [&](std::size_t bytes) { return device::take(out.bytes, bytes); };
  out.control = take(n * sizeof(Control));
  out.table = take(n * static_cast<std::size_t>(out.most_passes) * sizeof(Pass));
  const int tasks = std::max(out.first.tasks_per_item, out.repeat.tasks_per_item);
  out.measures = take(n * static_cast<std::size_t>(tasks) * sizeof(TileMeasure));
  return out;
}

// Returns bytes. First runs seldom have passes that leave something to the next one, others mostly.
std::size_t state_size(const ChebyshevDeviceParams& params, const Prepared& prepared) {
  const bool first = params.first_run == 0 && prepared.passes > 1;
  const bool repeats = params.last_run > 0 && prepared.most_passes > 1;
  if (!first && !repeats) return 0;
  return sizeof(float) * prepared.arrays *
         static_cast<std::size_t>(prepared.plane * prepared.channels * prepared.items);
}

// Returns whether a lane's columns of an image are aligned loads in every row, channel and item.
bool is_vector(const ImageBatch& image) {
  if (!image.exists() || image.col_stride != 1) return false;
  const std::int64_t unit = std::min<std::int64_t>(kLane, 16 / dtype_size(image.dtype));
  auto fits = [&](std::int64_t stride, int count) { return count == 1 || stride % unit == 0; };
  return reinterpret_cast<std::uintptr_t>(image.data) % (unit * dtype_size(image.dtype)) == 0 &&
         fits(image.row_stride, image.height) && fits(image.batch_stride, image.count) &&
         fits(image.channel_stride, image.channels);
}

Source source_of(const ImageBatch& image, const char* name) {
  const std::int64_t size = dtype_size(image.dtype), column = image.col_stride * size,
                     row = image.height > 1 ? image.row_stride * size : 0;
  HM_CHECK(row >= INT32_MIN && row <= INT32_MAX, name, ": rows ", row,
           " bytes apart, expected less than 2^31");
  HM_CHECK(column >= INT32_MIN && column <= INT32_MAX, name, ": columns ", column,
           " bytes apart, expected less than 2^31");
  return {static_cast<char*>(image.data),
          image.batch_stride * size,
          image.channel_stride * size,
          static_cast<int>(row),
          static_cast<int>(column),
          image.dtype,
          is_vector(image)};
}

MarchParams march_params(const ChebyshevDeviceParams& params, const Prepared& prepared) {
  MarchParams p{};
  p.base = source_of(params.base, "base");
  p.half_height = params.base.height;
  p.half_width = params.base.width;
  p.mask = source_of(params.mask, "mask");
  p.map = source_of(params.weight_map, "weight_map");
  p.out = source_of(params.out, "out");
  p.pinned = params.preserve_background;
  p.half_base = params.half_base;
  if (params.rhs.exists()) {
    p.input = Input::kRhs;
    p.field[0] = source_of(params.rhs, "rhs");
    if (p.pinned) p.field[2] = p.mask;
  } else {
    p.input = Input::kImages;
    p.dst = source_of(params.dst, "dst");
    p.field[0] = source_of(params.src, "src");
    p.field[1] = p.dst;
    p.field[2] = p.mask;
    if (!p.half_base) p.field[3] = p.base;
  }
  p.floats = prepared.facts.floats && !params.rhs.exists();
  p.want_norm = prepared.op.excess <= 0;
  p.c0 = static_cast<float>(prepared.entries.c0);
  p.c1 = static_cast<float>(prepared.entries.c1);
  p.c2 = static_cast<float>(prepared.entries.c2);
  p.rho = static_cast<float>(prepared.entries.c2 / prepared.entries.c1);
  const double w0 = params.w0, w1 = params.w1;
  p.sum = static_cast<float>((w0 + 2 * w1) * (w0 + 2 * w1));
  p.side = static_cast<float>(w0 * w1);
  p.corner = static_cast<float>(w1 * w1);
  p.slope = static_cast<float>(prepared.op.slope);
  p.weight = static_cast<float>(params.weight);
  p.damping = static_cast<float>(damping_of(prepared.op));
  p.mask_scale = static_cast<float>(0.5 / dtype_range(params.mask.dtype));
  p.height = params.out.height;
  p.width = params.out.width;
  p.channels = params.out.channels;
  char* workspace = static_cast<char*>(params.workspace);
  p.measures = reinterpret_cast<TileMeasure*>(workspace + prepared.measures);
  p.pitch = prepared.pitch;
  p.plane = prepared.plane;
  if (params.state != nullptr) {
    float** arrays[] = {&p.e[0], &p.before[0], &p.e[1], &p.before[1]};
    float* state = static_cast<float*>(params.state);
    for (int i = 0; i < prepared.arrays; ++i) {
      *arrays[i] = state;
      state += prepared.plane * prepared.channels * prepared.items;
    }
  }
  return p;
}

int blocks_of(const Cut& cut, int tasks) { return (tasks + cut.warps - 1) / cut.warps; }

template <int K, bool kMap, bool kShared>
void launch_levels(const MarchParams& p, const Cut& cut, int blocks, cudaStream_t stream) {
  using Work = March<K, kLane, kMap, kShared>;
  const std::size_t bytes = cut.warps * Work::kFloats * sizeof(float);
  if (bytes > (48 << 10)) {
    HM_MAX_DYN_SMEM((gaussian_poisson_chebyshev_kernel<K, kLane, kMap, kShared>), kBlockBytes);
  }
  HM_LAUNCH((gaussian_poisson_chebyshev_kernel<K, kLane, kMap, kShared>), dim3(blocks),
            dim3(32 * cut.warps), bytes, stream, p);
}

// Launches at most `most_blocks` blocks of several tasks each; 0: enough for all tasks.
void launch_pass(MarchParams p, const Cut& cut, bool map, int most_blocks, cudaStream_t stream) {
  static_cast<Tiling&>(p) = cut;
  p.tasks = cut.strips * cut.segments * p.its_channels * p.items;
  int blocks = blocks_of(cut, p.tasks);
  if (most_blocks > 0) blocks = std::min(blocks, most_blocks);
  if (map) return launch_levels<kMapLevels, true, true>(p, cut, blocks, stream);
  if (p.control != nullptr)
    return launch_levels<kRepeatLevels, false, true>(p, cut, blocks, stream);
  if (cut.levels == kFewLevels) {
    return launch_levels<kFewLevels, false, false>(p, cut, blocks, stream);
  }
  launch_levels<kMoreLevels, false, false>(p, cut, blocks, stream);
}

}  // namespace

ChebyshevSchedule chebyshev_schedule(const ChebyshevDeviceParams& params) {
  const Prepared prepared = prepare(params);
  ChebyshevSchedule out;
  out.workspace_size = prepared.bytes;
  out.state_size = state_size(params, prepared);
  auto launch = [&](const Cut& cut, int items, int channels) {
    ChebyshevLaunch l;
    l.warps = cut.warps;
    l.places = cut.at_once * params.processors;
    l.strips = cut.strips;
    l.segments = cut.segments;
    l.segment_rows = cut.segment_rows;
    l.block_bytes = cut.warps * cut.warp_floats * sizeof(float);
    l.blocks = blocks_of(cut, cut.strips * cut.segments * channels * items);
    return l;
  };
  auto turns = [&](bool one) {
    const int items = one ? params.out.count : prepared.items,
              channels = one ? params.out.channels : prepared.channels;
    return ((params.out.count + items - 1) / items) *
           ((params.out.channels + channels - 1) / channels);
  };
  const bool one = prepared.passes == 1;
  out.first = launch(prepared.first, one ? params.out.count : prepared.items,
                     one ? params.out.channels : prepared.channels);
  if (params.first_run == 0) out.launches += turns(one) * prepared.passes + 1;
  if (prepared.candidates > 0) {
    out.repeat = launch(prepared.repeat, prepared.items, prepared.channels);
    out.repeat.blocks = std::min(out.repeat.blocks, out.repeat.places);
    const int runs = std::max(0, params.last_run - std::max(params.first_run, 1) + 1);
    out.launches += runs * (turns(false) * prepared.most_passes + 1);
  }
  return out;
}

void launch_gaussian_poisson_chebyshev(const ChebyshevDeviceParams& params, cudaStream_t stream) {
  const Prepared prepared = prepare(params);
  HM_CHECK(params.workspace != nullptr && params.workspace_size >= prepared.bytes,
           "workspace: ", params.workspace_size, " bytes, expected ", prepared.bytes);
  const std::size_t state = state_size(params, prepared);
  HM_CHECK(state == 0 || (params.state != nullptr && params.state_size >= state),
           "state: ", params.state_size, " bytes, expected ", state);
  HM_CHECK(reinterpret_cast<std::uintptr_t>(params.workspace) % 256 == 0 &&
               reinterpret_cast<std::uintptr_t>(params.state) % 256 == 0,
           "workspace, state: expected addresses that are multiples of 256");
  HM_CHECK(params.report != nullptr, "report: missing");
  const int items = params.out.count;
  char* workspace = static_cast<char*>(params.workspace);

  DecideParams decide{};
  static_cast<Setup&>(decide) = prepared;
  decide.damping = damping_of(prepared.op);
  decide.tolerance = params.tolerance;
  if (!params.rhs.exists()) {
    for (DType dtype : {params.src.dtype, params.dst.dtype}) {
      if (!is_float(dtype)) {
        decide.largest_integer = std::max(decide.largest_integer, dtype_range(dtype));
      }
    }
  }
  decide.max_steps = params.max_steps;
  decide.levels = prepared.map ? kMapLevels : kRepeatLevels;
  decide.table_passes = prepared.most_passes;
  decide.measures = reinterpret_cast<const TileMeasure*>(workspace + prepared.measures);
  decide.control = reinterpret_cast<Control*>(workspace + prepared.control);
  decide.table = reinterpret_cast<Pass*>(workspace + prepared.table);
  decide.report = params.report;

  MarchParams march = march_params(params, prepared);
  // Calls `pass` for as many items and channels as the state has room for, until all are done.
  auto parts = [&](int at_once, int channels_at_once, auto&& pass) {
    for (march.first_item = 0; march.first_item < items; march.first_item += at_once) {
      march.items = std::min(at_once, items - march.first_item);
      const int channels = params.out.channels;
      for (int c = 0; c < channels; c += channels_at_once) {
        march.first_channel = c;
        march.its_channels = std::min(channels_at_once, channels - c);
        pass();
      }
    }
  };
  if (params.first_run == 0) {
    const bool one = prepared.passes == 1;
    parts(one ? items : prepared.items, one ? params.out.channels : prepared.channels, [&] {
      StepSequence sequence(prepared.op, prepared.plan);
      for (march.pass = 0; march.pass < prepared.passes; ++march.pass) {
        make_pass(prepared.entries, prepared.map, sequence, march.pass == 0,
                  march.pass + 1 == prepared.passes,
                  pass_levels(prepared.plan.steps, prepared.passes, march.pass), march.plan);
        launch_pass(march, prepared.first, prepared.map, 0, stream);
      }
    });
    decide.tasks_per_item = prepared.first.tasks_per_item;
    HM_LAUNCH(gaussian_poisson_chebyshev_decide_kernel, dim3(items), dim3(kDecideThreads), 0,
              stream, decide);
  }
  if (prepared.candidates == 0) return;
  march.control = decide.control;
  march.table = decide.table;
  march.table_passes = prepared.most_passes;
  decide.tasks_per_item = prepared.repeat.tasks_per_item;
  // There are no more blocks than run at once: most of these launches have nothing to do.
  const int most_blocks = prepared.repeat.at_once * params.processors;
  for (decide.run = std::max(params.first_run, 1); decide.run <= params.last_run; ++decide.run) {
    parts(prepared.items, prepared.channels, [&] {
      for (march.pass = 0; march.pass < prepared.most_passes; ++march.pass) {
        launch_pass(march, prepared.repeat, prepared.map, most_blocks, stream);
      }
    });
    HM_LAUNCH(gaussian_poisson_chebyshev_decide_kernel, dim3(items), dim3(kDecideThreads), 0,
              stream, decide);
  }
}

}  // namespace pyharmony::gaussian_poisson
