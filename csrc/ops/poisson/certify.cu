// The certificate of a solve: see docs/poisson.md and solve.cpp.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "device/reduce.h"
#include "ops/poisson/solve_cuda.h"

namespace pyharmony::poisson {

std::size_t certify_workspace_bytes(const Plan& plan, int planes) {
  return static_cast<std::size_t>(plan.grid[0].plane) * planes * sizeof(double);
}

void launch_poisson_certify(const Plan&, void*, const DeviceSolve&, void*, void*, cudaStream_t) {}

}  // namespace pyharmony::poisson
