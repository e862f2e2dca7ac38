#include <string>

#include "bindings/bindings.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "core/simd.h"

namespace {

// Runs Python's handlers of the signals that have come, and throws what they raise.
void handle_signals() {
  const pyharmony::py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw pyharmony::py::error_already_set();
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  using namespace pyharmony;
  m.doc() = "Native kernels of pyharmony. Private: use pyharmony.ops.";
  set_interrupt_hook(&handle_signals);
  bind_array_view(m);
  m.def("num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads, py::arg("n"));
  m.def("simd_level", [] { return std::string(simd_level_name(simd_level())); });
  m.def("set_simd_level", &set_simd_level, py::arg("name"));
  bind_adam(m);
  bind_alpha(m);
  bind_gaussian_poisson(m);
  bind_color_grid(m);
  bind_color_map(m);
  bind_color_stats(m);
  bind_convolution(m);
  bind_distance(m);
  bind_guided_filter(m);
  bind_instance_norm(m);
  bind_laplacian(m);
  bind_mask_facts(m);
  bind_matting(m);
  bind_memory(m);
  bind_partial_conv(m);
  bind_paste(m);
  bind_pyramid(m);
  bind_poisson(m);
  bind_regrain(m);
  bind_similarity(m);
  bind_resize(m);
  bind_spectral_norm(m);
  bind_suspects(m);
  bind_warp(m);
  bind_conv4x4(m);
#ifdef HM_CUDA
  py::module_ cuda = m.def_submodule("cuda", "Kernels and memory of CUDA devices.");
  bind_cuda(cuda);
  // Its callers know this module alone, as they know that of the emulator.
  cuda.attr("ArrayView") = m.attr("ArrayView");
#endif
}
