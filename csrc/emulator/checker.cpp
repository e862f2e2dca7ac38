#include "emulator/checker.h"

#if HM_EMULATOR_CHECK

#include <link.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "emulator/symbols.h"

namespace pyharmony::emulator::checker {
namespace {

using Address = std::uintptr_t;
Address address_of(const void* p) { return reinterpret_cast<Address>(p); }

// ---- what is ordered before what ----

enum Flag : std::uint8_t { kAtomic = 1, kAsync = 2 };

struct Access {
  std::uint32_t serial = 0, epoch = 0, clock = 0;  // 0: there was none
  std::uint16_t thread = 0;
  std::uint8_t flags = 0;
  const void* pc = nullptr;
};

// The part of a block's accesses that are known to be over: all before the barrier number `epoch`,
// and those of lanes up to a clock.
struct Point {
  std::uint32_t epoch = 0;
  std::map<unsigned, std::array<std::uint32_t, 32>> clocks;  // by warp

  bool covers(const Access& a) const {
    if (a.epoch != epoch) return a.epoch < epoch;
    const auto warp = clocks.find(a.thread / 32);
    return warp != clocks.end() && a.clock <= warp->second[a.thread % 32];
  }
};
// The accesses that a fence makes known, and the atomics after it that made it known.
struct Points {
  Point all, atomics;
};
using View = std::map<std::uint32_t, Points>;  // by serial number of a block
using ViewPointer = std::shared_ptr<const View>;

// The views that an atomic may publish after a fence of this thread or of one before a common
// barrier; those that atomics brought and no fence took in yet; those that fences took in.
struct Views {
  ViewPointer released, pending, acquired;
};

// A lane's clock counts the warp barriers and fences that it has passed.
struct Lane {
  std::uint32_t clock = 1;
  std::array<std::uint32_t, 32> seen{};  // the clocks of its warp that are over for it
  bool waited = false;                   // for the launch before
  Views views;
};

// Two accesses, of different warps if there are such: enough to find a race with any of many.
struct History {
  Access writes[2], reads[2];
};

// The accesses to four bytes, together or one by one.
struct Cell {
  History history;
  std::unique_ptr<std::array<History, 4>> bytes;
  std::uint32_t written_by = 0;  // the block that `written` belongs to
  std::uint8_t written = 0;      // bytes of shared memory that have a value
};

constexpr Address kPageBytes = 4096;
struct Page {
  Cell cells[kPageBytes / 4];
};

// ---- what is where ----

struct Memory {
  Address end = 0;
  bool initialised = true;
  std::vector<bool> written;  // one for each byte, if it is not
};

struct Range {
  Address begin = 0, end = 0;
  bool holds(Address a) const { return a >= begin && a < end; }
};

struct Key {
  std::string kind;
  const void *pc, *other;
  bool operator<(const Key& o) const {
    return std::tie(kind, pc, other) < std::tie(o.kind, o.pc, o.other);
  }
};

// The lanes of a warp at the n-th time that they reach an instruction.
struct Request {
  Address address[32];
  std::uint16_t bytes[32];
  std::uint32_t lanes = 0;
  bool shared = false, write = false;  // an asynchronous copy makes one of each at its instruction
};

struct Count {
  std::string kernel;
  bool shared = false, write = false;
  std::uint64_t requests = 0, lanes = 0, sectors = 0, ideal_sectors = 0, ways = 0, ideal_ways = 0;
};

// The sectors of global memory that a launch touches, each counted once.
struct Sectors {
  std::unordered_set<Address> read, written;
};

struct State {
  bool checking = true, counting = false;
  Sectors sectors;  // of this launch
  std::map<std::string, Traffic> traffic;
  // The number of the block, of the launch's first one, and of the first one of the launch before.
  std::uint32_t serial = 0, first_serial = 1, serial_before = 1;
  // The number of barriers so far; that of the last one, of all blocks of a cluster and of each.
  std::uint32_t epoch = 0, common_epoch = 0;
  std::vector<std::uint32_t> own_epoch;
  Access last_remote;  // to the shared memory of another block
  LaunchInfo launch;
  BlockInfo block{};
  Range dynamic, statics;
  std::vector<Lane> lanes;
  bool any_view = false;
  std::unordered_map<Address, ViewPointer> published;
  std::unordered_map<Address, std::unique_ptr<Page>> pages;
  Address last_page = 0;
  Page* last_cells = nullptr;
  std::map<Address, Memory> memory;
  std::pair<const Address, Memory>* last_memory = nullptr;
  std::vector<Range> views;
  std::vector<Range> module_read, module_write;
  std::map<Key, Report> found;  // without the places in the sources
  std::map<std::tuple<const void*, unsigned, std::uint32_t>, Request> requests;
  std::unordered_map<Address, std::uint32_t> times;
  std::map<std::pair<const void*, std::string>, Count> counts;
};

State& state() {
  static State s;
  return s;
}

std::mutex state_mutex;  // guards launches and questions; callbacks run inside a launch

// The state, for as long as a question takes.
struct Locked {
  const std::lock_guard<std::mutex> lock{state_mutex};
  State* operator->() const { return &state(); }
};

thread_local bool in_kernel = false;
thread_local bool active = false;

// ---- views ----

void join(Point& a, const Point& b) {
  if (b.epoch < a.epoch) return;
  if (b.epoch > a.epoch) {
    a = b;
    return;
  }
  for (const auto& [warp, clocks] : b.clocks) {
    auto [at, fresh] = a.clocks.emplace(warp, clocks);
    if (fresh) continue;
    for (int i = 0; i < 32; ++i) at->second[i] = std::max(at->second[i], clocks[i]);
  }
}

ViewPointer join(const ViewPointer& a, const ViewPointer& b) {
  if (a == nullptr || a == b) return b;
  if (b == nullptr) return a;
  auto both = std::make_shared<View>(*a);
  for (const auto& [serial, points] : *b) {
    join((*both)[serial].all, points.all);
    join((*both)[serial].atomics, points.atomics);
  }
  return both;
}

void join(Views& a, const Views& b) {
  a.released = join(a.released, b.released);
  a.pending = join(a.pending, b.pending);
  a.acquired = join(a.acquired, b.acquired);
}

bool covers(const ViewPointer& view, const Access& a) {
  if (view == nullptr) return false;
  const auto at = view->find(a.serial);
  if (at == view->end()) return false;
  return at->second.all.covers(a) || ((a.flags & kAtomic) != 0 && at->second.atomics.covers(a));
}

bool ordered(const State& s, const Access& a) {
  const Thread& me = *current;
  const Lane& lane = s.lanes[me.linear];
  if (a.serial == s.serial) {
    if (a.thread == me.linear || a.epoch < s.common_epoch) return true;
    if (a.thread / s.block.each == me.rank && a.epoch < s.own_epoch[me.rank]) return true;
    if (a.thread / 32 == me.warp && a.clock <= lane.seen[a.thread % 32]) return true;
  }
  return covers(lane.views.acquired, a);
}

// ---- reports ----

void report(State& s, const char* kind, const char* space, const std::string& message,
            const void* pc, const Access* other) {
  constexpr std::size_t kMost = 2000;
  const Key key{kind, pc, other != nullptr ? other->pc : nullptr};
  auto at = s.found.find(key);
  if (at == s.found.end()) {
    if (s.found.size() >= kMost) return;
    Report found;
    found.kind = kind;
    found.kernel = s.launch.kernel;
    found.space = space;
    found.message = message;
    found.block = current->block;
    found.thread = current->thread;
    if (other != nullptr) found.other_thread = s.block.threads[other->thread].thread;
    at = s.found.emplace(key, std::move(found)).first;
  }
  ++at->second.count;
}

// ---- accesses ----

Cell& cell_of(State& s, Address word) {
  const Address page = word / kPageBytes;
  if (page != s.last_page || s.last_cells == nullptr) {
    auto& cells = s.pages[page];
    if (cells == nullptr) cells = std::make_unique<Page>();
    s.last_page = page;
    s.last_cells = cells.get();
  }
  return s.last_cells->cells[word % kPageBytes / 4];
}

struct Now {
  Access access;
  bool write, shared;
  const char* space;
};

bool counts(const State& s, const Access& a, bool shared) {
  return shared ? a.serial == s.serial : a.serial >= s.first_serial;
}

// Keeps an access beside those that are not ordered before it.
void remember(const State& s, Access (&kept)[2], const Access& a, bool shared) {
  for (Access& old : kept) {
    if (!counts(s, old, shared) || ordered(s, old)) {
      old = a;
      for (Access& other : kept) {
        if (&other != &old && counts(s, other, shared) && ordered(s, other)) other = {};
      }
      return;
    }
  }
  const auto warp = [](const Access& x) { return std::make_pair(x.serial, x.thread / 32); };
  if (warp(kept[0]) == warp(kept[1])) kept[1] = a;
}

void check_history(State& s, History& h, const Now& now) {
  if (!now.shared && s.launch.early && !s.lanes[current->linear].waited) {
    for (const Access& old : h.writes) {
      if (now.write || (old.serial >= s.serial_before && old.serial < s.first_serial)) {
        report(s, "early", now.space, "an access that does not wait for the launch before",
               now.access.pc, old.serial > 0 ? &old : nullptr);
        break;
      }
    }
  }
  const bool atomic = (now.access.flags & kAtomic) != 0;
  const auto conflict = [&](const Access& old, bool old_write) {
    if (!counts(s, old, now.shared)) return;
    if ((old.flags & kAsync) != 0) {
      report(s, "async", now.space,
             now.write ? "a write where an asynchronous copy is on its way"
                       : "a read of what an asynchronous copy has not been waited for",
             now.access.pc, &old);
      return;
    }
    if (ordered(s, old) || (atomic && (old.flags & kAtomic) != 0)) return;
    const bool blocks = old.serial != now.access.serial;
    const char* what = now.write ? old_write ? "a write after a write" : "a write after a read"
                                 : "a read after a write";
    report(s, blocks ? "block race" : "race", now.space,
           std::string(what) + (blocks ? " of another block" : " of another thread") +
               " that nothing orders",
           now.access.pc, &old);
  };
  for (const Access& old : h.writes) conflict(old, true);
  if (now.write) {
    for (const Access& old : h.reads) conflict(old, false);
  }
  if (!now.write) {
    remember(s, h.reads, now.access, now.shared);
  } else if (atomic) {
    remember(s, h.writes, now.access, now.shared);
  } else {
    h.writes[0] = now.access;
    h.writes[1] = h.reads[0] = h.reads[1] = {};
  }
}

// Checks an access to a word; `bytes` says which of its four.
void check_word(State& s, Address word, unsigned bytes, const Now& now) {
  Cell& cell = cell_of(s, word);
  if (now.shared) {
    if (cell.written_by != s.serial) {
      cell.written_by = s.serial;
      cell.written = 0;
    }
    if (now.write) {
      cell.written |= static_cast<std::uint8_t>(bytes);
    } else if ((cell.written & bytes) != bytes) {
      report(s, "uninitialised", now.space,
             "a read of shared memory that the block has not written", now.access.pc, nullptr);
      return;
    }
  }
  constexpr unsigned kAll = 0xf;
  if (bytes == kAll && cell.bytes == nullptr) return check_history(s, cell.history, now);
  if (cell.bytes == nullptr) {
    cell.bytes = std::make_unique<std::array<History, 4>>();
    cell.bytes->fill(cell.history);
  }
  for (unsigned i = 0; i < 4; ++i) {
    if ((bytes >> i) & 1) check_history(s, (*cell.bytes)[i], now);
  }
  if (bytes == kAll && now.write && (now.access.flags & kAtomic) == 0) {
    cell.history = (*cell.bytes)[0];
    cell.bytes.reset();
  }
}

// Returns the registered memory that holds an address.
std::pair<const Address, Memory>* memory_at(State& s, Address a) {
  if (s.last_memory != nullptr && a >= s.last_memory->first && a < s.last_memory->second.end) {
    return s.last_memory;
  }
  auto at = s.memory.upper_bound(a);
  if (at == s.memory.begin()) return nullptr;
  --at;
  if (a >= at->second.end) return nullptr;
  return s.last_memory = &*at;
}

bool in_any(const std::vector<Range>& ranges, Address first, Address last) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Range& r) { return r.holds(first) && r.holds(last); });
}

