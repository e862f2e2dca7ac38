#include "ops/gaussian_poisson/direct_lines.cuh"

namespace pyharmony::gaussian_poisson {

template void launch_lines<3072>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<3840>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<4000>(const RowParams&, const LineLaunch&, cudaStream_t);

}  // namespace pyharmony::gaussian_poisson
