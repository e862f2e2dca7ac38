// Spectrum and number of steps of the Chebyshev solver.
#include "ops/gaussian_poisson/chebyshev_plan.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/status.h"

namespace pyharmony::gaussian_poisson {

// With a map c_i, m = min(c_i, c_j) <= c_i and g1 = w0 w1, the row of pixel i has
//   excess_i = s c_i - 2 sum_corners m w1^2 - 2 sum_edges max(0, m g1 - 1) >= f(c_i),
//   f(c) = (s - 8 w1^2) c - 8 max(0, c g1 - 1).
// f is concave, so its minimum over the map is at the smallest or the largest weight. Where the map
// is constant f is the excess itself; known neighbours only raise it.
Operator analyse(const Problem& problem) {
  double least = problem.weight, most = problem.weight;
  if (problem.has_map()) {
    const ImageView& map = problem.weight_map;
    least = std::numeric_limits<double>::infinity();
    most = 0;
    auto range = [&](auto value) {
      using T = decltype(value);
      for (std::int64_t y = 0; y < map.height; ++y) {
        const T* row = map.at<T>(y, 0, 0);
        T a = row[0], b = row[0];
        for (std::int64_t x = 0; x < map.width; ++x) {
          a = std::min(a, row[x * map.col_stride]);
          b = std::max(b, row[x * map.col_stride]);
        }
        least = std::min<double>(least, a);
        most = std::max<double>(most, b);
      }
    };
    map.dtype == DType::kFloat64 ? range(0.0) : range(0.0f);
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

  // lambda + c gamma is bilinear in cos(pi k / H) and cos(pi l / W): extremes are at corners.
  auto corner = [&](double c, double p, double q) {
    return 4 - 2 * p - 2 * q + c * (w0 + 2 * w1 * p) * (w0 + 2 * w1 * q);
  };
  op.low = std::min({corner(least, 1, 1), corner(least, 1, -1), corner(least, -1, -1)});
  if (problem.has_map()) {
    // A >= L + least G holds where G is positive; elsewhere Gershgorin's bound does.
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

Facts facts_of(const Problem& problem) {
  Facts facts{};
  facts.has_rhs = problem.has_rhs();
  facts.has_map = problem.has_map();
  facts.floats = is_float(problem.src.dtype) || is_float(problem.dst.dtype);
  facts.w0 = problem.w0;
  facts.w1 = problem.w1;
  // A problem without data has only its dtypes.
  const std::int64_t channels = facts.has_rhs ? problem.rhs.channels : problem.dst.channels;
  facts.count =
      static_cast<double>(problem.height() * problem.width()) * static_cast<double>(channels);
  return facts;
}

bool is_float(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kFloat32; }

Reduction reduction(const Operator& op, const Plan& plan) {
  const double middle = (op.high + plan.low) / 2, half = (op.high - plan.low) / 2;
  const double upper = 1 / std::cosh(plan.steps * std::acosh(middle / half));
  const double beyond = std::max(1.0, (middle - op.low) / half);
  return {upper, upper * std::cosh(plan.steps * std::acosh(beyond))};
}

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
  int below = least - 1, steps = most;  // too few steps, and enough as far as is known
  while (below + 1 < steps) {
    const int middle = below + std::max(1, (steps - below) / 2);
    (best(middle).second <= limit ? steps : below) = middle;
  }
  return best(steps).first;
}

std::vector<ChebyshevStep> chebyshev_steps(const Operator& op, const Plan& plan) {
  StepSequence sequence(op, plan);
  std::vector<ChebyshevStep> steps;
  for (int i = 0; i < plan.steps; ++i) steps.push_back(sequence.next());
  return steps;
}

double damping_of(const Operator& op) { return static_cast<float>(1 / op.diagonal) * (1 - kUnit); }

Start photograph(const Operator& op, double range) {
  const double excess = op.excess > 0 ? op.excess : op.low;
  return {kUpper * range / excess, kLowest * range};
}

Start start_of_rhs(const Operator& op, double largest) {
  const double size = largest / (op.excess > 0 ? op.excess : op.low);
  return {size, size};
}

}  // namespace pyharmony::gaussian_poisson
