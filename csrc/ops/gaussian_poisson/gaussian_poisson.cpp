#include "ops/gaussian_poisson/gaussian_poisson.h"

#include "core/checks.h"
#include "core/status.h"

namespace pyharmony::gaussian_poisson {

Gradients parse_gradients(const std::string& name) {
  if (name == "source") return Gradients::kSource;
  if (name == "average") return Gradients::kAverage;
  fail("gradients: '", name, "', expected 'source' or 'average'");
}

namespace {

void check_image(const ImageView& image, const char* name, const Problem& problem) {
  HM_CHECK(image.data != nullptr, name, ": missing");
  HM_CHECK(image.dtype != DType::kBool, name, ": dtype bool is not an image type");
  check_image_shape(image, name, problem.height(), problem.width(), problem.channels());
}

}  // namespace

void check_problem(const Problem& problem) {
  HM_CHECK(problem.mask.data != nullptr && problem.mask.channels == 1,
           "mask: expected one plane [H, W]");
  HM_CHECK(problem.height() > 0 && problem.width() > 0 && problem.channels() > 0, "mask: shape [",
           problem.height(), ", ", problem.width(), "] and ", problem.channels(),
           " channels have no pixels");
  if (problem.has_rhs()) {
    HM_CHECK(problem.rhs.dtype == DType::kFloat32, "rhs: dtype ", dtype_name(problem.rhs.dtype),
             ", expected float32");
    check_image(problem.rhs, "rhs", problem);
  } else {
    check_image(problem.src, "src", problem);
    check_image(problem.dst, "dst", problem);
    check_image(problem.base, "base", problem);
  }
  if (problem.has_map()) {
    const ImageView& map = problem.weight_map;
    HM_CHECK(map.dtype == DType::kFloat32 || map.dtype == DType::kFloat64, "weight_map: dtype ",
             dtype_name(map.dtype), ", expected float32 or float64");
    check_image_shape(map, "weight_map", problem.height(), problem.width(), 1);
  }
  HM_CHECK(problem.weight >= 0 && problem.weight <= 1e6, "weight: ", problem.weight,
           ", expected 0 to 1e6");
  HM_CHECK(problem.w0 > 0 && problem.w1 >= 0 && problem.w0 + 2 * problem.w1 < 1 + 1e-9,
           "w0, w1: ", problem.w0, ", ", problem.w1, ", expected taps of a Gaussian");
}

}  // namespace pyharmony::gaussian_poisson
