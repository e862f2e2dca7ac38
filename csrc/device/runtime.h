// Devices, their memory and streams, as far as the bindings need them.
#pragma once

#include <driver_types.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace pyharmony::device {

// bindings/ turns it into DeviceError.
struct DeviceFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// bindings/ turns it into OutOfMemory.
struct DeviceMemoryFailure : DeviceFailure {
  using DeviceFailure::DeviceFailure;
};

// Throws DeviceFailure: what was done, and the runtime's words.
void check(cudaError_t error, const char* what);

struct Properties {
  std::string name;
  int major = 0, minor = 0, processors = 0;
  std::size_t memory = 0, free = 0, l2 = 0, shared_per_block = 0, shared_per_processor = 0;
};

int count();           // 0 without a driver; never throws
std::string status();  // "" where there is a driver with a device, else why not
// "" where kernels of this build run on a device, else why not. A device without memory left, or
// that another process has for itself, counts as one they run on: calls say so, and the next may
// succeed.
std::string status_of(int device);
int current_device();                     // of the calling thread
int runtime_version(), driver_version();  // 13000; 0 without a driver
Properties properties(int device);
std::vector<std::string> architectures();  // what was compiled: "90-real", "75-virtual", ...

// Makes a device the current one for its lifetime; a negative one changes nothing. A thread whose
// device has no context yet is left where it was put, since going back would make one: hundreds of
// megabytes on a device that nobody uses. `current_device` names that device all the same.
class Guard {
 public:
  explicit Guard(int device);
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  int before_ = -1;
};

// The device that memory belongs to; -1: none.
int device_of(const void* pointer);
// What is put on `later` from now on begins after what is on `earlier` now.
void order(cudaStream_t earlier, cudaStream_t later);
bool is_capturing(cudaStream_t stream);

// From a pool of this module's on the current device, which keeps up to kKeptBytes for later calls.
constexpr std::size_t kKeptBytes = std::size_t(1) << 30;
void* allocate(std::size_t bytes, cudaStream_t stream);
void release(void* pointer, cudaStream_t stream) noexcept;
void give_back();  // what the pool of the current device keeps
void copy_in(void* device, const void* host, std::size_t bytes, cudaStream_t stream);
// Within the device.
void copy_on(void* to, const void* from, std::size_t bytes, cudaStream_t stream);
void copy_out(void* host, const void* device, std::size_t bytes, cudaStream_t stream);
void fill_zero(void* device, std::size_t bytes, cudaStream_t stream);
void synchronize(cudaStream_t stream);

}  // namespace pyharmony::device
