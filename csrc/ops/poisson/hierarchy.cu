// The set-up on a device: unknowns, coarse operators, the inverse of the coarsest one.
#include <algorithm>
#include <cmath>

#include "device/reduce.h"
#include "device/workspace.h"
#include "ops/poisson/grid_cuda.h"

namespace pyharmony::poisson {
namespace {

template <typename T>
__device__ __forceinline__ T* at_bytes(unsigned char* memory, std::int64_t offset) {
  return reinterpret_cast<T*>(memory + offset);
}

__device__ __forceinline__ void store_count(const Grid& grid, unsigned char* memory, int count) {
  __shared__ int scratch[kPixelThreads / 32];
  count = device::block_reduce<kPixelThreads>(count, device::Sum(), scratch);
  if (threadIdx.x == 0 && static_cast<int>(blockIdx.x) < grid.tiles_x) {
    at_bytes<int>(memory, grid.counts)[blockIdx.y * grid.tiles_x + blockIdx.x] = count;
  }
}

// Clears the zeros before the first row of a level's coefficients.
__device__ __forceinline__ void clear_before(float* planes, int pitch, int x) {
  planes[x - pitch] = 0;
  if (x < kLeadingZeros) planes[x - pitch - kLeadingZeros] = 0;
}

// The symmetric coupling of a row with itself (c, e) and with the row below (sw, s, se).
struct Links {
  float c, e, s, se, sw;
};

// Stores a node's coefficients, and whether it is active in the place of the inverse diagonal.
__device__ __forceinline__ void store_links(float* to, std::int64_t plane, const Links& k,
                                            bool active) {
  to[kC * plane] = k.c;
  to[kE * plane] = k.e;
  to[kS * plane] = k.s;
  to[kSE * plane] = k.se;
  to[kSW * plane] = k.sw;
  to[kInverse * plane] = active ? 1.0f : 0.0f;
}

struct ActivityParams {
  Grid grid;
  device::ImageBatch mask;  // no data: every pixel is unknown
  unsigned char* memory;
  std::int64_t item_bytes, active;
  int top, left;
};

__global__ void __launch_bounds__(kPixelThreads) poisson_activity_kernel(const ActivityParams p) {
  const TileThread t;
  unsigned char* memory = p.memory + t.item * p.item_bytes;
  int count = 0;
  for (int y = t.y0; y < t.y0 + kTileHeight; y += kRowStep) {
    if (y >= p.grid.height || t.x >= p.grid.pitch) break;
    const bool unknown =
        t.x < p.grid.width &&
        (p.mask.data == nullptr || device::load_mask(p.mask, t.item, p.top + y, p.left + t.x) > 0);
    memory[p.active + static_cast<std::int64_t>(y) * p.grid.pitch + t.x] = unknown ? 1 : 0;
    count += unknown;
  }
  store_count(p.grid, memory, count);
}

struct FinestParams {
  Grid grid;
  device::ImageBatch weight_map;
  unsigned char* memory;
  std::int64_t item_bytes, active;
  int top, left, image_height, image_width;
  float weight, w0, w1;
};

// Computes the stored form of the finest level, for a Gaussian or a map of weights.
__global__ void __launch_bounds__(kPixelThreads) poisson_finest_kernel(const FinestParams p) {
  const TileThread t;
  unsigned char* memory = p.memory + t.item * p.item_bytes;
  const unsigned char* active = memory + p.active;
  float* out = at_bytes<float>(memory, p.grid.coefficients);
  const int pitch = p.grid.pitch;
  const std::int64_t plane = p.grid.plane;
  const float side = p.w0 * p.w1, corner = p.w1 * p.w1;
  const float sum = (p.w0 + 2 * p.w1) * (p.w0 + 2 * p.w1);
  for (int y = t.y0; y < t.y0 + kTileHeight; y += kRowStep) {
    if (y >= p.grid.height || t.x >= pitch) break;
    const std::int64_t at = static_cast<std::int64_t>(y) * pitch + t.x;
    Links k = {};
    float row_sum = 0;
    const bool unknown = active[at] != 0;
    if (unknown) {
      const int iy = p.top + y, ix = p.left + t.x;
      auto weight_at = [&](int wy, int wx) {
        return p.weight_map.data == nullptr ? p.weight
                                            : device::load_value(p.weight_map, t.item, wy, wx);
      };
      const float own = weight_at(iy, ix);
      // A link of G through the mirrored border ends at the pixel it is mirrored to.
      float link[3][3] = {};
#pragma unroll
      for (int dy = -1; dy <= 1; ++dy) {
#pragma unroll
        for (int dx = -1; dx <= 1; ++dx) {
          if (dy == 0 && dx == 0) continue;
          const bool beyond_y = iy + dy < 0 || iy + dy >= p.image_height;
          const bool beyond_x = ix + dx < 0 || ix + dx >= p.image_width;
          const int ny = beyond_y ? 0 : dy, nx = beyond_x ? 0 : dx;
          const bool edge = dy == 0 || dx == 0;
          const float v = static_cast<float>(edge) -
                          fminf(own, weight_at(iy + ny, ix + nx)) * (edge ? side : corner);
          // Constant indices keep the array in registers.
          if (!beyond_y && !beyond_x) {
            link[dy + 1][dx + 1] += v;
          } else if (dy != 0 && dx != 0 && (ny != 0 || nx != 0)) {
            if (beyond_x) {
              link[dy + 1][1] += v;
            } else {
              link[1][dx + 1] += v;
            }
          }
        }
      }
      float rest = sum * own, beside = 0;
#pragma unroll
      for (int dy = -1; dy <= 1; ++dy) {
#pragma unroll
        for (int dx = -1; dx <= 1; ++dx) {
          if (dy == 0 && dx == 0) continue;
          const bool near = y + dy >= 0 && y + dy < p.grid.height && t.x + dx >= 0 &&
                            t.x + dx < p.grid.width && active[at + dy * pitch + dx] != 0;
          (near ? beside : rest) += link[dy + 1][dx + 1];
          if (!near) link[dy + 1][dx + 1] = 0;
        }
      }
      k = {rest + beside, -link[1][2], -link[2][1], -link[2][2], -link[2][0]};
      row_sum = rest;
    }
    store_links(out + at, plane, k, unknown);
    out[at + kRowSum * plane] = row_sum;
    if (y == 0) clear_before(out, pitch, t.x);
  }
}

struct InvertParams {
  Grid grid;
  unsigned char* memory;
  std::int64_t item_bytes;
};

// Turns the plane that holds 1 where a node is active into the smoother's inverse diagonal. With D
// at least half the absolute row sums, D^-1 A has no eigenvalue above 2 (Gershgorin), and the
// factor 2 is part of the stored inverse.
__global__ void __launch_bounds__(kPixelThreads) poisson_invert_kernel(const InvertParams p) {
  const TileThread t;
  unsigned char* memory = p.memory + t.item * p.item_bytes;
  if (tile_count(p.grid, memory) == 0) return;
  const std::int64_t plane = p.grid.plane;
  const int pitch = p.grid.pitch;
  for (int y = t.y0; y < t.y0 + kTileHeight; y += kRowStep) {
    if (y >= p.grid.height || t.x >= p.grid.width) break;
    float* sw =
        at_bytes<float>(memory, p.grid.coefficients) + static_cast<std::int64_t>(y) * pitch + t.x;
    float& inverse = sw[kInverse * plane];
    if (inverse == 0) continue;
    const float *se = sw + kSE * plane, *s = sw + kS * plane, *e = sw + kE * plane;
    const float c = sw[kC * plane];
    const float beside = fabsf(e[0]) + fabsf(e[-1]) + fabsf(s[0]) + fabsf(s[-pitch]) +
                         fabsf(se[0]) + fabsf(se[-pitch - 1]) + fabsf(sw[0]) +
                         fabsf(sw[-pitch + 1]);
    const float bound = c + fmaxf(c, beside);
    inverse = bound > 0 ? kSmootherBound / bound : 0.0f;
  }
}

struct FiveSource {
  FivePointConstants constants;
  const unsigned char* active;

