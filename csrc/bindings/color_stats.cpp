#include "ops/color_stats/color_stats.h"

#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.h"

namespace pyharmony {

void bind_color_stats(py::module_& m) {
  m.def(
      "color_stats",
      [](const ArrayView& image, const std::vector<std::pair<std::string, ArrayView>>& stages,
         const ArrayView* mask, const std::vector<double>& low, const std::vector<double>& high,
         const ArrayView& moments, const ArrayView& histograms) {
        color_stats(image, make_stages(stages), mask, low, high, moments, histograms);
      },
      "image"_a, "stages"_a, "mask"_a, "low"_a, "high"_a, "moments"_a, "histograms"_a,
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
