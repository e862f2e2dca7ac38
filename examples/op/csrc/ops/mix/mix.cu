#include "device/launch.h"
#include "ops/mix/mix_cuda.h"

namespace pyharmony {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) mix_kernel(MixCall p) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < p.size) p.out[i] = p.b[i] + p.share[i] * (p.a[i] - p.b[i]);
}

}  // namespace

void launch_mix(const MixCall& call, cudaStream_t stream) {
  const std::int64_t blocks = (call.size + kThreads - 1) / kThreads;
  HM_CHECK(blocks < (std::int64_t{1} << 31), "a: ", call.size, " values are too many");
  if (blocks == 0) return;
  HM_LAUNCH(mix_kernel, static_cast<unsigned>(blocks), kThreads, 0, stream, call);
}

}  // namespace pyharmony
