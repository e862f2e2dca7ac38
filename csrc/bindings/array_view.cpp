#include <pybind11/numpy.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bindings/bindings.h"

namespace pyharmony {

void (*array_view_observer)(const ArrayView& view, bool exists) = nullptr;
MemoryMeter* (*meter_of_context)() = nullptr;

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

std::unique_ptr<ArrayView, Drop> held(const ArrayView& view) {
  std::unique_ptr<ArrayView, Drop> result(new ArrayView(view));
  if (array_view_observer != nullptr) array_view_observer(view, true);
  return result;
}

std::optional<DType> dtype_of(const py::dtype& dtype) {
  if (dtype.byteorder() != '=' && dtype.byteorder() != '|') return std::nullopt;
  constexpr int kHalf = 23;  // NPY_HALF, which pybind11 does not name
  switch (dtype.num()) {
    case py::detail::npy_api::NPY_BOOL_: return DType::kBool;
    case py::detail::npy_api::NPY_UBYTE_: return DType::kUInt8;
    case py::detail::npy_api::NPY_USHORT_: return DType::kUInt16;
    case kHalf: return DType::kFloat16;
    case py::detail::npy_api::NPY_FLOAT_: return DType::kFloat32;
    case py::detail::npy_api::NPY_DOUBLE_: return DType::kFloat64;
    default: return std::nullopt;
  }
}

// Returns the view of a NumPy array; null if its dtype is none of ours, or its items do not lie at
// multiples of their size.
std::unique_ptr<ArrayView, Drop> view_of(const py::array& array, bool writable) {
  const std::optional<DType> dtype = dtype_of(array.dtype());
  if (!dtype) return nullptr;
  HM_CHECK(array.ndim() <= kMaxDims, "array: ", array.ndim(), " dimensions, expected at most ",
           kMaxDims);
  const std::int64_t size = array.itemsize();
  ArrayView view;
  view.data = const_cast<void*>(array.data());
  view.dtype = *dtype;
  view.ndim = static_cast<int>(array.ndim());
  bool aligned =
      reinterpret_cast<std::uintptr_t>(view.data) % static_cast<std::uintptr_t>(size) == 0;
  for (int i = 0; i < view.ndim; ++i) {
    view.shape[i] = array.shape(i);
    view.stride[i] = array.strides(i) / size;
    aligned = aligned && array.strides(i) % size == 0;
  }
  if (!aligned) return nullptr;
  view.writable = writable;
  return held(view);
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
  return held(view);
}

void move_view(ArrayView& view, std::uintptr_t pointer) {
  if (array_view_observer != nullptr) array_view_observer(view, false);
  view.data = reinterpret_cast<void*>(pointer);
  if (array_view_observer != nullptr) array_view_observer(view, true);
}

}  // namespace

void bind_array_view(py::module_& m) {
  py::class_<ArrayView, std::unique_ptr<ArrayView, Drop>>(m, "ArrayView", py::module_local())
      .def(py::init(&make_view), "pointer"_a, "dtype"_a, "shape"_a, "strides"_a, "writable"_a)
      .def("move", &move_view, "pointer"_a)
      .def_static("of", &view_of, py::arg("array").noconvert(), "writable"_a,
                  py::keep_alive<0, 1>());
}

}  // namespace pyharmony
