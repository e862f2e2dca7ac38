// Products over the rows of a plan: what the forward pass and both gradients share.
//
// A row is a position whose window, of taps, lies in a source [N, H, W, C]. A row of a matrix is
// then gathered as pieces of 16 bytes: of one tap and neighbouring channels each.
#pragma once

#include <cstdint>

#include "device/async_copy.h"
#include "device/launch.h"
#include "device/math.h"
#include "device/mma.h"
#include "device/reduce.h"
#include "ops/partial_conv/tensors.cuh"

namespace pyharmony::partial_conv {

constexpr int kRowThreads = 128;                   // four warps, two by two
constexpr int kTileRows = 128, kTileColumns = 64;  // of a block's product
constexpr int kWarpRows = 64, kWarpColumns = 32;   // of a warp's
constexpr int kTilePitch = kTileColumns + 4;       // floats of a row of the result
constexpr int kStages = 3;
constexpr int kStepBytes = 64;  // of the dimension that a step sums over
constexpr int kPieceBytes = 16;
constexpr int kTileBytes = (kTileRows + kTileColumns) * kStepBytes;  // of both operands in a step
constexpr int kMaxTaps = 64, kMaxParts = 16;

// The blocks that a product is cut into if its tiles are fewer: two a multiprocessor of an H100.
// It is no property of the device, so that the bits do not depend on that.
constexpr int kPlaces = 264;

static_assert(kTileRows * kTilePitch * 4 <= kStages * kTileBytes, "the result takes their place");

template <typename T>
constexpr int kPieceValues = kPieceBytes / static_cast<int>(sizeof(T));

struct Tap {
  int y, x;    // the source's pixel, from the first one of the row's window
  int weight;  // its place among the weight's taps
};

// Rows in each of `lists` images; where that is 1, all images have the same.
struct RowList {
  const std::int32_t* rows;    // [lists, length] positions in [lists, length]
  const std::int32_t* totals;  // [lists]: how many
  int lists, images, length;
};

struct Source {
  const void* data;
  std::int64_t image, row, column;  // strides; channels lie side by side
  const std::uint8_t* mask;         // [N or 1, H, W]
  std::int64_t mask_image;
  int height, width, channels;
  int step_y, step_x;  // from a row's window to the next one's
};

// Returns the number of rows of a list. All lanes of a warp call it.
__device__ __forceinline__ int count_rows(const RowList& list) {
  if (list.lists == 1) return list.images * list.totals[0];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int mine = 0;
  for (int i = lane; i < list.lists; i += 32) mine += list.totals[i];
  return device::warp_reduce(mine, device::Sum());
}

// Finds the image and the position of a lane's row, which is one of the list. All lanes of a warp
// call it.
__device__ __forceinline__ void find_row(const RowList& list, int row, int& image, int& position) {
  int first = 0, index = row;  // the list, and the index in it
  if (list.lists == 1) {
    const int total = list.totals[0];
    image = row / total;
    index = row - image * total;
  } else {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    int before = 0;
    for (int begin = 0; begin < list.lists; begin += 32) {
      int through = begin + lane < list.lists ? list.totals[begin + lane] : 0;
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, through, distance);
        if (lane >= distance) through += other;
      }
      const int wanted = row - before;
      int at = 0;  // how many of these lists end before the row
#pragma unroll
      for (int step = 16; step > 0; step /= 2) {
        if (__shfl_sync(0xffffffffu, through, at + step - 1) <= wanted) at += step;
      }
      const int earlier = __shfl_sync(0xffffffffu, through, at > 0 ? at - 1 : 0);
      const int all = __shfl_sync(0xffffffffu, through, 31);
      if (wanted >= 0 && wanted < all) {
        first = begin + at;
        index = wanted - (at > 0 ? earlier : 0);
      }
      before += all;
    }
    image = first;
  }
  const int base = first * list.length;
  position = list.rows[base + index] - base;
}

// Returns which of up to 64 taps of a window are known pixels.
__device__ __forceinline__ std::uint64_t known_taps(const Source& s, const Tap* taps, int count,
                                                    int image, int y, int x) {
  std::uint64_t bits = 0;
  for (int i = 0; i < count; ++i) {
    const int sy = y * s.step_y + taps[i].y, sx = x * s.step_x + taps[i].x;
    const bool known = sy >= 0 && sy < s.height && sx >= 0 && sx < s.width &&
                       s.mask[image * s.mask_image + std::int64_t(sy) * s.width + sx] != 0;
    bits |= std::uint64_t(known) << i;
  }
  return bits;
}

