#include "ops/convolution/convolution.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_convolution(py::module_& m) {
  m.def("convolution", &convolution, "image"_a, "weight"_a, "bias"_a, "added"_a, "out"_a,
        "stride"_a, "before"_a, "slope"_a, "high"_a, py::call_guard<GilRelease>());
  m.def("enlarged", &enlarged, "image"_a, "added"_a, "out"_a, py::call_guard<GilRelease>());
}

}  // namespace pyharmony
