#include "emulator/emulator.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <sstream>
#include <unordered_map>

#include "core/parallel.h"
#include "emulator/checker.h"
#include "emulator/fiber.h"
#include "emulator/symbols.h"

namespace pyharmony::emulator {

thread_local Thread* current;

namespace {

// The launches that CUDA allows.
constexpr unsigned kMaxBlock = 1024, kMaxBlockZ = 64, kMaxGridYZ = 65535;
constexpr unsigned kMaxGridX = (1u << 31) - 1;
constexpr std::size_t kDefaultShared = 48 << 10, kMaxShared = 227 << 10;
constexpr unsigned kMaxCluster = 16;

enum class State : std::uint8_t { kFresh, kReady, kAtBlock, kAtWarp, kDone };

// The place where a thread waits: a line, or the call with this return address.
struct Wait {
  Place place = {nullptr, 0};
  const void* pc = nullptr;
  unsigned mask = 0;
  const char* what = "";
};

// A meeting of lanes of one mask. It leaves the list of open ones when the last arrives, and is
// free again when the last has read.
struct Exchange {
  unsigned mask = 0, needed = 0, arrived = 0, readers = 0, bytes = 0;
  Meeting kind = Meeting::kBarrier;
  Place place = {nullptr, 0};
  unsigned char value[32][24];
};

struct Warp {
  std::vector<std::unique_ptr<Exchange>> all;
  std::vector<Exchange*> open, unused;
  unsigned exited = 0, width = 32;
};

struct Copy {
  unsigned char* to;
  const void* from;
  unsigned bytes, valid;
  const void* pc;
};

// The asynchronous copies of a thread.
struct Copies {
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};

// The use of a site within a launch, so that threads of the machine do not count at one place.
struct LocalUse {
  Site* site = nullptr;
  bool ignored = false;
  std::uint64_t count = 0;
};

// Splitmix: a block costs a few steps and not the set-up of a large generator.
struct Random {
  using result_type = std::uint64_t;
  std::uint64_t state = 0;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type(0); }
  result_type operator()() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
};

struct Failure {
  std::string text;
  std::vector<std::pair<std::string, Wait>> where;  // words before a place, and the place
};

// A barrier at which threads wait, of a block or of a cluster.
struct Barrier {
  unsigned alive = 0, waiting = 0;
  Place place = {nullptr, 0};
  int any = 0, result = 0;
};

// The blocks of a cluster, whose threads take turns; most often it is one.
struct Block {
  Stacks stacks;
  Context launcher;
  std::vector<Context> fibers;
  std::vector<unsigned> free_fibers, fiber_of;
  std::vector<Thread> threads;
  std::vector<State> state;
  std::vector<Wait> wait;
  std::vector<Warp> warps;
  std::vector<Copies> copies;
  std::vector<bool> waited;  // for the launch before
  std::vector<unsigned> order, ready;
  std::unique_ptr<unsigned char[]> shared_memory;
  unsigned char* shared = nullptr;
  std::size_t shared_bytes = 0, shared_step = 0;  // of a block, and from one to the next
  std::size_t all_shared_bytes = 0;
  unsigned count = 0, each = 0, next_fresh = 0, running = 0;  // threads: all, those of a block
  Barrier all;
  std::vector<Barrier> own;  // of the blocks
  Random random;
  const Launch* launch = nullptr;
  std::string kernel;
  std::map<std::pair<const char*, int>, LocalUse> uses;
  Place last_place = {nullptr, 0};
  LocalUse* last_use = nullptr;
  std::unique_ptr<Failure> failure;
};

thread_local Block* block;

std::atomic<unsigned> the_seed{0};
std::atomic<int> version_of_code{90};
std::atomic<std::uint64_t> product_count{0};
std::atomic<bool> runs{true};
std::atomic<std::uint64_t> launches{0};

// ---- sites ----

std::mutex site_mutex;
std::map<std::string, Site>& uses() {
  static std::map<std::string, Site> all;
  return all;
}
std::string& ignored_site() {
  static std::string id;
  return id;
}

// Returns smooth_kernel for "(detail::smooth_kernel<T, 3>)".
std::string kernel_name(const char* text) {
  std::string name = text;
  name.erase(std::remove_if(name.begin(), name.end(), [](char c) { return c == '(' || c == ' '; }),
             name.end());
  name = name.substr(0, name.find_first_of("<)"));
  const std::size_t scope = name.rfind("::");
  return scope == std::string::npos ? name : name.substr(scope + 2);
}

// Returns whether a barrier or wait is to be left out; counts that a thread has reached it.
bool ignored(Place place, const char* kind) {
  Block& b = *block;
  if (b.last_use == nullptr || b.last_place.file != place.file || b.last_place.line != place.line) {
    LocalUse& local = b.uses[{place.file, place.line}];
    if (local.site == nullptr) {
      const std::string file = repository_path(place.file);
      const std::string id = b.kernel + "@" + file + ":" + std::to_string(place.line);
      const std::lock_guard<std::mutex> lock(site_mutex);
      local.site = &uses()[id];
      if (local.site->id.empty()) *local.site = {id, b.kernel, file, kind, place.line, 0};
      local.ignored = id == ignored_site();
    }
    b.last_place = place;
    b.last_use = &local;
  }
  ++b.last_use->count;
  return b.last_use->ignored;
}

void add_counts(Block& b) {
  const std::lock_guard<std::mutex> lock(site_mutex);
  for (auto& [place, local] : b.uses) local.site->count += local.count;
  b.uses.clear();
  b.last_use = nullptr;
}

// ---- failures ----

std::string text_of(const Wait& wait) {
  const Place& place = wait.place;
  if (place.file != nullptr) return repository_path(place.file) + ":" + std::to_string(place.line);
  if (wait.pc == nullptr) return "";
  const Line line = locate(wait.pc);
  return line.file + ":" + std::to_string(line.number);
}

// Returns "(x, y, z)" for a dim3 or a uint3.
template <typename Three>
std::string text_of(const Three& v) {
  std::ostringstream out;
  out << "(" << v.x << ", " << v.y << ", " << v.z << ")";
  return out.str();
}

// Leaves the fibers where they are, as nothing on their stacks is needed again.
[[noreturn]] void fail_block(std::string text,
                             std::vector<std::pair<std::string, Wait>> where = {}) {
  Block& b = *block;
  if (current != nullptr) {
    text =
        "block " + text_of(current->block) + ", thread " + text_of(current->thread) + ": " + text;
  }
  b.failure = std::make_unique<Failure>(Failure{std::move(text), std::move(where)});
  leave_for(b.launcher);
}

// Describes why no thread of a block can go on.
Failure deadlock() {
  Block& b = *block;
  Failure failure;
  failure.text = "block " + text_of(b.threads[0].block) + ": deadlock, " +
                 std::to_string(b.all.alive) + " of " + std::to_string(b.count) +
                 " threads wait for ever";
  constexpr std::size_t kMost = 6;
  std::map<std::pair<const void*, int>, std::pair<unsigned, unsigned>> groups;  // first, number
  for (unsigned t = 0; t < b.count; ++t) {
    if (b.state[t] == State::kDone) continue;
    const Wait& w = b.wait[t];
    const void* where = w.place.file != nullptr ? w.place.file : w.pc;
    ++groups.emplace(std::make_pair(where, w.place.line), std::make_pair(t, 0u))
          .first->second.second;
  }
  for (const auto& [key, group] : groups) {
    if (failure.where.size() == kMost) break;
    const auto [first, many] = group;
    std::ostringstream said;
    said << "; " << many << (many == 1 ? " thread, " : " threads, first ") << "thread "
         << text_of(b.threads[first].thread) << ", at " << b.wait[first].what;
    if (b.state[first] == State::kAtWarp) said << " of mask 0x" << std::hex << b.wait[first].mask;
    failure.where.emplace_back(said.str() + " ", b.wait[first]);
  }
  return failure;
}

// ---- threads that take turns ----

void fiber_entry();

void resume(Context* save) {
  Block& b = *block;
  Context* to = &b.launcher;
  if (!b.ready.empty()) {
    const unsigned t = b.ready.back();
    b.ready.pop_back();
    b.state[t] = State::kReady;
    current = &b.threads[t];
    b.running = b.fiber_of[t];
    to = &b.fibers[b.running];
    if (to == save) return;
  } else if (b.next_fresh < b.count) {
    b.running = b.free_fibers.back();
    b.free_fibers.pop_back();
    b.fibers[b.running] = make_fiber(b.stacks.stack(b.running), Stacks::bytes(), &fiber_entry);
    to = &b.fibers[b.running];
  }
  if (save == nullptr) leave_for(*to);
  switch_to(*save, *to);
}

void park(State state) {
  Block& b = *block;
  Thread* me = current;
  b.state[me->linear] = state;
  resume(&b.fibers[b.running]);
  current = me;
}

// Gives the thread that completed a meeting no better a chance of its turn than the others.
void yield_after_waking() {
  Block& b = *block;
  if (the_seed == 0 || b.ready.empty()) return;
  Thread* me = current;
  b.ready.push_back(me->linear);
  std::swap(b.ready[b.random() % b.ready.size()], b.ready.back());
  resume(&b.fibers[b.running]);
  current = me;
}

template <typename Waits>
void wake(unsigned begin, unsigned end, Waits waits) {
  Block& b = *block;
  const auto start = static_cast<std::ptrdiff_t>(b.ready.size());
  for (unsigned t = end; t-- > begin;) {
    if (waits(t)) {
      b.state[t] = State::kReady;
      b.ready.push_back(t);
    }
  }
  if (the_seed > 0) std::shuffle(b.ready.begin() + start, b.ready.end(), b.random);
}

// Runs thread after thread on one stack until one of them has to wait: kernels without barriers
// cost no switches.
void fiber_entry() {
  begin_fiber();
  Block& b = *block;
  while (b.next_fresh < b.count && b.ready.empty()) {
    const unsigned t = b.order[b.next_fresh++];
    current = &b.threads[t];
    b.state[t] = State::kReady;
    b.fiber_of[t] = b.running;
    checker::enter_kernel();
    b.launch->body(b.launch->arguments);
    checker::leave_kernel();
    b.state[t] = State::kDone;
    for (Barrier* barrier : {&b.all, &b.own[current->rank]}) {
      --barrier->alive;
      if (barrier->waiting > 0) {
        fail_block("a barrier that not all threads reach: this thread has exited, others wait",
                   {{" at ", {barrier->place}}});
      }
    }
    if (b.launch->form.early && !b.waited[t]) {
      fail_block("the end of a thread that has not waited for the launch before");
    }
    Warp& warp = b.warps[current->warp];
    warp.exited |= 1u << current->lane;
    for (const Exchange* e : warp.open) {
      if ((e->needed >> current->lane) & 1) {
        const auto first = static_cast<unsigned>(__builtin_ctz(e->arrived));
        fail_block("an exited lane that a mask names: others wait for it",
                   {{" at ", b.wait[current->warp * 32 + first]}});
      }
    }
  }
  b.free_fibers.push_back(b.running);
  resume(nullptr);
}

// ---- meetings of lanes ----

Exchange& meet(unsigned mask, Meeting kind, const void* value, unsigned bytes, const Wait& wait) {
  Block& b = *block;
  const unsigned lane = current->lane, me = current->linear;
  Warp& warp = b.warps[current->warp];
  if (!((mask >> lane) & 1)) fail_block("a lane that its own mask does not name", {{" at ", wait}});
  const unsigned needed = warp.width == 32 ? mask : mask & ((1u << warp.width) - 1);
  if ((needed & warp.exited) != 0) {
    fail_block("a mask that names an exited lane", {{" at ", wait}});
  }
  Exchange* e = nullptr;
  for (Exchange* candidate : warp.open) {
    if (candidate->mask == mask) e = candidate;
  }
  if (e == nullptr) {
    if (warp.unused.empty()) {
      warp.all.push_back(std::make_unique<Exchange>());
      warp.unused.push_back(warp.all.back().get());
    }
    e = warp.unused.back();
    warp.unused.pop_back();
    e->mask = mask;
    e->needed = needed;
    e->arrived = 0;
    e->readers = static_cast<unsigned>(__builtin_popcount(needed));
    e->bytes = bytes;
    e->kind = kind;
    warp.open.push_back(e);
  } else if (e->kind != kind || e->bytes != bytes) {
    const auto other = static_cast<unsigned>(__builtin_ctz(e->arrived));
    fail_block("lanes of one mask at different warp operations",
               {{": this one at ", wait}, {", another at ", b.wait[current->warp * 32 + other]}});
  }
  if (bytes > 0) std::memcpy(e->value[lane], value, bytes);
  e->arrived |= 1u << lane;
  b.wait[me] = wait;
  if (e->arrived != e->needed) {
    park(State::kAtWarp);
    return *e;
  }
  warp.open.erase(std::find(warp.open.begin(), warp.open.end(), e));
  if (kind == Meeting::kBarrier) checker::warp_barrier(current->warp, needed);
  const unsigned base = current->warp * 32;
  wake(base, base + warp.width,
       [&](unsigned t) { return t != me && ((needed >> (t - base)) & 1) != 0; });
  yield_after_waking();
  return *e;
}

// Waits for the threads [first, end) at their barrier; returns whether any predicate holds.
int meet_at(Barrier& barrier, unsigned first, unsigned end, Place place, int predicate) {
  Block& b = *block;
  const unsigned count = end - first, me = current->linear;
  if (barrier.alive != count) {
    fail_block("a barrier that not all threads reach: " + std::to_string(count - barrier.alive) +
                   " have exited",
               {{", this one is at ", {place}}});
  }
  if (barrier.waiting == 0) {
    barrier.place = place;
  } else if (barrier.place.line != place.line ||
             (barrier.place.file != place.file &&
              std::strcmp(barrier.place.file, place.file) != 0)) {
    fail_block("threads of a block at different barriers",
               {{": this one at ", {place}}, {", others at ", {barrier.place}}});
  }
  barrier.any |= predicate;
  b.wait[me] = {place, nullptr, 0, "the barrier"};
  if (++barrier.waiting < count) {
    park(State::kAtBlock);
    return barrier.result;
  }
  barrier.waiting = 0;
  const int result = barrier.result = barrier.any;
  barrier.any = 0;
  checker::barrier(&barrier == &b.all);
  wake(first, end, [&](unsigned t) { return t != me; });
  yield_after_waking();
  return result;
}

void leave(Exchange& e) {
  if (--e.readers == 0) block->warps[current->warp].unused.push_back(&e);
}

constexpr unsigned kWholeWarp = 0xffffffffu;

void check_whole(const Exchange& e, const Wait& wait) {
  if (e.needed != kWholeWarp) {
    fail_block("matrices of a warp of fewer than 32 lanes", {{" at ", wait}});
  }
}

double value_of(Operand operand, unsigned word, unsigned i) {
  const unsigned bits = i == 0 ? word & 0xffffu : word >> 16;
  switch (operand) {
    case Operand::kHalf: {
      __half_raw raw;
      raw.x = static_cast<unsigned short>(bits);
      return __half2float(__half(raw));
    }
    case Operand::kBFloat16: return hm_bits_as<float>(bits << 16);
    case Operand::kTf32: break;
  }
  return hm_bits_as<float>(word & 0xffffe000u);
}

// ---- launches ----

[[noreturn]] void refuse(const char* name, const std::string& what) {
  throw device::DeviceFailure(kernel_name(name) + ": " + what);
}

// The value of cudaFuncAttributeMaxDynamicSharedMemorySize of each kernel: the last that any thread
// has set.
std::mutex shared_mutex;
std::unordered_map<const void*, SharedLimit>& limits_of_kernels() {
  static std::unordered_map<const void*, SharedLimit> limits;
  return limits;
}

// Returns static shared memory as nvcc lays it out, by csrc/kernel_budgets.txt; g++ cannot tell.
std::size_t static_shared(const std::string& kernel) {
  static const std::map<std::string, std::size_t> all = [] {
    std::map<std::string, std::size_t> found;
    std::ifstream file(HM_SOURCE_ROOT "/csrc/kernel_budgets.txt");
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string name;
      std::size_t registers = 0, bytes = 0;
      if (words >> name >> registers >> bytes) found[name] = bytes;
    }
    return found;
  }();
  const auto at = all.find(kernel);
  return at == all.end() ? 0 : at->second;
}

