// The line of the source that a machine instruction belongs to.
#pragma once

#include <string>
#include <vector>

namespace pyharmony::emulator {

// The path of a source relative to the repository, from whatever folder it was compiled: a cache of
// compilations keeps the paths of the first.
std::string repository_path(const std::string& given);

// The innermost line outside of csrc/emulator and csrc/device.
struct Line {
  std::string file = "?";  // relative to the repository
  int number = 0;
  std::string frames;  // with the inline functions around and inside of it, innermost first
};

// Of the call that returns to pc. Answers are kept.
Line locate(const void* pc);
// Asks for many at once, which is faster.
void locate_all(const std::vector<const void*>& pcs);

}  // namespace pyharmony::emulator
