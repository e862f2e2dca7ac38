#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "core/buffer.h"
#include "core/interrupt.h"

namespace pyharmony {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kInterruptPeriod{50};

// Thrown out of a part of a job that has failed; the error of the job takes its place.
struct Abandoned {};

// What the hook throws, on its way through jobs: it takes the place of their other errors, and
// comes out of the outermost one as it was thrown.
struct Interrupt {
  std::exception_ptr error;
};

void call_hook();  // if it is time to, on the first thread; throws Interrupt

struct Job;
thread_local const Job* current_job = nullptr;  // the innermost job whose body this thread runs
thread_local MemoryMeter* meter_of_thread = nullptr;
thread_local Clock::time_point next_interrupt_check{};

struct Job {
  std::int64_t n, grain;
  detail::Body body;
  void* context;
  std::atomic<std::int64_t> next{0};
  int running = 0;  // threads inside run(); guarded by the pool's mutex
  int helpers = 0;  // workers that may still join; guarded by the pool's mutex
  std::exception_ptr error{};
  std::atomic<bool> failed{false};
  std::mutex error_mutex{};
  const Job* outer = current_job;  // waits for this one, so it lives longer
  MemoryMeter* meter = meter_of_thread;

  bool exhausted() const { return next.load(std::memory_order_relaxed) >= n; }

  // Returns whether this job, or one that it is a part of, has failed.
  bool abandoned() const {
    for (const Job* job = this; job != nullptr; job = job->outer) {
      if (job->failed.load(std::memory_order_relaxed)) return true;
    }
    return false;
  }

  // Keeps the exception that is handled at the moment; an interrupt takes the place of another one.
  void fail(bool interrupt) {
    std::lock_guard<std::mutex> lock(error_mutex);
    if (!error || interrupt) error = std::current_exception();
    failed.store(true);
  }

  void poll() {
    try {
      call_hook();
    } catch (const Interrupt&) {
      fail(true);
    }
  }

  void run() {
    const Job* const before = std::exchange(current_job, this);
    MemoryMeter* const meter_before = std::exchange(meter_of_thread, meter);
    for (;;) {
      poll();
      if (abandoned()) break;
      const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) break;
      try {
        body(context, begin, std::min(begin + grain, n));
      } catch (const Interrupt&) {
        fail(true);
      } catch (...) {
        fail(false);
      }
    }
    current_job = before;
    meter_of_thread = meter_before;
  }
};

// Takes the memory that a thread needs for its thread_local variables and for exceptions while
// there is some: the C library takes it at their first use, and aborts the process where there is
// none.
void take_thread_memory() {
  current_job = nullptr;
  try {
    throw Abandoned();
  } catch (const Abandoned&) {
  }
}

// Address space for what a new thread takes beside its stack: where there is none to set aside, the
// thread is not started, since the C library would abort the process.
class SpareMemory {
 public:
  SpareMemory()
      : pages_(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (pages_ == MAP_FAILED) throw std::bad_alloc();
  }
  ~SpareMemory() { release(); }
  SpareMemory(const SpareMemory&) = delete;
  SpareMemory& operator=(const SpareMemory&) = delete;

  void release() {
    if (pages_ != MAP_FAILED) munmap(std::exchange(pages_, MAP_FAILED), kBytes);
  }

 private:
  static constexpr std::size_t kBytes = 256 << 10;
  void* pages_;
};

