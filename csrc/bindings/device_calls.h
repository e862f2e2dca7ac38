// Functions that run on a device; Python gives streams and addresses as numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "bindings/bindings.h"
#include "device/runtime.h"

namespace pyharmony {

// An address on a device, and how many bytes may be used from there on.
using Block = std::pair<std::uintptr_t, std::size_t>;

inline cudaStream_t stream_of(std::uintptr_t stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}
inline void* pointer_of(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

// The multiprocessors of a device; shared memory is in bytes.
struct Processors {
  int count = 1;
  std::size_t shared_per_processor = 0, shared_per_block = 0;
};

// Returns the multiprocessors of a device, which it asks for once.
inline Processors processors_of(int index) {
  static std::mutex mutex;
  static std::map<int, Processors> known;
  const std::lock_guard<std::mutex> lock(mutex);
  auto entry = known.find(index);
  if (entry == known.end()) {
    const device::Properties p = device::properties(index);
    entry =
        known.emplace(index, Processors{p.processors, p.shared_per_processor, p.shared_per_block})
            .first;
  }
  return entry->second;
}

template <typename R, typename... Args, std::size_t... kIndex>
auto on_device(std::function<R(Args...)> call, std::index_sequence<kIndex...>) {
  using All = std::tuple<Args...>;
  return [call = std::move(call)](std::tuple_element_t<kIndex, All>... args, int device,
                                  std::uintptr_t stream) -> R {
    const device::Guard guard(device);
    return call(static_cast<std::tuple_element_t<kIndex, All>&&>(args)..., stream_of(stream));
  };
}

// Binds a function whose last argument is a stream; in its place Python gives `device` and
// `stream`. It runs on that device without the GIL.
template <typename R, typename... Args, typename... Extra>
void define_on_device(py::module_& m, const char* name, std::function<R(Args...)> call,
                      const Extra&... extra) {
  m.def(name, on_device(std::move(call), std::make_index_sequence<sizeof...(Args) - 1>()), extra...,
        py::arg("device"), py::arg("stream"), py::call_guard<GilRelease>());
}
template <typename Function, typename... Extra>
void define_on_device(py::module_& m, const char* name, Function call, const Extra&... extra) {
  define_on_device(m, name, std::function(call), extra...);
}

}  // namespace pyharmony