  __device__ Links at(std::int64_t offset, const Grid& g, int i, int j) const {
    Links k = {};
    if (i < 0 || j < 0 || i >= g.height || j >= g.width || active[offset] == 0) return k;
    const FivePointConstants& f = constants;
    k.c = 4.0f + f.excess -
          static_cast<float>((i == f.mirror_top) + (i == f.mirror_bottom) + (j == f.mirror_left) +
                             (j == f.mirror_right));
    k.e = j + 1 < g.width && active[offset + 1] != 0 ? -1.0f : 0.0f;
    k.s = i + 1 < g.height && active[offset + g.pitch] != 0 ? -1.0f : 0.0f;
    return k;
  }
  __device__ bool unknown(std::int64_t offset) const { return active[offset] != 0; }
};

struct NineSource {
  const float* planes;

  __device__ Links at(std::int64_t offset, const Grid& g, int i, int j) const {
    Links k = {};
    if (i < 0 || j < 0 || i >= g.height || j >= g.width) return k;
    const float* p = planes + offset;
    return {p[kC * g.plane], p[kE * g.plane], p[kS * g.plane], p[kSE * g.plane], p[kSW * g.plane]};
  }
  __device__ bool unknown(std::int64_t offset) const {
    return planes[offset + kInverse * plane] != 0;
  }
  std::int64_t plane;
};

struct CoarsenParams {
  Grid fine, coarse;
  FivePointConstants five;
  unsigned char* memory;
  std::int64_t item_bytes;
};

// A fine row's links coarsened along x: the parts of node j that nodes j + 1 and j - 1 need.
struct HalfRow {
  float c, e, s, se, sw, sw_next, e_before;
};

template <typename Source>
__device__ __forceinline__ HalfRow half_coarsen(const Source& source, const Grid& g, int i, int j,
                                                bool merged) {
  Links k[5];
#pragma unroll
  for (int d = 0; d < 5; ++d) {
    const int column = j - 2 + d;
    k[d] = source.at(static_cast<std::int64_t>(i) * g.pitch + column, g, i, column);
  }
  const Links &west = k[1], &own = k[2], &east = k[3];
  HalfRow h;
  h.c = own.c + 0.25f * (west.c + east.c) + (west.e + own.e);
  h.e = 0.25f * east.c + 0.5f * (own.e + east.e);
  h.s = own.s + 0.25f * (west.s + east.s) + 0.5f * ((west.se + own.sw) + (own.se + east.sw));
  h.se = 0.25f * east.s + 0.5f * (own.se + east.se);
  h.sw = 0.25f * west.s + 0.5f * (own.sw + west.sw);
  h.sw_next = 0.25f * east.s + 0.5f * (k[4].sw + east.sw);
  h.e_before = 0.25f * west.c + 0.5f * (k[0].e + west.e);
  if (merged) {
    h.c += 0.75f * east.c + own.e;
    h.s += 0.75f * east.s + 0.5f * (own.se + east.sw);
  }
  return h;
}

// Computes the Galerkin product P^T A P at each node of a coarse level: along x, then along y.
template <typename Source>
__global__ void __launch_bounds__(kPixelThreads) poisson_coarsen_kernel(const CoarsenParams p) {
  const TileThread t;
  unsigned char* memory = p.memory + t.item * p.item_bytes;
  Source source;
  if constexpr (std::is_same_v<Source, FiveSource>) {
    source = {p.five, memory + p.five.active};
  } else {
    source.planes = at_bytes<float>(memory, p.fine.coefficients);
    source.plane = p.fine.plane;
  }
  const Grid& fine = p.fine;
  const Grid& g = p.coarse;
  int count = 0;
  auto unknown = [&](int i, int j) {
    return i >= 0 && j >= 0 && i < g.height && j < g.width &&
           source.unknown(static_cast<std::int64_t>(2 * i) * fine.pitch + 2 * j);
  };
  for (int i = t.y0; i < t.y0 + kTileHeight; i += kRowStep) {
    const int j = t.x;
    if (i >= g.height || j >= g.pitch) break;
    float* out =
        at_bytes<float>(memory, g.coefficients) + static_cast<std::int64_t>(i) * g.pitch + j;
    Links k = {};
    const bool active = unknown(i, j);
    if (active) {
      const bool right = fine.merge_right && j == g.width - 1;
      const bool bottom = fine.merge_bottom && i == g.height - 1;
      const HalfRow a = half_coarsen(source, fine, 2 * i - 1, 2 * j, right);
      const HalfRow b = half_coarsen(source, fine, 2 * i, 2 * j, right);
      const HalfRow d = half_coarsen(source, fine, 2 * i + 1, 2 * j, right);
      const float under = bottom ? 1.0f : 0.5f;
      k.c = b.c + 0.25f * a.c + under * under * d.c + a.s + 2 * under * b.s;
      if (unknown(i, j + 1)) {
        k.e = b.e + 0.25f * a.e + under * under * d.e + 0.5f * (a.se + a.sw_next) +
              under * (b.se + b.sw_next);
      }
      if (unknown(i + 1, j)) k.s = 0.25f * d.c + 0.5f * (b.s + d.s);
      if (unknown(i + 1, j + 1)) k.se = 0.25f * d.e + 0.5f * (b.se + d.se);
      if (unknown(i + 1, j - 1)) k.sw = 0.25f * d.e_before + 0.5f * (b.sw + d.sw);
    }
    store_links(out, g.plane, k, active);
    if (i == 0) clear_before(out - j, g.pitch, j);
    count += active;
  }
  store_count(g, memory, count);
}

struct FactorParams {
  Grid finest, grid;
  unsigned char* memory;
  std::int64_t item_bytes, inverse;
};

using FactorRow = double[kDirectCells + 1];  // odd length: columns are in different banks

// Returns the link between two cells of the last level.
__device__ __forceinline__ double link_of(const Grid& g, const float* planes, int from, int to) {
  if (from > to) {  // It is stored at the other end.
    const int swapped = from;
    from = to;
    to = swapped;
  }
  const int i = from / g.width, j = from % g.width;
  const int dy = to / g.width - i, dx = to % g.width - j;
  const float* k = planes + static_cast<std::int64_t>(i) * g.pitch + j;
  if (dy == 0 && dx == 0) return k[kInverse * g.plane] != 0 ? k[kC * g.plane] : 1.0f;
  if (dy == 0 && dx == 1) return k[kE * g.plane];
  if (dy == 1 && dx >= -1 && dx <= 1) return k[(dx < 0 ? kSW : dx == 0 ? kS : kSE) * g.plane];
  return 0;
}

// Inverts the last level's matrix by elimination in place, and writes the header. A thread has
// every kGroups-th element of a column in registers. In each step those of the pivot's row and
// column share them with the others, in one of two places in turn.
__global__ void __launch_bounds__(kPixelThreads) poisson_factor_kernel(const FactorParams p) {
  constexpr int kGroups = kPixelThreads / kDirectCells, kOwn = kDirectCells / kGroups;
  HM_DYN_SMEM(FactorRow, shared);
  __shared__ double pivot_row[2][kDirectCells], pivot_column[2][kDirectCells], inverses[2];
  __shared__ std::int64_t scratch[kPixelThreads / 32];
  unsigned char* memory = p.memory + blockIdx.z * p.item_bytes;
  const Grid& g = p.grid;
  const float* planes = at_bytes<float>(memory, g.coefficients);
  const int thread = static_cast<int>(threadIdx.x), n = g.height * g.width;
  const int group = thread / kDirectCells, column = thread % kDirectCells;
  double a[kOwn], least = 1;
#pragma unroll
  for (int m = 0; m < kOwn; ++m) {
    const int row = group + kGroups * m;
    a[m] = row < n && column < n ? link_of(g, planes, row, column) : 0.0;
    if (row != column || row >= n) continue;
    const float* own = planes + static_cast<std::int64_t>(row / g.width) * g.pitch + row % g.width;
    if (own[kInverse * g.plane] != 0) least = kLeastPivot * fabs(a[m]);
  }
#pragma unroll
  for (int m = 0; m < kOwn; ++m) {
#pragma unroll 1
    for (int q = 0; q < kGroups; ++q) {
      const int k = kGroups * m + q, place = q % 2;
      if (k >= n) break;
      if (group == q) {
        pivot_row[place][column] = a[m];
        if (column == k) inverses[place] = 1 / fmax(a[m], least);
      }
      if (column == k) {
#pragma unroll
        for (int i = 0; i < kOwn; ++i) pivot_column[place][group + kGroups * i] = a[i];
      }
      HM_SYNC();
      const double inverse = inverses[place];
      const bool pivot = column == k;
      const double row = pivot ? inverse : pivot_row[place][column] * inverse;
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const double rest = pivot ? 0.0 : a[i];
        a[i] = i == m && group == q ? row : rest - pivot_column[place][group + kGroups * i] * row;
      }
    }
  }
#pragma unroll
  for (int m = 0; m < kOwn; ++m) shared[group + kGroups * m][column] = a[m];
  HM_SYNC();
  float* inverse = at_bytes<float>(memory, p.inverse);
  auto active = [&](int k) {
    return planes[kInverse * g.plane + static_cast<std::int64_t>(k / g.width) * g.pitch +
                  k % g.width] != 0;
  };
  const bool column_active = column < n && active(column);
#pragma unroll
  for (int m = 0; m < kOwn; ++m) {
    const int row = group + kGroups * m;
    if (row >= n || column >= n) continue;
    const bool both = column_active && active(row);
    inverse[row * n + column] =
        both ? static_cast<float>(0.5 * (a[m] + shared[column][row])) : 0.0f;
  }
  std::int64_t unknowns = 0;
  const int tiles = p.finest.tiles_x * p.finest.tiles_y;
  for (int tile = thread; tile < tiles; tile += kPixelThreads) {
    unknowns += at_bytes<int>(memory, p.finest.counts)[tile];
  }
  unknowns = device::block_reduce<kPixelThreads>(unknowns, device::Sum(), scratch);
  if (thread == 0) *at_bytes<ItemHeader>(memory, 0) = {-1.0, unknowns};
}

__global__ void poisson_no_box_kernel(int count, int* boxes) {
  const int item = static_cast<int>(threadIdx.x + blockIdx.x * blockDim.x);
  if (item >= count) return;
  boxes[4 * item] = boxes[4 * item + 1] = INT32_MAX;
  boxes[4 * item + 2] = boxes[4 * item + 3] = 0;
}

// Sums are of integers, so the result does not depend on the order.
__global__ void __launch_bounds__(kPixelThreads)
    poisson_box_kernel(const device::ImageBatch mask, int* boxes) {
  const TileThread t;
  int top = INT32_MAX, left = INT32_MAX, bottom = 0, right = 0;
  for (int y = t.y0; y < t.y0 + kTileHeight; y += kRowStep) {
    if (y >= mask.height || t.x >= mask.width) break;
    if (!(device::load_mask(mask, t.item, y, t.x) > 0)) continue;
    if (y < top) top = y;
    bottom = y + 1;
    left = t.x;
    right = t.x + 1;
  }
  if (bottom == 0) return;
  int* box = boxes + 4 * t.item;
  atomicMin(box, top);
  atomicMin(box + 1, left);
  atomicMax(box + 2, bottom);
  atomicMax(box + 3, right);
}

__global__ void poisson_empty_box_kernel(int count, int* boxes) {
  const int item = static_cast<int>(threadIdx.x + blockIdx.x * blockDim.x);
  if (item < count && boxes[4 * item + 2] == 0) boxes[4 * item] = boxes[4 * item + 1] = 0;
}

// Returns the blocks for all columns of a row and those behind the level's last.
dim3 whole_rows(const Grid& grid, int items) {
  return dim3((static_cast<unsigned>(grid.pitch) + kTileWidth - 1) / kTileWidth,
              static_cast<unsigned>(grid.tiles_y), static_cast<unsigned>(items));
}

}  // namespace

