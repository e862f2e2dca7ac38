// A block goes down the rows of a strip of columns. For each row, shared memory holds what depends
// on the row alone: the columns of the grid that the strip needs, between two rows of the grid. A
// pixel reads four nodes of it, and two knots of each channel's curves.
#include <algorithm>
#include <cstdint>

#include "ops/color_grid/color_grid_cuda.h"
#include "ops/color_grid/pixels.cuh"

namespace pyharmony {
namespace {

using namespace color_grid;

constexpr int kThreads = 256, kLeastThreads = 32, kPixels = 4;  // kPixels: pixels of a thread
constexpr int kTableBytes = 32 << 10;  // a row's grid at most: any GPU has it beside the rest
constexpr int kEnoughBlocks = 1024, kMostRows = 8;
constexpr std::int64_t kMaxBlocks = (std::int64_t(1) << 31) - 1;

struct Params {
  ColorGridCall call;
  int threads;         // threads of a block
  int columns, rows;   // columns and rows of a block
  int strips, bands;   // blocks of an image, across and down
  int most_intervals;  // most intervals of a strip
  float columns_per_pixel;
};

// The shared memory of a block.
struct Shared {
  float4* row;     // [columns][depth][3]
  float4* curves;  // [3 in][knots], the results in x, y, z
  int* first;      // [intervals + 1]: the first pixel between two centres of cells
  float* start;    // [intervals]: how far that pixel is on its way to the second
};

HM_HOST_DEVICE inline std::size_t shared_bytes(const Params& p) {
  const std::size_t row = p.call.depth * (p.most_intervals + 1) * 3, knots = 3 * p.call.knots;
  return (row + knots) * 16 + (2 * p.most_intervals + 1) * 4;
}

__device__ __forceinline__ Shared shared_of(const Params& p, unsigned char* memory) {
  Shared s;
  s.row = reinterpret_cast<float4*>(memory);
  s.curves = s.row + p.call.depth * (p.most_intervals + 1) * 3;
  s.first = reinterpret_cast<int*>(s.curves + 3 * p.call.knots);
  s.start = reinterpret_cast<float*>(s.first + p.most_intervals + 1);
  return s;
}

// The columns of a strip: its intervals between centres, and its columns of the grid.
struct Strip {
  int begin, end;  // pixels of the image
  int interval, last_interval;
  int column, last_column;
};

HM_HOST_DEVICE inline Strip strip_of(const Params& p, int index) {
  const CellAxis& axis = p.call.across;
  Strip s;
  s.begin = index * p.columns;
  s.end = smaller(s.begin + p.columns, static_cast<int>(p.call.width));
  s.interval = static_cast<int>(axis.interval(p.call.x0 + s.begin));
  s.last_interval = static_cast<int>(axis.interval(p.call.x0 + s.end - 1));
  s.column = larger(s.interval - 1, 0);
  s.last_column = smaller(s.last_interval, static_cast<int>(axis.cells) - 1);
  return s;
}

// Computes the map's change of a colour at a pixel of the frame.
__device__ __forceinline__ void map_colour(const Params& p, const Shared& shared, const Strip& s,
                                           const float* affine, int px, const float (&x)[3],
                                           float (&delta)[3]) {
  const ColorGridCall& call = p.call;
  if (call.grid.data != nullptr) {
    const int depth = static_cast<int>(call.depth), cells = static_cast<int>(call.across.cells);
    const int count = s.last_interval - s.interval;
    // Rounding may miss the interval by one, and some intervals may have no pixel.
    int at = static_cast<int>((static_cast<float>(px) + 0.5f) * p.columns_per_pixel + 0.5f);
    at = smaller(larger(at - s.interval, 0), count);
    while (at > 0 && px < shared.first[at]) --at;
    while (at < count && px >= shared.first[at + 1]) ++at;
    const int interval = s.interval + at;
    const bool inside = interval > 0 && interval < cells;
    const float across = inside ? fmaf(static_cast<float>(px - shared.first[at]),
                                       p.columns_per_pixel, shared.start[at])
                                : 0.0f;
    const float w = held(fmaf(luma_of(x[0], x[1], x[2]), static_cast<float>(depth), -0.5f),
                         static_cast<float>(depth - 1));
    const int k = static_cast<int>(w);
    const float deep = w - static_cast<float>(k);
    const int left = larger(interval - 1, 0) - s.column, right = inside ? left + 1 : left;
    const int next = smaller(k + 1, depth - 1);
    const float4* const nodes[4] = {
        shared.row + (left * depth + k) * 3, shared.row + (left * depth + next) * 3,
        shared.row + (right * depth + k) * 3, shared.row + (right * depth + next) * 3};
#pragma unroll
    for (int o = 0; o < 3; ++o) {
      float sum[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] = dot(nodes[i][o], x[0], x[1], x[2]);
      const float near = fmaf(deep, sum[1] - sum[0], sum[0]);
      const float far = fmaf(deep, sum[3] - sum[2], sum[2]);
      delta[o] = fmaf(across, far - near, near);
    }
  } else {
#pragma unroll
    for (int o = 0; o < 3; ++o) {
      delta[o] = 0.0f;
      if (affine == nullptr) continue;
      float4 row;
      row.x = above_identity(affine, 4 * o);
      row.y = above_identity(affine, 4 * o + 1);
      row.z = above_identity(affine, 4 * o + 2);
      row.w = above_identity(affine, 4 * o + 3);
      delta[o] = dot(row, x[0], x[1], x[2]);
    }
  }
  if (call.curves.data == nullptr) return;
  const int knots = static_cast<int>(call.knots);
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const float t = held(x[c], 1.0f) * static_cast<float>(knots - 1);
    const int k = smaller(static_cast<int>(t), knots - 2);
    const float share = t - static_cast<float>(k);
    const float4 low = shared.curves[c * knots + k], high = shared.curves[c * knots + k + 1];
    delta[0] += fmaf(share, high.x - low.x, low.x);
    delta[1] += fmaf(share, high.y - low.y, low.y);
    delta[2] += fmaf(share, high.z - low.z, low.z);
  }
}

// Computes x + weight (y - x) times `range`, where y is the mapped colour.
__device__ __forceinline__ void map_pixel(const Params& p, const Shared& shared, const Strip& s,
                                          const float* affine, int column, float weight,
                                          float range, float (&x)[3]) {
  float delta[3];
  map_colour(p, shared, s, affine, static_cast<int>(p.call.x0) + column, x, delta);
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    x[c] = range * mixed(x[c], kept_inside(x[c] + delta[c], x[c]), weight);
  }
}