// Returns whether global memory may be used in this way; checks that it has a value.
bool check_global(State& s, Address a, std::size_t bytes, bool write, bool atomic, const void* pc) {
  const Address last = a + bytes - 1;
  if (auto* found = memory_at(s, a); found != nullptr && last < found->second.end) {
    Memory& memory = found->second;
    if (memory.initialised) return true;
    const auto begin = memory.written.begin() + static_cast<std::ptrdiff_t>(a - found->first);
    const auto end = begin + static_cast<std::ptrdiff_t>(bytes);
    if ((!write || atomic) && std::find(begin, end, false) != end) {
      report(s, "uninitialised", "global", "a read of device memory that nobody has written", pc,
             nullptr);
    }
    if (write) std::fill(begin, end, true);
    return true;
  }
  if (in_any(s.views, a, last) || in_any(s.module_write, a, last)) return true;
  if (!write && in_any(s.module_read, a, last)) return false;
  std::ostringstream message;
  message << "a " << (write ? "write" : "read") << " of " << bytes
          << " bytes outside of the memory that is known";
  if (auto* before = memory_at(s, a); before != nullptr) {
    message << ": over the end of a piece of " << before->second.end - before->first << " bytes";
  } else if (auto next = s.memory.upper_bound(a); next != s.memory.begin()) {
    --next;
    constexpr Address kNear = 4096;
    if (a - next->second.end < kNear) {
      message << ": " << a - next->second.end << " bytes after the end of a piece of "
              << next->second.end - next->first << " bytes";
    }
  }
  report(s, "out of bounds", "global", message.str(), pc, nullptr);
  fail_access(message.str(), pc);
}