void check_launch(const Launch& what) {
  const dim3 g = what.grid, s = what.block;
  const auto threads = std::uint64_t(s.x) * s.y * s.z;
  if (threads == 0 || s.x > kMaxBlock || s.y > kMaxBlock || s.z > kMaxBlockZ ||
      threads > kMaxBlock) {
    refuse(what.name, "invalid configuration argument: block " + text_of(s) +
                          ", expected 1 to 1024 threads, at most 64 in z");
  }
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > kMaxGridX || g.y > kMaxGridYZ || g.z > kMaxGridYZ) {
    refuse(what.name, "invalid configuration argument: grid " + text_of(g) +
                          ", expected 1 to (2^31 - 1, 65535, 65535)");
  }
  const unsigned cluster = what.form.cluster;
  if (cluster == 0 || cluster > kMaxCluster || g.x % cluster != 0 ||
      (cluster > 1 && threads % 32 != 0)) {
    refuse(what.name, "invalid cluster size: " + std::to_string(cluster) + " blocks of a grid of " +
                          text_of(g) + ", expected 1 to 16 of whole warps that divide x");
  }
  std::size_t limit = kDefaultShared - static_shared(kernel_name(what.name));
  {
    const std::lock_guard<std::mutex> lock(shared_mutex);
    const auto set = limits_of_kernels().find(what.kernel);
    if (set != limits_of_kernels().end()) limit = set->second.bytes;
  }
  if (what.shared_bytes > limit) {
    refuse(what.name, "invalid argument: " + std::to_string(what.shared_bytes) +
                          " bytes of dynamic shared memory, at most " + std::to_string(limit) +
                          " are allowed by HM_MAX_DYN_SMEM");
  }
}

