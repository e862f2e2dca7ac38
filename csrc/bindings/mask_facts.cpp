#include "core/mask_facts.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_mask_facts(py::module_& m) {
  m.def(
      "mask_facts",
      [](const ArrayView& mask, double least) {
        const MaskFacts f = without_gil([&] { return mask_facts(mask, least); });
        return py::make_tuple(f.y0, f.y1, f.x0, f.x1, f.soft, f.inside, f.faint, f.largest);
      },
      "mask"_a, "least"_a);
}

}  // namespace pyharmony