void count_request(State& s, Address a, std::size_t bytes, bool write, bool shared,
                   const void* pc) {
  const Thread& me = *current;
  const std::uint32_t n = s.times[address_of(pc) * 16384 + me.linear]++;
  Request& request = s.requests[{pc, me.warp, n}];
  request.address[me.lane] = a;
  request.bytes[me.lane] = static_cast<std::uint16_t>(bytes);
  request.lanes |= 1u << me.lane;
  request.shared = shared;
  request.write = write;
  Count& count = s.counts[{pc, s.launch.kernel}];
  count.shared = shared;
  count.write = write;
}

void finish_requests(State& s) {
  std::vector<Address> sectors, words, bytes;
  const auto distinct = [](std::vector<Address>& v) {
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
    return v.size();
  };
  for (const auto& [key, request] : s.requests) {
    Count& count = s.counts[{std::get<0>(key), s.launch.kernel}];
    sectors.clear();
    words.clear();
    bytes.clear();
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (!((request.lanes >> lane) & 1)) continue;
      const Address begin = request.address[lane], end = begin + request.bytes[lane];
      for (Address a = begin; a < end; ++a) bytes.push_back(a);
      for (Address a = begin / 4; a <= (end - 1) / 4; ++a) words.push_back(a);
      for (Address a = begin / 32; a <= (end - 1) / 32; ++a) sectors.push_back(a);
    }
    ++count.requests;
    count.lanes += static_cast<unsigned>(__builtin_popcount(request.lanes));
    if (!request.shared) {
      (request.write ? s.sectors.written : s.sectors.read).insert(sectors.begin(), sectors.end());
    }
    count.sectors += distinct(sectors);
    count.ideal_sectors += (distinct(bytes) + 31) / 32;
    count.ideal_ways += (distinct(words) + 31) / 32;
    std::array<std::uint64_t, 32> banks{};
    for (const Address word : words) ++banks[word % 32];
    count.ways += *std::max_element(banks.begin(), banks.end());
  }
  s.requests.clear();
  s.times.clear();
}

