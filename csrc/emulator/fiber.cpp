#include "emulator/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

extern "C" void hm_emulator_switch(void** save, void* load);

// Saves on the stack what a call must keep, changes the stack, and restores it from there.
#if defined(__x86_64__)
asm(R"(
.text
.globl hm_emulator_switch
.hidden hm_emulator_switch
.type hm_emulator_switch,@function
hm_emulator_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp,(%rdi)
  mov %rsi,%rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size hm_emulator_switch,.-hm_emulator_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl hm_emulator_switch
.hidden hm_emulator_switch
.type hm_emulator_switch,%function
hm_emulator_switch:
  stp x29, x30, [sp, #-160]!
  stp x19, x20, [sp, #16]
  stp x21, x22, [sp, #32]
  stp x23, x24, [sp, #48]
  stp x25, x26, [sp, #64]
  stp x27, x28, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #16]
  ldp x21, x22, [sp, #32]
  ldp x23, x24, [sp, #48]
  ldp x25, x26, [sp, #64]
  ldp x27, x28, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  ldp x29, x30, [sp], #160
  ret
.size hm_emulator_switch,.-hm_emulator_switch
)");
#else
#error "the emulator's switch of stacks is written for x86-64 and aarch64"
#endif

namespace pyharmony::emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStackBytes = 256 << 10;
#else
constexpr std::size_t kStackBytes = 64 << 10;
#endif

std::size_t guard_bytes() {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return page;
}

void begin_switch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const Context& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake_stack, to.stack, to.bytes);
#endif
}

void end_switch([[maybe_unused]] void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void release(void* memory, std::size_t bytes) {
  if (memory == nullptr) return;
#if defined(__SANITIZE_ADDRESS__)
  // A fiber's last frame never returns and stays poisoned; whoever maps these addresses next may
  // use them.
  __asan_unpoison_memory_region(memory, bytes);
#endif
  munmap(memory, bytes);
}

}  // namespace

Stacks::~Stacks() { release(memory_, size_); }

void Stacks::reserve(std::size_t count) {
  if (count <= count_) return;
  release(memory_, size_);
  count_ = count;
  size_ = count * (kStackBytes + guard_bytes());
  void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    memory_ = nullptr;
    count_ = size_ = 0;
    throw std::bad_alloc();
  }
  memory_ = static_cast<char*>(memory);
  for (std::size_t i = 0; i < count; ++i) {
    mprotect(stack(i) - guard_bytes(), guard_bytes(), PROT_NONE);
  }
}

char* Stacks::stack(std::size_t i) const {
  return memory_ + i * (kStackBytes + guard_bytes()) + guard_bytes();
}

std::size_t Stacks::bytes() { return kStackBytes; }

void Stacks::bounds(const void* p, const char** begin, const char** end) const {
  const std::size_t offset = static_cast<std::size_t>(static_cast<const char*>(p) - memory_);
  *begin = stack(offset / (kStackBytes + guard_bytes()));
  *end = *begin + kStackBytes;
}

Context this_thread() {
  Context context;
#if defined(__SANITIZE_ADDRESS__)
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    void* stack = nullptr;
    pthread_attr_getstack(&attributes, &stack, &context.bytes);
    context.stack = static_cast<char*>(stack);
    pthread_attr_destroy(&attributes);
  }
#endif
  return context;
}

Context make_fiber(char* stack, std::size_t bytes, void (*entry)()) {
  Context context;
  context.stack = stack;
  context.bytes = bytes;
  void** sp = reinterpret_cast<void**>(stack + bytes);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stack, bytes);  // It holds frames that never returned.
#endif
#if defined(__x86_64__)
  *--sp = nullptr;  // the address that entry would return to
  *--sp = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
#else
  for (int i = 0; i < 20; ++i) *--sp = nullptr;
  sp[1] = reinterpret_cast<void*>(entry);
#endif
  context.sp = sp;
  return context;
}

void begin_fiber() { end_switch(nullptr); }

void switch_to(Context& from, Context& to) {
  begin_switch(&from.fake_stack, to);
  hm_emulator_switch(&from.sp, to.sp);
  end_switch(from.fake_stack);
}

void leave_for(Context& to) {
  begin_switch(nullptr, to);
  void* nobody;
  hm_emulator_switch(&nobody, to.sp);
  __builtin_unreachable();
}

}  // namespace pyharmony::emulator
