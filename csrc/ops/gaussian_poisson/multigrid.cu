// Cell-centred multigrid on a device: full multigrid, then V(2,2) cycles; see multigrid_grids.h.
//
// On large grids a warp owns a strip of 120 columns and a segment of rows and marches down them;
// lane l holds four columns. Start, two steps of the smoother and the residual follow each other
// one row apart in registers, neighbours come by shuffle, so a sweep reads and writes each array
// once and there is neither shared memory nor a barrier. All grids that fit into shared memory
// together are visited by one block a plane in one launch.
//
// A plane is a channel of an image of the batch. Norms are maxima, collected by atomics on the
// bits of the magnitudes: any order gives the same. A kernel of a cycle looks at the norms of the
// cycle before and returns where they say that the image is done.
#include <cmath>
#include <limits>

#include "device/launch.h"
#include "device/reduce.h"
#include "ops/gaussian_poisson/multigrid_cuda.h"
#include "ops/gaussian_poisson/multigrid_grids.h"
#include "ops/gaussian_poisson/rectangle.h"

namespace pyharmony::gaussian_poisson {
namespace {

using device::ImageBatch;

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

// ---- grids ----------------------------------------------------------------------------------

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

// The same value, as far as the compiler can tell another one: what follows from it is computed
// where it is used, instead of ahead of a loop, where it would cost registers.
__device__ __forceinline__ int again(int v) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+r"(v));
#endif
  return v;
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
__device__ __forceinline__ int larger(int a, int b) { return a > b ? a : b; }
__device__ __forceinline__ int smaller(int a, int b) { return a < b ? a : b; }

// ---- right-hand side ------------------------------------------------------------------------

struct RhsParams {
  ImageBatch src, dst, mask, base, rhs;
  float* b;       // [N C, H, pitch]
  float* coarse;  // [N C, H / 2, coarse_pitch], rounded up: sums over 2 x 2; or null
  double* sums;   // [N C, blocks] of base, or of rhs
  int* sizes;     // [N C, blocks] magnitudes of the images' values, as bits
  CycleNorms* norms;
  ImageState* images;
  std::int64_t plane, coarse_plane;
  float weight;
  int height, width, channels, pitch, coarse_pitch, group, groups, per_image;
};

// A block forms b on a tile, for up to four channels. The images are read once and in their own
// order, and b leaves by planes.
__global__ void __launch_bounds__(kTileThreads, 4)
    gaussian_poisson_multigrid_rhs_kernel(RhsParams p) {
  constexpr int kRows = kTileHeight + 2, kColumns = kTileWidth + 2, kWarps = kTileThreads / 32;
  constexpr int kPlane = kRows * kColumns;
  constexpr int kEach = kTileHeight * kTileWidth / kTileThreads;
  static_assert(kEach == 4 && kTileHeight == 16);
  HM_DYN_SMEM(float, shared);
  __shared__ double sums[kTileChannels][kWarps];
  __shared__ int sizes[kTileChannels][kWarps];
  const int image = blockIdx.z / p.groups, c0 = blockIdx.z % p.groups * p.group;
  const int group = smaller(p.group, p.channels - c0);
  float* mask = shared;
  float* src = mask + kPlane;
  float* dst = src + p.group * kPlane;
  float* base = dst + p.group * kPlane;
  const int x0 = blockIdx.x * kTileWidth;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const bool formed = p.rhs.data == nullptr;
  if (blockIdx.x == 0 && blockIdx.y == 0 && c0 == 0) {
    for (int i = threadIdx.x; i < p.per_image; i += kTileThreads) {
      p.norms[std::int64_t(image) * p.per_image + i] = {};
    }
    if (threadIdx.x == 0) p.images[image] = {};
  }
  const int y0 = blockIdx.y * kTileHeight;
  for (int row = warp; row < kRows; row += kWarps) {
    const int y = smaller(larger(y0 + row - 1, 0), p.height - 1);
    if (formed) {
      for (int column = lane; column < kColumns; column += 32) {
        const int x = smaller(larger(x0 + column - 1, 0), p.width - 1);
        mask[row * kColumns + column] = device::load_mask(p.mask, image, y, x);
      }
    }
    for (int e = lane; e < kColumns * group; e += 32) {
      const int column = group == 3 ? e / 3 : group == 4 ? e / 4 : group == 2 ? e / 2 : e;
      const int c = e - column * group;
      const int x = smaller(larger(x0 + column - 1, 0), p.width - 1);
      const int at = c * kPlane + row * kColumns + column;
      if (formed) {
        src[at] = device::load_value(p.src, image, y, x, c0 + c);
        dst[at] = device::load_value(p.dst, image, y, x, c0 + c);
      }
      if (row > 0 && row <= kTileHeight && column > 0 && column <= kTileWidth) {
        base[at] = formed ? device::load_value(p.base, image, y, x, c0 + c)
                          : device::load_value(p.rhs, image, y, x, c0 + c);
      }
    }
  }
  HM_SYNC();
  for (int c = 0; c < group; ++c) {
    const std::int64_t plane = image * std::int64_t(p.channels) + c0 + c;
    float* const b_plane = p.b + plane * p.plane;
    float* const coarse_plane = p.coarse + plane * p.coarse_plane;
    float sum = 0, above = 0;
    int size = 0;
    const int column = threadIdx.x % kTileWidth + 1, x = x0 + column - 1;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      // Pairs of rows.
      const int row = 2 * (threadIdx.x / kTileWidth) + i % 2 + i / 2 * (kTileHeight / 2) + 1;
      const int y = y0 + row - 1;
      float b = 0;
      if (y < p.height && x < p.width) {
        const int m = row * kColumns + column, at = c * kPlane + m;
        b = base[at];
        sum += b;
        size = larger(size, magnitude_bits(b));
        if (formed) {
          const float s = src[at], d = dst[at];
          // The wanted difference from the neighbour at `step` to this pixel.
          auto difference = [&](int step) {
            const float a = 0.5f * (mask[m] + mask[m + step]);
            const float dd = d - dst[at + step];
            return fmaf(a, (s - src[at + step]) - dd, dd);
          };
          size = larger(size, larger(magnitude_bits(s), magnitude_bits(d)));
          b = (difference(-1) + difference(1)) + (difference(-kColumns) + difference(kColumns)) +
              p.weight * b;
        }
        b_plane[std::int64_t(y) * p.pitch + x] = b;
      }
      if (i % 2 == 0) {
        above = b;
        continue;
      }
      const float pair = above + b;
      const float both = pair + __shfl_down_sync(0xffffffffu, pair, 1);
      // No cell of the finest grid is narrower than the others: an odd last one stays alone.
      if (p.coarse && x % 2 == 0 && y - 1 < p.height && x < p.width) {
        coarse_plane[std::int64_t(y / 2) * p.coarse_pitch + x / 2] = both;
      }
    }
    const double total = device::warp_reduce(static_cast<double>(sum), device::Sum());
    size = device::warp_reduce(size, device::Max());
    if (lane == 0) {
      sums[c][warp] = total;
      sizes[c][warp] = size;
    }
  }
  HM_SYNC();
  if (static_cast<int>(threadIdx.x) < group) {
    const int c = threadIdx.x;
    double sum = 0;
    int size = 0;
    for (int i = 0; i < kWarps; ++i) {
      sum += sums[c][i];
      size = larger(size, sizes[c][i]);
    }
    const std::int64_t at = (image * std::int64_t(p.channels) + c0 + c) * gridDim.x * gridDim.y +
                            std::int64_t(blockIdx.y) * gridDim.x + blockIdx.x;
    p.sums[at] = sum;
    p.sizes[at] = size;
  }
}

struct RestrictParams {
  GridAxis y, x, coarse_y, coarse_x;
  const float* fine;
  float *coarse, *coarser;  // coarser may be null
  std::int64_t fine_plane, coarse_plane, coarser_plane;
  int fine_pitch, coarse_pitch, coarser_pitch, planes;
};

// The right-hand side on the next two grids: the sums over what their cells own.
__global__ void __launch_bounds__(256)
    gaussian_poisson_multigrid_restrict_kernel(RestrictParams p) {
  const int rows = p.coarser ? p.coarse_y.coarse_count : p.y.coarse_count;
  const int columns = p.coarser ? p.coarse_x.coarse_count : p.x.coarse_count;
  const std::int64_t index = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= std::int64_t(rows) * columns * p.planes) return;
  const int column = static_cast<int>(index % columns);
  const std::int64_t rest = index / columns;
  const int row = static_cast<int>(rest % rows);
  const std::int64_t plane = rest / rows;
  const float* fine = p.fine + plane * p.fine_plane;
  float* coarse = p.coarse + plane * p.coarse_plane;
  const int i0 = p.coarser ? 2 * row : row, j0 = p.coarser ? 2 * column : column;
  const int i1 = p.coarser ? owned_end(p.coarse_y, row) : row + 1;
  const int j1 = p.coarser ? owned_end(p.coarse_x, column) : column + 1;
  float total = 0;
  for (int i = i0; i < i1; ++i) {
    for (int j = j0; j < j1; ++j) {
      float sum = 0;
      for (int y = 2 * i; y < owned_end(p.y, i); ++y) {
        for (int x = 2 * j; x < owned_end(p.x, j); ++x) {
          sum += fine[std::int64_t(y) * p.fine_pitch + x];
        }
      }
      coarse[std::int64_t(i) * p.coarse_pitch + j] = sum;
      total += sum;
    }
  }
  if (p.coarser) {
    p.coarser[plane * p.coarser_plane + std::int64_t(row) * p.coarser_pitch + column] = total;
  }
}

