#include "ops/guided_filter/guided_filter.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_guided_filter(py::module_& m) {
  const py::call_guard<GilRelease> release;
  m.def("window_mean", &window_mean, "x"_a, "radius"_a, "out"_a, release);
  m.def("guided_fit", &guided_fit, "guide"_a, "target"_a, "radius"_a, "ridge"_a, "fit"_a, release);
  m.def("guided_apply", &guided_apply, "picture"_a, "plain"_a, "fit"_a, "share"_a, "contrast"_a,
        "out"_a, release);
}

}  // namespace pyharmony
