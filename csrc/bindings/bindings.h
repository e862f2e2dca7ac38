// Declarations for all files of bindings/. pybind11 stays in this folder.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include <functional>
#include <utility>

#include "core/array.h"
#include "core/buffer.h"

namespace pyharmony {

namespace py = pybind11;
using namespace py::literals;  // NOLINT: "name"_a is an argument's name

// Returns a function of the arguments of `make` and then those of `use` beyond its first, which
// takes what `make` returns.
template <typename Made, typename... A, typename R, typename Taken, typename... B>
std::function<R(A..., B...)> chain(Made (*make)(A...), R (*use)(Taken, B...)) {
  return [=](A... a, B... b) -> R {
    return use(make(static_cast<A&&>(a)...), static_cast<B&&>(b)...);
  };
}

// Returns the meter of the present context of Python; null until the first `_C.Memory` is entered.
extern MemoryMeter* (*meter_of_context)();

// Lets other threads of Python run until the end of its scope, in which memory is counted by the
// meter of the context. Where Python has shut down by then,
// the thread waits for the end of the process: Python would end the thread by unwinding its stack,
// which ends the process with std::terminate at the first destructor.
class GilRelease {
 public:
  GilRelease()
      : meter_(std::exchange(current_meter(),
                             meter_of_context == nullptr ? nullptr : meter_of_context())),
        state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    current_meter() = meter_;
    try {
      if (!Py_IsInitialized()) wait_for_end();
      PyEval_RestoreThread(state_);
    } catch (const abi::__forced_unwind&) {
      wait_for_end();  // leaving this handler would abort the process
    }
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  [[noreturn]] static void wait_for_end() {
    for (;;) pause();
  }

  MemoryMeter* meter_;  // of what this thread did before
  PyThreadState* state_;
};

// Calls a function that needs nothing of Python while other threads of Python run.
template <typename Fn>
auto without_gil(Fn&& fn) {
  const GilRelease release;
  return fn();
}

void bind_adam(py::module_& m);
void bind_adam_cuda(py::module_& m);
void bind_alpha(py::module_& m);
void bind_array_view(py::module_& m);
void bind_color_grid(py::module_& m);
void bind_color_grid_cuda(py::module_& m);
void bind_color_map(py::module_& m);
void bind_color_stats(py::module_& m);
void bind_convolution(py::module_& m);
void bind_cuda(py::module_& m);
void bind_device(py::module_& m);
void bind_emulator(py::module_& m);
void bind_gaussian_poisson(py::module_& m);
void bind_gaussian_poisson_cuda(py::module_& m);
void bind_dlpack(py::module_& m);
void bind_gaussian_poisson_rectangle_cuda(py::module_& m);
void bind_distance(py::module_& m);
void bind_guided_filter(py::module_& m);
void bind_instance_norm(py::module_& m);
void bind_instance_norm_cuda(py::module_& m);
void bind_laplacian(py::module_& m);
void bind_mask_facts(py::module_& m);
void bind_matting(py::module_& m);
void bind_memory(py::module_& m);
void bind_partial_conv(py::module_& m);
void bind_partial_conv_cuda(py::module_& m);
void bind_paste(py::module_& m);
void bind_partial_conv_layer_cuda(py::module_& m);
void bind_pyramid(py::module_& m);
void bind_pyramid_cuda(py::module_& m);
void bind_poisson(py::module_& m);
void bind_poisson_cuda(py::module_& m);
void bind_regrain(py::module_& m);
void bind_similarity(py::module_& m);
void bind_resize(py::module_& m);
void bind_spectral_norm(py::module_& m);
void bind_suspects(py::module_& m);
void bind_warp(py::module_& m);
void bind_conv4x4(py::module_& m);
void bind_spectral_norm_cuda(py::module_& m);

// Called for each ArrayView that Python makes and drops; null but in the emulator's checking build.
extern void (*array_view_observer)(const ArrayView& view, bool exists);

}  // namespace pyharmony
