// The module _emulator: what `_C.cuda` has, run on the CPU, and the controls of the emulator.
#include "emulator/emulator.h"

#include "bindings/bindings.h"

PYBIND11_MODULE(_emulator, m) {
  using namespace pyharmony;
  m.doc() = "CUDA kernels of pyharmony on the CPU, for tests.";
  bind_array_view(m);
  bind_cuda(m);
  m.def("set_seed", &emulator::set_seed, py::arg("seed"));
}
