#include "ops/alpha/alpha.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_alpha(py::module_& m) {
  m.def("alpha", &alpha, "src"_a, "dst"_a, "mask"_a, "y0"_a, "x0"_a, "ramp"_a, "out"_a, "keep"_a,
        py::call_guard<GilRelease>());
}

}  // namespace pyharmony