void prepare(Block& b, const Launch& what) {
  const dim3 size = what.block;
  const unsigned cluster = what.form.cluster;
  const unsigned each = size.x * size.y * size.z, n = cluster * each;
  b.stacks.reserve(n + 1);
  b.launcher = this_thread();
  b.fibers.resize(b.stacks.count());
  b.count = n;
  b.each = each;
  b.own.resize(cluster);
  b.launch = &what;
  b.kernel = kernel_name(what.name);
  b.threads.resize(n);
  b.state.resize(n);
  b.wait.resize(n);
  b.fiber_of.resize(n);
  b.order.resize(n);
  b.copies.resize(n);
  b.waited.resize(n);
  b.warps.resize((n + 31) / 32);
  for (unsigned t = 0; t < n; ++t) {
    const unsigned own = t % each;
    b.threads[t] = {{own % size.x, own / size.x % size.y, own / size.x / size.y},
                    {0, 0, 0},
                    size,
                    what.grid,
                    t,
                    t % 32,
                    t / 32,
                    t / each};
  }
  constexpr std::size_t kAlignment = 128;
  b.shared_bytes = what.shared_bytes;
  b.shared_step = (b.shared_bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t bytes = (cluster - 1) * b.shared_step + b.shared_bytes;
  if (b.all_shared_bytes != bytes || b.shared == nullptr) {
    // The size is exact, so that AddressSanitizer knows its end.
    b.shared_memory.reset(new unsigned char[bytes + kAlignment]);
    const auto at = reinterpret_cast<std::uintptr_t>(b.shared_memory.get());
    b.shared = b.shared_memory.get() + (kAlignment - at % kAlignment);
    b.all_shared_bytes = bytes;
  }
}

// Runs the i-th block or cluster.
void run_block(Block& b, std::uint64_t i) {
  const dim3 grid = b.launch->grid;
  const unsigned cluster = b.launch->form.cluster;
  const unsigned n = b.count, seed = the_seed;
  b.random.state = std::uint64_t(seed) << 32 ^ i;
  b.all = {n};
  b.own.assign(cluster, {b.each});
  b.next_fresh = 0;
  b.waited.assign(n, false);
  b.ready.clear();
  b.free_fibers.clear();
  for (unsigned c = 0; c <= n; ++c) b.free_fibers.push_back(n - c);
  for (unsigned w = 0; w < b.warps.size(); ++w) {
    Warp& warp = b.warps[w];
    warp.exited = 0;
    warp.width = std::min(32u, n - w * 32);
    warp.open.clear();
    warp.unused.clear();
    for (auto& e : warp.all) warp.unused.push_back(e.get());
  }
  const std::uint64_t first = i * cluster;
  const uint3 index{static_cast<unsigned>(first % grid.x),
                    static_cast<unsigned>(first / grid.x % grid.y),
                    static_cast<unsigned>(first / grid.x / grid.y)};
  for (unsigned t = 0; t < n; ++t) {
    b.threads[t].block = {index.x + b.threads[t].rank, index.y, index.z};
    b.state[t] = State::kFresh;
    b.wait[t] = {};
    b.copies[t].open.clear();
    b.copies[t].groups.clear();
  }
  std::iota(b.order.begin(), b.order.end(), 0u);
  if (seed > 0) std::shuffle(b.order.begin(), b.order.end(), b.random);
  if (b.all_shared_bytes > 0) std::memset(b.shared, 0xff, b.all_shared_bytes);
  checker::begin_block(
      {b.threads.data(), n, b.each, b.shared, b.all_shared_bytes, b.shared_step, &b.stacks});
  resume(&b.launcher);
  checker::end_block();
  current = nullptr;
  if (b.failure == nullptr && b.all.alive > 0) b.failure = std::make_unique<Failure>(deadlock());
  if (b.failure != nullptr) {
    const std::unique_ptr<Failure> failure = std::move(b.failure);
    std::string text = "kernel " + b.kernel + ", " + failure->text;
    for (const auto& [before, wait] : failure->where) text += before + text_of(wait);
    throw EmulatorFailure(text);
  }
}

struct Prepared {
  Prepared(Block& b, const Launch& what) : b(b) { prepare(b, what); }
  ~Prepared() { add_counts(b); }
  Block& b;
};

struct Checked {
  explicit Checked(const Launch& what) {
    checker::begin_launch({kernel_name(what.name), what.arguments, what.argument_bytes,
                           std::uint64_t(what.grid.x) * what.grid.y * what.grid.z,
                           what.form.early});
  }
  ~Checked() { checker::end_launch(); }
};

}  // namespace

