// The modules _emulator_tests and _emulator_tests_check.
#include <cstdint>

#include "bindings/bindings.h"
#include "emulator_kernels.h"

namespace pyharmony {

void bind_mix(py::module_& m);
void bind_mix_cuda(py::module_& m);

}  // namespace pyharmony

PYBIND11_MODULE(HM_EMULATOR_MODULE, m) {
  using namespace pyharmony;
  bind_array_view(m);
  bind_device(m);
  bind_emulator(m);
  py::module_ cpu = m.def_submodule("cpu");
  bind_mix(cpu);
  bind_mix_cuda(m);
  m.def("names", &emulator_tests::names);
  m.def(
      "run",
      [](const std::string& name, std::uintptr_t in, std::uintptr_t out, std::uintptr_t counters,
         int n) {
        emulator_tests::run(name,
                            {reinterpret_cast<const float*>(in), reinterpret_cast<float*>(out),
                             reinterpret_cast<unsigned*>(counters), n});
      },
      py::arg("name"), py::arg("input"), py::arg("output"), py::arg("counters"), py::arg("n"),
      py::call_guard<py::gil_scoped_release>());
  m.def("launch", &emulator_tests::launch, py::arg("grid"), py::arg("block"),
        py::arg("shared_bytes") = 0, py::arg("allowed_bytes") = 0, py::arg("cluster") = 1);
}