// Notes an access with `flags` of Flag; the caller has made sure that a kernel runs.
void note(State& s, const void* p, std::size_t bytes, bool write, unsigned flags, const void* pc) {
  const Address a = address_of(p);
  if (s.block.stacks->holds(p)) {
    const char *begin, *end;
    const void* here = __builtin_frame_address(0);
    s.block.stacks->bounds(p, &begin, &end);
    if (here < begin || here >= end) {
      report(s, "out of bounds", "local", "an access to a local variable of another thread", pc,
             nullptr);
    }
    return;
  }
  const Address arguments = address_of(s.launch.arguments);
  if (a >= arguments && a < arguments + s.launch.argument_bytes) return;
  const bool shared = s.dynamic.holds(a) || s.statics.holds(a);
  const bool atomic = (flags & kAtomic) != 0;
  if (shared) {
    const Range& range = s.dynamic.holds(a) ? s.dynamic : s.statics;
    if (!range.holds(a + bytes - 1)) {
      report(s, "out of bounds", "shared", "an access over the end of shared memory", pc, nullptr);
      return;
    }
  } else if (!check_global(s, a, bytes, write, atomic, pc)) {
    return;
  }
  const Thread& me = *current;
  Now now;
  now.access = {s.serial,
                s.epoch,
                s.lanes[me.linear].clock,
                static_cast<std::uint16_t>(me.linear),
                static_cast<std::uint8_t>(flags),
                pc};
  now.write = write;
  now.shared = shared;
  now.space = shared ? "shared" : "global";
  if (s.dynamic.holds(a) && (a - s.dynamic.begin) / s.block.shared_step != me.rank) {
    if (s.common_epoch == 0) {
      report(s, "cluster", now.space, "another block may not have started", pc, nullptr);
    }
    s.last_remote = now.access;
  }
  for (Address word = a & ~Address(3); word < a + bytes; word += 4) {
    unsigned mask = 0xf;
    if (word < a) mask &= 0xfu << (a - word);
    if (word + 4 > a + bytes) mask &= 0xfu >> (word + 4 - a - bytes);
    check_word(s, word, mask, now);
  }
  if (s.counting) count_request(s, a, bytes, write, shared, pc);
}

