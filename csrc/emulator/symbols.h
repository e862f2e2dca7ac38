// The line of the source that a machine instruction belongs to.
#pragma once

#include <string>

namespace pyharmony::emulator {

struct Line {
  std::string file = "?";  // relative to the repository
  int number = 0;
  // Where that is an inline function of a header: the lines that called it, innermost first.
  std::string inlined_at;
};

// Of the call that returns to pc, as a line outside the emulator. Answers are kept.
const Line& locate(const void* pc);

}  // namespace pyharmony::emulator
