// A convolution of the rows of a plan alone, and its gradient to x: the pixels' windows of h.
//
// A block multiplies 128 gathered rows by 64 outputs, 64 bytes of the taps' channels in a step that
// the copies of the next two run beside. The grid is for all positions; blocks beyond the rows,
// whose number the device alone knows, only write zeros where no row is. With few tiles the taps
// are divided among more blocks, and a second kernel adds their sums in order.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "device/workspace.h"
#include "ops/partial_conv/rows.cuh"

namespace pyharmony {
namespace {

using namespace partial_conv;  // NOLINT: it belongs to this op

constexpr int kLeastSteps = 4, kMostCuts = 16;
constexpr int kStripRows = 16, kStrips = kTileRows / kStripRows;  // of a block that adds sums

// Results that have the same taps: every result_step-th one of each axis.
struct Part {
  int height, width;       // of the grid of its results
  int result_y, result_x;  // its first result
  int first, taps;
};

struct RowsParams {
  Source source;
  RowList list;  // of the first part; those of the others follow
  Tap taps[kMaxTaps];
  Part parts[kMaxParts];
  int part_count, result_step_y, result_step_x;
  const void* weight;  // [outputs, all taps, channels]
  std::int64_t weight_row;
  void* result;  // [N, outputs, H, W], channels side by side
  std::int64_t result_image, result_position;
  int images, outputs, plane, width;
  bool packed;  // whether 16 bytes of the result are written at once
  Cover own;    // zero where no row is
  std::int64_t own_image;
  Maps maps;
  AnyValues bias;
  Factor factor;
  float slope;
  float* partial;  // [parts, places, 128, 64]
  int places;
};

__device__ __forceinline__ RowList list_of(const RowsParams& p, int part) {
  RowList list = p.list;
  list.rows += std::int64_t(part) * list.lists * list.length;
  list.totals += part * list.lists;
  return list;
}

// The division of a part among blocks; it depends on the number of rows.
struct Cut {
  int rows, tiles, cuts, steps;  // steps: of each cut
};

// Returns the steps over the taps and channels of a part.
template <typename T>
HM_HOST_DEVICE inline int steps_of(const RowsParams& p, const Part& part) {
  constexpr int kStep = kStepBytes / static_cast<int>(sizeof(T));
  return (part.taps * p.source.channels + kStep - 1) / kStep;
}

template <typename T>
__device__ __forceinline__ Cut cut_of(const RowsParams& p, const Part& part, int rows) {
  const int all = steps_of<T>(p, part);
  Cut cut;
  cut.rows = rows;
  cut.tiles = (rows + kTileRows - 1) / kTileRows * ((p.outputs + kTileColumns - 1) / kTileColumns);
  int cuts = cut.tiles > 0 ? p.places / cut.tiles : 1;
  cuts = device::larger(1, smaller(smaller(cuts, kMostCuts), all / kLeastSteps));
  cut.steps = (all + cuts - 1) / cuts;
  cut.cuts = all > 0 ? (all + cut.steps - 1) / cut.steps : 1;
  return cut;
}

// Writes values of a row from channel o on, those that there are.
template <typename T, int kPack>
__device__ __forceinline__ void store_values(const RowsParams& p, int image, int place, int o,
                                             const Pack<T, kPack>& values) {
  T* const to = static_cast<T*>(p.result) + image * p.result_image + place * p.result_position + o;
  if (p.packed) {
    *reinterpret_cast<Pack<T, kPack>*>(to) = values;
    return;
  }
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    if (o + i < p.outputs) to[i] = values.value[i];
  }
}

template <typename T, int kPack>
__device__ __forceinline__ void finish_values(const RowsParams& p, int image, int place, int o,
                                              const float (&sum)[kPack], float factor) {
  const Window w = window_at(p.maps, image * p.maps.image + place);
  Pack<T, kPack> out;
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    const float bias = p.bias.data != nullptr && o + i < p.outputs ? load(p.bias, o + i) : 0.0f;
    const float more = bias * w.cover;
    const float value = w.ratio != 0 ? fmaf(sum[i], w.ratio * factor, more) : more;
    out.value[i] = device::from_float<T>(activate(value, p.slope));
  }
  store_values<T, kPack>(p, image, place, o, out);
}

