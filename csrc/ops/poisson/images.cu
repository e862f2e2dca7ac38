// Passes between images in their own dtype and the finest level's planes, and the whole solve.
#include <cmath>
#include <limits>

#include "device/reduce.h"
#include "ops/poisson/solve_cuda.h"

namespace pyharmony::poisson {
namespace {

using device::ImageBatch;

struct ResidualParams : FinestLevel, SolveImages, ResidualOptions {
  PlanOptions plan;
};

// Reads the values of src and dst, both of one type. The other sources read any type.
template <typename T>
struct Typed {
  static constexpr bool kExact = std::is_same_v<T, std::uint8_t>;  // squares of float32 are exact
  __device__ static float load(const ImageBatch& image, std::int64_t at) {
    if constexpr (std::is_same_v<T, __half>) {
      return __half2float(static_cast<const __half*>(image.data)[at]);
    } else {
      return static_cast<float>(static_cast<const T*>(image.data)[at]);
    }
  }
};

// Reads mixed types: src is float32 where it continues beyond its border, whatever dst is.
struct Mixed {
  static constexpr bool kExact = false;
  __device__ static float load(const ImageBatch& image, std::int64_t at) {
    return device::load_value(image.data, image.dtype, at);
  }
};

struct Any {
  static constexpr bool kExact = false;
  __device__ static double load(const ImageBatch& image, std::int64_t at) {
    if (image.dtype == DType::kFloat64) return static_cast<const double*>(image.data)[at];
    return static_cast<double>(device::load_value(image.data, image.dtype, at));
  }
};

template <typename Real>
__device__ __forceinline__ Real load_any(const ImageBatch& image, std::int64_t at) {
  return static_cast<Real>(Any::load(image, at));
}

// Clamps an index: at a border the neighbour of a pixel is the pixel itself.
__device__ __forceinline__ int clamp(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

// Returns the row offset of neighbour 1 to 4: west, east, north, south.
__device__ __forceinline__ constexpr int row_of(int d) { return d == 3 ? -1 : d == 4 ? 1 : 0; }
__device__ __forceinline__ constexpr int column_of(int d) { return d == 1 ? -1 : d == 2 ? 1 : 0; }

template <typename Real>
__device__ __forceinline__ Real largest_of(Real a, Real b) {
  return device::Max()(b < 0 ? -b : b, a);
}

// Computes r = b - A x of the pixels of a tile, x = start + e. It takes differences of differences:
// what src and x have in common cancels before it is rounded.
template <typename Source, typename Real>
__global__ void __launch_bounds__(kPixelThreads, sizeof(Real) == 8 ? 1 : 2)
    poisson_residual_kernel(const ResidualParams p) {
  const int item = static_cast<int>(blockIdx.z), channels = p.hierarchies.channels;
  const int plane0 = item * channels;
  if (p.states != nullptr) {
    bool done = true;
    for (int c = 0; c < channels; ++c) done = done && p.states[plane0 + c].done;
    if (done) return;
  }
  const unsigned char* memory = p.hierarchies.of_plane(plane0);
  const int tx = static_cast<int>(blockIdx.x), ty = static_cast<int>(blockIdx.y);
  if (tile_count(p.grid, memory, tx, ty) == 0) return;
  const unsigned char* active = memory + p.active;
  const int x = tx * kTileWidth + static_cast<int>(threadIdx.x) % kTileWidth;
  const int first = ty * kTileHeight + static_cast<int>(threadIdx.x) / kTileWidth;
  const bool images = p.rhs.data == nullptr, map = p.weight_map.data != nullptr;
  const bool weighted = map || p.plan.weight > 0, with_g = weighted && p.plan.w1 > 0;
  const Real sum = static_cast<Real>((p.plan.w0 + 2 * p.plan.w1) * (p.plan.w0 + 2 * p.plan.w1));
  Real largest = 0, rounding = 0;

  // Returns e where the pixel is unknown, at a plane's offset.
  auto correction = [&](int c, std::int64_t at) {
    if constexpr (std::is_same_v<Real, double>) {
      return p.e.doubles_of(plane0 + c)[at];
    } else {
      const bool warm = p.warm != nullptr && p.warm_state[plane0 + c].valid;
      return warm ? p.warm[(plane0 + c) * p.grid.plane + at] : 0.0f;
    }
  };
  auto source_at = [&](int c, std::int64_t at) {
    return static_cast<Real>(Source::load(p.src, at + c * p.src.channel_stride));
  };
  auto target_at = [&](int c, std::int64_t at) {
    return static_cast<Real>(Source::load(p.dst, at + c * p.dst.channel_stride));
  };

#pragma unroll 1
  for (int y = first; y < (ty + 1) * kTileHeight; y += kRowStep) {
    if (x >= p.grid.pitch || y >= p.grid.height) break;
    const std::int64_t own = static_cast<std::int64_t>(y) * p.grid.pitch + x;
    if (active[own] == 0) {
      for (int c = 0; c < channels && p.r.data != nullptr; ++c) p.r.of(plane0 + c)[own] = 0;
      continue;
    }
    // These are the pixel and its neighbours, west, east, north, south; at a border the pixel
    // itself. Bit d: there is another pixel, and it is unknown.
    const int iy = p.plan.top + y, ix = p.plan.left + x;
    unsigned other = 0, unknown = 0;
    Real a[5];
#pragma unroll
    for (int d = 1; d < 5; ++d) {
      const int dy = row_of(d), dx = column_of(d);
      const bool there = d == 1   ? ix > 0
                         : d == 2 ? ix + 1 < p.plan.width
                         : d == 3 ? iy > 0
                                  : iy + 1 < p.plan.height;
      other |= static_cast<unsigned>(there) << d;
      const bool in_box = d == 1   ? x > 0
                          : d == 2 ? x + 1 < p.grid.width
                          : d == 3 ? y > 0
                                   : y + 1 < p.grid.height;
      const bool on = !there || (in_box && active[own + dy * p.grid.pitch + dx] != 0);
      unknown |= static_cast<unsigned>(on) << d;
    }
    const std::int64_t in_src = images ? device::offset(p.src, item, iy, ix) : 0;
    const std::int64_t in_dst = images ? device::offset(p.dst, item, iy, ix) : 0;
    auto step = [&](const ImageBatch& image, int d) -> std::int64_t {
      if (!((other >> d) & 1)) return 0;
      return row_of(d) * image.row_stride + column_of(d) * image.col_stride;
    };
    auto correction_beside = [&](int c, int d) {
      return correction(c, (other >> d) & 1 ? own + row_of(d) * p.grid.pitch + column_of(d) : own);
    };
    if (images) {
      const std::int64_t in_mask = device::offset(p.mask, item, iy, ix);
      const Real range = static_cast<Real>(device::mask_range(p.mask.dtype));
      a[0] = load_any<Real>(p.mask, in_mask) / range;
#pragma unroll
      for (int d = 1; d < 5; ++d) {
        const Real beside = load_any<Real>(p.mask, in_mask + step(p.mask, d)) / range;
        const Real mean = Real(0.5) * (a[0] + beside);
        a[d] = p.contour == Contour::kFull ? device::Max()(a[0], beside) : mean;
      }
    }

    Real luma[5] = {};
    if (images && p.guidance == Guidance::kMixed) {
      // Each edge takes the stronger gradient, by its norm over the channels.
      using Norm = std::conditional_t<Source::kExact, float, double>;
      Norm of_src[5] = {}, of_dst[5] = {};
#pragma unroll 1
      for (int c = 0; c < channels; ++c) {
        const Norm s0 = source_at(c, in_src), t0 = target_at(c, in_dst);
#pragma unroll
        for (int d = 1; d < 5; ++d) {
          const Norm ds = source_at(c, in_src + step(p.src, d)) - s0,
                     dt = target_at(c, in_dst + step(p.dst, d)) - t0;
          of_src[d] += ds * ds;
          of_dst[d] += dt * dt;
        }
      }
#pragma unroll
      for (int d = 1; d < 5; ++d) {
        if (of_dst[d] > of_src[d]) a[d] = 0;
      }
    } else if (images && p.guidance == Guidance::kMonochrome) {
      const Real even = Real(1) / static_cast<Real>(channels);
#pragma unroll 1
      for (int c = 0; c < channels; ++c) {
        const Real share = channels != 3 ? even  // luma of Rec. 601
                                         : static_cast<Real>(c == 0   ? 0.299
                                                             : c == 1 ? 0.587
                                                                      : 0.114);
#pragma unroll
        for (int d = 0; d < 5; ++d) luma[d] += share * source_at(c, in_src + step(p.src, d));
      }
    }

#pragma unroll 1
    for (int c = 0; c < channels; ++c) {
      Real s0 = 0, t0 = 0, x0 = static_cast<Real>(correction(c, own));
      if (images) {
        s0 = source_at(c, in_src);
        t0 = target_at(c, in_dst);
        x0 += s0;
      }
      Real edge[5] = {}, magnitude = 0;
#pragma unroll
      for (int d = 1; d < 5; ++d) {
        const bool on = (unknown >> d) & 1;
        Real xd = on ? static_cast<Real>(correction_beside(c, d)) : Real(0);
        Real wanted = 0;
        if (images) {
          const Real sd = source_at(c, in_src + step(p.src, d)),
                     td = target_at(c, in_dst + step(p.dst, d));
          xd = on ? sd + xd : td;
          Real dv = s0 - sd;
          const Real dt = t0 - td;
          if (p.guidance == Guidance::kAverage) dv = Real(0.5) * ((s0 + t0) - (sd + td));
          if (p.guidance == Guidance::kMonochrome) dv = luma[0] - luma[d];
          wanted = dt + a[d] * (dv - dt);
          magnitude = largest_of(largest_of(magnitude, sd), td);
        }
        magnitude = largest_of(magnitude, xd);
        edge[d] = wanted - (x0 - xd);
      }
      Real r = (edge[1] + edge[2]) + (edge[3] + edge[4]);
      if (!images) {
        const Real b = load_any<Real>(p.rhs, device::offset(p.rhs, item, iy, ix, c));
        r += b;
        magnitude = largest_of(magnitude, b);
      }
      magnitude = largest_of(largest_of(largest_of(magnitude, x0), s0), t0);
      Real w = 0;
      if (weighted) {
        // This adds c (base - s x) + sum_j min(c, c_j) g_j (x - x_j).
        auto weight_at = [&](int wy, int wx) {
          return map ? load_any<Real>(p.weight_map, device::offset(p.weight_map, item, wy, wx))
                     : static_cast<Real>(p.plan.weight);
        };
        w = weight_at(iy, ix);
        Real goal = s0;
        if (images && p.base.data != nullptr) {
          goal = load_any<Real>(p.base, device::offset(p.base, item, iy, ix, c));
          magnitude = largest_of(magnitude, goal);
        }
        r += w * (goal - sum * x0);
        if (with_g) {
#pragma unroll 1
          for (int d = 0; d < 9; ++d) {
            const int dy = d / 3 - 1, dx = d % 3 - 1;
            if (dy == 0 && dx == 0) continue;
            const Real g = static_cast<Real>(dy == 0 || dx == 0 ? p.plan.w0 * p.plan.w1
                                                                : p.plan.w1 * p.plan.w1);
            const int ny = clamp(iy + dy, p.plan.height);
            const int nx = clamp(ix + dx, p.plan.width);
            const int by = ny - p.plan.top, bx = nx - p.plan.left;
            const std::int64_t at = static_cast<std::int64_t>(by) * p.grid.pitch + bx;
            Real xd = 0;
            if (by >= 0 && bx >= 0 && by < p.grid.height && bx < p.grid.width && active[at] != 0) {
              xd = static_cast<Real>(correction(c, at));
              if (images) xd += source_at(c, device::offset(p.src, item, ny, nx));
            } else if (images) {
              xd = target_at(c, device::offset(p.dst, item, ny, nx));
            }
            const Real near = map ? weight_at(ny, nx) : w;
            r += (near < w ? near : w) * g * (x0 - xd);
            magnitude = largest_of(magnitude, xd);
          }
        }
      }
      largest = largest_of(largest, r);
      rounding = largest_of(rounding, (16 + 2 * w) * magnitude);
      if (p.r.data != nullptr) p.r.of(plane0 + c)[own] = static_cast<float>(r);
    }
  }
  if constexpr (std::is_same_v<Real, double>) {
    __shared__ double most[kPixelThreads / 32], sizes[kPixelThreads / 32];
    largest = device::block_reduce<kPixelThreads>(largest, device::Max(), most);
    rounding = device::block_reduce<kPixelThreads>(rounding, device::Max(), sizes);
    if (threadIdx.x == 0) {
      const std::int64_t tiles = static_cast<std::int64_t>(gridDim.x) * gridDim.y;
      // The factor keeps it above the value, whichever way the conversion rounds.
      p.partials[item * tiles + ty * gridDim.x + tx] = {
          largest, static_cast<float>(rounding * (1 + 1e-6)), 0};
    }
  }
}

struct BeginParams {
  PlaneState* states;
  Hierarchies hierarchies;
  const WarmPlane* warm;
  int planes;
  std::int64_t all;  // pixels of the image if the mean may be undetermined, else negative
};

__global__ void poisson_begin_kernel(const BeginParams p) {
  const int plane = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (plane >= p.planes) return;
  PlaneState s;
  s.seen = p.warm != nullptr && p.warm[plane].valid ? p.warm[plane].contraction : 0.0;
  s.first_left = p.warm != nullptr && p.warm[plane].valid ? p.warm[plane].first_left : 0.0;
  s.contraction = fmax(kContraction, s.seen);
  const ItemHeader* header = reinterpret_cast<const ItemHeader*>(p.hierarchies.of_plane(plane));
  if (header->unknowns == p.all) {  // Nothing fixes the mean.
    s.done = s.singular = 1;
    s.estimate = INFINITY;
  }
  p.states[plane] = s;
}

struct WriteParams : FinestLevel, Solution {
  ImageBatch src, out;  // src.data null: start is zero
  int top, left;
  float* warm;
  const WarmPlane* warm_state;
  TilePartial* partials;
};

// Writes out = start + e on the unknown pixels, e = x and the step that it lacks; `warm` keeps e.
__global__ void __launch_bounds__(kPixelThreads, 4) poisson_write_kernel(const WriteParams p) {
  __shared__ float maxima[kPixelThreads / 32];
  const TileThread t;
  const int item = t.item, x = t.x, channels = p.hierarchies.channels;
  const unsigned char* memory = p.hierarchies.of_plane(item * channels);
  if (tile_count(p.grid, memory) == 0) return;
  const unsigned char* active = memory + p.active;
  for (int c = 0; c < channels; ++c) {
    const int plane = item * channels + c;
    const PlaneState& s = p.states[plane];
    const float* from = p.x.of(plane);
    const float* direction = (s.pending % 2 == 0 ? p.even : p.odd).of(plane);
    const float alpha = s.pending >= 0 ? s.alpha : 0.0f;
    float* keep = p.warm == nullptr ? nullptr : p.warm + plane * p.grid.plane;
    float largest = 0;
    for (int y = t.y0; y < (t.ty + 1) * kTileHeight && !s.singular; y += kRowStep) {
      if (x >= p.grid.width || y >= p.grid.height) break;
      const std::int64_t at = static_cast<std::int64_t>(y) * p.grid.pitch + x;
      if (active[at] == 0) continue;
      float e = from[at];
      if (s.pending >= 0) e += alpha * direction[at];
      if (keep != nullptr) {
        if (p.warm_state[plane].valid) e += keep[at];
        keep[at] = e;
        largest = largest_of(largest, e);
      }
      const int iy = p.top + y, ix = p.left + x;
      if (p.src.data != nullptr) e += device::load_value(p.src, item, iy, ix, c);
      device::store_value(p.out, item, iy, ix, c, e);
    }
    if (keep != nullptr) {
      largest = device::block_reduce<kPixelThreads>(largest, device::Max(), maxima);
      if (threadIdx.x == 0) p.partials[tile_index(plane)] = {0.0, largest, 0};
      HM_SYNC();
    }
  }
}

struct ReportParams : PlaneSums {
  WarmPlane* warm;
  PlaneReport* report;
  double tolerance;
};

__global__ void __launch_bounds__(kPixelThreads) poisson_report_kernel(const ReportParams p) {
  __shared__ float maxima[kPixelThreads / 32];
  const int plane = static_cast<int>(blockIdx.x);
  const unsigned char* memory = p.hierarchies.of_plane(plane);
  const PlaneState& s = p.states[plane];
  float largest = 0;
  if (p.warm != nullptr) {
    const int tiles = p.grid.tiles_x * p.grid.tiles_y;
    for (int tile = static_cast<int>(threadIdx.x); tile < tiles; tile += kPixelThreads) {
      if (reinterpret_cast<const int*>(memory + p.grid.counts)[tile] == 0) continue;
      largest =
          largest_of(largest, p.partials[static_cast<std::int64_t>(plane) * tiles + tile].largest);
    }
    largest = device::block_reduce<kPixelThreads>(largest, device::Max(), maxima);
  }
  if (threadIdx.x != 0) return;
  double size = s.first;
  if (p.warm != nullptr && !s.singular) {
    WarmPlane& warm = p.warm[plane];
    if (!warm.valid) warm = {};
    size = fmax(size, warm.largest);
    warm.largest = largest;
    warm.valid = largest <= std::numeric_limits<float>::max();
    if (s.steps >= kRitzFrom) {
      warm.contraction = fmax(warm.contraction, s.contraction);
      warm.first_left = fmax(warm.first_left, s.second / s.first);
    }
  }
  PlaneReport report;
  report.estimate = s.estimate > 0 ? fmax(s.estimate, kFloatRounding * size) : s.estimate;
  report.first = s.first;
  report.residual = report.max_error = std::numeric_limits<double>::quiet_NaN();
  report.unknowns = reinterpret_cast<const ItemHeader*>(memory)->unknowns;
  report.iterations = s.iterations;
  report.converged = s.converged && report.estimate <= p.tolerance;
  p.report[plane] = report;
}

void check_image(const Plan& plan, ImageBatch& image, const char* name, int count, int channels) {
  HM_CHECK(image.exists(), name, ": missing");
  device::check_image_shape(image, name, image.count == 1 ? 1 : count, plan.options.height,
                            plan.options.width, channels);
  if (image.count == 1) image.batch_stride = 0;
  image.count = count;
}

}  // namespace

SolveImages checked_images(const Plan& plan, const SolveImages& given) {
  SolveImages images = given;
  const int count = images.count(), channels = images.channels();
  HM_CHECK(count >= 1 && channels >= 1, "images: none");
  HM_CHECK(plan.options.items == 1 || plan.options.items == count, "mask: ", plan.options.items,
           " items, expected ", count, " or 1");
  if (images.rhs.exists()) {
    HM_CHECK(images.rhs.dtype == DType::kFloat32 || images.rhs.dtype == DType::kFloat64,
             "rhs: dtype ", dtype_name(images.rhs.dtype), ", expected float32 or float64");
    check_image(plan, images.rhs, "rhs", count, channels);
  } else {
    check_image(plan, images.src, "src", count, channels);
    check_image(plan, images.dst, "dst", count, channels);
    check_image(plan, images.mask, "mask", count, 1);
    for (const ImageBatch* image : {&images.src, &images.dst}) {
      const DType type = image->dtype;
      HM_CHECK(type == DType::kUInt8 || type == DType::kUInt16 || type == DType::kFloat16 ||
                   type == DType::kFloat32,
               image == &images.src ? "src" : "dst", ": dtype ", dtype_name(type),
               ", expected uint8, uint16, float16 or float32");
    }
    if (images.base.exists()) check_image(plan, images.base, "base", count, channels);
  }
  HM_CHECK(images.weight_map.exists() == plan.options.weight_map,
           "weight_map: ", plan.options.weight_map ? "missing" : "not expected");
  if (images.weight_map.exists()) {
    HM_CHECK(images.weight_map.dtype == DType::kFloat32, "weight_map: dtype ",
             dtype_name(images.weight_map.dtype), ", expected float32");
    check_image(plan, images.weight_map, "weight_map", plan.options.items, 1);
  }
  const int outs = images.out.count;
  check_image(plan, images.out, "out", count, channels);
  HM_CHECK(outs == count, "out: ", outs, " items, expected ", count);
  HM_CHECK(images.out.dtype != DType::kBool, "out: dtype bool is not an image type");
  return images;
}

void launch_poisson_residual(const Plan& plan, const SolveMemory& memory, const SolveImages& images,
                             const ResidualOptions& options, cudaStream_t stream) {
  const ResidualParams p = {memory.finest(plan), images, options, plan.options};
  const dim3 grid = tile_grid(plan.grid[0], images.count());
  const auto launch = [&](auto source) {
    using Source = decltype(source);
    using Real = std::conditional_t<std::is_same_v<Source, Any>, double, float>;
    HM_LAUNCH((poisson_residual_kernel<Source, Real>), grid, dim3(kPixelThreads), 0, stream, p);
  };
  if (options.e.data != nullptr) return launch(Any());
  if (images.rhs.exists()) return launch(Typed<float>());
  if (images.src.dtype != images.dst.dtype) return launch(Mixed());
  switch (images.dst.dtype) {
    case DType::kUInt8: return launch(Typed<std::uint8_t>());
    case DType::kUInt16: return launch(Typed<std::uint16_t>());
    case DType::kFloat16: return launch(Typed<__half>());
    default: return launch(Typed<float>());
  }
}

void launch_poisson_solve(const Plan& plan, void* hierarchy, const DeviceSolve& solve,
                          void* workspace, cudaStream_t stream) {
  HM_CHECK(hierarchy != nullptr && workspace != nullptr, "memory or workspace: missing");
  HM_CHECK(solve.report != nullptr, "report: missing");
  HM_CHECK(solve.tolerance >= 0, "tolerance: ", solve.tolerance, ", expected at least 0");
  HM_CHECK(solve.max_iterations >= 1 && solve.max_iterations <= kMaxDeviceIterations,
           "max_iterations: ", solve.max_iterations, ", expected 1 to ", kMaxDeviceIterations);
  const SolveImages images = checked_images(plan, solve.images);
  HM_CHECK(solve.warm == nullptr || !images.rhs.exists(), "warm: not with rhs");
  const int channels = images.channels(), planes = device_planes(images.count(), channels);
  const SolveMemory memory(plan, hierarchy, planes, channels, workspace);
  WarmPlane* warm = static_cast<WarmPlane*>(solve.warm);
  float* corrections = warm == nullptr ? nullptr : warm_planes(solve.warm, planes);

  const bool determined = plan.options.weight > 0 || plan.options.weight_map;
  const std::int64_t all = determined ? -1 : std::int64_t(plan.options.height) * plan.options.width;
  const BeginParams begin = {memory.states(), memory.hierarchies, warm, planes, all};
  HM_LAUNCH(poisson_begin_kernel, dim3((static_cast<unsigned>(planes) + 63) / 64), dim3(64), 0,
            stream, begin);
  ResidualOptions residual;
  residual.r = memory.fine(plan, kR);
  residual.warm = corrections;
  residual.warm_state = warm;
  residual.states = memory.states();
  launch_poisson_residual(plan, memory, images, residual, stream);

  GradientsOptions gradients;
  gradients.tolerance = solve.tolerance;
  gradients.max_iterations = solve.max_iterations;
  gradients.room = solve.room;
  Follower follower(solve.done);
  launch_poisson_gradients(plan, memory, gradients, follower, stream);

  const WriteParams write = {memory.finest(plan), memory.solution(plan), images.src,  images.out,
                             plan.options.top,    plan.options.left,     corrections, warm,
                             memory.partials()};
  HM_LAUNCH(poisson_write_kernel, tile_grid(plan.grid[0], images.count()), dim3(kPixelThreads), 0,
            stream, write);
  const ReportParams report = {memory.sums(plan), warm, solve.report, solve.tolerance};
  HM_LAUNCH(poisson_report_kernel, dim3(static_cast<unsigned>(planes)), dim3(kPixelThreads), 0,
            stream, report);
}

}  // namespace pyharmony::poisson
