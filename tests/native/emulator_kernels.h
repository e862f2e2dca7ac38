// The kernels with which the emulator is tested.
#pragma once

#include <string>
#include <vector>

namespace pyharmony::emulator_tests {

// Arrays of the caller; a comment beside each kernel says what they hold.
struct Arrays {
  const float* in = nullptr;
  float* out = nullptr;
  unsigned* counters = nullptr;
  int n = 0;
};

void run(const std::string& name, const Arrays& arrays);
// A launch of a kernel that does nothing.
void launch(const std::vector<unsigned>& grid, const std::vector<unsigned>& block,
            std::size_t shared_bytes, std::size_t allowed_bytes, unsigned cluster);
std::vector<std::string> names();

}  // namespace pyharmony::emulator_tests
