// Finds the line of the source that a machine instruction belongs to.
#pragma once

#include <string>
#include <vector>

namespace pyharmony::emulator {

// Returns the path of a source relative to the repository, whatever folder it was compiled in: a
// cache of compilations keeps the paths of the first.
std::string repository_path(const std::string& given);

// The innermost line outside of csrc/emulator and csrc/device.
struct Line {
  std::string file = "?";  // relative to the repository
  int number = 0;
  std::string frames;  // with the inline functions around and inside it, innermost first
};

// Returns the line of the call that returns to pc. Answers are kept.
Line locate(const void* pc);
// Looks up many at once, which is faster.
void locate_all(const std::vector<const void*>& pcs);

}  // namespace pyharmony::emulator
