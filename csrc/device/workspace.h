// Parts of one piece of device memory.
#pragma once

#include <cstdint>

namespace pyharmony::device {

// Adds a part of `size` bytes to a workspace of `bytes` so far; returns where the part begins.
// Parts begin at multiples of 256 bytes.
template <typename Bytes>
Bytes take(Bytes& bytes, std::int64_t size) {
  const Bytes at = bytes;
  bytes += static_cast<Bytes>((size + 255) / 256 * 256);
  return at;
}

}  // namespace pyharmony::device
