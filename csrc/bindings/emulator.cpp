// The module _emulator: the content of `_C.cuda`, run on the CPU, and the emulator's controls.
#include "bindings/bindings.h"

PYBIND11_MODULE(HM_EMULATOR_MODULE, m) {
  using namespace pyharmony;
  m.doc() = "CUDA kernels of pyharmony on the CPU, for tests.";
  bind_array_view(m);
  bind_cuda(m);
  bind_emulator(m);
}
