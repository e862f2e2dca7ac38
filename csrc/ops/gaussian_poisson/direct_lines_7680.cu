#include "ops/gaussian_poisson/direct_lines.cuh"

namespace pyharmony::gaussian_poisson {

template void launch_lines<7680>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<8192>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<8640>(const RowParams&, const LineLaunch&, cudaStream_t);

}  // namespace pyharmony::gaussian_poisson
