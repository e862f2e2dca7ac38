// The driver of the Chebyshev solver: spectrum, number of steps, certificate.
#include "ops/gaussian_poisson/chebyshev.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/parallel.h"

namespace pyharmony::gaussian_poisson {
namespace {

constexpr double kUnit = 1.0 / (1 << 24);  // relative rounding error of a float32 operation

// What the certificate and the iteration know about A. Principal submatrices (known pixels) are
// inside the same bounds.
struct Operator {
  double low, high;  // of the spectrum
  double excess;     // the smallest a_ii - sum_j |a_ij|
  double slope;      // row i has at least the excess slope * c_i, where `folded` is false
  bool folded;
  double diagonal;  // the largest a_ii
  double largest_weight;
};

Operator analyse(const Problem& problem, double least, double most);

// With a map c_i the row of pixel i has, writing m = min(c_i, c_j) <= c_i and g1 = w0 w1,
//   excess_i = s c_i - 2 sum_corners m w1^2 - 2 sum_edges max(0, m g1 - 1) >= f(c_i),
//   f(c) = (s - 8 w1^2) c - 8 max(0, c g1 - 1),
// which is concave, so its minimum over the map is at the smallest or the largest weight. Where
// the map is constant f is the excess itself; known neighbours only raise it.
Operator analyse(const Problem& problem) {
  double least = problem.weight, most = problem.weight;
  if (problem.has_map()) {
    const ImageView& map = problem.weight_map;
    least = std::numeric_limits<double>::infinity();
    most = 0;
    for (std::int64_t y = 0; y < map.height; ++y) {
      const float* row = map.at<float>(y, 0, 0);
      float a = row[0], b = row[0];
      for (std::int64_t x = 0; x < map.width; ++x) {
        a = std::min(a, row[x * map.col_stride]);
        b = std::max(b, row[x * map.col_stride]);
      }
      least = std::min<double>(least, a);
      most = std::max<double>(most, b);
    }
    HM_CHECK(least > 0 && most <= 1e6, "weight_map: values from ", least, " to ", most,
             ", expected more than 0 and at most 1e6");
  } else {
    HM_CHECK(least > 0, "weight: ", least, ", expected more than 0");
  }

  return analyse(problem, least, most);
}

Operator analyse(const Problem& problem, double least, double most) {
  const double w0 = problem.w0, w1 = problem.w1, sum = (w0 + 2 * w1) * (w0 + 2 * w1);
  Operator op;
  op.slope = sum - 8 * w1 * w1;
  op.folded = most * w0 * w1 > 1;
  auto excess = [&](double c) { return op.slope * c - 8 * std::max(0.0, c * w0 * w1 - 1); };
  op.excess = std::min(excess(least), excess(most));
  op.largest_weight = most;

  // lambda + c gamma is bilinear in cos(pi k / H) and cos(pi l / W): extremes at the corners.
  auto corner = [&](double c, double p, double q) {
    return 4 - 2 * p - 2 * q + c * (w0 + 2 * w1 * p) * (w0 + 2 * w1 * q);
  };
  op.low = std::min({corner(least, 1, 1), corner(least, 1, -1), corner(least, -1, -1)});
  if (problem.has_map()) {
    // A >= L + least G where G is positive; Gershgorin elsewhere.
    op.low = w0 >= 2 * w1 ? std::max(op.low, op.excess) : op.excess;
    op.high = 8 + most * sum;
    op.diagonal = 4 + most * sum;
  } else {
    op.high = std::max({corner(most, 1, 1), corner(most, 1, -1), corner(most, -1, -1)});
    op.diagonal = 4 + most * w0 * w0;
  }
  HM_CHECK(op.low > 0, "w0, w1: ", w0, ", ", w1, " at weight ", most,
           " make the equation indefinite");
  return op;
}

// Steps of a run, and the part [low, op.high] of the spectrum that its polynomial is made for.
struct Plan {
  int steps;
  double low;
};

// The polynomial's size on [plan.low, op.high], and its largest value, which is at op.low.
struct Reduction {
  double upper, lowest;
};

Reduction reduction(const Operator& op, const Plan& plan) {
  const double middle = (op.high + plan.low) / 2, half = (op.high - plan.low) / 2;
  const double upper = 1 / std::cosh(plan.steps * std::acosh(middle / half));
  const double beyond = std::max(1.0, (middle - op.low) / half);
  return {upper, upper * std::cosh(plan.steps * std::acosh(beyond))};
}

// What the certified bound is made of before the first step: errors anywhere in the spectrum and
// errors at its low end. A base that is right on a coarser level leaves little of the second, so
// that the polynomial is best made for the spectrum without its low end.
struct Start {
  double upper, lowest;

