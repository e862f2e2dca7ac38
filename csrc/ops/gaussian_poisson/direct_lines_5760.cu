#include "ops/gaussian_poisson/direct_lines.cuh"

namespace pyharmony::gaussian_poisson {

template void launch_lines<5760>(const RowParams&, const LineLaunch&, cudaStream_t);

}  // namespace pyharmony::gaussian_poisson
