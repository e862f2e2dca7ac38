// Everything that runs on a device: the submodule `cuda` of _C, and the module _emulator.
#include <cstdint>

#include "bindings/bindings.h"
#include "bindings/pointers.h"
#include "device/copy.h"

namespace pyharmony {

void bind_cuda(py::module_& m) {
  bind_device(m);
  m.def(
      "copy",
      [](const ArrayView& from, const ArrayView& to, int index, std::uintptr_t stream) {
        const device::Guard guard(index);
        device::launch_copy(from, to, stream_of(stream));
      },
      py::arg("source"), py::arg("to"), py::kw_only(), py::arg("device"), py::arg("stream"),
      py::call_guard<py::gil_scoped_release>());
  bind_color_grid_cuda(m);
  bind_gaussian_poisson_cuda(m);
  bind_gaussian_poisson_rectangle_cuda(m);
  bind_instance_norm_cuda(m);
  bind_partial_conv_cuda(m);
  bind_poisson_cuda(m);
  bind_pyramid_cuda(m);
  bind_spectral_norm_cuda(m);
}

}  // namespace pyharmony
