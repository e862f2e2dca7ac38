#include "ops/similarity/similarity.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_similarity(py::module_& m) {
  m.def("squared_errors", &squared_errors, "output"_a, "target"_a, "weights"_a, "out"_a,
        py::call_guard<GilRelease>());
  m.def("similarity", &similarity, "output"_a, "target"_a, "out"_a, py::call_guard<GilRelease>());
}

}  // namespace pyharmony
