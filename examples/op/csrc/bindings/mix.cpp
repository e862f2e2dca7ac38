#include "ops/mix/mix.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_mix(py::module_& m) {
  m.def("mix", chain(mix_call, mix), "a"_a, "b"_a, "share"_a, "out"_a,
        py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
