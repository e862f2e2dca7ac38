// Everything that runs on a device: the submodule `cuda` of _C, and the module _emulator.
#include "bindings/bindings.h"
#include "bindings/device_calls.h"
#include "device/copy.h"

namespace pyharmony {

void bind_cuda(py::module_& m) {
  bind_device(m);
  define_on_device(m, "copy", device::launch_copy, "source"_a, "to"_a, py::kw_only());
  m.def(
      "write_captured",
      [](std::uintptr_t to, const py::buffer& host, int device, std::uintptr_t stream) {
        const py::buffer_info info = host.request();
        const device::Guard guard(device);
        device::launch_write(pointer_of(to), info.ptr,
                             static_cast<std::size_t>(info.size * info.itemsize),
                             stream_of(stream));
      },
      "to"_a, "host"_a, "device"_a, "stream"_a);
  bind_adam_cuda(m);
  bind_color_grid_cuda(m);
  bind_gaussian_poisson_cuda(m);
  bind_gaussian_poisson_rectangle_cuda(m);
  bind_instance_norm_cuda(m);
  bind_partial_conv_cuda(m);
  bind_partial_conv_layer_cuda(m);
  bind_poisson_cuda(m);
  bind_pyramid_cuda(m);
  bind_spectral_norm_cuda(m);
}

}  // namespace pyharmony
