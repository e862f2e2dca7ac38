#include "ops/mix/mix.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_mix(py::module_& m) {
  m.def(
      "mix",
      [](const ArrayView& a, const ArrayView& b, const ArrayView& share, const ArrayView& out) {
        mix(mix_call(a, b, share, out));
      },
      py::arg("a"), py::arg("b"), py::arg("share"), py::arg("out"),
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
