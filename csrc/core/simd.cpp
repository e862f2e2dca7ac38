#include "core/simd.h"

#ifdef HM_SIMD_X86
#include <cpuid.h>
#endif

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "core/status.h"

namespace pyharmony {
namespace {

#ifndef HM_SIMD_COPIES
#define HM_SIMD_COPIES SimdLevel::kBaseline
#endif
// These are the levels that the kernels were compiled for, in rising order.
constexpr SimdLevel kCopies[] = {HM_SIMD_COPIES};

bool is_compiled(SimdLevel level) {
  for (SimdLevel copy : kCopies) {
    if (copy == level) return true;
  }
  return false;
}

#ifdef HM_SIMD_X86
// Returns whether there is F16C: __builtin_cpu_supports of Clang 16 has no name for it.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

SimdLevel cpu_level() {
#ifdef HM_SIMD_X86
  __builtin_cpu_init();
  // These are the sets of x86-64-v4 and x86-64-v3, which the copies are compiled for.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return SimdLevel::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2") && has_f16c()) {
    return SimdLevel::kAvx2;
  }
#endif
  return SimdLevel::kBaseline;
}

const char* limit_by_hand() {
  const char* name = std::getenv("PYHARMONY_SIMD");
  return name != nullptr && *name != '\0' ? name : nullptr;
}

SimdLevel level_named(const char* name) {
  for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    if (std::strcmp(name, simd_level_name(level)) == 0) return level;
  }
  fail("simd: '", name, "', expected 'baseline', 'avx2' or 'avx512'");
}

// Returns the best level that may be used: that of the CPU, or a lower one that PYHARMONY_SIMD
// names. Those above it are not there for anybody, as on a CPU that lacks them.
SimdLevel best_level() {
  static const SimdLevel best = [] {
    SimdLevel limit = cpu_level();
    if (const char* name = limit_by_hand()) {
      limit = level_named(name);
      HM_CHECK(limit <= cpu_level(), "simd: '", name, "' is not available here, the best is '",
               simd_level_name(cpu_level()), "'");
    }
    HM_CHECK(kCopies[0] <= limit, "simd: this build has kernels for '", simd_level_name(kCopies[0]),
             "' alone (HM_SIMD=NATIVE), and '", simd_level_name(limit),
             "' is the best that may be used");
    SimdLevel level = kCopies[0];
    for (SimdLevel copy : kCopies) {
      if (copy <= limit) level = copy;
    }
    return level;
  }();
  return best;
}

std::atomic<int> g_level{-1};

}  // namespace

const char* simd_level_name(SimdLevel level) {
  switch (level) {
    case SimdLevel::kBaseline: return "baseline";
    case SimdLevel::kAvx2: return "avx2";
    case SimdLevel::kAvx512: return "avx512";
  }
  return "unknown";
}

void set_simd_level(const char* name) {
  const SimdLevel level = level_named(name), best = best_level();
  HM_CHECK(level <= best, "simd: '", name, "' is not available here, the best is '",
           simd_level_name(best), "'", limit_by_hand() != nullptr ? ", by PYHARMONY_SIMD" : "");
  HM_CHECK(is_compiled(level), "simd: '", name, "' is not in this build, which has '",
           simd_level_name(best), "' alone (HM_SIMD=NATIVE)");
  g_level.store(static_cast<int>(level));
}

SimdLevel simd_level() {
  int level = g_level.load(std::memory_order_relaxed);
  if (level < 0) {
    level = static_cast<int>(best_level());
    g_level.store(level);
  }
  return static_cast<SimdLevel>(level);
}

}  // namespace pyharmony
