#include "ops/partial_conv/partial_conv_cuda.h"

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"

namespace pyharmony {
namespace {

using WindowValues = std::array<std::int64_t, 8>;
// A layer: window, count, ratio, cover, and the address of rows.
using LayerTuple = std::tuple<WindowValues, ArrayView, ArrayView, ArrayView, std::uintptr_t>;

std::int32_t* integers(std::uintptr_t address) {
  return static_cast<std::int32_t*>(pointer_of(address));
}

std::size_t plan_workspace(const ArrayView& mask, std::int64_t groups, bool soft,
                           const std::vector<WindowValues>& windows) {
  std::vector<ConvWindow> each;
  for (const WindowValues& window : windows) each.push_back(conv_window(window));
  return partial_conv_plan_workspace(mask, groups, soft, each);
}

void plan(const ArrayView& mask, std::int64_t groups, bool soft,
          const std::vector<LayerTuple>& layers, std::uintptr_t totals, std::uintptr_t flags,
          const Block& workspace, cudaStream_t stream) {
  std::vector<PartialConvLayer> each;
  for (const auto& [window, count, ratio, cover, rows] : layers) {
    each.push_back({conv_window(window), count, ratio, cover, integers(rows)});
  }
  launch_partial_conv_plan(mask, groups, soft, each, integers(totals), integers(flags),
                           pointer_of(workspace.first), workspace.second, stream);
}

// Addresses of rows and totals, and of how many images they are.
using RowListTuple = std::tuple<std::uintptr_t, std::uintptr_t, std::int64_t>;

DeviceRowList list_of(const RowListTuple& list) {
  const auto& [rows, totals, images] = list;
  return {integers(rows), integers(totals), images};
}

DeviceRows rows(const ArrayView& x, const ArrayView* mask, const ArrayView& weight,
                const WindowValues& window, const RowListTuple& list, const ArrayView* ratio,
                const ArrayView* bias, double value, const ArrayView* factor, double slope,
                const ArrayView& y, const Block& workspace) {
  void* const memory = pointer_of(workspace.first);
  return {&x,    mask, &weight, conv_window(window), list_of(list), ratio, bias, {value, factor},
          slope, &y,   memory,  workspace.second};
}

DeviceRowsInputGrad rows_input_grad(const ArrayView& h, const ArrayView* cover,
                                    const ArrayView& weight, const WindowValues& window,
                                    const ArrayView* mask, double value, const ArrayView* factor,
                                    const ArrayView& dx, const Block& workspace) {
  void* const memory = pointer_of(workspace.first);
  return {&h,  cover,  &weight,         conv_window(window), mask, {value, factor},
          &dx, memory, workspace.second};
}

DeviceRowsWeightGrad rows_weight_grad(const ArrayView& h, const ArrayView& x, const ArrayView* mask,
                                      const WindowValues& window, const RowListTuple& list,
                                      const ArrayView& dw, const Block& workspace) {
  void* const memory = pointer_of(workspace.first);
  return {&h, &x, mask, conv_window(window), list_of(list), &dw, memory, workspace.second};
}

std::size_t rows_input_workspace(const ArrayView& dx, const WindowValues& window) {
  return partial_conv_rows_input_workspace(dx, conv_window(window));
}

bool rows_fit(int value_bytes, std::int64_t channels, std::int64_t outputs,
              const WindowValues& window, int device) {
  const device::Guard guard(device);
  return partial_conv_rows_fit(value_bytes, channels, outputs, conv_window(window));
}

}  // namespace

void bind_partial_conv_cuda(py::module_& m) {
  const py::arg slope("negative_slope");
  const py::kw_only named;
  m.def("partial_conv_plan_workspace", &plan_workspace, "mask"_a, "groups"_a, "soft"_a,
        "windows"_a);
  define_on_device(m, "partial_conv_plan", plan, "mask"_a, "groups"_a, "soft"_a, "layers"_a,
                   "totals"_a, "flags"_a, "workspace"_a, named);
  m.def("partial_conv_rows_fit", &rows_fit, "value_bytes"_a, "channels"_a, "outputs"_a, "window"_a,
        "device"_a);
  m.def("partial_conv_rows_workspace", &partial_conv_rows_workspace, "y"_a);
  define_on_device(m, "partial_conv_rows", chain(rows, launch_partial_conv_rows), "x"_a, "mask"_a,
                   "weight"_a, "window"_a, "rows"_a, "ratio"_a, "bias"_a, "value"_a, "factor"_a,
                   slope, "y"_a, "workspace"_a, named);
  m.def("partial_conv_rows_input_workspace", &rows_input_workspace, "dx"_a, "window"_a);
  define_on_device(m, "partial_conv_rows_input_grad",
                   chain(rows_input_grad, launch_partial_conv_rows_input_grad), "h"_a, "cover"_a,
                   "weight"_a, "window"_a, "mask"_a, "value"_a, "factor"_a, "dx"_a, "workspace"_a,
                   named);
  m.def("partial_conv_rows_weight_workspace", &partial_conv_rows_weight_workspace, "h"_a, "dw"_a);
  define_on_device(m, "partial_conv_rows_weight_grad",
                   chain(rows_weight_grad, launch_partial_conv_rows_weight_grad), "h"_a, "x"_a,
                   "mask"_a, "window"_a, "rows"_a, "dw"_a, "workspace"_a, named);
}

}  // namespace pyharmony
