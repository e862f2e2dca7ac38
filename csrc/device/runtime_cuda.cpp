#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <sstream>

#include "device/copy.h"
#include "device/runtime.h"

namespace pyharmony::device {
namespace {

// Returns a function of the driver, which the runtime has loaded; null without one. The runtime
// itself cannot tell whether a device has a context without making one.
template <typename Function>
Function driver_function(const char* name) {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  return driver == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(driver, name));
}

// Returns whether a device has a context, and true where that cannot be told.
bool has_context(int device) {
  static const auto get = driver_function<int (*)(int*, int)>("cuDeviceGet");
  static const auto state =
      driver_function<int (*)(int, unsigned*, int*)>("cuDevicePrimaryCtxGetState");
  if (get == nullptr || state == nullptr) return true;
  int handle = 0, active = 0;
  unsigned flags = 0;
  return get(&handle, device) != 0 || state(handle, &flags, &active) != 0 || active != 0;
}

int runtime_device() {
  int device = 0;
  check(cudaGetDevice(&device), "current device");
  return device;
}

// Returns our own pool: the device's default pool gives everything back at each synchronisation, as
// NumPy calls end with one, and the next call maps it again. Its threshold is process-wide.
cudaMemPool_t pool_of(int device) {
  static std::mutex mutex;
  static std::map<int, cudaMemPool_t> pools;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = pools.find(device);
  if (found != pools.end()) return found->second;
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  cudaMemPool_t pool = nullptr;
  check(cudaMemPoolCreate(&pool, &properties), "memory of the device");
  std::uint64_t kept = kKeptBytes;
  const cudaError_t set =
      cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, static_cast<void*>(&kept));
  if (set != cudaSuccess) cudaMemPoolDestroy(pool);
  check(set, "memory of the device");
  return pools[device] = pool;
}

// The device that this thread should be on, where a Guard has left it on another one.
struct Left {
  int wanted = -1, on = -1;
};
thread_local Left left;

}  // namespace

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // the next call would report it again
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

std::string status_of(int device) {
  try {
    const Guard guard(device);
    // This loads the kernel, without a launch.
    cudaFuncAttributes attributes;
    const cudaError_t error = cudaFuncGetAttributes(&attributes, copy_kernel_address());
    if (error == cudaSuccess) return "";
    cudaGetLastError();
    if (error == cudaErrorMemoryAllocation || error == cudaErrorDevicesUnavailable) return "";
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    std::ostringstream out;
    out << cudaGetErrorString(error) << "; cuda:" << device << " has capability " << major << '.'
        << minor << ", and this build has ";
    const auto compiled = architectures();
    for (const std::string& name : compiled) out << (&name == compiled.data() ? "" : ", ") << name;
    out << "; see docs/platforms.md";
    return out.str();
  } catch (const DeviceMemoryFailure&) {
    return "";
  } catch (const DeviceFailure& failure) {
    return failure.what();
  }
}

int current_device() {
  const int device = runtime_device();
  return left.wanted >= 0 && left.on == device ? left.wanted : device;
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
  out.shared_per_processor = p.sharedMemPerMultiprocessor;
  out.memory = p.totalGlobalMem;
  if (has_context(device)) {  // asking would make one
    const Guard guard(device);
    std::size_t free = 0;
    check(cudaMemGetInfo(&free, &out.memory), "memory of the device");
    out.free = free;
  }
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
  before_ = current_device();
  if (runtime_device() != device) check(cudaSetDevice(device), "device");
}

Guard::~Guard() {
  if (before_ < 0) return;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return;
  left = {};
  if (device == before_) return;
  if (has_context(before_)) {
    cudaSetDevice(before_);
  } else {
    left = {before_, device};
  }
}

Event::Event() {
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "event of a stream");
}

Event::~Event() {
  if (cudaEventDestroy(event_) != cudaSuccess) cudaGetLastError();
}

void Event::record(cudaStream_t stream) {
  check(cudaEventRecord(event_, stream), "event of a stream");
}

void Event::hold(cudaStream_t later) const {
  check(cudaStreamWaitEvent(later, event_, 0), "order of streams");
}

void Event::synchronize() const { check(cudaEventSynchronize(event_), "stream"); }

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
  Event event;
  event.record(earlier);
  event.hold(later);
}

bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream, &status) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return status != cudaStreamCaptureStatusNone;
}

void* allocate(std::size_t bytes, cudaStream_t stream) {
  void* pointer = nullptr;
  const cudaMemPool_t pool = pool_of(runtime_device());
  check(cudaMallocFromPoolAsync(&pointer, bytes > 0 ? bytes : 1, pool, stream),
        "memory of the device");
  return pointer;
}

void give_back() { check(cudaMemPoolTrimTo(pool_of(runtime_device()), 0), "memory of the device"); }

void release(void* pointer, cudaStream_t stream) {
  if (pointer != nullptr) check(cudaFreeAsync(pointer, stream), "memory of the device");
}

void* allocate_pinned(std::size_t bytes) {
  void* pointer = nullptr;
  check(cudaHostAlloc(&pointer, bytes > 0 ? bytes : 1, cudaHostAllocPortable), "pinned memory");
  return pointer;
}

void release_pinned(void* pointer) noexcept {
  if (pointer != nullptr && cudaFreeHost(pointer) != cudaSuccess) cudaGetLastError();
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