// Maps four pixels of packed bytes at addresses that are multiples of four.
__device__ __forceinline__ void map_bytes(const Params& p, const Shared& shared, const Strip& s,
                                          const float* affine, int n, int y, int column) {
  const ColorGridCall& call = p.call;
  const auto* const from = reinterpret_cast<const unsigned*>(
      static_cast<const unsigned char*>(call.image.data) + offset(call.image, n, y, column));
  auto* const to = reinterpret_cast<unsigned*>(static_cast<unsigned char*>(call.out.data) +
                                               offset(call.out, n, y, column));
  unsigned weights = 0xffffffffu;
  const bool is_bool = call.mask.dtype == DType::kBool;
  if (call.mask.data != nullptr) {
    weights = *reinterpret_cast<const unsigned*>(static_cast<const unsigned char*>(call.mask.data) +
                                                 offset(call.mask, n, y, column));
  }
  unsigned words[3] = {from[0], from[1], from[2]};
  if (weights == 0) {
    if (to != from) {
#pragma unroll
      for (int i = 0; i < 3; ++i) to[i] = words[i];
    }
    return;
  }
  unsigned results[3] = {0, 0, 0};
#pragma unroll
  for (int i = 0; i < kPixels; ++i) {
    float x[3];
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const int byte = 3 * i + c;
      x[c] = static_cast<float>(words[byte / 4] >> (8 * (byte % 4)) & 0xffu) * (1.0f / 255.0f);
    }
    const unsigned given = weights >> (8 * i) & 0xffu;
    if (given == 0) {
#pragma unroll
      for (int byte = 3 * i; byte < 3 * i + 3; ++byte) {
        results[byte / 4] |= words[byte / 4] & 0xffu << (8 * (byte % 4));
      }
      continue;
    }
    const float weight = call.mask.data == nullptr || (is_bool && given != 0)
                             ? 1.0f
                             : static_cast<float>(given) / 255.0f;
    map_pixel(p, shared, s, affine, column + i, weight, 255.0f, x);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const int byte = 3 * i + c;
      const float value = fminf(fmaxf(x[c], 0.0f), 255.0f);
      results[byte / 4] |= static_cast<unsigned>(__float2int_rn(value)) << (8 * (byte % 4));
    }
  }
