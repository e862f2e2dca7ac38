// The rectangle's multigrid on a device.
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"
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

void multigrid(gp::MultigridCudaParams params, std::uintptr_t workspace,
               std::size_t workspace_bytes, std::uintptr_t report, cudaStream_t stream) {
  params.workspace = pointer_of(workspace);
  params.workspace_bytes = workspace_bytes;
  params.report = pointer_of(report);
  gp::launch_gaussian_poisson_multigrid(params, stream);
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
    out.append(py::dict("cycles"_a = r.cycles, "converged"_a = r.converged != 0,
                        "residual"_a = r.residual, "estimate"_a = r.estimate,
                        "max_error"_a = r.max_error));
  }
  return out;
}

}  // namespace

void bind_gaussian_poisson_rectangle_cuda(py::module_& m) {
  const auto define = [&](const auto&... names) {
    m.def("gaussian_poisson_multigrid_workspace",
          chain(multigrid_params, gp::gaussian_poisson_multigrid_workspace), names...);
    define_on_device(m, "gaussian_poisson_multigrid", chain(multigrid_params, multigrid), names...,
                     "workspace"_a, "workspace_bytes"_a, "report"_a);
  };
  // The names of the arguments of multigrid_params.
  define("src"_a, "dst"_a, "mask"_a, "base"_a, "out"_a, py::kw_only(), "weight"_a, "w0"_a, "w1"_a,
         "tolerance"_a, "max_cycles"_a = 0, "rhs"_a = py::none());
  m.def("gaussian_poisson_multigrid_report_bytes", &report_bytes, "n"_a);
  m.def("gaussian_poisson_multigrid_report", &report, "host_bytes"_a, "n"_a);
}

}  // namespace pyharmony
