#include "emulator/emulator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "core/parallel.h"

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

extern "C" void hm_emulator_switch(void** save, void* load);

// Saves what a call must keep, changes the stack, and takes it back from there.
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
#else
#error "the emulator's switch of stacks is written for x86-64"
#endif

namespace pyharmony::emulator {

thread_local Thread* current __attribute__((tls_model("initial-exec")));

namespace {

constexpr std::size_t kStackBytes = 64 << 10;

enum class State : std::uint8_t { kFresh, kReady, kAtBlock, kAtWarp, kDone };

struct Warp {
  unsigned generation = 0, arrived = 0;
  alignas(32) unsigned char slot[2][32][32];
};

// A stack that runs thread after thread until one of them has to wait.
struct Carrier {
  void* sp = nullptr;
  char* stack = nullptr;
};

struct Block {
  std::vector<Thread> threads;
  std::vector<State> state;
  std::vector<Carrier> carriers;
  std::vector<int> carrier_of, free_carriers;
  std::vector<Warp> warps;
  std::vector<unsigned> order, ready;
  std::vector<std::max_align_t> shared;
  unsigned count = 0, alive = 0, waiting = 0, ready_count = 0, next_fresh = 0;
  int running = -1, site = -1;
  void* main_sp = nullptr;
  char* stacks = nullptr;
  std::size_t stack_count = 0;
  std::mt19937 random;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  const char* name = "";

  ~Block() {
    if (stacks != nullptr) munmap(stacks, stack_count * kStackBytes);
  }
};

thread_local Block* block;
unsigned the_seed = 0;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "emulator: %s in %s (block %u, %u, %u; %u threads alive, %u wait)\n", what,
               block->name, current ? current->block.x : 0, current ? current->block.y : 0,
               current ? current->block.z : 0, block->alive, block->waiting);
  std::abort();
}

void carrier_entry();

int take_carrier() {
  Block& b = *block;
  const int c = b.free_carriers.back();
  b.free_carriers.pop_back();
  void** sp = reinterpret_cast<void**>(b.carriers[c].stack + kStackBytes);
  *--sp = nullptr;
  *--sp = reinterpret_cast<void*>(&carrier_entry);
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  b.carriers[c].sp = sp;
  return c;
}

// Goes on with a thread that may, else with one that has not begun, else with the launch.
void resume_next(void** save) {
  Block& b = *block;
  void* to = b.main_sp;
  if (b.ready_count > 0) {
    const unsigned t = b.ready[--b.ready_count];
    b.state[t] = State::kReady;
    current = &b.threads[t];
    b.running = b.carrier_of[t];
    to = b.carriers[b.running].sp;
  } else if (b.next_fresh < b.count) {
    b.running = take_carrier();
    to = b.carriers[b.running].sp;
  }
  hm_emulator_switch(save, to);
}

void park(State state) {
  Block& b = *block;
  Thread* me = current;
  b.state[me->linear] = state;
  resume_next(&b.carriers[b.running].sp);
  current = me;
}

void carrier_entry() {
  Block& b = *block;
  for (;;) {
    if (b.next_fresh < b.count && b.ready_count == 0) {
      const unsigned t = b.order[b.next_fresh++];
      current = &b.threads[t];
      b.state[t] = State::kReady;
      b.carrier_of[t] = b.running;
      b.body(b.argument);
      b.state[t] = State::kDone;
      --b.alive;
      if (b.waiting > 0 && b.waiting == b.alive) die("a barrier that exited threads never reach");
    } else {
      b.free_carriers.push_back(b.running);
      void* unused;
      resume_next(&unused);
    }
  }
}

void wake(State state, unsigned begin, unsigned end) {
  Block& b = *block;
  const unsigned start = b.ready_count;
  for (unsigned t = end; t-- > begin;) {
    if (b.state[t] == state && &b.threads[t] != current) b.ready[b.ready_count++] = t;
  }
  if (the_seed > 0) {
    std::shuffle(b.ready.begin() + start, b.ready.begin() + b.ready_count, b.random);
  }
}

}  // namespace

Site::Site(const char*, int line, const char*) : id(line) {}

void set_seed(unsigned seed) { the_seed = seed; }

