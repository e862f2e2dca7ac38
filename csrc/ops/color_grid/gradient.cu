// Gradients of color_grid. A block has a piece of an image whose pixels lie between the same four
// columns of nodes. Each thread takes a pixel, writes the gradient of image and mask, and leaves in
// shared memory what its warp adds up: there each lane has nodes, knots or entries of the affine
// map and goes over the pixels of the warp, so that no sum has two writers. Two more launches add
// the sums of blocks in order.
#include <algorithm>
#include <cstdint>

#include "device/reduce.h"
#include "ops/color_grid/color_grid_cuda.h"
#include "ops/color_grid/pixels.cuh"

namespace pyharmony {
namespace {

using namespace color_grid;

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kPiecePixels = 4096;
constexpr int kStage = 12;  // floats of a pixel
constexpr int kPasses = 2;  // nodes of a lane, and knots
constexpr int kGroup = 32 * kPasses;
constexpr std::int64_t kMaxBlocks = (std::int64_t(1) << 31) - 1;

struct Params {
  ColorGridCall call;
  ColorGridGradient gradient;
  float* partial;  // [pieces of all images][nodes * 12 + knots * 3 + 12]
  int down, down_count, across, across_count;  // intervals between centres: the first, how many
  int rows, bands;   // rows of a piece; pieces of an interval, one below another
  int nodes, knots;  // counts for a piece: of four columns; of three channels
  float columns_per_pixel, rows_per_pixel;
};

HM_HOST_DEVICE inline int partial_size(const Params& p) {
  return p.nodes * kCoefficients + p.knots * 3 + kCoefficients;
}

HM_HOST_DEVICE inline int pieces_of_image(const Params& p) {
  return p.down_count * p.bands * p.across_count;
}

// The pixels of an image in an interval of an axis.
struct Range {
  int begin, end;
};

HM_HOST_DEVICE inline Range range_of_interval(const CellAxis& axis, std::int64_t interval,
                                              std::int64_t origin, std::int64_t size) {
  const std::int64_t begin = axis.first(interval) - origin;
  const std::int64_t end = interval >= axis.cells ? size : axis.first(interval + 1) - origin;
  Range r;
  r.begin = static_cast<int>(begin < 0 ? 0 : begin);
  r.end = static_cast<int>(end > size ? size : end);
  return r;
}

// A pixel's part in the sums: 3 of the gradient, w; 3 of the colour, the share across; that down.
struct Staged {
  float pull[3], w, x[3], across, down;
};

struct Sources {
  const float4* nodes;   // [2 down][2 across][depth][3]
  const float4* curves;  // [3 in][knots]
  const float* affine;   // minus the identity; used where there is no grid
};

// Computes the gradient of a pixel's image and mask, and what the sums need from it.
__device__ __forceinline__ void pull_pixel(const Params& p, const Sources& from, float weight,
                                           const float (&grad)[3], Staged& pixel,
                                           float (&of_image)[3], float& of_mask) {
  const ColorGridCall& call = p.call;
  const float (&x)[3] = pixel.x;
  float delta[3] = {0, 0, 0}, by_luma[3] = {0, 0, 0};
  float slope[3][3];  // slope of result o along channel c
#pragma unroll
  for (int o = 0; o < 3; ++o) {
#pragma unroll
    for (int c = 0; c < 3; ++c) slope[o][c] = 0;
  }
  pixel.w = 0;
  if (call.grid.data != nullptr) {
    const int depth = static_cast<int>(call.depth);
    const float count = static_cast<float>(depth);
    const float given = fmaf(luma_of(x[0], x[1], x[2]), count, -0.5f);
    const float steep = given >= 0.0f && given <= count - 1.0f ? count : 0.0f;
    const float w = held(given, count - 1.0f);
    const int k = smaller(static_cast<int>(w), larger(depth - 2, 0)),
              next = smaller(k + 1, depth - 1);
    const float deep = w - static_cast<float>(k);
    pixel.w = w;
    const auto between = [&](int at, int o) {
      const float4 a = from.nodes[at * 3 + o], b = from.nodes[(depth + at) * 3 + o];
      const float4 c = from.nodes[(2 * depth + at) * 3 + o];
      const float4 d = from.nodes[(3 * depth + at) * 3 + o];
      const auto mix = [&](float v, float u, float t, float s) {
        const float above = fmaf(pixel.across, u - v, v), below = fmaf(pixel.across, s - t, t);
        return fmaf(pixel.down, below - above, above);
      };
      return make_float4(mix(a.x, b.x, c.x, d.x), mix(a.y, b.y, c.y, d.y), mix(a.z, b.z, c.z, d.z),
                         mix(a.w, b.w, c.w, d.w));
    };
#pragma unroll
    for (int o = 0; o < 3; ++o) {
      const float4 low = between(k, o), high = between(next, o);
      const float4 rise =
          make_float4(high.x - low.x, high.y - low.y, high.z - low.z, high.w - low.w);
      const float4 row = make_float4(fmaf(deep, rise.x, low.x), fmaf(deep, rise.y, low.y),
                                     fmaf(deep, rise.z, low.z), fmaf(deep, rise.w, low.w));
      delta[o] = dot(row, x[0], x[1], x[2]);
      by_luma[o] = steep * dot(rise, x[0], x[1], x[2]);
      slope[o][0] = row.x;
      slope[o][1] = row.y;
      slope[o][2] = row.z;
    }
  } else if (from.affine != nullptr) {
#pragma unroll
    for (int o = 0; o < 3; ++o) {
      float4 row;
      row.x = slope[o][0] = above_identity(from.affine, 4 * o);
      row.y = slope[o][1] = above_identity(from.affine, 4 * o + 1);
      row.z = slope[o][2] = above_identity(from.affine, 4 * o + 2);
      row.w = above_identity(from.affine, 4 * o + 3);
      delta[o] = dot(row, x[0], x[1], x[2]);
    }
  }
  if (call.curves.data != nullptr) {
    const int knots = static_cast<int>(call.knots);
    const float last = static_cast<float>(knots - 1);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const float t = held(x[c], 1.0f) * last;
      const int k = smaller(static_cast<int>(t), knots - 2);
      const float share = t - static_cast<float>(k);
      const float4 low = from.curves[c * knots + k], high = from.curves[c * knots + k + 1];
      const float rise[3] = {high.x - low.x, high.y - low.y, high.z - low.z};
      delta[0] += fmaf(share, rise[0], low.x);
      delta[1] += fmaf(share, rise[1], low.y);
      delta[2] += fmaf(share, rise[2], low.z);
      const float steep = x[c] >= 0.0f && x[c] <= 1.0f ? last : 0.0f;
#pragma unroll
      for (int o = 0; o < 3; ++o) slope[o][c] = fmaf(steep, rise[o], slope[o][c]);
    }
  }
  of_mask = 0;
  float luma = 0;
#pragma unroll
  for (int o = 0; o < 3; ++o) {
    const float y = x[o] + delta[o], low = x[o] < 0.0f ? x[o] : 0.0f;
    const float high = x[o] > 1.0f ? x[o] : 1.0f;
    const bool below = y<low, above = y> high;
    of_mask = fmaf(grad[o], (below ? low : above ? high : y) - x[o], of_mask);
    const bool moves = (!below && !above) || (below ? x[o] < 0.0f : x[o] > 1.0f);
    pixel.pull[o] = below || above ? 0.0f : weight * grad[o];
    of_image[o] = grad[o] * (1.0f - weight) + (moves ? weight * grad[o] : 0.0f);
    luma = fmaf(pixel.pull[o], by_luma[o], luma);
  }
  const float share[3] = {kRed, kGreen, kBlue};
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    float sum = x[c] >= 0.0f && x[c] <= 1.0f ? share[c] * luma : 0.0f;
#pragma unroll
    for (int o = 0; o < 3; ++o) sum = fmaf(pixel.pull[o], slope[o][c], sum);
    of_image[c] += sum;
  }
}