template <int kPack>
__device__ __forceinline__ void add_floats(const float* from, float (&sum)[kPack]) {
#pragma unroll
  for (int i = 0; i < kPack; i += 4) {
    const auto four = *reinterpret_cast<const Pack<float, 4>*>(from + i);
#pragma unroll
    for (int j = 0; j < 4; ++j) sum[i + j] += four.value[j];
  }
}

// Writes zeros where no row is, a share of the positions for each block.
template <typename T>
__device__ __forceinline__ void clear_others(const RowsParams& p, int block, int blocks) {
  constexpr int kPack = kPieceValues<T>;
  const int packs = (p.outputs + kPack - 1) / kPack;
  int across = 1;
  while (across < packs && across < kRowThreads) across *= 2;
  const int down = kRowThreads / across, thread = static_cast<int>(threadIdx.x);
  const int all = p.images * p.plane;
  const std::int64_t step = std::int64_t(blocks) * down;
  for (std::int64_t at = std::int64_t(block) * down + thread / across; at < all; at += step) {
    const int image = static_cast<int>(at) / p.plane;
    const int place = static_cast<int>(at) - image * p.plane;
    if (load(p.own, image * p.own_image + place) != 0) continue;
    for (int i = thread % across; i < packs; i += across) {
      store_values<T, kPack>(p, image, place, i * kPack, {});
    }
  }
}

// The address of a piece of a step's rows: those of eight rows lie in all 32 banks.
__device__ __forceinline__ unsigned char* piece_of(unsigned char* rows, int row, int piece) {
  return rows + row * kStepBytes + (piece ^ (row >> 1 & 3)) * kPieceBytes;
}

