// Arguments of spectral_norm, on the CPU and on devices.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "ops/spectral_norm/spectral_norm.h"

namespace pyharmony {

inline SpectralNormOptions spectral_norm_options(int iterations, double eps,
                                                 const std::string& order, bool write) {
  HM_CHECK(order == "legacy" || order == "parametrization", "order: '", order, "'");
  SpectralNormOptions options;
  options.iterations = iterations;
  options.eps = eps;
  options.order = order == "legacy" ? PowerOrder::kLegacy : PowerOrder::kParametrization;
  options.write = write;
  return options;
}

using OptionalViews = std::vector<std::optional<ArrayView>>;

// Returns the views, with one without data in the place of each that is missing.
inline std::vector<ArrayView> or_empty(const OptionalViews& views) {
  std::vector<ArrayView> result;
  for (const std::optional<ArrayView>& view : views) result.push_back(view.value_or(ArrayView()));
  return result;
}

}  // namespace pyharmony
