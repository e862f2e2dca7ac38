#include "ops/matting/matting.h"

#include "bindings/bindings.h"
#include "ops/matting/edge_colours.h"

namespace pyharmony {

void bind_matting(py::module_& m) {
  const py::call_guard<GilRelease> release;
  m.def("matting_rows", &matting_rows, "guide"_a, "band"_a, "ridge"_a, "weights"_a, release);
  m.def("matting_solve", &matting_solve, "band"_a, "weights"_a, "pull"_a, "start"_a, "steps"_a,
        "solved"_a, "out"_a, release);
  m.def("edge_cells", &edge_cells, "colours"_a, "alpha"_a, "soft"_a, "opaque"_a, "background"_a,
        "top"_a, "left"_a, "halvings"_a, "means"_a, "soft_cells"_a, release);
  m.def("edge_relax", &edge_relax, "means"_a, "soft"_a, "coarser"_a, "low"_a, "high"_a, "sweeps"_a,
        "out"_a, release);
  m.def("edge_own", &edge_own, "colours"_a, "alpha"_a, "soft"_a, "opaque"_a, "background"_a,
        "cells"_a, "top"_a, "left"_a, "share"_a, "low"_a, "high"_a, "out"_a, release);
}

}  // namespace pyharmony
