#include "ops/instance_norm/instance_norm.h"

#include "bindings/bindings.h"

namespace pyharmony {

void bind_instance_norm(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  const py::arg x("x"), stats("stats"), grad("grad"), slope("negative_slope"), dx("dx");
  m.def(
      "instance_norm",
      [](const ArrayView& x, double eps, double slope, const ArrayView& y, const ArrayView& stats) {
        const InstanceNormCall call = instance_norm_call(x, eps, slope, y, stats);
        HM_SIMD_CALL(instance_norm_kernel, call);
      },
      x, py::arg("eps"), slope, py::arg("y"), stats, release);
  m.def(
      "instance_norm_gradient",
      [](const ArrayView& x, const ArrayView& stats, const ArrayView& grad, double slope,
         const ArrayView& dx) {
        const InstanceNormCall call = instance_norm_gradient_call(x, stats, grad, slope, dx);
        HM_SIMD_CALL(instance_norm_gradient_kernel, call);
      },
      x, stats, grad, slope, dx, release);
  m.def(
      "instance_norm_second_gradient",
      [](const ArrayView& x, const ArrayView& stats, const ArrayView& grad, const ArrayView& pull,
         double slope, const ArrayView& dgrad, const ArrayView& dx) {
        const InstanceNormCall call =
            instance_norm_second_gradient_call(x, stats, grad, pull, slope, dgrad, dx);
        HM_SIMD_CALL(instance_norm_second_gradient_kernel, call);
      },
      x, stats, grad, py::arg("pull"), slope, py::arg("dgrad"), dx, release);
}

}  // namespace pyharmony
