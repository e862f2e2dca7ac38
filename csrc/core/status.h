// Checks that print the values they were given.
//
// The message is built only when the check fails. bindings/ turns std::invalid_argument into
// ValueError and std::bad_alloc into MemoryError.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace pyharmony {

template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::invalid_argument(message.str());
}

}  // namespace pyharmony

// Use: HM_CHECK(mask.shape[0] == height, "mask: height ", mask.shape[0], ", expected ", height);
#define HM_CHECK(condition, ...)                      \
  do {                                                \
    if (!(condition)) ::pyharmony::fail(__VA_ARGS__); \
  } while (false)