// ---- a sweep of a large grid ----------------------------------------------------------------

struct SweepParams {
  GridAxis y, x;
  const float *in, *coarse;  // the sweep starts from in + interpolate(coarse); null: zero
  const float* rhs;
  float *out, *restricted;  // restricted: the residual on the next grid
  double* sums;             // of the answer's values, one for each warp
  std::int64_t plane, coarse_plane;
  int pitch, coarse_pitch, channels, strips, segments, rows;
  std::int64_t warps;
  float inverse;  // 1 / D where rows and columns are like most
  Operator a;
  Cycle cycle;
};

// Row y of what a stage works on, and what is known of A x there before row y + 1 comes.
template <bool kFinest>
struct Stage {
  float x[kLanes], part[kLanes];
  float bend[kFinest ? kLanes : 1];  // 2 x minus both horizontal neighbours
};

// What a lane knows of its columns.
struct Columns {
  int j0;
  bool first;   // holds column 0
  bool edge;    // the same for the warp: it reaches those of the last columns that are not alike
  bool border;  // the same for the warp: edge, or it holds column 0
};

// Takes row y, puts A x of row y - 1 into ax. `fresh`: the first row that this stage sees; above
// the image's border lies its mirror image.
template <bool kFinest>
__device__ __forceinline__ void feed(Stage<kFinest>& s, const float (&x)[kLanes], int y, bool fresh,
                                     const SweepParams& p, const Columns& c, float (&ax)[kLanes]) {
  constexpr unsigned kAll = 0xffffffffu;
  float left = __shfl_up_sync(kAll, x[kLanes - 1], 1);
  const float right = __shfl_down_sync(kAll, x[0], 1);
  if constexpr (kFinest) {
    if (c.first) left = x[0];
    float bend[kLanes];
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float before = k == 0 ? left : x[k > 0 ? k - 1 : 0];
      float after = k + 1 < kLanes ? x[k + 1 < kLanes ? k + 1 : 0] : right;
      if (c.edge && c.j0 + k + 1 == p.x.count) after = x[k];
      bend[k] = fmaf(2.0f, x[k], -(before + after));
    }
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float up = fresh ? 0.0f : x[k] - s.x[k];
      const float above = fresh ? bend[k] : s.bend[k];
      ax[k] = fmaf(p.a.corner, bend[k], fmaf(-p.a.both, up, s.part[k]));
      s.part[k] =
          fmaf(p.a.gain, x[k], fmaf(p.a.edge, bend[k], fmaf(p.a.corner, above, p.a.both * up)));
      s.bend[k] = bend[k];
      s.x[k] = x[k];
    }
  } else {
    const float link = link_of(p.y, y), height = width_of(p.y, y), gain = p.a.gain * height;
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float before = k == 0 ? left : x[k > 0 ? k - 1 : 0];
      const float after = k + 1 < kLanes ? x[k + 1 < kLanes ? k + 1 : 0] : right;
      const int j = c.j0 + k;
      const float width = c.edge ? width_of(p.x, j) : p.x.size;
      const float link_before = c.border ? link_of(p.x, j) : p.x.link;
      const float link_after = c.border ? link_of(p.x, j + 1) : p.x.link;
      const float across = fmaf(link_before, x[k] - before, link_after * (x[k] - after));
      const float up = fresh ? 0.0f : link * (x[k] - s.x[k]);
      ax[k] = fmaf(-width, up, s.part[k]);
      s.part[k] = fmaf(width, fmaf(gain, x[k], up), height * across);
      s.x[k] = x[k];
    }
  }
}

