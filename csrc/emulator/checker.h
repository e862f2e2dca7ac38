// Checks each access of a kernel for races, barriers, initialisation and bounds.
//
// Kernels are compiled with -fsanitize=thread, whose callbacks are defined here; its runtime is not
// linked. Without HM_EMULATOR_CHECK there are no checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/fiber.h"

namespace pyharmony::emulator::checker {

struct LaunchInfo {
  std::string kernel;
  const void* arguments;
  std::size_t argument_bytes;
  std::uint64_t blocks;
  bool early;
};

// A block, or the blocks of a cluster.
struct BlockInfo {
  const Thread* threads;
  unsigned count, each;  // threads: all, those of a block
  const void* shared;
  std::size_t shared_bytes, shared_step;  // of all, and from a block to the next
  const Stacks* stacks;
};

// A wrong access, and the earlier one that it conflicts with, where there is one.
struct Report {
  std::string kind, space, kernel, message;
  std::string file, other_file, frames, other_frames;  // frames: see Line
  int line = 0, other_line = 0;
  uint3 block{}, thread{}, other_thread{};
  std::uint64_t count = 0;
};

// The accesses of the warps at a line, on average over their requests.
struct AccessSite {
  std::string kernel, space, file;
  int line = 0;
  bool write = false;
  std::uint64_t requests = 0;
  double lanes = 0;
  double sectors = 0, ideal_sectors = 0;  // sectors of 32 bytes
  double ways = 0, ideal_ways = 0;        // accesses to one of the 32 banks of shared memory
};

// The sectors of global memory that the launches of a kernel touch, each counted once in a launch:
// what passes between the cache and the memory where the cache holds what is read again.
struct Traffic {
  std::string kernel;
  std::uint64_t launches = 0, blocks = 0, read_sectors = 0, written_sectors = 0;
};

#if HM_EMULATOR_CHECK

constexpr bool kOneThread = true;

void begin_launch(const LaunchInfo& launch);
void end_launch();
void begin_block(const BlockInfo& block);
void end_block();
void enter_kernel();
void leave_kernel();
void barrier(bool of_cluster);  // else of the current thread's block
void launch_wait();
void warp_barrier(unsigned warp, unsigned lanes);
void fence();
void access(const void* p, std::size_t bytes, bool write, const void* pc);
void atomic(const void* p, std::size_t bytes, const void* pc);
void begin_async(const void* p, std::size_t bytes, const void* pc);
void end_async(const void* p, std::size_t bytes, const void* pc);

// While a Pause lives, accesses are the emulator's own.
class Pause {
 public:
  Pause();
  ~Pause();
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
};

void set_checking(bool on);
void set_counting(bool on);
std::vector<Report> reports();
std::size_t report_count();  // counted by instruction; quicker than the reports
void clear_reports();
std::vector<AccessSite> access_sites();
std::vector<Traffic> traffic();
void clear_access_sites();

// Adds memory that kernels may use. If it is not initialised, it must be written before it is read.
void register_memory(const void* p, std::size_t bytes, bool initialised);
void forget_memory(const void* p);
void register_view(const void* p, std::size_t bytes);
void forget_view(const void* p, std::size_t bytes);
void written_by_host(const void* p, std::size_t bytes);

#else

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kOneThread = true;
#else
constexpr bool kOneThread = false;
#endif

struct Pause {
  Pause() {}
};
inline void begin_launch(const LaunchInfo&) {}
inline void end_launch() {}
inline void begin_block(const BlockInfo&) {}
inline void end_block() {}
inline void enter_kernel() {}
inline void leave_kernel() {}
inline void barrier(bool) {}
inline void launch_wait() {}
inline void warp_barrier(unsigned, unsigned) {}
inline void fence() {}
inline void access(const void*, std::size_t, bool, const void*) {}
inline void atomic(const void*, std::size_t, const void*) {}
inline void begin_async(const void*, std::size_t, const void*) {}
inline void end_async(const void*, std::size_t, const void*) {}
inline void register_memory(const void*, std::size_t, bool) {}
inline void forget_memory(const void*) {}
inline void written_by_host(const void*, std::size_t) {}

#endif

}  // namespace pyharmony::emulator::checker
