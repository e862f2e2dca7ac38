// What GCC's C++ library asks of a newer glibc than 2.28, the oldest one that the wheels run on
// (tools/release.py).

#include <pthread.h>
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

#define HIDDEN __attribute__((visibility("hidden")))

extern int __cxa_atexit(void (*)(void*), void*, void*);
extern void* __dso_handle;

// Since 2.32: 0 makes shared pointers count atomically, which is always right.
HIDDEN char __libc_single_threaded = 0;

// These two are in glibc's static part, which the libraries that are linked here lack.
HIDDEN int atexit(void (*call)(void)) {
  return __cxa_atexit((void (*)(void*))call, 0, &__dso_handle);
}

extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void*);
HIDDEN int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
  return __register_atfork(prepare, parent, child, __dso_handle);
}

// Since 2.36.
HIDDEN uint32_t arc4random(void) {
  uint32_t value;
  while (getentropy(&value, sizeof value) != 0) {
  }
  return value;
}

// Since 2.30: waits by the clock that std::condition_variable uses. 2.28 waits by the time of day
// alone.
HIDDEN int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                  clockid_t clock, const struct timespec* until) {
  const int64_t second = 1000000000;
  struct timespec now, today;
  clock_gettime(clock, &now);
  clock_gettime(CLOCK_REALTIME, &today);
  const int64_t seconds = until->tv_sec - now.tv_sec + today.tv_sec;
  const int64_t total = seconds * second + (until->tv_nsec - now.tv_nsec) + today.tv_nsec;
  const struct timespec end = {total / second, total % second};
  return pthread_cond_timedwait(condition, mutex, &end);
}
