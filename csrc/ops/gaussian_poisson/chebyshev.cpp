// The driver of the Chebyshev solver: spectrum, number of steps, certificate.
#include "ops/gaussian_poisson/chebyshev.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pyharmony::gaussian_poisson {
namespace {

constexpr double kUnit = 1.0 / (1 << 24);  // relative rounding error of a float32 operation

// What the certificate and the iteration know about A. Principal submatrices (known pixels) are
// inside the same bounds.
struct Operator {
  double low, high;   // of the spectrum
  double excess;      // the smallest a_ii - sum_j |a_ij|
  double slope;       // row i has at least the excess slope * c_i, where `folded` is false
  bool folded;
  double diagonal;    // the largest a_ii
  double largest_weight;
};

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

double decay(const Operator& op) {
  const double root = std::sqrt(op.high / op.low);
  return (root - 1) / (root + 1);
}

std::vector<ChebyshevStep> chebyshev_steps(const Operator& op, int count) {
  const double middle = (op.high + op.low) / 2, half = (op.high - op.low) / 2;
  const double sigma = middle / half;
  std::vector<ChebyshevStep> steps{{0.0, 1 / middle}};
  for (double rho = 1 / sigma; static_cast<int>(steps.size()) < count;) {
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
// (c0 + 4 c1 + 4 c2) uX, shifted part (6 c1 + 16 c2) uX, b - c0 x (c0 + 4 c1 + 4 c2) uX + u|r|, less
// c1 v (6 c1 + 4 c2) uX + u|r|, difference u|r|.
// With a map, c its largest value: see the terms below, in the order of map_residual.
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
    stencil_error = 24 * largest                             // the sum of four differences
                    + b + 8 * largest                        // b less it
                    + b + 8 * largest + 4 * sum * c * largest  // less s c x
                    + 54 * side * c * largest + r + 8 * corner * c * largest
                    + 52 * corner * c * largest + r;
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

// Photographs, base upsampled from half size: the certified bound after k steps is below
// kPhotograph * range * decay^k. Measured, see benchmarks/bench_gaussian_poisson.py.
constexpr double kPhotograph = 2.0;

int first_count(const ChebyshevParams& params, const Operator& op) {
  const Problem& problem = params.problem;
  double start;  // of the bound
  if (problem.has_rhs()) {
    start = 2 * sample_largest(problem.rhs) / (op.excess > 0 ? op.excess : op.low);
  } else {
    const double range =
        is_float(problem.dst) ? sample_largest(problem.dst) : dtype_range(problem.dst.dtype);
    start = kPhotograph * range;
  }
  const double ratio = std::max(start / params.tolerance, 1.0);
  const double steps = std::ceil(std::log(ratio) / -std::log(decay(op)));
  return static_cast<int>(std::clamp(steps, 1.0, static_cast<double>(params.max_steps)));
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
  HM_CHECK(params.strip_floats >= 1 && params.segment_rows >= 1,
           "tile: ", params.strip_floats, " floats by ", params.segment_rows,
           " rows, expected at least 1 by 1");
  HM_CHECK(params.out.dtype != DType::kBool && params.out.height == problem.height() &&
               params.out.width == problem.width() && params.out.channels == problem.channels(),
           "out: shape [", params.out.height, ", ", params.out.width, ", ", params.out.channels,
           "] of ", dtype_name(params.out.dtype), ", expected [", problem.height(), ", ",
           problem.width(), ", ", problem.channels(), "] of an image dtype");
}

}  // namespace

ChebyshevResult chebyshev(const ChebyshevParams& params) {
  check(params);
  const Problem& problem = params.problem;
  const Operator op = analyse(problem);
  MemoryMeter meter;
  ChebyshevPass pass;
  pass.problem = &problem;
  pass.out = params.out;
  pass.damping = static_cast<float>(1 / op.diagonal) * (1 - kUnit);
  pass.excess_slope = op.slope;
  pass.want_norm = op.excess <= 0;
  pass.meter = &meter;
  pass.strip_floats = params.strip_floats;
  pass.segment_rows = params.segment_rows;

  ChebyshevResult result;
  double before = std::numeric_limits<double>::infinity();
  for (int count = first_count(params, op);;) {
    pass.steps = chebyshev_steps(op, count);
    ChebyshevMeasure measure = HM_SIMD_CALL(gaussian_poisson_chebyshev_pass, pass);
    if (!problem.has_rhs()) {
      for (const ImageView* image : {&problem.src, &problem.dst}) {
        if (!is_float(*image)) {
          measure.image_high = std::max(measure.image_high, dtype_range(image->dtype));
        }
      }
      if (!is_float(problem.base)) measure.largest_base = dtype_range(problem.base.dtype);
    }
    const Certificate certificate = certify(problem, op, pass.damping, measure);
    result.steps = count;
    result.total_steps += count;
    result.residual = certificate.residual;
    result.max_error = certificate.max_error;
    result.converged = certificate.max_error <= params.tolerance;
    // Further steps are in vain below the rounding, or where the last ones did not help.
    if (result.converged || count == params.max_steps ||
        !(certificate.floor < params.tolerance) || !(certificate.max_error < before / 2)) {
      break;
    }
    before = certificate.max_error;
    const double excess = (certificate.max_error - certificate.floor) /
                          (params.tolerance - certificate.floor);
    const int more = static_cast<int>(std::ceil(std::log(1.1 * excess) / -std::log(decay(op))));
    count = std::min(params.max_steps, count + std::max(1, more));
  }
  result.peak_bytes = meter.peak.load();
  return result;
}

}  // namespace pyharmony::gaussian_poisson