template <typename T>
__global__ void __launch_bounds__(kRowThreads, 3)
    partial_conv_rows_kernel(const __grid_constant__ RowsParams p) {
  constexpr int kPack = kPieceValues<T>, kPieces = kStepBytes / kPieceBytes;
  constexpr int kDown = kRowThreads / kPieces;  // rows that the threads copy at once
  constexpr int kLeft = kTileRows / kDown, kRight = kTileColumns / kDown;
  __shared__ __align__(16) unsigned char memory[kStages * kTileBytes];
  __shared__ std::int64_t offsets[kTileRows], tap_offsets[kMaxTaps];
  __shared__ std::uint64_t known[kTileRows];
  __shared__ int images[kTileRows], places[kTileRows], weight_taps[kMaxTaps];
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const Part part = p.parts[blockIdx.z];
  const RowList list = list_of(p, static_cast<int>(blockIdx.z));
  const Cut cut = cut_of<T>(p, part, count_rows(list));
  const int unit = static_cast<int>(blockIdx.x);
  if (unit / cut.cuts < cut.tiles) {
    const int columns = (p.outputs + kTileColumns - 1) / kTileColumns;
    const int nth = unit / cut.tiles, tile = unit - nth * cut.tiles;
    const int row0 = tile / columns * kTileRows, o0 = tile % columns * kTileColumns;
    const int some = smaller(kTileRows, cut.rows - row0);
    {
      int image = 0, at = 0;
      find_row(list, row0 + smaller(thread, some - 1), image, at);
      const int y = at / part.width, x = at - y * part.width;
      offsets[thread] = offset_of(p.source, image, y, x);
      known[thread] =
          thread < some ? known_taps(p.source, p.taps + part.first, part.taps, image, y, x) : 0;
      images[thread] = image;
      places[thread] =
          (part.result_y + y * p.result_step_y) * p.width + part.result_x + x * p.result_step_x;
      for (int i = thread; i < part.taps; i += kRowThreads) {
        tap_offsets[i] = offset_of(p.source, p.taps[part.first + i]);
        weight_taps[i] = p.taps[part.first + i].weight;
      }
    }
    HM_SYNC();
    const int piece = thread % kPieces, top = thread / kPieces;
    const T* const source = static_cast<const T*>(p.source.data);
    const T* const weight = static_cast<const T*>(p.weight);
    const T* from[kLeft];
    std::uint64_t bits[kLeft];
#pragma unroll
    for (int i = 0; i < kLeft; ++i) {
      from[i] = source + offsets[top + i * kDown];
      bits[i] = known[top + i * kDown];
    }
    // The tap and the channel of the next piece to copy.
    const int first = nth * cut.steps * kPieces + piece, each = p.source.channels / kPack;
    int tap = first / each, channel = (first - tap * each) * kPack;
    const auto copy = [&](int, int slot) {
      unsigned char* const left = memory + slot * kTileBytes;
      unsigned char* const right = left + kTileRows * kStepBytes;
      const bool inside = tap < part.taps;
      const std::int64_t more = inside ? tap_offsets[tap] + channel : 0;
#pragma unroll
      for (int i = 0; i < kLeft; ++i) {
        const bool is_known = inside && (bits[i] >> tap & 1) != 0;
        device::async_copy_or_zero<kPieceBytes>(piece_of(left, top + i * kDown, piece),
                                                is_known ? from[i] + more : source, is_known);
      }
      const std::int64_t of_tap =
          inside ? std::int64_t(weight_taps[tap]) * p.source.channels + channel : 0;
#pragma unroll
      for (int i = 0; i < kRight; ++i) {
        const int o = o0 + top + i * kDown;
        const bool is_output = inside && o < p.outputs;
        device::async_copy_or_zero<kPieceBytes>(
            piece_of(right, top + i * kDown, piece),
            is_output ? weight + o * p.weight_row + of_tap : weight, is_output);
      }
      channel += kPieces * kPack;
      while (channel >= p.source.channels) {
        channel -= p.source.channels;
        ++tap;
      }
    };
    const int steps = smaller(cut.steps, steps_of<T>(p, part) - nth * cut.steps);
    float* const result = reinterpret_cast<float*>(memory);  // [128][68]
    WarpProduct product;
    const int warp_row = warp / 2 * kWarpRows, warp_column = warp % 2 * kWarpColumns;
    const int live = (some - warp_row + 15) / 16;
    run_steps(steps, copy, [&](int, int slot) {
      unsigned char* const left = memory + slot * kTileBytes;
      unsigned char* const right = left + kTileRows * kStepBytes;
#pragma unroll
      for (int half = 0; half < kPieces / 2; ++half) {
        product.add<T>(
            live,
            [&](int i, unsigned (&a)[4]) {
              device::load_matrices(
                  piece_of(left, warp_row + i * 16 + lane % 16, half * 2 + lane / 16), a);
            },
            [&](int j, unsigned (&b)[4]) {
              device::load_matrices(piece_of(right, warp_column + j * 16 + lane / 16 * 8 + lane % 8,
                                             half * 2 + lane / 8 % 2),
                                    b);
            });
      }
    });
    HM_SYNC();
    product.store(result, warp_row, warp_column);
    HM_SYNC();
    if (cut.cuts > 1) {
      float* const to =
          p.partial + (std::int64_t(blockIdx.z) * p.places + unit) * (kTileRows * kTileColumns);
      for (int i = thread; i < some * (kTileColumns / 4); i += kRowThreads) {
        const int row = i / (kTileColumns / 4), column = i % (kTileColumns / 4) * 4;
        *reinterpret_cast<Pack<float, 4>*>(to + row * kTileColumns + column) =
            *reinterpret_cast<const Pack<float, 4>*>(result + row * kTilePitch + column);
      }
    } else {
      constexpr int kPacks = kTileColumns / kPack;
      const float factor = load(p.factor);
      for (int i = thread; i < some * kPacks; i += kRowThreads) {
        const int row = i / kPacks, column = i % kPacks * kPack;
        if (o0 + column >= p.outputs) continue;
        float sum[kPack] = {};
        add_floats<kPack>(result + row * kTilePitch + column, sum);
        finish_values<T, kPack>(p, images[row], places[row], o0 + column, sum, factor);
      }
    }
  }
  clear_others<T>(p, static_cast<int>(blockIdx.z * gridDim.x + blockIdx.x),
                  static_cast<int>(gridDim.x * gridDim.z));
}

