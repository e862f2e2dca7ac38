#include "ops/color_map/color_map.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_color_map(py::module_& m) {
  m.def("color_map", &color_map, "image"_a, "stages"_a, "mask"_a, "strength"_a, "out"_a,
        py::call_guard<GilRelease>());
}

}  // namespace pyharmony