bool Site::operator<(const Site& other) const {
  return std::tie(file, line, kernel) < std::tie(other.file, other.line, other.kernel);
}

void fail_access(const std::string& what, const void* pc) {
  fail_block(what, {{" at ", {{nullptr, 0}, pc, 0, ""}}});
}

void set_running(bool on) { runs = on; }
std::uint64_t launch_count() { return launches; }

void set_seed(unsigned seed) { the_seed = seed; }

std::vector<Site> sites() {
  const std::lock_guard<std::mutex> lock(site_mutex);
  std::vector<Site> all;
  for (const auto& [id, site] : uses()) all.push_back(site);
  std::sort(all.begin(), all.end());
  return all;
}

void ignore_site(const std::string& id) {
  const std::lock_guard<std::mutex> lock(site_mutex);
  ignored_site() = id;
}

#if HM_EMULATOR_CHECK
uint3 thread_index() { return current->thread; }
uint3 block_index() { return current->block; }
dim3 block_size() { return current->block_size; }
dim3 grid_size() { return current->grid_size; }
unsigned lane_index() { return current->lane; }
#endif

int block_barrier(Place place, int predicate) {
  const checker::Pause pause;
  Block& b = *block;
  if (ignored(place, "block")) return predicate;
  const unsigned first = current->rank * b.each;
  return meet_at(b.own[current->rank], first, first + b.each, place, predicate);
}

