#include "ops/gaussian_poisson/gaussian_poisson.h"

#include <optional>
#include <vector>

#include "bindings/bindings.h"
#include "core/checks.h"
#include "ops/gaussian_poisson/dct.h"
#include "ops/gaussian_poisson/field.h"

namespace pyharmony {
namespace {

namespace gp = gaussian_poisson;

gp::Problem problem_of(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                       const ArrayView& base, double weight,
                       const std::optional<ArrayView>& weight_map, double w0, double w1,
                       bool preserve_background) {
  gp::Problem problem;
  problem.src = as_image(src, "src");
  problem.dst = as_image(dst, "dst");
  problem.mask = as_image(mask, "mask");
  problem.base = as_image(base, "base");
  if (weight_map) problem.weight_map = as_image(*weight_map, "weight_map");
  problem.weight = weight;
  problem.w0 = w0;
  problem.w1 = w1;
  problem.preserve_background = preserve_background;
  return problem;
}

double residual(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                const ArrayView& base, const ArrayView& x, double weight,
                const std::optional<ArrayView>& weight_map, double w0, double w1,
                bool preserve_background, const std::string& gradients,
                const std::optional<ArrayView>& field, const std::optional<ArrayView>& out) {
  gp::ResidualParams params;
  params.problem =
      problem_of(src, dst, mask, base, weight, weight_map, w0, w1, preserve_background);
  params.gradients = gp::parse_gradients(gradients);
  gp::check_problem(params.problem);
  params.x = as_image(x, "x");
  HM_CHECK(x.dtype != DType::kBool, "x: dtype bool is not an image type");
  check_same_image_shape(params.x, "x", params.problem.dst, "dst");
  if (field) {
    HM_CHECK(field->dtype == DType::kFloat64, "field: dtype ", dtype_name(field->dtype),
             ", expected float64");
    params.field = as_image(*field, "field");
    check_same_image_shape(params.field, "field", params.problem.dst, "dst");
  }
  if (out) {
    HM_CHECK(out->writable && (out->dtype == DType::kFloat32 || out->dtype == DType::kFloat64),
             "out: expected a writable float32 or float64 array, got ", dtype_name(out->dtype));
    params.out = as_image(*out, "out");
    check_same_image_shape(params.out, "out", params.problem.dst, "dst");
  }
  return HM_SIMD_CALL(gaussian_poisson_residual, params);
}

py::dict chebyshev_info(const gp::ChebyshevResult& result) {
  return py::dict("steps"_a = result.steps, "total_steps"_a = result.total_steps,
                  "finite"_a = result.finite, "residual"_a = result.residual,
                  "max_error"_a = result.max_error, "converged"_a = result.converged,
                  "clipped"_a = result.clipped);
}

py::dict chebyshev(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                   const ArrayView& base, const ArrayView& out, double weight,
                   const std::optional<ArrayView>& weight_map, double w0, double w1,
                   bool preserve_background, double tolerance, const std::optional<ArrayView>& rhs,
                   int max_steps, std::int64_t strip_floats, std::int64_t segment_rows) {
  gp::ChebyshevParams params;
  params.problem =
      problem_of(src, dst, mask, base, weight, weight_map, w0, w1, preserve_background);
  if (rhs) params.problem.rhs = as_image(*rhs, "rhs");
  HM_CHECK(out.writable, "out: the array is read-only");
  params.out = as_image(out, "out");
  params.tolerance = tolerance;
  params.max_steps = max_steps;
  params.strip_floats = strip_floats;
  params.segment_rows = segment_rows;
  return chebyshev_info(without_gil([&] { return gp::chebyshev(params); }));
}

// Where b is given, it takes the place of the images, which are not read.
std::int64_t dct(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                 const ArrayView& base, const ArrayView& out, double weight, double w0, double w1,
                 bool double_precision, const std::optional<ArrayView>& rhs,
                 const std::optional<std::vector<double>>& mean) {
  HM_CHECK(out.writable, "out: not writable");
  gp::DctParams params;
  params.out = as_image(out, "out");
  if (rhs) params.rhs = as_image(*rhs, "rhs");
  params.problem = problem_of(rhs ? *rhs : src, rhs ? *rhs : dst, mask, rhs ? *rhs : base, weight,
                              std::nullopt, w0, w1, false);
  if (mean) params.mean = *mean;
  params.double_precision = double_precision;
  gp::check_dct(params);
  return without_gil([&] { return HM_SIMD_CALL(gaussian_poisson_dct, params); });
}

ImageView plane_of(const ArrayView& array, const char* name, const ImageView& image) {
  const ImageView plane = as_image(array, name);
  check_image_shape(plane, name, image.height, image.width, 1);
  return plane;
}

void check_float_plane(const ArrayView& array, const char* name) {
  HM_CHECK(array.dtype == DType::kFloat32 || array.dtype == DType::kFloat64, name, ": dtype ",
           dtype_name(array.dtype), ", expected float32 or float64");
}

void field(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
           const std::optional<ArrayView>& gain, double along, double across, bool full,
           const ArrayView& out) {
  gp::FieldParams params;
  params.full = full;
  params.src = as_image(src, "src");
  params.dst = as_image(dst, "dst");
  HM_CHECK(src.dtype != DType::kBool && dst.dtype != DType::kBool,
           "src, dst: dtype bool is not an image type");
  check_same_image_shape(params.src, "src", params.dst, "dst");
  params.mask = plane_of(mask, "mask", params.dst);
  if (gain) {
    check_float_plane(*gain, "gain");
    params.gain = plane_of(*gain, "gain", params.dst);
  }
  HM_CHECK(along >= 0 && along <= 0.5 && across >= 0 && across <= 0.5, "along, across: ", along,
           ", ", across, ", expected 0 to 0.5");
  params.derivative = {along, across};
  HM_CHECK(out.writable && out.dtype == DType::kFloat64,
           "out: expected a writable float64 array, got ", dtype_name(out.dtype));
  params.out = as_image(out, "out");
  check_same_image_shape(params.out, "out", params.dst, "dst");
  HM_SIMD_CALL(gaussian_poisson_field, params);
}

void norm(const ArrayView& image, bool smooth, const ArrayView& out) {
  gp::NormParams params;
  params.image = as_image(image, "image");
  HM_CHECK(image.dtype != DType::kBool, "image: dtype bool is not an image type");
  params.smooth = smooth;
  HM_CHECK(out.writable, "out: read-only");
  check_float_plane(out, "out");
  params.out = plane_of(out, "out", params.image);
  HM_SIMD_CALL(gradient_norm, params);
}

void edges(const ArrayView& norm, double low, double high, const ArrayView& out) {
  HM_CHECK(norm.dtype == DType::kFloat32 && out.dtype == DType::kFloat32, "norm, out: dtypes ",
           dtype_name(norm.dtype), " and ", dtype_name(out.dtype), ", expected float32");
  HM_CHECK(out.writable, "out: read-only");
  const ImageView plane = as_image(norm, "norm");
  HM_CHECK(plane.channels == 1, "norm: ", plane.channels, " channels, expected one plane [H, W]");
  gp::edge_map(plane, static_cast<float>(low), static_cast<float>(high),
               plane_of(out, "out", plane));
}

// The first pixels of the whole image stand for it: only their dtypes are read, no value.
std::unique_ptr<gp::ChebyshevTiles> make_tiles(std::pair<std::int64_t, std::int64_t> shape,
                                               const ArrayView& src, const ArrayView& dst,
                                               const ArrayView& base, bool map, double least_weight,
                                               double most_weight, double w0, double w1,
                                               bool preserve_background, double range,
                                               double tolerance, int max_steps) {
  gp::TilesParams params;
  gp::Problem& problem = params.problem;
  problem.src = as_image(src, "src");
  problem.dst = as_image(dst, "dst");
  problem.base = as_image(base, "base");
  problem.mask.height = shape.first;
  problem.mask.width = shape.second;
  if (map) problem.weight_map = problem.dst;
  problem.weight = least_weight;
  problem.w0 = w0;
  problem.w1 = w1;
  problem.preserve_background = preserve_background;
  params.least_weight = least_weight;
  params.most_weight = most_weight;
  params.range = range;
  params.tolerance = tolerance;
  params.max_steps = max_steps;
  return std::make_unique<gp::ChebyshevTiles>(params);
}

bool run_tile(gp::ChebyshevTiles& tiles, const ArrayView& src, const ArrayView& dst,
              const ArrayView& mask, const ArrayView& base,
              const std::optional<ArrayView>& weight_map, double weight, double w0, double w1,
              bool preserve_background, std::int64_t y0, std::int64_t x0, const ArrayView& out) {
  const gp::Problem problem =
      problem_of(src, dst, mask, base, weight, weight_map, w0, w1, preserve_background);
  HM_CHECK(out.writable, "out: the array is read-only");
  const ImageView into = as_image(out, "out");
  GilRelease release;
  return tiles.run(problem, y0, y0 + into.height, x0, x0 + into.width, into);
}

}  // namespace

void bind_gaussian_poisson(py::module_& m) {
  py::class_<gp::ChebyshevTiles>(m, "ChebyshevTiles", py::module_local())
      .def(py::init(&make_tiles), "shape"_a, "src"_a, "dst"_a, "base"_a, py::kw_only(), "map"_a,
           "least_weight"_a, "most_weight"_a, "w0"_a, "w1"_a, "preserve_background"_a, "range"_a,
           "tolerance"_a, "max_steps"_a)
      .def_property_readonly("rounding", &gp::ChebyshevTiles::rounding)
      .def_property_readonly("steps", &gp::ChebyshevTiles::steps)
      .def("run", &run_tile, "src"_a, "dst"_a, "mask"_a, "base"_a, py::kw_only(), "weight_map"_a,
           "weight"_a, "w0"_a, "w1"_a, "preserve_background"_a, "y0"_a, "x0"_a, "out"_a)
      .def("finish", &gp::ChebyshevTiles::finish)
      .def("result",
           [](const gp::ChebyshevTiles& tiles) { return chebyshev_info(tiles.result()); });
  m.def("gaussian_poisson_residual", &residual, "src"_a, "dst"_a, "mask"_a, "base"_a, "x"_a,
        py::kw_only(), "weight"_a, "weight_map"_a, "w0"_a, "w1"_a, "preserve_background"_a,
        "gradients"_a, "field"_a = py::none(), "out"_a = py::none(), py::call_guard<GilRelease>());
  m.def("gaussian_poisson_dct", &dct, "src"_a, "dst"_a, "mask"_a, "base"_a, "out"_a, py::kw_only(),
        "weight"_a, "w0"_a, "w1"_a, "double_precision"_a, "rhs"_a = py::none(),
        "mean"_a = py::none());
  m.def("gaussian_poisson_field", &field, "src"_a, "dst"_a, "mask"_a, "gain"_a, py::kw_only(),
        "along"_a, "across"_a, "full"_a = false, "out"_a, py::call_guard<GilRelease>());
  m.def("gradient_norm", &norm, "image"_a, py::kw_only(), "smooth"_a, "out"_a,
        py::call_guard<GilRelease>());
  m.def("edge_map", &edges, "norm"_a, "low"_a, "high"_a, "out"_a, py::call_guard<GilRelease>());
  m.def("gaussian_poisson_chebyshev", &chebyshev, "src"_a, "dst"_a, "mask"_a, "base"_a, "out"_a,
        py::kw_only(), "weight"_a, "weight_map"_a, "w0"_a, "w1"_a, "preserve_background"_a,
        "tolerance"_a, "rhs"_a, "max_steps"_a, "strip_floats"_a = 0, "segment_rows"_a = 0);
}

}  // namespace pyharmony