  double bound(const Operator& op, const Plan& plan) const {
    const Reduction r = reduction(op, plan);
    return upper * r.upper + lowest * r.lowest;
  }
};

// The fewest steps, and for them the best interval, that bring the bound below the limit.
Plan make_plan(const Operator& op, const Start& start, double limit, int least, int most) {
  constexpr int kIntervals = 32;
  const double widest = std::max(1.0, 0.5 * (op.high + op.low) / op.low);
  auto best = [&](int steps) {
    Plan plan{steps, op.low};
    double bound = start.bound(op, plan);
    for (int i = 1; i <= kIntervals; ++i) {
      const Plan other{steps, op.low * std::min(widest, 1 + i / 16.0)};
      const double its = start.bound(op, other);
      if (its < bound) {
        bound = its;
        plan = other;
      }
    }
    return std::make_pair(plan, bound);
  };
  int below = least - 1, steps = most;  // too few, and enough as far as is known
  while (below + 1 < steps) {
    const int middle = below + std::max(1, (steps - below) / 2);
    (best(middle).second <= limit ? steps : below) = middle;
  }
  return best(steps).first;
}

std::vector<ChebyshevStep> chebyshev_steps(const Operator& op, const Plan& plan) {
  const double middle = (op.high + plan.low) / 2, half = (op.high - plan.low) / 2;
  const double sigma = middle / half;
  std::vector<ChebyshevStep> steps{{0.0, 1 / middle}};
  for (double rho = 1 / sigma; static_cast<int>(steps.size()) < plan.steps;) {
    const double next = 1 / (2 * sigma - rho);
    steps.push_back({next * rho, 2 * next / half});
    rho = next;
  }
  return steps;
}

bool is_float(const ImageView& image) {
  return image.dtype == DType::kFloat16 || image.dtype == DType::kFloat32;
}

// The largest rounding error of r = b - A x as the kernel computes it, for state x exactly as it
// is in memory. u is the rounding of one operation, to first order; multiplications and additions
// are counted apart, which covers machines without a fused one.
//
// b: D is the range of src and dst, so every difference of neighbours is within D. Differences of
// integers are exact; of floats dd and ds are off by uD each and ds - dd by 4uD. The masks' mean
// a <= 1 is off by 2u, which moves a (ds - dd) by 4uD; its product rounds by 2uD and the edge's
// sum by uD: 7uD an edge, 12uD for floats. Four edges, their sums (2 + 2 + 4) uD, and weight times
// base, 3u c|base| + 4uD.
//
// Stencil, with c0, c1, c2 the magnitudes of its entries and |x| <= X: rounding the entries
// (c0 + 4 c1 + 4 c2) uX, shifted part (6 c1 + 16 c2) uX, b - c0 x (c0 + 4 c1 + 4 c2) uX + u|r|,
// less c1 v (6 c1 + 4 c2) uX + u|r|, difference u|r|. With a map, c its largest value: see the
// terms below, in the order of map_residual.
double rounding_of_residual(const Problem& problem, const Operator& op,
                            const ChebyshevMeasure& measure) {
  const double r = measure.residual, c = op.largest_weight;
  double b_error = 0, largest = measure.largest;
  if (!problem.has_rhs()) {
    const double range = measure.image_high - measure.image_low;
    const bool floats = is_float(problem.src) || is_float(problem.dst);
    b_error = (floats ? 60 : 40) * range + 3 * c * measure.largest_base;
    largest = std::max({largest, measure.image_high, -measure.image_low});
  }
  double stencil_error;
  if (problem.has_map()) {
    const double sum = (problem.w0 + 2 * problem.w1) * (problem.w0 + 2 * problem.w1);
    const double side = problem.w0 * problem.w1, corner = problem.w1 * problem.w1;
    const double b = r + (sum * c + 8 + 8 * c * (side + corner)) * largest;
    stencil_error = 24 * largest                               // the sum of four differences
                    + b + 8 * largest                          // b less it
                    + b + 8 * largest + 4 * sum * c * largest  // less s c x
                    + 54 * side * c * largest + r + 8 * corner * c * largest +
                    52 * corner * c * largest + r;
  } else {
    const double c0 = op.diagonal, c1 = std::abs(1 - c * problem.w0 * problem.w1),
                 c2 = c * problem.w1 * problem.w1;
    stencil_error = (2 * c0 + 20 * c1 + 28 * c2) * largest + 3 * r;
  }
  return 1.0001 * kUnit * (b_error + stencil_error);
}

struct Certificate {
  double residual, max_error;
  double floor;  // the part of max_error that no further step takes away
};

// The error before the last update is A^-1 r, and |A^-1 r| <= max_i |r_i| / excess_i (or, where
// rows have no excess, |r|_2 / low). The update x + omega r, omega <= 1 / a_ii, multiplies it by
// I - omega A, whose rows sum to at most 1 - omega excess. r is known to within its rounding.
Certificate certify(const Problem& problem, const Operator& op, double omega,
                    const ChebyshevMeasure& measure) {
  const double delta = rounding_of_residual(problem, op, measure);
  const double largest = std::max({measure.largest, measure.image_high, -measure.image_low});
  const double update = kUnit * (largest + 3 * omega * measure.residual);
  Certificate c;
  if (op.excess > 0) {
    const double left = 1 - omega * op.excess;
    double error = measure.residual / op.excess;
    if (problem.has_map() && !op.folded) {
      error = std::min(error, measure.scaled_residual * (1 + 8 * kUnit));
    }
    c.floor = delta / op.excess + update;
    c.max_error = left * error + c.floor;
    c.residual = left * measure.residual + delta + (2 * op.diagonal - op.excess) * update;
  } else {
    const double left = std::max(1 - omega * op.low, std::abs(1 - omega * op.high));
    const double count = static_cast<double>(problem.height() * problem.width()) *
                         static_cast<double>(problem.channels());
    c.floor = (left * std::sqrt(count) / op.low + omega) * delta + update;
    c.max_error = left * measure.norm * 1.001 / op.low + c.floor;
    c.residual = 2 * measure.residual + delta + (2 * op.diagonal - op.excess) * update;
  }
  return c;
}

// The size of the values, from a grid of 64 x 64 of them at most; exact is not needed here.
double sample_largest(const ImageView& image) {
  double largest = 0;
  const std::int64_t dy = std::max<std::int64_t>(1, image.height / 64),
                     dx = std::max<std::int64_t>(1, image.width / 64);
  for (std::int64_t y = dy / 2; y < image.height; y += dy) {
    for (std::int64_t x = dx / 2; x < image.width; x += dx) {
      for (std::int64_t k = 0; k < image.channels; ++k) {
        const double v = image.dtype == DType::kFloat16
                             ? static_cast<double>(*image.at<Half>(y, x, k))
                             : static_cast<double>(*image.at<float>(y, x, k));
        largest = std::max(largest, std::abs(v));
      }
    }
  }
  return largest;
}

// Photographs whose base is the solution of half the size, upsampled. Fitted to the certified
// bounds of 15 pairs, known pixels held or not, at weights 0.1 to 1, 5 to 42 steps and five
// intervals: kUpper was between 0.3 and 1.3, kLowest between 0.001 and 0.03. With the values here 2
// of 300 such solves, at tolerances 0.25 and 0.025 of 255, needed a second run.
constexpr double kUpper = 1.15, kLowest = 0.025;

constexpr double kSafety = 0.7;  // part of the tolerance that a repeated run aims at

Start photograph(const Operator& op, double range) {
  const double excess = op.excess > 0 ? op.excess : op.low;
  return {kUpper * range / excess, kLowest * range};
}

Start first_start(const Problem& problem, const Operator& op) {
  if (problem.has_rhs()) {
    const double size = sample_largest(problem.rhs) / (op.excess > 0 ? op.excess : op.low);
    return {size, size};
  }
  return photograph(op, dst_range(problem.dst));
}

void check(const ChebyshevParams& params) {
  const Problem& problem = params.problem;
  check_problem(problem);
  HM_CHECK(problem.gradients == Gradients::kSource,
           "gradients: only 'source' is formed on the way; pass rhs for the others");
  if (!problem.has_rhs()) {
    for (const ImageView* image : {&problem.src, &problem.dst, &problem.base}) {
      HM_CHECK(image->dtype != DType::kFloat64,
               "image: dtype float64 is not taken; the state is float32");
    }
  }
  HM_CHECK(params.tolerance > 0, "tolerance: ", params.tolerance, ", expected more than 0");
  HM_CHECK(params.max_steps >= 1, "max_steps: ", params.max_steps, ", expected at least 1");
  HM_CHECK(params.out.dtype != DType::kBool && params.out.height == problem.height() &&
               params.out.width == problem.width() && params.out.channels == problem.channels(),
           "out: shape [", params.out.height, ", ", params.out.width, ", ", params.out.channels,
           "] of ", dtype_name(params.out.dtype), ", expected [", problem.height(), ", ",
           problem.width(), ", ", problem.channels(), "] of an image dtype");
}

// Strips whose working set stays in the first-level cache; segments as tall as leaves every
// thread a few tiles, since the rows around a segment are computed twice.
void choose_tiles(const ChebyshevParams& params, ChebyshevPass& pass) {
  constexpr std::int64_t kStripFloats = 768, kTilesPerThread = 4, kLeastRows = 64, kMostRows = 512;
  const Problem& problem = params.problem;
  pass.strip_floats = params.strip_floats > 0 ? params.strip_floats : kStripFloats;
  pass.segment_rows = params.segment_rows;
  if (pass.segment_rows > 0) return;
  const std::int64_t strips =
      std::max<std::int64_t>(1, problem.width() * problem.channels() / pass.strip_floats);
  const std::int64_t segments = (kTilesPerThread * num_threads() + strips - 1) / strips;
  pass.segment_rows = std::clamp(problem.height() / segments, kLeastRows, kMostRows);
}

}  // namespace

double dst_range(const ImageView& image) {
  return is_float(image) ? sample_largest(image) : dtype_range(image.dtype);
}

// One plan after the other until the certificate, or float32, says that it is enough.
class ChebyshevRuns {
 public:
  // Of `problem` neither data nor steps are looked at, but for whether it has a map or a rhs.
  ChebyshevRuns(const Problem& problem, const Operator& op, const Start& start, double tolerance,
                int max_steps)
      : problem_(problem), op_(op), start_(start), tolerance_(tolerance), max_steps_(max_steps) {
    // What rounding will take of the tolerance, were all values within the dtype's range.
    ChebyshevMeasure nominal;
    if (!problem.has_rhs()) {
      nominal.image_high = nominal.largest_base = nominal.largest = start.lowest / kLowest;
    }
    rounding_ = certify(problem, op, damping(), nominal).floor;
    plan_ = make_plan(op, start, std::max(tolerance - rounding_, tolerance / 4), 1, max_steps);
  }

