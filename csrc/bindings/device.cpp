// Devices: their number and properties, their memory, copies.
#include <cstdint>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"
#include "core/status.h"

namespace pyharmony {
namespace {

// Memory of a device that lives as long as the object; it is released on its stream.
class DeviceBuffer {
 public:
  DeviceBuffer(std::size_t bytes, int device, std::uintptr_t stream)
      : bytes_(bytes), device_(device), stream_(stream_of(stream)) {
    const device::Guard guard(device_);
    pointer_ = device::allocate(bytes, stream_);
  }
  ~DeviceBuffer() {
    try {
      const device::Guard guard(device_);
      device::release(pointer_, stream_);
    } catch (const device::DeviceFailure&) {  // The driver is shutting down.
    }
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  std::uintptr_t pointer() const { return reinterpret_cast<std::uintptr_t>(pointer_); }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_;
  int device_;
  cudaStream_t stream_;
  void* pointer_ = nullptr;
};

py::dict properties(int index) {
  const device::Properties p = device::properties(index);
  return py::dict("name"_a = p.name, "capability"_a = py::make_tuple(p.major, p.minor),
                  "processors"_a = p.processors, "memory"_a = p.memory, "free"_a = p.free,
                  "l2"_a = p.l2, "shared_per_block"_a = p.shared_per_block,
                  "shared_per_processor"_a = p.shared_per_processor);
}

template <void (*copy)(void*, const void*, std::size_t, cudaStream_t)>
void copy_bytes(std::uintptr_t to, std::uintptr_t from, std::size_t bytes, cudaStream_t stream) {
  copy(pointer_of(to), pointer_of(from), bytes, stream);
}

}  // namespace

void bind_device(py::module_& m) {
  using device::Guard;
  bind_dlpack(m);
  // The last one is asked first, and a DeviceMemoryFailure is a DeviceFailure as well.
  py::register_local_exception<device::DeviceFailure>(m, "DeviceFailure", PyExc_RuntimeError);
  py::register_local_exception<device::DeviceMemoryFailure>(m, "DeviceMemoryFailure",
                                                            PyExc_MemoryError);
  m.def("device_count", &device::count);
  m.def("status", &device::status);
  m.def("status_of", &device::status_of, "device"_a);
  m.def("current_device", &device::current_device);
  m.def(
      "is_capturing",
      [](std::uintptr_t stream, int index) {
        const Guard guard(index);
        return device::is_capturing(stream_of(stream));
      },
      "stream"_a, "device"_a);
  m.def(
      "give_back",
      [](int index) {
        const Guard guard(index);
        device::give_back();
      },
      "device"_a, py::call_guard<GilRelease>());
  m.def("runtime_version", &device::runtime_version);
  m.def("driver_version", &device::driver_version);
  m.def("architectures", &device::architectures);
  m.def("properties", &properties, "device"_a);
  m.def(
      "device_of", [](std::uintptr_t pointer) { return device::device_of(pointer_of(pointer)); },
      "pointer"_a);
  m.def(
      "order",
      [](std::uintptr_t earlier, std::uintptr_t later, int index) {
        const Guard guard(index);
        device::order(stream_of(earlier), stream_of(later));
      },
      "earlier"_a, "later"_a, "device"_a);
  py::class_<DeviceBuffer>(m, "DeviceBuffer", py::module_local())
      .def(py::init<std::size_t, int, std::uintptr_t>(), "bytes"_a, "device"_a, "stream"_a)
      .def_property_readonly("pointer", &DeviceBuffer::pointer)
      .def_property_readonly("bytes", &DeviceBuffer::bytes);
  define_on_device(m, "copy_in", copy_bytes<device::copy_in>, "to"_a, "host"_a, "bytes"_a);
  define_on_device(m, "copy_out", copy_bytes<device::copy_out>, "host"_a, "source"_a, "bytes"_a);
  define_on_device(m, "synchronize", device::synchronize);
}

}  // namespace pyharmony
