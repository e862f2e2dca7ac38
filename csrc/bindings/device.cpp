// Devices: their number and properties, their memory, copies.
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"
#include "core/parallel.h"
#include "core/status.h"
#include "device/memory.h"

namespace pyharmony {
namespace {

// Memory of a device that lives as long as the object.
struct DeviceBuffer {
  py::object stream_owner;  // keeps the stream, on which the memory is freed
  device::Memory memory;

  DeviceBuffer(std::size_t bytes, int device, std::uintptr_t stream, py::object owner)
      : stream_owner(std::move(owner)), memory(bytes, device, stream_of(stream)) {}
  std::uintptr_t pointer() const { return reinterpret_cast<std::uintptr_t>(memory.pointer()); }
  std::size_t bytes() const { return memory.bytes(); }
};

// Pinned memory of the host that lives as long as the object.
class PinnedBuffer {
 public:
  PinnedBuffer(std::size_t bytes, int device) : bytes_(bytes) {
    const device::Guard guard(device);
    pointer_ = device::allocate_pinned(bytes);
  }
  ~PinnedBuffer() { device::release_pinned(pointer_); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  std::uintptr_t pointer() const { return reinterpret_cast<std::uintptr_t>(pointer_); }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_;
  void* pointer_ = nullptr;
};

// Copies within the memory of the host, on several threads.
void copy_host(std::uintptr_t to, std::uintptr_t from, std::size_t bytes) {
  constexpr std::int64_t kGrain = std::int64_t(1) << 19;
  parallel_for(static_cast<std::int64_t>(bytes), kGrain, [=](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<char*>(pointer_of(to)) + begin,
                static_cast<const char*>(pointer_of(from)) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

// A moment on a stream of a device.
class StreamEvent {
 public:
  StreamEvent(int device, std::uintptr_t stream) : device_(device), event_(on(device)) {
    record(stream);
  }
  void record(std::uintptr_t stream) {
    const device::Guard guard(device_);
    event_->record(stream_of(stream));
  }
  void hold(std::uintptr_t later) const {
    const device::Guard guard(device_);
    event_->hold(stream_of(later));
  }
  void synchronize() const {
    const device::Guard guard(device_);
    event_->synchronize();
  }

 private:
  static std::unique_ptr<device::Event> on(int device) {
    const device::Guard guard(device);
    return std::make_unique<device::Event>();
  }

  int device_;
  std::unique_ptr<device::Event> event_;
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
      .def(py::init<std::size_t, int, std::uintptr_t, py::object>(), "bytes"_a, "device"_a,
           "stream"_a, "stream_owner"_a = py::none())
      .def(
          "used_on",
          [](DeviceBuffer& buffer, std::uintptr_t stream) {
            buffer.memory.used_on(stream_of(stream));
          },
          "stream"_a)
      .def_property_readonly("pointer", &DeviceBuffer::pointer)
      .def_property_readonly("bytes", &DeviceBuffer::bytes);
  py::class_<PinnedBuffer>(m, "PinnedBuffer", py::module_local())
      .def(py::init<std::size_t, int>(), "bytes"_a, "device"_a, py::call_guard<GilRelease>())
      .def_property_readonly("pointer", &PinnedBuffer::pointer)
      .def_property_readonly("bytes", &PinnedBuffer::bytes);
  m.def("copy_host", &copy_host, "to"_a, "host"_a, "bytes"_a, py::call_guard<GilRelease>());
  py::class_<StreamEvent>(m, "Event", py::module_local())
      .def(py::init<int, std::uintptr_t>(), "device"_a, "stream"_a)
      .def("record", &StreamEvent::record, "stream"_a)
      .def("hold", &StreamEvent::hold, "stream"_a)
      .def("synchronize", &StreamEvent::synchronize, py::call_guard<GilRelease>());
  define_on_device(m, "copy_in", copy_bytes<device::copy_in>, "to"_a, "host"_a, "bytes"_a);
  define_on_device(m, "copy_out", copy_bytes<device::copy_out>, "host"_a, "source"_a, "bytes"_a);
  define_on_device(m, "synchronize", device::synchronize);
}

}  // namespace pyharmony
