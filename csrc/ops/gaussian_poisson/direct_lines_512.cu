#include "ops/gaussian_poisson/direct_lines.cuh"

namespace pyharmony::gaussian_poisson {

template void launch_lines<512>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<1024>(const RowParams&, const LineLaunch&, cudaStream_t);
template void launch_lines<1280>(const RowParams&, const LineLaunch&, cudaStream_t);

}  // namespace pyharmony::gaussian_poisson
