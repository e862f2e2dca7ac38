// Spectrum, number of steps and certificate of the Chebyshev solver, for the CPU and for devices.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/host_device.h"
#include "ops/gaussian_poisson/gaussian_poisson.h"

namespace pyharmony::gaussian_poisson {

constexpr double kUnit = 1.0 / (1 << 24);  // relative rounding error of a float32 operation

// x_next = x + momentum (x - x_before) + step (b - A x)
struct ChebyshevStep {
  double momentum, step;
};

// Magnitudes measured with r = b - A x before the last update, over the unknown pixels.
struct ChebyshevMeasure {
  double residual = 0;                   // max |r|
  double scaled_residual = 0;            // max |r| / (row excess of A); with a map only
  double norm = 0;                       // |r|_2 over all channels, where asked for
  double largest = 0;                    // max |x| before the last update
  double image_low = 0, image_high = 0;  // range of src and dst, zero included
  double largest_base = 0;               // max |base|, or max |rhs|
  std::int64_t clipped = 0;              // values that were clipped where they were stored
  bool finite = true;                    // no NaN or infinity in the float images, as far as read
  // Where the state is a correction e of a start x0, `largest` is max |e|, and these are max |x0|
  // and max |b - A x0|.
  double largest_start = 0, first_residual = 0;
};

// The facts about A that the certificate and the iteration use. The bounds hold for its principal
// submatrices too, so also where pixels are known.
struct Operator {
  double low, high;  // bounds of the spectrum
  double excess;     // the smallest a_ii - sum_j |a_ij|
  double slope;      // row i has at least the excess slope * c_i, where `folded` is false
  bool folded;
  double diagonal;  // the largest a_ii
  double largest_weight;
};

Operator analyse(const Problem& problem);
Operator analyse(const Problem& problem, double least, double most);

// The facts about the equation, besides its operator, that the certificate uses.
struct Facts {
  bool has_rhs, has_map;
  bool floats;      // whether src or dst is of floats
  bool correction;  // whether the state is a correction, see ChebyshevMeasure
  double w0, w1;
  double count;  // unknowns of all channels
};

Facts facts_of(const Problem& problem);

bool is_float(DType dtype);

// The steps of a run, and the part [low, op.high] of the spectrum that its polynomial is made for.
struct Plan {
  int steps;
  double low;
};

// The polynomial's size on [plan.low, op.high], and its largest value, which is at op.low.
struct Reduction {
  double upper, lowest;
};

Reduction reduction(const Operator& op, const Plan& plan);

// The certified bound before the first step, in two parts: errors anywhere in the spectrum and
// errors at its low end. A base that is right on a coarser level leaves little of the second, so
// that the polynomial is best made for the spectrum without its low end.
struct Start {
  double upper, lowest;

  double bound(const Operator& op, const Plan& plan) const {
    const Reduction r = reduction(op, plan);
    return upper * r.upper + lowest * r.lowest;
  }
};

// The two parts for photographs whose base is the solution of half the size, upsampled. They were
// fitted to the certified bounds of 15 pairs, known pixels held or not, at weights 0.1 to 1, 5 to
// 42 steps and five intervals: kUpper was between 0.3 and 1.3, kLowest between 0.001 and 0.03. With
// the values here 2 of 300 such solves, at tolerances 0.25 and 0.025 of 255, needed a second run.
constexpr double kUpper = 1.15, kLowest = 0.025;

constexpr double kSafety = 0.7;  // part of the tolerance that a repeated run aims at

// The start for images of values up to `range`, and for an rhs of values up to `largest`.
Start photograph(const Operator& op, double range);
Start start_of_rhs(const Operator& op, double largest);

// Returns the fewest steps that bring the bound below the limit, and the best interval for them.
Plan make_plan(const Operator& op, const Start& start, double limit, int least, int most);

// Yields the recurrence's coefficients, one step after the other.
class StepSequence {
 public:
  HM_HOST_DEVICE StepSequence(const Operator& op, const Plan& plan)
      : middle_((op.high + plan.low) / 2),
        half_((op.high - plan.low) / 2),
        sigma_(middle_ / half_),
        rho_(1 / sigma_) {}

  HM_HOST_DEVICE ChebyshevStep next() {
    if (first_) {
      first_ = false;
      return {0.0, 1 / middle_};
    }
    const double next = 1 / (2 * sigma_ - rho_);
    const ChebyshevStep step{next * rho_, 2 * next / half_};
    rho_ = next;
    return step;
  }

