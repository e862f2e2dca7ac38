#include "ops/pyramid/pyramid_cuda.h"

#include <vector>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"

namespace pyharmony {
namespace {

void downsample_one(const ArrayView& image, double smooth_sigma, const ArrayView& out,
                    cudaStream_t stream) {
  launch_pyramid_downsample(&image, &out, 1, smooth_sigma, stream);
}

void downsample_several(const std::vector<ArrayView>& images, double smooth_sigma,
                        const std::vector<ArrayView>& outs, cudaStream_t stream) {
  HM_CHECK(images.size() == outs.size(), "outs: ", outs.size(), " arrays for ", images.size(),
           " images");
  launch_pyramid_downsample(images.data(), outs.data(), static_cast<int>(images.size()),
                            smooth_sigma, stream);
}

void lay_mask(const ArrayView* mask, int top, int left, int height, int width, const ArrayView& out,
              int sides, std::uintptr_t open, cudaStream_t stream) {
  launch_pyramid_lay_mask(mask, {top, left, height, width}, out, sides,
                          static_cast<int*>(pointer_of(open)), stream);
}

}  // namespace

void bind_pyramid_cuda(py::module_& m) {
  const py::kw_only named;
  define_on_device(m, "pyramid_downsample", downsample_one, "image"_a, "smooth_sigma"_a, "out"_a,
                   named);
  define_on_device(m, "pyramid_downsample", downsample_several, "images"_a, "smooth_sigma"_a,
                   "outs"_a, named);
  define_on_device(m, "pyramid_downsample_mask", launch_pyramid_downsample_mask, "mask"_a,
                   "known"_a, "out"_a, "known_out"_a, named);
  define_on_device(m, "pyramid_upsample", launch_pyramid_upsample, "image"_a, "out"_a, named);
  define_on_device(m, "pyramid_upsample_meet", launch_pyramid_upsample_meet, "image"_a, "dst"_a,
                   "known"_a, "out"_a, named, "from_mask"_a = false);
  define_on_device(m, "pyramid_copy_paste", launch_pyramid_copy_paste, "src"_a, "dst"_a, "mask"_a,
                   "out"_a, named);
  define_on_device(m, "pyramid_limit", launch_pyramid_limit, "src"_a, "dst"_a, "mask"_a, "out"_a,
                   named);
  define_on_device(m, "pyramid_lay", launch_pyramid_lay, "src"_a, "dst"_a, "top"_a, "left"_a,
                   "out"_a, named);
  define_on_device(m, "pyramid_lay_mask", lay_mask, "mask"_a, "top"_a, "left"_a, "height"_a,
                   "width"_a, "out"_a, named, "sides"_a = 0, "open"_a = 0);
  define_on_device(m, "pyramid_hold", launch_pyramid_hold, "known"_a, "out"_a, named);
}

}  // namespace pyharmony
