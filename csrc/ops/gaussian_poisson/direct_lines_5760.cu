#include "ops/gaussian_poisson/direct_lines.cuh"

namespace pyharmony::gaussian_poisson {

template void launch_lines<5760>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<6144>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<6720>(const RowParams&, const LineLaunch&, cudaStream_t);

}  // namespace pyharmony::gaussian_poisson