void block_barrier(const Site& site) {
  Block& b = *block;
  if (b.waiting == 0) {
    b.site = site.id;
  } else if (b.site != site.id) {
    die("threads of a block wait at different barriers");
  }
  if (++b.waiting < b.alive) return park(State::kAtBlock);
  if (b.alive != b.count) die("a barrier that exited threads never reach");
  b.waiting = 0;
  wake(State::kAtBlock, 0, b.count);
}

unsigned warp_parity() { return block->warps[current->warp].generation & 1; }

void* warp_slot(unsigned lane, unsigned parity) {
  return block->warps[current->warp].slot[parity][lane];
}

void warp_barrier(unsigned mask, const Site*) {
  Block& b = *block;
  Warp& w = b.warps[current->warp];
  const unsigned base = current->warp * 32, n = std::min(32u, b.count - base);
  if (!((mask >> current->lane) & 1)) die("a lane that its own mask does not name");
  const unsigned needed = mask & (n == 32 ? ~0u : (1u << n) - 1);
  w.arrived |= 1u << current->lane;
  if ((w.arrived & needed) != needed) return park(State::kAtWarp);
  w.arrived &= ~needed;
  ++w.generation;
  wake(State::kAtWarp, base, base + n);
}

void* dynamic_shared() { return block->shared.data(); }

void launch(dim3 grid, dim3 size, std::size_t shared_bytes, void (*body)(void*), void* argument,
            const char* name) {
  const unsigned n = size.x * size.y * size.z;
  const std::int64_t blocks = std::int64_t(grid.x) * grid.y * grid.z;
  parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    static thread_local std::unique_ptr<Block> own;
    if (!own) own = std::make_unique<Block>();
    Block& b = *own;
    block = own.get();
    if (b.stack_count < n + 1) {
      if (b.stacks != nullptr) munmap(b.stacks, b.stack_count * kStackBytes);
      b.stack_count = n + 1;
      b.stacks =
          static_cast<char*>(mmap(nullptr, b.stack_count * kStackBytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
      b.carriers.assign(b.stack_count, {});
      for (std::size_t i = 0; i < b.stack_count; ++i)
        b.carriers[i].stack = b.stacks + i * kStackBytes;
    }
    b.count = n;
    b.body = body;
    b.argument = argument;
    b.name = name;
    b.threads.resize(n);
    b.state.resize(n);
    b.carrier_of.resize(n);
    b.order.resize(n);
    b.ready.resize(n);
    b.warps.resize((n + 31) / 32);
    b.shared.resize(shared_bytes / sizeof(std::max_align_t) + 2);
    for (std::int64_t i = begin; i < end; ++i) {
      b.random.seed(the_seed + static_cast<unsigned>(i));
      b.alive = n;
      b.waiting = b.ready_count = b.next_fresh = 0;
      b.free_carriers.clear();
      for (unsigned c = 0; c <= n; ++c) b.free_carriers.push_back(static_cast<int>(n - c));
      for (Warp& w : b.warps) w.generation = w.arrived = 0;
      const uint3 index{static_cast<unsigned>(i % grid.x),
                        static_cast<unsigned>(i / grid.x % grid.y),
                        static_cast<unsigned>(i / grid.x / grid.y)};
      for (unsigned t = 0; t < n; ++t) {
        b.threads[t] = {{t % size.x, t / size.x % size.y, t / size.x / size.y},
                        index,
                        size,
                        grid,
                        t,
                        t % 32,
                        t / 32};
        b.state[t] = State::kFresh;
        b.order[t] = t;
      }
      if (the_seed > 0) std::shuffle(b.order.begin(), b.order.end(), b.random);
      std::memset(static_cast<void*>(b.shared.data()), 0xff,
                  b.shared.size() * sizeof(std::max_align_t));
      resume_next(&b.main_sp);
      current = nullptr;
      if (b.alive > 0) die("threads that wait for ever");
    }
  });
}

}  // namespace pyharmony::emulator

unsigned __ballot_sync(unsigned mask, int predicate) {
  using namespace pyharmony::emulator;
  const unsigned parity = warp_parity();
  const unsigned mine = predicate != 0;
  std::memcpy(warp_slot(current->lane, parity), &mine, sizeof mine);
  warp_barrier(mask, nullptr);
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!((mask >> lane) & 1)) continue;
    unsigned theirs;
    std::memcpy(&theirs, warp_slot(lane, parity), sizeof theirs);
    result |= (theirs != 0) << lane;
  }
  return result;
}
