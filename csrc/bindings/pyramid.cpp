#include "ops/pyramid/pyramid.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_pyramid(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  m.def("pyramid_downsample", &downsample, py::arg("image"), py::arg("smooth_sigma"),
        py::arg("out"), release);
  m.def("pyramid_downsample_mask", &downsample_mask, py::arg("mask"), py::arg("out"), release);
  m.def("pyramid_upsample", &upsample, py::arg("image"), py::arg("out"), release);
  m.def("pyramid_meet_known", &meet_known, py::arg("colours"), py::arg("dst"), py::arg("known"),
        release);
}

}  // namespace pyharmony
