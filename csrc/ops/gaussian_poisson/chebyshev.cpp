// The driver of the Chebyshev solver on the CPU.
#include "ops/gaussian_poisson/chebyshev.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/checks.h"
#include "core/parallel.h"

namespace pyharmony::gaussian_poisson {
namespace {

// Estimates the largest value from a grid of at most 64 x 64 samples; it need not be exact.
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

Start first_start(const Problem& problem, const Operator& op) {
  if (problem.has_rhs()) {
    return start_of_rhs(op, sample_largest(problem.rhs));
  }
  const ImageView& dst = problem.dst;
  return photograph(op, is_float(dst.dtype) ? sample_largest(dst) : dtype_range(dst.dtype));
}

void check(const ChebyshevParams& params) {
  const Problem& problem = params.problem;
  check_problem(problem);
  if (!problem.has_rhs()) {
    for (const ImageView* image : {&problem.src, &problem.dst, &problem.base}) {
      HM_CHECK(image->dtype != DType::kFloat64,
               "image: dtype float64 is not taken; the state is float32");
    }
  }
  HM_CHECK(params.tolerance > 0, "tolerance: ", params.tolerance, ", expected more than 0");
  HM_CHECK(params.max_steps >= 1, "max_steps: ", params.max_steps, ", expected at least 1");
  HM_CHECK(params.out.dtype != DType::kBool, "out: dtype bool is not an image type");
  check_image_shape(params.out, "out", problem.height(), problem.width(), problem.channels());
}

// Chooses strips whose working set stays in the first-level cache, and segments as tall as leaves
// every thread a few tiles, since the rows around a segment are computed twice.
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

// Runs one plan after the other until the certificate, or float32, says that it is enough.
class ChebyshevRuns {
 public:
  // Reads no data of `problem`; it matters only whether it has a map or a rhs.
  ChebyshevRuns(const Problem& problem, const Operator& op, const Start& start, double tolerance,
                int max_steps)
      : problem_(problem),
        op_(op),
        facts_(facts_of(problem)),
        start_(start),
        tolerance_(tolerance),
        max_steps_(max_steps) {
    // The share of the tolerance that rounding takes if all values are within the dtype's range.
    ChebyshevMeasure nominal;
    if (!problem.has_rhs()) {
      nominal.image_high = nominal.largest_base = nominal.largest = start.lowest / kLowest;
    }
    rounding_ = certify(facts_, op, damping(), nominal).floor;
    plan_ = make_plan(op, start, std::max(tolerance - rounding_, tolerance / 4), 1, max_steps);
  }

  double damping() const { return damping_of(op_); }
  double rounding() const { return rounding_; }
  const Plan& plan() const { return plan_; }
  const ChebyshevResult& result() const { return result_; }

  ChebyshevPass pass(const Problem& problem, const ImageView& out) {
    ChebyshevPass pass;
    pass.problem = &problem;
    pass.out = out;
    pass.steps = chebyshev_steps(op_, plan_);
    pass.damping = damping();
    pass.excess_slope = op_.slope;
    pass.want_norm = op_.excess <= 0;
    return pass;
  }

  // Returns whether the measured run was the last one; if not, the plan is that of the next one.
  bool finish(ChebyshevMeasure measure) {
    if (!problem_.has_rhs()) {
      for (const ImageView* image : {&problem_.src, &problem_.dst}) {
        if (!is_float(image->dtype)) {
          measure.image_high = std::max(measure.image_high, dtype_range(image->dtype));
        }
      }
      if (!is_float(problem_.base.dtype)) measure.largest_base = dtype_range(problem_.base.dtype);
    }
    ++runs_;
    result_.finite = measure.finite;
    result_.clipped = measure.clipped;
    const Certificate certificate = certify(facts_, op_, damping(), measure);
    result_.steps = plan_.steps;
    result_.total_steps += plan_.steps;
    result_.residual = certificate.residual;
    result_.max_error = certificate.max_error;
    result_.converged = certificate.max_error <= tolerance_;
    // Further steps cannot help below the rounding of this bound or of the state.
    const double left = certificate.max_error - certificate.floor;
    const double limit = tolerance_ - certificate.floor;
    if (result_.converged || plan_.steps == max_steps_ || !(limit > 0) || left > before_ / 2 ||
        !std::isfinite(left)) {
      return true;
    }
    before_ = left;
    // The second run assumes that what is left is composed as a photograph's errors are, only
    // larger; later runs assume the worst, that all of it came from the upper part.
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
  const Facts facts_;
  Start start_;
  const double tolerance_;
  const int max_steps_;
  double rounding_ = 0;
  Plan plan_;
  int runs_ = 0;
  double before_ = std::numeric_limits<double>::infinity();
  ChebyshevResult result_;
  ChebyshevMeasure tiles_;  // measures of the current run
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
  // This is a view of the crop's shape, of which only the wanted pixels are written.
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