// Returns all that the current thread knows to be over, with its own accesses so far.
Point own_point(State& s) {
  const Thread& me = *current;
  Lane& lane = s.lanes[me.linear];
  Point point;
  point.epoch = s.epoch;
  auto& clocks = point.clocks[me.warp];
  clocks = lane.seen;
  clocks[me.lane] = lane.clock++;
  return point;
}

// Takes in what an atomic or volatile access brings, and publishes what it hands on.
void synchronise(State& s, Address a, bool brings, bool hands_on, bool replaces) {
  Lane& lane = s.lanes[current->linear];
  if (brings && !s.published.empty()) {
    const auto at = s.published.find(a);
    if (at != s.published.end()) {
      lane.views.pending = join(lane.views.pending, at->second);
      s.any_view = true;
    }
  }
  if (hands_on && lane.views.released != nullptr) {
    auto mine = std::make_shared<View>(*lane.views.released);
    join((*mine)[s.serial].atomics, own_point(s));
    ViewPointer& view = s.published[a];
    view = replaces ? mine : join(view, mine);
  } else if (hands_on && replaces) {
    s.published.erase(a);
  }
}

// Handles the callbacks; it checks only kernels.
void callback(const void* p, std::size_t bytes, bool write, unsigned flags, const void* pc) {
  if (!in_kernel || bytes == 0) return;
  in_kernel = false;
  State& s = state();
  note(s, p, bytes, write, flags, pc);
  if ((flags & kAtomic) != 0) synchronise(s, address_of(p), !write, write, true);
  in_kernel = true;
}

int find_module(dl_phdr_info* info, std::size_t, void* data) {
  State& s = *static_cast<State*>(data);
  const Address here = address_of(reinterpret_cast<const void*>(&find_module));
  std::vector<Range> read, write;
  Range statics;
  bool mine = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr) & part = info->dlpi_phdr[i];
    const Range range{info->dlpi_addr + part.p_vaddr,
                      info->dlpi_addr + part.p_vaddr + part.p_memsz};
    if (part.p_type == PT_LOAD) {
      mine = mine || range.holds(here);
      ((part.p_flags & PF_W) != 0 ? write : read).push_back(range);
    } else if (part.p_type == PT_TLS && info->dlpi_tls_data != nullptr) {
      const Address begin = address_of(info->dlpi_tls_data);
      statics = {begin, begin + part.p_memsz};
    }
  }
  if (!mine) return 0;
  s.module_read = read;
  s.module_write = write;
  s.statics = statics;
  return 1;
}

}  // namespace

// ---- what the emulator says ----

Pause::Pause() { in_kernel = false; }
Pause::~Pause() { in_kernel = active; }

