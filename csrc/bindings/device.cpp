// Devices: their number and properties, their memory, copies.
#include <cstdint>

#include "bindings/bindings.h"
#include "bindings/pointers.h"
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
  py::dict out;
  out["name"] = p.name;
  out["capability"] = py::make_tuple(p.major, p.minor);
  out["processors"] = p.processors;
  out["memory"] = p.memory;
  out["free"] = p.free;
  out["l2"] = p.l2;
  out["shared_per_block"] = p.shared_per_block;
  out["shared_per_processor"] = p.shared_per_processor;
  return out;
}

}  // namespace

void bind_device(py::module_& m) {
  using device::Guard;
  bind_dlpack(m);
  static py::exception<device::DeviceFailure> failure(m, "DeviceFailure", PyExc_RuntimeError);
  static py::exception<device::DeviceMemoryFailure> memory(m, "DeviceMemoryFailure",
                                                           PyExc_MemoryError);
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const device::DeviceMemoryFailure& e) {
      PyErr_SetString(memory.ptr(), e.what());
    } catch (const device::DeviceFailure& e) {
      PyErr_SetString(failure.ptr(), e.what());
    }
  });
  m.def("device_count", &device::count);
  m.def("status", &device::status);
  m.def("status_of", &device::status_of, py::arg("device"));
  m.def("current_device", &device::current_device);
  m.def(
      "is_capturing",
      [](std::uintptr_t stream, int index) {
        const Guard guard(index);
        return device::is_capturing(stream_of(stream));
      },
      py::arg("stream"), py::arg("device"));
  m.def(
      "give_back",
      [](int index) {
        const Guard guard(index);
        device::give_back();
      },
      py::arg("device"), py::call_guard<py::gil_scoped_release>());
  m.def("runtime_version", &device::runtime_version);
  m.def("driver_version", &device::driver_version);
  m.def("architectures", &device::architectures);
  m.def("properties", &properties, py::arg("device"));
  m.def(
      "device_of",
      [](std::uintptr_t pointer) {
        return device::device_of(reinterpret_cast<const void*>(pointer));
      },
      py::arg("pointer"));
  m.def(
      "order",
      [](std::uintptr_t earlier, std::uintptr_t later, int index) {
        const Guard guard(index);
        device::order(stream_of(earlier), stream_of(later));
      },
      py::arg("earlier"), py::arg("later"), py::arg("device"));
  py::class_<DeviceBuffer>(m, "DeviceBuffer", py::module_local())
      .def(py::init<std::size_t, int, std::uintptr_t>(), py::arg("bytes"), py::arg("device"),
           py::arg("stream"))
      .def_property_readonly("pointer", &DeviceBuffer::pointer)
      .def_property_readonly("bytes", &DeviceBuffer::bytes);
  m.def(
      "copy_in",
      [](std::uintptr_t to, std::uintptr_t from, std::size_t bytes, int index,
         std::uintptr_t stream) {
        const Guard guard(index);
        device::copy_in(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes,
                        stream_of(stream));
      },
      py::arg("to"), py::arg("host"), py::arg("bytes"), py::arg("device"), py::arg("stream"),
      py::call_guard<py::gil_scoped_release>());
  m.def(
      "copy_out",
      [](std::uintptr_t to, std::uintptr_t from, std::size_t bytes, int index,
         std::uintptr_t stream) {
        const Guard guard(index);
        device::copy_out(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes,
                         stream_of(stream));
      },
      py::arg("host"), py::arg("source"), py::arg("bytes"), py::arg("device"), py::arg("stream"),
      py::call_guard<py::gil_scoped_release>());
  m.def(
      "synchronize",
      [](int index, std::uintptr_t stream) {
        const Guard guard(index);
        device::synchronize(stream_of(stream));
      },
      py::arg("device"), py::arg("stream"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyharmony
