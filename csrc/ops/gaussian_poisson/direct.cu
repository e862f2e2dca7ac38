// Launches of the direct solver: see direct_cuda.h.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "core/status.h"
#include "device/runtime.h"
#include "device/workspace.h"
#include "ops/gaussian_poisson/direct_columns.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

constexpr std::int64_t kMostBlocks = (std::int64_t(1) << 31) - 1;
// Below this weight float32's b tells the mean of the answer badly.
constexpr double kSmallWeight = 0.01;
constexpr std::size_t kReserved = 1 << 10;  // bytes of shared memory that the system takes a block

bool is_image(DType dtype) {
  return dtype == DType::kUInt8 || dtype == DType::kUInt16 || dtype == DType::kFloat16 ||
         dtype == DType::kFloat32;
}

void check_image(const ImageBatch& image, const char* name, const DirectParams& params) {
  HM_CHECK(image.exists(), name, ": missing");
  HM_CHECK(is_image(image.dtype), name, ": dtype ", dtype_name(image.dtype),
           ", expected uint8, uint16, float16 or float32");
  const ImageBatch& out = params.out;
  device::check_image_shape(image, name, out.count, out.height, out.width, out.channels);
}

void check_images(const DirectParams& params) {
  check_image(params.src, "src", params);
  check_image(params.dst, "dst", params);
  check_image(params.base, "base", params);
  const ImageBatch& mask = params.mask;
  HM_CHECK(mask.exists(), "mask: missing");
  HM_CHECK(is_image(mask.dtype) || mask.dtype == DType::kBool, "mask: dtype ",
           dtype_name(mask.dtype), ", expected bool, uint8, uint16, float16 or float32");
  device::check_image_shape(mask, "mask", params.out.count, params.out.height, params.out.width, 1);
}

void check(const DirectParams& params) {
  check_image(params.out, "out", params);
  if (params.rhs.exists()) {
    check_image(params.rhs, "rhs", params);
    HM_CHECK(params.rhs.dtype == DType::kFloat32, "rhs: dtype ", dtype_name(params.rhs.dtype),
             ", expected float32");
  } else {
    check_images(params);
  }
  HM_CHECK(params.weight >= 0 && params.weight <= 1e6, "weight: ", params.weight,
           ", expected 0 to 1e6");
  HM_CHECK(params.processors >= 1, "processors: ", params.processors, ", expected at least 1");
  HM_CHECK(direct_fits(params.out.width, params.shared_per_block), "width: ", params.out.width,
           ", too wide for ", params.shared_per_block, " bytes of shared memory");
}

// Whether four neighbouring values, of `step` interleaved channels, are one aligned access.
bool reads_four(const ImageBatch& image, int step, int size) {
  auto whole = [&](std::int64_t stride, int count) { return count == 1 || stride % 4 == 0; };
  return image.exists() && image.col_stride == step && (step == 1 || image.channel_stride == 1) &&
         image.width * step % 4 == 0 && whole(image.row_stride, image.height) &&
         whole(image.batch_stride, image.count) &&
         (step > 1 || whole(image.channel_stride, image.channels)) &&
         reinterpret_cast<std::uintptr_t>(image.data) % (4 * static_cast<unsigned>(size)) == 0;
}
int size_of(DType dtype) {
  return dtype == DType::kFloat32 ? 4 : dtype == DType::kUInt16 || dtype == DType::kFloat16 ? 2 : 1;
}

// The memory of a solve.
struct Work {
  int tiles, pairs, segments, segment_rows;
  int parts;  // sums of a plane, 0: the mean is as b tells it, or zero
  std::size_t spectrum, sums, joined, bytes;
};