void cluster_barrier(Place place) {
  const checker::Pause pause;
  Block& b = *block;
  if (!ignored(place, "cluster")) meet_at(b.all, 0, b.count, place, 0);
}

void launch_wait(Place place) {
  const checker::Pause pause;
  if (ignored(place, "launch")) return;
  block->waited[current->linear] = true;
  checker::launch_wait();
}

void warp_barrier(unsigned mask, Place place) {
  const checker::Pause pause;
  if (ignored(place, "warp")) return;
  leave(meet(mask, Meeting::kBarrier, nullptr, 0, {place, nullptr, mask, "the warp barrier"}));
}

void exchange(unsigned mask, const void* value, void* result, unsigned bytes, unsigned from) {
  const checker::Pause pause;
  const Wait wait{{nullptr, 0}, __builtin_return_address(0), mask, "the shuffle"};
  Exchange& e = meet(mask, Meeting::kShuffle, value, bytes, wait);
  if (from > 31 || !((e.needed >> from) & 1)) {
    fail_block("a shuffle that reads lane " + std::to_string(from) +
                   ", which is not there or not named by the mask",
               {{" at ", wait}});
  }
  std::memcpy(result, e.value[from], bytes);
  leave(e);
}

unsigned ballot(unsigned mask, bool predicate) {
  const checker::Pause pause;
  const unsigned char mine = predicate;
  Exchange& e = meet(mask, Meeting::kBallot, &mine, 1,
                     {{nullptr, 0}, __builtin_return_address(0), mask, "the ballot"});
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((e.needed >> lane) & 1) result |= unsigned(e.value[lane][0]) << lane;
  }
  leave(e);
  return result;
}

