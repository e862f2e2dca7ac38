// The emulator's controls for tests: orders, sites, reports of the checker.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"
#include "emulator/checker.h"
#include "emulator/emulator.h"

namespace pyharmony {
namespace {

py::list sites() {
  py::list out;
  for (const emulator::Site& site : emulator::sites()) {
    out.append(py::dict("id"_a = site.id, "kernel"_a = site.kernel, "file"_a = site.file,
                        "line"_a = site.line, "kind"_a = site.kind, "count"_a = site.count));
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
    out.append(py::dict("kind"_a = report.kind, "space"_a = report.space,
                        "kernel"_a = report.kernel, "message"_a = report.message,
                        "file"_a = report.file, "line"_a = report.line, "frames"_a = report.frames,
                        "other_file"_a = report.other_file, "other_line"_a = report.other_line,
                        "other_frames"_a = report.other_frames, "block"_a = triple(report.block),
                        "thread"_a = triple(report.thread),
                        "other_thread"_a = triple(report.other_thread), "count"_a = report.count));
  }
  return out;
}

py::list access_sites() {
  py::list out;
  for (const checker::AccessSite& site : checker::access_sites()) {
    out.append(py::dict("kernel"_a = site.kernel, "space"_a = site.space, "file"_a = site.file,
                        "line"_a = site.line, "write"_a = site.write, "requests"_a = site.requests,
                        "lanes_per_request"_a = site.lanes, "sectors_per_request"_a = site.sectors,
                        "ideal_sectors"_a = site.ideal_sectors, "ways_per_request"_a = site.ways,
                        "ideal_ways"_a = site.ideal_ways));
  }
  return out;
}

py::list traffic() {
  py::list out;
  for (const checker::Traffic& one : checker::traffic()) {
    out.append(py::dict("kernel"_a = one.kernel, "launches"_a = one.launches,
                        "blocks"_a = one.blocks, "read_sectors"_a = one.read_sectors,
                        "written_sectors"_a = one.written_sectors));
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
  const py::set kernels(m.attr("__dict__"));
  py::register_local_exception<emulator::EmulatorFailure>(m, "EmulatorFailure", PyExc_RuntimeError);
  m.attr("checked") = bool(HM_EMULATOR_CHECK);
  m.def("set_seed", &emulator::set_seed, "seed"_a);
  m.def("set_running", &emulator::set_running, "on"_a);
  m.def("launch_count", &emulator::launch_count);
  m.def("create_stream",
        [] { return reinterpret_cast<std::uintptr_t>(emulator::create_stream()); });
  m.def(
      "destroy_stream", [](std::uintptr_t stream) { emulator::destroy_stream(stream_of(stream)); },
      "stream"_a);
  m.def("sites", &sites);
  m.def("products", &emulator::products);
  m.def("set_code_version", &emulator::set_code_version, "version"_a);
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
      [](const std::optional<std::string>& id) { emulator::ignore_site(id.value_or("")); }, "id"_a);
#if HM_EMULATOR_CHECK
  array_view_observer = &observe_view;
  m.def("set_checking", &checker::set_checking, "on"_a);
  m.def("set_counting", &checker::set_counting, "on"_a);
  m.def("reports", &reports);
  m.def("report_count", &checker::report_count);
  m.def("clear_reports", &checker::clear_reports);
  m.def("access_sites", &access_sites);
  m.def("traffic", &traffic);
  m.def("clear_access_sites", &checker::clear_access_sites);
  m.def(
      "register_memory",
      [](std::uintptr_t p, std::size_t bytes, bool initialised) {
        checker::register_memory(pointer(p), bytes, initialised);
      },
      "pointer"_a, "bytes"_a, "initialised"_a = true);
  m.def("forget_memory", [](std::uintptr_t p) { checker::forget_memory(pointer(p)); }, "pointer"_a);
#endif
  // Lists the names that a module for a GPU lacks.
  m.attr("controls") = py::set(m.attr("__dict__")) - kernels;
}

}  // namespace pyharmony
