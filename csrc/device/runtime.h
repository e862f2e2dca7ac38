// Devices, their memory and streams for the bindings.
#pragma once

#include <driver_types.h>

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace pyharmony::device {

// A failure that bindings/ turns into DeviceError.
struct DeviceFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A failure that bindings/ turns into OutOfMemory.
struct DeviceMemoryFailure : DeviceFailure {
  using DeviceFailure::DeviceFailure;
};

// Throws DeviceFailure with what was done and the runtime's words.
void check(cudaError_t error, const char* what);

struct Properties {
  std::string name;
  int major = 0, minor = 0, processors = 0;
  std::size_t memory = 0, l2 = 0, shared_per_block = 0, shared_per_processor = 0;
  std::optional<std::size_t> free;  // known where the process has a context
};

int count();           // 0 without a driver; never throws
std::string status();  // "" if there is a driver with a device, else why not
// Returns "" if kernels of this build run on a device, else why not. A device without memory left,
// or that another process has for itself, counts as one they run on: calls report that, and the
// next may succeed.
std::string status_of(int device);
int current_device();                     // for the calling thread
int runtime_version(), driver_version();  // 13000; 0 without a driver
Properties properties(int device);
std::vector<std::string> architectures();  // the compiled ones: "90-real", "75-virtual", ...

// Makes a device the current one for its lifetime; a negative one changes nothing. A thread whose
// earlier device has no context stays on the new one, since going back would make a context:
// hundreds of megabytes, unused. `current_device` names the earlier device all the same.
class Guard {
 public:
  explicit Guard(int device);
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  int before_ = -1;
};

// How a launch runs, beside its grid and its block. Both need has_forms().
struct LaunchForm {
  bool early = false;    // before the launch before it ends: every thread comes to HM_LAUNCH_WAIT()
  unsigned cluster = 1;  // blocks of a cluster, in x
};

// A moment in the work of a stream, for which other streams and the host wait. Unlike the handle of
// a stream it stays valid after the stream was destroyed.
class Event {
 public:
  Event();  // of no stream so far: nobody waits for it
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream);     // sets it to the end of the stream's work so far
  void hold(cudaStream_t later) const;  // makes later work on a stream begin after it
  void synchronize() const;             // waits for it

 private:
  cudaEvent_t event_ = nullptr;
};

// Returns the device that memory belongs to; -1: none.
int device_of(const void* pointer);
// Makes later work on `later` begin after what is on `earlier` so far.
void order(cudaStream_t earlier, cudaStream_t later);
bool is_capturing(cudaStream_t stream);

// Allocates from a pool of the current device that keeps up to kKeptBytes for later calls.
constexpr std::size_t kKeptBytes = std::size_t(1) << 30;
void* allocate(std::size_t bytes, cudaStream_t stream);
void release(void* pointer, cudaStream_t stream);
void give_back();  // frees what the pool of the current device keeps
// Memory of the host whose copies to and from any device run beside other work of the host.
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* pointer) noexcept;
void copy_in(void* device, const void* host, std::size_t bytes, cudaStream_t stream);
// Copies within the device.
void copy_on(void* to, const void* from, std::size_t bytes, cudaStream_t stream);
void copy_out(void* host, const void* device, std::size_t bytes, cudaStream_t stream);
void fill_zero(void* device, std::size_t bytes, cudaStream_t stream);
void synchronize(cudaStream_t stream);

}  // namespace pyharmony::device
