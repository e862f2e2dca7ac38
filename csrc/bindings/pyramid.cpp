#include "ops/pyramid/pyramid.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_pyramid(py::module_& m) {
  const py::call_guard<GilRelease> release;
  using Array = const ArrayView&;
  m.def("pyramid_downsample", py::overload_cast<Array, double, Array>(&downsample), "image"_a,
        "smooth_sigma"_a, "out"_a, release);
  m.def("pyramid_downsample_mask", &downsample_mask, "mask"_a, "out"_a, release);
  m.def("pyramid_upsample", py::overload_cast<Array, Array>(&upsample), "image"_a, "out"_a,
        release);
  m.def("pyramid_meet_known", py::overload_cast<Array, Array, Array>(&meet_known), "colours"_a,
        "dst"_a, "known"_a, release);
}

}  // namespace pyharmony
