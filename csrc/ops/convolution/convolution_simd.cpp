// Convolutions as sums in registers: for a few pixels of a row and up to three registers of
// channels at a time, each value of the windows is multiplied with the weights that it has for
// those channels.
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "core/vec.h"
#include "ops/convolution/convolution.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

// The registers of sums at once, which leave some for weights, and the most of one pixel.
constexpr int kSums = HM_SIMD_BYTES == 64 ? 24 : 12;
constexpr int kWidest = 3;
// The pixels of a convolution of each channel by itself.
constexpr int kEach = 8;
// The multiplications that are worth a thread of their own.
constexpr std::int64_t kGrain = 1 << 21;

// Weights of up to kWidest registers of channels: rows of `stride` floats, all of whose registers
// may be read.
struct Panel {
  const float* weight;
  std::int64_t stride;
  float bias[kWidest * kLanes];
  std::int64_t first, count;
  int registers;
};

inline Vec finish(Vec s, Vec slope, Vec high) {
  // NaN passes: of two operands these return the second.
  const Vec zero{};
  return minimum(high, fma(slope, minimum(zero, s), maximum(zero, s)));
}

#if HM_SIMD_BYTES == 64
inline __mmask16 lanes_of(std::int64_t count) {
  return static_cast<__mmask16>(count <= 0 ? 0 : (1 << count) - 1);
}
#elif HM_SIMD_BYTES == 32
inline __m256i lanes_of(std::int64_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}
#endif

// The first `count` values, and zeros; there may be no more values.
inline Vec load_some(const float* p, std::int64_t count) {
  if (count >= kLanes) return load_unaligned(p);
#if HM_SIMD_BYTES == 64
  return _mm512_maskz_loadu_ps(lanes_of(count), p);
#elif HM_SIMD_BYTES == 32
  return _mm256_maskload_ps(p, lanes_of(count));
#else
  Vec v{};
  if (count > 0) std::memcpy(&v, p, count * sizeof(float));
  return v;
#endif
}

inline void store_some(float* p, Vec v, std::int64_t count) {
  if (count >= kLanes) return store_from_float(p, v);
#if HM_SIMD_BYTES == 64
  _mm512_mask_storeu_ps(p, lanes_of(count), v);
#elif HM_SIMD_BYTES == 32
  _mm256_maskstore_ps(p, lanes_of(count), v);
#else
  if (count > 0) std::memcpy(p, &v, count * sizeof(float));
#endif
}

// Computes kCount pixels of a row, for the channels of a panel of kRegisters.
template <int kRegisters, int kCount>
void pixels(const ConvolutionParams& p, const Panel& panel, std::int64_t y, std::int64_t x) {
  Vec sums[kCount][kRegisters];
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < kRegisters; ++j) sums[i][j] = load_unaligned(panel.bias + j * kLanes);
  }
  const std::int64_t step = p.stride * p.channels, row = p.padded_width * p.channels;
  const std::int64_t run = p.kernel * p.channels;
  const float* weight = panel.weight;
  const float* from = p.padded + p.stride * y * row + x * step;
  // The windows' values of one row lie side by side, as their weights do.
  for (int down = 0; down < p.kernel; ++down, from += row) {
    for (std::int64_t k = 0; k < run; ++k, weight += panel.stride) {
      Vec weights[kRegisters];
      for (int j = 0; j < kRegisters; ++j) weights[j] = load_unaligned(weight + j * kLanes);
      for (int i = 0; i < kCount; ++i) {
        const Vec value = splat(from[i * step + k]);
        for (int j = 0; j < kRegisters; ++j) sums[i][j] = fma(value, weights[j], sums[i][j]);
      }
    }
  }
  const Vec slope = splat(p.slope), high = splat(p.high);
  const std::int64_t first = (y * p.width + x) * p.made + panel.first;
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < kRegisters; ++j) {
      const std::int64_t at = first + i * p.made + j * kLanes, left = panel.count - j * kLanes;
      Vec s = sums[i][j];
      if (p.added != nullptr) s += load_some(p.added + at, left);
      store_some(p.out + at, finish(s, slope, high), left);
    }
  }
}

template <int kRegisters, int kCount>
void pixels_of(std::int64_t count, const ConvolutionParams& p, const Panel& panel, std::int64_t y,
               std::int64_t x) {
  if (count == kCount) {
    pixels<kRegisters, kCount>(p, panel, y, x);
  } else if constexpr (kCount > 1) {
    pixels_of<kRegisters, kCount - 1>(count, p, panel, y, x);
  }
}

std::int64_t blocks_of(std::int64_t count, std::int64_t most) { return (count + most - 1) / most; }

