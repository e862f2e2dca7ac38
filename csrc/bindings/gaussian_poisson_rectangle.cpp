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
          double w0, double w1, const std::string& gradients, const std::optional<ArrayView>& rhs,
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
  problem.gradients = gp::parse_gradients(gradients);
  if (mean) params.mean = *mean;
  gp::check_rectangle(params);
}

py::dict dct(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
             const ArrayView& base, const ArrayView& out, double weight, double w0, double w1,
             bool double_precision, const std::string& gradients,
             const std::optional<ArrayView>& rhs, const std::optional<std::vector<double>>& mean) {
  gp::DctParams params;
  fill(params, src, dst, mask, base, out, weight, w0, w1, gradients, rhs, mean);
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

py::dict multigrid(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                   const ArrayView& base, const ArrayView& out, double weight, double w0, double w1,
                   double tolerance, int max_cycles, const std::string& gradients,
                   const std::optional<ArrayView>& rhs,
                   const std::optional<std::vector<double>>& mean,
                   const std::optional<ArrayView>& start) {
  gp::MultigridParams params;
  fill(params, src, dst, mask, base, out, weight, w0, w1, gradients, rhs, mean);
  HM_CHECK(tolerance > 0, "tolerance: ", tolerance, ", expected a positive number");
  HM_CHECK(max_cycles >= 0, "max_cycles: ", max_cycles, ", expected at least 0");
  params.tolerance = tolerance;
  params.max_cycles = max_cycles;
  if (start) {
    params.start = as_image(*start, "start");
    HM_CHECK(start->dtype != DType::kBool, "start: dtype bool is not an image type");
    check_same_image_shape(params.start, "start", params.out, "out");
  }
  gp::MultigridResult result;
  {
    py::gil_scoped_release release;
    result = HM_SIMD_CALL(gaussian_poisson_multigrid, params);
  }
  py::dict info;
  info["cycles"] = result.cycles;
  info["residual"] = result.residual;
  info["estimate"] = result.estimate;
  info["converged"] = result.converged;
  info["residual_history"] = result.residual_history;
  info["peak_bytes"] = result.peak_bytes;
  return info;
}

}  // namespace

void bind_gaussian_poisson_rectangle(py::module_& m) {
  m.def("gaussian_poisson_dct", &dct, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"), py::arg("w0"),
        py::arg("w1"), py::arg("double_precision"), py::arg("gradients") = "source",
        py::arg("rhs") = py::none(), py::arg("mean") = py::none());
  m.def("gaussian_poisson_multigrid", &multigrid, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"), py::arg("w0"),
        py::arg("w1"), py::arg("tolerance"), py::arg("max_cycles"), py::arg("gradients") = "source",
        py::arg("rhs") = py::none(), py::arg("mean") = py::none(), py::arg("start") = py::none());
}

}  // namespace pyharmony
