#include "ops/gaussian_poisson/dct.h"

#include "core/status.h"

namespace pyharmony::gaussian_poisson {

std::vector<double> known_mean(const DctParams& params, const std::vector<double>& sums) {
  const double pixels = static_cast<double>(params.height()) * static_cast<double>(params.width());
  const double divisor = mean_divisor(params.problem, params.has_rhs());
  std::vector<double> mean(sums.size());
  for (std::size_t k = 0; k < mean.size(); ++k) {
    // The sum of a rhs tells the mean badly where the weight is small.
    mean[k] = !params.mean.empty() ? params.mean[k]
              : divisor > 0        ? sums[k] / pixels / divisor
                                   : 0.0;
  }
  return mean;
}

void check_dct(const DctParams& params) {
  const Problem& problem = params.problem;
  check_problem(problem);
  HM_CHECK(!problem.has_map(), "weight_map: this method takes one weight");
  HM_CHECK(!problem.preserve_background, "preserve_background: this method solves for every pixel");
  HM_CHECK(params.out.dtype != DType::kBool, "out: dtype bool is not an image type");
  check_same_image_shape(params.out, "out", problem.dst, "dst");
  if (params.has_rhs()) {
    HM_CHECK(params.rhs.dtype == DType::kFloat32 || params.rhs.dtype == DType::kFloat64,
             "rhs: dtype ", dtype_name(params.rhs.dtype), ", expected float32 or float64");
    check_same_image_shape(params.rhs, "rhs", params.out, "out");
  }
  HM_CHECK(
      params.mean.empty() || static_cast<std::int64_t>(params.mean.size()) == params.channels(),
      "mean: ", params.mean.size(), " values, expected one for each of the ", params.channels(),
      " channels");
}

}  // namespace pyharmony::gaussian_poisson
