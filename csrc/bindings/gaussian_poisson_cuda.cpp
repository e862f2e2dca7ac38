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

// Of a device, asked for once.
int processors_of(int index) {
  static std::mutex mutex;
  static std::map<int, int> known;
  std::lock_guard<std::mutex> lock(mutex);
  auto found = known.find(index);
  if (found == known.end())
    found = known.emplace(index, device::properties(index).processors).first;
  return found->second;
}

using Optional = std::optional<ArrayView>;

// What both functions take.
struct Options {
  double weight, least_weight, most_weight, w0, w1;
  bool preserve_background;
  double tolerance;
  int max_steps;
  bool half_base;
  double range;
  int device, segment_rows;
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
  params.processors = processors_of(options.device);
  return params;
}

std::size_t workspace(const Optional& src, const Optional& dst, const Optional& mask,
                      const Optional& base, const ArrayView& out, double weight,
                      const Optional& weight_map, double least_weight, double most_weight,
                      double w0, double w1, bool preserve_background, double tolerance,
                      const Optional& rhs, int max_steps, bool half_base, double range, int device,
                      int segment_rows) {
  return gp::chebyshev_workspace(
      make_params(src, dst, mask, base, out, weight_map, rhs,
                  {weight, least_weight, most_weight, w0, w1, preserve_background, tolerance,
                   max_steps, half_base, range, device, segment_rows}));
}

void chebyshev(const Optional& src, const Optional& dst, const Optional& mask, const Optional& base,
               const ArrayView& out, double weight, const Optional& weight_map, double least_weight,
               double most_weight, double w0, double w1, bool preserve_background, double tolerance,
               const Optional& rhs, int max_steps, bool half_base, double range,
               std::uintptr_t workspace, std::size_t workspace_bytes, std::uintptr_t report,
               int device, std::uintptr_t stream, int segment_rows) {
  gp::ChebyshevDeviceParams params =
      make_params(src, dst, mask, base, out, weight_map, rhs,
                  {weight, least_weight, most_weight, w0, w1, preserve_background, tolerance,
                   max_steps, half_base, range, device, segment_rows});
  params.workspace = reinterpret_cast<void*>(workspace);
  params.workspace_bytes = workspace_bytes;
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
    out.append(item);
  }
  return out;
}

}  // namespace

void bind_gaussian_poisson_cuda(py::module_& m) {
  m.def("gaussian_poisson_chebyshev_workspace", &workspace, py::arg("src"), py::arg("dst"),
        py::arg("mask"), py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"),
        py::arg("weight_map") = py::none(), py::arg("least_weight") = 1.0,
        py::arg("most_weight") = 1.0, py::arg("w0"), py::arg("w1"), py::arg("preserve_background"),
        py::arg("tolerance"), py::arg("rhs") = py::none(), py::arg("max_steps"),
        py::arg("half_base") = false, py::arg("range") = 1.0, py::arg("device"),
        py::arg("segment_rows") = 0, py::call_guard<py::gil_scoped_release>());
  m.def("gaussian_poisson_chebyshev", &chebyshev, py::arg("src"), py::arg("dst"), py::arg("mask"),
        py::arg("base"), py::arg("out"), py::kw_only(), py::arg("weight"),
        py::arg("weight_map") = py::none(), py::arg("least_weight") = 1.0,
        py::arg("most_weight") = 1.0, py::arg("w0"), py::arg("w1"), py::arg("preserve_background"),
        py::arg("tolerance"), py::arg("rhs") = py::none(), py::arg("max_steps"),
        py::arg("half_base") = false, py::arg("range") = 1.0, py::arg("workspace"),
        py::arg("workspace_bytes"), py::arg("report"), py::arg("device"), py::arg("stream"),
        py::arg("segment_rows") = 0, py::call_guard<py::gil_scoped_release>());
  m.def(
      "gaussian_poisson_chebyshev_report_bytes",
      [](int n) { return n * sizeof(gp::ChebyshevReport); }, py::arg("n"));
  m.def("gaussian_poisson_chebyshev_report", &decode, py::arg("host_bytes"), py::arg("n"));
}

}  // namespace pyharmony