// Returns the offset of the first pixel of a window, which may lie beyond the source.
__device__ __forceinline__ std::int64_t offset_of(const Source& s, int image, int y, int x) {
  return image * s.image + std::int64_t(y) * s.step_y * s.row +
         std::int64_t(x) * s.step_x * s.column;
}
__device__ __forceinline__ std::int64_t offset_of(const Source& s, const Tap& tap) {
  return tap.y * s.row + tap.x * s.column;
}

// Calls load(step, slot) some steps ahead of work(step, slot).
template <typename Load, typename Work>
__device__ __forceinline__ void run_steps(int steps, Load load, Work work) {
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) {
    if (step < steps) load(step, step);
    device::async_commit();
  }
  int slot = 0, free = kStages - 1;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    device::async_wait<kStages - 2>();
    HM_SYNC();
    if (step + kStages - 1 < steps) load(step + kStages - 1, free);
    device::async_commit();
    work(step, slot);
    slot = slot + 1 < kStages ? slot + 1 : 0;
    free = free + 1 < kStages ? free + 1 : 0;
  }
}

// ---- products of a tile -------------------------------------------------------------------------

struct WarpProduct {
  float sum[kWarpRows / 16][kWarpColumns / 8][4] = {};

  // Adds a [16 rows] b [32 columns] for each of the first `live` 16 rows.
  template <typename T, typename Left, typename Right>
  __device__ __forceinline__ void add(int live, Left left, Right right) {
    unsigned b[kWarpColumns / 16][4];
#pragma unroll
    for (int j = 0; j < kWarpColumns / 16; ++j) {
      right(j, b[j]);
#pragma unroll
      for (unsigned& word : b[j]) word = device::round_operand<T>(word);
    }
#pragma unroll
    for (int i = 0; i < kWarpRows / 16; ++i) {
      if (i >= live) continue;
      unsigned a[4];
      left(i, a);
#pragma unroll
      for (unsigned& word : a) word = device::round_operand<T>(word);
#pragma unroll
      for (int j = 0; j < kWarpColumns / 8; ++j) {
        const unsigned pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
        device::multiply<T>(sum[i][j], a, pair);
      }
    }
  }

  __device__ __forceinline__ void store(float* tile, int row, int column) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kWarpRows / 16; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float* const to = tile + (row + i * 16 + half * 8 + lane / 4) * kTilePitch + column;
#pragma unroll
        for (int j = 0; j < kWarpColumns / 8; ++j) {
          *reinterpret_cast<Pack<float, 2>*>(to + j * 8 + lane % 4 * 2) = {
              {sum[i][j][half * 2], sum[i][j][half * 2 + 1]}};
        }
      }
    }
  }
};

// ---- on the host --------------------------------------------------------------------------------

inline int checked(std::int64_t value, std::int64_t most, const char* name) {
  HM_CHECK(value <= most, name, ": ", value, " is too large, expected at most ", most);
  return static_cast<int>(value);
}

// Returns whether pieces of 16 bytes of a tensor's pixels can be copied: channels are side by side.
inline bool has_pieces(const ArrayView& a) {
  const std::int64_t each = kPieceBytes / dtype_size(a.dtype);
  bool whole =
      a.ndim == 4 && a.shape[1] % each == 0 && a.stride[1] == 1 && is_aligned(a, kPieceBytes);
  for (int i : {0, 2, 3}) whole = whole && (a.shape[i] == 1 || a.stride[i] % each == 0);
  return whole;
}

// The step between the positions of a tensor's or a mask's images, whose rows have no gaps.
inline std::int64_t position_step(const ArrayView& a, const char* name) {
  const std::int64_t step = a.shape[3] > 1 ? a.stride[3] : a.stride[2];
  HM_CHECK(a.shape[2] == 1 || a.stride[2] == step * a.shape[3], name, ": gaps between its rows");
  return step;
}