template <bool kFinest>
__device__ __forceinline__ float inverse_diagonal(const SweepParams& p, int y, int j) {
  float d;
  if constexpr (kFinest) {
    const float down = static_cast<float>((y > 0) + (y + 1 < p.y.count));
    const float across = static_cast<float>((j > 0) + (j + 1 < p.x.count));
    d = (down + across) +
        p.a.weight * (p.a.w0 + p.a.w1 * (2.0f - down)) * (p.a.w0 + p.a.w1 * (2.0f - across));
  } else {
    const float height = width_of(p.y, y), width = width_of(p.x, j);
    d = (link_of(p.y, y) + link_of(p.y, y + 1)) * width +
        height * (link_of(p.x, j) + link_of(p.x, j + 1)) + p.a.gain * height * width;
  }
  return d > 0 ? reciprocal(d) : 0.0f;
}

// 1 / D in row y.
template <bool kFinest>
__device__ __forceinline__ void inverse_row(const SweepParams& p, const Columns& c, int y,
                                            float (&d)[kLanes]) {
  const bool regular = !c.border && y > 0 && y + (kFinest ? 1 : 2) < p.y.count;
#pragma unroll
  for (int k = 0; k < kLanes; ++k) d[k] = p.inverse;
  if (!regular) {
#pragma unroll
    for (int k = 0; k < kLanes; ++k) d[k] = inverse_diagonal<kFinest>(p, y, c.j0 + k);
  }
}

// What the start of a row needs from memory.
struct Fetched {
  float in[kLanes], near[2], far[2];
};

__device__ __forceinline__ void load_lane(const float* from, const Columns& c, int width,
                                          float (&to)[kLanes]) {
  if (!c.edge || c.j0 + kLanes <= width) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
  } else {
#pragma unroll
    for (int k = 0; k < kLanes; ++k) to[k] = c.j0 + k < width ? from[k] : 0.0f;
  }
}

__device__ __forceinline__ void load_pair(const float* from, const Columns& c, int count,
                                          float (&to)[2]) {
  if (!c.edge || c.j0 / 2 + 1 < count) {
    const float2 v = *reinterpret_cast<const float2*>(from);
    to[0] = v.x;
    to[1] = v.y;
  } else {
    to[0] = *from;
  }
}

// The row beside `owner` that row y is interpolated with, and its share.
__device__ __forceinline__ float share_of(const GridAxis& axis, int y, int owner, int& other) {
  const float share = y == 2 * owner       ? even_of(axis, owner)
                      : y == 2 * owner + 1 ? odd_of(axis, owner)
                                           : 0.0f;
  other = share == 0.0f ? owner : y == 2 * owner ? owner - 1 : owner + 1;
  return share;
}

