#include "core/resize.h"

#include "bindings/bindings.h"
#include "core/resample.h"

namespace pyharmony {

void bind_resize(py::module_& m) {
  m.def("resize", &resize, "image"_a, "out"_a, "left"_a, "top"_a, "right"_a, "bottom"_a,
        py::call_guard<GilRelease>());
  m.def("block_means", &block_means, "image"_a, "across"_a, "down"_a, "out"_a,
        py::call_guard<GilRelease>());
  m.def("resample", &resample, "image"_a, "axis"_a, "taps"_a, "weights"_a, "out"_a,
        py::call_guard<GilRelease>());
}

}  // namespace pyharmony
