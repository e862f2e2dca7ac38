#include <cstdint>
#include <memory>
#include <string>

#include "bindings/bindings.h"

namespace pyharmony {

void (*array_view_observer)(const ArrayView& view, bool exists) = nullptr;

namespace {

struct Drop {
  void operator()(ArrayView* view) const {
    if (array_view_observer != nullptr) array_view_observer(*view, false);
    delete view;
  }
};

DType parse_dtype(const std::string& name) {
  for (DType dtype : {DType::kBool, DType::kUInt8, DType::kUInt16, DType::kFloat16, DType::kFloat32,
                      DType::kFloat64, DType::kBFloat16}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  fail("dtype: '", name, "' is not supported");
}

std::unique_ptr<ArrayView, Drop> make_view(std::uintptr_t pointer, const std::string& dtype,
                                           const py::tuple& shape, const py::tuple& strides,
                                           bool writable) {
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
  std::unique_ptr<ArrayView, Drop> held(new ArrayView(view));
  if (array_view_observer != nullptr) array_view_observer(view, true);
  return held;
}

}  // namespace

void bind_array_view(py::module_& m) {
  py::class_<ArrayView, std::unique_ptr<ArrayView, Drop>>(m, "ArrayView", py::module_local())
      .def(py::init(&make_view), "pointer"_a, "dtype"_a, "shape"_a, "strides"_a, "writable"_a);
}

}  // namespace pyharmony
