// Interrupts of csrc/core/parallel.cpp beside another error of the same job, each in one order of
// events. Prints what was wrong, if anything.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <thread>

#include "core/interrupt.h"
#include "core/parallel.h"

using namespace pyharmony;

namespace {

struct Stop {};

std::atomic<bool> armed{false};
std::atomic<int> computed{0};  // ranges of what the hook computed

void stop() {
  if (armed) throw Stop();
}

void compute() {
  if (armed) parallel_each(5, 1, [](std::int64_t) { ++computed; });
}

// Longer than the hook is asked at most.
void wait_for_the_hook() { std::this_thread::sleep_for(std::chrono::milliseconds(300)); }

// Runs a job of two threads: the other one fails, and after that the first one calls `then`, with
// the hook armed.
template <typename Then>
void run_beside_a_failure(Then then) {
  const std::thread::id first = std::this_thread::get_id();
  std::atomic<bool> begun{false};
  armed = false;
  parallel_each(2, 1, [&](std::int64_t) {
    if (std::this_thread::get_id() != first) {
      while (!begun) std::this_thread::yield();
      throw std::runtime_error("the other thread failed");
    }
    begun = true;
    try {
      for (;; std::this_thread::yield()) check_interrupt();
    } catch (...) {  // the job has failed
    }
    armed = true;
    wait_for_the_hook();
    then();
  });
}

// Says so where a call throws something else than expected.
template <typename Call>
void expect(const char* expected, const char* name, Call call) {
  const char* thrown = "nothing";
  try {
    call();
  } catch (const Stop&) {
    thrown = "the interrupt";
  } catch (const std::runtime_error&) {
    thrown = "the error";
  } catch (...) {
    thrown = "something else";
  }
  if (std::strcmp(thrown, expected) != 0) {
    std::printf("%s: %s was thrown, expected %s\n", name, thrown, expected);
  }
}

void run_nested() {
  parallel_each(4, 1, [](std::int64_t) {});
}

}  // namespace

int main() {
  set_num_threads(2);
  set_interrupt_hook(&stop);
  expect("the interrupt", "in a body", [] { run_beside_a_failure(&check_interrupt); });
  expect("the interrupt", "in a nested job", [] { run_beside_a_failure(&run_nested); });
  wait_for_the_hook();
  expect("the interrupt", "outside jobs", &check_interrupt);
  set_interrupt_hook(&compute);
  expect("the error", "a hook that computes", [] { run_beside_a_failure(&check_interrupt); });
  if (computed != 5) std::printf("the hook computed %d of 5 ranges\n", computed.load());
}
