#include "ops/matting/matting.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_matting(py::module_& m) {
  const py::call_guard<GilRelease> release;
  m.def("matting_rows", &matting_rows, "guide"_a, "band"_a, "ridge"_a, "weights"_a, release);
  m.def("matting_solve", &matting_solve, "band"_a, "weights"_a, "pull"_a, "start"_a, "steps"_a,
        "solved"_a, "out"_a, release);
}

}  // namespace pyharmony
