#include "ops/instance_norm/instance_norm_cuda.h"

#include <cstdint>

#include "bindings/bindings.h"
#include "bindings/pointers.h"
#include "device/runtime.h"

namespace pyharmony {

void bind_instance_norm_cuda(py::module_& m) {
  using device::Guard;
  const py::call_guard<py::gil_scoped_release> release;
  const py::arg x("x"), stats("stats"), grad("grad"), slope("negative_slope"), dx("dx");
  const py::arg workspace("workspace"), device("device"), stream("stream");
  m.def("instance_norm_workspace", &instance_norm_workspace, x, release);
  m.def(
      "instance_norm",
      [](const ArrayView& x, double eps, double slope, const ArrayView& y, const ArrayView& stats,
         const ArrayView& scratch, int index, std::uintptr_t on) {
        const InstanceNormCall call = instance_norm_call(x, eps, slope, y, stats);
        const Guard guard(index);
        launch_instance_norm(call, scratch.data, static_cast<std::size_t>(scratch.size()),
                             stream_of(on));
      },
      x, py::arg("eps"), slope, py::arg("y"), stats, py::kw_only(), workspace, device, stream,
      release);
  m.def(
      "instance_norm_gradient",
      [](const ArrayView& x, const ArrayView& stats, const ArrayView& grad, double slope,
         const ArrayView& dx, const ArrayView& scratch, int index, std::uintptr_t on) {
        const InstanceNormCall call = instance_norm_gradient_call(x, stats, grad, slope, dx);
        const Guard guard(index);
        launch_instance_norm_gradient(call, scratch.data, static_cast<std::size_t>(scratch.size()),
                                      stream_of(on));
      },
      x, stats, grad, slope, dx, py::kw_only(), workspace, device, stream, release);
  m.def(
      "instance_norm_second_gradient",
      [](const ArrayView& x, const ArrayView& stats, const ArrayView& grad, const ArrayView& pull,
         double slope, const ArrayView& dgrad, const ArrayView& dx, const ArrayView& scratch,
         int index, std::uintptr_t on) {
        const InstanceNormCall call =
            instance_norm_second_gradient_call(x, stats, grad, pull, slope, dgrad, dx);
        const Guard guard(index);
        launch_instance_norm_second_gradient(
            call, scratch.data, static_cast<std::size_t>(scratch.size()), stream_of(on));
      },
      x, stats, grad, py::arg("pull"), slope, py::arg("dgrad"), dx, py::kw_only(), workspace,
      device, stream, release);
}

}  // namespace pyharmony