// kDown: the residual of the answer goes to the next grid. Else, on the finest grid, its norm and
// the sum of the answer are taken. kZero: the cycle starts from zero, so the answer of the sweep
// down follows from the right-hand side by one stencil: it is not stored, the sweep up forms it
// again.
template <bool kFinest, bool kDown, bool kZero>
__global__ void __launch_bounds__(kSweepWarps * 32, 4)
    gaussian_poisson_multigrid_sweep_kernel(const SweepParams p) {
  constexpr unsigned kAll = 0xffffffffu;
  constexpr bool kThird = kDown || kFinest;  // the answer's residual is wanted
  constexpr int kHalo = kThird ? 3 : 2;
  constexpr bool kStarts = !(kZero && kDown), kAgain = kZero && !kDown;
  const int lane = threadIdx.x % 32;
  const std::int64_t id = std::int64_t(blockIdx.x) * kSweepWarps + threadIdx.x / 32;
  if (id >= p.warps) return;
  const int strip = static_cast<int>(id % p.strips);
  const std::int64_t rest = id / p.strips;
  const int segment = static_cast<int>(rest % p.segments);
  const std::int64_t plane = rest / p.segments;
  const int image = static_cast<int>(plane / p.channels);
  if (image_is_done(p.cycle, image)) return;

  const int h = p.y.count, w = p.x.count;
  const int y0 = segment * p.rows, y1 = segment + 1 < p.segments ? y0 + p.rows : h;
  const int begin = larger(0, y0 - kHalo), limit = smaller(h, y1 + kHalo);
  Columns c;
  c.j0 = strip * kStrip - kLanes + kLanes * lane;
  c.first = c.j0 == 0;
  c.edge = strip * kStrip + kStrip + 2 * kLanes > w;
  c.border = c.edge || strip == 0;
  const bool loads = c.j0 >= 0 && c.j0 < w;
  const bool owns = loads && lane > 0 && (lane < 31 || strip + 1 == p.strips);
  const int cj = c.j0 / 2, nx = p.x.coarse_count;
  const bool interpolates = loads && cj < nx;

  const std::int64_t at = plane * p.plane + c.j0, coarse_at = plane * p.coarse_plane + cj;

  auto fetch = [&](int y, Fetched& f) {
    const std::int64_t row = at + y * p.pitch;
    if (loads && p.in) load_lane(p.in + row, c, w, f.in);
    if (p.coarse && interpolates) {
      const int owner = owner_of(p.y, y);
      int other;
      share_of(p.y, y, owner, other);
      const float* const coarse = p.coarse + coarse_at;
      load_pair(coarse + owner * p.coarse_pitch, c, nx, f.near);
      load_pair(coarse + other * p.coarse_pitch, c, nx, f.far);
    }
  };

  Fetched next = {};
  Stage<kFinest> start = {}, first = {}, second = {};
  float rhs1[kLanes] = {}, rhs2[kLanes] = {}, rhs3[kLanes] = {}, step[kLanes] = {};
  float coarse_sum[2] = {};
  int correction = 0, moved = 0, residual = 0, size = 0;
  float sum = 0, lost = 0;
  if constexpr (kStarts) fetch(begin, next);
  // Where the sweep down is done again: the answer of its first step one row ahead of the start.
  const int first_again = larger(0, begin - 1);
  Stage<kFinest> again_first = {};
  float rhs_ahead[kLanes] = {}, rhs_now[kLanes] = {};
  if constexpr (kAgain) {
    if (loads) load_lane(p.rhs + at + first_again * p.pitch, c, w, rhs_ahead);
  }
#pragma unroll 1
  for (int i = kAgain ? first_again - 1 : begin; i < y1 + kHalo; ++i) {
    c.j0 = again(c.j0);
    const int cj = c.j0 / 2;
    float x[kLanes] = {}, ax[kLanes] = {}, before[kLanes] = {}, d[kLanes];
    float rhs0[kLanes] = {};  // not needed before the next row comes
    float in[kLanes];
    if constexpr (kAgain) {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) rhs0[k] = rhs_now[k];
      inverse_row<kFinest>(p, c, i + 1, d);
#pragma unroll
      for (int k = 0; k < kLanes; ++k) {
        before[k] = again_first.x[k];
        x[k] = i + 1 < h ? kGain1 * d[k] * rhs_ahead[k] : before[k];
        rhs_now[k] = rhs_ahead[k];
      }
      if (loads && i + 2 < h) load_lane(p.rhs + at + (i + 2) * p.pitch, c, w, rhs_ahead);
      feed(again_first, x, i + 1, i + 1 == first_again, p, c, ax);
      if (i < begin) continue;
      inverse_row<kFinest>(p, c, i, d);
#pragma unroll
      for (int k = 0; k < kLanes; ++k) {
        in[k] = fmaf(1 + kMomentum2, before[k], kGain2 * d[k] * (rhs0[k] - ax[k]));
      }
    } else {
      if (loads && i < limit) load_lane(p.rhs + at + i * p.pitch, c, w, rhs0);
#pragma unroll
      for (int k = 0; k < kLanes; ++k) in[k] = next.in[k];
    }
    // The start, row i; below the border its mirror image.
    if (kStarts && i < limit) {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) x[k] = in[k];
      float near[2] = {next.near[0], next.near[1]}, far[2] = {next.far[0], next.far[1]};
      if (i + 1 < limit) fetch(i + 1, next);
      if (p.coarse) {
        int other;
        const float share = share_of(p.y, i, owner_of(p.y, i), other);
        float q0 = fmaf(share, far[0] - near[0], near[0]);
        float q1 = fmaf(share, far[1] - near[1], near[1]);
        const float left = __shfl_up_sync(kAll, q1, 1);
        const float right = __shfl_down_sync(kAll, q0, 1);
        if (c.edge) {  // the third column of the last cell, and what lies beyond it
          if (cj >= nx) q0 = left;
          if (cj + 1 >= nx) q1 = q0;
        }
        const float even0 = c.border ? even_of(p.x, cj) : 0.25f;
        const float odd0 = c.border ? odd_of(p.x, cj) : 0.25f;
        const float even1 = c.border ? even_of(p.x, cj + 1) : 0.25f;
        const float odd1 = c.border ? odd_of(p.x, cj + 1) : 0.25f;
        const float add[kLanes] = {fmaf(even0, left - q0, q0), fmaf(odd0, q1 - q0, q0),
                                   fmaf(even1, q0 - q1, q1), fmaf(odd1, right - q1, q1)};
#pragma unroll
        for (int k = 0; k < kLanes; ++k) x[k] += add[k];
        if constexpr (kFinest && !kDown) {
          if (owns && i >= y0 && i < y1) {
#pragma unroll
            for (int k = 0; k < kLanes; ++k) {
              if (c.j0 + k < w) correction = larger(correction, magnitude_bits(add[k]));
            }
          }
        }
      }
    } else {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) x[k] = start.x[k];
    }
    // The first step, row i - 1.
    float new_step[kLanes];
    if constexpr (kStarts) {
#pragma unroll
      for (int k = 0; k < kLanes; ++k) before[k] = start.x[k];
      feed(start, x, i, i == begin, p, c, ax);
    }
    inverse_row<kFinest>(p, c, i - 1, d);
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      new_step[k] = kGain1 * d[k] * (rhs1[k] - ax[k]);
      x[k] = i - 1 < h ? before[k] + new_step[k] : first.x[k];
    }
    // The second, row i - 2.
