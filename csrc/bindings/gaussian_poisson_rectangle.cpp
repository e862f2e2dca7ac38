#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "ops/gaussian_poisson/rectangle.h"

namespace pyharmony {
namespace {

namespace gp = gaussian_poisson;

void fill(gp::RectangleParams& params, const ArrayView& src, const ArrayView& dst,
          const ArrayView& mask, const ArrayView& base, const ArrayView& out, double weight,
          double w0, double w1, const std::optional<ArrayView>& rhs,
          const std::optional<std::vector<double>>& mean) {
  HM_CHECK(out.writable, "out: not writable");
  params.out = as_image(out, "out");
  gp::Problem& problem = params.problem;
  problem.mask = as_image(mask, "mask");
  if (rhs) {
    // Stands for the images that are not looked at.
    params.rhs = problem.src = problem.dst = problem.base = as_image(*rhs, "rhs");
  } else {
    problem.src = as_image(src, "src");
    problem.dst = as_image(dst, "dst");
    problem.base = as_image(base, "base");
  }
  problem.weight = weight;
  problem.w0 = w0;
  problem.w1 = w1;
  if (mean) params.mean = *mean;
  gp::check_rectangle(params);
}

py::dict dct(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
             const ArrayView& base, const ArrayView& out, double weight, double w0, double w1,
             bool double_precision, const std::optional<ArrayView>& rhs,
             const std::optional<std::vector<double>>& mean) {
  gp::DctParams params;
  fill(params, src, dst, mask, base, out, weight, w0, w1, rhs, mean);
  params.double_precision = double_precision;
  gp::DctResult result;
  {
    py::gil_scoped_release release;
    result = HM_SIMD_CALL(gaussian_poisson_dct, params);
  }
  py::dict info;
  info["peak_bytes"] = result.peak_bytes;
  return info;
}

}  // namespace

void bind_gaussian_poisson_rectangle(py::module_& m) {
  m.def("gaussian_poisson_dct", &dct, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"), py::arg("w0"),
        py::arg("w1"), py::arg("double_precision"), py::arg("rhs") = py::none(),
        py::arg("mean") = py::none());
}

}  // namespace pyharmony
