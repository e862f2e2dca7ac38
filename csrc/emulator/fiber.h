// Stacks that take turns on one thread of the machine.
#pragma once

#include <cstddef>

namespace pyharmony::emulator {

// The point where a fiber, or the thread that started it, continues.
struct Context {
  void* sp = nullptr;
  void* fake_stack = nullptr;  // for AddressSanitizer
  char* stack = nullptr;       // its lowest byte
  std::size_t bytes = 0;
};

// Stacks in one piece of memory, each above a page that must not be touched.
class Stacks {
 public:
  Stacks() = default;
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  void reserve(std::size_t count);  // makes at least `count`; their contents are lost
  std::size_t count() const { return count_; }
  char* stack(std::size_t i) const;
  static std::size_t bytes();
  bool holds(const void* p) const { return p >= memory_ && p < memory_ + size_; }
  // Finds the lowest and one past the highest byte of the stack that holds p.
  void bounds(const void* p, const char** begin, const char** end) const;

 private:
  char* memory_ = nullptr;
  std::size_t size_ = 0, count_ = 0;
};

// Returns the stack that the caller runs on; its address is for AddressSanitizer alone.
Context this_thread();
// Makes a fiber that begins at entry; entry calls begin_fiber() first, and never returns.
Context make_fiber(char* stack, std::size_t bytes, void (*entry)());
void begin_fiber();
// Continues at `to`; returns when somebody switches to `from`.
void switch_to(Context& from, Context& to);
// Continues at `to`, for a fiber that nobody will switch to any more.
[[noreturn]] void leave_for(Context& to);

}  // namespace pyharmony::emulator