// Calls fn(first, count) for the blocks of `count` items, which are about as long as one another.
template <typename Fn>
void for_each_block(std::int64_t count, std::int64_t most, Fn&& fn) {
  const std::int64_t blocks = blocks_of(count, most);
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t first = count * block / blocks;
    fn(first, count * (block + 1) / blocks - first);
  }
}

// Computes the pixels [begin, end) of a row, for the channels of a panel.
template <int kRegisters>
void row_part(const ConvolutionParams& p, const Panel& panel, std::int64_t y, std::int64_t begin,
              std::int64_t end) {
  constexpr int kPixels = kSums / kRegisters;
  for_each_block(end - begin, kPixels, [&](std::int64_t first, std::int64_t count) {
    pixels_of<kRegisters, kPixels>(count, p, panel, y, begin + first);
  });
}

void row_part(const ConvolutionParams& p, const Panel& panel, std::int64_t y, std::int64_t begin,
              std::int64_t end) {
  switch (panel.registers) {
    case 1: return row_part<1>(p, panel, y, begin, end);
    case 2: return row_part<2>(p, panel, y, begin, end);
    default: return row_part<3>(p, panel, y, begin, end);
  }
}

// Returns the blocks of a row if its channels are in panels of so many registers, of which the
// last one has the rest.
std::int64_t blocks_by(std::int64_t width, std::int64_t channels, std::int64_t registers) {
  const std::int64_t panels = channels / (registers * kLanes);
  const std::int64_t rest = blocks_of(channels - panels * registers * kLanes, kLanes);
  return panels * blocks_of(width, kSums / registers) +
         (rest > 0 ? blocks_of(width, kSums / rest) : 0);
}

std::int64_t rows_of(std::int64_t row) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(row, 1));
}

// Rows of the image that the windows of one row of the result meet; those beyond it are zero.
struct Rows {
  const float* row[31];
};

// Computes kCount pixels of a row, a register of channels from c on, each channel by itself.
// kInside: whether the windows reach beyond neither the first nor the last column of the image.
template <int kCount, bool kInside>
inline void channels_each(const ConvolutionParams& p, const Rows& rows, std::int64_t y,
                          std::int64_t x, std::int64_t c, std::int64_t left) {
  const std::int64_t step = p.stride * p.channels, start = p.stride * x - p.before;
  const Vec slope = splat(p.slope), high = splat(p.high);
  Vec sums[kCount];
  for (int i = 0; i < kCount; ++i) sums[i] = load_some(p.bias + c, left);
  const float* weight = p.weight + c;
  for (int down = 0; down < p.kernel; ++down) {
    const float* value = rows.row[down] + start * p.channels + c;
    for (std::int64_t at = start; at < start + p.kernel; ++at) {
      const Vec w = load_some(weight, left);
      for (int i = 0; i < kCount; ++i) {
        const bool is_inside = kInside || (at >= 0 && at < p.image_width);
        sums[i] = fma(is_inside ? load_some(value + i * step, left) : Vec{}, w, sums[i]);
      }
      weight += p.channels;
      value += p.channels;
    }
  }
  const std::int64_t to = (y * p.width + x) * p.channels + c;
  for (int i = 0; i < kCount; ++i) {
    Vec s = sums[i];
    if (p.added != nullptr) s += load_some(p.added + to + i * p.channels, left);
    store_some(p.out + to + i * p.channels, finish(s, slope, high), left);
  }
}

template <int kCount, bool kInside>
void pixels_each(const ConvolutionParams& p, const Rows& rows, std::int64_t y, std::int64_t x) {
  std::int64_t c = 0;
  for (; c + kLanes <= p.channels; c += kLanes) {
    channels_each<kCount, kInside>(p, rows, y, x, c, kLanes);
  }
  if (c < p.channels) channels_each<kCount, kInside>(p, rows, y, x, c, p.channels - c);
}

template <int kCount>
void pixels_each_of(std::int64_t count, const ConvolutionParams& p, const Rows& rows,
                    std::int64_t y, std::int64_t x) {
  if (count == kCount) {
    pixels_each<kCount, true>(p, rows, y, x);
  } else if constexpr (kCount > 1) {
    pixels_each_of<kCount - 1>(count, p, rows, y, x);
  }
}

// 0.75 of a value, rounded, and 0.25 of the next, which is exact.
inline void nearer(const float* near, const float* far, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Vec most = splat(0.75f) * load_some(near + i, count - i);
    const Vec sum = fma(splat(0.25f), load_some(far + i, count - i), most);
    store_some(out + i, sum, count - i);
  }
}

