#include "ops/color_grid/color_grid_cuda.h"

#include "bindings/color_grid.h"
#include "bindings/device_calls.h"

namespace pyharmony {
namespace {

std::size_t gradient_workspace(const ArrayView& image, const ArrayView* curves,
                               const ArrayView* grid, std::int64_t grid_rows,
                               const ColorGridPlace& at) {
  return color_grid_gradient_workspace(
      color_grid_arguments(image, nullptr, nullptr, curves, grid, grid_rows, at, nullptr));
}

void run_gradient(const ColorGridGradientCall& call, const ArrayView& workspace,
                  cudaStream_t stream) {
  launch_color_grid_gradient(call.first, call.second, workspace.data,
                             static_cast<std::size_t>(workspace.size()), stream);
}

}  // namespace

void bind_color_grid_cuda(py::module_& m) {
  const py::kw_only named;
  define_on_device(m, "color_grid", chain(color_grid_arguments, launch_color_grid), "image"_a,
                   "mask"_a, "affine"_a, "curves"_a, "grid"_a, "grid_rows"_a, "frame"_a,
                   "out"_a.none(false), named);
  m.def("color_grid_gradient_workspace", &gradient_workspace, "image"_a, "curves"_a, "grid"_a,
        "grid_rows"_a, "frame"_a);
  define_on_device(m, "color_grid_gradient", chain(color_grid_gradient_arguments, run_gradient),
                   "image"_a, "mask"_a, "affine"_a, "curves"_a, "grid"_a, "grid_rows"_a, "frame"_a,
                   "grad"_a, "dimage"_a, "dmask"_a, "daffine"_a, "dcurves"_a, "dgrid"_a, named,
                   "workspace"_a);
}

}  // namespace pyharmony