Work work_of(const DirectParams& params) {
  const ImageBatch& out = params.out;
  Work work{};
  work.tiles = (out.width + kColumns - 1) / kColumns;
  work.pairs = (out.height + 1) / 2;
  constexpr int kMost = kMostChunks * kMostRows, kSegment = kMostChunks * kSegmentRows;
  work.segments = out.height <= kMost ? 1 : (out.height + kSegment - 1) / kSegment;
  work.segment_rows = (out.height + work.segments - 1) / work.segments;
  const bool sums = params.rhs.exists() ? params.weight > 0 : true;
  work.parts = sums && params.weight < kSmallWeight ? work.pairs : 0;
  const std::int64_t planes = std::int64_t(out.count) * out.channels;
  HM_CHECK(out.height < (1 << 30) && planes < (1 << 30), "out: ", planes, " planes of ", out.height,
           " rows, expected fewer than 2^30 of each");
  const std::int64_t tiles = planes * work.tiles * work.segments;
  HM_CHECK(tiles < (1 << 30), "out: ", tiles, " tiles of columns, expected fewer than 2^30");
  const std::int64_t row = planes * work.tiles * kColumns;
  work.spectrum = device::take(work.bytes, row * out.height * std::int64_t(sizeof(float)));
  work.sums = device::take(work.bytes, planes * work.parts * std::int64_t(sizeof(double)));
  work.joined =
      device::take(work.bytes, work.segments > 1 ? row * work.segments * sizeof(Segment) : 0);
  return work;
}

template <typename T>
struct Type {
  using type = T;
};

std::size_t most_of(std::size_t limit) {
  std::size_t most = 0;
  with_most(limit, [&](auto it) { most = static_cast<std::size_t>(it()); });
  return most;
}

// Shared memory of a block of the kernels along rows: a row, and a sum for each warp.
std::size_t row_bytes(const DirectPlan& plan) {
  return sizeof(float2) * static_cast<std::size_t>(plan.slots) + sizeof(double) * kRowThreads / 32;
}

template <typename Params>
bool has_type(const Params& p, DType type) {
  return p.src.dtype == type && p.dst.dtype == type &&
         (p.base.dtype == type || p.base.dtype == DType::kFloat32);
}

// Blocks of the kernels along rows.
unsigned rows_blocks(const RowParams& p, const DirectParams& params) {
  const std::int64_t blocks = std::int64_t(p.pairs) * p.groups * params.out.count;
  HM_CHECK(blocks <= kMostBlocks, "out: ", blocks, " pairs of rows, expected fewer than 2^31");
  return static_cast<unsigned>(blocks);
}

// Whether kernels know the width, and the images suit them.
bool are_lines(const DirectParams& params, int step, bool in) {
  const DType dtype = in ? params.src.dtype : params.out.dtype;
  const LineRadices line = line_radices(params.out.width);
  auto whole = [&](const ImageBatch& image, int its_step) {
    return reads_four(image, its_step, size_of(image.dtype)) &&
           image.row_stride == std::int64_t(image.width) * its_step;
  };
  auto fits = [&](const ImageBatch& image) { return image.dtype == dtype && whole(image, step); };
  if (line.width() == 0 || (dtype != DType::kFloat32 && dtype != DType::kUInt8)) return false;
  // Code that a driver made of older PTX is for less memory than the device has.
  const int code = device::code_version(gaussian_poisson_direct_out_kernel);
  const std::size_t room = std::min(most_of(params.shared_per_block), shared_of_processor(code));
  if (static_cast<std::size_t>(line.bytes(step)) > room) return false;
  if (!in) return fits(params.out);
  const DType mask = params.mask.dtype;
  return !params.rhs.exists() && fits(params.src) && fits(params.dst) && fits(params.base) &&
         whole(params.mask, 1) &&
         (mask == DType::kFloat32 || mask == DType::kUInt8 || mask == DType::kBool);
}

template <std::size_t... i>
void launch_lines_of(const RowParams& p, const LineLaunch& how, cudaStream_t stream,
                     std::index_sequence<i...>) {
  (void)((p.plan.width == kLines[i].width() &&
          (launch_lines<kLines[i].width()>(p, how, stream), true)) ||
         ...);
}

