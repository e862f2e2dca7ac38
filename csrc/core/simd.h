// Kernels for several instruction sets in one module, chosen at run time.
//
// CMake compiles every file listed under HM_SIMD_SOURCES once for each level, with HM_SIMD_NS
// set to simd_baseline, simd_avx2 or simd_avx512 and HM_SIMD_BYTES to the width of a register,
// and hides every symbol of the copy that is not in that namespace: an inline function of a
// header that was compiled for AVX-512 can never be the one that the rest of the module calls.
//
//   namespace pyharmony::HM_SIMD_NS { void blur(const BlurParams& params) { ... } }
//
// declares one entry point. In the op's header, HM_SIMD_DECLARE(void blur(const BlurParams&))
// declares all of its copies, and HM_SIMD_CALL(blur, params) calls the right one.
//
// A build for one machine may have a single copy (HM_SIMD=NATIVE): the declarations are weak, so
// that the calls of the others link, and simd_level() never chooses them.
#pragma once

namespace pyharmony {

enum class SimdLevel : int { kBaseline, kAvx2, kAvx512 };

// Returns the level in use: the best one that is available, or the one that set_simd_level chose.
// PYHARMONY_SIMD (baseline, avx2, avx512) makes those above the one that it names unavailable, so
// that a machine behaves as one whose CPU lacks them.
SimdLevel simd_level();
const char* simd_level_name(SimdLevel level);
// Throws std::invalid_argument for a level that is not available.
void set_simd_level(const char* name);

}  // namespace pyharmony

#ifdef HM_SIMD_NS
#define HM_SIMD_LINKAGE
#else
#define HM_SIMD_LINKAGE __attribute__((weak))
#endif

#ifdef HM_SIMD_X86
#define HM_SIMD_DECLARE(...)   \
  namespace simd_baseline {    \
  __VA_ARGS__ HM_SIMD_LINKAGE; \
  }                            \
  namespace simd_avx2 {        \
  __VA_ARGS__ HM_SIMD_LINKAGE; \
  }                            \
  namespace simd_avx512 {      \
  __VA_ARGS__ HM_SIMD_LINKAGE; \
  }
#define HM_SIMD_CALL(function, ...)                             \
  (::pyharmony::simd_level() == ::pyharmony::SimdLevel::kAvx512 \
       ? ::pyharmony::simd_avx512::function(__VA_ARGS__)        \
   : ::pyharmony::simd_level() == ::pyharmony::SimdLevel::kAvx2 \
       ? ::pyharmony::simd_avx2::function(__VA_ARGS__)          \
       : ::pyharmony::simd_baseline::function(__VA_ARGS__))
#else
#define HM_SIMD_DECLARE(...) \
  namespace simd_baseline {  \
  __VA_ARGS__;               \
  }
#define HM_SIMD_CALL(function, ...) ::pyharmony::simd_baseline::function(__VA_ARGS__)
#endif