std::size_t tail_floats(const Plan& plan, int k) {
  std::size_t floats = 0;
  for (int level = k; level < plan.levels; ++level) {
    const Grid& g = plan.grid[level];
    const std::size_t cells = static_cast<std::size_t>(g.height + 2) * (g.width + 1) + 1;
    floats += kTailPlanes * cells;
  }
  return floats;
}

Plan make_plan(const PlanOptions& options) {
  HM_CHECK(options.height >= 1 && options.width >= 1 && options.height < (1 << 21) &&
               options.width < (1 << 21),
           "mask: shape [", options.height, ", ", options.width,
           "], expected 1 to 2^21 - 1 a side");
  HM_CHECK(options.top >= 0 && options.left >= 0 && options.top < options.bottom &&
               options.left < options.right && options.bottom <= options.height &&
               options.right <= options.width,
           "box: [", options.top, ", ", options.left, ", ", options.bottom, ", ", options.right,
           "], expected a part of [", options.height, ", ", options.width, "]");
  HM_CHECK(options.items >= 1 && options.items <= 65535, "mask: ", options.items,
           " items, expected 1 to 65535");
  HM_CHECK(options.weight >= 0 && std::isfinite(options.weight), "weight: ", options.weight,
           ", expected at least 0");
  HM_CHECK(options.w0 > 0 && options.w1 >= 0, "w0, w1: ", options.w0, ", ", options.w1,
           ", expected taps of a Gaussian");
  HM_CHECK(options.pinned || (options.top == 0 && options.left == 0 &&
                              options.bottom == options.height && options.right == options.width),
           "box: a part of the image, where every pixel is unknown");
  HM_CHECK(options.tail_cells >= kDirectCells && options.tail_cells <= kTailCells,
           "tail_cells: ", options.tail_cells, ", expected ", kDirectCells, " to ", kTailCells);
  Plan plan;
  plan.options = options;
  const bool at_bottom = options.bottom == options.height,
             at_right = options.right == options.width;
  plan.mirror_top = options.top == 0;
  plan.mirror_left = options.left == 0;
  plan.mirror_bottom = at_bottom;
  plan.mirror_right = at_right;
  const bool nine = options.weight_map || (options.weight > 0 && options.w1 > 0);
  int height = options.bottom - options.top, width = options.right - options.left;
  std::int64_t bytes = 0;
  auto take = [&](std::int64_t size) { return device::take(bytes, size); };
  take(sizeof(ItemHeader));
  for (;;) {
    HM_CHECK(plan.levels < kMaxLevels, "mask: too many levels");
    Grid& g = plan.grid[plan.levels];
    g.height = height;
    g.width = width;
    g.pitch = (width + 8) / 8 * 8;  // whole sectors, with at least one element to spare
    g.tiles_x = (width + kTileWidth - 1) / kTileWidth;
    g.tiles_y = (height + kTileHeight - 1) / kTileHeight;
    HM_CHECK(g.tiles_y <= 65535, "mask: box of ", height, " rows, expected at most ",
             65535 * kTileHeight);
    HM_CHECK(static_cast<std::int64_t>(g.tiles_x) * g.tiles_y < (1 << 30), "mask: box of ", height,
             " x ", width, " pixels, expected at most 2^41");
    g.merge_bottom = at_bottom && height % 2 == 0;
    g.merge_right = at_right && width % 2 == 0;
    g.plane = static_cast<std::int64_t>(height) * g.pitch;
    g.counts = take(static_cast<std::int64_t>(g.tiles_x) * g.tiles_y * sizeof(int));
    if (plan.levels == 0) plan.active = take(g.plane);
    if (plan.levels > 0 || nine) {
      const std::int64_t before = g.pitch + kLeadingZeros, planes = plan.levels > 0 ? 6 : 7;
      g.coefficients = take((before + planes * g.plane) * sizeof(float)) + before * sizeof(float);
    }
    ++plan.levels;
    if (plan.levels > 1 && static_cast<std::int64_t>(height) * width <= kDirectCells) break;
    height = coarse_size(height);
    width = coarse_size(width);
  }
  const Grid& last = plan.grid[plan.levels - 1];
  const int cells = last.height * last.width;
  plan.inverse = take(static_cast<std::int64_t>(cells) * cells * sizeof(float));
  plan.item_bytes = bytes;
  plan.tail = plan.levels - 1;
  while (plan.tail > 1) {
    const Grid& g = plan.grid[plan.tail - 1];
    if (static_cast<std::int64_t>(g.height) * g.width > options.tail_cells ||
        tail_floats(plan, plan.tail - 1) * sizeof(float) > kTailBytes ||
        plan.levels - plan.tail == kMaxTailLevels) {
      break;
    }
    --plan.tail;
  }
  return plan;
}

