#include "ops/poisson/poisson_cuda.h"

#include <cstring>
#include <limits>
#include <optional>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"

namespace pyharmony {
namespace {

using device::ImageBatch;
using poisson::DeviceSolve;
using poisson::Plan;
using poisson::PlaneReport;

void check_bytes(const Block& block, std::size_t needed, const char* name) {
  HM_CHECK(block.second >= needed, name, ": ", block.second, " bytes, expected at least ", needed);
}

ImageBatch optional_batch(const std::optional<ArrayView>& array, const char* name,
                          bool plane = false) {
  return array ? device::as_image_batch(*array, name, plane) : ImageBatch();
}

Plan make_plan(int height, int width, const std::optional<std::array<int, 4>>& box, int items,
               bool pinned, double weight, bool weight_map, double w0, double w1, int tail_cells,
               int shared_tiles, int processors, int cluster) {
  const auto [top, left, bottom, right] = box.value_or(std::array<int, 4>{0, 0, height, width});
  return poisson::make_plan({height, width, top, left, bottom, right, items, pinned, weight, w0, w1,
                             weight_map, tail_cells, shared_tiles, processors, cluster});
}

int planes_of(int count, int channels) {
  const std::int64_t planes = std::int64_t(count) * channels;
  HM_CHECK(count >= 1 && channels >= 1 && planes <= 65535, "images: ", count, " of ", channels,
           " channels, expected 1 to 65535 planes");
  return static_cast<int>(planes);
}

template <std::size_t (*bytes)(const Plan&, int)>
std::size_t bytes_of(const Plan& plan, int count, int channels) {
  return bytes(plan, planes_of(count, channels));
}

// The memory of a call, checked against the plan's needs; `warm`, `certify` and `done` may be
// missing.
struct Memory {
  Block hierarchy, workspace, report;
  std::optional<Block> warm, certify, done;
};

void run(const Plan& plan, const poisson::SolveImages& images, double tolerance, int max_iterations,
         const Memory& memory, cudaStream_t stream) {
  const Block warm = memory.warm.value_or(Block()), certify = memory.certify.value_or(Block()),
              done = memory.done.value_or(Block());
  const int planes = planes_of(images.count(), images.channels());
  check_bytes(memory.hierarchy, plan.bytes(), "hierarchy");
  check_bytes(memory.workspace, poisson::solve_workspace_bytes(plan, planes), "workspace");
  check_bytes(memory.report, sizeof(PlaneReport) * planes, "report");
  if (warm.first != 0) check_bytes(warm, poisson::warm_bytes(plan, planes), "warm");
  if (certify.first != 0) {
    check_bytes(certify, poisson::certify_workspace_bytes(plan, planes), "certify_workspace");
  }
  if (done.first != 0) check_bytes(done, sizeof(std::int64_t) * planes, "done");
  DeviceSolve solve;
  solve.images = images;
  solve.tolerance = tolerance;
  solve.max_iterations = max_iterations;
  const Processors processors = processors_of(device::current_device());
  solve.room = {plan.options.processors < 0 ? processors.count : plan.options.processors,
                processors.shared_per_processor, processors.shared_per_block};
  solve.warm = pointer_of(warm.first);
  solve.report = static_cast<PlaneReport*>(pointer_of(memory.report.first));
  solve.done = static_cast<std::int64_t*>(pointer_of(done.first));
  void* const hierarchy = pointer_of(memory.hierarchy.first);
  void* const workspace = pointer_of(memory.workspace.first);
  poisson::launch_poisson_solve(plan, hierarchy, solve, workspace, stream);
  if (certify.first != 0) {
    poisson::launch_poisson_certify(plan, hierarchy, solve, workspace, pointer_of(certify.first),
                                    stream);
  }
}

void solve_images(const Plan& plan, const Block& hierarchy, const ArrayView& src,
                  const ArrayView& dst, const ArrayView& mask, const std::optional<ArrayView>& base,
                  const ArrayView& out, const std::string& gradients, const std::string& contour,
                  double tolerance, int max_iterations, const std::optional<ArrayView>& weight_map,
                  const Block& workspace, const Block& report, const std::optional<Block>& warm,
                  const std::optional<Block>& certify, const std::optional<Block>& done,
                  cudaStream_t stream) {
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
  run(plan, images, tolerance, max_iterations, {hierarchy, workspace, report, warm, certify, done},
      stream);
}

void solve_rhs(const Plan& plan, const Block& hierarchy, const ArrayView& rhs, const ArrayView& out,
               double tolerance, int max_iterations, const std::optional<ArrayView>& weight_map,
               const Block& workspace, const Block& report, const std::optional<Block>& certify,
               cudaStream_t stream) {
  HM_CHECK(out.writable, "out: read-only");
  poisson::SolveImages images;
  images.rhs = device::as_image_batch(rhs, "rhs");
  images.weight_map = optional_batch(weight_map, "weight_map", true);
  images.out = device::as_image_batch(out, "out");
  run(plan, images, tolerance, max_iterations,
      {hierarchy, workspace, report, std::nullopt, certify, std::nullopt}, stream);
}

void set_up(const Plan& plan, const std::optional<ArrayView>& mask,
            const std::optional<ArrayView>& weight_map, const Block& memory, cudaStream_t stream) {
  check_bytes(memory, plan.bytes(), "memory");
  const ImageBatch plane = optional_batch(mask, "mask", true);
  const ImageBatch map = optional_batch(weight_map, "weight_map", true);
  poisson::launch_poisson_hierarchy(plan, plane, map, pointer_of(memory.first), stream);
}

void find_boxes(const ArrayView& mask, const Block& boxes, cudaStream_t stream) {
  const ImageBatch plane = device::as_image_batch(mask, "mask", true);
  check_bytes(boxes, 4 * sizeof(int) * plane.count, "boxes");
  poisson::launch_poisson_box(plane, static_cast<int*>(pointer_of(boxes.first)), stream);
}

void clear_warm(const Plan& plan, int count, int channels, const Block& warm, cudaStream_t stream) {
  const int planes = planes_of(count, channels);
  check_bytes(warm, poisson::warm_bytes(plan, planes), "warm");
  device::fill_zero(pointer_of(warm.first), sizeof(poisson::WarmPlane) * planes, stream);
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
    out.append(py::dict("iterations"_a = sum.iterations, "residual"_a = sum.residual,
                        "estimate"_a = sum.estimate, "first"_a = sum.first,
                        "max_error"_a = sum.max_error, "converged"_a = sum.converged != 0,
                        "unknowns"_a = sum.unknowns));
  }
  return out;
}

}  // namespace

