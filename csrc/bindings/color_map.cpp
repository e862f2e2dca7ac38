#include "ops/color_map/color_map.h"

#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.h"

namespace pyharmony {

void bind_color_map(py::module_& m) {
  m.def(
      "color_map",
      [](const ArrayView& image, const std::vector<std::pair<std::string, ArrayView>>& stages,
         const ArrayView* mask, double strength,
         const ArrayView& out) { color_map(image, make_stages(stages), mask, strength, out); },
      "image"_a, "stages"_a, "mask"_a, "strength"_a, "out"_a,
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
