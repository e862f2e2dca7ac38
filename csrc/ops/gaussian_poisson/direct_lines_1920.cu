#include "ops/gaussian_poisson/direct_lines.cuh"

namespace pyharmony::gaussian_poisson {

template void launch_lines<1920>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<2048>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<2560>(const RowParams&, const LineLaunch&, cudaStream_t);

}  // namespace pyharmony::gaussian_poisson