#pragma unroll
    for (int k = 0; k < kLanes; ++k) before[k] = first.x[k];
    feed(first, x, i - 1, i - 1 == begin, p, c, ax);
    inverse_row<kFinest>(p, c, i - 2, d);
    float change[kLanes];
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float second_step = fmaf(kMomentum2, step[k], kGain2 * d[k] * (rhs2[k] - ax[k]));
      x[k] = before[k] + second_step;
      change[k] = step[k] + second_step;
      step[k] = new_step[k];
    }
    if (i - 2 >= y0 && i - 2 < y1 && owns) {
      if constexpr (kStarts) {
        *reinterpret_cast<float4*>(p.out + at + (i - 2) * p.pitch) =
            make_float4(x[0], x[1], x[2], x[3]);
      }
      if constexpr (kFinest) {
        float row = 0;
#pragma unroll
        for (int k = 0; k < kLanes; ++k) {
          if (c.j0 + k < w) {
            moved = larger(moved, magnitude_bits(change[k]));
            if constexpr (!kDown) {
              size = larger(size, magnitude_bits(x[k]));
              row += x[k];
            }
          }
        }
        if constexpr (!kDown) {  // with what rounding loses
          const float term = row - lost, total = sum + term;
          lost = (total - sum) - term;
          sum = total;
        }
      }
    }
    // The residual, row i - 3.
    if constexpr (kThird) {
      if (i - 2 >= h) {
#pragma unroll
        for (int k = 0; k < kLanes; ++k) x[k] = second.x[k];
      }
      feed(second, x, i - 2, i - 2 == begin, p, c, ax);
      const int y = i - 3;
      if (y >= y0) {
        float r[kLanes];
#pragma unroll
        for (int k = 0; k < kLanes; ++k) {
          r[k] = !c.edge || c.j0 + k < w ? rhs3[k] - ax[k] : 0.0f;
        }
        if constexpr (kDown) {
          float pair0 = r[0] + r[1], pair1 = r[2] + r[3];
          if (c.edge) {
            const float beyond = __shfl_down_sync(kAll, r[0], 1);
            if (w > 2 * nx) {
              if (c.j0 + 2 == 2 * nx) pair0 += r[2];
              if (c.j0 + 4 == 2 * nx) pair1 += beyond;
            }
          }
          const int owner = owner_of(p.y, y);
          coarse_sum[0] = y == 2 * owner ? pair0 : coarse_sum[0] + pair0;
          coarse_sum[1] = y == 2 * owner ? pair1 : coarse_sum[1] + pair1;
          if (owns && cj < nx && y + 1 == owned_end(p.y, owner)) {
            *reinterpret_cast<float2*>(p.restricted + coarse_at + owner * p.coarse_pitch) =
                make_float2(coarse_sum[0], coarse_sum[1]);
          }
        } else if (owns) {
#pragma unroll
          for (int k = 0; k < kLanes; ++k) residual = larger(residual, magnitude_bits(r[k]));
        }
      }
    }
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      rhs3[k] = rhs2[k];
      rhs2[k] = rhs1[k];
      rhs1[k] = rhs0[k];
    }
  }

  if constexpr (kFinest) {
    CycleNorms* norms = p.cycle.norms + std::int64_t(image) * p.cycle.per_image + p.cycle.index;
    moved = device::warp_reduce(moved, device::Max());
    if constexpr (kDown) {
      if (lane == 0) {
        atomicMax(&norms->before, moved);
        if (strip == 0 && segment == 0 && plane % p.channels == 0) norms->ran = 1;
      }
    } else {
      correction = device::warp_reduce(correction, device::Max());
      residual = device::warp_reduce(residual, device::Max());
      size = device::warp_reduce(size, device::Max());
      const double total = device::warp_reduce(static_cast<double>(sum) - lost, device::Sum());
      if (lane == 0) {
        atomicMax(&norms->after, moved);
        atomicMax(&norms->correction, correction);
        atomicMax(&norms->residual, residual);
        atomicMax(&norms->size, size);
        p.sums[id] = total;
      }
    }
  }
}

// ---- all small grids ------------------------------------------------------------------------

constexpr int kMaxCoarse = 14;

struct CoarseParams {
  int levels, cells;  // in shared memory, and their cells together
  int offset[kMaxCoarse];
  GridAxis y[kMaxCoarse], x[kMaxCoarse];
  // The last grid's A^-1 is V diag(inverse) V^T, with V the product of those of both axes.
  float vectors_y[kDirect * kDirect], vectors_x[kDirect * kDirect], inverse[kDirect * kDirect];
  const float* rhs;
  float* solution;
  std::int64_t plane;
  int pitch, channels;
  bool full;  // from the right-hand side of the image itself, by full multigrid; else one cycle
  float gain;
  // Where full: what the right-hand side's kernel left.
  const double* sums;
  const int* sizes;
  int blocks;
  ImageState* images;
  double* answer_sums;  // where there is no larger grid
  Cycle cycle;
};

struct CoarseGrid {
  const GridAxis &y, &x;
  float *solution, *rhs;
};

__device__ __forceinline__ int cells_of(const CoarseGrid& g) { return g.y.count * g.x.count; }

__device__ __forceinline__ float coarse_diagonal(const CoarseGrid& g, float gain, int y, int x) {
  const float height = width_of(g.y, y), width = width_of(g.x, x);
  return (link_of(g.y, y) + link_of(g.y, y + 1)) * width +
         height * (link_of(g.x, x) + link_of(g.x, x + 1)) + gain * height * width;
}

__device__ __forceinline__ float coarse_residual(const CoarseGrid& g, float gain, const float* u,
                                                 int y, int x) {
  const int n = g.x.count, i = y * n + x;
  const float height = width_of(g.y, y), width = width_of(g.x, x), v = u[i];
  // A link beyond the border is zero, whatever it leads to.
  const float vertical = link_of(g.y, y) * (v - u[y > 0 ? i - n : i]) +
                         link_of(g.y, y + 1) * (v - u[y + 1 < g.y.count ? i + n : i]) +
                         gain * height * v;
  const float horizontal = link_of(g.x, x) * (v - u[x > 0 ? i - 1 : i]) +
                           link_of(g.x, x + 1) * (v - u[x + 1 < n ? i + 1 : i]);
  return g.rhs[i] - (width * vertical + height * horizontal);
}

__device__ __forceinline__ float coarse_interpolated(const CoarseGrid& g, const float* coarse,
                                                     int y, int x) {
  const int i = owner_of(g.y, y), j = owner_of(g.x, x), n = g.x.coarse_count;
  int other_i, other_j;
  const float share_i = share_of(g.y, y, i, other_i), share_j = share_of(g.x, x, j, other_j);
  const float near = fmaf(share_i, coarse[other_i * n + j] - coarse[i * n + j], coarse[i * n + j]);
  const float far = fmaf(share_i, coarse[other_i * n + other_j] - coarse[i * n + other_j],
                         coarse[i * n + other_j]);
  return fmaf(share_j, far - near, near);
}

