// One pass over parameter, gradient and moments. Compiled once for each instruction set.
#include <algorithm>
#include <cmath>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/vec.h"
#include "ops/adam/adam.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kTile = 8192;

// Part of a tensor.
struct Tile {
  std::size_t tensor;
  std::int64_t begin;
};

inline Vec root(Vec a) {
#if HM_SIMD_BYTES == 64
  return _mm512_maskz_sqrt_ps(0xffff, a);
#elif HM_SIMD_BYTES == 32
  return _mm256_sqrt_ps(a);
#elif defined(__x86_64__)
  return _mm_sqrt_ps(a);
#else
  for (int i = 0; i < kLanes; ++i) a[i] = std::sqrt(a[i]);
  return a;
#endif
}

inline Vec clipped(Vec value, float limit) {
  // A value that is not a number stays so.
  return maximum(splat(-limit), minimum(splat(limit), value));
}

struct Update {
  AdamRule rule;
  AdamScales scales;
  float pull;

  // Updates the values of one register.
  void operator()(float* parameter, const float* gradient, float* mean, float* square) const {
    Vec p = load_unaligned(parameter), g = load_unaligned(gradient);
    if (pull != 0) g = fma(splat(pull), p, g);
    const Vec m = fma(splat(rule.beta1), load_unaligned(mean), splat(rule.rest1) * g);
    const Vec v = fma(splat(rule.beta2), load_unaligned(square), splat(rule.rest2) * g * g);
    const Vec below = fma(splat(scales.root), root(v), splat(rule.eps));
    p = fma(splat(scales.keep), p, -(splat(scales.size) * m / below));
    store_from_float(parameter, clipped(p, rule.clip));
    store_from_float(mean, m);
    store_from_float(square, v);
  }
};

// Calls fn(parameter, gradient, mean, square) for each register's values of [begin, end).
template <typename Fn>
void for_each_register(const AdamTensor& t, std::int64_t begin, std::int64_t end, const Fn& fn) {
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    fn(t.parameter + i, t.gradient + i, t.mean + i, t.square + i);
  }
  if (i == end) return;
  // The rest, among zeros, so that a value's bits do not depend on its place.
  float rest[4][kLanes] = {};
  float* const from[] = {t.parameter + i, const_cast<float*>(t.gradient) + i, t.mean + i,
                         t.square + i};
  for (int k = 0; k < 4; ++k) std::copy_n(from[k], end - i, rest[k]);
  fn(rest[0], rest[1], rest[2], rest[3]);
  for (int k : {0, 2, 3}) std::copy_n(rest[k], end - i, from[k]);
}

}  // namespace

void adam_kernel(const AdamCall& call) {
  const AdamRule& rule = call.rule;
  const bool skip = rule.skip != nullptr && *rule.skip != 0;
  if (skip && std::isinf(rule.clip)) return;
  const double lr = rule.lr_at == nullptr ? rule.lr : *rule.lr_at;
  const std::size_t count = call.tensors.size();
  Buffer<AdamScales> scales(count);
  std::int64_t all = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const AdamTensor& t = call.tensors[i];
    if (!skip) scales[i] = adam_scales(rule, lr, *t.step += 1);
    all += (t.size + kTile - 1) / kTile;
  }
  Buffer<Tile> tiles(static_cast<std::size_t>(all));
  Tile* next = tiles.data();
  for (std::size_t i = 0; i < count; ++i) {
    for (std::int64_t at = 0; at < call.tensors[i].size; at += kTile) *next++ = {i, at};
  }
  parallel_each(all, 1, [&](std::int64_t i) {
    const Tile tile = tiles[static_cast<std::size_t>(i)];
    const AdamTensor& t = call.tensors[tile.tensor];
    const std::int64_t end = std::min(tile.begin + kTile, t.size);
    if (skip) {
      for_each_register(t, tile.begin, end, [&](float* parameter, const float*, float*, float*) {
        store_from_float(parameter, clipped(load_unaligned(parameter), rule.clip));
      });
    } else {
      for_each_register(t, tile.begin, end, Update{rule, scales[tile.tensor], adam_pull(rule)});
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
