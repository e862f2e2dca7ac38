#include "ops/conv4x4/conv4x4.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_conv4x4(py::module_& m) {
  const py::call_guard<GilRelease> release;
  m.def("winograd_input", &winograd_input, "image"_a, "tiles"_a, "first"_a, "stride"_a, "padding"_a,
        "slope"_a, release);
  m.def("winograd_input_adjoint", &winograd_input_adjoint, "tiles"_a, "image"_a, "first"_a,
        "stride"_a, "padding"_a, release);
  m.def("winograd_output", &winograd_output, "tiles"_a, "bias"_a, "output"_a, "first"_a, release);
  m.def("winograd_output_adjoint", &winograd_output_adjoint, "output"_a, "tiles"_a, "first"_a,
        "slope"_a, release);
  m.def("winograd_weight", &winograd_weight, "weight"_a, "tiles"_a, "stride"_a, "across"_a,
        release);
  m.def("winograd_weight_adjoint", &winograd_weight_adjoint, "tiles"_a, "weight"_a, "stride"_a,
        release);
  m.def("conv_windows", &conv_windows, "image"_a, "rows"_a, "stride"_a, "padding"_a, release);
  m.def("conv_fold", &conv_fold, "rows"_a, "image"_a, "stride"_a, "padding"_a, release);
}

}  // namespace pyharmony
