#include "core/suspects.h"

#include <array>

#include "bindings/bindings.h"

namespace pyharmony {
namespace {

using Ends = std::array<std::int64_t, 4>;

Box box_of(const Ends& ends) { return {ends[0], ends[1], ends[2], ends[3]}; }

}  // namespace

void bind_suspects(py::module_& m) {
  m.def(
      "erased_colour",
      [](const ArrayView& dst, const ArrayView& mask, const Ends& place, const Ends& box) {
        return erased_colour(as_image(dst, "dst"), as_image(mask, "mask"), box_of(place),
                             box_of(box));
      },
      "dst"_a, "mask"_a, "place"_a, "box"_a, py::call_guard<GilRelease>());
  m.def(
      "flooded_levels",
      [](const ArrayView& src, const ArrayView& out, const ArrayView& mask, const Ends& place,
         const Ends& box) {
        return flooded_levels(as_image(src, "src"), as_image(out, "out"), as_image(mask, "mask"),
                              box_of(place), box_of(box));
      },
      "src"_a, "out"_a, "mask"_a, "place"_a, "box"_a, py::call_guard<GilRelease>());
}

}  // namespace pyharmony
