#include <algorithm>
#include <cmath>
#include <cstdint>

#include "device/launch.h"
#include "device/pack.h"
#include "ops/adam/adam_cuda.h"

namespace pyharmony {
namespace {

using device::load_pack;
using device::Pack;
using device::store_pack;

constexpr int kThreads = 256, kPack = 4, kTile = 4096;

__device__ __forceinline__ bool is_skipped(const AdamRule& rule) {
  return rule.skip != nullptr && *rule.skip != 0;
}

__device__ __forceinline__ float clipped(float value, float limit) {
  // A value that is not a number stays so.
  value = value > limit ? limit : value;
  return value < -limit ? -limit : value;
}

// Returns the index of the tensor that a tile of the launch belongs to.
__device__ __forceinline__ int item_of(const AdamParams& params, int tile) {
  int first = 0, count = params.count;
  while (count > 1) {
    const int half = count / 2;
    if (tile >= params.items[first + half].first_tile) {
      first += half;
      count -= half;
    } else {
      count = half;
    }
  }
  return first;
}

// Counts the update of each tensor, and prepares its factors.
__global__ void __launch_bounds__(kAdamItems) adam_count_kernel(AdamParams params) {
  const int i = threadIdx.x;
  if (i >= params.count || is_skipped(params.rule)) return;
  float* const step = params.items[i].tensor.step;
  const float number = *step + 1;
  const double lr = params.rule.lr_at == nullptr ? params.rule.lr : *params.rule.lr_at;
  *step = number;
  params.scales[i] = adam_scales(params.rule, lr, number);
}

// Updates kCount neighbours.
template <int kCount>
__device__ __forceinline__ void update(const AdamTensor& t, std::int64_t at, const AdamRule& rule,
                                       const AdamScales& scales, float pull, bool skip) {
  using Values = Pack<float, kCount>;
  Values p = load_pack<float, kCount>(t.parameter, at);
  if (!skip) {
    const Values g = load_pack<float, kCount>(t.gradient, at);
    Values m = load_pack<float, kCount>(t.mean, at), v = load_pack<float, kCount>(t.square, at);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float slope = pull != 0 ? pull * p.value[i] + g.value[i] : g.value[i];
      m.value[i] = rule.beta1 * m.value[i] + rule.rest1 * slope;
      v.value[i] = rule.beta2 * v.value[i] + rule.rest2 * slope * slope;
      p.value[i] = scales.keep * p.value[i] -
                   scales.size * m.value[i] / (scales.root * sqrtf(v.value[i]) + rule.eps);
    }
    store_pack<float, kCount>(t.mean, at, m);
    store_pack<float, kCount>(t.square, at, v);
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) p.value[i] = clipped(p.value[i], rule.clip);
  store_pack<float, kCount>(t.parameter, at, p);
}

__global__ void __launch_bounds__(kThreads) adam_update_kernel(AdamParams params) {
  const bool skip = is_skipped(params.rule);
  if (skip && std::isinf(params.rule.clip)) return;
  const int k = item_of(params, static_cast<int>(blockIdx.x));
  const AdamItem& item = params.items[k];
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x - item.first_tile) * kTile;
  const std::int64_t end = begin + kTile < item.tensor.size ? begin + kTile : item.tensor.size;
  const AdamScales scales = skip ? AdamScales{} : params.scales[k];
  const float pull = adam_pull(params.rule);
  std::int64_t at = begin + threadIdx.x;
  if (item.wide) {
    const std::int64_t packs = begin + (end - begin) / kPack * kPack;
    for (std::int64_t i = begin + kPack * threadIdx.x; i < packs; i += kPack * kThreads) {
      update<kPack>(item.tensor, i, params.rule, scales, pull, skip);
    }
    at = packs + threadIdx.x;
  }
  for (; at < end; at += kThreads) update<1>(item.tensor, at, params.rule, scales, pull, skip);
}

bool is_aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % (kPack * sizeof(float)) == 0;
}

}  // namespace

std::size_t adam_workspace(std::int64_t tensors) {
  return static_cast<std::size_t>(tensors) * sizeof(AdamScales);
}

void launch_adam(const AdamCall& call, void* workspace, std::size_t workspace_bytes,
                 cudaStream_t stream) {
  const std::size_t all = call.tensors.size();
  HM_CHECK(workspace_bytes >= adam_workspace(static_cast<std::int64_t>(all)),
           "workspace: ", workspace_bytes, " bytes are too few");
  AdamParams params = {};
  params.rule = call.rule;
  for (std::size_t first = 0; first < all; first += kAdamItems) {
    params.scales = static_cast<AdamScales*>(workspace) + first;
    params.count = static_cast<int>(std::min<std::size_t>(kAdamItems, all - first));
    std::int64_t tiles = 0;
    for (int i = 0; i < params.count; ++i) {
      const AdamTensor& t = call.tensors[first + static_cast<std::size_t>(i)];
      const bool wide = is_aligned(t.parameter) && is_aligned(t.gradient) && is_aligned(t.mean) &&
                        is_aligned(t.square);
      params.items[i] = {t, static_cast<int>(tiles), wide};
      tiles += (t.size + kTile - 1) / kTile;
      HM_CHECK(tiles < (std::int64_t{1} << 31), "parameters: too many values");
    }
    HM_LAUNCH(adam_count_kernel, 1, kAdamItems, 0, stream, params);
    if (tiles == 0) continue;
    HM_LAUNCH(adam_update_kernel, static_cast<unsigned>(tiles), kThreads, 0, stream, params);
  }
}

}  // namespace pyharmony
