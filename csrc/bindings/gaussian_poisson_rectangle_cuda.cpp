// The direct solver of the rectangle on a device.
#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"
#include "core/status.h"
#include "device/image.h"
#include "ops/gaussian_poisson/direct_cuda.h"

namespace pyharmony {
namespace {

namespace gp = gaussian_poisson;
using device::as_image_batch;
using Optional = std::optional<ArrayView>;

// The arguments that all functions take. shared_per_block: that of another device; 0: of this one.
struct DirectCall {
  gp::DirectParams params;
  int device;
};

DirectCall make_direct_call(const Optional& src, const Optional& dst, const Optional& mask,
                            const Optional& base, const ArrayView& out, double weight, double w0,
                            double w1, const Optional& rhs, int device,
                            std::size_t shared_per_block) {
  gp::DirectParams params;
  auto image = [](const Optional& view, const char* name, device::ImageBatch& to,
                  bool plane = false) {
    if (view) to = as_image_batch(*view, name, plane);
  };
  image(src, "src", params.src);
  image(dst, "dst", params.dst);
  image(mask, "mask", params.mask, true);
  image(base, "base", params.base);
  image(rhs, "rhs", params.rhs);
  HM_CHECK(out.writable, "out: the array is read-only");
  params.out = as_image_batch(out, "out");
  params.weight = weight;
  params.w0 = w0;
  params.w1 = w1;
  const Processors own = processors_of(device);
  params.processors = own.count;
  params.shared_per_processor = own.shared_per_processor;
  params.shared_per_block = shared_per_block > 0 ? shared_per_block : own.shared_per_block;
  return {params, device};
}

bool width_fits(int width, int device) {
  return gp::direct_fits(width, processors_of(device).shared_per_block);
}

py::tuple tables_of(int width, double weight, double w0, double w1) {
  int slow = 0;
  std::vector<unsigned char> bytes;
  {
    const GilRelease release;
    bytes = gp::direct_tables(width, weight, w0, w1, slow);
  }
  py::array_t<std::uint8_t> out(static_cast<py::ssize_t>(bytes.size()));
  std::memcpy(out.mutable_data(), bytes.data(), bytes.size());
  return py::make_tuple(out, slow);
}

std::size_t direct_workspace_bytes(const DirectCall& call) {
  return gp::direct_workspace(call.params);
}

void solve_directly(DirectCall call, const Block& tables, int slow, const Block& workspace,
                    std::uintptr_t stream) {
  gp::DirectParams& params = call.params;
  const int bytes = gp::direct_plan(params.out.width).bytes;
  HM_CHECK(tables.second == static_cast<std::size_t>(bytes), "tables: ", tables.second,
           " bytes, expected ", bytes);
  params.tables = pointer_of(tables.first);
  params.slow = slow;
  params.workspace = pointer_of(workspace.first);
  params.workspace_size = workspace.second;
  const device::Guard guard(call.device);
  gp::launch_gaussian_poisson_direct(params, stream_of(stream));
}

void direct_residual(const DirectCall& call, std::uintptr_t residuals, std::uintptr_t stream) {
  const device::Guard guard(call.device);
  gp::launch_gaussian_poisson_direct_residual(
      call.params, static_cast<float*>(pointer_of(residuals)), stream_of(stream));
}

}  // namespace

void bind_gaussian_poisson_rectangle_cuda(py::module_& m) {
  m.def("gaussian_poisson_direct_fits", &width_fits, "width"_a, "device"_a);
  m.def(
      "gaussian_poisson_direct_convolves",
      [](int width) { return gp::direct_plan(width).convolves(); }, "width"_a);
  m.def("gaussian_poisson_direct_tables", &tables_of, "width"_a, "weight"_a, "w0"_a, "w1"_a);
  const auto define = [&](const auto&... names) {
    const py::call_guard<GilRelease> release;
    m.def("gaussian_poisson_direct_workspace", chain(make_direct_call, direct_workspace_bytes),
          names..., release);
    m.def("gaussian_poisson_direct", chain(make_direct_call, solve_directly), names..., "tables"_a,
          "slow"_a, "workspace"_a, "stream"_a, release);
    m.def("gaussian_poisson_direct_residual", chain(make_direct_call, direct_residual), names...,
          "residuals"_a, "stream"_a, release);
  };
  // The names of the arguments of make_direct_call.
  define("src"_a, "dst"_a, "mask"_a, "base"_a, "out"_a, py::kw_only(), "weight"_a, "w0"_a, "w1"_a,
         "rhs"_a = py::none(), "device"_a, "shared_per_block"_a = 0);
}

}  // namespace pyharmony
