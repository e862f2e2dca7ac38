// The rectangle's multigrid on a device.
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "bindings/bindings.h"
#include "bindings/pointers.h"
#include "core/status.h"
#include "device/image.h"
#include "ops/gaussian_poisson/multigrid_cuda.h"

namespace pyharmony {
namespace {

namespace gp = gaussian_poisson;
using device::as_image_batch;

gp::MultigridCudaParams multigrid_params(const ArrayView& src, const ArrayView& dst,
                                         const ArrayView& mask, const ArrayView& base,
                                         const ArrayView& out, double weight, double w0, double w1,
                                         double tolerance, int max_cycles,
                                         const std::optional<ArrayView>& rhs) {
  gp::MultigridCudaParams params;
  HM_CHECK(out.writable, "out: not writable");
  params.out = as_image_batch(out, "out");
  if (rhs) {
    params.rhs = as_image_batch(*rhs, "rhs");
  } else {
    params.src = as_image_batch(src, "src");
    params.dst = as_image_batch(dst, "dst");
    params.mask = as_image_batch(mask, "mask", true);
    params.base = as_image_batch(base, "base");
  }
  params.weight = weight;
  params.w0 = w0;
  params.w1 = w1;
  params.tolerance = tolerance;
  params.max_cycles = max_cycles;
  return params;
}

std::size_t multigrid_workspace(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                                const ArrayView& base, const ArrayView& out, double weight,
                                double w0, double w1, double tolerance, int max_cycles,
                                const std::optional<ArrayView>& rhs) {
  return gp::gaussian_poisson_multigrid_workspace(
      multigrid_params(src, dst, mask, base, out, weight, w0, w1, tolerance, max_cycles, rhs));
}

void multigrid(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
               const ArrayView& base, const ArrayView& out, double weight, double w0, double w1,
               double tolerance, int max_cycles, const std::optional<ArrayView>& rhs,
               std::uintptr_t workspace, std::size_t workspace_bytes, std::uintptr_t report,
               int index, std::uintptr_t stream) {
  const device::Guard guard(index);
  gp::MultigridCudaParams params =
      multigrid_params(src, dst, mask, base, out, weight, w0, w1, tolerance, max_cycles, rhs);
  params.workspace = pointer_of(workspace);
  params.workspace_bytes = workspace_bytes;
  params.report = pointer_of(report);
  gp::launch_gaussian_poisson_multigrid(params, stream_of(stream));
}

std::size_t report_bytes(std::int64_t n) {
  HM_CHECK(n >= 0, "n: ", n, ", expected at least 0");
  return static_cast<std::size_t>(n) * sizeof(gp::MultigridReport);
}

py::list report(const py::bytes& host_bytes, std::int64_t n) {
  const std::string_view bytes(host_bytes);
  HM_CHECK(bytes.size() == report_bytes(n), "host_bytes: ", bytes.size(), " bytes, expected ",
           report_bytes(n));
  py::list out;
  for (std::int64_t i = 0; i < n; ++i) {
    gp::MultigridReport r;
    std::memcpy(&r, bytes.data() + i * static_cast<std::int64_t>(sizeof(r)), sizeof(r));
    py::dict info;
    info["cycles"] = r.cycles;
    info["converged"] = r.converged != 0;
    info["residual"] = r.residual;
    info["estimate"] = r.estimate;
    info["max_error"] = r.max_error;
    out.append(info);
  }
  return out;
}

}  // namespace

void bind_gaussian_poisson_rectangle_cuda(py::module_& m) {
  m.def("gaussian_poisson_multigrid_workspace", &multigrid_workspace, py::arg("src"),
        py::arg("dst"), py::arg("mask"), py::arg("base"), py::arg("out"), py::kw_only(),
        py::arg("weight"), py::arg("w0"), py::arg("w1"), py::arg("tolerance"),
        py::arg("max_cycles") = 0, py::arg("rhs") = py::none());
  m.def("gaussian_poisson_multigrid", &multigrid, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"), py::arg("w0"),
        py::arg("w1"), py::arg("tolerance"), py::arg("max_cycles") = 0, py::arg("rhs") = py::none(),
        py::arg("workspace"), py::arg("workspace_bytes"), py::arg("report"), py::arg("device"),
        py::arg("stream"), py::call_guard<py::gil_scoped_release>());
  m.def("gaussian_poisson_multigrid_report_bytes", &report_bytes, py::arg("n"));
  m.def("gaussian_poisson_multigrid_report", &report, py::arg("host_bytes"), py::arg("n"));
}

}  // namespace pyharmony
