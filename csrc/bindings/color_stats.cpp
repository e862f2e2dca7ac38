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
      py::arg("image"), py::arg("stages"), py::arg("mask").none(true), py::arg("low"),
      py::arg("high"), py::arg("moments"), py::arg("histograms"),
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
