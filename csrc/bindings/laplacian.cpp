#include "ops/laplacian/laplacian.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_laplacian(py::module_& m) {
  m.def(
      "laplacian",
      [](const ArrayView& src, const ArrayView& dst, const ArrayView& mask, int levels, bool adapt,
         const ArrayView& out) {
        return without_gil([&] { return laplacian(src, dst, mask, levels, adapt, out); });
      },
      "src"_a, "dst"_a, "mask"_a, "levels"_a, "adapt"_a, "out"_a);
}

}  // namespace pyharmony
