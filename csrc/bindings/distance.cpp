#include "ops/distance/distance.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_distance(py::module_& m) {
  m.def("distance", &distance, "mask"_a, "out"_a, py::call_guard<GilRelease>());
}

}  // namespace pyharmony
