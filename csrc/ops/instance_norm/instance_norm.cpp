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

// Returns x [N, C, H, W], channels-last, as one image: the positions of the batch lie in a row.
ArrayView as_one_image(const ArrayView& x, const char* name) {
  HM_CHECK(x.ndim == 4 && x.size() > 0 && is_dense(x, true), name,
           ": expected [N, C, H, W], channels-last without gaps");
  ArrayView one = x;
  const std::int64_t channels = x.shape[1], rows = x.size() / channels;
  const std::int64_t shape[4] = {1, channels, rows, 1},
                     stride[4] = {rows * channels, 1, channels, channels};
  for (int i = 0; i < 4; ++i) {
    one.shape[i] = shape[i];
    one.stride[i] = stride[i];
  }
  return one;
}

void drop(const ArrayView& x, InstanceNormCall& call, const ArrayView* keep, double gain) {
  if (keep == nullptr) return;
  bool same = keep->ndim == 4 && keep->dtype == DType::kUInt8;
  for (int i = 0; i < 4 && same; ++i) same = keep->shape[i] == x.shape[i];
  HM_CHECK(same && is_dense(*keep, call.channels_last),
           "keep: not uint8 of the shape and layout of x");
  call.keep = keep->as<std::uint8_t>();
  call.gain = gain;
}

void* of_channels(const InstanceNormCall& call, const ArrayView& a, const char* name) {
  const DType real = call.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  HM_CHECK(a.dtype == real && a.ndim == 1 && a.shape[0] == call.channels && is_contiguous(a), name,
           ": expected contiguous ", dtype_name(real), " [", call.channels, "]");
  return a.data;
}

}  // namespace

InstanceNormCall batch_norm_call(const ArrayView& x, const ArrayView& scale, const ArrayView& shift,
                                 double eps, double slope, const ArrayView& y,
                                 const ArrayView& stats, const ArrayView* keep, double gain) {
  InstanceNormCall call =
      instance_norm_call(as_one_image(x, "x"), eps, slope, as_one_image(y, "y"), stats, nullptr, 1);
  call.channels_last = true;  // Of one channel or pixel both layouts are the same memory.
  drop(x, call, keep, gain);
  call.pass = InstanceNormPass::kAffineForward;
  call.scale = of_channels(call, scale, "scale");
  call.shift = of_channels(call, shift, "shift");
  return call;
}

InstanceNormCall batch_norm_gradient_call(const ArrayView& x, const ArrayView& stats,
                                          const ArrayView& scale, const ArrayView& shift,
                                          const ArrayView& grad, double slope, const ArrayView& dx,
                                          const ArrayView& dscale, const ArrayView& dshift,
                                          const ArrayView* keep, double gain) {
  InstanceNormCall call =
      instance_norm_gradient_call(as_one_image(x, "x"), stats, as_one_image(grad, "grad"), slope,
                                  as_one_image(dx, "dx"), nullptr, 1);
  call.channels_last = true;
  drop(x, call, keep, gain);
  call.pass = InstanceNormPass::kAffineGradient;
  call.scale = of_channels(call, scale, "scale");
  call.shift = of_channels(call, shift, "shift");
  HM_CHECK(dscale.writable && dshift.writable, "dscale, dshift: read-only");
  call.dscale = of_channels(call, dscale, "dscale");
  call.dshift = of_channels(call, dshift, "dshift");
  return call;
}

InstanceNormCall instance_norm_call(const ArrayView& x, double eps, double slope,
                                    const ArrayView& y, const ArrayView& stats,
                                    const ArrayView* keep, double gain) {
  HM_CHECK(eps > 0, "eps: ", eps, ", expected more than 0");
  HM_CHECK(stats.writable, "stats: read-only");
  InstanceNormCall call = call_of(InstanceNormPass::kForward, x, stats, slope);
  call.eps = eps;
  call.out[0] = written(x, call, y, "y");
  drop(x, call, keep, gain);
  return call;
}

InstanceNormCall instance_norm_gradient_call(const ArrayView& x, const ArrayView& stats,
                                             const ArrayView& grad, double slope,
                                             const ArrayView& dx, const ArrayView* keep,
                                             double gain) {
  InstanceNormCall call = call_of(InstanceNormPass::kGradient, x, stats, slope);
  call.in[1] = like(x, call, grad, "grad");
  call.out[0] = written(x, call, dx, "dx");
  drop(x, call, keep, gain);
  return call;
}

InstanceNormCall instance_norm_second_gradient_call(const ArrayView& x, const ArrayView& stats,
                                                    const ArrayView& grad, const ArrayView& pull,
                                                    double slope, const ArrayView& dgrad,
                                                    const ArrayView& dx, const ArrayView* keep,
                                                    double gain) {
  InstanceNormCall call = call_of(InstanceNormPass::kSecondGradient, x, stats, slope);
  call.in[1] = like(x, call, grad, "grad");
  call.in[2] = like(x, call, pull, "pull");
  call.out[0] = written(x, call, dgrad, "dgrad");
  call.out[1] = written(x, call, dx, "dx");
  drop(x, call, keep, gain);
  return call;
}

}  // namespace pyharmony