void enter_kernel() { in_kernel = active; }
void leave_kernel() { in_kernel = false; }

void begin_launch(const LaunchInfo& launch) {
  state_mutex.lock();
  State& s = state();
  s.launch = launch;
  s.serial_before = s.first_serial;
  s.first_serial = s.serial + 1;
  s.published.clear();
  constexpr std::size_t kMostPages = 2000;
  if (s.pages.size() > kMostPages) {
    s.pages.clear();
    s.last_cells = nullptr;
  }
  active = s.checking;
  in_kernel = false;
  dl_iterate_phdr(&find_module, &s);
}

void end_launch() {
  active = in_kernel = false;
  State& s = state();
  if (s.counting) {
    Traffic& traffic = s.traffic[s.launch.kernel];
    ++traffic.launches;
    traffic.blocks += s.launch.blocks;
    traffic.read_sectors += s.sectors.read.size();
    traffic.written_sectors += s.sectors.written.size();
    s.sectors = {};
  }
  state_mutex.unlock();
}

void begin_block(const BlockInfo& block) {
  State& s = state();
  ++s.serial;
  s.epoch = 1;
  s.common_epoch = 0;
  s.own_epoch.assign(block.count / block.each, 0);
  s.last_remote = {};
  s.block = block;
  const Address shared = address_of(block.shared);
  s.dynamic = {shared, shared + block.shared_bytes};
  s.lanes.assign(block.count, {});
  s.any_view = false;
}

void end_block() {
  in_kernel = false;
  State& s = state();
  if (s.last_remote.pc != nullptr && s.last_remote.epoch >= s.common_epoch) {
    report(s, "cluster", "shared", "another block may have ended", s.last_remote.pc, nullptr);
  }
  finish_requests(s);
}

void barrier(bool of_cluster) {
  State& s = state();
  ++s.epoch;
  const unsigned rank = current->rank;
  if (of_cluster) {
    s.common_epoch = s.epoch;
  } else {
    s.own_epoch[rank] = s.epoch;
  }
  if (!s.any_view) return;
  const auto first = s.lanes.begin() + (of_cluster ? 0 : rank * s.block.each);
  const auto end = of_cluster ? s.lanes.end() : first + s.block.each;
  Views all;
  std::for_each(first, end, [&](const Lane& lane) { join(all, lane.views); });
  std::for_each(first, end, [&](Lane& lane) { lane.views = all; });
}

void launch_wait() { state().lanes[current->linear].waited = true; }

void warp_barrier(unsigned warp, unsigned lanes) {
  State& s = state();
  Lane* first = &s.lanes[warp * 32];
  Lane all;
  const auto each = [&](auto&& fn) {
    for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<unsigned>(__builtin_ctz(rest));
      fn(i, first[i]);
    }
  };
  each([&](unsigned, const Lane& lane) {
    for (int k = 0; k < 32; ++k) all.seen[k] = std::max(all.seen[k], lane.seen[k]);
    if (s.any_view) join(all.views, lane.views);
  });
  each([&](unsigned i, Lane& lane) { all.seen[i] = lane.clock++; });
  each([&](unsigned, Lane& lane) {
    lane.seen = all.seen;
    if (s.any_view) lane.views = all.views;
  });
}

void fence() {
  State& s = state();
  Views& views = s.lanes[current->linear].views;
  views.acquired = join(views.acquired, views.pending);
  views.pending = nullptr;
  auto view = std::make_shared<View>();
  if (views.acquired != nullptr) *view = *views.acquired;
  join((*view)[s.serial].all, own_point(s));
  views.released = view;
  s.any_view = true;
}

void access(const void* p, std::size_t bytes, bool write, const void* pc) {
  if (active) note(state(), p, bytes, write, 0, pc);
}

void atomic(const void* p, std::size_t bytes, const void* pc) {
  if (!active) return;
  const Pause pause;
  State& s = state();
  note(s, p, bytes, true, kAtomic, pc);
  synchronise(s, address_of(p), true, true, false);
}

void begin_async(const void* p, std::size_t bytes, const void* pc) {
  if (active) note(state(), p, bytes, true, kAsync, pc);
}