void launch_poisson_hierarchy(const Plan& plan, const device::ImageBatch& mask,
                              const device::ImageBatch& weight_map, void* memory,
                              cudaStream_t stream) {
  const PlanOptions& options = plan.options;
  HM_CHECK(memory != nullptr, "memory: missing");
  HM_CHECK(mask.exists() == options.pinned, "mask: ", options.pinned ? "missing" : "not expected");
  if (mask.exists()) {
    device::check_image_shape(mask, "mask", options.items, options.height, options.width, 1);
  }
  HM_CHECK(weight_map.exists() == options.weight_map,
           "weight_map: ", options.weight_map ? "missing" : "not expected");
  device::ImageBatch map = weight_map;
  if (map.exists()) {
    HM_CHECK(map.dtype == DType::kFloat32, "weight_map: dtype ", dtype_name(map.dtype),
             ", expected float32");
    if (map.count == 1) map.batch_stride = 0;
    const int items = map.count == 1 ? 1 : options.items;
    device::check_image_shape(map, "weight_map", items, options.height, options.width, 1);
  }
  unsigned char* bytes = static_cast<unsigned char*>(memory);

  const ActivityParams activity = {plan.grid[0], mask,        bytes,       plan.item_bytes,
                                   plan.active,  options.top, options.left};
  HM_LAUNCH(poisson_activity_kernel, whole_rows(plan.grid[0], options.items), dim3(kPixelThreads),
            0, stream, activity);
  auto invert = [&](const Grid& grid) {
    const InvertParams params = {grid, bytes, plan.item_bytes};
    HM_LAUNCH(poisson_invert_kernel, tile_grid(grid, options.items), dim3(kPixelThreads), 0, stream,
              params);
  };
  if (plan.nine()) {
    const auto weight = static_cast<float>(options.weight);
    const auto w0 = static_cast<float>(options.w0), w1 = static_cast<float>(options.w1);
    const FinestParams finest = {plan.grid[0],  map,         bytes,        plan.item_bytes,
                                 plan.active,   options.top, options.left, options.height,
                                 options.width, weight,      w0,           w1};
    HM_LAUNCH(poisson_finest_kernel, whole_rows(plan.grid[0], options.items), dim3(kPixelThreads),
              0, stream, finest);
    invert(plan.grid[0]);
  }
  for (int k = 1; k < plan.levels; ++k) {
    const CoarsenParams params = {plan.grid[k - 1], plan.grid[k], five_point(plan), bytes,
                                  plan.item_bytes};
    const auto coarsen = [&](auto source) {
      HM_LAUNCH((poisson_coarsen_kernel<decltype(source)>), whole_rows(plan.grid[k], options.items),
                dim3(kPixelThreads), 0, stream, params);
    };
    k == 1 && !plan.nine() ? coarsen(FiveSource()) : coarsen(NineSource());
    invert(plan.grid[k]);
  }
  const FactorParams factor = {plan.grid[0], plan.grid[plan.levels - 1], bytes, plan.item_bytes,
                               plan.inverse};
  HM_LAUNCH(poisson_factor_kernel, dim3(1, 1, static_cast<unsigned>(options.items)),
            dim3(kPixelThreads), kDirectCells * sizeof(FactorRow), stream, factor);
}

void launch_poisson_box(const device::ImageBatch& mask, int* boxes, cudaStream_t stream) {
  HM_CHECK(boxes != nullptr, "boxes: missing");
  HM_CHECK(mask.count <= 65535, "mask: ", mask.count, " items, expected at most 65535");
  const int rows = (mask.height + kTileHeight - 1) / kTileHeight;
  HM_CHECK(rows <= 65535, "mask: ", mask.height, " rows, expected at most ", 65535 * kTileHeight);
  const dim3 items((static_cast<unsigned>(mask.count) + 127) / 128);
  HM_LAUNCH(poisson_no_box_kernel, items, dim3(128), 0, stream, mask.count, boxes);
  const dim3 grid((static_cast<unsigned>(mask.width) + kTileWidth - 1) / kTileWidth,
                  static_cast<unsigned>(rows), static_cast<unsigned>(mask.count));
  HM_LAUNCH(poisson_box_kernel, grid, dim3(kPixelThreads), 0, stream, mask, boxes);
  HM_LAUNCH(poisson_empty_box_kernel, items, dim3(128), 0, stream, mask.count, boxes);
}

}  // namespace pyharmony::poisson
