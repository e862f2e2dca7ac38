// csrc/device/runtime_cuda.cpp as a library for ctypes, to be linked with cuda_stand_in.cpp.
#include <cstring>
#include <string>

#include "../../csrc/device/memory.h"
#include "../../csrc/device/runtime_cuda.cpp"

namespace pyharmony::device {

const void* copy_kernel_address() { return "a kernel"; }

}  // namespace pyharmony::device

using pyharmony::device::Guard;

extern "C" {

int call_current_device() { return pyharmony::device::current_device(); }
int call_is_capturing() { return pyharmony::device::is_capturing(nullptr) ? 1 : 0; }
void call_status_of(int device, char* text, std::size_t size) {
  const std::string said = pyharmony::device::status_of(device);
  std::strncpy(text, said.c_str(), size - 1);
}
// Does what a binding does for arrays on a device: takes memory there, and lets it go.
void call_on(int device, std::size_t bytes) {
  const Guard guard(device);
  void* memory = pyharmony::device::allocate(bytes, nullptr);
  pyharmony::device::release(memory, nullptr);
  pyharmony::device::synchronize(nullptr);
}
// Does what a solver does that is made on the first stream and used on the second: its memory.
void* call_make_memory(std::uintptr_t stream, std::uintptr_t other) {
  auto* memory = new pyharmony::device::Memory(100, 0, reinterpret_cast<cudaStream_t>(stream));
  memory->used_on(reinterpret_cast<cudaStream_t>(stream));
  memory->used_on(reinterpret_cast<cudaStream_t>(other));
  return memory;
}
void call_use_memory(void* memory, std::uintptr_t stream) {
  static_cast<pyharmony::device::Memory*>(memory)->used_on(reinterpret_cast<cudaStream_t>(stream));
}
void call_drop_memory(void* memory) { delete static_cast<pyharmony::device::Memory*>(memory); }
long long call_free_of(int device) {
  const auto free = pyharmony::device::properties(device).free;
  return free ? static_cast<long long>(*free) : -1;
}
void call_set_device(int device) { pyharmony::device::check(cudaSetDevice(device), "device"); }
void call_give_back(int device) {
  const Guard guard(device);
  pyharmony::device::give_back();
}

}  // extern "C"
