// Views of memory that Python gives by its address, for calls that were described before.
#pragma once

#include <cstdint>

#include "bindings/bindings.h"
#include "bindings/device_calls.h"

namespace pyharmony {

// A view like another one at an address; the emulator's checker knows of it for its lifetime.
class NamedView {
 public:
  NamedView(std::uintptr_t address, const ArrayView& like) : view_(like) {
    HM_CHECK(address != 0 || like.size() == 0, "tensor: without memory, expected one with memory");
    view_.data = pointer_of(address);
    view_.writable = true;
    if (array_view_observer != nullptr) array_view_observer(view_, true);
  }
  ~NamedView() {
    if (array_view_observer != nullptr) array_view_observer(view_, false);
  }
  NamedView(const NamedView&) = delete;
  NamedView& operator=(const NamedView&) = delete;

  const ArrayView& view() const { return view_; }

 private:
  ArrayView view_;
};

}  // namespace pyharmony
