#include "ops/gaussian_poisson/direct_lines.cuh"

namespace pyharmony::gaussian_poisson {

template void launch_lines<4800>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<5120>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<5184>(const RowParams&, const LineLaunch&, cudaStream_t);

}  // namespace pyharmony::gaussian_poisson
