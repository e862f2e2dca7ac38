// Kernels for the mean of the answer, its rounding, and the report of each image.
#pragma once

#include "ops/gaussian_poisson/multigrid_levels.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

struct MeanParams : Workspace {
  double pixels, divisor;  // divisor zero: the mean is zero
};

// Computes what is to be added to each plane.
__global__ void __launch_bounds__(kMeanThreads)
    gaussian_poisson_multigrid_mean_kernel(MeanParams p) {
  __shared__ double scratch[kMeanThreads / 32];
  const std::int64_t plane = blockIdx.x;
  auto total = [&](const double* values, int count) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += kMeanThreads) sum += values[plane * count + i];
    return sum;
  };
  const double wanted = p.divisor > 0 ? 1 / p.divisor : 0;
  const double sum = device::block_reduce<kMeanThreads>(
      wanted * total(p.sums, p.blocks) - total(p.answer_sums, p.answer_blocks), device::Sum(),
      scratch);
  if (threadIdx.x == 0) {
    p.shift[plane] = static_cast<float>(sum / p.pixels);
  }
}

struct StoreParams {
  Level finest;
  const float* shift;
  ImageBatch out;
  int max_cycles;
  double gain, inverse_excess;
  MultigridReport* report;
  Cycle cycle;
};

__device__ __forceinline__ MultigridReport report_of(const StoreParams& p, int image) {
  MultigridReport report;
  const CycleNorms* norms = p.cycle.norms + std::int64_t(image) * p.cycle.per_image;
  while (report.cycles < p.max_cycles && norms[report.cycles].ran) ++report.cycles;
  double shift = 0;
  for (int c = 0; c < p.out.channels; ++c) {
    const double s = fabs(static_cast<double>(p.shift[image * p.out.channels + c]));
    if (!(s <= shift)) shift = s;
  }
  report.max_error = __int_as_float(0x7fffffff);
  if (report.cycles == 0) {  // The grid was solved directly.
    report.converged = 1;
    return report;
  }
  const CycleNorms& n = norms[report.cycles - 1];
  const ImageState& state = p.cycle.images[image];
  const StopRule& rule = p.cycle.rule;
  report.residual = __int_as_float(n.residual) + p.gain * shift;
  report.estimate = kErrorShare * change_of(n);
  if (p.inverse_excess > 0) {
    report.max_error =
        (report.residual + static_cast<double>(rule.x_rounding) * __int_as_float(n.size) +
         static_cast<double>(rule.image_rounding) * __int_as_float(state.size)) *
        p.inverse_excess;
  }
  report.converged = met(n, state, rule);
  return report;
}

__global__ void __launch_bounds__(kStoreThreads)
    gaussian_poisson_multigrid_store_kernel(StoreParams p) {
  const int image = blockIdx.z, channels = p.out.channels;
  const std::int64_t elements = std::int64_t(p.out.width) * channels;
  for (int y = blockIdx.y; y < p.out.height; y += gridDim.y) {
#pragma unroll
    for (int i = 0; i < kStoreEach; ++i) {
      const std::int64_t e =
          (std::int64_t(blockIdx.x) * kStoreEach + i) * kStoreThreads + threadIdx.x;
      if (e >= elements) break;
      const int element = static_cast<int>(e);
      const int x = channels == 3   ? element / 3
                    : channels == 1 ? element
                    : channels == 4 ? element / 4
                                    : element / channels;
      const int c = element - x * channels;
      const std::int64_t plane = image * std::int64_t(channels) + c;
      const float value =
          p.finest.solution[plane * p.finest.plane + std::int64_t(y) * p.finest.pitch + x] +
          p.shift[plane];
      device::store_value(p.out, image, y, x, c, value);
    }
  }
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) p.report[image] = report_of(p, image);
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
