// The CUDA language of the kernels: under nvcc it is CUDA itself, under g++ the emulator.
//
//   HM_LAUNCH((kernel<T, 3>), grid, block, smem_bytes, stream, args...)   throws DeviceFailure
//   HM_LAUNCH_AS(form, (kernel<T, 3>), ...)  the same in another form: of clusters, or early
//   HM_MAX_DYN_SMEM((kernel<T, 3>), kMost)   comes before a launch with more than 48 KB: kMost is
//                                            a constant, the most of any launch of this kernel
//   HM_DYN_SMEM(T, name)                     T* name, the dynamic shared memory of the block
//   HM_SYNC(), HM_SYNCWARP(mask)             barriers of the block and of the warp
//   HM_SYNC_OR(predicate)                    block barrier that returns whether any predicate holds
//   HM_CLUSTER_SYNC()                        barrier of a cluster of blocks
//   HM_LAUNCH_WAIT()                         waits for the end of the launch before an early one
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
#define HM_CLUSTER_SYNC() ::pyharmony::device::cluster_sync()
#define HM_LAUNCH_WAIT() ::pyharmony::device::launch_wait()
#define HM_DYN_SMEM(T, name)                                    \
  extern __shared__ __align__(16) unsigned char hm_dyn_smem_[]; \
  T* name = reinterpret_cast<T*>(hm_dyn_smem_)
#define HM_LAUNCH(kernel, grid, block, smem, stream, ...)       \
  do {                                                          \
    kernel<<<(grid), (block), (smem), (stream)>>>(__VA_ARGS__); \
    ::pyharmony::device::check(cudaGetLastError(), #kernel);    \
  } while (false)
#define HM_LAUNCH_AS(form, kernel, grid, block, smem, stream, ...)                 \
  ::pyharmony::device::launch_as((form), kernel, #kernel, (grid), (block), (smem), \
                                 (stream), ##__VA_ARGS__)
// The limit belongs to the kernel on the device, for all threads of the process: if each launch set
// its own, it would refuse the larger launch of another thread.
#define HM_MAX_DYN_SMEM(kernel, most)                                                        \
  do {                                                                                       \
    constexpr int hm_most_ = static_cast<int>(most);                                         \
    ::pyharmony::device::check(                                                              \
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, hm_most_), \
        #kernel);                                                                            \
  } while (false)

namespace pyharmony::device {

__device__ __forceinline__ void cluster_sync() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  __cluster_barrier_arrive();
  __cluster_barrier_wait();
#endif
}

// Returns the place of the block's shared memory in that of another block of its cluster.
template <typename T>
__device__ __forceinline__ T* shared_of(T* own, unsigned rank) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  return static_cast<T*>(__cluster_map_shared_rank(own, rank));
#else
  return own;
#endif
}

// The launch after may start its blocks from here on: all before the launch before is over by then.
__device__ __forceinline__ void launch_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

template <typename... P, typename... A>
void launch_as(const LaunchForm& form, void (*kernel)(P...), const char* name, dim3 grid,
               dim3 block, std::size_t shared_bytes, cudaStream_t stream, A&&... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  if (form.early) {
    cudaLaunchAttribute& early = attributes[config.numAttrs++];
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
  }
  if (form.cluster > 1) {
    cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {form.cluster, 1, 1};
  }
  check(cudaLaunchKernelEx(&config, kernel, std::forward<A>(arguments)...), name);
}

// Returns the architecture, such as 90, that a kernel was compiled for: it may be older than the
// current device, whose driver then made the code of PTX.
template <typename Kernel>
int code_version(Kernel* kernel) {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
  return attributes.ptxVersion;
}

// Returns whether a kernel can take the forms of sm_90 on the current device: its code has the
// waits and barriers, and the driver captures them.
template <typename Kernel>
bool has_forms(Kernel* kernel) {
  constexpr int kDriver = 12030, kCode = 90;
  return driver_version() >= kDriver && code_version(kernel) >= kCode;
}

// Returns how many clusters run at once on the current device; 0: it has none of that size.
template <typename Kernel>
int active_clusters(Kernel* kernel, unsigned cluster, dim3 block, std::size_t shared_bytes) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
        "cudaFuncSetAttribute");
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {cluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(cluster);
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int active = 0;
  if (cudaOccupancyMaxActiveClusters(&active, kernel, &config) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return active;
}

}  // namespace pyharmony::device

#elif defined(HM_EMULATOR)

#define HM_KERNELS 1

#include "emulator/emulator.h"

namespace pyharmony::device {

using emulator::shared_of;

template <typename Kernel>
int code_version(Kernel*) {
  return emulator::code_version();
}

template <typename Kernel>
bool has_forms(Kernel*) {
  return true;
}

template <typename Kernel>
int active_clusters(Kernel*, unsigned, dim3, std::size_t) {
  return emulator::kActiveClusters;
}

}  // namespace pyharmony::device

#else

#include "device/runtime.h"

#define HM_HOST_DEVICE

#endif