void launch_rows(const RowParams& p, const DirectParams& params, bool in, cudaStream_t stream) {
  const int step = p.channels / p.groups;
  if (are_lines(params, step, in)) {
    const LineLaunch how{in, in ? p.src.dtype : p.out.dtype, step, rows_blocks(p, params),
                         params.shared_per_block};
    return launch_lines_of(p, how, stream, std::make_index_sequence<std::size(kLines)>());
  }
  const std::size_t bytes = row_bytes(p.plan);
  // About as many threads as a stage has butterflies.
  constexpr int kRadix = 12;
  const int threads = std::clamp((p.plan.length / kRadix + 31) / 32 * 32, 64, kRowThreads);
  const dim3 grid(rows_blocks(p, params)), block(static_cast<unsigned>(threads));
  auto launch_in = [&](auto type, auto most) {
    using T = typename decltype(type)::type;
    HM_MAX_DYN_SMEM((gaussian_poisson_direct_in_kernel<T>), decltype(most)::value);
    HM_LAUNCH((gaussian_poisson_direct_in_kernel<T>), grid, block, bytes, stream, p);
  };
  with_most(params.shared_per_block, [&](auto most) {
    if (!in) {
      HM_MAX_DYN_SMEM(gaussian_poisson_direct_out_kernel, decltype(most)::value);
      HM_LAUNCH(gaussian_poisson_direct_out_kernel, grid, block, bytes, stream, p);
    } else if (p.rhs.exists() || has_type(p, DType::kFloat32)) {
      launch_in(Type<float>(), most);
    } else if (has_type(p, DType::kUInt8)) {
      launch_in(Type<std::uint8_t>(), most);
    } else {
      launch_in(Type<void>(), most);
    }
  });
}

template <int kRows, Columns kWhat, bool kStaged>
void launch_columns(const ColumnParams& p, const DirectParams& params, cudaStream_t stream) {
  const int chunks = (p.segment_rows + kRows - 1) / kRows;
  const int threads = (chunks * kColumns + 31) / 32 * 32;
  std::size_t bytes = 2 * sizeof(Affine<double>) * kColumns * (threads / 32);
  if (kStaged) bytes += threads / kColumns * kTileBytes<kRows>;
  const std::int64_t tiles = std::int64_t(p.tiles) * p.planes * p.segments;
  // Blocks stay, and take tiles in turns: about as many as there is room for at once.
  const std::int64_t at_once = std::clamp<std::int64_t>(
      std::min<std::int64_t>(params.shared_per_processor / (bytes + kReserved),
                             65536 / (kColumnRegisters<kRows> * threads)),
      1, 16);
  const auto grid = static_cast<unsigned>(std::min(tiles, at_once * params.processors));
  with_most(params.shared_per_block, [&](auto most) {
    constexpr int kMost = decltype(most)::value;
    HM_MAX_DYN_SMEM((gaussian_poisson_direct_columns_kernel<kRows, kWhat, kStaged>), kMost);
    HM_LAUNCH((gaussian_poisson_direct_columns_kernel<kRows, kWhat, kStaged>), dim3(grid),
              dim3(static_cast<unsigned>(threads)), bytes, stream, p);
  });
}

template <Columns kWhat>
void launch_segments(const ColumnParams& p, const DirectParams& params, cudaStream_t stream) {
  const std::size_t most = most_of(params.shared_per_block);
  // The fewest rows a thread that few enough threads have.
  auto staged = [&](auto rows) {
    constexpr int kRows = decltype(rows)::value;
    if ((p.segment_rows + kRows - 1) / kRows > kMostChunks) return false;
    const std::size_t chunks = (p.segment_rows + kRows * kInWarp - 1) / (kRows * kInWarp) * kInWarp;
    if (chunks * (kTileBytes<kRows> + 2 * sizeof(Affine<double>) * kColumns / kInWarp) > most) {
      return false;
    }
    launch_columns<kRows, kWhat, true>(p, params, stream);
    return true;
  };
  if constexpr (kWhat == Columns::kWhole) {
    if (staged(std::integral_constant<int, 8>()) || staged(std::integral_constant<int, 18>()) ||
        staged(std::integral_constant<int, 36>()) || staged(std::integral_constant<int, 52>())) {
      return;
    }
  }
  constexpr int kRows = kWhat == Columns::kWhole ? kMostRows : kSegmentRows;
  if (!staged(std::integral_constant<int, kRows>())) {
    launch_columns<kRows, kWhat, false>(p, params, stream);
  }
}

