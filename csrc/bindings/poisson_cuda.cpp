#include "ops/poisson/poisson_cuda.h"

#include <cstring>
#include <limits>
#include <optional>

#include "bindings/bindings.h"
#include "bindings/pointers.h"

namespace pyharmony {
namespace {

using device::ImageBatch;
using poisson::DeviceSolve;
using poisson::Plan;
using poisson::PlaneReport;
using poisson::PlanOptions;

void check_bytes(std::size_t given, std::size_t needed, const char* name) {
  HM_CHECK(given >= needed, name, ": ", given, " bytes, expected at least ", needed);
}

ImageBatch optional_batch(const std::optional<ArrayView>& array, const char* name,
                          bool plane = false) {
  return array ? device::as_image_batch(*array, name, plane) : ImageBatch();
}

Plan make_plan(int height, int width, const std::optional<std::array<int, 4>>& box, int items,
               bool pinned, double weight, bool weight_map, double w0, double w1, int tail_cells) {
  PlanOptions options;
  options.height = height;
  options.width = width;
  options.top = box ? (*box)[0] : 0;
  options.left = box ? (*box)[1] : 0;
  options.bottom = box ? (*box)[2] : height;
  options.right = box ? (*box)[3] : width;
  options.items = items;
  options.pinned = pinned;
  options.weight = weight;
  options.weight_map = weight_map;
  options.w0 = w0;
  options.w1 = w1;
  options.tail_cells = tail_cells;
  return poisson::make_plan(options);
}

int planes_of(int count, int channels) {
  const std::int64_t planes = std::int64_t(count) * channels;
  HM_CHECK(count >= 1 && channels >= 1 && planes <= 65535, "images: ", count, " of ", channels,
           " channels, expected 1 to 65535 planes");
  return static_cast<int>(planes);
}

// The memory of a call: workspaces are checked against the plan's needs.
struct Memory {
  std::uintptr_t hierarchy, workspace, report, warm, certify;
  std::size_t hierarchy_bytes, workspace_bytes, report_bytes, warm_bytes, certify_bytes;
};

DeviceSolve make_solve(const Plan& plan, const poisson::SolveImages& images, double tolerance,
                       int max_iterations, const Memory& memory) {
  DeviceSolve solve;
  solve.images = images;
  solve.tolerance = tolerance;
  solve.max_iterations = max_iterations;
  solve.warm = pointer_of(memory.warm);
  solve.report = static_cast<PlaneReport*>(pointer_of(memory.report));
  const int planes = planes_of(images.count(), images.channels());
  check_bytes(memory.hierarchy_bytes, plan.bytes(), "hierarchy");
  check_bytes(memory.workspace_bytes, poisson::solve_workspace_bytes(plan, planes), "workspace");
  check_bytes(memory.report_bytes, sizeof(PlaneReport) * planes, "report");
  if (memory.warm != 0) {
    check_bytes(memory.warm_bytes, poisson::warm_bytes(plan, planes), "warm");
  }
  if (memory.certify != 0) {
    check_bytes(memory.certify_bytes, poisson::certify_workspace_bytes(plan, planes),
                "certify_workspace");
  }
  return solve;
}

void run(const Plan& plan, const DeviceSolve& solve, const Memory& memory, bool solve_it,
         int device, std::uintptr_t stream) {
  const py::gil_scoped_release release;
  const device::Guard guard(device);
  if (solve_it) {
    poisson::launch_poisson_solve(plan, pointer_of(memory.hierarchy), solve,
                                  pointer_of(memory.workspace), stream_of(stream));
  }
  if (memory.certify != 0) {
    poisson::launch_poisson_certify(plan, pointer_of(memory.hierarchy), solve,
                                    pointer_of(memory.workspace), pointer_of(memory.certify),
                                    stream_of(stream));
  }
}

using Block = std::pair<std::uintptr_t, std::size_t>;  // a device address, and bytes

Memory memory_of(const Block& hierarchy, const Block& workspace, const Block& report,
                 const std::optional<Block>& warm, const std::optional<Block>& certify) {
  const Block none{0, 0}, w = warm.value_or(none), c = certify.value_or(none);
  return {hierarchy.first,  workspace.first,  report.first,  w.first,  c.first,
          hierarchy.second, workspace.second, report.second, w.second, c.second};
}

void solve_images(const Plan& plan, const Block& hierarchy, const ArrayView& src,
                  const ArrayView& dst, const ArrayView& mask, const std::optional<ArrayView>& base,
                  const ArrayView& out, const std::string& gradients, const std::string& contour,
                  double tolerance, int max_iterations, const std::optional<ArrayView>& weight_map,
                  const Block& workspace, const Block& report, const std::optional<Block>& warm,
                  const std::optional<Block>& certify, int device, std::uintptr_t stream) {
  HM_CHECK(out.writable, "out: read-only");
  poisson::SolveImages images;
  images.src = device::as_image_batch(src, "src");
  images.dst = device::as_image_batch(dst, "dst");
  images.mask = device::as_image_batch(mask, "mask", true);
  images.base = optional_batch(base, "base");
  images.weight_map = optional_batch(weight_map, "weight_map", true);
  images.out = device::as_image_batch(out, "out");
  images.guidance = poisson::parse_guidance(gradients);
  images.contour = poisson::parse_contour(contour);
  const Memory memory = memory_of(hierarchy, workspace, report, warm, certify);
  run(plan, make_solve(plan, images, tolerance, max_iterations, memory), memory, true, device,
      stream);
}

void solve_rhs(const Plan& plan, const Block& hierarchy, const ArrayView& rhs, const ArrayView& out,
               double tolerance, int max_iterations, const std::optional<ArrayView>& weight_map,
               const Block& workspace, const Block& report, const std::optional<Block>& certify,
               int device, std::uintptr_t stream) {
  HM_CHECK(out.writable, "out: read-only");
  poisson::SolveImages images;
  images.rhs = device::as_image_batch(rhs, "rhs");
  images.weight_map = optional_batch(weight_map, "weight_map", true);
  images.out = device::as_image_batch(out, "out");
  const Memory memory = memory_of(hierarchy, workspace, report, std::nullopt, certify);
  run(plan, make_solve(plan, images, tolerance, max_iterations, memory), memory, true, device,
      stream);
}

void set_up(const Plan& plan, const std::optional<ArrayView>& mask,
            const std::optional<ArrayView>& weight_map, const Block& memory, int device,
            std::uintptr_t stream) {
  check_bytes(memory.second, plan.bytes(), "memory");
  const ImageBatch plane = optional_batch(mask, "mask", true);
  const ImageBatch map = optional_batch(weight_map, "weight_map", true);
  const py::gil_scoped_release release;
  const device::Guard guard(device);
  poisson::launch_poisson_hierarchy(plan, plane, map, pointer_of(memory.first), stream_of(stream));
}

void find_boxes(const ArrayView& mask, const Block& boxes, int device, std::uintptr_t stream) {
  const ImageBatch plane = device::as_image_batch(mask, "mask", true);
  check_bytes(boxes.second, 4 * sizeof(int) * plane.count, "boxes");
  const py::gil_scoped_release release;
  const device::Guard guard(device);
  poisson::launch_poisson_box(plane, static_cast<int*>(pointer_of(boxes.first)), stream_of(stream));
}

void clear_warm(const Plan& plan, int count, int channels, const Block& warm, int device,
                std::uintptr_t stream) {
  const int planes = planes_of(count, channels);
  check_bytes(warm.second, poisson::warm_bytes(plan, planes), "warm");
  const py::gil_scoped_release release;
  const device::Guard guard(device);
  device::fill_zero(pointer_of(warm.first), sizeof(poisson::WarmPlane) * planes, stream_of(stream));
}

// Returns one dict for each item from reports copied to the host: the worst of its channels.
py::list reports(const py::bytes& host, int count, int channels) {
  const int planes = planes_of(count, channels);
  const std::string bytes = host;
  HM_CHECK(bytes.size() >= sizeof(PlaneReport) * planes, "report: ", bytes.size(),
           " bytes, expected ", sizeof(PlaneReport) * planes);
  auto worse = [](double a, double b) { return b > a || b != b ? b : a; };
  py::list out;
  for (int item = 0; item < count; ++item) {
    PlaneReport sum;
    for (int c = 0; c < channels; ++c) {
      PlaneReport report;
      std::memcpy(&report, bytes.data() + sizeof(PlaneReport) * (item * channels + c),
                  sizeof(PlaneReport));
      if (c == 0) {
        sum = report;
        continue;
      }
      sum.estimate = worse(sum.estimate, report.estimate);
      sum.first = worse(sum.first, report.first);
      sum.residual = worse(sum.residual, report.residual);
      sum.max_error = worse(sum.max_error, report.max_error);
      sum.iterations = std::max(sum.iterations, report.iterations);
      sum.converged = sum.converged && report.converged;
    }
    py::dict d;
    d["iterations"] = sum.iterations;
    d["residual"] = sum.residual;
    d["estimate"] = sum.estimate;
    d["first"] = sum.first;
    d["max_error"] = sum.max_error;
    d["converged"] = sum.converged != 0;
    d["unknowns"] = sum.unknowns;
    out.append(d);
  }
  return out;
}

}  // namespace

void bind_poisson_cuda(py::module_& m) {
  py::class_<Plan>(m, "PoissonPlan", py::module_local())
      .def(py::init(&make_plan), py::arg("height"), py::arg("width"), py::kw_only(),
           py::arg("box") = py::none(), py::arg("items") = 1, py::arg("pinned") = true,
           py::arg("weight") = 0.0, py::arg("weight_map") = false, py::arg("w0") = 1.0,
           py::arg("w1") = 0.0, py::arg("tail_cells") = poisson::kTailCells)
      .def_property_readonly("bytes", &Plan::bytes)
      .def_property_readonly("levels", [](const Plan& plan) { return plan.levels; })
      .def_property_readonly("tail", [](const Plan& plan) { return plan.tail; })
      .def(
          "workspace_bytes",
          [](const Plan& plan, int count, int channels) {
            return poisson::solve_workspace_bytes(plan, planes_of(count, channels));
          },
          py::arg("count"), py::arg("channels"))
      .def(
          "certify_bytes",
          [](const Plan& plan, int count, int channels) {
            return poisson::certify_workspace_bytes(plan, planes_of(count, channels));
          },
          py::arg("count"), py::arg("channels"))
      .def(
          "warm_bytes",
          [](const Plan& plan, int count, int channels) {
            return poisson::warm_bytes(plan, planes_of(count, channels));
          },
          py::arg("count"), py::arg("channels"));
  m.attr("POISSON_MAX_ITERATIONS") = poisson::kMaxDeviceIterations;
  m.def("poisson_box", &find_boxes, py::arg("mask"), py::arg("boxes"), py::kw_only(),
        py::arg("device"), py::arg("stream"));
  m.def("poisson_hierarchy", &set_up, py::arg("plan"), py::arg("mask"), py::arg("weight_map"),
        py::arg("memory"), py::kw_only(), py::arg("device"), py::arg("stream"));
  m.def("poisson_solve", &solve_images, py::arg("plan"), py::arg("hierarchy"), py::arg("src"),
        py::arg("dst"), py::arg("mask"), py::arg("base"), py::arg("out"), py::kw_only(),
        py::arg("gradients"), py::arg("contour") = "half", py::arg("tolerance"),
        py::arg("max_iterations"), py::arg("weight_map") = py::none(), py::arg("workspace"),
        py::arg("report"), py::arg("warm") = py::none(), py::arg("certify") = py::none(),
        py::arg("device"), py::arg("stream"));
  m.def("poisson_solve_rhs", &solve_rhs, py::arg("plan"), py::arg("hierarchy"), py::arg("rhs"),
        py::arg("out"), py::kw_only(), py::arg("tolerance"), py::arg("max_iterations"),
        py::arg("weight_map") = py::none(), py::arg("workspace"), py::arg("report"),
        py::arg("certify") = py::none(), py::arg("device"), py::arg("stream"));
  m.def("poisson_clear_warm", &clear_warm, py::arg("plan"), py::arg("count"), py::arg("channels"),
        py::arg("warm"), py::kw_only(), py::arg("device"), py::arg("stream"));
  m.def(
      "poisson_report_bytes",
      [](int count, int channels) { return sizeof(PlaneReport) * planes_of(count, channels); },
      py::arg("count"), py::arg("channels"));
  m.def("poisson_report", &reports, py::arg("host"), py::arg("count"), py::arg("channels"));
}

}  // namespace pyharmony
