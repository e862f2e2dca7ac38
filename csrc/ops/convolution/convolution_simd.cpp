// Convolutions as sums in registers: for a few pixels of a row and two registers of channels at a
// time, each value of the windows is multiplied with the weights that it has for those channels.
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "core/vec.h"
#include "ops/convolution/convolution.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

// The pixels at once: with two registers of sums for each they leave some for weights.
constexpr int kPixels = HM_SIMD_BYTES == 64 ? 12 : 6;
constexpr int kWide = 2 * kLanes;
// The pixels of a convolution of each channel by itself.
constexpr int kEach = 4;
// The multiplications that are worth a thread of their own.
constexpr std::int64_t kGrain = 1 << 21;

// Weights of up to kWide channels: rows of `stride` floats, all registers of which may be read.
struct Panel {
  const float* weight;
  std::int64_t stride;
  float bias[kWide];
  std::int64_t first, count;
};

inline Vec finish(Vec s, Vec slope, Vec high) {
  // What is no number comes through: of two operands these return the second.
  const Vec zero{};
  return minimum(high, fma(slope, minimum(zero, s), maximum(zero, s)));
}

inline Vec load_some(const float* p, std::int64_t count) {
  if (count >= kLanes) return load_unaligned(p);
  Vec v{};
  if (count > 0) std::memcpy(&v, p, count * sizeof(float));
  return v;
}

inline void store_some(float* p, Vec v, std::int64_t count) {
  if (count >= kLanes) {
    store_from_float(p, v);
  } else if (count > 0) {
    std::memcpy(p, &v, count * sizeof(float));
  }
}

// Computes kCount pixels of a row, for the channels of a panel.
template <int kCount>
void pixels(const ConvolutionParams& p, const Panel& panel, std::int64_t y, std::int64_t x) {
  Vec sums[kCount][2];
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < 2; ++j) sums[i][j] = load_unaligned(panel.bias + j * kLanes);
  }
  const std::int64_t step = p.stride * p.channels, row = p.padded_width * p.channels;
  const std::int64_t run = p.kernel * p.channels;
  const float* weight = panel.weight;
  const float* from = p.padded + p.stride * y * row + x * step;
  // The windows' values of one row lie side by side, as their weights do.
  for (int down = 0; down < p.kernel; ++down, from += row) {
    for (std::int64_t k = 0; k < run; ++k, weight += panel.stride) {
      Vec weights[2];
      for (int j = 0; j < 2; ++j) weights[j] = load_unaligned(weight + j * kLanes);
      for (int i = 0; i < kCount; ++i) {
        const Vec value = splat(from[i * step + k]);
        for (int j = 0; j < 2; ++j) sums[i][j] = fma(value, weights[j], sums[i][j]);
      }
    }
  }
  const Vec slope = splat(p.slope), high = splat(p.high);
  const std::int64_t first = (y * p.width + x) * p.made + panel.first;
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < 2; ++j) {
      const std::int64_t at = first + i * p.made + j * kLanes, left = panel.count - j * kLanes;
      Vec s = sums[i][j];
      if (p.added != nullptr) s += load_some(p.added + at, left);
      store_some(p.out + at, finish(s, slope, high), left);
    }
  }
}

template <int kCount>
void pixels_of(std::int64_t count, const ConvolutionParams& p, const Panel& panel, std::int64_t y,
               std::int64_t x) {
  if (count == kCount) {
    pixels<kCount>(p, panel, y, x);
  } else if constexpr (kCount > 1) {
    pixels_of<kCount - 1>(count, p, panel, y, x);
  }
}

// Computes kCount pixels of a row, each channel by itself.
template <int kCount>
void pixels_each(const ConvolutionParams& p, std::int64_t y, std::int64_t x) {
  const std::int64_t step = p.stride * p.channels, row = p.padded_width * p.channels;
  const float* const from = p.padded + p.stride * y * row + x * step;
  const std::int64_t to = (y * p.width + x) * p.channels;
  const Vec slope = splat(p.slope), high = splat(p.high);
  for (std::int64_t c = 0; c < p.channels; c += kLanes) {
    const std::int64_t left = p.channels - c;
    Vec sums[kCount];
    for (int i = 0; i < kCount; ++i) sums[i] = load_some(p.bias + c, left);
    const float* weight = p.weight + c;
    for (int down = 0; down < p.kernel; ++down) {
      const float* value = from + down * row + c;
      for (int across = 0; across < p.kernel; ++across) {
        const Vec w = load_some(weight, left);
        for (int i = 0; i < kCount; ++i) {
          sums[i] = fma(load_some(value + i * step, left), w, sums[i]);
        }
        weight += p.channels;
        value += p.channels;
      }
    }
    for (int i = 0; i < kCount; ++i) {
      const std::int64_t at = to + i * p.channels + c;
      Vec s = sums[i];
      if (p.added != nullptr) s += load_some(p.added + at, left);
      store_some(p.out + at, finish(s, slope, high), left);
    }
  }
}

std::int64_t rows_of(std::int64_t row) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(row, 1));
}

}  // namespace

void convolution_kernel(const ConvolutionParams& p) {
  const std::int64_t taps = p.kernel * p.kernel * p.channels;
  std::vector<Panel> panels;
  std::vector<float> last;
  for (std::int64_t first = 0; first < p.made; first += kWide) {
    Panel panel{p.weight + first, p.made, {}, first, std::min<std::int64_t>(kWide, p.made - first)};
    std::memcpy(panel.bias, p.bias + first, panel.count * sizeof(float));
    if (panel.count < kWide) {
      last.assign(taps * kWide, 0.0f);
      for (std::int64_t k = 0; k < taps; ++k) {
        std::memcpy(last.data() + k * kWide, p.weight + k * p.made + first,
                    panel.count * sizeof(float));
      }
      panel.weight = last.data();
      panel.stride = kWide;
    }
    panels.push_back(panel);
  }
  // The blocks of a row are about as long as one another.
  const std::int64_t blocks = (p.width + kPixels - 1) / kPixels;
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (const Panel& panel : panels) {
      for (std::int64_t y = begin; y < end; ++y) {
        for (std::int64_t block = 0; block < blocks; ++block) {
          const std::int64_t x = p.width * block / blocks;
          pixels_of<kPixels>(p.width * (block + 1) / blocks - x, p, panel, y, x);
        }
      }
    }
  };
  parallel_for(p.height, rows_of(p.width * taps * p.made), run);
}

void convolution_each_kernel(const ConvolutionParams& p) {
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      std::int64_t x = 0;
      for (; x + kEach <= p.width; x += kEach) pixels_each<kEach>(p, y, x);
      for (; x < p.width; ++x) pixels_each<1>(p, y, x);
    }
  };
  parallel_for(p.height, rows_of(p.width * p.kernel * p.kernel * p.channels), run);
}

}  // namespace pyharmony::HM_SIMD_NS
