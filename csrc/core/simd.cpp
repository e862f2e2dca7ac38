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

#ifdef HM_SIMD_X86
// Returns whether there is F16C: __builtin_cpu_supports of Clang 16 has no name for it.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

SimdLevel best_level() {
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
  for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    if (std::strcmp(name, simd_level_name(level)) != 0) continue;
    HM_CHECK(level <= best_level(), "simd: '", name, "' is not available here, the best is '",
             simd_level_name(best_level()), "'");
    g_level.store(static_cast<int>(level));
    return;
  }
  fail("simd: '", name, "', expected 'baseline', 'avx2' or 'avx512'");
}

SimdLevel simd_level() {
  int level = g_level.load(std::memory_order_relaxed);
  if (level < 0) {
    const char* wanted = std::getenv("PYHARMONY_SIMD");
    if (wanted != nullptr && *wanted != '\0') {
      set_simd_level(wanted);
    } else {
      g_level.store(static_cast<int>(best_level()));
    }
    level = g_level.load();
  }
  return static_cast<SimdLevel>(level);
}

}  // namespace pyharmony
