#include "ops/gaussian_poisson/direct_lines.cuh"

namespace pyharmony::gaussian_poisson {

template void launch_lines<4032>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<4096>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<4608>(const RowParams&, const LineLaunch&, cudaStream_t);

}  // namespace pyharmony::gaussian_poisson