// Adds the sums of cuts, for 16 rows of a tile per block.
template <typename T>
__global__ void __launch_bounds__(kRowThreads)
    partial_conv_rows_finish_kernel(const __grid_constant__ RowsParams p) {
  constexpr int kPack = kPieceValues<T>, kPacks = kTileColumns / kPack;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const Part part = p.parts[blockIdx.z];
  const RowList list = list_of(p, static_cast<int>(blockIdx.z));
  const Cut cut = cut_of<T>(p, part, count_rows(list));
  const int tile = static_cast<int>(blockIdx.x) / kStrips;
  const int strip = static_cast<int>(blockIdx.x) % kStrips * kStripRows;
  const int columns = (p.outputs + kTileColumns - 1) / kTileColumns;
  const int row0 = tile / columns * kTileRows + strip, o0 = tile % columns * kTileColumns;
  const int some = smaller(kStripRows, cut.rows - row0);
  if (cut.cuts == 1 || tile >= cut.tiles || some <= 0) return;
  int image = 0, at = 0;
  find_row(list, row0 + smaller(lane % kStripRows, some - 1), image, at);
  const int y = at / part.width, x = at - y * part.width;
  const int place =
      (part.result_y + y * p.result_step_y) * p.width + part.result_x + x * p.result_step_x;
  const float factor = load(p.factor);
#pragma unroll
  for (int first = 0; first < kStripRows * kPacks; first += kRowThreads) {
    const int row = (first + thread) / kPacks, column = thread % kPacks * kPack;
    const int to_image = __shfl_sync(0xffffffffu, image, row);
    const int to_place = __shfl_sync(0xffffffffu, place, row);
    if (row >= some || o0 + column >= p.outputs) continue;
    const std::int64_t step = std::int64_t(cut.tiles) * (kTileRows * kTileColumns);
    const float* from = p.partial +
                        (std::int64_t(blockIdx.z) * p.places + tile) * (kTileRows * kTileColumns) +
                        (strip + row) * kTileColumns + column;
    float sum[kPack] = {};
#pragma unroll 4
    for (int i = 0; i < cut.cuts; ++i) add_floats<kPack>(from + i * step, sum);
    finish_values<T, kPack>(p, to_image, to_place, o0 + column, sum, factor);
  }
}

// ---- lists of pixels ----------------------------------------------------------------------------

struct PixelsParams {
  Cover mask;
  std::int64_t image;
  int width, step_y, step_x, length;
  Part parts[kMaxParts];
  std::int32_t *rows, *totals;  // [parts, images, length], [parts, images]
};

// Lists the pixels of an image and a part whose mask is not zero.
__global__ void __launch_bounds__(kListThreads)
    partial_conv_pixels_kernel(const __grid_constant__ PixelsParams p) {
  const int n = static_cast<int>(blockIdx.x), lists = static_cast<int>(gridDim.x);
  const Part part = p.parts[blockIdx.y];
  const int list = static_cast<int>(blockIdx.y) * lists + n;
  const auto is_known = [&](int i) {
    const int y = i / part.width, x = i - y * part.width;
    const int pixel = (part.result_y + y * p.step_y) * p.width + part.result_x + x * p.step_x;
    return load(p.mask, n * p.image + pixel) != 0;
  };
  list_places(part.height * part.width, n * p.length, is_known,
              p.rows + std::int64_t(list) * p.length, p.totals + list);
}

// ---- on the host --------------------------------------------------------------------------------

// The parts of a result: all of it, or for the gradient those pixels that as many strides apart.
std::vector<Part> parts_of(std::int64_t height, std::int64_t width, int step_y, int step_x) {
  std::vector<Part> parts;
  for (int y = 0; y < step_y && y < height; ++y) {
    for (int x = 0; x < step_x && x < width; ++x) {
      Part part{};
      part.height = static_cast<int>((height - y + step_y - 1) / step_y);
      part.width = static_cast<int>((width - x + step_x - 1) / step_x);
      part.result_y = y;
      part.result_x = x;
      parts.push_back(part);
    }
  }
  return parts;
}

// The sizes of a product: places and blocks of each part.
struct Division {
  std::int64_t places, blocks;
  std::size_t partial_bytes;
};

Division division_of(const std::vector<Part>& parts, std::int64_t images, std::int64_t outputs) {
  Division d{};
  std::int64_t most = 0;
  for (const Part& part : parts) {
    const std::int64_t rows = images * part.height * part.width;
    most = std::max(most, (rows + kTileRows - 1) / kTileRows);
  }
  most *= (outputs + kTileColumns - 1) / kTileColumns;
  HM_CHECK(most < (std::int64_t(1) << 31), "y: ", most, " tiles, expected below 2^31");
  d.places = std::min<std::int64_t>(kPlaces / static_cast<int>(parts.size()), most * kMostCuts);
  d.blocks = std::max(most, d.places);
  d.partial_bytes =
      parts.size() * static_cast<std::size_t>(d.places) * kTileRows * kTileColumns * 4;
  return d;
}