void matrices(const void* row, unsigned (&part)[4], bool transposed) {
  const checker::Pause pause;
  const Wait wait{{nullptr, 0}, __builtin_return_address(0), kWholeWarp, "the matrices"};
  Exchange& e = meet(kWholeWarp, Meeting::kMatrices, row, 16, wait);
  check_whole(e, wait);
  const unsigned major = current->lane / 4, minor = current->lane % 4;
  for (unsigned j = 0; j < 4; ++j) {
    if (!transposed) {
      std::memcpy(&part[j], e.value[8 * j + major] + 4 * minor, 4);
    } else {
      std::uint16_t pair[2];
      for (unsigned i = 0; i < 2; ++i) {
        std::memcpy(&pair[i], e.value[8 * j + 2 * minor + i] + 2 * major, 2);
      }
      std::memcpy(&part[j], pair, 4);
    }
  }
  leave(e);
}

void product(Operand operand, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  const checker::Pause pause;
  const Wait wait{{nullptr, 0}, __builtin_return_address(0), kWholeWarp, "the product"};
  unsigned mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  Exchange& e = meet(kWholeWarp, Meeting::kProduct, mine, sizeof mine, wait);
  check_whole(e, wait);
  const auto word = [&](unsigned lane, unsigned i) {
    unsigned bits;
    std::memcpy(&bits, e.value[lane] + 4 * i, 4);
    return bits;
  };
  // Word t of a row's first half is in lane 4 g + t, as is that of a column g of b.
  const unsigned major = current->lane / 4, minor = current->lane % 4;
  const unsigned each = operand == Operand::kTf32 ? 1 : 2;  // values of a word
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = major, lower = i / 2, column = 2 * minor + i % 2;
    double sum = d[i];
    for (unsigned half = 0; half < 2; ++half) {
      for (unsigned t = 0; t < 4; ++t) {
        const unsigned left = word(4 * row + t, lower + 2 * half);
        const unsigned right = word(4 * column + t, 4 + half);
        for (unsigned v = 0; v < each; ++v) {
          sum += value_of(operand, left, v) * value_of(operand, right, v);
        }
      }
    }
    d[i] = static_cast<float>(sum);
  }
  if (current->lane == 0) product_count += 16u * 8u * 8u * each;
  leave(e);
}

