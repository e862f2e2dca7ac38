#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace pyharmony {
namespace {

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

  bool exhausted() const { return next.load(std::memory_order_relaxed) >= n; }

  void run() {
    while (!failed.load(std::memory_order_relaxed)) {
      const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) return;
      try {
        body(context, begin, std::min(begin + grain, n));
      } catch (...) {
        std::lock_guard<std::mutex> lock(error_mutex);
        if (!error) error = std::current_exception();
        failed.store(true);
      }
    }
  }
};

class Pool {
 public:
  void run(Job& job, int threads) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      try {
        while (static_cast<int>(workers_.size()) < threads - 1) {
          workers_.emplace_back([this] { work(); });
          workers_.back().detach();
        }
      } catch (const std::system_error&) {
        // There is no room for another stack: the existing threads do the work.
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
    done_.wait(lock, [&] { return job.running == 0; });
  }

 private:
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
  std::vector<std::thread> workers_;
};

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
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

int num_threads() {
  int n = g_threads.load();
  if (n == 0) {
    n = default_threads();
    g_threads.store(n);
  }
  return n;
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
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace pyharmony