void check_workspace(const void* workspace, std::size_t bytes, std::size_t needed) {
  HM_CHECK(workspace != nullptr && bytes >= needed, "workspace: ", bytes, " bytes, expected ",
           needed);
}

// Fills in the result, the parts with their division, and what both passes share.
void set_result(RowsParams& p, const ArrayView& y, const std::vector<Part>& parts,
                const Division& division, const char* name) {
  check_writable(y, name);
  HM_CHECK(y.shape[1] == 1 || y.stride[1] == 1, name, ": its channels are not side by side");
  p.result = y.data;
  p.result_image = y.stride[0];
  p.result_position = position_step(y, name);
  p.images = static_cast<int>(y.shape[0]);
  p.outputs = checked(y.shape[1], 65535, name);
  p.plane = static_cast<int>(y.shape[2] * y.shape[3]);
  p.width = static_cast<int>(y.shape[3]);
  p.packed = has_pieces(y);
  p.maps.each = p.outputs;
  std::copy(parts.begin(), parts.end(), p.parts);
  p.part_count = static_cast<int>(parts.size());
  p.places = static_cast<int>(division.places);
}

void launch_rows(const RowsParams& p, DType dtype, const Division& division, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(division.blocks), 1, static_cast<unsigned>(p.part_count));
  const dim3 strips(static_cast<unsigned>(division.places / 2 * kStrips), 1, grid.z);
  device::dispatch_tensor(dtype, "x", [&](auto tag) {
    using T = typename decltype(tag)::type;
    HM_LAUNCH((partial_conv_rows_kernel<T>), grid, dim3(kRowThreads), 0, stream, p);
    int most = 0;
    for (int i = 0; i < p.part_count; ++i) most = std::max(most, steps_of<T>(p, p.parts[i]));
    if (most >= 2 * kLeastSteps) {
      HM_LAUNCH((partial_conv_rows_finish_kernel<T>), strips, dim3(kRowThreads), 0, stream, p);
    }
  });
}

// The parts of the gradient of x [N, C, H, W], and the places of its workspace.
struct GradDivision {
  std::vector<Part> parts;
  Division division;
  std::int64_t length = 0;  // of a list
  std::size_t totals = 0, rows = 0, bytes = 0;
};

GradDivision grad_division(const ArrayView& x, const ConvWindow& w, std::int64_t lists) {
  GradDivision d;
  d.parts = parts_of(x.shape[2], x.shape[3], static_cast<int>(w.stride[0]),
                     static_cast<int>(w.stride[1]));
  d.division = division_of(d.parts, x.shape[0], x.shape[1]);
  for (const Part& part : d.parts) {
    d.length = std::max(d.length, std::int64_t(part.height) * part.width);
  }
  d.bytes = d.division.partial_bytes;
  const auto each = static_cast<std::int64_t>(d.parts.size()) * lists * 4;
  d.totals = device::take(d.bytes, each);
  d.rows = device::take(d.bytes, each * d.length);
  return d;
}

}  // namespace

bool partial_conv_rows_fit(int value_bytes, std::int64_t channels, std::int64_t outputs,
                           const ConvWindow& w) {
  const std::int64_t each = kPieceBytes / value_bytes;
  return channels % each == 0 && outputs % each == 0 && channels <= 65535 && outputs <= 65535 &&
         w.taps() <= kMaxTaps && w.stride[0] * w.stride[1] <= kMaxParts &&
         device::code_version(partial_conv_rows_kernel<float>) >= device::kTensorCode;
}

std::size_t partial_conv_rows_workspace(const ArrayView& y) {
  return division_of(parts_of(y.shape[2], y.shape[3], 1, 1), y.shape[0], y.shape[1]).partial_bytes;
}

