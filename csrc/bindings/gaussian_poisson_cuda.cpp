// gaussian_poisson on a device.
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "bindings/bindings.h"
#include "bindings/pointers.h"
#include "core/status.h"
#include "ops/gaussian_poisson/chebyshev_cuda.h"

namespace pyharmony {
namespace {

namespace gp = gaussian_poisson;

struct Processors {
  int count;
  std::size_t shared;  // shared memory of each, in bytes
};

// Returns the multiprocessors of a device, which it asks for once.
Processors processors_of(int index) {
  static std::mutex mutex;
  static std::map<int, Processors> known;
  std::lock_guard<std::mutex> lock(mutex);
  auto found = known.find(index);
  if (found == known.end()) {
    const device::Properties p = device::properties(index);
    found = known.emplace(index, Processors{p.processors, p.shared_per_processor}).first;
  }
  return found->second;
}

using Optional = std::optional<ArrayView>;

// The options that all functions take.
struct Options {
  double weight, least_weight, most_weight, w0, w1;
  bool preserve_background;
  double tolerance;
  int max_steps;
  bool half_base;
  double range;
  int device, segment_rows;
  std::int64_t state_bytes;
  int first_run, last_run;
};

gp::ChebyshevDeviceParams make_params(const Optional& src, const Optional& dst,
                                      const Optional& mask, const Optional& base,
                                      const ArrayView& out, const Optional& weight_map,
                                      const Optional& rhs, const Options& options) {
  gp::ChebyshevDeviceParams params;
  auto image = [](const Optional& view, const char* name, device::ImageBatch& to) {
    if (view) to = device::as_image_batch(*view, name);
  };
  image(src, "src", params.src);
  image(dst, "dst", params.dst);
  image(base, "base", params.base);
  image(rhs, "rhs", params.rhs);
  if (mask) params.mask = device::as_image_batch(*mask, "mask", true);
  if (weight_map) params.weight_map = device::as_image_batch(*weight_map, "weight_map", true);
  HM_CHECK(out.writable, "out: the array is read-only");
  params.out = device::as_image_batch(out, "out");
  params.weight = options.weight;
  params.least_weight = options.least_weight;
  params.most_weight = options.most_weight;
  params.w0 = options.w0;
  params.w1 = options.w1;
  params.preserve_background = options.preserve_background;
  params.tolerance = options.tolerance;
  params.max_steps = options.max_steps;
  params.half_base = options.half_base;
  params.range = options.range;
  params.segment_rows = options.segment_rows;
  params.state_bytes = options.state_bytes;
  params.first_run = options.first_run;
  params.last_run = options.last_run;
  return params;
}

// processors, shared_per_processor: those of another device; 0: those of this one.
gp::ChebyshevSchedule schedule(const Optional& src, const Optional& dst, const Optional& mask,
                               const Optional& base, const ArrayView& out, double weight,
                               const Optional& weight_map, double least_weight, double most_weight,
                               double w0, double w1, bool preserve_background, double tolerance,
                               const Optional& rhs, int max_steps, bool half_base, double range,
                               int device, int segment_rows, std::int64_t state_bytes,
                               int first_run, int last_run, int processors,
                               std::size_t shared_per_processor) {
  gp::ChebyshevDeviceParams params = make_params(
      src, dst, mask, base, out, weight_map, rhs,
      {weight, least_weight, most_weight, w0, w1, preserve_background, tolerance, max_steps,
       half_base, range, device, segment_rows, state_bytes, first_run, last_run});
  const Processors own =
      processors > 0 ? Processors{processors, shared_per_processor} : processors_of(device);
  params.processors = own.count;
  params.shared_per_processor = own.shared;
  return gp::chebyshev_schedule(params);
}

void chebyshev(const Optional& src, const Optional& dst, const Optional& mask, const Optional& base,
               const ArrayView& out, double weight, const Optional& weight_map, double least_weight,
               double most_weight, double w0, double w1, bool preserve_background, double tolerance,
               const Optional& rhs, int max_steps, bool half_base, double range,
               const std::pair<std::uintptr_t, std::size_t>& workspace,
               const std::pair<std::uintptr_t, std::size_t>& state, std::uintptr_t report,
               int device, std::uintptr_t stream, int segment_rows, std::int64_t state_bytes,
               int first_run, int last_run) {
  gp::ChebyshevDeviceParams params = make_params(
      src, dst, mask, base, out, weight_map, rhs,
      {weight, least_weight, most_weight, w0, w1, preserve_background, tolerance, max_steps,
       half_base, range, device, segment_rows, state_bytes, first_run, last_run});
  const Processors own = processors_of(device);
  params.processors = own.count;
  params.shared_per_processor = own.shared;
  params.workspace = pointer_of(workspace.first);
  params.workspace_size = workspace.second;
  params.state = pointer_of(state.first);
  params.state_size = state.second;
  params.report = reinterpret_cast<gp::ChebyshevReport*>(report);
  const device::Guard guard(device);
  gp::launch_gaussian_poisson_chebyshev(params, stream_of(stream));
}

py::list decode(const py::bytes& data, int n) {
  const std::string bytes = data;
  HM_CHECK(n >= 0 && bytes.size() == n * sizeof(gp::ChebyshevReport), "host_bytes: ", bytes.size(),
           " bytes, expected ", n * sizeof(gp::ChebyshevReport));
  py::list out;
  for (int i = 0; i < n; ++i) {
    gp::ChebyshevReport report;
    std::memcpy(&report, bytes.data() + i * sizeof report, sizeof report);
    py::dict item;
    item["steps"] = report.steps;
    item["total_steps"] = report.total_steps;
    item["finite"] = report.finite != 0;
    item["residual"] = report.residual;
    item["max_error"] = report.max_error;
    item["converged"] = report.converged != 0;
    item["more"] = report.more != 0;
    out.append(item);
  }
  return out;
}

}  // namespace

void bind_gaussian_poisson_cuda(py::module_& m) {
  using gp::ChebyshevLaunch;
  using gp::ChebyshevSchedule;
  m.attr("CHEBYSHEV_REPEATS") = gp::kChebyshevRepeats;
  py::class_<ChebyshevLaunch>(m, "ChebyshevLaunch", py::module_local())
      .def_readonly("warps", &ChebyshevLaunch::warps)
      .def_readonly("blocks", &ChebyshevLaunch::blocks)
      .def_readonly("places", &ChebyshevLaunch::places)
      .def_readonly("segments", &ChebyshevLaunch::segments)
      .def_readonly("block_bytes", &ChebyshevLaunch::block_bytes);
  py::class_<ChebyshevSchedule>(m, "ChebyshevSchedule", py::module_local())
      .def_readonly("workspace_size", &ChebyshevSchedule::workspace_size)
      .def_readonly("state_size", &ChebyshevSchedule::state_size)
      .def_readonly("launches", &ChebyshevSchedule::launches)
      .def_readonly("first", &ChebyshevSchedule::first)
      .def_readonly("repeat", &ChebyshevSchedule::repeat);
  m.def("gaussian_poisson_chebyshev_schedule", &schedule, py::arg("src"), py::arg("dst"),
        py::arg("mask"), py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"),
        py::arg("weight_map") = py::none(), py::arg("least_weight") = 1.0,
        py::arg("most_weight") = 1.0, py::arg("w0"), py::arg("w1"), py::arg("preserve_background"),
        py::arg("tolerance"), py::arg("rhs") = py::none(), py::arg("max_steps"),
        py::arg("half_base") = false, py::arg("range") = 1.0, py::arg("device"),
        py::arg("segment_rows") = 0, py::arg("state_bytes") = 0, py::arg("first_run") = 0,
        py::arg("last_run") = gp::kChebyshevRepeats, py::arg("processors") = 0,
        py::arg("shared_per_processor") = 64 << 10, py::call_guard<py::gil_scoped_release>());
  m.def("gaussian_poisson_chebyshev", &chebyshev, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"),
        py::arg("weight_map") = py::none(), py::arg("least_weight") = 1.0,
        py::arg("most_weight") = 1.0, py::arg("w0"), py::arg("w1"), py::arg("preserve_background"),
        py::arg("tolerance"), py::arg("rhs") = py::none(), py::arg("max_steps"),
        py::arg("half_base") = false, py::arg("range") = 1.0, py::arg("workspace"),
        py::arg("state"), py::arg("report"), py::arg("device"), py::arg("stream"),
        py::arg("segment_rows") = 0, py::arg("state_bytes") = 0, py::arg("first_run") = 0,
        py::arg("last_run") = gp::kChebyshevRepeats, py::call_guard<py::gil_scoped_release>());
  m.def(
      "gaussian_poisson_chebyshev_report_bytes",
      [](int n) { return n * sizeof(gp::ChebyshevReport); }, py::arg("n"));
  m.def("gaussian_poisson_chebyshev_report", &decode, py::arg("host_bytes"), py::arg("n"));
}

}  // namespace pyharmony