// The copies count from here on as if the thread had written them at this point.
void end_async(const void* p, std::size_t bytes, const void* pc) {
  if (!active) return;
  State& s = state();
  const Address begin = address_of(p);
  for (Address word = begin; word < begin + bytes; word += 4) {
    for (Access& old : cell_of(s, word).history.writes) {
      if (old.thread == current->linear) old.flags &= static_cast<std::uint8_t>(~kAsync);
    }
  }
  note(s, p, bytes, true, 0, pc);
}

// ---- what tests ask ----

void set_checking(bool on) { Locked()->checking = on; }
void set_counting(bool on) { Locked()->counting = on; }

std::vector<Report> reports() {
  const Locked s;
  std::vector<const void*> pcs;
  for (const auto& [key, found] : s->found) {
    pcs.push_back(key.pc);
    if (key.other != nullptr) pcs.push_back(key.other);
  }
  locate_all(pcs);
  // Instantiations and unrolled copies of one line make one report.
  std::map<std::tuple<std::string, std::string, std::string, int, std::string, int>, Report> all;
  for (const auto& [key, found] : s->found) {
    const Line line = locate(key.pc);
    const Line other = key.other != nullptr ? locate(key.other) : Line{"", 0, ""};
    Report& report =
        all[{key.kind, found.kernel, line.file, line.number, other.file, other.number}];
    const std::uint64_t before = report.count;
    if (before == 0) {
      report = found;
      std::tie(report.file, report.line, report.frames) =
          std::tie(line.file, line.number, line.frames);
      std::tie(report.other_file, report.other_line, report.other_frames) =
          std::tie(other.file, other.number, other.frames);
    }
    report.count = before + found.count;
  }
  std::vector<Report> out;
  for (auto& [key, report] : all) out.push_back(std::move(report));
  return out;
}

std::size_t report_count() { return Locked()->found.size(); }
void clear_reports() { Locked()->found.clear(); }

void clear_access_sites() {
  const Locked s;
  s->counts.clear();
  s->traffic.clear();
  s->sectors = {};
}

std::vector<Traffic> traffic() {
  const Locked s;
  std::vector<Traffic> out;
  for (auto [kernel, traffic] : s->traffic) {
    traffic.kernel = kernel;
    out.push_back(std::move(traffic));
  }
  return out;
}

std::vector<AccessSite> access_sites() {
  const Locked s;
  std::vector<const void*> pcs;
  for (const auto& [key, count] : s->counts) pcs.push_back(key.first);
  locate_all(pcs);
  std::map<std::tuple<std::string, std::string, int, bool, bool>, Count> all;
  for (const auto& [key, count] : s->counts) {
    const Line line = locate(key.first);
    Count& sum = all[{count.kernel.empty() ? key.second : count.kernel, line.file, line.number,
                      count.shared, count.write}];
    sum.requests += count.requests;
    sum.lanes += count.lanes;
    sum.sectors += count.sectors;
    sum.ideal_sectors += count.ideal_sectors;
    sum.ways += count.ways;
    sum.ideal_ways += count.ideal_ways;
  }
  std::vector<AccessSite> out;
  for (const auto& [key, count] : all) {
    if (count.requests == 0) continue;
    AccessSite site;
    bool shared = false;
    std::tie(site.kernel, site.file, site.line, shared, site.write) = key;
    site.space = shared ? "shared" : "global";
    site.requests = count.requests;
    const auto mean = [&](std::uint64_t sum) {
      return static_cast<double>(sum) / static_cast<double>(count.requests);
    };
    site.lanes = mean(count.lanes);
    site.sectors = mean(count.sectors);
    site.ideal_sectors = mean(count.ideal_sectors);
    site.ways = mean(count.ways);
    site.ideal_ways = mean(count.ideal_ways);
    out.push_back(std::move(site));
  }
  return out;
}

void register_memory(const void* p, std::size_t bytes, bool initialised) {
  if (bytes == 0) return;
  const Locked s;
  s->last_memory = nullptr;
  Memory memory;
  memory.end = address_of(p) + bytes;
  memory.initialised = initialised;
  if (!initialised) memory.written.assign(bytes, false);
  s->memory[address_of(p)] = std::move(memory);
}

