#include "ops/gaussian_poisson/gaussian_poisson.h"

#include <optional>

#include "bindings/bindings.h"

namespace pyharmony {
namespace {

namespace gp = gaussian_poisson;

double residual(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                const ArrayView& base, const ArrayView& x, double weight,
                const std::optional<ArrayView>& weight_map, double w0, double w1,
                bool preserve_background, const std::string& gradients,
                const std::optional<ArrayView>& out) {
  gp::ResidualParams params;
  params.problem.src = as_image(src, "src");
  params.problem.dst = as_image(dst, "dst");
  params.problem.mask = as_image(mask, "mask");
  params.problem.base = as_image(base, "base");
  if (weight_map) params.problem.weight_map = as_image(*weight_map, "weight_map");
  params.problem.weight = weight;
  params.problem.w0 = w0;
  params.problem.w1 = w1;
  params.problem.preserve_background = preserve_background;
  params.problem.gradients = gp::parse_gradients(gradients);
  gp::check_problem(params.problem);
  params.x = as_image(x, "x");
  HM_CHECK(x.dtype != DType::kBool, "x: dtype bool is not an image type");
  check_same_image_shape(params.x, "x", params.problem.dst, "dst");
  if (out) {
    HM_CHECK(out->writable && (out->dtype == DType::kFloat32 || out->dtype == DType::kFloat64),
             "out: expected a writable float32 or float64 array, got ", dtype_name(out->dtype));
    params.out = as_image(*out, "out");
    check_same_image_shape(params.out, "out", params.problem.dst, "dst");
  }
  return HM_SIMD_CALL(gaussian_poisson_residual, params);
}

py::dict chebyshev(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                   const ArrayView& base, const ArrayView& out, double weight,
                   const std::optional<ArrayView>& weight_map, double w0, double w1,
                   bool preserve_background, double tolerance, const std::optional<ArrayView>& rhs,
                   int max_steps, std::int64_t strip_floats, std::int64_t segment_rows) {
  gp::ChebyshevParams params;
  params.problem.src = as_image(src, "src");
  params.problem.dst = as_image(dst, "dst");
  params.problem.mask = as_image(mask, "mask");
  params.problem.base = as_image(base, "base");
  if (weight_map) params.problem.weight_map = as_image(*weight_map, "weight_map");
  if (rhs) params.problem.rhs = as_image(*rhs, "rhs");
  params.problem.weight = weight;
  params.problem.w0 = w0;
  params.problem.w1 = w1;
  params.problem.preserve_background = preserve_background;
  HM_CHECK(out.writable, "out: the array is read-only");
  params.out = as_image(out, "out");
  params.tolerance = tolerance;
  params.max_steps = max_steps;
  params.strip_floats = strip_floats;
  params.segment_rows = segment_rows;
  gp::ChebyshevResult result;
  {
    py::gil_scoped_release release;
    result = gp::chebyshev(params);
  }
  py::dict info;
  info["steps"] = result.steps;
  info["total_steps"] = result.total_steps;
  info["finite"] = result.finite;
  info["residual"] = result.residual;
  info["max_error"] = result.max_error;
  info["converged"] = result.converged;
  info["peak_bytes"] = result.peak_bytes;
  return info;
}

}  // namespace

void bind_gaussian_poisson(py::module_& m) {
  m.def("gaussian_poisson_residual", &residual, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("x"), py::kw_only(), py::arg("weight"), py::arg("weight_map"),
        py::arg("w0"), py::arg("w1"), py::arg("preserve_background"), py::arg("gradients"),
        py::arg("out"), py::call_guard<py::gil_scoped_release>());
  m.def("gaussian_poisson_chebyshev", &chebyshev, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"), py::arg("weight_map"),
        py::arg("w0"), py::arg("w1"), py::arg("preserve_background"), py::arg("tolerance"),
        py::arg("rhs"), py::arg("max_steps"), py::arg("strip_floats") = 0,
        py::arg("segment_rows") = 0);
}

}  // namespace pyharmony
