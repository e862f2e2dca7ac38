// The emulator's controls for tests: orders, sites, reports of the checker.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "bindings/bindings.h"
#include "emulator/checker.h"
#include "emulator/emulator.h"

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

namespace pyharmony {
namespace {

py::list sites() {
  py::list out;
  for (const emulator::Site& site : emulator::sites()) {
    py::dict entry;
    entry["id"] = site.id;
    entry["kernel"] = site.kernel;
    entry["file"] = site.file;
    entry["line"] = site.line;
    entry["kind"] = site.kind;
    entry["count"] = site.count;
    out.append(entry);
  }
  return out;
}

#if HM_EMULATOR_CHECK

namespace checker = emulator::checker;

const void* pointer(std::uintptr_t p) { return reinterpret_cast<const void*>(p); }

py::tuple triple(uint3 v) { return py::make_tuple(v.x, v.y, v.z); }

py::list reports() {
  py::list out;
  for (const checker::Report& report : checker::reports()) {
    py::dict entry;
    entry["kind"] = report.kind;
    entry["space"] = report.space;
    entry["kernel"] = report.kernel;
    entry["message"] = report.message;
    entry["file"] = report.file;
    entry["line"] = report.line;
    entry["frames"] = report.frames;
    entry["other_file"] = report.other_file;
    entry["other_line"] = report.other_line;
    entry["other_frames"] = report.other_frames;
    entry["block"] = triple(report.block);
    entry["thread"] = triple(report.thread);
    entry["other_thread"] = triple(report.other_thread);
    entry["count"] = report.count;
    out.append(entry);
  }
  return out;
}

py::list access_sites() {
  py::list out;
  for (const checker::AccessSite& site : checker::access_sites()) {
    py::dict entry;
    entry["kernel"] = site.kernel;
    entry["space"] = site.space;
    entry["file"] = site.file;
    entry["line"] = site.line;
    entry["write"] = site.write;
    entry["requests"] = site.requests;
    entry["lanes_per_request"] = site.lanes;
    entry["sectors_per_request"] = site.sectors;
    entry["ideal_sectors"] = site.ideal_sectors;
    entry["ways_per_request"] = site.ways;
    entry["ideal_ways"] = site.ideal_ways;
    out.append(entry);
  }
  return out;
}

// Registers the memory between the first and the last element.
void observe_view(const ArrayView& view, bool exists) {
  std::int64_t low = 0, high = 0;
  for (int i = 0; i < view.ndim; ++i) {
    if (view.shape[i] == 0) return;
    const std::int64_t reach = (view.shape[i] - 1) * view.stride[i];
    low += std::min<std::int64_t>(reach, 0);
    high += std::max<std::int64_t>(reach, 0);
  }
  const auto size = static_cast<std::int64_t>(dtype_size(view.dtype));
  const char* begin = static_cast<const char*>(view.data) + low * size;
  const auto bytes = static_cast<std::size_t>((high - low + 1) * size);
  exists ? checker::register_view(begin, bytes) : checker::forget_view(begin, bytes);
}

#endif

}  // namespace

void bind_emulator(py::module_& m) {
  static py::exception<emulator::EmulatorFailure> failure(m, "EmulatorFailure", PyExc_RuntimeError);
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const emulator::EmulatorFailure& e) {
      PyErr_SetString(failure.ptr(), e.what());
    }
  });
  m.attr("checked") = bool(HM_EMULATOR_CHECK);
  m.def("set_seed", &emulator::set_seed, py::arg("seed"));
  m.def("sites", &sites);
  m.def("shared_limits", [] {
    py::dict out;
    for (const emulator::SharedLimit& limit : emulator::shared_limits()) {
      out[py::make_tuple(limit.kernel, reinterpret_cast<std::uintptr_t>(limit.address))] =
          limit.bytes;
    }
    return out;
  });
  m.def(
      "ignore_site",
      [](const std::optional<std::string>& id) { emulator::ignore_site(id.value_or("")); },
      py::arg("id"));
#if HM_EMULATOR_CHECK
  array_view_observer = &observe_view;
  m.def("set_checking", &checker::set_checking, py::arg("on"));
  m.def("set_counting", &checker::set_counting, py::arg("on"));
  m.def("reports", &reports);
  m.def("report_count", &checker::report_count);
  m.def("clear_reports", &checker::clear_reports);
  m.def("access_sites", &access_sites);
  m.def("clear_access_sites", &checker::clear_access_sites);
  m.def(
      "register_memory",
      [](std::uintptr_t p, std::size_t bytes, bool initialised) {
        checker::register_memory(pointer(p), bytes, initialised);
      },
      py::arg("pointer"), py::arg("bytes"), py::arg("initialised") = true);
  m.def(
      "forget_memory", [](std::uintptr_t p) { checker::forget_memory(pointer(p)); },
      py::arg("pointer"));
#endif
}

}  // namespace pyharmony
