// Marks functions that kernels call as well; it is empty for compilers other than CUDA's.
#pragma once

#if defined(__CUDACC__)
#define HM_HOST_DEVICE __host__ __device__
#else
#define HM_HOST_DEVICE
#endif
