// The CUDA language of the kernels: under nvcc it is CUDA itself, under g++ the emulator.
//
//   HM_LAUNCH((kernel<T, 3>), grid, block, smem_bytes, stream, args...)   throws DeviceFailure
//   HM_MAX_DYN_SMEM((kernel<T, 3>), kMost)   comes before a launch with more than 48 KB: kMost is
//                                            a constant, the most of any launch of this kernel
//   HM_DYN_SMEM(T, name)                     T* name, the dynamic shared memory of the block
//   HM_SYNC(), HM_SYNCWARP(mask)             barriers of the block and of the warp
//   HM_SYNC_OR(predicate)                    block barrier that returns whether any predicate holds
//
// Host code that a plain compiler builds sees the parameters of kernels, but no kernels: HM_KERNELS
// is not defined there.
#pragma once

#if defined(__CUDACC__)

#define HM_KERNELS 1

#include <cuda_runtime.h>

#include "device/runtime.h"

#define HM_HOST_DEVICE __host__ __device__
#define HM_SYNC() __syncthreads()
#define HM_SYNC_OR(predicate) __syncthreads_or(predicate)
#define HM_SYNCWARP(mask) __syncwarp(mask)
#define HM_DYN_SMEM(T, name)                                    \
  extern __shared__ __align__(16) unsigned char hm_dyn_smem_[]; \
  T* name = reinterpret_cast<T*>(hm_dyn_smem_)
#define HM_LAUNCH(kernel, grid, block, smem, stream, ...)       \
  do {                                                          \
    kernel<<<(grid), (block), (smem), (stream)>>>(__VA_ARGS__); \
    ::pyharmony::device::check(cudaGetLastError(), #kernel);    \
  } while (false)
// The limit belongs to the kernel on the device, for all threads of the process: if each launch set
// its own, it would refuse the larger launch of another thread.
#define HM_MAX_DYN_SMEM(kernel, most)                                                        \
  do {                                                                                       \
    constexpr int hm_most_ = static_cast<int>(most);                                         \
    ::pyharmony::device::check(                                                              \
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, hm_most_), \
        #kernel);                                                                            \
  } while (false)

#elif defined(HM_EMULATOR)

#define HM_KERNELS 1

#include "emulator/emulator.h"

#else

#include "device/runtime.h"

#define HM_HOST_DEVICE

#endif