  double damping() const { return static_cast<float>(1 / op_.diagonal) * (1 - kUnit); }
  double rounding() const { return rounding_; }
  const Plan& plan() const { return plan_; }
  const ChebyshevResult& result() const { return result_; }
  MemoryMeter& meter() { return meter_; }

  ChebyshevPass pass(const Problem& problem, const ImageView& out) {
    ChebyshevPass pass;
    pass.problem = &problem;
    pass.out = out;
    pass.steps = chebyshev_steps(op_, plan_);
    pass.damping = damping();
    pass.excess_slope = op_.slope;
    pass.want_norm = op_.excess <= 0;
    pass.meter = &meter_;
    return pass;
  }

  // Whether the run whose measure this is was the last one; else the plan is the next one's.
  bool finish(ChebyshevMeasure measure) {
    if (!problem_.has_rhs()) {
      for (const ImageView* image : {&problem_.src, &problem_.dst}) {
        if (!is_float(*image)) {
          measure.image_high = std::max(measure.image_high, dtype_range(image->dtype));
        }
      }
      if (!is_float(problem_.base)) measure.largest_base = dtype_range(problem_.base.dtype);
    }
    ++runs_;
    result_.finite = measure.finite;
    const Certificate certificate = certify(problem_, op_, damping(), measure);
    result_.steps = plan_.steps;
    result_.total_steps += plan_.steps;
    result_.residual = certificate.residual;
    result_.max_error = certificate.max_error;
    result_.converged = certificate.max_error <= tolerance_;
    result_.peak_bytes = meter_.peak.load();
    // Further steps are in vain below the rounding, of this bound or of the state.
    const double left = certificate.max_error - certificate.floor;
    const double limit = tolerance_ - certificate.floor;
    if (result_.converged || plan_.steps == max_steps_ || !(limit > 0) || left > before_ / 2 ||
        !std::isfinite(left)) {
      return true;
    }
    before_ = left;
    // The second run takes what is left to be composed as a photograph's errors are, only larger;
    // later ones take the worst, that all of it came from the upper part.
    if (runs_ == 1) {
      const double factor = left / start_.bound(op_, plan_);
      start_ = {factor * start_.upper, factor * start_.lowest};
    } else {
      const double all = left / reduction(op_, plan_).upper;
      start_ = {all, all};
    }
    plan_ =
        make_plan(op_, start_, kSafety * limit, std::min(plan_.steps + 1, max_steps_), max_steps_);
    return false;
  }

