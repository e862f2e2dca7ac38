#include "ops/pyramid/pyramid.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_pyramid(py::module_& m) {
  const py::call_guard<GilRelease> release;
  m.def("pyramid_downsample", &downsample, "image"_a, "smooth_sigma"_a, "out"_a, release);
  m.def("pyramid_downsample_mask", &downsample_mask, "mask"_a, "out"_a, release);
  m.def("pyramid_upsample", &upsample, "image"_a, "out"_a, release);
  m.def("pyramid_meet_known", &meet_known, "colours"_a, "dst"_a, "known"_a, release);
}

}  // namespace pyharmony
