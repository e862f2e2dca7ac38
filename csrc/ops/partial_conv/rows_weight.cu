// The gradient of a partial convolution to its weight: a sum over the rows of a plan.
//
// A block has 128 outputs and 64 of the taps' channels, and multiplies 64 bytes of rows in a step:
// h transposed by the gathered windows. Few blocks divide the rows among more of them, and a second
// kernel adds their sums in order.
#include <algorithm>
#include <cstdint>

#include "ops/partial_conv/rows.cuh"

namespace pyharmony {
namespace {

using namespace partial_conv;  // NOLINT: it belongs to this op

constexpr int kSumThreads = 256;
constexpr int kLeastRows = 128;  // of all positions, for a division of their own
constexpr int kMostDivisions = 64;

struct WeightParams {
  Source source;
  RowList list;
  Tap taps[kMaxTaps];
  int width;      // positions of a line of the rows' grid
  const void* h;  // [N, outputs, OH, OW], channels side by side
  std::int64_t h_image, h_position;
  int outputs, columns;  // columns: of all taps' channels
  void* result;          // [outputs, columns]
  float* partial;        // [divisions, outputs, columns]
  int divisions;
};

// Returns the steps of each division, from the number of rows.
template <typename T>
__device__ __forceinline__ int steps_of(const WeightParams& p, int rows) {
  constexpr int kStepRows = kStepBytes / static_cast<int>(sizeof(T));
  const int all = (rows + kStepRows - 1) / kStepRows;
  return (all + p.divisions - 1) / p.divisions;
}

// The address of a piece of a row of an operand, whose `pieces` lie side by side. Fragments are of
// eight rows and one piece for values of two bytes, of four rows and two pieces for floats.
template <typename T>
__device__ __forceinline__ unsigned char* piece_of(unsigned char* rows, int pieces, int row,
                                                   int piece) {
  const int turn = sizeof(T) == 2 ? row & 7 : (row & 3) * 2;
  return rows + (row * pieces + (piece ^ turn)) * kPieceBytes;
}

template <typename T>
__global__ void __launch_bounds__(kRowThreads, 3)
    partial_conv_rows_weight_kernel(const __grid_constant__ WeightParams p) {
  constexpr int kPack = kPieceValues<T>, kStepRows = kStepBytes / static_cast<int>(sizeof(T));
  constexpr int kLeft = kTileRows / kPack, kRight = kTileColumns / kPack;  // pieces of a row
  constexpr int kLeftDown = kRowThreads / kLeft, kRightDown = kRowThreads / kRight;
  constexpr int kRun = kRowThreads / kStepRows;  // steps whose rows are found at once
  static_assert(kRun >= kStages, "rows are found before the first copies of them");
  __shared__ __align__(16) unsigned char memory[kStages * kTileBytes];
  __shared__ std::int64_t offsets[2][kRowThreads], h_offsets[2][kRowThreads];
  __shared__ unsigned known[2][kRowThreads];
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int o0 = static_cast<int>(blockIdx.y) * kTileRows;
  const int column0 = static_cast<int>(blockIdx.x) * kTileColumns;
  const int nth = static_cast<int>(blockIdx.z);
  const int rows = count_rows(p.list), each = steps_of<T>(p, rows);
  const std::int64_t begin = std::int64_t(nth) * each * kStepRows;
  const int row0 = begin < rows ? static_cast<int>(begin) : rows;
  const int some = smaller(rows - row0, each * kStepRows);
  const int steps = (some + kStepRows - 1) / kStepRows;
  if (p.divisions > 1 && some == 0) return;

  // The taps of the block's columns: 64 columns have at most 17.
  const int first = column0 / p.source.channels;
  const int last = smaller(column0 + kTileColumns, p.columns) - 1;
  const int count = last / p.source.channels - first + 1;
  const auto find = [&](int run) {
    const int row = run * kRowThreads + thread;
    int image = 0, at = 0;
    find_row(p.list, row0 + smaller(row, some - 1), image, at);
    const int y = at / p.width, x = at - y * p.width, to = run & 1;
    offsets[to][thread] = offset_of(p.source, image, y, x);
    h_offsets[to][thread] =
        row < some ? image * p.h_image + std::int64_t(at) * p.h_position : std::int64_t(-1);
    known[to][thread] =
        row < some ? static_cast<unsigned>(known_taps(p.source, p.taps + first, count, image, y, x))
                   : 0u;
  };
  const int left_piece = thread % kLeft, left_top = thread / kLeft;
  const int right_piece = thread % kRight, right_top = thread / kRight;
  const bool is_output = o0 + left_piece * kPack < p.outputs;
  const int column = column0 + right_piece * kPack;
  const bool is_column = column < p.columns;
  const int tap = is_column ? column / p.source.channels : first;
  const T* const h = static_cast<const T*>(p.h);
  const T* const source = static_cast<const T*>(p.source.data);
  const std::int64_t of_tap =
      offset_of(p.source, p.taps[tap]) + (is_column ? column - tap * p.source.channels : 0);
  const auto copy = [&](int step, int slot) {
    unsigned char* const left = memory + slot * kTileBytes;
    unsigned char* const right = left + kTileRows * kStepBytes;
    const int from = step / kRun & 1, top = step % kRun * kStepRows;
#pragma unroll
    for (int i = 0; i < kStepRows / kLeftDown; ++i) {
      const int row = left_top + i * kLeftDown;
      const std::int64_t at = h_offsets[from][top + row];
      const bool inside = is_output && at >= 0;
      device::async_copy_or_zero<kPieceBytes>(piece_of<T>(left, kLeft, row, left_piece),
                                              inside ? h + at + o0 + left_piece * kPack : h,
                                              inside);
    }
#pragma unroll
    for (int i = 0; i < kStepRows / kRightDown; ++i) {
      const int row = right_top + i * kRightDown;
      const bool inside = is_column && (known[from][top + row] >> (tap - first) & 1) != 0;
      device::async_copy_or_zero<kPieceBytes>(
          piece_of<T>(right, kRight, row, right_piece),
          inside ? source + offsets[from][top + row] + of_tap : source, inside);
    }
    // The next barrier of the steps comes before the first copy of these rows.
    if ((step + 1) % kRun == 0 && step + 1 < steps) find((step + 1) / kRun);
  };
  if (some > 0) find(0);
  HM_SYNC();

  float* const result = reinterpret_cast<float*>(memory);  // [128][68]
  WarpProduct product;
  const int row = warp / 2 * kWarpRows, right_column = warp % 2 * kWarpColumns;
  const int live = (p.outputs - o0 - row + 15) / 16;
  constexpr int kDeep = 32 / static_cast<int>(sizeof(T));  // rows of a multiplication
  run_steps(steps, copy, [&](int step, int slot) {
    unsigned char* const left = memory + slot * kTileBytes;
    unsigned char* const right = left + kTileRows * kStepBytes;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int k = half * kDeep;
      if (step * kStepRows + k >= some) continue;
      if constexpr (sizeof(T) == 2) {
        product.add<T>(
            live,
            [&](int i, unsigned (&a)[4]) {
              const int m = row + i * 16 + lane / 8 % 2 * 8;
              device::load_transposed(
                  piece_of<T>(left, kLeft, k + lane / 16 * 8 + lane % 8, m / kPack), a);
            },
            [&](int j, unsigned (&b)[4]) {
              const int n = right_column + j * 16 + lane / 16 * 8;
              device::load_transposed(
                  piece_of<T>(right, kRight, k + lane / 8 % 2 * 8 + lane % 8, n / kPack), b);
            });
      } else {
        const auto word = [&](unsigned char* rows_of, int pieces, int at, int value) {
          return *reinterpret_cast<const unsigned*>(
              piece_of<T>(rows_of, pieces, at, value / kPack) + value % kPack * 4);
        };
        product.add<T>(
            live,
            [&](int i, unsigned (&a)[4]) {
#pragma unroll
              for (int q = 0; q < 4; ++q) {
                a[q] = word(left, kLeft, k + lane % 4 + q / 2 * 4,
                            row + i * 16 + q % 2 * 8 + lane / 4);
              }
            },
            [&](int j, unsigned (&b)[4]) {
#pragma unroll
              for (int q = 0; q < 4; ++q) {
                b[q] = word(right, kRight, k + lane % 4 + q % 2 * 4,
                            right_column + j * 16 + q / 2 * 8 + lane / 4);
              }
            });
      }
    }
  });
  HM_SYNC();
  product.store(result, row, right_column);
  HM_SYNC();
  constexpr int kPacks = kTileColumns / kPack;
  const int live_rows = smaller(kTileRows, p.outputs - o0);
  for (int i = thread; i < live_rows * kPacks; i += kRowThreads) {
    const int row = i / kPacks, at = i % kPacks * kPack;
    if (column0 + at >= p.columns) continue;
    const float* const from = result + row * kTilePitch + at;
    const std::int64_t to = std::int64_t(o0 + row) * p.columns + column0 + at;
    if (p.divisions > 1) {
      float* const partial = p.partial + std::int64_t(nth) * p.outputs * p.columns + to;
#pragma unroll
      for (int j = 0; j < kPack; j += 4) {
        *reinterpret_cast<Pack<float, 4>*>(partial + j) =
            *reinterpret_cast<const Pack<float, 4>*>(from + j);
      }
    } else {
      Pack<T, kPack> out;
#pragma unroll
      for (int j = 0; j < kPack; ++j) out.value[j] = device::from_float<T>(from[j]);
      device::store_pack(p.result, to, out);
    }
  }
}

// Adds the sums of divisions that have rows.
template <typename T>
__global__ void __launch_bounds__(kSumThreads)
    partial_conv_rows_weight_sum_kernel(const __grid_constant__ WeightParams p) {
  constexpr int kStepRows = kStepBytes / static_cast<int>(sizeof(T));
  const int rows = count_rows(p.list), each = steps_of<T>(p, rows) * kStepRows;
  const int divisions = each > 0 ? (rows + each - 1) / each : 0;
  const std::int64_t all = std::int64_t(p.outputs) * p.columns;
  const std::int64_t at = (std::int64_t(blockIdx.x) * kSumThreads + threadIdx.x) * 4;
  if (at >= all) return;
  float sum[4] = {};
#pragma unroll 4
  for (int i = 0; i < divisions; ++i) {
    const auto four = device::load_pack<float, 4>(p.partial, i * all + at);
#pragma unroll
    for (int j = 0; j < 4; ++j) sum[j] += four.value[j];
  }
  Pack<T, 4> out;
#pragma unroll
  for (int j = 0; j < 4; ++j) out.value[j] = device::from_float<T>(sum[j]);
  device::store_pack(p.result, at, out);
}

// Returns into how many parts the rows are divided.
int divisions_of(std::int64_t outputs, std::int64_t columns, std::int64_t positions) {
  const std::int64_t tiles =
      (outputs + kTileRows - 1) / kTileRows * ((columns + kTileColumns - 1) / kTileColumns);
  const std::int64_t most = std::min<std::int64_t>(kMostDivisions, positions / kLeastRows);
  return static_cast<int>(std::max<std::int64_t>(1, std::min(most, kPlaces / tiles)));
}

std::int64_t columns_of(const ArrayView& dw) { return dw.shape[1] * dw.shape[2] * dw.shape[3]; }

std::size_t partial_bytes(int divisions, const ArrayView& dw) {
  return divisions == 1 ? 0 : static_cast<std::size_t>(divisions * dw.size() * 4);
}

int divisions_of(const ArrayView& h, const ArrayView& dw) {
  return divisions_of(dw.shape[0], columns_of(dw), h.shape[0] * h.shape[2] * h.shape[3]);
}

}  // namespace

