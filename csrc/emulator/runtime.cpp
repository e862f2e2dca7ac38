// The device runtime of the emulator: host memory, and streams that are always done. A use of a
// destroyed stream is an error: CUDA leaves it undefined.
#include "device/runtime.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "emulator/checker.h"
#include "emulator/streams.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace pyharmony::device {

constexpr std::size_t kMemory = std::size_t(1) << 34;  // memory of the device, in bytes

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw DeviceFailure(std::string(what) + ": failed");
}

int count() { return 1; }
std::string status() { return ""; }
std::string status_of(int) { return ""; }
int current_device() { return 0; }
int runtime_version() { return 0; }
int driver_version() { return 0; }

Properties properties(int) {
  Properties out;
  out.name = "emulator";
  out.major = 9;
  out.processors = 2;
  out.memory = kMemory;
  out.free = kMemory;
  out.shared_per_block = 227 << 10;
  out.shared_per_processor = 228 << 10;
  return out;
}

std::vector<std::string> architectures() { return {"emulator"}; }

Guard::Guard(int) {}
Guard::~Guard() {}

int device_of(const void*) { return 0; }

namespace checker = emulator::checker;
using emulator::check_stream;

Event::Event() {}
Event::~Event() {}
void Event::record(cudaStream_t stream) { check_stream(stream); }
void Event::hold(cudaStream_t later) const { check_stream(later); }
void Event::synchronize() const {}

void order(cudaStream_t earlier, cudaStream_t later) {
  if (earlier == later) return;
  Event event;
  event.record(earlier);
  event.hold(later);
}
bool is_capturing(cudaStream_t stream) {
  check_stream(stream);
  return false;
}

// The gap before and after each piece, so that what runs over its end meets no other.
constexpr std::size_t kAlignment = 256;

// Fills memory with the bytes of NaNs, so that reading before writing shows.
void* allocate(std::size_t bytes, cudaStream_t stream) {
  check_stream(stream);
  const std::size_t size = (bytes + 3 * kAlignment - 1) / kAlignment * kAlignment;
  auto* memory =
      bytes > kMemory ? nullptr : static_cast<char*>(std::aligned_alloc(kAlignment, size));
  if (memory == nullptr) {
    throw DeviceMemoryFailure("memory of the device: out of memory for " + std::to_string(bytes) +
                              " bytes");
  }
  std::memset(memory, 0xff, size);
  void* pointer = memory + kAlignment;
  checker::register_memory(pointer, bytes, false);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(memory, kAlignment);
  ASAN_POISON_MEMORY_REGION(memory + kAlignment + bytes, size - kAlignment - bytes);
#endif
  return pointer;
}

void release(void* pointer, cudaStream_t stream) {
  if (pointer == nullptr) return;
  check_stream(stream);
  checker::forget_memory(pointer);
  void* memory = static_cast<char*>(pointer) - kAlignment;
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(memory, kAlignment);
#endif
  std::free(memory);
}

void give_back() {}

void* allocate_pinned(std::size_t bytes) {
  if (bytes > kMemory) throw DeviceMemoryFailure("pinned memory: out of memory");
  void* pointer = std::malloc(bytes > 0 ? bytes : 1);
  std::memset(pointer, 0xff, bytes);
  checker::register_memory(pointer, bytes, true);  // kernels may read and write it
  return pointer;
}
void release_pinned(void* pointer) noexcept {
  if (pointer != nullptr) checker::forget_memory(pointer);
  std::free(pointer);
}

void copy_in(void* device, const void* host, std::size_t bytes, cudaStream_t stream) {
  check_stream(stream);
  std::memcpy(device, host, bytes);
  checker::written_by_host(device, bytes);
}
void copy_on(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  check_stream(stream);
  std::memcpy(to, from, bytes);
  checker::written_by_host(to, bytes);
}
void copy_out(void* host, const void* device, std::size_t bytes, cudaStream_t stream) {
  check_stream(stream);
  std::memcpy(host, device, bytes);
}
void fill_zero(void* device, std::size_t bytes, cudaStream_t stream) {
  check_stream(stream);
  std::memset(device, 0, bytes);
  checker::written_by_host(device, bytes);
}
void synchronize(cudaStream_t stream) { check_stream(stream); }

}  // namespace pyharmony::device