// Returns a mask [N or 1, 1, H, W] of bools without gaps.
inline MaskOf bits_of(const ArrayView* mask, const ArrayView& a, const char* name) {
  HM_CHECK(mask != nullptr, name, ": its mask is missing");
  const MaskOf bits = mask_of(mask, a);
  HM_CHECK(bits.values.bits && mask->shape[1] == 1 && bits.position == 1, name,
           ": its mask is not one plane of bools without gaps");
  return bits;
}

inline Source source_of(const ArrayView& a, const ArrayView* mask, const char* name) {
  check_tensor_dtype(a, name);
  HM_CHECK(has_pieces(a), name, ": its channels are no whole pieces of 16 bytes side by side");
  Source s{};
  s.data = a.data;
  s.image = a.stride[0], s.row = a.stride[2], s.column = a.stride[3];
  s.channels = checked(a.shape[1], 65535, name);
  s.height = checked(a.shape[2], 1 << 30, name), s.width = checked(a.shape[3], 1 << 30, name);
  const MaskOf bits = bits_of(mask, a, name);
  s.mask = static_cast<const std::uint8_t*>(bits.values.data);
  s.mask_image = bits.image;
  return s;
}

inline RowList list_of(const DeviceRowList& list, const ArrayView& y) {
  HM_CHECK(list.rows != nullptr && list.totals != nullptr, "rows: none, or no totals");
  HM_CHECK(list.images == 1 || list.images == y.shape[0], "rows: of ", list.images,
           " images, expected 1 or ", y.shape[0]);
  return {list.rows, list.totals, static_cast<int>(list.images), static_cast<int>(y.shape[0]),
          static_cast<int>(y.shape[2] * y.shape[3])};
}

// Checks that y has a position for each window on x.
inline void check_windows(const ArrayView& x, const ConvWindow& w, const ArrayView& y,
                          const char* name) {
  HM_CHECK(x.ndim == 4 && y.ndim == 4, "x, ", name, ": expected 4 dimensions");
  HM_CHECK(y.dtype == x.dtype && y.shape[0] == x.shape[0] &&
               y.shape[2] == w.out_size(0, x.shape[2]) && y.shape[3] == w.out_size(1, x.shape[3]),
           name, ": expected [", x.shape[0], ", O, ", w.out_size(0, x.shape[2]), ", ",
           w.out_size(1, x.shape[3]), "] of x's dtype");
  HM_CHECK(w.taps() <= kMaxTaps, "window: ", w.taps(), " taps, expected at most ", kMaxTaps);
  for (const ArrayView* a : {&x, &y}) {
    checked(a->shape[0] * a->shape[2] * a->shape[3], 1 << 30, a == &x ? "x" : name);
  }
  // The kernels hold positions of taps as int.
  for (int axis = 0; axis < 2; ++axis) {
    checked(x.shape[2 + axis] + 2 * w.padding[axis] + w.kernel[axis] * w.dilation[axis], 1 << 30,
            "window");
  }
}

// Writes the taps of the windows of a convolution.
inline void set_taps(const ConvWindow& w, Tap* taps) {
  for (std::int64_t ky = 0; ky < w.kernel[0]; ++ky) {
    for (std::int64_t kx = 0; kx < w.kernel[1]; ++kx) {
      const std::int64_t i = ky * w.kernel[1] + kx;
      taps[i] = {static_cast<int>(ky * w.dilation[0] - w.padding[0]),
                 static_cast<int>(kx * w.dilation[1] - w.padding[1]), static_cast<int>(i)};
    }
  }
}

// Checks a weight [outputs, kh, kw, channels] without gaps, or a gradient like it.
inline void check_weight(const ArrayView& a, DType dtype, std::int64_t outputs, const ConvWindow& w,
                         std::int64_t channels, const char* name) {
  HM_CHECK(a.ndim == 4 && a.dtype == dtype && a.shape[0] == outputs && a.shape[1] == w.kernel[0] &&
               a.shape[2] == w.kernel[1] && a.shape[3] == channels,
           name, ": expected [", outputs, ", ", w.kernel[0], ", ", w.kernel[1], ", ", channels,
           "] of x's dtype");
  HM_CHECK(is_contiguous(a) && is_aligned(a, kPieceBytes), name,
           ": not contiguous, or not aligned");
}

}  // namespace pyharmony::partial_conv
