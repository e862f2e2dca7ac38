// The residual b - A x in float64: the certificate of every method. A thread owns one column of
// one channel and marches down a segment of rows; each value is read for three threads, by way of
// the first cache.
#include <algorithm>

#include "device/launch.h"
#include "device/reduce.h"
#include "ops/gaussian_poisson/residual_cuda.h"

namespace pyharmony::gaussian_poisson {
namespace {

using device::ImageBatch;

constexpr int kThreads = 128;
constexpr int kWantedBlocks = 1024;  // segments are cut until there are as many
constexpr int kLongestSegment = 64, kShortestSegment = 8;

struct KernelParams {
  ImageBatch src, dst, mask, base, weight_map, x, out;
  double weight, w0, w1, mask_scale;
  bool pinned;
  int rows;         // of a segment
  double* largest;  // [N, blocks]
};

__device__ __forceinline__ double load_real(const ImageBatch& image, int n, int y, int x, int c) {
  if (image.dtype == DType::kFloat64) {
    return static_cast<const double*>(image.data)[device::offset(image, n, y, x, c)];
  }
  return device::load_value(image, n, y, x, c);
}

// The columns x - 1, x, x + 1 of a row, mirrored at the border.
template <bool kMap>
struct Row {
  double x[3], src[3], dst[3], mask[3];
  float weight[kMap ? 3 : 1];
};

template <bool kMap>
__device__ __forceinline__ void load(const KernelParams& p, int n, int y, int x, int c,
                                     Row<kMap>& row) {
  const int h = p.x.height, w = p.x.width;
  y = y < 0 ? 0 : y < h ? y : h - 1;
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    const int at = x + k - 1 < 0 ? 0 : x + k - 1 < w ? x + k - 1 : w - 1;
    row.src[k] = load_real(p.src, n, y, at, c);
    row.dst[k] = load_real(p.dst, n, y, at, c);
    row.mask[k] = load_real(p.mask, n, y, at, 0) * p.mask_scale;
    row.x[k] = p.pinned && !(row.mask[k] > 0) ? row.dst[k] : load_real(p.x, n, y, at, c);
    if constexpr (kMap) {
      row.weight[k] =
          static_cast<const float*>(p.weight_map.data)[device::offset(p.weight_map, n, y, at)];
    }
  }
}

// The wanted difference from the first pixel to the second; zero across a mirrored border.
__device__ __forceinline__ double difference(double s0, double s1, double d0, double d1, double m0,
                                             double m1) {
  const double dd = d1 - d0;
  return dd + (m0 + m1) * 0.5 * ((s1 - s0) - dd);
}

// base is that of the pixel, field what the differences give of b.
template <bool kMap>
__device__ __forceinline__ double residual_of(const KernelParams& p, const Row<kMap>& a,
                                              const Row<kMap>& b, const Row<kMap>& c, double field,
                                              double base) {
  const double side = p.w0 * p.w1, corner = p.w1 * p.w1;
  const double sum = (p.w0 + 2 * p.w1) * (p.w0 + 2 * p.w1);
  const double x = b.x[1], edges = 4 * x - a.x[1] - c.x[1] - b.x[0] - b.x[2];
  if constexpr (kMap) {
    const double w = b.weight[1];
    auto link = [&](double neighbour, double weight) {
      return (weight < w ? weight : w) * (x - neighbour);
    };
    const double gauss = side * (link(a.x[1], a.weight[1]) + link(c.x[1], c.weight[1]) +
                                 link(b.x[0], b.weight[0]) + link(b.x[2], b.weight[2])) +
                         corner * (link(a.x[0], a.weight[0]) + link(a.x[2], a.weight[2]) +
                                   link(c.x[0], c.weight[0]) + link(c.x[2], c.weight[2]));
    return field + w * base - (edges + sum * w * x - gauss);
  } else {
    const double corners = 4 * x - a.x[0] - a.x[2] - c.x[0] - c.x[2];
    return field + p.weight * base -
           (sum * p.weight * x + (1 - p.weight * side) * edges - p.weight * corner * corners);
  }
}

template <bool kMap>
__global__ void __launch_bounds__(kThreads, 3)
    gaussian_poisson_residual_kernel(const KernelParams p) {
  __shared__ double scratch[kThreads / 32];
  const int n = blockIdx.z, channels = p.x.channels;
  const unsigned element = blockIdx.x * kThreads + threadIdx.x;
  const int column = static_cast<int>(element / channels);
  const int channel = static_cast<int>(element % channels);
  const std::int64_t first = std::int64_t(blockIdx.y) * p.rows;
  const int y0 = static_cast<int>(first);
  const int y1 = first + p.rows < p.x.height ? y0 + p.rows : p.x.height;
  double largest = 0;
  if (column < p.x.width) {
    Row<kMap> above, here, below;
    load(p, n, y0 - 1, column, channel, above);
    load(p, n, y0, column, channel, here);
    double up = difference(above.src[1], here.src[1], above.dst[1], here.dst[1], above.mask[1],
                           here.mask[1]);
#pragma unroll 1
    for (int y = y0; y < y1; ++y) {
      load(p, n, y + 1, column, channel, below);
      const double down = difference(here.src[1], below.src[1], here.dst[1], below.dst[1],
                                     here.mask[1], below.mask[1]);
      const double left = difference(here.src[0], here.src[1], here.dst[0], here.dst[1],
                                     here.mask[0], here.mask[1]);
      const double right = difference(here.src[1], here.src[2], here.dst[1], here.dst[2],
                                      here.mask[1], here.mask[2]);
      const double field = left - right + up - down;
      double r = 0;
      if (!p.pinned || here.mask[1] > 0) {
        r = residual_of(p, above, here, below, field, load_real(p.base, n, y, column, channel));
      }
      if (p.out.data) device::store_value(p.out, n, y, column, channel, static_cast<float>(r));
      const double size = fabs(r);
      if (size > largest || size != size) largest = size;
      above = here;
      here = below;
      up = down;
    }
  }
  largest = device::block_reduce<kThreads>(largest, device::Max(), scratch);
  if (threadIdx.x == 0) {
    p.largest[(std::int64_t(n) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = largest;
  }
}

__global__ void __launch_bounds__(kThreads)
    gaussian_poisson_residual_max_kernel(const double* largest, int count, double* result) {
  __shared__ double scratch[kThreads / 32];
  const std::int64_t n = blockIdx.x;
  double value = 0;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    value = device::Max()(value, largest[n * count + i]);
  }
  value = device::block_reduce<kThreads>(value, device::Max(), scratch);
  if (threadIdx.x == 0) result[n] = value;
}

struct Cut {
  dim3 grid;
  int rows = 0;
  std::size_t blocks() const { return static_cast<std::size_t>(grid.x) * grid.y; }
};

Cut cut(const ResidualCudaParams& params) {
  const ImageBatch& x = params.x;
  const std::int64_t across = (std::int64_t(x.width) * x.channels + kThreads - 1) / kThreads;
  Cut c;
  std::int64_t down = 0;
  for (c.rows = std::max(kLongestSegment, x.height / 65535 + 1);; c.rows /= 2) {
    down = (x.height + c.rows - 1) / c.rows;
    if (c.rows <= kShortestSegment || down > 32000 || across * down * x.count >= kWantedBlocks) {
      break;
    }
  }
  c.grid = dim3(static_cast<unsigned>(across), static_cast<unsigned>(down),
                static_cast<unsigned>(x.count));
  return c;
}

void check_residual(const ResidualCudaParams& params) {
  const ImageBatch& x = params.x;
  const struct {
    const ImageBatch& image;
    const char* name;
    bool plane, image_type;
  } images[] = {{params.src, "src", false, true},   {params.dst, "dst", false, true},
                {params.base, "base", false, true}, {params.mask, "mask", true, false},
                {params.x, "x", false, true},       {params.weight_map, "weight_map", true, false},
                {params.out, "out", false, true}};
  for (const auto& i : images) {
    const bool optional = &i.image == &params.weight_map || &i.image == &params.out;
    if (optional && !i.image.exists()) continue;
    HM_CHECK(i.image.exists(), i.name, ": no data");
    HM_CHECK(!i.image_type || i.image.dtype != DType::kBool, i.name,
             ": dtype bool is not an image type");
    const int channels = i.plane ? 1 : x.channels;
    HM_CHECK(i.image.count == x.count && i.image.height == x.height && i.image.width == x.width &&
                 i.image.channels == channels,
             i.name, ": shape [", i.image.count, ", ", i.image.height, ", ", i.image.width, ", ",
             i.image.channels, "], expected [", x.count, ", ", x.height, ", ", x.width, ", ",
             channels, "]");
  }
  HM_CHECK(!params.weight_map.exists() || params.weight_map.dtype == DType::kFloat32,
           "weight_map: dtype ", dtype_name(params.weight_map.dtype), ", expected float32");
  HM_CHECK(!params.out.exists() || params.out.dtype == DType::kFloat32, "out: dtype ",
           dtype_name(params.out.dtype), ", expected float32");
  HM_CHECK(std::int64_t(x.width) * x.channels < (std::int64_t(1) << 31), "x: rows of ", x.width,
           " x ", x.channels, " values, expected less than 2^31");
  HM_CHECK(x.count <= 65535, "x: ", x.count, " images, expected at most 65535");
}

}  // namespace

std::size_t gaussian_poisson_residual_workspace(const ResidualCudaParams& params) {
  check_residual(params);
  return cut(params).blocks() * static_cast<std::size_t>(params.x.count) * sizeof(double);
}

void launch_gaussian_poisson_residual(const ResidualCudaParams& params, cudaStream_t stream) {
  const std::size_t needed = gaussian_poisson_residual_workspace(params);
  HM_CHECK(params.workspace != nullptr && params.workspace_bytes >= needed,
           "workspace: ", params.workspace_bytes, " bytes, expected at least ", needed);
  HM_CHECK(params.result != nullptr, "result: no memory");
  const Cut c = cut(params);
  KernelParams p;
  p.src = params.src;
  p.dst = params.dst;
  p.mask = params.mask;
  p.base = params.base;
  p.weight_map = params.weight_map;
  p.x = params.x;
  p.out = params.out;
  p.weight = params.weight;
  p.w0 = params.w0;
  p.w1 = params.w1;
  p.mask_scale = 1 / dtype_range(params.mask.dtype);
  p.pinned = params.preserve_background;
  p.rows = c.rows;
  p.largest = static_cast<double*>(params.workspace);
  if (params.weight_map.exists()) {
    HM_LAUNCH((gaussian_poisson_residual_kernel<true>), c.grid, dim3(kThreads), 0, stream, p);
  } else {
    HM_LAUNCH((gaussian_poisson_residual_kernel<false>), c.grid, dim3(kThreads), 0, stream, p);
  }
  HM_LAUNCH((gaussian_poisson_residual_max_kernel), dim3(static_cast<unsigned>(params.x.count)),
            dim3(kThreads), 0, stream, p.largest, static_cast<int>(c.blocks()), params.result);
}

}  // namespace pyharmony::gaussian_poisson