std::size_t partial_conv_rows_weight_workspace(const ArrayView& h, const ArrayView& dw) {
  return partial_bytes(divisions_of(h, dw), dw);
}

void launch_partial_conv_rows_weight_grad(const DeviceRowsWeightGrad& call, cudaStream_t stream) {
  const ArrayView &h = *call.h, &x = *call.x, &dw = *call.dw;
  const ConvWindow& w = call.window;
  check_windows(x, w, h, "h");
  HM_CHECK(has_pieces(h), "h: its channels are no whole pieces of 16 bytes side by side");
  check_weight(dw, x.dtype, h.shape[1], w, x.shape[1], "dw");
  check_writable(dw, "dw");
  WeightParams p{};
  p.source = source_of(x, call.mask, "x");
  p.source.step_y = static_cast<int>(w.stride[0]);
  p.source.step_x = static_cast<int>(w.stride[1]);
  p.list = list_of(call.list, h);
  set_taps(w, p.taps);
  p.width = static_cast<int>(h.shape[3]);
  p.h = h.data;
  p.h_image = h.stride[0];
  p.h_position = position_step(h, "h");
  p.outputs = checked(h.shape[1], 65535, "h");
  p.columns = checked(columns_of(dw), 1 << 24, "dw");
  p.result = dw.data;
  p.divisions = divisions_of(h, dw);
  const std::size_t needed = partial_bytes(p.divisions, dw);
  HM_CHECK(needed == 0 || (call.workspace != nullptr && call.workspace_bytes >= needed),
           "workspace: ", call.workspace_bytes, " bytes, expected ", needed);
  p.partial = static_cast<float*>(call.workspace);
  const dim3 grid(static_cast<unsigned>((p.columns + kTileColumns - 1) / kTileColumns),
                  static_cast<unsigned>((p.outputs + kTileRows - 1) / kTileRows),
                  static_cast<unsigned>(p.divisions));
  device::dispatch_tensor(x.dtype, "x", [&](auto tag) {
    using T = typename decltype(tag)::type;
    HM_LAUNCH((partial_conv_rows_weight_kernel<T>), grid, dim3(kRowThreads), 0, stream, p);
    if (p.divisions > 1) {
      const std::int64_t packs = dw.size() / 4;
      HM_LAUNCH((partial_conv_rows_weight_sum_kernel<T>),
                dim3(static_cast<unsigned>((packs + kSumThreads - 1) / kSumThreads)),
                dim3(kSumThreads), 0, stream, p);
    }
  });
}

}  // namespace pyharmony