// The sums of a lane.
struct Sums {
  float node[kPasses][kCoefficients], knot[kPasses][3], affine;
};

// Adds the pixels of a warp, one after another.
__device__ __forceinline__ void add_staged(const Params& p, const float* stage, int lane, int group,
                                           Sums& sums) {
  const int depth = static_cast<int>(p.call.depth), knots = static_cast<int>(p.call.knots);
  for (int i = 0; i < 32; ++i) {
    const float4 a = reinterpret_cast<const float4*>(stage + i * kStage)[0];
    const float4 b = reinterpret_cast<const float4*>(stage + i * kStage)[1];
    const float down = stage[i * kStage + 8];
    const float pull[3] = {a.x, a.y, a.z}, x[4] = {b.x, b.y, b.z, 1.0f};
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int node = group * kGroup + pass * 32 + lane;
      if (node < p.nodes) {
        const int column = node / depth, k = node - column * depth;
        const float deep = fmaxf(0.0f, 1.0f - fabsf(a.w - static_cast<float>(k)));
        const float weight =
            (column / 2 == 0 ? 1.0f - down : down) * (column % 2 == 0 ? 1.0f - b.w : b.w) * deep;
#pragma unroll
        for (int o = 0; o < 3; ++o) {
          const float value = weight * pull[o];
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            sums.node[pass][4 * o + j] = fmaf(value, x[j], sums.node[pass][4 * o + j]);
          }
        }
      }
      const int knot = group * kGroup + pass * 32 + lane;
      if (knot < p.knots) {
        const int c = knot / knots, k = knot - c * knots;
        const float t = held(c == 0   ? x[0]
                             : c == 1 ? x[1]
                                      : x[2],
                             1.0f) *
                        static_cast<float>(knots - 1);
        const float weight = fmaxf(0.0f, 1.0f - fabsf(t - static_cast<float>(k)));
#pragma unroll
        for (int o = 0; o < 3; ++o) {
          sums.knot[pass][o] = fmaf(weight, pull[o], sums.knot[pass][o]);
        }
      }
    }
    if (group == 0 && lane < kCoefficients) {
      const float given = lane % 4 == 3 ? 1.0f : stage[i * kStage + 4 + lane % 4];
      sums.affine = fmaf(stage[i * kStage + lane / 4], given, sums.affine);
    }
  }
}

