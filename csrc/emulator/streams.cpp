#include "emulator/streams.h"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>

#include "device/runtime.h"

namespace pyharmony::emulator {
namespace {

constexpr std::uintptr_t kFirstHandle = std::uintptr_t(1) << 40;  // no number that tests choose

std::mutex mutex;
std::uintptr_t next_handle = kFirstHandle;
std::atomic<bool> any_destroyed{false};  // so that launches need no lock

std::set<cudaStream_t>& destroyed() {
  static std::set<cudaStream_t> streams;
  return streams;
}

}  // namespace

cudaStream_t create_stream() {
  const std::lock_guard<std::mutex> lock(mutex);
  return reinterpret_cast<cudaStream_t>(next_handle++);
}

void destroy_stream(cudaStream_t stream) {
  check_stream(stream);
  const std::lock_guard<std::mutex> lock(mutex);
  destroyed().insert(stream);
  any_destroyed = true;
}

void check_stream(cudaStream_t stream) {
  if (!any_destroyed) return;
  const std::lock_guard<std::mutex> lock(mutex);
  if (destroyed().count(stream) != 0) {
    throw device::DeviceFailure("stream: invalid resource handle, it was destroyed");
  }
}

}  // namespace pyharmony::emulator