void launch(const DirectParams& params, cudaStream_t stream) {
  const ImageBatch& out = params.out;
  // Blocks take three interleaved channels together where kernels know the width.
  const int step =
      out.channels == kGroup && are_lines(params, kGroup, true) && are_lines(params, kGroup, false)
          ? kGroup
          : 1;
  const Work work = work_of(params);
  HM_CHECK(params.workspace != nullptr && params.workspace_size >= work.bytes,
           "workspace: ", params.workspace_size, " bytes, expected ", work.bytes);
  char* const memory = static_cast<char*>(params.workspace);
  RowParams p{};
  p.plan = direct_plan(out.width);
  p.tables = static_cast<const unsigned char*>(params.tables);
  p.src = params.src;
  p.dst = params.dst;
  p.base = params.base;
  p.mask = params.mask;
  p.rhs = params.rhs;
  p.out = out;
  p.spectrum = reinterpret_cast<float*>(memory + work.spectrum);
  p.channels = out.channels;
  p.height = out.height;
  p.tiles = work.tiles;
  p.pairs = work.pairs;
  p.groups = out.channels / step;
  p.sums = work.parts > 0 ? reinterpret_cast<double*>(memory + work.sums) : nullptr;
  p.weight = static_cast<float>(params.weight);
  p.mask_scale = 0.5f / device::mask_range(params.mask.dtype);
  auto four = [&](const ImageBatch& image) { return reads_four(image, 1, size_of(image.dtype)); };
  p.vector = {four(p.src), four(p.dst), four(p.base), four(p.mask), four(p.rhs), four(p.out)};
  launch_rows(p, params, true, stream);

  ColumnParams c{};
  c.spectrum = p.spectrum;
  c.height = out.height;
  c.width = out.width;
  c.slow = params.slow;
  c.tiles = work.tiles;
  c.planes = out.count * out.channels;
  c.segments = work.segments;
  c.segment_rows = work.segment_rows;
  c.joined = reinterpret_cast<Segment*>(memory + work.joined);
  c.column = reinterpret_cast<const float2*>(p.tables + p.plan.column);
  c.singular = params.weight == 0;
  if (work.segments == 1) {
    launch_segments<Columns::kWhole>(c, params, stream);
  } else {
    launch_segments<Columns::kMap>(c, params, stream);
    HM_LAUNCH(gaussian_poisson_direct_join_kernel,
              dim3(static_cast<unsigned>(c.planes), static_cast<unsigned>((out.width + 127) / 128)),
              dim3(128), 0, stream, c);
    launch_segments<Columns::kSolve>(c, params, stream);
  }
  if (params.weight < kSmallWeight) {
    const double sum = params.w0 + 2 * params.w1;
    MeanParams mean{};
    mean.sums = p.sums;
    mean.spectrum = p.spectrum;
    mean.plane = std::int64_t(c.tiles) * kColumns * c.height;
    mean.height = c.height;
    mean.width = c.width;
    mean.parts = work.parts;
    mean.divisor = params.weight == 0    ? 1
                   : params.rhs.exists() ? params.weight * sum * sum
                                         : sum * sum;
    mean.singular = c.singular;
    HM_LAUNCH(gaussian_poisson_direct_mean_kernel, dim3(static_cast<unsigned>(c.planes)),
              dim3(kMeanThreads), 0, stream, mean);
  }
  launch_rows(p, params, false, stream);
}

// ---- the residual -------------------------------------------------------------------------------

constexpr int kResidualThreads = 256;

struct ResidualParams {
  ImageBatch src, dst, base, mask, rhs, x;
  float weight, w0, w1, mask_scale;
  int* most;  // [items], the bits of the largest one
};

