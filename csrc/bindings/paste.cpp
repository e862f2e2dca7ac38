#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "ops/alpha/paste.h"
#include "ops/gaussian_poisson/paste.h"
#include "ops/poisson/paste.h"

namespace pyharmony {
namespace {

// The dtype of a format of Python's buffers, in this machine's byte order.
std::optional<DType> dtype_of(const std::string& format) {
  if (format == "?") return DType::kBool;
  if (format == "B") return DType::kUInt8;
  if (format == "H") return DType::kUInt16;
  if (format == "e") return DType::kFloat16;
  if (format == "f") return DType::kFloat32;
  if (format == "d") return DType::kFloat64;
  return std::nullopt;
}

// The memory of an array [H, W] or [H, W, C], which it keeps.
struct Pixels {
  py::buffer_info memory;
  ImageView view;

  std::pair<const char*, const char*> bounds() const {
    const char* first = static_cast<const char*>(memory.ptr);
    const char* last = first + memory.itemsize;
    for (py::ssize_t i = 0; i < memory.ndim; ++i) {
      const py::ssize_t reach = (memory.shape[i] - 1) * memory.strides[i];
      (reach < 0 ? first : last) += reach;
    }
    return {first, last};
  }
  bool may_share(const Pixels& other) const {
    const auto [first, last] = bounds();
    const auto [other_first, other_last] = other.bounds();
    return first < other_last && other_first < last;
  }
};

// Returns the pixels of an array that kernels can read in place, or nothing.
std::optional<Pixels> pixels_of(const py::handle& array, bool plane) {
  Pixels result;
  try {
    result.memory = py::reinterpret_borrow<py::buffer>(array).request();
  } catch (const py::error_already_set&) {  // a dtype that buffers lack
    return std::nullopt;
  }
  const py::buffer_info& memory = result.memory;
  const std::optional<DType> dtype = dtype_of(memory.format);
  const bool has_channels = memory.ndim == 3;
  if (!dtype || memory.size == 0 || (memory.ndim != 2 && !has_channels)) return std::nullopt;
  if (plane ? has_channels && memory.shape[2] != 1 : dtype == DType::kBool) return std::nullopt;
  const py::ssize_t size = memory.itemsize;
  if (reinterpret_cast<std::uintptr_t>(memory.ptr) % size != 0) return std::nullopt;
  for (py::ssize_t stride : memory.strides) {
    if (stride % size != 0) return std::nullopt;
  }
  ImageView& view = result.view;
  view.data = memory.ptr;
  view.dtype = *dtype;
  view.height = memory.shape[0];
  view.width = memory.shape[1];
  view.channels = has_channels ? memory.shape[2] : 1;
  view.row_stride = memory.strides[0] / size;
  view.col_stride = memory.strides[1] / size;
  view.channel_stride = has_channels ? memory.strides[2] / size : 1;
  return result;
}

// Blends by `poisson`, with the options (gradients, contour, weight, tolerance, max_iterations).
// Returns (clipped, flooded, converged, iterations, estimate, max_error), or None where it is left
// out.
py::object paste_poisson(const ImageView& image, const ImageView& out, const PlacedItem& item,
                         const py::tuple& values, const PlaceLimits& limits) {
  poisson::PasteOptions options;
  options.guidance = poisson::parse_guidance(values[0].cast<std::string>());
  options.contour = poisson::parse_contour(values[1].cast<std::string>());
  options.weight = values[2].cast<double>();
  options.tolerance = values[3].cast<double>();
  options.max_iterations = values[4].cast<int>();
  const poisson::Pasted pasted =
      without_gil([&] { return poisson::paste(image, out, item, options, limits); });
  if (!pasted.pasted) return py::none();
  return py::make_tuple(pasted.clipped, pasted.flooded, pasted.converged, pasted.iterations,
                        pasted.estimate, pasted.max_error);
}

// Blends by `gaussian_poisson`, with the options (weight, w0, w1, smooth_sigma, coarsest,
// tolerance, coarse_tolerance, covered, max_steps, max_iterations). Returns (clipped, flooded).
py::object paste_gaussian_poisson(const ImageView& image, const ImageView& out,
                                  const PlacedItem& item, const py::tuple& values,
                                  const PlaceLimits& limits) {
  gaussian_poisson::PasteOptions options;
  options.weight = values[0].cast<double>();
  options.w0 = values[1].cast<double>();
  options.w1 = values[2].cast<double>();
  options.smooth_sigma = values[3].cast<double>();
  options.coarsest = values[4].cast<std::int64_t>();
  options.tolerance = values[5].cast<double>();
  options.coarse_tolerance = values[6].cast<double>();
  options.covered = values[7].cast<bool>();
  options.max_steps = values[8].cast<int>();
  options.max_iterations = values[9].cast<int>();
  const gaussian_poisson::Pasted pasted =
      without_gil([&] { return gaussian_poisson::paste(image, out, item, options, limits); });
  if (!pasted.pasted) return py::none();
  return py::make_tuple(pasted.clipped, pasted.flooded);
}

// Composites by `alpha`, with the options (keep_alpha, decontaminate, owned). Returns (clipped,
// flooded), which it never is.
py::object paste_composite(const ImageView& image, const ImageView& out, const PlacedItem& item,
                           const py::tuple& values, const PlaceLimits& limits) {
  const AlphaOptions options = {values[0].cast<bool>(), values[1].cast<bool>(),
                                values[2].cast<bool>()};
  const bool pasted = without_gil([&] { return paste_alpha(image, out, item, limits, options); });
  return pasted ? py::make_tuple(0.0, 0.0) : py::object(py::none());
}

// Pastes items in order into a copy of dst, or dst itself where out is it, until one is left out;
// returns the reports of those that were pasted. Each is (src, mask, y, x, method, options).
py::list paste_items(const py::object& dst, const py::object& out, const py::sequence& items,
                     std::int64_t strip, double faint, double most_faint, bool warns) {
  py::list reports;
  const std::optional<Pixels> image = pixels_of(dst, false), result = pixels_of(out, false);
  if (!image || !result || result->memory.readonly) return reports;
  const bool in_place = image->view.data == result->view.data;
  if (!in_place && image->may_share(*result)) return reports;
  if (without_gil([&] { return may_be_bytes(image->view); })) return reports;
  const PlaceLimits limits = {strip, faint, most_faint, warns};
  ImageView under = image->view;
  for (const py::handle& each : items) {
    const py::tuple values = py::reinterpret_borrow<py::tuple>(each);
    const std::optional<Pixels> src = pixels_of(values[0], false);
    if (!src || src->view.dtype != under.dtype ||
        colors_of(src->view).channels != colors_of(under).channels || src->may_share(*result)) {
      break;
    }
    PlacedItem item;
    item.src = src->view;
    std::optional<Pixels> mask;
    if (!values[1].is_none()) {
      mask = pixels_of(values[1], true);
      if (!mask || mask->view.height != src->view.height || mask->view.width != src->view.width ||
          mask->may_share(*result)) {
        break;
      }
      item.mask = mask->view;
    }
    item.y = values[2].cast<std::int64_t>();
    item.x = values[3].cast<std::int64_t>();
    const std::string method = values[4].cast<std::string>();
    const auto paste = method == "alpha"     ? paste_composite
                       : method == "poisson" ? paste_poisson
                                             : paste_gaussian_poisson;
    const py::object report = paste(under, result->view, item, values[5], limits);
    if (report.is_none()) break;
    under = result->view;
    reports.append(report);
  }
  return reports;
}

}  // namespace

void bind_paste(py::module_& m) {
  m.def("paste", &paste_items, "dst"_a, "out"_a, "items"_a, "strip"_a, "faint"_a, "most_faint"_a,
        "warns"_a);
}

}  // namespace pyharmony
