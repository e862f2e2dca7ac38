// A stand-in for CUDA's driver and runtime, in place of libcuda.so.1, so that
// csrc/device/runtime_cuda.cpp runs without a GPU. It does what CUDA's documentation says of
// devices, contexts, kernels and pools:
//
// - cudaSetDevice "will also immediately initialize the runtime state on the primary context" (CUDA
//   Runtime API, Device Management); a thread that has set none is on device 0, without a context.
// - cudaFuncGetAttributes fails with cudaErrorNoKernelImageForDevice where the module holds nothing
//   for the device (Execution Control); it needs a context, as every call does that is not about
//   devices or versions.
// - cuDevicePrimaryCtxGetState says whether a primary context is active, and makes none (Driver
//   API, Primary Context Management).
// - Memory of a pool beyond its release threshold goes back to the system at each synchronisation
//   (Stream Ordered Memory Allocator); a pool that was just made has the threshold 0.
// - An event that was recorded on a stream can be waited for after the stream was destroyed. Other
//   uses of a destroyed stream are undefined (Stream Management); here they fail.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr int kDevices = 3;

struct Pool {
  int device = 0;
  std::uint64_t threshold = 0;
  std::size_t used = 0, reserved = 0;
};

struct State {
  std::set<int> contexts, without_code, full;
  std::vector<Pool*> pools;
  std::map<void*, std::pair<Pool*, std::size_t>> blocks;
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  std::set<cudaStream_t> destroyed;
  std::map<cudaEvent_t, cudaStream_t> recorded;
  std::string calls;  // those that concern streams, in order
  std::uintptr_t events = 0;
} state;
thread_local int current = 0;

bool is_gone(cudaStream_t stream) { return state.destroyed.count(stream) != 0; }

void note(const char* what, cudaStream_t stream) {
  state.calls += what + std::to_string(reinterpret_cast<std::uintptr_t>(stream)) + "; ";
}

cudaError_t use_context() {
  if (state.full.count(current) != 0) return cudaErrorMemoryAllocation;
  state.contexts.insert(current);
  return cudaSuccess;
}

}  // namespace

extern "C" {

// The functions that tests call to ask and to set things.
void stand_in_reset() {
  state = State();
  current = 0;
}
int stand_in_has_context(int device) { return static_cast<int>(state.contexts.count(device)); }
void stand_in_without_code(int device) { state.without_code.insert(device); }
void stand_in_full(int device) { state.full.insert(device); }
void stand_in_capture() { state.capturing = cudaStreamCaptureStatusActive; }
void stand_in_destroy_stream(std::uintptr_t stream) {
  state.destroyed.insert(reinterpret_cast<cudaStream_t>(stream));
}
const char* stand_in_calls() { return state.calls.c_str(); }
std::size_t stand_in_reserved(int device) {
  std::size_t bytes = 0;
  for (const Pool* pool : state.pools) bytes += pool->device == device ? pool->reserved : 0;
  return bytes;
}

int cuDeviceGet(int* handle, int ordinal) {
  *handle = ordinal + 100;
  return 0;
}
int cuDevicePrimaryCtxGetState(int handle, unsigned* flags, int* active) {
  *flags = 0;
  *active = stand_in_has_context(handle - 100);
  return 0;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    case cudaErrorMemoryAllocation: return "out of memory";
    default: return "invalid argument";
  }
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
  current = device;
  return use_context();
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  properties->totalGlobalMem = std::size_t(1) << 34;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? 6 : 1;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const cudaError_t error = use_context();
  *free = std::size_t(1) << 33;
  *total = std::size_t(1) << 34;
  return error;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void*) {
  const cudaError_t error = use_context();
  if (error != cudaSuccess) return error;
  return state.without_code.count(current) != 0 ? cudaErrorNoKernelImageForDevice : cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes*, const void*) {
  return cudaErrorInvalidValue;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(++state.events);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (is_gone(stream)) return cudaErrorInvalidResourceHandle;
  state.recorded[event] = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (is_gone(stream)) return cudaErrorInvalidResourceHandle;
  if (state.recorded.count(event) != 0) {
    note("work of ", state.recorded[event]);
    note("before ", stream);
  }
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  state.recorded.erase(event);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  *pointer = std::malloc(bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = state.capturing;
  return cudaSuccess;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  if (properties->allocType != cudaMemAllocationTypePinned ||
      properties->location.type != cudaMemLocationTypeDevice) {
    return cudaErrorInvalidValue;
  }
  auto* made = new Pool();
  made->device = properties->location.id;
  state.pools.push_back(made);
  *pool = reinterpret_cast<cudaMemPool_t>(made);
  return use_context();
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  if (attribute != cudaMemPoolAttrReleaseThreshold) return cudaErrorInvalidValue;
  reinterpret_cast<Pool*>(pool)->threshold = *static_cast<std::uint64_t*>(value);
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t keep) {
  auto* p = reinterpret_cast<Pool*>(pool);
  p->reserved = p->used > keep ? p->used : (p->reserved < keep ? p->reserved : keep);
  return cudaSuccess;
}
cudaError_t cudaMallocFromPoolAsync(void** pointer, std::size_t bytes, cudaMemPool_t pool,
                                    cudaStream_t) {
  auto* p = reinterpret_cast<Pool*>(pool);
  if (p->device != current) return cudaErrorInvalidValue;
  *pointer = std::malloc(1);
  state.blocks[*pointer] = {p, bytes};
  p->used += bytes;
  if (p->used > p->reserved) p->reserved = p->used;
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  if (is_gone(stream)) return cudaErrorInvalidResourceHandle;
  note("free on ", stream);
  const auto at = state.blocks.find(pointer);
  if (at == state.blocks.end()) return cudaErrorInvalidValue;
  at->second.first->used -= at->second.second;
  state.blocks.erase(at);
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  for (Pool* pool : state.pools) {
    if (pool->device == current && pool->reserved > pool->threshold) {
      pool->reserved = pool->used > pool->threshold ? pool->used : pool->threshold;
    }
  }
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void*, const void*, std::size_t, cudaMemcpyKind, cudaStream_t) {
  return cudaErrorInvalidValue;
}
cudaError_t cudaMemsetAsync(void*, int, std::size_t, cudaStream_t) { return cudaErrorInvalidValue; }

}  // extern "C"