 private:
  double middle_, half_, sigma_, rho_;
  bool first_ = true;
};

std::vector<ChebyshevStep> chebyshev_steps(const Operator& op, const Plan& plan);

// Returns the damping of the last update, x += damping (b - A x): at most 1 / a_ii.
double damping_of(const Operator& op);

HM_HOST_DEVICE inline double larger(double a, double b) { return a > b ? a : b; }

// Returns a bound of the rounding error of r = b - A x as the kernels compute it, for state x
// exactly as it is in memory. u is the rounding of one operation, to first order; multiplications
// and additions are counted apart, which covers machines without a fused one.
//
// b: D is the range of src and dst, so every difference of neighbours is within D. Differences of
// integers are exact; of floats dd and ds are off by uD each and ds - dd by 4uD. The masks' mean
// a <= 1 is off by 2u, which moves a (ds - dd) by 4uD; its product rounds by 2uD and the edge's sum
// by uD. That makes 7uD an edge, 12uD for floats. The rest of b is four edges, their sums
// (2 + 2 + 4) uD, and weight times base, 3u c|base| + 4uD.
//
// Stencil: c0, c1, c2 are the magnitudes of its entries, and |x| <= X. Rounding the entries adds
// (c0 + 4 c1 + 4 c2) uX, the shifted part (6 c1 + 16 c2) uX, b - c0 x (c0 + 4 c1 + 4 c2) uX + u|r|,
// less c1 v (6 c1 + 4 c2) uX + u|r|, the difference u|r|. With a map, c is its largest value; the
// terms are those below, in the order of map_residual.
HM_HOST_DEVICE inline double stencil_rounding(const Facts& facts, const Operator& op,
                                              double largest, double r) {
  const double c = op.largest_weight;
  if (facts.has_map) {
    const double sum = (facts.w0 + 2 * facts.w1) * (facts.w0 + 2 * facts.w1);
    const double side = facts.w0 * facts.w1, corner = facts.w1 * facts.w1;
    const double b = r + (sum * c + 8 + 8 * c * (side + corner)) * largest;
    return 24 * largest                               // the sum of four differences
           + b + 8 * largest                          // b minus that sum
           + b + 8 * largest + 4 * sum * c * largest  // minus s c x
           + 54 * side * c * largest + r + 8 * corner * c * largest + 52 * corner * c * largest + r;
  }
  const double c0 = op.diagonal, c1 = std::abs(1 - c * facts.w0 * facts.w1),
               c2 = c * facts.w1 * facts.w1;
  return (2 * c0 + 20 * c1 + 28 * c2) * largest + 3 * r;
}

// For a correction e, r = r0 - A e with r0 = b - A x0 as it was computed: the same terms twice.
HM_HOST_DEVICE inline double rounding_of_residual(const Facts& facts, const Operator& op,
                                                  const ChebyshevMeasure& measure) {
  const double r = measure.residual, c = op.largest_weight;
  double b_error = 0, largest = measure.largest;
  if (!facts.has_rhs) {
    const double range = measure.image_high - measure.image_low;
    b_error = (facts.floats ? 60 : 40) * range + 3 * c * measure.largest_base;
    if (facts.correction) {
      b_error += stencil_rounding(facts, op, measure.largest_start, measure.first_residual);
    } else {
      largest = larger(larger(largest, measure.image_high), -measure.image_low);
    }
  }
  return 1.0001 * kUnit * (b_error + stencil_rounding(facts, op, largest, r));
}

struct Certificate {
  double residual, max_error;
  double floor;  // the part of max_error that no further step takes away
};

// Returns the proven bounds. The error before the last update is A^-1 r, |A^-1 r| <= max_i
// |r_i| / excess_i (or, where rows have no excess, |r|_2 / low). The update x + omega r,
// omega <= 1 / a_ii, multiplies it by I - omega A, whose rows sum to at most 1 - omega excess. r is
// known to within its rounding.
HM_HOST_DEVICE inline Certificate certify(const Facts& facts, const Operator& op, double omega,
                                          const ChebyshevMeasure& measure) {
  const double delta = rounding_of_residual(facts, op, measure);
  const double largest = larger(larger(measure.largest, measure.image_high), -measure.image_low);
  double update = kUnit * (largest + 3 * omega * measure.residual);
  // The sum x0 + (e + omega r) has one addition more.
  if (facts.correction) {
    update += kUnit * (measure.largest_start + measure.largest + 2 * omega * measure.residual);
  }
  Certificate c;
  if (op.excess > 0) {
    const double left = 1 - omega * op.excess;
    double error = measure.residual / op.excess;
    if (facts.has_map && !op.folded) {
      const double scaled = measure.scaled_residual * (1 + 8 * kUnit);
      error = scaled < error ? scaled : error;
    }
    c.floor = delta / op.excess + update;
    c.max_error = left * error + c.floor;
    c.residual = left * measure.residual + delta + (2 * op.diagonal - op.excess) * update;
  } else {
    const double left = larger(1 - omega * op.low, std::abs(1 - omega * op.high));
    c.floor = (left * std::sqrt(facts.count) / op.low + omega) * delta + update;
    c.max_error = left * measure.norm * 1.001 / op.low + c.floor;
    c.residual = 2 * measure.residual + delta + (2 * op.diagonal - op.excess) * update;
  }
  return c;
}

}  // namespace pyharmony::gaussian_poisson
