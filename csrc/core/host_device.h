// Marks functions that kernels call as well; nothing where no CUDA compiler looks.
#pragma once

#if defined(__CUDACC__)
#define HM_HOST_DEVICE __host__ __device__
#else
#define HM_HOST_DEVICE
#endif
