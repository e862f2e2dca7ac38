// The constants and choices of the scheme that the solvers of every device share.
#pragma once

#include <string>

#include "core/status.h"

namespace pyharmony::poisson {

enum class Guidance : int { kSource, kMixed, kAverage, kMonochrome };

inline Guidance parse_guidance(const std::string& name) {
  if (name == "source") return Guidance::kSource;
  if (name == "mixed") return Guidance::kMixed;
  if (name == "average") return Guidance::kAverage;
  if (name == "monochrome") return Guidance::kMonochrome;
  fail("gradients: '", name, "', expected 'source', 'mixed', 'average' or 'monochrome'");
}

// The share of the guidance at an edge: the mean of the mask at its two pixels, or the larger.
enum class Contour : int { kHalf, kFull };

inline Contour parse_contour(const std::string& name) {
  if (name == "half") return Contour::kHalf;
  if (name == "full") return Contour::kFull;
  fail("contour: '", name, "', expected 'half' or 'full'");
}

// Coarse node (I, J) sits at fine (2I, 2J).
constexpr int coarse_size(int fine) { return (fine + 1) / 2; }

// The smoother assumes that D^-1 A has its spectrum in [0, kSmootherBound].
constexpr float kSmootherBound = 1.0f;
// Two steps of the 4th-kind Chebyshev smoother for a spectrum of D^-1 A in [0, 1] (Lottes 2023;
// Phillips and Fischer 2022).
constexpr float kFirst = 4.0f / 3.0f;
constexpr float kMomentum = 1.0f / 5.0f;
constexpr float kSecond = 12.0f / 5.0f;
static_assert(kSmootherBound == 1.0f, "the coefficients above are for D^-1 A <= 1");

// A pivot of the coarsest matrix is kept above this part of its diagonal, so that the rounding of
// the coefficients does not make the preconditioner indefinite.
constexpr double kLeastPivot = 1e-7;

// The assumed |I - M^-1 A| in the maximum norm, or what Ritz values show where that is more: an
// error is at most |M^-1 r| / (1 - contraction), and `contraction` of that after the next step.
// Before there are Ritz values, isolated known pixels may hide kUnseen times |M^-1 r| from it.
// Measured on masks of all kinds (docs/poisson.md).
constexpr double kContraction = 0.3;
constexpr double kUnseen = 3;
constexpr int kRitzFrom = 2;

// In a film, the first iteration is expected to leave at most this times the share of an error that
// it left in the frames before.
constexpr double kFilmMargin = 2;

// A float32 solve reduces its first estimate to this share; refinement in float64 takes over then.
constexpr double kFloatReduction = 2e-5;

// The error that float32 leaves in a solution, whatever the estimate says, through its rounding and
// that of the residual. Measured on masks of all kinds, with a margin.
constexpr double kFloatRounding = 4e-6;

}  // namespace pyharmony::poisson
