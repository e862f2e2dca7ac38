#include <cuda_runtime_api.h>

#include <sstream>

#include "device/runtime.h"

namespace pyharmony::device {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // it would be reported again by the next call
  const std::string message = std::string(what) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw DeviceMemoryFailure(message);
  throw DeviceFailure(message);
}

int count() {
  int n = 0;
  if (cudaGetDeviceCount(&n) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return n;
}

std::string status() {
  int n = 0;
  const cudaError_t error = cudaGetDeviceCount(&n);
  if (error == cudaSuccess) return n > 0 ? "" : "there is no CUDA device";
  cudaGetLastError();
  return cudaGetErrorString(error);
}

int runtime_version() {
  int version = 0;
  check(cudaRuntimeGetVersion(&version), "version of the CUDA runtime");
  return version;
}

int driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess) cudaGetLastError();
  return version;
}

Properties properties(int device) {
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, device), "properties of the device");
  Properties out;
  out.name = p.name;
  out.major = p.major;
  out.minor = p.minor;
  out.processors = p.multiProcessorCount;
  out.l2 = static_cast<std::size_t>(p.l2CacheSize);
  out.shared_per_block = p.sharedMemPerBlockOptin;
  const Guard guard(device);
  check(cudaMemGetInfo(&out.free, &out.memory), "memory of the device");
  return out;
}

std::vector<std::string> architectures() {
  std::vector<std::string> out;
  std::istringstream list(HM_CUDA_ARCHITECTURES);
  for (std::string name; std::getline(list, name, ',');) out.push_back(name);
  return out;
}

Guard::Guard(int device) {
  if (device < 0) return;
  int current = 0;
  check(cudaGetDevice(&current), "current device");
  if (current == device) return;
  check(cudaSetDevice(device), "device");
  before_ = current;
}

Guard::~Guard() {
  if (before_ >= 0) cudaSetDevice(before_);
}

int device_of(const void* pointer) {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, pointer) != cudaSuccess) {
    cudaGetLastError();
    return -1;
  }
  const bool there =
      attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  return there ? attributes.device : -1;
}

void order(cudaStream_t earlier, cudaStream_t later) {
  if (earlier == later) return;
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "order of streams");
  const cudaError_t recorded = cudaEventRecord(event, earlier);
  const cudaError_t waits =
      recorded == cudaSuccess ? cudaStreamWaitEvent(later, event, 0) : recorded;
  cudaEventDestroy(event);
  check(waits, "order of streams");
}

void* allocate(std::size_t bytes, cudaStream_t stream) {
  void* pointer = nullptr;
  check(cudaMallocAsync(&pointer, bytes > 0 ? bytes : 1, stream), "memory of the device");
  return pointer;
}

void release(void* pointer, cudaStream_t stream) noexcept {
  if (pointer != nullptr && cudaFreeAsync(pointer, stream) != cudaSuccess) cudaGetLastError();
}

void copy_in(void* device, const void* host, std::size_t bytes, cudaStream_t stream) {
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream), "copy to the device");
}

void copy_on(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream),
        "copy within the device");
}

void copy_out(void* host, const void* device, std::size_t bytes, cudaStream_t stream) {
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream),
        "copy from the device");
}

void fill_zero(void* device, std::size_t bytes, cudaStream_t stream) {
  check(cudaMemsetAsync(device, 0, bytes, stream), "memory of the device");
}

void synchronize(cudaStream_t stream) { check(cudaStreamSynchronize(stream), "stream"); }

}  // namespace pyharmony::device
