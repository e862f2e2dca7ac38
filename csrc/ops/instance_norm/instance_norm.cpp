// Checks the arguments of the passes, on the CPU and on devices.
#include "ops/instance_norm/instance_norm.h"

#include "core/checks.h"

namespace pyharmony {
namespace {

InstanceNormCall call_of(InstanceNormPass pass, const ArrayView& x, const ArrayView& stats,
                         double slope) {
  HM_CHECK(x.ndim == 4 && x.size() > 0, "x: expected [N, C, H, W]");
  const bool planar = is_dense(x, false);
  HM_CHECK(planar || is_dense(x, true), "x: neither planar nor channels-last without gaps");
  const DType real = x.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  const std::int64_t n = x.shape[0], channels = x.shape[1];
  HM_CHECK(stats.dtype == real && stats.ndim == 3 && stats.shape[0] == n &&
               stats.shape[1] == channels && stats.shape[2] == kInstanceNormStats &&
               stats.stride[2] == 1 && (channels == 1 || stats.stride[1] == kInstanceNormStats) &&
               (n == 1 || stats.stride[0] == kInstanceNormStats * channels),
           "stats: expected contiguous ", dtype_name(real), " [", n, ", ", channels, ", 3]");
  InstanceNormCall call;
  call.pass = pass;
  call.dtype = x.dtype;
  call.channels_last = !planar;
  call.images = n;
  call.channels = channels;
  call.plane = x.shape[2] * x.shape[3];
  call.slope = slope;
  call.stats = stats.data;
  call.in[0] = x.data;
  return call;
}

void* like(const ArrayView& x, const InstanceNormCall& call, const ArrayView& a, const char* name) {
  bool same = a.ndim == 4 && a.dtype == x.dtype;
  for (int i = 0; i < 4 && same; ++i) same = a.shape[i] == x.shape[i];
  HM_CHECK(same && is_dense(a, call.channels_last), name,
           ": not of the shape, dtype and layout of x");
  return a.data;
}

void* written(const ArrayView& x, const InstanceNormCall& call, const ArrayView& a,
              const char* name) {
  HM_CHECK(a.writable, name, ": read-only");
  return like(x, call, a, name);
}

}  // namespace

InstanceNormCall instance_norm_call(const ArrayView& x, double eps, double slope,
                                    const ArrayView& y, const ArrayView& stats) {
  HM_CHECK(eps > 0, "eps: ", eps, ", expected more than 0");
  HM_CHECK(stats.writable, "stats: read-only");
  InstanceNormCall call = call_of(InstanceNormPass::kForward, x, stats, slope);
  call.eps = eps;
  call.out[0] = written(x, call, y, "y");
  return call;
}

InstanceNormCall instance_norm_gradient_call(const ArrayView& x, const ArrayView& stats,
                                             const ArrayView& grad, double slope,
                                             const ArrayView& dx) {
  InstanceNormCall call = call_of(InstanceNormPass::kGradient, x, stats, slope);
  call.in[1] = like(x, call, grad, "grad");
  call.out[0] = written(x, call, dx, "dx");
  return call;
}

InstanceNormCall instance_norm_second_gradient_call(const ArrayView& x, const ArrayView& stats,
                                                    const ArrayView& grad, const ArrayView& pull,
                                                    double slope, const ArrayView& dgrad,
                                                    const ArrayView& dx) {
  InstanceNormCall call = call_of(InstanceNormPass::kSecondGradient, x, stats, slope);
  call.in[1] = like(x, call, grad, "grad");
  call.in[2] = like(x, call, pull, "pull");
  call.out[0] = written(x, call, dgrad, "dgrad");
  call.out[1] = written(x, call, dx, "dx");
  return call;
}

}  // namespace pyharmony