__global__ void __launch_bounds__(kThreads) color_grid_gradient_kernel(Params p) {
  HM_DYN_SMEM(float, memory);
  const ColorGridCall& call = p.call;
  const ColorGridGradient& gradient = p.gradient;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int depth = static_cast<int>(call.depth), knots = static_cast<int>(call.knots);
  float* const nodes = memory;                            // [4 columns][depth][12]
  float* const curves = nodes + p.nodes * kCoefficients;  // [3 in][knots][4]
  float* const stages = curves + p.knots * 4;             // [warps][32][kStage]
  float* const stage = stages + warp * 32 * kStage;

  unsigned block = blockIdx.x;
  const int piece_across = static_cast<int>(block % p.across_count);
  block /= p.across_count;
  const int band = static_cast<int>(block % p.bands);
  block /= p.bands;
  const int piece_down = static_cast<int>(block % p.down_count);
  const int n = static_cast<int>(block / p.down_count);
  const int interval_x = p.across + piece_across, interval_y = p.down + piece_down;
  const Range columns = range_of_interval(call.across, interval_x, call.x0, call.width);
  Range lines = range_of_interval(call.down, interval_y, call.y0, call.height);
  lines.begin += band * p.rows;
  lines.end = smaller(lines.begin + p.rows, lines.end);
  const int width = larger(columns.end - columns.begin, 0);
  const int pixels = width * larger(lines.end - lines.begin, 0);

  const float* const affine = call.affine.of<float>(n);
  Sources from;
  from.nodes = reinterpret_cast<const float4*>(nodes);
  from.curves = reinterpret_cast<const float4*>(curves);
  from.affine = affine;
  const int cells_x = static_cast<int>(call.across.cells);
  const bool inside_x = interval_x > 0 && interval_x < cells_x;
  const bool inside_y = interval_y > 0 && interval_y < static_cast<int>(call.down.cells);
  if (call.grid.data != nullptr) {
    const float* const grid = call.grid.of<float>(n);
    const int left = larger(interval_x - 1, 0), above = larger(interval_y - 1, 0);
    for (int i = thread; i < p.nodes * kCoefficients; i += kThreads) {
      const int column = i / (depth * kCoefficients), rest = i - column * depth * kCoefficients;
      const int v = inside_y ? above + column / 2 : above;
      const int u = inside_x ? left + column % 2 : left;
      const float value = grid[(std::int64_t(v) * cells_x + u) * depth * kCoefficients + rest];
      nodes[i] = affine == nullptr ? value : value + above_identity(affine, i % kCoefficients);
    }
  }
  if (call.curves.data != nullptr) {
    const float* const given = call.curves.of<float>(n);
    for (int i = thread; i < p.knots * 4; i += kThreads) {
      const int o = i % 4, c = i / 4 / knots, k = i / 4 - c * knots;
      curves[i] = o == 3 ? 0.0f : given[(3 * o + c) * knots + k];
    }
  }
  HM_SYNC();

  const std::int64_t first = call.across.first(interval_x);
  const std::int64_t first_row = call.down.first(interval_y);
  const float start = inside_x ? static_cast<float>(call.across.place(first).share) : 0.0f;
  const float start_row = inside_y ? static_cast<float>(call.down.place(first_row).share) : 0.0f;
  const int groups =
      p.partial == nullptr ? 1 : larger(1, (larger(p.nodes, p.knots) + kGroup - 1) / kGroup);
  float* const result =
      p.partial == nullptr ? nullptr : p.partial + std::int64_t(blockIdx.x) * partial_size(p);
  for (int group = 0; group < groups; ++group) {
    Sums sums;
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
#pragma unroll
      for (int i = 0; i < kCoefficients; ++i) sums.node[pass][i] = 0;
#pragma unroll
      for (int i = 0; i < 3; ++i) sums.knot[pass][i] = 0;
    }
    sums.affine = 0;
    for (int base = warp * 32; base < pixels; base += kThreads) {
      const int i = base + lane;
      Staged pixel = {};
      if (i < pixels) {
        const int row = i / width, column = columns.begin + i - row * width;
        const int y = lines.begin + row;
        const float weight = load_weight(call.mask, n, y, column);
        const std::int64_t at = offset(call.image, n, y, column);
        const std::int64_t grad_at = offset(gradient.grad, n, y, column);
        float grad[3], of_image[3], of_mask = 0;
#pragma unroll
        for (int c = 0; c < 3; ++c) {
          grad[c] = device::load_value(gradient.grad.data, gradient.grad.dtype,
                                       grad_at + c * gradient.grad.stride[3]);
          of_image[c] = grad[c];
        }
        if (weight > 0.0f || gradient.mask != nullptr) {
#pragma unroll
          for (int c = 0; c < 3; ++c) {
            pixel.x[c] = device::load_value(call.image.data, call.image.dtype,
                                            at + c * call.image.stride[3]);
          }
          if (inside_x) {
            const int px = static_cast<int>(call.x0 + column - first);
            pixel.across = fmaf(static_cast<float>(px), p.columns_per_pixel, start);
          }
          if (inside_y) {
            const int py = static_cast<int>(call.y0 + y - first_row);
            pixel.down = fmaf(static_cast<float>(py), p.rows_per_pixel, start_row);
          }
          pull_pixel(p, from, weight, grad, pixel, of_image, of_mask);
        }
        if (!(weight > 0.0f)) {  // It adds nothing to the sums, and no NaN.
          pixel = Staged{};
#pragma unroll
          for (int c = 0; c < 3; ++c) of_image[c] = grad[c];
        }
        if (group == 0) {
          if (gradient.image.data != nullptr) {
            const std::int64_t to = offset(gradient.image, n, y, column);
#pragma unroll
            for (int c = 0; c < 3; ++c) {
              device::store_value(gradient.image.data, gradient.image.dtype,
                                  to + c * gradient.image.stride[3], of_image[c]);
            }
          }
          if (gradient.mask != nullptr) {
            static_cast<float*>(gradient.mask)[(n * call.height + y) * call.width + column] =
                of_mask;
          }
        }
      }
      if (p.partial == nullptr) continue;
      HM_SYNCWARP(0xffffffffu);  // The pixels before are added by now.
      float4* const own = reinterpret_cast<float4*>(stage + lane * kStage);
      own[0] = make_float4(pixel.pull[0], pixel.pull[1], pixel.pull[2], pixel.w);
      own[1] = make_float4(pixel.x[0], pixel.x[1], pixel.x[2], pixel.across);
      stage[lane * kStage + 8] = pixel.down;
      HM_SYNCWARP(0xffffffffu);
      add_staged(p, stage, lane, group, sums);
    }
    if (p.partial == nullptr) continue;
    // The warps add up one after another, in the memory of the stages.
    float* const totals = stages;
    const int knot_at = kGroup * kCoefficients, affine_at = knot_at + kGroup * 3;
    for (int turn = 0; turn < kWarps; ++turn) {
      HM_SYNC();
      if (warp != turn) continue;
      const bool is_first = turn == 0;
#pragma unroll
      for (int pass = 0; pass < kPasses; ++pass) {
        const int slot = pass * 32 + lane;
#pragma unroll
        for (int i = 0; i < kCoefficients; ++i) {
          float& total = totals[slot * kCoefficients + i];
          total = is_first ? sums.node[pass][i] : total + sums.node[pass][i];
        }
#pragma unroll
        for (int o = 0; o < 3; ++o) {
          float& total = totals[knot_at + slot * 3 + o];
          total = is_first ? sums.knot[pass][o] : total + sums.knot[pass][o];
        }
      }
      if (lane < kCoefficients) {
        float& total = totals[affine_at + lane];
        total = is_first ? sums.affine : total + sums.affine;
      }
    }
    HM_SYNC();
    const int node = group * kGroup * kCoefficients, knot = group * kGroup * 3;
    for (int i = thread; i < kGroup * kCoefficients && node + i < p.nodes * kCoefficients;
         i += kThreads) {
      result[node + i] = totals[i];
    }
    float* const of_knots = result + p.nodes * kCoefficients;
    for (int i = thread; i < kGroup * 3 && knot + i < p.knots * 3; i += kThreads) {
      of_knots[knot + i] = totals[knot_at + i];
    }
    if (group == 0 && thread < kCoefficients) {
      of_knots[p.knots * 3 + thread] = totals[affine_at + thread];
    }
    HM_SYNC();
  }
}