// |b - A x| of one value for each thread.
__global__ void __launch_bounds__(kResidualThreads)
    gaussian_poisson_direct_residual_kernel(const __grid_constant__ ResidualParams p) {
  __shared__ float scratch[kResidualThreads / 32];
  const int item = static_cast<int>(blockIdx.y);
  std::int64_t i = std::int64_t(blockIdx.x) * kResidualThreads + threadIdx.x;
  float residual = 0;
  if (i < std::int64_t(p.x.height) * p.x.width * p.x.channels) {
    const int c = static_cast<int>(i % p.x.channels);
    i /= p.x.channels;
    const int column = static_cast<int>(i % p.x.width), row = static_cast<int>(i / p.x.width);
    auto x = [&](int dy, int dx) {
      return device::load_value(p.x, item, device::mirror_once(row + dy, p.x.height),
                                device::mirror_once(column + dx, p.x.width), c);
    };
    const float own = x(0, 0), up = x(-1, 0), down = x(1, 0), left = x(0, -1), right = x(0, 1);
    const float corners = (x(-1, -1) + x(-1, 1)) + (x(1, -1) + x(1, 1));
    // Differences first: their rounding is that of the small numbers that they are.
    const float laplacian = ((own - up) + (own - down)) + ((own - left) + (own - right));
    const float blurred = fmaf(
        p.w0 * p.w0, own, fmaf(p.w0 * p.w1, (up + down) + (left + right), p.w1 * p.w1 * corners));
    float b;
    if (p.rhs.exists()) {
      b = fmaf(-p.weight, blurred, device::load_value(p.rhs, item, row, column, c)) - laplacian;
    } else {
      const float s = device::load_value(p.src, item, row, column, c);
      const float d = device::load_value(p.dst, item, row, column, c);
      const float m = device::load_value(p.mask, item, row, column);
      auto edge = [&](int dy, int dx) {
        const int y = device::mirror_once(row + dy, p.x.height);
        const int at = device::mirror_once(column + dx, p.x.width);
        const float dd = d - device::load_value(p.dst, item, y, at, c);
        const float ds = s - device::load_value(p.src, item, y, at, c);
        return fmaf((m + device::load_value(p.mask, item, y, at)) * p.mask_scale, ds - dd, dd);
      };
      const float field = (edge(-1, 0) + edge(1, 0)) + (edge(0, -1) + edge(0, 1));
      const float base = device::load_value(p.base, item, row, column, c);
      b = fmaf(p.weight, base - blurred, field - laplacian);
    }
    residual = fabsf(b);
  }
  residual = device::block_reduce<kResidualThreads>(residual, device::Max(), scratch);
  if (threadIdx.x == 0) atomicMax(p.most + item, __float_as_int(residual) & 0x7fffffff);
}

}  // namespace

bool direct_fits(int width, std::size_t shared_per_block) {
  if (width < 1 || width > 1 << 15) return false;
  const DirectPlan plan = direct_plan(width);
  return plan.slots <= 1 << 16 && row_bytes(plan) <= most_of(shared_per_block);
}

std::size_t direct_workspace(const DirectParams& params) {
  check(params);
  return work_of(params).bytes;
}

void launch_gaussian_poisson_direct(const DirectParams& params, cudaStream_t stream) {
  check(params);
  launch(params, stream);
}

void launch_gaussian_poisson_direct_residual(const DirectParams& params, float* residuals,
                                             cudaStream_t stream) {
  check(params);
  const ImageBatch& x = params.out;
  HM_CHECK(x.dtype == DType::kFloat32, "out: dtype ", dtype_name(x.dtype), ", expected float32");
  HM_CHECK(x.count <= 65535, "out: ", x.count, " items, expected at most 65535");
  const ResidualParams p{params.src,
                         params.dst,
                         params.base,
                         params.mask,
                         params.rhs,
                         x,
                         static_cast<float>(params.weight),
                         static_cast<float>(params.w0),
                         static_cast<float>(params.w1),
                         0.5f / device::mask_range(params.mask.dtype),
                         reinterpret_cast<int*>(residuals)};
  device::fill_zero(residuals, sizeof(float) * static_cast<std::size_t>(x.count), stream);
  const std::int64_t values = std::int64_t(x.height) * x.width * x.channels;
  const std::int64_t blocks = (values + kResidualThreads - 1) / kResidualThreads;
  HM_CHECK(blocks <= kMostBlocks, "out: ", values, " values an item, expected fewer than 2^39");
  HM_LAUNCH(gaussian_poisson_direct_residual_kernel,
            dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(x.count)),
            dim3(kResidualThreads), 0, stream, p);
}

}  // namespace pyharmony::gaussian_poisson