void forget_memory(const void* p) {
  const Locked s;
  s->last_memory = nullptr;
  s->memory.erase(address_of(p));
}

void register_view(const void* p, std::size_t bytes) {
  Locked()->views.push_back({address_of(p), address_of(p) + bytes});
}

void forget_view(const void* p, std::size_t bytes) {
  const Locked s;
  auto& views = s->views;
  const auto at = std::find_if(views.begin(), views.end(), [&](const Range& r) {
    return r.begin == address_of(p) && r.end == address_of(p) + bytes;
  });
  if (at != views.end()) views.erase(at);
}

void written_by_host(const void* p, std::size_t bytes) {
  if (bytes == 0) return;
  const Locked lock;
  auto* found = memory_at(state(), address_of(p));
  if (found == nullptr || found->second.initialised) return;
  const Address end = std::min(address_of(p) + bytes, found->second.end);
  std::fill(
      found->second.written.begin() + static_cast<std::ptrdiff_t>(address_of(p) - found->first),
      found->second.written.begin() + static_cast<std::ptrdiff_t>(end - found->first), true);
}

}  // namespace pyharmony::emulator::checker

// ---- what the compiler inserts calls of ----

namespace checker = pyharmony::emulator::checker;

#define HM_PC_ __builtin_return_address(0)
#define HM_CALLBACKS_(prefix, n, flags)                                                     \
  void __tsan_##prefix##read##n(void* p) { checker::callback(p, n, false, flags, HM_PC_); } \
  void __tsan_##prefix##write##n(void* p) { checker::callback(p, n, true, flags, HM_PC_); }
#define HM_ACCESS_(n)                           \
  HM_CALLBACKS_(, n, 0)                         \
  HM_CALLBACKS_(unaligned_, n, 0)               \
  HM_CALLBACKS_(volatile_, n, checker::kAtomic) \
  HM_CALLBACKS_(unaligned_volatile_, n, checker::kAtomic)

extern "C" {
HM_ACCESS_(1)
HM_ACCESS_(2)
HM_ACCESS_(4)
HM_ACCESS_(8)
HM_ACCESS_(16)
void __tsan_read_range(void* p, std::size_t n) { checker::callback(p, n, false, 0, HM_PC_); }
void __tsan_write_range(void* p, std::size_t n) { checker::callback(p, n, true, 0, HM_PC_); }
void __tsan_init() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// Atomics of the host code beside the kernels: guards of static variables, counts of references.
#define HM_HOST_ATOMIC_(bits)                                                            \
  std::uint##bits##_t __tsan_atomic##bits##_load(const std::uint##bits##_t* p, int) {    \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                         \
  }                                                                                      \
  void __tsan_atomic##bits##_store(std::uint##bits##_t* p, std::uint##bits##_t v, int) { \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                            \
  }                                                                                      \
  std::uint##bits##_t __tsan_atomic##bits##_fetch_add(std::uint##bits##_t* p,            \
                                                      std::uint##bits##_t v, int) {      \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                   \
  }                                                                                      \
  std::uint##bits##_t __tsan_atomic##bits##_fetch_sub(std::uint##bits##_t* p,            \
                                                      std::uint##bits##_t v, int) {      \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                   \
  }
HM_HOST_ATOMIC_(8)
HM_HOST_ATOMIC_(32)
HM_HOST_ATOMIC_(64)

// The compiler turns larger copies into calls and does not report them (-Wl,--wrap).
void* __real_memcpy(void* to, const void* from, std::size_t n);
void* __real_memmove(void* to, const void* from, std::size_t n);
void* __real_memset(void* to, int value, std::size_t n);
void* __wrap_memcpy(void* to, const void* from, std::size_t n) {
  checker::callback(from, n, false, 0, HM_PC_);
  checker::callback(to, n, true, 0, HM_PC_);
  return __real_memcpy(to, from, n);
}
void* __wrap_memmove(void* to, const void* from, std::size_t n) {
  checker::callback(from, n, false, 0, HM_PC_);
  checker::callback(to, n, true, 0, HM_PC_);
  return __real_memmove(to, from, n);
}
void* __wrap_memset(void* to, int value, std::size_t n) {
  checker::callback(to, n, true, 0, HM_PC_);
  return __real_memset(to, value, n);
}
}

#endif
