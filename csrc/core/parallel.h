// A small thread pool. OpenMP's runtime deadlocks in a child of fork() and has to be shipped
// beside the module; this one is rebuilt in the child and is plain C++.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace pyharmony {

// Returns how many threads parallel_for may use, the caller included. The default is the number of
// CPU cores this process may run on, or OMP_NUM_THREADS where that is set.
int num_threads();
void set_num_threads(int n);

namespace detail {
using Body = void (*)(void* context, std::int64_t begin, std::int64_t end);
void parallel_run(std::int64_t n, std::int64_t grain, Body body, void* context);
}  // namespace detail

// Calls fn(begin, end) on disjoint ranges that cover [0, n), each of at most `grain` items
// (the last of a run may be shorter). Ranges are handed out as threads become free, so fn must
// not depend on who runs what. It may be called from several threads at once and may nest.
// The first exception that fn throws is rethrown here when all ranges are done or abandoned, or
// what the hook of core/interrupt.h threw, which comes before all others.
template <typename Fn>
void parallel_for(std::int64_t n, std::int64_t grain, Fn&& fn) {
  using F = std::remove_reference_t<Fn>;
  detail::parallel_run(
      n, grain,
      [](void* context, std::int64_t begin, std::int64_t end) {
        (*static_cast<F*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(std::addressof(fn))));
}

// Calls fn(i) for each i of [0, n), `grain` of them in a row.
template <typename Fn>
void parallel_each(std::int64_t n, std::int64_t grain, Fn&& fn) {
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) fn(i);
  });
}

}  // namespace pyharmony