#pragma unroll
  for (int i = 0; i < 3; ++i) to[i] = results[i];
}

// Maps a pixel of any dtype and strides.
__device__ __forceinline__ void map_any(const Params& p, const Shared& shared, const Strip& s,
                                        const float* affine, int n, int y, int column) {
  const ColorGridCall& call = p.call;
  const DType dtype = call.image.dtype;
  const std::int64_t from = offset(call.image, n, y, column), to = offset(call.out, n, y, column);
  const std::int64_t step = call.image.stride[3], out_step = call.out.stride[3];
  const float weight = load_weight(call.mask, n, y, column);
  if (!(weight > 0.0f)) {  // copies the bits, those of NaN too
    if (call.out.data == call.image.data) return;
    const int size = dtype == DType::kUInt8 ? 1 : dtype == DType::kFloat32 ? 4 : 2;
    for (int c = 0; c < 3; ++c) {
      const auto* const source = static_cast<const unsigned char*>(call.image.data);
      auto* const target = static_cast<unsigned char*>(call.out.data);
      const std::int64_t a = (from + c * step) * size, b = (to + c * out_step) * size;
      if (size == 4) {
        *reinterpret_cast<unsigned*>(target + b) = *reinterpret_cast<const unsigned*>(source + a);
      } else if (size == 2) {
        *reinterpret_cast<std::uint16_t*>(target + b) =
            *reinterpret_cast<const std::uint16_t*>(source + a);
      } else {
        target[b] = source[a];
      }
    }
    return;
  }
  const float range = range_of(dtype);
  float x[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    x[c] = device::load_value(call.image.data, dtype, from + c * step) * (1.0f / range);
  }
  map_pixel(p, shared, s, affine, column, weight, range, x);
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    device::store_value(call.out.data, dtype, to + c * out_step, x[c]);
  }
}

template <bool kBytes>
__global__ void __launch_bounds__(kThreads) color_grid_map_kernel(Params p) {
  HM_DYN_SMEM(unsigned char, memory);
  // These are, for each row of the block, the upper row of the grid and the share of the lower one.
  __shared__ int line_of[kMostRows];
  __shared__ float share_of[kMostRows];
  const ColorGridCall& call = p.call;
  const Shared shared = shared_of(p, memory);
  const int thread = static_cast<int>(threadIdx.x), depth = static_cast<int>(call.depth);
  const unsigned block = blockIdx.x, per_image = static_cast<unsigned>(p.strips) * p.bands;
  const int n = static_cast<int>(block / per_image);
  const int band = static_cast<int>(block % per_image) / p.strips;
  const Strip s = strip_of(p, static_cast<int>(block % p.strips));
  const float* const affine = call.affine.of<float>(n);
  const float* const curves = call.curves.of<float>(n);
  const float* const grid = call.grid.of<float>(n);
  if (curves != nullptr) {
    const int knots = static_cast<int>(call.knots);
    for (int i = thread; i < 3 * knots; i += p.threads) {
      const int c = i / knots, k = i - c * knots;
      shared.curves[i] = make_float4(curves[c * knots + k], curves[(3 + c) * knots + k],
                                     curves[(6 + c) * knots + k], 0.0f);
    }
  }
  const int top = band * p.rows, end = smaller(top + p.rows, static_cast<int>(call.height));
  if (grid != nullptr) {
    for (int i = thread; i <= s.last_interval - s.interval; i += p.threads) {
      const std::int64_t first = call.across.first(s.interval + i);
      shared.first[i] = static_cast<int>(first);
      shared.start[i] = static_cast<float>(call.across.place(first).share);
    }
    if (top + thread < end) {
      const CellAxis::Place at = call.down.place(call.y0 + top + thread);
      line_of[thread] = static_cast<int>(at.low);
      share_of[thread] = static_cast<float>(at.share);
    }
    HM_SYNC();
  }
  const int values = (s.last_column - s.column + 1) * depth * kCoefficients;
  for (int y = top; y < end; ++y) {
    if (grid != nullptr) {
      const int line = line_of[y - top];
      const float share = share_of[y - top];
      const std::int64_t row = call.across.cells * depth * kCoefficients;
      // Asked anew, as the place of the first column would take a register of all rows.
      const int column = device::anew(s.column);
      const float* const low = grid + line * row + column * depth * kCoefficients;
      // The row is between two rows, or at the first or the last one.
      const float* const high = share > 0.0f ? low + row : low;
      float* const to = reinterpret_cast<float*>(shared.row);
      for (int i = thread; i < values; i += p.threads) {
        const float a = low[i], value = fmaf(share, high[i] - a, a);
        to[i] = affine == nullptr ? value : value + above_identity(affine, i % kCoefficients);
      }
    }
    HM_SYNC();
    if constexpr (kBytes) {
      const int column = s.begin + thread * kPixels;
      if (column < s.end) map_bytes(p, shared, s, affine, n, y, column);
    } else {
      for (int column = s.begin + thread; column < s.end; column += p.threads) {
        map_any(p, shared, s, affine, n, y, column);
      }
    }
    HM_SYNC();
  }
}

