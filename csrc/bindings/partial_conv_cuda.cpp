#include "ops/partial_conv/partial_conv_cuda.h"

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/pointers.h"
#include "device/runtime.h"

namespace pyharmony {
namespace {

using device::Guard;
using WindowValues = std::array<std::int64_t, 8>;
// A layer: window, count or None, ratio, cover, and the address of rows or 0.
using LayerTuple =
    std::tuple<WindowValues, const ArrayView*, const ArrayView*, const ArrayView*, std::uintptr_t>;
// A pointer and the number of bytes that may be used.
using Workspace = std::pair<std::uintptr_t, std::size_t>;

std::int32_t* integers(std::uintptr_t address) {
  return static_cast<std::int32_t*>(pointer_of(address));
}

}  // namespace

void bind_partial_conv_cuda(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  const py::arg device("device"), stream("stream");
  const auto optional = [](const char* name) { return py::arg(name).none(true); };
  m.def(
      "partial_conv_plan_workspace",
      [](const ArrayView& mask, std::int64_t groups, bool soft,
         const std::vector<WindowValues>& windows) {
        std::vector<ConvWindow> each;
        for (const WindowValues& window : windows) each.push_back(conv_window(window));
        return partial_conv_plan_workspace(mask, groups, soft, each);
      },
      py::arg("mask"), py::arg("groups"), py::arg("soft"), py::arg("windows"));
  m.def(
      "partial_conv_plan",
      [](const ArrayView& mask, std::int64_t groups, bool soft,
         const std::vector<LayerTuple>& layers, std::uintptr_t totals, std::uintptr_t flags,
         const Workspace& workspace, int index, std::uintptr_t on) {
        std::vector<PartialConvLayer> each;
        for (const auto& [window, count, ratio, cover, rows] : layers) {
          HM_CHECK(ratio != nullptr && cover != nullptr, "layers: no ratio, or no cover");
          each.push_back({conv_window(window), count == nullptr ? ArrayView{} : *count, *ratio,
                          *cover, integers(rows)});
        }
        const Guard guard(index);
        launch_partial_conv_plan(mask, groups, soft, each, integers(totals), integers(flags),
                                 pointer_of(workspace.first), workspace.second, stream_of(on));
      },
      py::arg("mask"), py::arg("groups"), py::arg("soft"), py::arg("layers"), py::arg("totals"),
      py::arg("flags"), py::arg("workspace"), py::kw_only(), device, stream, release);
  m.def(
      "partial_conv_premask",
      [](const ArrayView& x, const ArrayView* mask, double value, const ArrayView* factor,
         const ArrayView& out, int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_partial_conv_premask(x, mask, {value, factor}, out, stream_of(on));
      },
      py::arg("x"), optional("mask"), py::arg("value"), optional("factor"), py::arg("out"),
      py::kw_only(), device, stream, release);
  m.def("partial_conv_sums_workspace", &partial_conv_sums_workspace, py::arg("tensor"),
        py::arg("sums"));
  m.def(
      "partial_conv_epilogue",
      [](const ArrayView& acc, const ArrayView* ratio, const ArrayView* cover,
         const ArrayView* bias, double value, const ArrayView* factor, double slope,
         const ArrayView& y, const ArrayView* sums, const Workspace& workspace, int index,
         std::uintptr_t on) {
        const Guard guard(index);
        launch_partial_conv_epilogue({&acc,
                                      ratio,
                                      cover,
                                      bias,
                                      {value, factor},
                                      slope,
                                      &y,
                                      sums,
                                      pointer_of(workspace.first),
                                      workspace.second},
                                     stream_of(on));
      },
      py::arg("acc"), optional("ratio"), optional("cover"), optional("bias"), py::arg("value"),
      optional("factor"), py::arg("negative_slope"), py::arg("y"), optional("sums"),
      py::arg("workspace"), py::kw_only(), device, stream, release);
  m.def(
      "partial_conv_epilogue_grad",
      [](const ArrayView& grad, const ArrayView* y, const ArrayView* ratio, const ArrayView* cover,
         double value, const ArrayView* factor, double slope, const ArrayView& h,
         const ArrayView* bias_grad, const Workspace& workspace, int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_partial_conv_epilogue_grad({&grad,
                                           y,
                                           ratio,
                                           cover,
                                           {value, factor},
                                           slope,
                                           &h,
                                           bias_grad,
                                           pointer_of(workspace.first),
                                           workspace.second},
                                          stream_of(on));
      },
      py::arg("grad"), optional("y"), optional("ratio"), optional("cover"), py::arg("value"),
      optional("factor"), py::arg("negative_slope"), py::arg("h"), optional("bias_grad"),
      py::arg("workspace"), py::kw_only(), device, stream, release);
  m.def(
      "partial_conv_direct_fits",
      [](std::int64_t channels, const WindowValues& window) {
        return partial_conv_direct_fits(channels, conv_window(window));
      },
      py::arg("channels"), py::arg("window"));
  m.def(
      "partial_conv_direct",
      [](const ArrayView& x, const ArrayView* mask, const ArrayView& weight,
         const WindowValues& window, const ArrayView* ratio, const ArrayView* cover,
         const ArrayView* bias, double value, const ArrayView* factor, double slope,
         const ArrayView& y, int index, std::uintptr_t on) {
        const Guard guard(index);
        launch_partial_conv_direct({&x,
                                    mask,
                                    &weight,
                                    conv_window(window),
                                    ratio,
                                    cover,
                                    bias,
                                    {value, factor},
                                    slope,
                                    &y},
                                   stream_of(on));
      },
      py::arg("x"), optional("mask"), py::arg("weight"), py::arg("window"), optional("ratio"),
      optional("cover"), optional("bias"), py::arg("value"), optional("factor"),
      py::arg("negative_slope"), py::arg("y"), py::kw_only(), device, stream, release);
}

}  // namespace pyharmony
