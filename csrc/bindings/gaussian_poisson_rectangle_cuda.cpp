// The rectangle's multigrid, and the residual of any problem, on a device.
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "bindings/bindings.h"
#include "bindings/pointers.h"
#include "core/status.h"
#include "device/image.h"
#include "ops/gaussian_poisson/multigrid_cuda.h"
#include "ops/gaussian_poisson/residual_cuda.h"

namespace pyharmony {
namespace {

namespace gp = gaussian_poisson;
using device::as_image_batch;

gp::MultigridCudaParams multigrid_params(const ArrayView& src, const ArrayView& dst,
                                         const ArrayView& mask, const ArrayView& base,
                                         const ArrayView& out, double weight, double w0, double w1,
                                         double tolerance, int max_cycles,
                                         const std::optional<ArrayView>& rhs,
                                         const std::optional<ArrayView>& mean) {
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
  if (mean) {
    HM_CHECK(mean->dtype == DType::kFloat64 && mean->ndim == 2 &&
                 mean->shape[0] == params.out.count && mean->shape[1] == params.out.channels &&
                 mean->stride[0] == mean->shape[1] && mean->stride[1] == 1,
             "mean: expected contiguous float64 [", params.out.count, ", ", params.out.channels,
             "]");
    params.mean = mean->as<double>();
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
  return gp::gaussian_poisson_multigrid_workspace(multigrid_params(
      src, dst, mask, base, out, weight, w0, w1, tolerance, max_cycles, rhs, std::nullopt));
}

void multigrid(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
               const ArrayView& base, const ArrayView& out, double weight, double w0, double w1,
               double tolerance, int max_cycles, const std::optional<ArrayView>& rhs,
               const std::optional<ArrayView>& mean, std::uintptr_t workspace,
               std::size_t workspace_bytes, std::uintptr_t report, int index,
               std::uintptr_t stream) {
  const device::Guard guard(index);
  gp::MultigridCudaParams params =
      multigrid_params(src, dst, mask, base, out, weight, w0, w1, tolerance, max_cycles, rhs, mean);
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

gp::ResidualCudaParams residual_params(const ArrayView& src, const ArrayView& dst,
                                       const ArrayView& mask, const ArrayView& base,
                                       const ArrayView& x, double weight,
                                       const std::optional<ArrayView>& weight_map, double w0,
                                       double w1, bool preserve_background,
                                       const std::optional<ArrayView>& out) {
  gp::ResidualCudaParams params;
  params.src = as_image_batch(src, "src");
  params.dst = as_image_batch(dst, "dst");
  params.mask = as_image_batch(mask, "mask", true);
  params.base = as_image_batch(base, "base");
  params.x = as_image_batch(x, "x");
  if (weight_map) params.weight_map = as_image_batch(*weight_map, "weight_map", true);
  if (out) {
    HM_CHECK(out->writable, "out: not writable");
    params.out = as_image_batch(*out, "out");
  }
  params.weight = weight;
  params.w0 = w0;
  params.w1 = w1;
  params.preserve_background = preserve_background;
  return params;
}

std::size_t residual_workspace(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                               const ArrayView& base, const ArrayView& x) {
  return gp::gaussian_poisson_residual_workspace(
      residual_params(src, dst, mask, base, x, 1.0, std::nullopt, 1.0, 0.0, false, std::nullopt));
}

void residual(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
              const ArrayView& base, const ArrayView& x, double weight,
              const std::optional<ArrayView>& weight_map, double w0, double w1,
              bool preserve_background, const std::optional<ArrayView>& out, std::uintptr_t result,
              std::uintptr_t workspace, std::size_t workspace_bytes, int index,
              std::uintptr_t stream) {
  const device::Guard guard(index);
  gp::ResidualCudaParams params = residual_params(src, dst, mask, base, x, weight, weight_map, w0,
                                                  w1, preserve_background, out);
  params.result = static_cast<double*>(pointer_of(result));
  params.workspace = pointer_of(workspace);
  params.workspace_bytes = workspace_bytes;
  gp::launch_gaussian_poisson_residual(params, stream_of(stream));
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
        py::arg("mean") = py::none(), py::arg("workspace"), py::arg("workspace_bytes"),
        py::arg("report"), py::arg("device"), py::arg("stream"),
        py::call_guard<py::gil_scoped_release>());
  m.def("gaussian_poisson_multigrid_report_bytes", &report_bytes, py::arg("n"));
  m.def("gaussian_poisson_multigrid_report", &report, py::arg("host_bytes"), py::arg("n"));
  m.def("gaussian_poisson_residual_workspace", &residual_workspace, py::arg("src"), py::arg("dst"),
        py::arg("mask"), py::arg("base"), py::arg("x"));
  m.def("gaussian_poisson_residual", &residual, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("x"), py::kw_only(), py::arg("weight"), py::arg("weight_map"),
        py::arg("w0"), py::arg("w1"), py::arg("preserve_background"), py::arg("out") = py::none(),
        py::arg("result"), py::arg("workspace"), py::arg("workspace_bytes"), py::arg("device"),
        py::arg("stream"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