bool in_words(const PixelBatch& a, int dims) {
  bool aligned = reinterpret_cast<std::uintptr_t>(a.data) % 4 == 0;
  for (int i = 0; i < 2; ++i) aligned = aligned && a.stride[i] % 4 == 0;
  return aligned && (dims == 3 ? a.stride[2] == 1 : a.stride[2] == 3 && a.stride[3] == 1);
}

}  // namespace

void launch_color_grid(const ColorGridCall& call, cudaStream_t stream) {
  HM_CHECK(call.image.dtype != DType::kFloat64, "image: float64 is not for a device");
  Params p;
  p.call = call;
  p.columns_per_pixel =
      static_cast<float>(static_cast<double>(call.across.cells) / call.across.pixels);
  p.columns = kThreads * kPixels;
  while (p.columns > kLeastThreads * kPixels && p.columns / 2 >= call.width) p.columns /= 2;
  // Narrower strips need fewer columns of the grid; one pixel needs two.
  for (;; p.columns /= 2) {
    p.strips = static_cast<int>((call.width + p.columns - 1) / p.columns);
    p.most_intervals = 1;
    for (int i = 0; call.grid.data != nullptr && i < p.strips; ++i) {
      const Strip s = strip_of(p, i);
      p.most_intervals = std::max(p.most_intervals, s.last_interval - s.interval + 1);
    }
    if (call.depth * (p.most_intervals + 1) * 48 <= kTableBytes) break;
  }
  p.threads = std::max(kLeastThreads, p.columns / kPixels);
  p.rows = kMostRows;
  const auto blocks = [&] {
    p.bands = static_cast<int>((call.height + p.rows - 1) / p.rows);
    return std::int64_t(p.strips) * p.bands * call.images;
  };
  while (p.rows > 2 && blocks() < kEnoughBlocks) p.rows /= 2;
  const std::int64_t count = blocks();
  HM_CHECK(count <= kMaxBlocks, "image: ", call.images, " images of ", call.height, " x ",
           call.width, " pixels are too many");
  const bool bytes =
      call.image.dtype == DType::kUInt8 && call.width % kPixels == 0 && p.columns % kPixels == 0 &&
      in_words(call.image, 4) && in_words(call.out, 4) &&
      (call.mask.data == nullptr || (dtype_size(call.mask.dtype) == 1 && in_words(call.mask, 3)));
  const dim3 grid(static_cast<unsigned>(count)), block(static_cast<unsigned>(p.threads));
  const std::size_t shared = shared_bytes(p);
  if (bytes) {
    HM_LAUNCH(color_grid_map_kernel<true>, grid, block, shared, stream, p);
  } else {
    HM_LAUNCH(color_grid_map_kernel<false>, grid, block, shared, stream, p);
  }
}

}  // namespace pyharmony
