// DLPack, version 0.x: arrays of other libraries in, ours out, no copy either way.
// https://dmlc.github.io/dlpack/latest/c_api.html
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "core/status.h"

namespace pyharmony {
namespace {

struct DLDevice {
  std::int32_t type, id;
};

struct DLDataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t *shape, *strides;
  std::uint64_t byte_offset;
};

struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};

constexpr char kName[] = "dltensor", kUsedName[] = "used_dltensor";
enum Code : std::uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBFloat = 4, kBool = 6 };

std::string name_of(const DLDataType& dtype) {
  const std::string bits = std::to_string(dtype.bits);
  switch (dtype.code) {
    case kInt: return "int" + bits;
    case kUInt: return "uint" + bits;
    case kFloat: return "float" + bits;
    case kBFloat: return "bfloat" + bits;
    case kBool: return "bool";
    default: return "dtype of code " + std::to_string(dtype.code);
  }
}

DLDataType dtype_of(const std::string& name) {
  if (name == "bool") return {kBool, 8, 1};
  if (name == "uint8") return {kUInt, 8, 1};
  if (name == "uint16") return {kUInt, 16, 1};
  if (name == "float16") return {kFloat, 16, 1};
  if (name == "float32") return {kFloat, 32, 1};
  if (name == "float64") return {kFloat, 64, 1};
  fail("dtype: '", name, "' is not supported");
}

// An array of another library, which is kept as long as this object lives.
class Imported {
 public:
  explicit Imported(const py::capsule& capsule) {
    HM_CHECK(PyCapsule_IsValid(capsule.ptr(), kName), "capsule: not an unused one of DLPack");
    managed_ = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kName));
    PyCapsule_SetName(capsule.ptr(), kUsedName);
  }
  ~Imported() {
    if (managed_->deleter != nullptr) managed_->deleter(managed_);
  }
  Imported(const Imported&) = delete;
  Imported& operator=(const Imported&) = delete;

  const DLTensor& tensor() const { return managed_->tensor; }

 private:
  DLManagedTensor* managed_;
};

py::tuple shape_of(const Imported& array) {
  const DLTensor& t = array.tensor();
  py::tuple shape(t.ndim);
  for (int i = 0; i < t.ndim; ++i) shape[i] = t.shape[i];
  return shape;
}

// Returns strides in elements; an array without strides is compact.
py::tuple strides_of(const Imported& array) {
  const DLTensor& t = array.tensor();
  py::tuple strides(t.ndim);
  std::int64_t step = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    strides[i] = t.strides != nullptr ? t.strides[i] : step;
    step *= t.shape[i];
  }
  return strides;
}

struct Exported {
  DLManagedTensor managed;
  std::vector<std::int64_t> shape, strides;
  PyObject* owner;
};

void release(DLManagedTensor* managed) {
  const py::gil_scoped_acquire gil;
  auto* exported = static_cast<Exported*>(managed->context);
  Py_DECREF(exported->owner);
  delete exported;
}

void release_unused(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, kName)) return;
  release(static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, kName)));
}

py::capsule make_capsule(const py::object& owner, std::uintptr_t pointer, const std::string& dtype,
                         std::vector<std::int64_t> shape, std::vector<std::int64_t> strides,
                         int device_type, int device) {
  HM_CHECK(shape.size() == strides.size(), "strides: ", strides.size(), " for ", shape.size(),
           " dimensions");
  auto exported = std::make_unique<Exported>();
  exported->shape = std::move(shape);
  exported->strides = std::move(strides);
  DLTensor& t = exported->managed.tensor;
  t.data = reinterpret_cast<void*>(pointer);
  t.device = {device_type, device};
  t.ndim = static_cast<std::int32_t>(exported->shape.size());
  t.dtype = dtype_of(dtype);
  t.shape = exported->shape.data();
  t.strides = exported->strides.data();
  t.byte_offset = 0;
  exported->managed.context = exported.get();
  exported->managed.deleter = &release;
  PyObject* capsule = PyCapsule_New(&exported->managed, kName, &release_unused);
  if (capsule == nullptr) throw py::error_already_set();
  exported->owner = owner.inc_ref().ptr();
  exported.release();
  return py::reinterpret_steal<py::capsule>(capsule);
}

}  // namespace

void bind_dlpack(py::module_& m) {
  py::class_<Imported>(m, "DLPackArray", py::module_local())
      .def(py::init<const py::capsule&>(), "capsule"_a)
      .def_property_readonly("pointer",
                             [](const Imported& a) {
                               return reinterpret_cast<std::uintptr_t>(a.tensor().data) +
                                      a.tensor().byte_offset;
                             })
      .def_property_readonly("dtype", [](const Imported& a) { return name_of(a.tensor().dtype); })
      .def_property_readonly("shape", &shape_of)
      .def_property_readonly("strides", &strides_of)
      .def_property_readonly("device", [](const Imported& a) {
        return py::make_tuple(a.tensor().device.type, a.tensor().device.id);
      });
  m.def("dlpack_capsule", &make_capsule, "owner"_a, "pointer"_a, "dtype"_a, "shape"_a, "strides"_a,
        "device_type"_a, "device"_a);
}

}  // namespace pyharmony
