#include "ops/mix/mix_cuda.h"

#include "bindings/bindings.h"
#include "bindings/device_calls.h"

namespace pyharmony {

void bind_mix_cuda(py::module_& m) {
  define_on_device(m, "mix", chain(mix_call, launch_mix), "a"_a, "b"_a, "share"_a, "out"_a,
                   py::kw_only());
}

}  // namespace pyharmony
