#include "ops/partial_conv/partial_conv.h"

#include "bindings/bindings.h"

namespace pyharmony {
namespace {

using Window = std::array<std::int64_t, 8>;
// The address of int32 values, and how many there are.
using Rows = std::pair<std::uintptr_t, std::int64_t>;
using OutSize = std::pair<std::int64_t, std::int64_t>;

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

void gather(const ArrayView& x, const ArrayView* mask, const Window& window, OutSize size,
            Rows rows, const ArrayView& columns, bool channels_first) {
  partial_conv_gather({x, mask, conv_window(window), size.first, size.second, integers(rows.first),
                       rows.second, columns, channels_first});
}

void fold(const ArrayView& columns, std::uintptr_t index, const Window& window, OutSize size,
          const ArrayView* mask, const ArrayView& dx, bool channels_first) {
  partial_conv_fold({columns, integers(index), conv_window(window), size.first, size.second, mask,
                     dx, channels_first});
}

void epilogue(const ArrayView* acc, Rows rows, const ArrayView* ratio, const ArrayView* cover,
              const ArrayView* bias, double scale, double negative_slope, const ArrayView& y) {
  partial_conv_epilogue({acc, acc ? integers(rows.first) : nullptr, rows.second, ratio, cover, bias,
                         scale, negative_slope, y});
}

void epilogue_grad(const ArrayView& grad, const ArrayView* y, const std::optional<Rows>& rows,
                   const ArrayView* ratio, const ArrayView* cover, double scale,
                   double negative_slope, const ArrayView& h, const ArrayView* bias_grad) {
  partial_conv_epilogue_grad({grad, y, rows ? integers(rows->first) : nullptr,
                              rows ? rows->second : 0, ratio, cover, scale, negative_slope, h,
                              bias_grad});
}

}  // namespace

void bind_partial_conv(py::module_& m) {
  const py::call_guard<GilRelease> release;
  m.def("partial_conv_mask_kind", &partial_conv_mask_kind, "mask"_a, release);
  m.def("partial_conv_plan", &plan, "mask"_a, "groups"_a, "soft"_a, "layers"_a, release);
  m.def("partial_conv_index", &index_rows, "rows"_a, "index"_a, release);
  m.def("partial_conv_gather", &gather, "x"_a, "mask"_a, "window"_a, "size"_a, "rows"_a,
        "columns"_a, "channels_first"_a, release);
  m.def("partial_conv_fold", &fold, "columns"_a, "index"_a, "window"_a, "size"_a, "mask"_a, "dx"_a,
        "channels_first"_a, release);
  m.def("partial_conv_epilogue", &epilogue, "acc"_a, "rows"_a, "ratio"_a, "cover"_a, "bias"_a,
        "scale"_a, "negative_slope"_a, "y"_a, release);
  m.def("partial_conv_epilogue_grad", &epilogue_grad, "grad"_a, "y"_a, "rows"_a, "ratio"_a,
        "cover"_a, "scale"_a, "negative_slope"_a, "h"_a, "bias_grad"_a, release);
  m.def("partial_conv_premask", &partial_conv_premask, "x"_a, "mask"_a, "out"_a, release);
}

}  // namespace pyharmony