// The right-hand side of the next grid: of the residual, or of the right-hand side where u is null.
__device__ __forceinline__ void coarse_restrict(const CoarseGrid& g, float gain, const float* u,
                                                float* to) {
  const int n = g.x.coarse_count, count = g.y.coarse_count * n;
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    const int row = i / n, column = i % n;
    float sum = 0;
    for (int y = 2 * row; y < owned_end(g.y, row); ++y) {
      for (int x = 2 * column; x < owned_end(g.x, column); ++x) {
        sum += u ? coarse_residual(g, gain, u, y, x) : g.rhs[y * g.x.count + x];
      }
    }
    to[i] = sum;
  }
}

// Both steps of the smoother; `other` is scratch. Ends with a barrier.
__device__ __forceinline__ void coarse_smooth(const CoarseGrid& g, float gain, bool from_zero,
                                              float* other) {
  const int n = g.x.count, count = cells_of(g);
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    const int y = i / n, x = i % n;
    const float d = kGain1 * reciprocal(coarse_diagonal(g, gain, y, x));
    other[i] = from_zero ? d * g.rhs[i]
                         : fmaf(d, coarse_residual(g, gain, g.solution, y, x), g.solution[i]);
  }
  HM_SYNC();
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    const int y = i / n, x = i % n;
    const float step = other[i] - (from_zero ? 0.0f : g.solution[i]);
    const float d = kGain2 * reciprocal(coarse_diagonal(g, gain, y, x));
    g.solution[i] = other[i] + fmaf(kMomentum2, step, d * coarse_residual(g, gain, other, y, x));
  }
  HM_SYNC();
}

// Ends with a barrier.
__device__ __forceinline__ void coarse_solve(const CoarseGrid& g, const float* tables,
                                             float* scratch) {
  const int h = g.y.count, w = g.x.count, i = threadIdx.x;
  const float* vy = tables;
  const float* vx = vy + kDirect * kDirect;
  const float* inverse = vx + kDirect * kDirect;
  const bool works = i < h * w;
  const int y = i / w, x = i % w;
  float* other = scratch + kDirect * kDirect;
  HM_SYNC();
  if (works) {
    float v = 0;
    for (int k = 0; k < h; ++k) v = fmaf(vy[k * kDirect + y], g.rhs[k * w + x], v);
    scratch[i] = v;
  }
  HM_SYNC();
  if (works) {
    float v = 0;
    for (int k = 0; k < w; ++k) v = fmaf(vx[k * kDirect + x], scratch[y * w + k], v);
    other[i] = v * inverse[y * kDirect + x];
  }
  HM_SYNC();
  if (works) {
    float v = 0;
    for (int k = 0; k < h; ++k) v = fmaf(vy[y * kDirect + k], other[k * w + x], v);
    scratch[i] = v;
  }
  HM_SYNC();
  if (works) {
    float v = 0;
    for (int k = 0; k < w; ++k) v = fmaf(vx[x * kDirect + k], scratch[y * w + k], v);
    g.solution[i] = v;
  }
  HM_SYNC();
}

__global__ void __launch_bounds__(kCoarseThreads, 2)
    gaussian_poisson_multigrid_coarse_kernel(const CoarseParams p) {
  HM_DYN_SMEM(float, shared);
  __shared__ float tables[3 * kDirect * kDirect];
  const int plane = blockIdx.x, image = plane / p.channels;
  if (image_is_done(p.cycle, image)) return;
  float* const solutions = shared;
  float* const sides = solutions + p.cells;
  float* const other = sides + p.cells;
  auto grid = [&](int l) {
    return CoarseGrid{p.y[l], p.x[l], solutions + p.offset[l], sides + p.offset[l]};
  };
  const int last = p.levels - 1, n = p.x[0].count, count = p.y[0].count * n;
  for (int i = threadIdx.x; i < 3 * kDirect * kDirect; i += kCoarseThreads) {
    const int table = i / (kDirect * kDirect), k = i % (kDirect * kDirect);
    tables[i] = table == 0 ? p.vectors_y[k] : table == 1 ? p.vectors_x[k] : p.inverse[k];
  }
  const float* rhs = p.rhs + plane * p.plane;
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    sides[i] = rhs[std::int64_t(i / n) * p.pitch + i % n];
  }
  int top = 0;  // the grid whose cycle runs
  if (p.full) {
    for (int l = 0; l < last; ++l) {
      HM_SYNC();
      coarse_restrict(grid(l), p.gain, nullptr, grid(l + 1).rhs);
    }
    top = last;
  }
  for (;; --top) {
    // Down to the coarsest grid and up again; from zero, or from what the coarser one holds.
    for (int l = top; l < last; ++l) {
      const CoarseGrid g = grid(l);
      if (p.full && l == top) {
        const float* coarse = grid(l + 1).solution;
        const int w = g.x.count, cells = cells_of(g);
        for (int i = threadIdx.x; i < cells; i += kCoarseThreads) {
          g.solution[i] = coarse_interpolated(g, coarse, i / w, i % w);
        }
        HM_SYNC();
      }
      coarse_smooth(g, p.gain, !(p.full && l == top), other);
      coarse_restrict(g, p.gain, g.solution, grid(l + 1).rhs);
    }
    coarse_solve(grid(last), tables, other);
    for (int l = last - 1; l >= top; --l) {
      const CoarseGrid g = grid(l);
      const float* coarse = grid(l + 1).solution;
      const int w = g.x.count, cells = cells_of(g);
      for (int i = threadIdx.x; i < cells; i += kCoarseThreads) {
        g.solution[i] += coarse_interpolated(g, coarse, i / w, i % w);
      }
      HM_SYNC();
      coarse_smooth(g, p.gain, false, other);
    }
    if (top == 0) break;
  }
  float* to = p.solution + plane * p.plane;
  for (int i = threadIdx.x; i < count; i += kCoarseThreads) {
    to[std::int64_t(i / n) * p.pitch + i % n] = solutions[i];
  }
  if (p.full) {
    int size = 0;
    for (int i = threadIdx.x; i < p.blocks; i += kCoarseThreads) {
      size = larger(size, p.sizes[std::int64_t(plane) * p.blocks + i]);
    }
    size = device::warp_reduce(size, device::Max());
    if (threadIdx.x % 32 == 0) atomicMax(&p.images[image].size, size);
    if (p.answer_sums && threadIdx.x == 0) {
      double sum = 0;
      for (int i = 0; i < count; ++i) sum += solutions[i];
      p.answer_sums[plane] = sum;
    }
  }
}

