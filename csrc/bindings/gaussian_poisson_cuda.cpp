// gaussian_poisson on a device.
#include <cstring>
#include <optional>
#include <string>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"
#include "core/status.h"
#include "ops/gaussian_poisson/chebyshev_cuda.h"

namespace pyharmony {
namespace {

namespace gp = gaussian_poisson;

using Optional = std::optional<ArrayView>;

// The arguments that all functions take.
gp::ChebyshevDeviceParams make_params(
    const Optional& src, const Optional& dst, const Optional& mask, const Optional& base,
    const ArrayView& out, double weight, const Optional& weight_map, double least_weight,
    double most_weight, double w0, double w1, bool preserve_background, double tolerance,
    const Optional& rhs, int max_steps, bool half_base, double range, int segment_rows,
    std::int64_t state_bytes, int first_run, int last_run) {
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
  params.weight = weight;
  params.least_weight = least_weight;
  params.most_weight = most_weight;
  params.w0 = w0;
  params.w1 = w1;
  params.preserve_background = preserve_background;
  params.tolerance = tolerance;
  params.max_steps = max_steps;
  params.half_base = half_base;
  params.range = range;
  params.segment_rows = segment_rows;
  params.state_bytes = state_bytes;
  params.first_run = first_run;
  params.last_run = last_run;
  return params;
}

// processors, shared_per_processor: those of another device; 0: those of this one.
gp::ChebyshevSchedule schedule(gp::ChebyshevDeviceParams params, int device, int processors,
                               std::size_t shared_per_processor) {
  const Processors own =
      processors > 0 ? Processors{processors, shared_per_processor, 0} : processors_of(device);
  params.processors = own.count;
  params.shared_per_processor = own.shared_per_processor;
  return gp::chebyshev_schedule(params);
}

void chebyshev(gp::ChebyshevDeviceParams params, const Block& workspace, const Block& state,
               std::uintptr_t report, int device, std::uintptr_t stream) {
  const Processors own = processors_of(device);
  params.processors = own.count;
  params.shared_per_processor = own.shared_per_processor;
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
    out.append(py::dict("steps"_a = report.steps, "total_steps"_a = report.total_steps,
                        "finite"_a = report.finite != 0, "residual"_a = report.residual,
                        "max_error"_a = report.max_error, "converged"_a = report.converged != 0,
                        "more"_a = report.more != 0));
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
  const auto define = [&](const auto&... names) {
    const py::call_guard<GilRelease> release;
    m.def("gaussian_poisson_chebyshev_schedule", chain(make_params, schedule), names..., "device"_a,
          "processors"_a = 0, "shared_per_processor"_a = 64 << 10, release);
    m.def("gaussian_poisson_chebyshev", chain(make_params, chebyshev), names..., "workspace"_a,
          "state"_a, "report"_a, "device"_a, "stream"_a, release);
  };
  // The names of the arguments of make_params.
  define("src"_a, "dst"_a, "mask"_a, "base"_a, "out"_a, py::kw_only(), "weight"_a,
         "weight_map"_a = py::none(), "least_weight"_a = 1.0, "most_weight"_a = 1.0, "w0"_a, "w1"_a,
         "preserve_background"_a, "tolerance"_a, "rhs"_a = py::none(), "max_steps"_a,
         "half_base"_a = false, "range"_a = 1.0, "segment_rows"_a = 0, "state_bytes"_a = 0,
         "first_run"_a = 0, "last_run"_a = gp::kChebyshevRepeats);
  m.def(
      "gaussian_poisson_chebyshev_report_bytes",
      [](int n) { return n * sizeof(gp::ChebyshevReport); }, "n"_a);
  m.def("gaussian_poisson_chebyshev_report", &decode, "host_bytes"_a, "n"_a);
}

}  // namespace pyharmony
