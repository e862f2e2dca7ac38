#include "ops/partial_conv/partial_conv.h"

#include "bindings/bindings.h"

namespace pyharmony {
namespace {

using Window = std::array<std::int64_t, 8>;
// The address of int32 values, and how many there are.
using Rows = std::pair<std::uintptr_t, std::int64_t>;
using Optional = std::optional<ArrayView>;
using OutSize = std::pair<std::int64_t, std::int64_t>;

const ArrayView* pointer(const Optional& a) { return a ? &*a : nullptr; }

std::int32_t* integers(std::uintptr_t address) { return reinterpret_cast<std::int32_t*>(address); }

// A layer: window, count, ratio, cover, and the address of the rows.
using Layer = std::tuple<Window, ArrayView, ArrayView, ArrayView, std::uintptr_t>;

std::vector<std::int64_t> plan(const ArrayView& mask, std::int64_t groups, bool soft,
                               const std::vector<Layer>& layers) {
  std::vector<PartialConvLayer> all;
  for (const auto& [window, count, ratio, cover, rows] : layers) {
    all.push_back({conv_window(window), count, ratio, cover, integers(rows)});
  }
  return partial_conv_plan(mask, groups, soft, all);
}

void index_rows(Rows rows, Rows index) {
  partial_conv_index(integers(rows.first), rows.second, integers(index.first), index.second);
}

void gather(const ArrayView& x, const Optional& mask, const Window& window, OutSize size, Rows rows,
            const ArrayView& columns, bool channels_first) {
  partial_conv_gather({x, pointer(mask), conv_window(window), size.first, size.second,
                       integers(rows.first), rows.second, columns, channels_first});
}

void fold(const ArrayView& columns, std::uintptr_t index, const Window& window, OutSize size,
          const Optional& mask, const ArrayView& dx, bool channels_first) {
  partial_conv_fold({columns, integers(index), conv_window(window), size.first, size.second,
                     pointer(mask), dx, channels_first});
}

void epilogue(const Optional& acc, Rows rows, const Optional& ratio, const Optional& cover,
              const Optional& bias, double scale, double negative_slope, const ArrayView& y) {
  partial_conv_epilogue({pointer(acc), acc ? integers(rows.first) : nullptr, rows.second,
                         pointer(ratio), pointer(cover), pointer(bias), scale, negative_slope, y});
}

void epilogue_grad(const ArrayView& grad, const Optional& y, const std::optional<Rows>& rows,
                   const Optional& ratio, const Optional& cover, double scale,
                   double negative_slope, const ArrayView& h, const Optional& bias_grad) {
  partial_conv_epilogue_grad({grad, pointer(y), rows ? integers(rows->first) : nullptr,
                              rows ? rows->second : 0, pointer(ratio), pointer(cover), scale,
                              negative_slope, h, pointer(bias_grad)});
}

}  // namespace

void bind_partial_conv(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  m.def("partial_conv_mask_kind", &partial_conv_mask_kind, py::arg("mask"), release);
  m.def("partial_conv_plan", &plan, py::arg("mask"), py::arg("groups"), py::arg("soft"),
        py::arg("layers"), release);
  m.def("partial_conv_index", &index_rows, py::arg("rows"), py::arg("index"), release);
  m.def("partial_conv_gather", &gather, py::arg("x"), py::arg("mask"), py::arg("window"),
        py::arg("size"), py::arg("rows"), py::arg("columns"), py::arg("channels_first"), release);
  m.def("partial_conv_fold", &fold, py::arg("columns"), py::arg("index"), py::arg("window"),
        py::arg("size"), py::arg("mask"), py::arg("dx"), py::arg("channels_first"), release);
  m.def("partial_conv_epilogue", &epilogue, py::arg("acc"), py::arg("rows"), py::arg("ratio"),
        py::arg("cover"), py::arg("bias"), py::arg("scale"), py::arg("negative_slope"),
        py::arg("y"), release);
  m.def("partial_conv_epilogue_grad", &epilogue_grad, py::arg("grad"), py::arg("y"),
        py::arg("rows"), py::arg("ratio"), py::arg("cover"), py::arg("scale"),
        py::arg("negative_slope"), py::arg("h"), py::arg("bias_grad"), release);
  m.def("partial_conv_premask", &partial_conv_premask, py::arg("x"), py::arg("mask"),
        py::arg("out"), release);
}

}  // namespace pyharmony
