#include "ops/laplacian/laplacian.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_laplacian(py::module_& m) {
  m.def(
      "laplacian",
      [](const ArrayView& src, const ArrayView& dst, const ArrayView& mask, int levels, bool adapt,
         const ArrayView& out) {
        const LaplacianInfo info =
            without_gil([&] { return laplacian(src, dst, mask, levels, adapt, out); });
        return py::dict("clipped"_a = info.clipped, "peak_bytes"_a = info.peak_bytes);
      },
      "src"_a, "dst"_a, "mask"_a, "levels"_a, "adapt"_a, "out"_a);
}

}  // namespace pyharmony