std::uint64_t products() { return product_count; }

int code_version() { return version_of_code; }
void set_code_version(int version) { version_of_code = version; }

void fence() {
  const checker::Pause pause;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  checker::fence();
}

void async_copy(void* to, const void* from, unsigned bytes, unsigned valid) {
  const checker::Pause pause;
  const void* pc = __builtin_return_address(0);
  const auto a = reinterpret_cast<std::uintptr_t>(to), b = reinterpret_cast<std::uintptr_t>(from);
  if (a % bytes != 0 || (valid > 0 && b % bytes != 0)) {
    fail_block("an asynchronous copy of " + std::to_string(bytes) + " bytes that is not aligned",
               {{" at ", {{nullptr, 0}, pc, 0, ""}}});
  }
  if (valid > 0) checker::access(from, valid, false, pc);
  checker::begin_async(to, bytes, pc);
  std::memset(to, 0xff, bytes);
  block->copies[current->linear].open.push_back(
      {static_cast<unsigned char*>(to), from, bytes, valid, pc});
}

void async_commit() {
  const checker::Pause pause;
  Copies& c = block->copies[current->linear];
  c.groups.push_back(std::move(c.open));
  c.open.clear();
}

void async_wait(unsigned groups_left, Place place) {
  const checker::Pause pause;
  if (ignored(place, "async")) return;
  Copies& c = block->copies[current->linear];
  while (c.groups.size() > groups_left) {
    for (const Copy& copy : c.groups.front()) {
      checker::end_async(copy.to, copy.bytes, copy.pc);
      if (copy.valid > 0) std::memcpy(copy.to, copy.from, copy.valid);
      std::memset(copy.to + copy.valid, 0, copy.bytes - copy.valid);
    }
    c.groups.pop_front();
  }
}

