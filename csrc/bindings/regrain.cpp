#include "ops/regrain/regrain.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_regrain(py::module_& m) {
  m.def("regrain", &regrain, "image"_a, "inside"_a, "change"_a, py::call_guard<GilRelease>());
}

}  // namespace pyharmony