void bind_poisson_cuda(py::module_& m) {
  const py::kw_only named;
  py::class_<Plan>(m, "PoissonPlan", py::module_local())
      .def(py::init(&make_plan), "height"_a, "width"_a, named, "box"_a = py::none(), "items"_a = 1,
           "pinned"_a = true, "weight"_a = 0.0, "weight_map"_a = false, "w0"_a = 1.0, "w1"_a = 0.0,
           "tail_cells"_a = poisson::kTailCells, "shared_tiles"_a = poisson::kSharedTiles,
           "processors"_a = -1, "cluster"_a = -1)
      .def_property_readonly("bytes", &Plan::bytes)
      .def_property_readonly("levels", [](const Plan& plan) { return plan.levels; })
      .def_property_readonly("tail", [](const Plan& plan) { return plan.tail; })
      .def("workspace_bytes", &bytes_of<poisson::solve_workspace_bytes>, "count"_a, "channels"_a)
      .def("certify_bytes", &bytes_of<poisson::certify_workspace_bytes>, "count"_a, "channels"_a)
      .def("warm_bytes", &bytes_of<poisson::warm_bytes>, "count"_a, "channels"_a);
  m.attr("POISSON_MAX_ITERATIONS") = poisson::kMaxDeviceIterations;
  define_on_device(m, "poisson_box", find_boxes, "mask"_a, "boxes"_a, named);
  define_on_device(m, "poisson_hierarchy", set_up, "plan"_a, "mask"_a, "weight_map"_a, "memory"_a,
                   named);
  define_on_device(m, "poisson_solve", solve_images, "plan"_a, "hierarchy"_a, "src"_a, "dst"_a,
                   "mask"_a, "base"_a, "out"_a, named, "gradients"_a, "contour"_a = "half",
                   "tolerance"_a, "max_iterations"_a, "weight_map"_a = py::none(), "workspace"_a,
                   "report"_a, "warm"_a = py::none(), "certify"_a = py::none(),
                   "done"_a = py::none());
  define_on_device(m, "poisson_solve_rhs", solve_rhs, "plan"_a, "hierarchy"_a, "rhs"_a, "out"_a,
                   named, "tolerance"_a, "max_iterations"_a, "weight_map"_a = py::none(),
                   "workspace"_a, "report"_a, "certify"_a = py::none());
  define_on_device(m, "poisson_clear_warm", clear_warm, "plan"_a, "count"_a, "channels"_a, "warm"_a,
                   named);
  m.def(
      "poisson_report_bytes",
      [](int count, int channels) { return sizeof(PlaneReport) * planes_of(count, channels); },
      "count"_a, "channels"_a);
  m.def("poisson_report", &reports, "host"_a, "count"_a, "channels"_a);
}

}  // namespace pyharmony