 private:
  friend class ChebyshevTiles;
  const Problem problem_;
  const Operator op_;
  Start start_;
  const double tolerance_;
  const int max_steps_;
  double rounding_ = 0;
  Plan plan_;
  MemoryMeter meter_;
  int runs_ = 0;
  double before_ = std::numeric_limits<double>::infinity();
  ChebyshevResult result_;
  ChebyshevMeasure tiles_;  // of the run at hand
};

ChebyshevResult chebyshev(const ChebyshevParams& params) {
  check(params);
  const Problem& problem = params.problem;
  const Operator op = analyse(problem);
  ChebyshevRuns runs(problem, op, first_start(problem, op), params.tolerance, params.max_steps);
  for (bool done = false; !done;) {
    ChebyshevPass pass = runs.pass(problem, params.out);
    choose_tiles(params, pass);
    done = runs.finish(HM_SIMD_CALL(gaussian_poisson_chebyshev_pass, pass));
  }
  return runs.result();
}

ChebyshevTiles::ChebyshevTiles(const TilesParams& params) {
  const Problem& problem = params.problem;
  HM_CHECK(params.least_weight > 0 && params.most_weight <= 1e6, "weight: from ",
           params.least_weight, " to ", params.most_weight,
           ", expected more than 0 and at most 1e6");
  HM_CHECK(params.tolerance > 0 && params.max_steps >= 1,
           "tolerance, max_steps: ", params.tolerance, ", ", params.max_steps,
           ", expected more than 0 and at least 1");
  const Operator op = analyse(problem, params.least_weight, params.most_weight);
  runs_ = std::make_unique<ChebyshevRuns>(problem, op, photograph(op, params.range),
                                          params.tolerance, params.max_steps);
}

ChebyshevTiles::~ChebyshevTiles() = default;

double ChebyshevTiles::rounding() const { return runs_->rounding(); }

int ChebyshevTiles::steps() const { return runs_->plan().steps; }

bool ChebyshevTiles::run(const Problem& crop, std::int64_t y0, std::int64_t y1, std::int64_t x0,
                         std::int64_t x1, const ImageView& out) {
  ChebyshevParams params;
  params.problem = crop;
  // A view of the crop's shape, of which the pixels that are wanted are written.
  params.out = out;
  params.out.data = static_cast<char*>(out.data) -
                    (y0 * out.row_stride + x0 * out.col_stride) * dtype_size(out.dtype);
  params.out.height = crop.height();
  params.out.width = crop.width();
  params.tolerance = params.max_steps = 1;
  check(params);
  HM_CHECK(0 <= y0 && y0 < y1 && y1 <= crop.height() && 0 <= x0 && x0 < x1 && x1 <= crop.width() &&
               out.height == y1 - y0 && out.width == x1 - x0,
           "out: shape [", out.height, ", ", out.width, "] for rows ", y0, " to ", y1,
           " and columns ", x0, " to ", x1, " of [", crop.height(), ", ", crop.width(), "]");
  const Problem& whole = runs_->problem_;
  HM_CHECK(
      crop.has_map() == whole.has_map() && crop.src.dtype == whole.src.dtype &&
          crop.dst.dtype == whole.dst.dtype && crop.base.dtype == whole.base.dtype &&
          crop.channels() == whole.channels(),
      "src, dst, base: the dtypes, channels or map of the tile differ from those of the whole");
  ChebyshevPass pass = runs_->pass(crop, params.out);
  pass.y0 = y0;
  pass.y1 = y1;
  pass.x0 = x0;
  pass.x1 = x1;
  choose_tiles(params, pass);
  const ChebyshevMeasure measure = HM_SIMD_CALL(gaussian_poisson_chebyshev_pass, pass);
  merge(runs_->tiles_, measure);
  return measure.finite;
}

bool ChebyshevTiles::finish() {
  const bool done = runs_->finish(runs_->tiles_);
  runs_->tiles_ = ChebyshevMeasure();
  return done;
}

ChebyshevResult ChebyshevTiles::result() const { return runs_->result(); }

}  // namespace pyharmony::gaussian_poisson
