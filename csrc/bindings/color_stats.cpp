#include "ops/color_stats/color_stats.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_color_stats(py::module_& m) {
  m.def("color_stats", &color_stats, "image"_a, "stages"_a, "mask"_a, "low"_a, "high"_a,
        "moments"_a, "histograms"_a, py::call_guard<GilRelease>());
}

}  // namespace pyharmony
