#include "ops/warp/warp.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_warp(py::module_& m) {
  m.def("warp", &warp, "image"_a, "matrix"_a, "out"_a, py::call_guard<GilRelease>());
}

}  // namespace pyharmony