inline void add_positive(const float* added, std::int64_t count, float* out) {
  const Vec zero{};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    // NaN passes, as in `finish`.
    const Vec sum = load_some(out + i, count - i) + load_some(added + i, count - i);
    store_some(out + i, maximum(zero, sum), count - i);
  }
}

}  // namespace

void convolution_kernel(const ConvolutionParams& params) {
  ConvolutionParams p = params;
  if (p.kernel == 1 && p.stride == 1) {
    // All pixels are one row.
    p.width *= p.height;
    p.height = 1;
  }
  const std::int64_t taps = p.kernel * p.kernel * p.channels;
  const bool is_wide = blocks_by(p.width, p.made, 3) < blocks_by(p.width, p.made, 2);
  const std::int64_t wide = (is_wide ? 3 : 2) * kLanes;
  std::vector<Panel> panels;
  std::vector<float> last;
  for (std::int64_t first = 0; first < p.made; first += wide) {
    Panel panel{p.weight + first, p.made, {}, first, std::min(wide, p.made - first), 0};
    panel.registers = static_cast<int>(blocks_of(panel.count, kLanes));
    std::memcpy(panel.bias, p.bias + first, panel.count * sizeof(float));
    if (panel.count % kLanes != 0) {
      const std::int64_t filled = panel.registers * kLanes;
      last.assign(taps * filled, 0.0f);
      for (std::int64_t k = 0; k < taps; ++k) {
        std::memcpy(last.data() + k * filled, p.weight + k * p.made + first,
                    panel.count * sizeof(float));
      }
      panel.weight = last.data();
      panel.stride = filled;
    }
    panels.push_back(panel);
  }
  if (p.height == 1) {
    const std::int64_t grain = blocks_of(rows_of(taps * p.made), kSums) * kSums;
    parallel_for(p.width, grain, [&](std::int64_t begin, std::int64_t end) {
      for (const Panel& panel : panels) row_part(p, panel, 0, begin, end);
    });
    return;
  }
  const std::int64_t rows = rows_of(p.width * taps * p.made);
  parallel_for(p.height, rows, [&](std::int64_t begin, std::int64_t end) {
    for (const Panel& panel : panels) {
      for (std::int64_t y = begin; y < end; ++y) row_part(p, panel, y, 0, p.width);
    }
  });
}

void convolution_each_kernel(const ConvolutionParams& p) {
  const std::int64_t row = p.image_width * p.channels;
  const std::vector<float> zeros(row, 0.0f);
  // The pixels whose windows are inside.
  const std::int64_t first = std::min(p.width, blocks_of(p.before, p.stride));
  const std::int64_t room = p.image_width + p.before - p.kernel;
  const std::int64_t last = std::max(first, room < 0 ? 0 : std::min(p.width, room / p.stride + 1));
  const std::int64_t rows_at_once = rows_of(p.width * p.kernel * p.kernel * p.channels);
  parallel_each(p.height, rows_at_once, [&](std::int64_t y) {
    Rows rows;
    for (int down = 0; down < p.kernel; ++down) {
      const std::int64_t at = p.stride * y - p.before + down;
      rows.row[down] = at >= 0 && at < p.image_height ? p.image + at * row : zeros.data();
    }
    for (std::int64_t x = 0; x < first; ++x) pixels_each<1, false>(p, rows, y, x);
    for_each_block(last - first, kEach, [&](std::int64_t x, std::int64_t count) {
      pixels_each_of<kEach>(count, p, rows, y, first + x);
    });
    for (std::int64_t x = last; x < p.width; ++x) pixels_each<1, false>(p, rows, y, x);
  });
}

void enlarged_kernel(const EnlargedParams& p) {
  const std::int64_t row = p.width * p.channels;
  parallel_for(2 * p.height, rows_of(4 * row), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> between(row);
    for (std::int64_t y = begin; y < end; ++y) {
      const std::int64_t at = y / 2, next = y % 2 == 0 ? at - 1 : at + 1;
      const float* near = p.image + at * row;
      if (next >= 0 && next < p.height) {
        nearer(near, p.image + next * row, row, between.data());
        near = between.data();
      }
      const std::int64_t first = 2 * y * row;
      float* const out = p.out + first;
      std::memcpy(out, near, p.channels * sizeof(float));
      std::memcpy(out + 2 * row - p.channels, near + row - p.channels, p.channels * sizeof(float));
      for (std::int64_t x = 1; x < p.width; ++x) {
        const float* const right = near + x * p.channels;
        const float* const left = right - p.channels;
        nearer(left, right, p.channels, out + (2 * x - 1) * p.channels);
        nearer(right, left, p.channels, out + 2 * x * p.channels);
      }
      if (p.added != nullptr) add_positive(p.added + first, 2 * row, out);
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
