#include "ops/convolution/convolution.h"

#include "bindings/bindings.h"
#include "ops/convolution/points.h"
#include "ops/convolution/samples.h"

namespace pyharmony {

void bind_convolution(py::module_& m) {
  m.def("convolution", &convolution, "image"_a, "weight"_a, "bias"_a, "added"_a, "out"_a,
        "stride"_a, "before"_a, "slope"_a, "high"_a, py::call_guard<GilRelease>());
  m.def("enlarged", &enlarged, "image"_a, "added"_a, "out"_a, py::call_guard<GilRelease>());
  m.def("points", &points, "elements"_a, "added"_a, "parameters"_a, "heads"_a, "out"_a,
        py::call_guard<GilRelease>());
  m.def("spread", py::overload_cast<const ArrayView&, const ArrayView&>(&spread), "weight"_a,
        "out"_a, py::call_guard<GilRelease>());
  m.def("contour", &contour, "mask"_a, "blur"_a, "reach"_a, "place"_a, "normal"_a, "slope"_a,
        py::call_guard<GilRelease>());
  m.def("sampled", &sampled, "planes"_a, "place"_a, "normal"_a, "distances"_a, "out"_a,
        py::call_guard<GilRelease>());
  m.def("recolored", &recolored, "colors"_a, "affine"_a, "curves"_a, "out"_a,
        py::call_guard<GilRelease>());
}

}  // namespace pyharmony
