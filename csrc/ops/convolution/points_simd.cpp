// Takes parts of a set through the layers while they are in the first cache, and pools what comes
// out while it is in the second. Each channel is summed by itself, in an order that depends on the
// number of points alone.
#include <algorithm>
#include <limits>

#include "core/buffer.h"
#include "core/exponential.h"
#include "core/parallel.h"
#include "ops/convolution/convolution.h"
#include "ops/convolution/points.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kPart = 96;  // points at a time: whole blocks of all instruction sets
constexpr int kSums = 4;            // sums at a time, each of every fourth point

inline Vec load_some(const float* p, std::int64_t count) {
  if (count >= kLanes) return load_unaligned(p);
  Vec v{};
  std::memcpy(&v, p, count * sizeof(float));
  return v;
}

inline void store_some(float* p, Vec v, std::int64_t count) {
  std::memcpy(p, &v, std::min<std::int64_t>(count, kLanes) * sizeof(float));
}

// Calls fn(value) for each register of values and stores what it returns.
template <typename Fn>
inline void each(float* values, std::int64_t count, Fn&& fn) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store_from_float(values + i, fn(load_unaligned(values + i)));
  }
  if (i < count) store_some(values + i, fn(load_some(values + i, count - i)), count - i);
}

void silu(float* values, std::int64_t count) {
  each(values, count, [](Vec x) { return x / (exponential(-x) + 1.0f); });
}

// out [rows, made] = x [rows, channels] times weight [channels, made] plus bias.
void linear(const float* x, std::int64_t rows, std::int64_t channels, const float* weight,
            const float* bias, std::int64_t made, float* out) {
  ConvolutionParams params{};
  params.image = params.padded = x;
  params.weight = weight;
  params.bias = bias;
  params.out = out;
  params.image_height = params.height = 1;
  params.image_width = params.width = params.padded_width = rows;
  params.channels = channels;
  params.made = made;
  params.kernel = params.stride = 1;
  params.slope = 1;
  params.high = std::numeric_limits<float>::infinity();
  convolution_kernel(params);
}

inline Vec total(const Vec (&sums)[kSums]) { return (sums[0] + sums[1]) + (sums[2] + sums[3]); }

// Sums fn(point, value) over the points for the channels of one register of x [points, width].
template <typename Fn>
inline Vec sum_of(const float* x, std::int64_t points, std::int64_t width, std::int64_t count,
                  Fn&& fn) {
  Vec sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= points; i += kSums) {
    for (int j = 0; j < kSums; ++j) {
      sums[j] = fn(i + j, load_some(x + (i + j) * width, count), sums[j]);
    }
  }
  for (; i < points; ++i) sums[0] = fn(i, load_some(x + i * width, count), sums[0]);
  return total(sums);
}

// Replaces scores [points, heads] by their softmax over the points.
void softmax(float* scores, std::int64_t points, std::int64_t heads) {
  for (std::int64_t head = 0; head < heads; ++head) {
    float most = scores[head];
    for (std::int64_t i = 1; i < points; ++i) most = std::max(most, scores[i * heads + head]);
    for (std::int64_t i = 0; i < points; ++i) scores[i * heads + head] -= most;
  }
  each(scores, points * heads, exponential);
  for (std::int64_t head = 0; head < heads; ++head) {
    double sum = 0;
    for (std::int64_t i = 0; i < points; ++i) sum += scores[i * heads + head];
    const float share = static_cast<float>(1 / sum);
    for (std::int64_t i = 0; i < points; ++i) scores[i * heads + head] *= share;
  }
}

void pool(const PointsParams& p, const float* x, float* scores, float* pools) {
  const float count = static_cast<float>(p.points);
  for (std::int64_t c = 0; c < p.width; c += kLanes) {
    const std::int64_t left = p.width - c;
    const Vec mean =
        sum_of(x + c, p.points, p.width, left, [](auto, Vec v, Vec sum) { return sum + v; }) /
        count;
    Vec most = load_some(x + c, left);
    const Vec variance = sum_of(x + c, p.points, p.width, left,
                                [&](auto, Vec v, Vec sum) {
                                  most = maximum(most, v);
                                  const Vec off = v - mean;
                                  return fma(off, off, sum);
                                }) /
                         count;
    Vec deviation = variance + 1e-6f;
    for (int i = 0; i < kLanes; ++i) deviation[i] = std::sqrt(deviation[i]);
    store_some(pools + c, mean, left);
    store_some(pools + p.width + c, most, left);
    store_some(pools + 2 * p.width + c, deviation, left);
  }
  if (p.heads == 0) return;
  softmax(scores, p.points, p.heads);
  const std::int64_t share = p.width / p.heads;
  for (std::int64_t head = 0; head < p.heads; ++head) {
    for (std::int64_t c = 0; c < share; c += kLanes) {
      const std::int64_t at = head * share + c;
      const Vec mean = sum_of(x + at, p.points, p.width, share - c, [&](auto i, Vec v, Vec sum) {
        return fma(v, splat(scores[i * p.heads + head]), sum);
      });
      store_some(pools + 3 * p.width + at, mean, share - c);
    }
  }
}

}  // namespace

void points_kernel(const PointsParams& p) {
  const std::int64_t pools = p.heads > 0 ? 4 : 3;
  parallel_each(p.sets, 1, [&](std::int64_t set) {
    Buffer<float> elements(kPart * p.channels), first(kPart * p.width), second(kPart * p.width);
    Buffer<float> x(p.points * p.width), scores(p.points * p.heads), bias(p.width);
    const float* const added = p.added == nullptr ? nullptr : p.added + set * p.width;
    for (std::int64_t c = 0; c < p.width; ++c) {
      bias.data()[c] = p.bias[0][c] + (added == nullptr ? 0.0f : added[c]);
    }
    for (std::int64_t begin = 0; begin < p.points; begin += kPart) {
      const std::int64_t rows = std::min(kPart, p.points - begin);
      const float* const from = p.elements + (set * p.points + begin) * p.channels;
      std::copy_n(from, rows * p.channels, elements.data());
      each(elements.data(), rows * p.channels, [](Vec v) { return (v - 0.5f) * 3.0f; });
      float* const out = x.data() + begin * p.width;
      linear(elements.data(), rows, p.channels, p.weight[0], bias.data(), p.width, first.data());
      silu(first.data(), rows * p.width);
      linear(first.data(), rows, p.width, p.weight[1], p.bias[1], p.width, second.data());
      silu(second.data(), rows * p.width);
      linear(second.data(), rows, p.width, p.weight[2], p.bias[2], p.width, out);
      if (p.heads > 0) {
        linear(out, rows, p.width, p.scores, p.scores_bias, p.heads,
               scores.data() + begin * p.heads);
      }
    }
    pool(p, x.data(), scores.data(), p.pools + set * pools * p.width);
  });
}

}  // namespace pyharmony::HM_SIMD_NS
