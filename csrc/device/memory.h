// Memory of a device that is allocated on a stream, used on any, and freed after its last use.
#pragma once

#include <driver_types.h>

#include <cstddef>
#include <initializer_list>
#include <map>

#include "device/runtime.h"

namespace pyharmony::device {

class Memory {
 public:
  Memory(std::size_t bytes, int device, cudaStream_t stream)
      : bytes_(bytes), device_(device), stream_(stream) {
    const Guard guard(device_);
    pointer_ = allocate(bytes, stream_);
  }
  // Frees it on its stream, or on the legacy default stream if that one was destroyed.
  ~Memory() {
    for (cudaStream_t stream : {stream_, cudaStreamLegacy}) {
      try {
        const Guard guard(device_);
        for (const auto& use : uses_) use.second.hold(stream);
        release(pointer_, stream);
        return;
      } catch (const DeviceFailure&) {  // of both streams if the driver is shutting down
      }
    }
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* pointer() const { return pointer_; }
  std::size_t bytes() const { return bytes_; }

  // Makes it be freed after the work of a stream so far.
  void used_on(cudaStream_t stream) {
    const Guard guard(device_);
    const auto [use, is_new] = uses_.try_emplace(stream);
    // A new stream may have the handle of a destroyed one, whose work still counts.
    if (!is_new) use->second.hold(stream);
    use->second.record(stream);
  }

 private:
  std::size_t bytes_;
  int device_;
  cudaStream_t stream_;
  void* pointer_ = nullptr;
  std::map<cudaStream_t, Event> uses_;
};

}  // namespace pyharmony::device