void launch_partial_conv_rows(const DeviceRows& call, cudaStream_t stream) {
  const ArrayView &x = *call.x, &y = *call.y;
  const ConvWindow& w = call.window;
  check_windows(x, w, y, "y");
  RowsParams p{};
  p.source = source_of(x, call.mask, "x");
  p.source.step_y = static_cast<int>(w.stride[0]);
  p.source.step_x = static_cast<int>(w.stride[1]);
  check_weight(*call.weight, x.dtype, y.shape[1], w, x.shape[1], "weight");
  std::vector<Part> parts = parts_of(y.shape[2], y.shape[3], 1, 1);
  set_taps(w, p.taps);
  parts[0].taps = static_cast<int>(w.taps());
  const Division division = division_of(parts, y.shape[0], y.shape[1]);
  check_workspace(call.workspace, call.workspace_bytes, division.partial_bytes);
  HM_CHECK(call.ratio != nullptr, "ratio: missing");
  p.maps = maps_of(call.ratio, nullptr, y);
  HM_CHECK(p.maps.each == y.shape[1], "ratio: of groups, expected one map for all channels");
  set_result(p, y, parts, division, "y");
  p.list = list_of(call.list, y);
  p.own = {p.maps.ratio, false};
  p.own_image = p.maps.image;
  p.weight = call.weight->data;
  p.weight_row = w.taps() * x.shape[1];
  p.bias = values_of(call.bias, y.shape[1], "bias");
  p.factor = factor_of(call.factor);
  p.slope = static_cast<float>(call.negative_slope);
  p.result_step_y = p.result_step_x = 1;
  p.partial = static_cast<float*>(call.workspace);
  launch_rows(p, x.dtype, division, stream);
}

std::size_t partial_conv_rows_input_workspace(const ArrayView& dx, const ConvWindow& window) {
  return grad_division(dx, window, dx.shape[0]).bytes;
}

void launch_partial_conv_rows_input_grad(const DeviceRowsInputGrad& call, cudaStream_t stream) {
  const ArrayView &h = *call.h, &dx = *call.dx;
  const ConvWindow& w = call.window;
  check_windows(dx, w, h, "h");
  HM_CHECK(w.stride[0] * w.stride[1] <= kMaxParts, "window: a stride of ", w.stride[0], " by ",
           w.stride[1], ", expected at most ", kMaxParts, " in all");
  RowsParams p{};
  p.source = source_of(h, call.cover, "h");
  p.source.step_y = p.source.step_x = 1;
  check_weight(*call.weight, h.dtype, dx.shape[1], w, h.shape[1], "weight");
  const MaskOf mask = bits_of(call.mask, dx, "dx");
  const std::int64_t lists = call.mask->shape[0];
  GradDivision d = grad_division(dx, w, lists);
  check_workspace(call.workspace, call.workspace_bytes, d.bytes);
  // A pixel and a tap belong together where a stride divides the distance to the tap's window.
  const auto distance = [&](int axis, int first, std::int64_t tap) {
    return first + w.padding[axis] - tap * w.dilation[axis];
  };
  int count = 0;
  for (Part& part : d.parts) {
    part.first = count;
    for (std::int64_t ky = 0; ky < w.kernel[0]; ++ky) {
      const std::int64_t y = distance(0, part.result_y, ky);
      for (std::int64_t kx = 0; kx < w.kernel[1]; ++kx) {
        const std::int64_t x = distance(1, part.result_x, kx);
        if (y % w.stride[0] != 0 || x % w.stride[1] != 0) continue;
        p.taps[count++] = {static_cast<int>(y / w.stride[0]), static_cast<int>(x / w.stride[1]),
                           static_cast<int>(ky * w.kernel[1] + kx)};
      }
    }
    part.taps = count - part.first;
  }
  set_result(p, dx, d.parts, d.division, "dx");
  p.result_step_y = static_cast<int>(w.stride[0]);
  p.result_step_x = static_cast<int>(w.stride[1]);
  p.weight = call.weight->data;
  p.weight_row = w.taps() * h.shape[1];
  p.factor = factor_of(call.factor);
  p.slope = 1;
  auto* const memory = static_cast<unsigned char*>(call.workspace);
  p.partial = reinterpret_cast<float*>(memory);
  PixelsParams q{};
  q.mask = p.own = mask.values;
  q.image = p.own_image = mask.image;
  q.width = p.width;
  q.step_y = p.result_step_y, q.step_x = p.result_step_x;
  q.length = static_cast<int>(d.length);
  std::copy(d.parts.begin(), d.parts.end(), q.parts);
  q.rows = reinterpret_cast<std::int32_t*>(memory + d.rows);
  q.totals = reinterpret_cast<std::int32_t*>(memory + d.totals);
  p.list = {q.rows, q.totals, static_cast<int>(lists), p.images, q.length};
  HM_LAUNCH(partial_conv_pixels_kernel,
            dim3(static_cast<unsigned>(lists), static_cast<unsigned>(d.parts.size())),
            dim3(kListThreads), 0, stream, q);
  launch_rows(p, h.dtype, d.division, stream);
}

}  // namespace pyharmony
