// The memory of a block of Python code: that of NumPy's arrays, by an allocator of NEP 49 that
// holds in the block's context, and that of the native calls in it, by GilRelease.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <utility>

#include "bindings/bindings.h"

namespace pyharmony {
namespace {

constexpr const char* kCapsuleName = "mem_handler";

// PyDataMem_Handler of NumPy's C API, version 1.
struct Handler {
  char name[127];
  std::uint8_t version;
  MemoryMeter* meter;
  void* (*allocate)(void* meter, std::size_t bytes);
  void* (*allocate_zeros)(void* meter, std::size_t count, std::size_t size);
  void* (*reallocate)(void* meter, void* data, std::size_t bytes);
  void (*deallocate)(void* meter, void* data, std::size_t bytes);
};

// Stands before each block: NumPy names no size where it resizes one.
struct alignas(std::max_align_t) Head {
  std::size_t bytes;
};

Head* head_of(void* data) { return static_cast<Head*>(data) - 1; }

// Counts a block with its head, and returns its data; null: there was no memory for it.
void* counted(void* meter, void* block, std::size_t bytes) {
  if (block == nullptr) return nullptr;
  Head* const head = static_cast<Head*>(block);
  head->bytes = bytes;
  static_cast<MemoryMeter*>(meter)->add(static_cast<std::int64_t>(bytes));
  ask_for_huge_pages(head + 1, bytes);  // as NumPy's own allocator does
  return head + 1;
}

void* allocate_zeros(void* meter, std::size_t count, std::size_t size) {
  std::size_t bytes, all;
  if (__builtin_mul_overflow(count, size, &bytes) ||
      __builtin_add_overflow(bytes, sizeof(Head), &all)) {
    return nullptr;
  }
  return counted(meter, std::calloc(1, all), bytes);
}

void* allocate(void* meter, std::size_t bytes) {
  std::size_t all;
  if (__builtin_add_overflow(bytes, sizeof(Head), &all)) return nullptr;
  return counted(meter, std::malloc(all), bytes);
}

void deallocate(void* meter, void* data, std::size_t) {
  if (data == nullptr) return;
  static_cast<MemoryMeter*>(meter)->add(-static_cast<std::int64_t>(head_of(data)->bytes));
  std::free(head_of(data));
}

void* reallocate(void* meter, void* data, std::size_t bytes) {
  std::size_t all;
  if (data == nullptr) return allocate(meter, bytes);
  if (__builtin_add_overflow(bytes, sizeof(Head), &all)) return nullptr;
  const std::size_t before = head_of(data)->bytes;
  void* const block = std::realloc(head_of(data), all);
  if (block != nullptr) {
    static_cast<MemoryMeter*>(meter)->add(-static_cast<std::int64_t>(before));
  }
  return counted(meter, block, bytes);
}

// Functions of NumPy's C API; null until they are needed.
PyObject* (*set_handler)(PyObject* handler) = nullptr;
PyObject* (*get_handler)() = nullptr;

void find_functions() {
  py::object core;
  try {
    core = py::module_::import("numpy._core.multiarray");
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_ImportError)) throw;
    core = py::module_::import("numpy.core.multiarray");  // of NumPy 1
  }
  auto** const api = static_cast<void**>(core.attr("_ARRAY_API").cast<py::capsule>().get_pointer());
  get_handler = reinterpret_cast<PyObject* (*)()>(api[305]);
  set_handler = reinterpret_cast<PyObject* (*)(PyObject*)>(api[304]);
}

// Makes a handler that of the context, and returns the one before.
py::object exchange_handler(const py::object& handler) {
  py::object before = py::reinterpret_steal<py::object>(set_handler(handler.ptr()));
  if (!before) throw py::error_already_set();
  return before;
}

MemoryMeter* find_meter() {
  const py::object capsule = py::reinterpret_steal<py::object>(get_handler());
  if (!capsule) throw py::error_already_set();
  const auto* handler = static_cast<Handler*>(PyCapsule_GetPointer(capsule.ptr(), kCapsuleName));
  if (handler == nullptr) throw py::error_already_set();
  return handler->allocate == &allocate ? handler->meter : nullptr;
}

// The context and each array that the handler allocated refer to it, so that it outlives them.
py::object handler_of(MemoryMeter* meter) {
  auto handler = std::make_unique<Handler>(
      Handler{"pyharmony", 1, meter, &allocate, &allocate_zeros, &reallocate, &deallocate});
  const py::object capsule = py::reinterpret_steal<py::object>(
      PyCapsule_New(handler.get(), kCapsuleName, [](PyObject* self) {
        auto* own = static_cast<Handler*>(PyCapsule_GetPointer(self, kCapsuleName));
        own->meter->drop();
        delete own;
      }));
  if (!capsule) throw py::error_already_set();
  handler.release()->meter->keep();
  return capsule;
}

// Counts the memory of its block; a Memory around it counts that as well.
class Memory {
 public:
  Memory() = default;
  ~Memory() {
    if (meter_ != nullptr) meter_->drop();
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void enter() {
    if (meter_ != nullptr) throw std::runtime_error("Memory: entered before");
    if (set_handler == nullptr) find_functions();  // not at import, which Ctrl-C may end
    meter_of_context = &find_meter;
    meter_ = new MemoryMeter(find_meter());
    before_ = exchange_handler(handler_of(meter_));
  }
  void exit() { exchange_handler(std::exchange(before_, py::object())); }
  std::int64_t peak() const { return meter_ == nullptr ? 0 : meter_->peak(); }

 private:
  MemoryMeter* meter_ = nullptr;
  py::object before_;
};

}  // namespace

void bind_memory(py::module_& m) {
  py::class_<Memory>(m, "Memory", py::module_local())
      .def(py::init<>())
      .def("__enter__",
           [](const py::object& self) {
             self.cast<Memory&>().enter();
             return self;
           })
      .def("__exit__", [](Memory& self, const py::object&, const py::object&,
                          const py::object&) { self.exit(); })
      .def_property_readonly("peak", &Memory::peak);
}

}  // namespace pyharmony
