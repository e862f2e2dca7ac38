#include "ops/mix/mix_cuda.h"

#include "bindings/bindings.h"
#include "bindings/pointers.h"

namespace pyharmony {

void bind_mix_cuda(py::module_& m) {
  m.def(
      "mix",
      [](const ArrayView& a, const ArrayView& b, const ArrayView& share, const ArrayView& out,
         int index, std::uintptr_t stream) {
        const device::Guard guard(index);
        launch_mix(mix_call(a, b, share, out), stream_of(stream));
      },
      py::arg("a"), py::arg("b"), py::arg("share"), py::arg("out"), py::kw_only(),
      py::arg("device"), py::arg("stream"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
