#include <cstdint>
#include <string>

#include "bindings/bindings.h"
#include "core/parallel.h"
#include "core/simd.h"

namespace pyharmony {
namespace {

DType parse_dtype(const std::string& name) {
  for (DType dtype : {DType::kBool, DType::kUInt8, DType::kUInt16, DType::kFloat16, DType::kFloat32,
                      DType::kFloat64}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  fail("dtype: '", name, "' is not supported");
}

ArrayView make_view(std::uintptr_t pointer, const std::string& dtype, const py::tuple& shape,
                    const py::tuple& strides, bool writable) {
  HM_CHECK(shape.size() == strides.size() && shape.size() <= static_cast<std::size_t>(kMaxDims),
           "array: ", shape.size(), " dimensions, expected at most ", kMaxDims);
  ArrayView view;
  view.data = reinterpret_cast<void*>(pointer);
  view.dtype = parse_dtype(dtype);
  view.ndim = static_cast<int>(shape.size());
  for (int i = 0; i < view.ndim; ++i) {
    view.shape[i] = shape[i].cast<std::int64_t>();
    view.stride[i] = strides[i].cast<std::int64_t>();
  }
  view.writable = writable;
  return view;
}

}  // namespace
}  // namespace pyharmony

PYBIND11_MODULE(_C, m) {
  using namespace pyharmony;
  m.doc() = "Native kernels of pyharmony. Private: use pyharmony.ops.";
  py::class_<ArrayView>(m, "ArrayView", py::module_local())
      .def(py::init(&make_view), py::arg("pointer"), py::arg("dtype"), py::arg("shape"),
           py::arg("strides"), py::arg("writable"));
  m.def("num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads, py::arg("n"));
  m.def("simd_level", [] { return std::string(simd_level_name(simd_level())); });
  m.def("set_simd_level", &set_simd_level, py::arg("name"));
  bind_gaussian_poisson(m);
  bind_gaussian_poisson_rectangle(m);
  bind_distance(m);
  bind_pyramid(m);
  bind_poisson(m);
}
