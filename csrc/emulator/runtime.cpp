// The device runtime of the emulator: memory of the host, streams that are always done.
#include "device/runtime.h"

#include <cstdlib>
#include <cstring>

namespace pyharmony::device {

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw DeviceFailure(std::string(what) + ": failed");
}

int count() { return 1; }
std::string status() { return ""; }
int runtime_version() { return 0; }
int driver_version() { return 0; }

Properties properties(int) {
  Properties out;
  out.name = "emulator";
  out.major = 9;
  out.processors = 2;
  out.memory = out.free = std::size_t(1) << 34;
  out.shared_per_block = 227 << 10;
  return out;
}

Guard::Guard(int) {}
Guard::~Guard() {}

int device_of(const void*) { return 0; }
void order(cudaStream_t, cudaStream_t) {}

// What is read before it is written shows: the bytes are those of NaNs.
void* allocate(std::size_t bytes, cudaStream_t) {
  constexpr std::size_t kAlignment = 256;
  const std::size_t size = (bytes + kAlignment) / kAlignment * kAlignment;
  void* pointer = std::aligned_alloc(kAlignment, size);
  if (pointer == nullptr) throw DeviceMemoryFailure("memory of the device: out of memory");
  std::memset(pointer, 0xff, size);
  return pointer;
}

void release(void* pointer, cudaStream_t) noexcept { std::free(pointer); }
void copy_in(void* device, const void* host, std::size_t bytes, cudaStream_t) {
  std::memcpy(device, host, bytes);
}
void copy_on(void* to, const void* from, std::size_t bytes, cudaStream_t) {
  std::memcpy(to, from, bytes);
}
void copy_out(void* host, const void* device, std::size_t bytes, cudaStream_t) {
  std::memcpy(host, device, bytes);
}
void fill_zero(void* device, std::size_t bytes, cudaStream_t) { std::memset(device, 0, bytes); }
void synchronize(cudaStream_t) {}

}  // namespace pyharmony::device