class Pool {
 public:
  void run(Job& job, int threads) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      try {
        for (; workers_ < threads - 1; ++workers_) start_worker();
      } catch (const std::system_error&) {
        // There is no room for another stack: the existing threads do the work.
      } catch (const std::bad_alloc&) {
        // There is none for what describes a thread.
      }
      job.helpers = threads - 1;
      job.running = 1;
      jobs_.push_back(&job);
    }
    wake_.notify_all();
    job.run();
    std::unique_lock<std::mutex> lock(mutex_);
    jobs_.erase(std::remove(jobs_.begin(), jobs_.end(), &job), jobs_.end());
    --job.running;
    while (!done_.wait_for(lock, kInterruptPeriod, [&] { return job.running == 0; })) {
      lock.unlock();
      job.poll();
      lock.lock();
    }
  }

 private:
  // Starts a worker, and waits until it has the memory that it needs, which was set aside for it.
  void start_worker() {
    std::atomic<bool> ready{false};
    SpareMemory spare;
    std::thread([this, &ready, &spare] {
      spare.release();
      take_thread_memory();
      ready.store(true, std::memory_order_release);
      work();
    }).detach();
    while (!ready.load(std::memory_order_acquire)) std::this_thread::yield();
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      wake_.wait(lock, [&] {
        for (Job* candidate : jobs_) {
          if (candidate->helpers > 0 && !candidate->exhausted()) {
            job = candidate;
            return true;
          }
        }
        return false;
      });
      --job->helpers;
      ++job->running;
      lock.unlock();
      job->run();
      lock.lock();
      if (--job->running == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Job*> jobs_;
  int workers_ = 0;
};

std::atomic<InterruptHook> g_interrupt_hook{nullptr};

bool is_first_thread() {
#ifdef __linux__
  return syscall(SYS_gettid) == getpid();
#else
  return true;  // the hook finds out
#endif
}

void call_hook() {
  const Clock::time_point now = Clock::now();
  if (now < next_interrupt_check) return;
  next_interrupt_check = now + kInterruptPeriod;
  const InterruptHook hook = g_interrupt_hook.load(std::memory_order_relaxed);
  if (hook == nullptr || !is_first_thread()) return;
  // What the hook calls is no part of this thread's job, and does not end where that has failed.
  const Job* const before = std::exchange(current_job, nullptr);
  try {
    hook();
  } catch (...) {
    current_job = before;
    throw Interrupt{std::current_exception()};
  }
  current_job = before;
  // Where the hook has to wait for another thread, it does so less often.
  const Clock::time_point after = Clock::now();
  next_interrupt_check = after + std::clamp<Clock::duration>(40 * (after - now), kInterruptPeriod,
                                                             4 * kInterruptPeriod);
}

// Throws Interrupt within a job, and outside all of them what the hook threw.
[[noreturn]] void rethrow(const std::exception_ptr& error) {
  if (current_job != nullptr) std::rethrow_exception(error);
  try {
    std::rethrow_exception(error);
  } catch (const Interrupt& interrupt) {
    std::rethrow_exception(interrupt.error);
  }
}

// The pool is never destroyed: detached workers may outlive static destructors at exit.
std::atomic<Pool*> g_pool{nullptr};
std::atomic<int> g_threads{0};

// The child of fork() has none of the workers and perhaps a locked mutex: it starts afresh.
void forget_pool() { g_pool.store(nullptr); }

Pool& pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
  (void)registered;
  Pool* current = g_pool.load();
  if (current == nullptr) {
    auto fresh = std::make_unique<Pool>();
    if (g_pool.compare_exchange_strong(current, fresh.get())) current = fresh.release();
  }
  return *current;
}

int default_threads() {
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const int n = std::atoi(text);
    if (n > 0) return n;
  }
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

MemoryMeter*& current_meter() { return meter_of_thread; }

int num_threads() {
  int n = g_threads.load();
  if (n == 0) {
    n = default_threads();
    g_threads.store(n);
  }
  return n;
}

void set_interrupt_hook(InterruptHook hook) {
  take_thread_memory();
  g_interrupt_hook.store(hook);
}

void check_interrupt() {
  try {
    call_hook();
  } catch (const Interrupt&) {
    rethrow(std::current_exception());
  }
  if (current_job != nullptr && current_job->abandoned()) throw Abandoned();
}

void set_num_threads(int n) { g_threads.store(std::max(1, n)); }

void detail::parallel_run(std::int64_t n, std::int64_t grain, Body body, void* context) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t ranges = (n + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<std::int64_t>(num_threads(), ranges));
  Job job{n, grain, body, context};
  if (threads == 1) {
    job.run();
  } else {
    pool().run(job, threads);
  }
  if (job.error) rethrow(job.error);
  if (job.abandoned()) throw Abandoned();
}

}  // namespace pyharmony