// ---- the answer -----------------------------------------------------------------------------

struct MeanParams {
  const double *sums, *answer_sums;
  float* shift;  // [N C]
  int blocks, answer_blocks;
  double pixels, divisor;  // divisor is zero: the mean is zero
};

// What is to be added to each plane.
__global__ void __launch_bounds__(kMeanThreads)
    gaussian_poisson_multigrid_mean_kernel(MeanParams p) {
  __shared__ double scratch[kMeanThreads / 32];
  const std::int64_t plane = blockIdx.x;
  auto total = [&](const double* values, int count) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += kMeanThreads) sum += values[plane * count + i];
    return sum;
  };
  const double wanted = p.divisor > 0 ? 1 / p.divisor : 0;
  const double sum = device::block_reduce<kMeanThreads>(
      wanted * total(p.sums, p.blocks) - total(p.answer_sums, p.answer_blocks), device::Sum(),
      scratch);
  if (threadIdx.x == 0) {
    p.shift[plane] = static_cast<float>(sum / p.pixels);
  }
}

struct StoreParams {
  const float *x, *shift;
  ImageBatch out;
  std::int64_t plane;
  int pitch, max_cycles;
  double gain, inverse_excess;
  MultigridReport* report;
  Cycle cycle;
};

__device__ __forceinline__ MultigridReport report_of(const StoreParams& p, int image) {
  MultigridReport report;
  const CycleNorms* norms = p.cycle.norms + std::int64_t(image) * p.cycle.per_image;
  while (report.cycles < p.max_cycles && norms[report.cycles].ran) ++report.cycles;
  double shift = 0;
  for (int c = 0; c < p.out.channels; ++c) {
    const double s = fabs(static_cast<double>(p.shift[image * p.out.channels + c]));
    if (!(s <= shift)) shift = s;
  }
  report.max_error = __int_as_float(0x7fffffff);
  if (report.cycles == 0) {  // solved directly
    report.converged = 1;
    return report;
  }
  const CycleNorms& n = norms[report.cycles - 1];
  const ImageState& state = p.cycle.images[image];
  const StopRule& rule = p.cycle.rule;
  report.residual = __int_as_float(n.residual) + p.gain * shift;
  report.estimate = kErrorShare * change_of(n);
  if (p.inverse_excess > 0) {
    report.max_error =
        (report.residual + static_cast<double>(rule.x_rounding) * __int_as_float(n.size) +
         static_cast<double>(rule.image_rounding) * __int_as_float(state.size)) *
        p.inverse_excess;
  }
  report.converged = met(n, state, rule);
  return report;
}

__global__ void __launch_bounds__(kStoreThreads)
    gaussian_poisson_multigrid_store_kernel(StoreParams p) {
  const int image = blockIdx.z, channels = p.out.channels;
  const std::int64_t elements = std::int64_t(p.out.width) * channels;
  for (int y = blockIdx.y; y < p.out.height; y += gridDim.y) {
#pragma unroll
    for (int i = 0; i < kStoreEach; ++i) {
      const std::int64_t e =
          (std::int64_t(blockIdx.x) * kStoreEach + i) * kStoreThreads + threadIdx.x;
      if (e >= elements) break;
      const int element = static_cast<int>(e);
      const int x = channels == 3   ? element / 3
                    : channels == 1 ? element
                    : channels == 4 ? element / 4
                                    : element / channels;
      const int c = element - x * channels;
      const std::int64_t plane = image * std::int64_t(channels) + c;
      const float value = p.x[plane * p.plane + std::int64_t(y) * p.pitch + x] + p.shift[plane];
      device::store_value(p.out, image, y, x, c, value);
    }
  }
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) p.report[image] = report_of(p, image);
}

// ---- host -----------------------------------------------------------------------------------

struct Level {
  GridAxis y, x;
  int pitch = 0;
  std::int64_t plane = 0;
  float *rhs = nullptr, *solution = nullptr, *other = nullptr;
  int rows = 0, strips = 0, segments = 0;

  std::int64_t cells() const { return std::int64_t(y.count) * x.count; }
};

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

struct Plan {
  Level levels[kMaxLevels];
  int count = 0, first_coarse = 0;  // grids; the first that is in shared memory
  Axis last_y, last_x;
  std::int64_t planes = 0;
  int group = 0, groups = 0;  // of the right-hand side's kernel
  dim3 rhs_grid;
  int blocks = 0, answer_blocks = 0;  // partial sums of a plane
  std::size_t bytes = 0;
  // In the workspace.
  CycleNorms* norms = nullptr;
  ImageState* images = nullptr;
  double *sums = nullptr, *answer_sums = nullptr;
  int* sizes = nullptr;
  float* shift = nullptr;
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
  // The finest grid has an operator of its own: it is in shared memory only where nothing but
  // the direct solve remains.
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
    pointer = reinterpret_cast<T*>(memory + plan.bytes);
    plan.bytes += (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
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

// L v = value M v of one axis, v^T M v = 1, by Jacobi's rotations. The constants, whose value is
// zero, come first.
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
        for (int k = 0; k < n; ++k) {
          const double x = a[k][p], y = a[k][q];
          a[k][p] = c * x - sine * y;
          a[k][q] = sine * x + c * y;
        }
        for (int k = 0; k < n; ++k) {
          const double x = a[p][k], y = a[q][k];
          a[p][k] = c * x - sine * y;
          a[q][k] = sine * x + c * y;
        }
        for (int k = 0; k < n; ++k) {
          const double x = v[k][p], y = v[k][q];
          v[k][p] = c * x - sine * y;
          v[k][q] = sine * x + c * y;
        }
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
  // Unit roundoff times the magnitude of values, counted along the evaluation. Of A x and the
  // difference from b: 46 + 16. Of b: an edge costs 26, or 7 where differences are exact and of
  // one sign, their sum 16, or 8.
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
    const Level& finest = plan_.levels[0];
    RhsParams p;
    p.src = params_.src;
    p.dst = params_.dst;
    p.mask = params_.mask;
    p.base = params_.base;
    p.rhs = params_.rhs;
    p.b = finest.rhs;
    p.coarse = plan_.count > 1 ? plan_.levels[1].rhs : nullptr;
    p.coarse_plane = plan_.levels[1].plane;
    p.coarse_pitch = plan_.levels[1].pitch;
    p.sums = plan_.sums;
    p.sizes = plan_.sizes;
    p.norms = plan_.norms;
    p.images = plan_.images;
    p.plane = finest.plane;
    p.weight = a_.weight;
    p.height = params_.out.height;
    p.width = params_.out.width;
    p.channels = params_.out.channels;
    p.pitch = finest.pitch;
    p.group = plan_.group;
    p.groups = plan_.groups;
    p.per_image = cycle_.per_image;
    const std::size_t bytes = tile_bytes(plan_.group);
    HM_MAX_DYN_SMEM((gaussian_poisson_multigrid_rhs_kernel), kMostTileBytes);
    HM_LAUNCH((gaussian_poisson_multigrid_rhs_kernel), plan_.rhs_grid, dim3(kTileThreads), bytes,
              stream_, p);
  }