// Adds a value of the grid per thread: the pieces in up to four intervals, down and then across.
__global__ void __launch_bounds__(kThreads) color_grid_nodes_kernel(Params p) {
  const ColorGridCall& call = p.call;
  const std::int64_t size = call.down.cells * call.across.cells * call.depth * kCoefficients;
  const std::int64_t i = std::int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= size * call.images) return;
  const int n = static_cast<int>(i / size);
  const std::int64_t rest = i - n * size, column_size = call.depth * kCoefficients;
  const int inner = static_cast<int>(rest % column_size);
  const int u = static_cast<int>(rest / column_size % call.across.cells);
  const int v = static_cast<int>(rest / column_size / call.across.cells);
  double sum = 0;
  // The node is the first of the interval behind it and the second of the one before it; it is also
  // the first of the interval before all nodes.
  for (int b = 0; b < 3; ++b) {
    const int y = b == 0 ? v + 1 : b == 1 ? v : 0, slot_y = b == 1 ? 1 : 0;
    if (b == 2 && v != 0) continue;
    if (y < p.down || y >= p.down + p.down_count) continue;
    for (int a = 0; a < 3; ++a) {
      const int x = a == 0 ? u + 1 : a == 1 ? u : 0, slot_x = a == 1 ? 1 : 0;
      if (a == 2 && u != 0) continue;
      if (x < p.across || x >= p.across + p.across_count) continue;
      for (int band = 0; band < p.bands; ++band) {
        const std::int64_t piece =
            ((std::int64_t(n) * p.down_count + y - p.down) * p.bands + band) * p.across_count + x -
            p.across;
        const float* const from = p.partial + piece * partial_size(p);
        sum += from[(slot_y * 2 + slot_x) * column_size + inner];
      }
    }
  }
  static_cast<float*>(p.gradient.grid)[i] = static_cast<float>(sum);
}

