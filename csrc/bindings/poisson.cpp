#include "ops/poisson/poisson.h"

#include <limits>
#include <optional>

#include "bindings/bindings.h"
#include "core/checks.h"
#include "core/finite.h"
#include "core/limit.h"

namespace pyharmony {
namespace {

using poisson::Hierarchy;
using poisson::Report;
using poisson::SolveParams;

ImageView optional_image(const std::optional<ArrayView>& array, const char* name) {
  return array ? as_image(*array, name) : ImageView();
}

std::unique_ptr<Hierarchy> make_hierarchy(const std::optional<ArrayView>& mask,
                                          std::pair<std::int64_t, std::int64_t> shape,
                                          double weight, const std::optional<ArrayView>& weight_map,
                                          double w0, double w1) {
  ImageView plane = optional_image(mask, "mask");
  if (mask) {
    check_image_shape(plane, "mask", shape.first, shape.second, 1);
  } else {
    plane.height = shape.first;
    plane.width = shape.second;
    plane.channels = 1;
  }
  const ImageView map = optional_image(weight_map, "weight_map");
  // Not a call_guard: pybind11 registers the new object inside the guard, which needs the GIL.
  GilRelease release;
  return std::make_unique<Hierarchy>(plane, weight, map, w0, w1);
}

py::dict run(const Hierarchy& hierarchy, const SolveParams& params) {
  const Report report = without_gil([&] { return hierarchy.solve(params); });
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  return py::dict("iterations"_a = report.iterations,
                  "residual"_a = params.certify ? report.residual : kUnknown,
                  "estimate"_a = report.estimate,
                  "max_error"_a = params.certify ? report.max_error : kUnknown,
                  "converged"_a = report.converged, "clipped"_a = report.clipped);
}

py::dict solve(const Hierarchy& hierarchy, const ArrayView& src, const ArrayView& dst,
               const ArrayView& mask, const std::optional<ArrayView>& base, const ArrayView& out,
               const std::string& gradients, const std::string& contour, double tolerance,
               int max_iterations, bool certify, poisson::WarmStart* warm) {
  HM_CHECK(out.writable, "out: read-only");
  SolveParams params;
  params.src = as_image(src, "src");
  params.dst = as_image(dst, "dst");
  params.mask = as_image(mask, "mask");
  params.base = optional_image(base, "base");
  params.out = as_image(out, "out");
  params.guidance = poisson::parse_guidance(gradients);
  params.contour = poisson::parse_contour(contour);
  params.tolerance = tolerance;
  params.max_iterations = max_iterations;
  params.certify = certify;
  params.warm = warm;
  return run(hierarchy, params);
}

py::dict solve_rhs(const Hierarchy& hierarchy, const ArrayView& rhs, const ArrayView& out,
                   double tolerance, int max_iterations, bool certify) {
  HM_CHECK(out.writable, "out: read-only");
  for (const ArrayView* array : {&rhs, &out}) {
    HM_CHECK(array->dtype == DType::kFloat32 || array->dtype == DType::kFloat64,
             array == &rhs ? "rhs" : "out", ": dtype ", dtype_name(array->dtype),
             ", expected float32 or float64");
  }
  SolveParams params;
  params.rhs = as_image(rhs, "rhs");
  params.out = as_image(out, "out");
  params.tolerance = tolerance;
  params.max_iterations = max_iterations;
  params.certify = certify;
  return run(hierarchy, params);
}

// Returns (y, x, channel) of the first pixel that is not finite, in reading order, or None.
py::object first_nonfinite_pixel(const ArrayView& image, const std::optional<ArrayView>& mask) {
  const ImageView view = as_image(image, "image");
  const ImageView plane = optional_image(mask, "mask");
  const NonFinite found = without_gil([&] { return first_nonfinite(view, plane); });
  if (found.y < 0) return py::none();
  return py::make_tuple(found.y, found.x, found.channel);
}

void limit(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
           const ArrayView& out) {
  HM_CHECK(out.writable, "out: read-only");
  const ImageView source = as_image(src, "src"), target = as_image(dst, "dst");
  const ImageView plane = as_image(mask, "mask"), result = as_image(out, "out");
  without_gil([&] { limit_change(source, target, plane, result); });
}

}  // namespace

void bind_poisson(py::module_& m) {
  py::class_<poisson::WarmStart>(m, "PoissonWarmStart", py::module_local())
      .def(py::init<>())
      .def("reset", &poisson::WarmStart::reset)
      .def_property_readonly("bytes", &poisson::WarmStart::bytes);
  py::class_<Hierarchy>(m, "PoissonHierarchy", py::module_local())
      .def(py::init(&make_hierarchy), "mask"_a, "shape"_a, py::kw_only(), "weight"_a = 0.0,
           "weight_map"_a = py::none(), "w0"_a = 1.0, "w1"_a = 0.0)
      .def_property_readonly("unknowns", &Hierarchy::unknowns)
      .def_property_readonly("levels", &Hierarchy::levels)
      .def_property_readonly("bytes", &Hierarchy::bytes)
      .def("solve", &solve, "src"_a, "dst"_a, "mask"_a, "base"_a, "out"_a, py::kw_only(),
           "gradients"_a, "contour"_a = "half", "tolerance"_a, "max_iterations"_a,
           "certify"_a = false, "warm"_a = py::none())
      .def("solve_rhs", &solve_rhs, "rhs"_a, "out"_a, py::kw_only(), "tolerance"_a,
           "max_iterations"_a, "certify"_a = false);
  m.def("first_nonfinite", &first_nonfinite_pixel, "image"_a, "mask"_a);
  m.def("limit_change", &limit, "src"_a, "dst"_a, "mask"_a, "out"_a);
}

}  // namespace pyharmony
