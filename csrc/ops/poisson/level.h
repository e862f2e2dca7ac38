// One grid of the multigrid hierarchy, and the passes over it.
//
// Every plane of a level has the same geometry: rows of `stride` floats, a zero row above and
// below, and kPad zero columns between a row and the next. A plane is zero wherever a pixel is
// known, so stencils need no branches. A pass does row i over its span [lo, hi), multiples of kPad
// that cover its unknowns.
//
// A pass streams over the rows of one band and keeps its intermediate rows in ring buffers:
// smoothing, residual and restriction are one sweep over memory. Bands recompute the few rows
// they share, so they depend on nothing but the planes they read, and results do not depend on
// which thread runs what.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/simd.h"
#include "ops/poisson/scheme.h"

namespace pyharmony::poisson {

constexpr int kPad = 16;

enum class Stencil : int {
  kFive,         // 4 + excess on the diagonal, the same everywhere, -1 beside it
  kFiveColumns,  // as kFive, without the neighbours beside the image, whose border the box touches
  kFiveMap,      // as kFiveColumns, with an excess for each pixel
  kNine,         // stored coefficients
};

struct LevelView {
  int height = 0, width = 0;
  std::ptrdiff_t stride = 0;
  const int *lo = nullptr, *hi = nullptr;            // [height]
  const int *wide_lo = nullptr, *wide_hi = nullptr;  // the spans of rows i-1..i+1 and kPad around
  bool mirror_top = false, mirror_bottom = false;    // five-point at the image's border
  bool merge_right = false, merge_bottom = false;    // even size at the image's border
  Stencil stencil = Stencil::kFive;
  const std::int8_t* active = nullptr;  // five-point: -1 where unknown, else 0
  const float* excess = nullptr;        // kFiveMap: a plane
  // kFiveColumns and kFiveMap, one row each: 1 where the neighbour left or right is in the image,
  // else 0, and 2 plus their sum.
  const float *left = nullptr, *right = nullptr, *links = nullptr;
  float excess_all = 0, inverse_all = 0;
  const float* inverse = nullptr;  // 1 / (the smoother's diagonal), 0 where known
  const float *c = nullptr, *e = nullptr, *s = nullptr, *se = nullptr, *sw = nullptr;
  const float* row_sum = nullptr;  // finest nine-point level only: the exact form of A p
  const float* zero_row = nullptr;
};

// A band's share of the sums and maxima of its pass.
struct Partial {
  double dot = 0;
  float largest = 0;
};

enum class DownMode : int {
  kPlain,    // r is given
  kUpdate,   // x += alpha p, r -= alpha A p first
  kProlong,  // x = P coarse_x, r -= A x first
};

struct DownPass {
  LevelView level;
  DownMode mode = DownMode::kPlain;
  const float* r = nullptr;
  float* r_out = nullptr;  // kUpdate, kProlong
  const float* p = nullptr;
  float alpha = 0;
  float* x = nullptr;
  float* z = nullptr;                 // out: result of two smoothing steps from zero
  const LevelView* coarse = nullptr;  // null where the level has no coarser one
  const float* coarse_x = nullptr;
  float* coarse_r = nullptr;  // out: the restricted residual
};

struct UpPass {
  LevelView level;
  const float* r = nullptr;
  const float* z = nullptr;
  const LevelView* coarse = nullptr;
  const float* coarse_z = nullptr;
  float* out = nullptr;        // result: z + P coarse_z and two smoothing steps
  bool add = false;            // adds to `out` instead
  bool measure = false;        // fills partial: r . z and the largest |z|; not with `add`
  Partial* partial = nullptr;  // [bands]
};

// A V-cycle's work on a coarse level of one band. It keeps whole planes instead of rings, which
// takes less time where rows are short; every plane has zeros outside of the spans.
struct CoarsePass {
  LevelView level;
  const LevelView* coarse = nullptr;  // null where the level has no coarser one
  const float* r = nullptr;
  float* z = nullptr;                   // down: out, two smoothing steps from zero; up: in and work
  float *d = nullptr, *step = nullptr;  // work: the first and second step; step may be `out`
  float* rest = nullptr;                // work: residuals
  // Down. Where there is coarse_x: x = P coarse_x, and the residual r - A x takes the place of r.
  const float* coarse_x = nullptr;
  float *x = nullptr, *r_out = nullptr;
  float* coarse_r = nullptr;  // out: the restricted residual
  // Up.
  const float* coarse_z = nullptr;
  float* out = nullptr;  // result: z + P coarse_z and two smoothing steps
  bool add = false;      // adds to `out` instead
};

struct DirectionPass {
  LevelView level;
  const float* z = nullptr;
  const float* p = nullptr;
  float beta = 0;
  bool first = false;  // p = z, and the old p is not read
  float* p_out = nullptr;
  Partial* partial = nullptr;  // p . A p
};

struct RestrictPass {
  LevelView level;
  const float* r = nullptr;
  LevelView coarse;
  float* coarse_r = nullptr;
};

struct AddPass {  // x += alpha p
  LevelView level;
  const float* p = nullptr;
  float alpha = 0;
  float* x = nullptr;
};

// The planes of stored coefficients, for writing.
struct Coefficients {
  float *c, *e, *s, *se, *sw, *inverse;

  // `first` is the origin of the first plane; the others follow `plane` floats apart.
  Coefficients(float* first, std::size_t plane)
      : c(first), e(c + plane), s(e + plane), se(s + plane), sw(se + plane), inverse(sw + plane) {}
  void show(LevelView& view) const {
    view.c = c;
    view.e = e;
    view.s = s;
    view.se = se;
    view.sw = sw;
    view.inverse = inverse;
  }
};

// Computes the Galerkin product of some coarse rows from the finer level's coefficients.
struct CoarsenPass {
  LevelView fine, coarse;
  Coefficients out;  // of the coarse level; inverse is 1 where active
};

// Returns how many floats of ring buffers a pass needs.
std::size_t scratch_floats(const LevelView& level);

}  // namespace pyharmony::poisson

namespace pyharmony {

// Each does rows [begin, end), or all of a CoarsePass; begin is even. Every thread has its own
// `scratch`.
HM_SIMD_DECLARE(void poisson_down(const poisson::DownPass& pass, int begin, int end,
                                  float* scratch))
HM_SIMD_DECLARE(void poisson_up(const poisson::UpPass& pass, int begin, int end, int band,
                                float* scratch))
HM_SIMD_DECLARE(void poisson_direction(const poisson::DirectionPass& pass, int begin, int end,
                                       int band, float* scratch))
HM_SIMD_DECLARE(void poisson_restrict(const poisson::RestrictPass& pass, int begin, int end,
                                      float* scratch))
HM_SIMD_DECLARE(void poisson_coarse_down(const poisson::CoarsePass& pass, float* scratch))
HM_SIMD_DECLARE(void poisson_coarse_up(const poisson::CoarsePass& pass, float* scratch))
// Sets x = P coarse_x.
HM_SIMD_DECLARE(void poisson_coarse_prolong(const poisson::CoarsePass& pass, float* scratch))
// Restricts r alone.
HM_SIMD_DECLARE(void poisson_coarse_restrict(const poisson::CoarsePass& pass, float* scratch))
HM_SIMD_DECLARE(void poisson_add(const poisson::AddPass& pass, int begin, int end))
// Computes coarse rows [begin, end).
HM_SIMD_DECLARE(void poisson_coarsen(const poisson::CoarsenPass& pass, int begin, int end,
                                     float* scratch))

}  // namespace pyharmony
