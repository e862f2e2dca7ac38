#include "ops/matting/matting.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_matting(py::module_& m) {
  m.def("matting_product", &matting_product, "band"_a, "weights"_a, "values"_a, "out"_a,
        py::call_guard<GilRelease>());
}

}  // namespace pyharmony