// Adds a value of the curves or of the affine map per warp: all pieces of an image.
__global__ void __launch_bounds__(kThreads) color_grid_sum_kernel(Params p) {
  const ColorGridCall& call = p.call;
  const int knots = p.knots * 3, size = knots + kCoefficients;
  const std::int64_t i = (std::int64_t(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (i >= size * call.images) return;
  const int n = static_cast<int>(i / size), at = static_cast<int>(i - std::int64_t(n) * size);
  const int pieces = pieces_of_image(p), lane = static_cast<int>(threadIdx.x % 32);
  const float* const from =
      p.partial + std::int64_t(n) * pieces * partial_size(p) + p.nodes * kCoefficients + at;
  double sum = 0;
  for (int piece = lane; piece < pieces; piece += 32) {
    sum += from[std::int64_t(piece) * partial_size(p)];
  }
  sum = device::warp_reduce(sum, device::Sum());
  if (lane != 0) return;
  if (at >= knots) {
    if (p.gradient.affine != nullptr) {
      static_cast<float*>(p.gradient.affine)[n * kCoefficients + at - knots] =
          static_cast<float>(sum);
    }
  } else if (p.gradient.curves != nullptr) {  // [3 in][knots][3 out]
    const int o = at % 3, knot = at / 3, c = knot / static_cast<int>(call.knots);
    const int k = knot - c * static_cast<int>(call.knots);
    static_cast<float*>(p.gradient.curves)[((std::int64_t(n) * 3 + o) * 3 + c) * call.knots + k] =
        static_cast<float>(sum);
  }
}

Params params_of(const ColorGridCall& call) {
  Params p;
  p.call = call;
  p.partial = nullptr;
  p.down = static_cast<int>(call.down.interval(call.y0));
  p.down_count = static_cast<int>(call.down.interval(call.y0 + call.height - 1)) - p.down + 1;
  p.across = static_cast<int>(call.across.interval(call.x0));
  p.across_count = static_cast<int>(call.across.interval(call.x0 + call.width - 1)) - p.across + 1;
  int widest = 1, highest = 1;
  for (int i = 0; i < p.across_count; ++i) {
    const Range r = range_of_interval(call.across, p.across + i, call.x0, call.width);
    widest = std::max(widest, r.end - r.begin);
  }
  for (int i = 0; i < p.down_count; ++i) {
    const Range r = range_of_interval(call.down, p.down + i, call.y0, call.height);
    highest = std::max(highest, r.end - r.begin);
  }
  p.rows = std::min(highest, std::max(1, kPiecePixels / widest));
  p.bands = (highest + p.rows - 1) / p.rows;
  p.nodes = static_cast<int>(4 * call.depth);
  p.knots = static_cast<int>(3 * call.knots);
  p.columns_per_pixel =
      static_cast<float>(static_cast<double>(call.across.cells) / call.across.pixels);
  p.rows_per_pixel = static_cast<float>(static_cast<double>(call.down.cells) / call.down.pixels);
  return p;
}

}  // namespace

std::size_t color_grid_gradient_workspace(const ColorGridCall& call) {
  const Params p = params_of(call);
  return static_cast<std::size_t>(call.images) * pieces_of_image(p) * partial_size(p) *
         sizeof(float);
}

void launch_color_grid_gradient(const ColorGridCall& call, const ColorGridGradient& gradient,
                                void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  HM_CHECK(call.image.dtype != DType::kFloat64, "image: float64 is not for a device");
  Params p = params_of(call);
  p.gradient = gradient;
  const bool sums =
      gradient.affine != nullptr || gradient.curves != nullptr || gradient.grid != nullptr;
  const std::int64_t blocks = call.images * pieces_of_image(p);
  HM_CHECK(blocks <= kMaxBlocks, "image: ", call.images, " images of ", call.height, " x ",
           call.width, " pixels are too many");
  if (sums) {
    const std::size_t needed = color_grid_gradient_workspace(call);
    HM_CHECK(workspace_bytes >= needed, "workspace: ", workspace_bytes, " bytes, expected ",
             needed);
    p.partial = static_cast<float*>(workspace);
  }
  const std::size_t stages = kWarps * 32 * kStage;
  static_assert(kWarps * 32 * kStage >= kGroup * (kCoefficients + 3) + kCoefficients,
                "the totals lie where the stages were");
  const std::size_t shared = (p.nodes * kCoefficients + p.knots * 4 + stages) * sizeof(float);
  HM_LAUNCH(color_grid_gradient_kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), shared,
            stream, p);
  const auto grid_for = [](std::int64_t threads) {
    return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
  };
  if (gradient.grid != nullptr) {
    HM_LAUNCH(color_grid_nodes_kernel, grid_for(call.grid_size() * call.images), dim3(kThreads), 0,
              stream, p);
  }
  if (gradient.affine != nullptr || gradient.curves != nullptr) {
    HM_LAUNCH(color_grid_sum_kernel, grid_for((p.knots * 3 + kCoefficients) * call.images * 32),
              dim3(kThreads), 0, stream, p);
  }
}

}  // namespace pyharmony