  // Returns the grid that is reached.
  int restrict_rhs(int l) {
    const bool two = l + 2 <= plan_.first_coarse;
    const Level &fine = plan_.levels[l], &coarse = plan_.levels[l + 1];
    const Level& coarser = plan_.levels[two ? l + 2 : l + 1];
    RestrictParams p;
    p.y = fine.y;
    p.x = fine.x;
    p.coarse_y = coarse.y;
    p.coarse_x = coarse.x;
    p.fine = fine.rhs;
    p.coarse = coarse.rhs;
    p.coarser = two ? coarser.rhs : nullptr;
    p.fine_plane = fine.plane;
    p.coarse_plane = coarse.plane;
    p.coarser_plane = coarser.plane;
    p.fine_pitch = fine.pitch;
    p.coarse_pitch = coarse.pitch;
    p.coarser_pitch = coarser.pitch;
    p.planes = static_cast<int>(plan_.planes);
    const std::int64_t blocks = (coarser.cells() * plan_.planes + 255) / 256;
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
    p.rhs = top.rhs;
    p.solution = top.solution;
    p.plane = top.plane;
    p.pitch = top.pitch;
    p.channels = params_.out.channels;
    p.gain = a_.gain;
    p.sums = plan_.sums;
    p.sizes = plan_.sizes;
    p.blocks = plan_.blocks;
    p.images = plan_.images;
    p.answer_sums = plan_.count == 1 ? plan_.answer_sums : nullptr;
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

  // V(2,2) from in + interpolate(coarse), one of which may be null, into the grid's solution.
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
      if (l == 0) {
        launch_sweep<true, true, false>(p, stream_);
      } else {
        launch_sweep<false, true, false>(p, stream_);
      }
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
      if (l == 0) {
        launch_sweep<true, false, false>(p, stream_);
      } else {
        launch_sweep<false, false, false>(p, stream_);
      }
    }
  }

  SweepParams sweep(int l) const {
    const Level &level = plan_.levels[l], &next = plan_.levels[l + 1];
    SweepParams p;
    p.y = level.y;
    p.x = level.x;
    p.in = p.coarse = nullptr;
    p.rhs = level.rhs;
    p.out = nullptr;
    p.restricted = next.rhs;
    p.sums = plan_.answer_sums;
    p.plane = level.plane;
    p.coarse_plane = next.plane;
    p.pitch = level.pitch;
    p.coarse_pitch = next.pitch;
    p.channels = params_.out.channels;
    p.strips = level.strips;
    p.segments = level.segments;
    p.rows = level.rows;
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
    const Level& finest = plan_.levels[0];
    const ImageBatch& out = params_.out;
    MeanParams mean;
    mean.sums = plan_.sums;
    mean.answer_sums = plan_.answer_sums;
    mean.shift = plan_.shift;
    mean.blocks = plan_.blocks;
    mean.answer_blocks = plan_.answer_blocks;
    mean.pixels = static_cast<double>(out.height) * out.width;
    mean.divisor = mean_divisor(scalars(params_), params_.rhs.exists());
    HM_LAUNCH((gaussian_poisson_multigrid_mean_kernel), dim3(static_cast<unsigned>(plan_.planes)),
              dim3(kMeanThreads), 0, stream_, mean);
    StoreParams p;
    p.x = finest.solution;
    p.shift = plan_.shift;
    p.out = out;
    p.plane = finest.plane;
    p.pitch = finest.pitch;
    p.max_cycles = cycle_.per_image;
    p.gain = gain_of(params_);
    const double excess = row_excess(scalars(params_));
    p.inverse_excess = excess > 0 ? 1 / excess : 0;
    p.report = static_cast<MultigridReport*>(params_.report);
    p.cycle = cycle_;
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

void check_shape(const ImageBatch& a, const char* name, const ImageBatch& out, bool plane) {
  const int channels = plane ? 1 : out.channels;
  HM_CHECK(a.count == out.count && a.height == out.height && a.width == out.width &&
               a.channels == channels,
           name, ": shape [", a.count, ", ", a.height, ", ", a.width, ", ", a.channels,
           "], expected [", out.count, ", ", out.height, ", ", out.width, ", ", channels, "]");
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
    check_shape(params.rhs, "rhs", out, false);
  } else {
    const struct {
      const ImageBatch& image;
      const char* name;
    } images[] = {{params.src, "src"}, {params.dst, "dst"}, {params.base, "base"}};
    for (const auto& i : images) {
      HM_CHECK(i.image.dtype != DType::kBool, i.name, ": dtype bool is not an image type");
      check_shape(i.image, i.name, out, false);
    }
    check_shape(params.mask, "mask", out, true);
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
  // The first approximation is off by less than the range of the values (which is not known of a
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