std::uint32_t begin_atomic(const std::uint32_t* address) {
  checker::atomic(address, sizeof *address, __builtin_return_address(0));
  return __atomic_load_n(address, __ATOMIC_RELAXED);
}
std::uint64_t begin_atomic(const std::uint64_t* address) {
  checker::atomic(address, sizeof *address, __builtin_return_address(0));
  return __atomic_load_n(address, __ATOMIC_RELAXED);
}
bool compare_exchange(std::uint32_t* address, std::uint32_t* before, std::uint32_t after) {
  return __atomic_compare_exchange_n(address, before, after, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED);
}
bool compare_exchange(std::uint64_t* address, std::uint64_t* before, std::uint64_t after) {
  return __atomic_compare_exchange_n(address, before, after, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED);
}

void* dynamic_shared() { return block->shared + current->rank * block->shared_step; }

void* place_of(void* own, unsigned rank) {
  const checker::Pause pause;
  const Block& b = *block;
  if (rank >= b.launch->form.cluster) {
    fail_block("shared memory of block " + std::to_string(rank) + " of a cluster of " +
               std::to_string(b.launch->form.cluster));
  }
  const auto blocks =
      static_cast<std::ptrdiff_t>(rank) - static_cast<std::ptrdiff_t>(current->rank);
  return static_cast<unsigned char*>(own) + blocks * static_cast<std::ptrdiff_t>(b.shared_step);
}

void allow_shared(const void* kernel, std::size_t bytes, const char* name) {
  const std::size_t limit = kMaxShared - static_shared(kernel_name(name));
  if (bytes > limit) {
    refuse(name, "invalid argument: " + std::to_string(bytes) +
                     " bytes of dynamic shared memory, at most " + std::to_string(limit));
  }
  const std::lock_guard<std::mutex> lock(shared_mutex);
  limits_of_kernels()[kernel] = {kernel_name(name), kernel, bytes};
}

std::vector<SharedLimit> shared_limits() {
  const std::lock_guard<std::mutex> lock(shared_mutex);
  std::vector<SharedLimit> all;
  for (const auto& [address, limit] : limits_of_kernels()) all.push_back(limit);
  return all;
}

void launch(const Launch& what) {
  check_launch(what);
  ++launches;
  if (!runs) return;
  const auto blocks =
      std::int64_t(what.grid.x) * what.grid.y * what.grid.z / what.form.cluster;  // or clusters
  const unsigned seed = the_seed;
  // The i-th block to run is (first + i * step) mod blocks; step and blocks have no common factor.
  Random random{std::uint64_t(seed) * 0x2545f4914f6cdd1du};
  std::uint64_t first = 0, step = 1;
  if (seed > 0) {
    first = random() % static_cast<std::uint64_t>(blocks);
    do {
      step = random() % static_cast<std::uint64_t>(blocks) + 1;
    } while (std::gcd(step, static_cast<std::uint64_t>(blocks)) != 1);
  }
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    static thread_local std::unique_ptr<Block> own;
    if (!own) own = std::make_unique<Block>();
    block = own.get();
    const Prepared prepared(*block, what);
    for (std::int64_t i = begin; i < end; ++i) {
      run_block(*block,
                static_cast<std::uint64_t>(
                    (static_cast<unsigned __int128>(step) * static_cast<std::uint64_t>(i) + first) %
                    static_cast<std::uint64_t>(blocks)));
    }
  };
  if (checker::kOneThread) {
    static std::mutex one_launch;
    const std::lock_guard<std::mutex> lock(one_launch);
    const Checked checked(what);
    run(0, blocks);
  } else {
    constexpr std::int64_t kRanges = 64;
    parallel_for(blocks, std::max<std::int64_t>(1, blocks / kRanges), run);
  }
}

}  // namespace pyharmony::emulator
