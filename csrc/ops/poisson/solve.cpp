// Solves by conjugate gradients with one V-cycle as preconditioner, refines, and certifies.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "core/checks.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "core/pool.h"
#include "ops/poisson/bands.h"
#include "ops/poisson/poisson.h"

namespace pyharmony::poisson {
namespace {

// Below this share of the first estimate, a tolerance is affected by float32's rounding.
constexpr double kFloatReach = 1e-4;

constexpr double kFloatUnit = 1.0 / (1 << 24);  // the relative rounding of one float32 operation

constexpr int kMaxRefinements = 12;

// On a box of at most so many pixels nested iteration smooths from level 2 on, or 3: below it x is
// interpolated, which the first iterations correct as fast.
constexpr std::int64_t kSmall = 1 << 16, kTiny = 20000;

// The limits of a proof: its corrections, those while each helps, and the iterations of each.
constexpr int kCorrections = 4, kMostCorrections = 16, kProofIterations = 60;

// The largest share of the tolerance that the rounding of residuals may take, after A^-1.
constexpr double kRefinementRounding = 0.25, kProofRounding = 0.02;

// The largest |A^-1| in the maximum norm, as the coarsest level shows it, that is trusted.
constexpr double kTrustedReach = 1e9;

// Returns the smallest Ritz value of M^-1 A, from the coefficients of conjugate gradients: Lanczos'
// matrix has the diagonal 1/alpha_k + beta_k/alpha_{k-1} and beside it sqrt(beta_k)/alpha_{k-1}.
double smallest_ritz_value(const std::vector<double>& alpha, const std::vector<double>& beta) {
  const std::size_t n = alpha.size();
  auto negative_pivots = [&](double shift) {
    int count = 0;
    double pivot = 1;
    for (std::size_t k = 0; k < n; ++k) {
      double diagonal = 1 / alpha[k] - shift;
      if (k > 0) {
        diagonal += beta[k] / alpha[k - 1];
        diagonal -= beta[k] / (alpha[k - 1] * alpha[k - 1]) / pivot;
      }
      pivot = diagonal == 0 ? 1e-300 : diagonal;
      count += pivot < 0;
    }
    return count;
  };
  double low = 0, high = 1;  // Values above 1 do not matter.
  for (int step = 0; step < 30; ++step) {
    const double middle = 0.5 * (low + high);
    (negative_pivots(middle) > 0 ? high : low) = middle;
  }
  return low;
}

// Whether a level is one band, so small that handing it out takes a share of its time.
bool is_one_band(const LevelView& level) { return level.height <= band_rows(level); }

// Calls fn(begin, end, band) for each band.
template <typename Fn>
void for_bands(const LevelView& level, Fn&& fn) {
  if (is_one_band(level)) {
    fn(0, level.height, 0);
    return;
  }
  const int rows = band_rows(level);
  parallel_for(level.height, rows, [&](std::int64_t begin, std::int64_t end) {
    fn(static_cast<int>(begin), static_cast<int>(end), static_cast<int>(begin / rows));
  });
}

// Planes of zeros, one behind the other.
template <typename T>
class Plane {
 public:
  Plane() = default;
  Plane(const Level& level, int count = 1)
      : buffer_(level.plane_floats() * count),
        origin_(level.origin()),
        size_(static_cast<std::ptrdiff_t>(level.plane_floats())) {
    const LevelView& view = level.view;
    for_bands(view, [&](int begin, int end, int) {
      // The rows above the first and below the last belong to the neighbouring bands.
      const std::ptrdiff_t from = begin == 0 ? 0 : begin + 1;
      const std::ptrdiff_t to = end == view.height ? size_ : (end + 1) * view.stride;
      for (int k = 0; k < count; ++k) {
        T* data = buffer_.data() + k * size_;
        std::fill(data + from * view.stride, data + to, T(0));
      }
    });
  }
  T* get(int number = 0) { return buffer_.data() + origin_ + number * size_; }
  const T* get(int number = 0) const { return buffer_.data() + origin_ + number * size_; }

 private:
  Buffer<T> buffer_;
  std::ptrdiff_t origin_ = 0, size_ = 0;
};

}  // namespace

class Solver {
 public:
  Solver(const Hierarchy& hierarchy, const SolveParams& params)
      : h_(hierarchy),
        params_(params),
        finest_(*hierarchy.levels_.front()),
        scratch_([this] { return std::make_unique<Buffer<float>>(scratch_floats(finest_.view)); }) {
    static_cast<Sources&>(eq_) = params;
    eq_.weight = h_.weight_;
    eq_.w0 = h_.w0_;
    eq_.w1 = h_.w1_;
    eq_.top = h_.top_;
    eq_.left = h_.left_;
    if (h_.map_.size() > 0) {
      eq_.weight_map.data = const_cast<double*>(h_.map_.data());
      eq_.weight_map.dtype = DType::kFloat64;
      eq_.weight_map.height = h_.map_height_;
      eq_.weight_map.width = eq_.weight_map.row_stride = h_.map_width_;
      eq_.weight_map.channels = eq_.weight_map.col_stride = eq_.weight_map.channel_stride = 1;
      eq_.map_top = h_.map_top_;
      eq_.map_left = h_.map_left_;
    }
    channels_ = static_cast<int>(eq_.channels());
    const std::int64_t pixels = std::int64_t(finest_.view.height) * finest_.view.width;
    // A frame of a film is to take one iteration.
    if (pixels <= kSmall && params.warm == nullptr &&
        is_one_band(level(std::min(1, last())).view)) {
      smoothed_from_ = pixels <= kTiny ? 3 : 2;
    }
  }

  Report run() {
    const bool prove = params_.certify || doubtful();
    const double amplification = prove ? find_amplification() : 0;
    if (params_.warm != nullptr) take_start();
    solve_equation();
    add_start();
    finish();
    if (prove && certify(amplification)) finish();
    return std::move(report_);
  }

 private:
  // Writes the solution that r_ or e_ hold to out, and keeps it for the next frame.
  void finish() {
    write();
    if (params_.warm != nullptr) leave_start();
  }

  // Returns whether the estimates of this mask are not trusted without a proof.
  bool doubtful() const { return !(h_.reach_ <= kTrustedReach); }

  struct Work {  // The planes of a coarse level.
    Plane<float> planes;
    // V-cycle: right-hand side, and z before and after the correction
    float *b = nullptr, *before = nullptr, *after = nullptr;
    float *fmg_b = nullptr, *fmg_x = nullptr;
    float *d = nullptr, *rest = nullptr;  // of a CoarsePass
  };

  struct Outcome {
    int iterations = 0;
    double estimate = 0;
    double first = 0;  // the estimate before the first iteration
    bool converged = true;
  };

  const Level& level(int k) const { return *h_.levels_[k]; }
  int last() const { return static_cast<int>(h_.levels_.size()) - 1; }
  bool direct() const { return h_.inverse_.size() > 0; }
  // Whether a sweep over the finest level may write to the plane that it reads.
  bool in_place() const { return is_one_band(finest_.view); }
  // Whether nested iteration only interpolates to this level.
  bool only_interpolated(int k) const { return k < smoothed_from_; }
  bool in_double() const {
    return eq_.has_rhs() ? eq_.rhs.dtype == DType::kFloat64 : eq_.src.dtype == DType::kFloat64;
  }

  void allocate() {
    if (!work_.empty()) return;
    work_.resize(static_cast<std::size_t>(last()) + 1);
    for (int k = 1; k <= last(); ++k) {
      Work& w = work_[k];
      std::vector<float**> used = {&w.b, &w.after};
      const bool interpolated = k < last() && only_interpolated(k);
      if (!interpolated) used.push_back(&w.fmg_b);
      if (k < last() || !direct()) {
        used.push_back(&w.before);
        if (!interpolated) used.push_back(&w.fmg_x);
        if (is_one_band(level(k).view)) used.insert(used.end(), {&w.d, &w.rest});
      }
      w.planes = Plane<float>(level(k), static_cast<int>(used.size()));
      for (std::size_t i = 0; i < used.size(); ++i) *used[i] = w.planes.get(static_cast<int>(i));
      if (interpolated) {  // nested iteration is over before the first cycle
        w.fmg_b = w.after;
        w.fmg_x = w.before;
      }
    }
    for (Plane<float>* plane : {&x_, &p_, &z_}) *plane = Plane<float>(finest_);
    if (!in_place()) spare_ = Plane<float>(finest_);
    partial_.resize(static_cast<std::size_t>(band_count(finest_.view)));
  }

  float* own_scratch(const LevelView& level) {
    const std::size_t floats = scratch_floats(level);
    if (own_scratch_.size() < floats) own_scratch_ = Buffer<float>(floats);
    return own_scratch_.data();
  }

  // Calls fn(begin, end, band, scratch) for each band of the level.
  template <typename Fn>
  void sweep(const LevelView& level, Fn&& fn) {
    if (is_one_band(level)) {
      fn(0, level.height, 0, own_scratch(level));
      return;
    }
    for_bands(level, [&](int begin, int end, int band) {
      Pool<Buffer<float>>::Lease scratch(scratch_);
      fn(begin, end, band, (*scratch).data());
    });
  }

  // ---- one V-cycle -------------------------------------------------------------------------

  void smooth_down(int k, DownPass pass) {
    pass.level = level(k).view;
    if (k < last()) {
      pass.coarse = &level(k + 1).view;
      pass.coarse_r = work_[k + 1].b;
    }
    sweep(pass.level, [&](int begin, int end, int, float* scratch) {
      HM_SIMD_CALL(poisson_down, pass, begin, end, scratch);
    });
  }

  void smooth_up(int k, UpPass pass) {
    pass.level = level(k).view;
    if (k < last()) {
      pass.coarse = &level(k + 1).view;
      pass.coarse_z = work_[k + 1].after;
    }
    sweep(pass.level, [&](int begin, int end, int band, float* scratch) {
      HM_SIMD_CALL(poisson_up, pass, begin, end, band, scratch);
    });
  }

  // Returns a pass over a level of one band.
  CoarsePass coarse_pass(int k) {
    Work& w = work_[k];
    CoarsePass pass;
    pass.level = level(k).view;
    pass.r = w.b;
    pass.z = w.before;
    pass.d = w.d;
    pass.step = w.after;
    pass.rest = w.rest;
    if (k < last()) {
      pass.coarse = &level(k + 1).view;
      pass.coarse_r = work_[k + 1].b;
      pass.coarse_z = work_[k + 1].after;
    }
    return pass;
  }

  void solve_direct(const float* r, float* z) {
    const std::size_t n = h_.nodes_.size();
    direct_sum_.assign(n, 0.0f);
    float* __restrict sum = direct_sum_.data();
    for (std::size_t k = 0; k < n; ++k) {
      const float value = r[h_.nodes_[k]];
      const float* __restrict column = h_.inverse_.data() + k * n;
      for (std::size_t i = 0; i < n; ++i) sum[i] += column[i] * value;
    }
    for (std::size_t k = 0; k < n; ++k) z[h_.nodes_[k]] = sum[k];
  }

  // Computes work[k].after = M^-1 work[k].b, k >= 1.
  void cycle(int k) {
    Work& w = work_[k];
    if (k == last() && direct()) {
      solve_direct(w.b, w.after);
      return;
    }
    if (is_one_band(level(k).view)) {
      CoarsePass pass = coarse_pass(k);
      pass.out = w.after;
      HM_SIMD_CALL(poisson_coarse_down, pass, own_scratch(pass.level));
      if (k < last()) cycle(k + 1);
      HM_SIMD_CALL(poisson_coarse_up, pass, own_scratch(pass.level));
      return;
    }
    DownPass before;
    before.r = w.b;
    before.z = w.before;
    smooth_down(k, before);
    if (k < last()) cycle(k + 1);
    UpPass after;
    after.r = w.b;
    after.z = w.before;
    after.out = w.after;
    smooth_up(k, after);
  }

  // Finds a first x on level 1 by nested iteration from the coarsest level, for r on the finest.
  void start(const float* r) {
    for (int k = 1; k <= last(); ++k) {
      if (k > 1 && is_one_band(level(k - 1).view)) {
        CoarsePass pass = coarse_pass(k - 1);
        pass.r = work_[k - 1].fmg_b;
        pass.coarse_r = work_[k].fmg_b;
        HM_SIMD_CALL(poisson_coarse_restrict, pass, own_scratch(pass.level));
        continue;
      }
      RestrictPass pass;
      pass.level = level(k - 1).view;
      pass.r = k == 1 ? r : work_[k - 1].fmg_b;
      pass.coarse = level(k).view;
      pass.coarse_r = work_[k].fmg_b;
      sweep(pass.level, [&](int begin, int end, int, float* scratch) {
        HM_SIMD_CALL(poisson_restrict, pass, begin, end, scratch);
      });
    }
    for (int k = last(); k >= 1; --k) {
      Work& w = work_[k];
      if (k == last()) {
        std::swap(w.b, w.fmg_b);
        cycle(k);
        std::swap(w.b, w.fmg_b);
        continue;
      }
      if (is_one_band(level(k).view)) {
        CoarsePass pass = coarse_pass(k);
        pass.coarse_x = fmg_result(k + 1);
        pass.x = pass.out = w.fmg_x;
        if (only_interpolated(k)) {
          HM_SIMD_CALL(poisson_coarse_prolong, pass, own_scratch(pass.level));
          continue;
        }
        pass.r = w.fmg_b;
        pass.r_out = w.b;
        pass.add = true;
        HM_SIMD_CALL(poisson_coarse_down, pass, own_scratch(pass.level));
        cycle(k + 1);
        pass.r = w.b;
        HM_SIMD_CALL(poisson_coarse_up, pass, own_scratch(pass.level));
        continue;
      }
      DownPass before;
      before.mode = DownMode::kProlong;
      before.r = w.fmg_b;
      before.r_out = w.b;
      before.z = w.before;
      before.x = w.fmg_x;
      before.coarse_x = fmg_result(k + 1);
      smooth_down(k, before);
      cycle(k + 1);
      UpPass after;
      after.r = w.b;
      after.z = w.before;
      after.out = w.fmg_x;
      after.add = true;
      smooth_up(k, after);
    }
  }

  const float* fmg_result(int k) const { return k == last() ? work_[k].after : work_[k].fmg_x; }

  // ---- conjugate gradients -----------------------------------------------------------------

  Partial total() const {
    Partial sum;
    for (const Partial& part : partial_) {
      sum.dot += part.dot;
      sum.largest = std::max(sum.largest, part.largest);
    }
    return sum;
  }

  void add(const LevelView& view, const float* p, float alpha, float* x) {
    AddPass pass;
    pass.level = view;
    pass.p = p;
    pass.alpha = alpha;
    pass.x = x;
    for_bands(view, [&](int begin, int end, int) { HM_SIMD_CALL(poisson_add, pass, begin, end); });
  }

  // Solves A x = r for one channel; `plane` is r, and then x. Stops when the estimate of the error
  // is at most `tolerance`, or `reduction` times the first one.
  Outcome conjugate_gradients(Plane<float>& plane, double tolerance, double reduction,
                              int max_iterations, bool of_frame = false) {
    allocate();
    const LevelView& view = finest_.view;
    Outcome outcome;
    // A sweep over several bands writes to the spare plane, which changes places with that it read.
    Plane<float>* r = &plane;
    Plane<float>* p = &p_;
    Plane<float>* z = &z_;
    Plane<float>* spare = &spare_;
    auto written = [&](Plane<float>*& read, auto&& sweep_to) {
      sweep_to(in_place() ? read->get() : spare->get());
      if (!in_place()) std::swap(read, spare);
    };
    // Only the solves of a film's frames give its statistics, not those of certificates.
    const bool film = params_.warm != nullptr && of_frame;
    const double seen = film ? params_.warm->contraction_ : 0;
    double rz = 0, alpha = 0, limit = tolerance, contraction = std::max(kContraction, seen);
    double second = 0;  // the estimate after one iteration
    std::vector<double> alphas, betas;
    const bool nested = last() >= 1;
    if (nested) start(r->get());
    outcome.converged = false;
    for (int k = 0;; ++k) {
      check_interrupt();
      // z = M^-1 r
      DownPass before;
      before.r = r->get();
      before.z = z->get();
      before.x = x_.get();
      if (k > 0) {
        before.mode = DownMode::kUpdate;
        before.p = p->get();
        before.alpha = static_cast<float>(alpha);
      } else if (nested) {
        before.mode = DownMode::kProlong;
        before.coarse_x = fmg_result(1);
      } else {
        add(view, x_.get(), -1.0f, x_.get());  // x = 0
      }
      if (before.mode == DownMode::kPlain) {
        smooth_down(0, before);
      } else {
        written(r, [&](float* out) {
          before.r_out = out;
          smooth_down(0, before);
        });
      }
      if (last() >= 1) cycle(1);
      if (last() == 0 && direct()) {
        measure_direct(r->get(), z->get());
      } else {
        UpPass after;
        after.r = r->get();
        after.z = z->get();
        after.measure = true;
        after.partial = partial_.data();
        written(z, [&](float* out) {
          after.out = out;
          smooth_up(0, after);
        });
      }
      const Partial sum = total();
      const double before_rz = rz;
      rz = sum.dot;
      double error = sum.largest / (1 - contraction);
      if (k == 1) second = error;
      if (k == 0) {
        outcome.first = error;
        limit = std::max(tolerance, reduction * error);
      }
      outcome.estimate = error;
      outcome.iterations = k;
      if (error == 0 && rz == 0) {
        outcome.converged = true;
        break;
      }
      if (!(rz > 0) || !std::isfinite(rz) || k == max_iterations) break;

      DirectionPass direction;
      direction.level = view;
      direction.z = z->get();
      direction.p = p->get();
      direction.first = k == 0;
      direction.beta = k == 0 ? 0.0f : static_cast<float>(rz / before_rz);
      direction.partial = partial_.data();
      written(p, [&](float* out) {
        direction.p_out = out;
        sweep(view, [&](int begin, int end, int band, float* scratch) {
          HM_SIMD_CALL(poisson_direction, direction, begin, end, band, scratch);
        });
      });
      const double curvature = total().dot;
      if (!(curvature > 0) || !std::isfinite(curvature)) break;
      alpha = rz / curvature;
      alphas.push_back(alpha);
      betas.push_back(k == 0 ? 0 : rz / before_rz);
      contraction = std::max({kContraction, seen, 1 - smallest_ritz_value(alphas, betas)});
      error = sum.largest / (1 - contraction);
      // The current step costs one sweep, and leaves `contraction` of the error.
      const bool exact = last() == 0 && direct();
      const bool blind = k < kRitzFrom && seen == 0 && !exact;
      double rest = blind ? kUnseen * sum.largest : contraction * error;
      if (k == 0 && seen > 0)
        rest = std::min(rest, kFilmMargin * params_.warm->first_left_ * error);
      if (rest <= limit) {
        add(view, p->get(), static_cast<float>(alpha), x_.get());
        outcome.estimate = rest;
        outcome.iterations = k + 1;
        outcome.converged = true;
        break;
      }
    }
    if (film && static_cast<int>(alphas.size()) >= kRitzFrom) {
      shown_ = std::max(shown_, contraction);
      first_left_ = std::max(first_left_, second / outcome.first);
    }
    std::swap(plane, x_);
    return outcome;
  }

  void measure_direct(const float* r, float* z) {
    solve_direct(r, z);
    std::fill(partial_.begin(), partial_.end(), Partial());
    for (std::ptrdiff_t node : h_.nodes_) {
      partial_[0].dot += static_cast<double>(r[node]) * z[node];
      partial_[0].largest = std::max(partial_[0].largest, std::abs(z[node]));
    }
  }

  // ---- the equation ------------------------------------------------------------------------

  // Computes r planes = scale (b - A x) with x = start + e; returns the largest |b - A x|.
  double residual(const Equation& equation, std::vector<Plane<float>>* r,
                  const std::vector<Plane<double>>* e, Arithmetic arithmetic, double scale,
                  double* magnitude = nullptr,
                  const std::vector<const float*>* e_single = nullptr) {
    ResidualPass pass;
    pass.level = finest_.view;
    pass.equation = equation;
    pass.arithmetic = arithmetic;
    pass.scale = scale;
    std::vector<float*> r_rows;
    std::vector<const double*> e_rows;
    if (r != nullptr) {
      for (Plane<float>& plane : *r) r_rows.push_back(plane.get());
      pass.r = r_rows.data();
    }
    if (e != nullptr) {
      for (const Plane<double>& plane : *e) e_rows.push_back(plane.get());
      pass.e = e_rows.data();
    }
    if (e_single != nullptr) pass.e_single = e_single->data();
    std::vector<double> largest(static_cast<std::size_t>(band_count(finest_.view)), 0.0);
    std::vector<double> sizes = largest;
    pass.largest = largest.data();
    pass.magnitude = sizes.data();
    for_bands(finest_.view, [&](int begin, int end, int band) {
      HM_SIMD_CALL(poisson_residual, pass, begin, end, band);
    });
    if (magnitude != nullptr) *magnitude = *std::max_element(sizes.begin(), sizes.end());
    return *std::max_element(largest.begin(), largest.end());
  }

  // Returns a power of two that scales values of this size so that float32 squares do not overflow.
  static double scale_for(double largest) {
    if (largest == 0 || (largest > 1e-12 && largest < 1e12)) return 1;
    return std::ldexp(1.0, -std::ilogb(largest));
  }

  template <typename T>
  std::vector<Plane<T>> planes(int count) {
    std::vector<Plane<T>> result;
    for (int k = 0; k < count; ++k) result.emplace_back(finest_);
    return result;
  }

  // Adds plane / scale to e; returns the largest |plane| / scale.
  double accumulate(const Plane<float>& plane, double scale, Plane<double>& e) {
    const LevelView& view = finest_.view;
    std::vector<double> largest(static_cast<std::size_t>(band_count(view)), 0.0);
    for_bands(view, [&](int begin, int end, int band) {
      double most = 0;
      for (int i = begin; i < end; ++i) {
        const float* __restrict from = plane.get() + i * view.stride;
        double* __restrict to = e.get() + i * view.stride;
        for (int j = view.lo[i]; j < view.hi[i]; ++j) {
          const double step = static_cast<double>(from[j]) / scale;
          to[j] += step;
          most = std::max(most, std::abs(step));
        }
      }
      largest[band] = most;
    });
    return *std::max_element(largest.begin(), largest.end());
  }

  // ---- the frame before --------------------------------------------------------------------

  // Takes e of the frame before, where it has as many channels.
  void take_start() {
    std::vector<Buffer<float>>& e = params_.warm->e_;
    if (static_cast<int>(e.size()) != channels_ || e.front().size() != finest_.plane_floats()) {
      params_.warm->reset();
      return;
    }
    for (const Buffer<float>& plane : e) start_.push_back(plane.data() + finest_.origin());
  }

  // Turns the correction that was found into that of src.
  void add_start() {
    if (e_.empty()) add_start(r_);
  }

  template <typename T>
  void add_start(std::vector<Plane<T>>& planes) {
    const LevelView& view = finest_.view;
    for (std::size_t k = 0; k < start_.size(); ++k) {
      for_bands(view, [&](int begin, int end, int) {
        for (int i = begin; i < end; ++i) {
          T* __restrict to = planes[k].get() + i * view.stride;
          const float* __restrict from = start_[k] + i * view.stride;
          for (int j = view.lo[i]; j < view.hi[i]; ++j) to[j] += from[j];
        }
      });
    }
    start_.clear();
  }

  void leave_start() {
    WarmStart& warm = *params_.warm;
    const LevelView& view = finest_.view;
    std::vector<double> largest(static_cast<std::size_t>(band_count(view)), 0.0);
    while (static_cast<int>(warm.e_.size()) < channels_) {
      warm.e_.push_back(Buffer<float>::zeros(finest_.plane_floats()));
    }
    for (int k = 0; k < channels_; ++k) {
      float* out = warm.e_[k].data() + finest_.origin();
      for_bands(view, [&](int begin, int end, int band) {
        double most = 0;
        for (int i = begin; i < end; ++i) {
          const std::ptrdiff_t row = i * view.stride;
          for (int j = view.lo[i]; j < view.hi[i]; ++j) {
            const float e =
                e_.empty() ? r_[k].get()[row + j] : static_cast<float>(e_[k].get()[row + j]);
            out[row + j] = e;
            most = std::max<double>(most, std::abs(e));
          }
        }
        largest[band] = std::max(largest[band], most);
      });
    }
    warm.contraction_ = std::max(warm.contraction_, shown_);
    warm.first_left_ = std::max(warm.first_left_, first_left_);
    warm.largest_ = *std::max_element(largest.begin(), largest.end());
    if (!std::isfinite(warm.largest_)) warm.reset();
  }

  void solve_equation() {
    r_ = planes<float>(channels_);
    const bool exact = in_double();
    const std::vector<const float*>* start = start_.empty() ? nullptr : &start_;
    const Arithmetic first = exact ? Arithmetic::kDouble : Arithmetic::kSingle;
    double magnitude = 0;
    double largest = residual(eq_, &r_, nullptr, first, 1, &magnitude, start);
    double scale = scale_for(largest);
    if (scale != 1) residual(eq_, &r_, nullptr, Arithmetic::kDouble, scale, nullptr, start);
    const bool refine_anyway = exact || scale != 1;
    report_.converged = true;
    int round_iterations = 0;
    double size = 0;
    for (Plane<float>& plane : r_) {
      const Outcome outcome = conjugate_gradients(plane, params_.tolerance * scale, kFloatReduction,
                                                  params_.max_iterations, true);
      size = std::max(size, outcome.first / scale);
      merge(outcome, scale, &round_iterations);
    }
    report_.iterations = round_iterations;
    if (start != nullptr) size = std::max(size, params_.warm->largest_);
    const bool within_reach = params_.tolerance >= kFloatReach * size;
    if (!refine_anyway && within_reach && report_.estimate <= params_.tolerance) return;
    if (!report_.converged) {
      if (refine_anyway) to_double(scale);
      return;
    }

    report_.estimate = std::max(report_.estimate, kFloatRounding * to_double(scale));
    for (int round = 0; round < kMaxRefinements; ++round) {
      if (report_.estimate <= params_.tolerance) return;
      const int left = params_.max_iterations - report_.iterations;
      if (left <= 0) break;
      const Arithmetic arithmetic = exact_enough(magnitude, h_.reach_, kRefinementRounding);
      largest = residual(eq_, &r_, &e_, arithmetic, 1, &magnitude);
      if (largest == 0) {
        report_.estimate = 0;
        return;
      }
      scale = scale_for(largest);
      if (scale != 1) residual(eq_, &r_, &e_, arithmetic, scale);
      const double before = report_.estimate;
      report_.estimate = 0;
      round_iterations = 0;
      for (int k = 0; k < channels_; ++k) {
        merge(conjugate_gradients(r_[k], params_.tolerance * scale, kFloatReduction, left), scale,
              &round_iterations);
        const double step = accumulate(r_[k], scale, e_[k]);
        report_.estimate = std::max(report_.estimate, kFloatRounding * step);
      }
      report_.iterations += round_iterations;
      if (!(report_.estimate < 0.5 * before)) break;
    }
    report_.converged = report_.estimate <= params_.tolerance;
  }

  void merge(const Outcome& outcome, double scale, int* iterations) {
    *iterations = std::max(*iterations, outcome.iterations);
    report_.estimate = std::max(report_.estimate, outcome.estimate / scale);
    report_.converged = report_.converged && outcome.converged;
  }

  // Forms e_ from the planes r_, which hold a solution; returns the largest |e|.
  double to_double(double scale) {
    double largest = 0;
    e_ = planes<double>(channels_);
    for (int k = 0; k < channels_; ++k) {
      largest = std::max(largest, accumulate(r_[k], scale, e_[k]));
    }
    add_start(e_);
    return largest;
  }

  void write() {
    WritePass pass;
    pass.level = finest_.view;
    pass.equation = eq_;
    pass.out = params_.out;
    std::vector<const float*> e;
    std::vector<const double*> e_double;
    for (const Plane<float>& plane : r_) e.push_back(plane.get());
    for (const Plane<double>& plane : e_) e_double.push_back(plane.get());
    pass.e = e.data();
    pass.e_double = e_.empty() ? nullptr : e_double.data();
    std::atomic<std::int64_t> clipped{0};
    for_bands(finest_.view, [&](int begin, int end, int) {
      clipped += HM_SIMD_CALL(poisson_write, pass, begin, end);
    });
    report_.clipped = clipped;
  }

  // ---- the certificate ---------------------------------------------------------------------

  // Returns the least row excess a_ii - sum_j |a_ij| of the unknowns. Where it is positive,
  // |A^-1| <= 1 / excess in the maximum norm.
  double row_excess() const {
    const LevelView& view = finest_.view;
    if (view.stencil != Stencil::kNine) {
      double weight = eq_.weight;
      if (eq_.has_map()) {
        weight = std::numeric_limits<double>::infinity();
        for_unknowns([&](std::ptrdiff_t at) {
          const std::int64_t i = at / view.stride, j = at % view.stride;
          weight = std::min(weight, *eq_.weight_map.at<double>(eq_.top + i - eq_.map_top,
                                                               eq_.left + j - eq_.map_left, 0));
        });
      }
      return weight * eq_.w0 * eq_.w0 * (1 - 1e-6);
    }
    double least = std::numeric_limits<double>::infinity();
    for_unknowns([&](std::ptrdiff_t at) {
      double positive = 0, size = std::abs(view.row_sum[at]);
      for_neighbours(at, [&](double a, std::ptrdiff_t) {
        positive += std::max(a, 0.0);
        size += std::abs(a) * (a > 0);
      });
      least = std::min(least, view.row_sum[at] - 2 * positive - 1e-6 * size);
    });
    return least;
  }

  template <typename Fn>
  void for_unknowns(Fn&& fn) const {
    const LevelView& view = finest_.view;
    for (int i = 0; i < view.height; ++i) {
      for (int j = view.lo[i]; j < std::min(view.hi[i], view.width); ++j) {
        const std::ptrdiff_t at = i * view.stride + j;
        if (view.active[at]) fn(at);
      }
    }
  }

  template <typename Fn>
  void for_neighbours(std::ptrdiff_t at, Fn&& fn) const {
    const LevelView& view = finest_.view;
    const std::ptrdiff_t s = view.stride;
    fn(view.e[at], at + 1);
    fn(view.e[at - 1], at - 1);
    fn(view.s[at], at + s);
    fn(view.s[at - s], at - s);
    fn(view.se[at], at + s + 1);
    fn(view.se[at - s - 1], at - s - 1);
    fn(view.sw[at], at + s - 1);
    fn(view.sw[at - s + 1], at - s + 1);
  }

  // Returns a bound of |A^-1| in the maximum norm: 1 / row excess, or max w / min (C w) with w > 0
  // and the comparison matrix C of A (a_ij replaced by -|a_ij|), from an approximate solution of A
  // w = 1; infinite where neither is one. It is cached with the mask.
  double find_amplification() {
    std::lock_guard<std::mutex> lock(h_.amplification_mutex_);
    if (h_.amplification_ >= 0) return h_.amplification_;
    constexpr double kInfinite = std::numeric_limits<double>::infinity();
    constexpr double kTightEnough = 100;  // corrections are small: it hardly changes the bound
    const double excess = row_excess();
    double best = excess > 0 ? 1 / excess : kInfinite;
    if (best > kTightEnough) best = std::min(best, solve_comparison());
    h_.amplification_ = best;
    return best;
  }

  double solve_comparison() {
    constexpr double kInfinite = std::numeric_limits<double>::infinity();
    float one = 1;
    Equation ones = eq_;
    static_cast<Sources&>(ones) = Sources();
    ones.rhs = {&one, DType::kFloat32, h_.height_, h_.width_, 1};
    std::vector<Plane<float>> r = planes<float>(1);
    std::vector<Plane<double>> w = planes<double>(1);
    double largest = residual(ones, &r, nullptr, Arithmetic::kSingle, 1), magnitude = 0;
    constexpr double kCloseEnough = 0.05;
    // A long way to a known pixel makes w large, and float32 leaves much of its residual, so this
    // makes as many corrections as help.
    constexpr int kRounds = 4, kMostRounds = 24;
    double before = kInfinite;
    for (int round = 0; round < kMostRounds && largest > kCloseEnough; ++round) {
      if (round >= kRounds && !(largest < 0.7 * before)) break;
      before = largest;
      conjugate_gradients(r[0], 0, 1e-3, kProofIterations);
      accumulate(r[0], 1, w[0]);
      largest = residual(ones, &r, &w, Arithmetic::kDouble, 1, &magnitude);
    }
    const LevelView& view = finest_.view;
    double most = 0, least = kInfinite, lowest = 1 - largest;
    const double* values = w[0].get();
    for_unknowns([&](std::ptrdiff_t at) {
      most = std::max(most, values[at]);
      least = std::min(least, values[at]);
      if (view.stencil != Stencil::kNine) return;
      double positive = 0;
      for_neighbours(at, [&](double a, std::ptrdiff_t near) {
        if (a > 0) positive += a * values[near];
      });
      lowest = std::min(lowest, 1 - largest - 2 * positive * (1 + 1e-6));
    });
    lowest -= rounding(magnitude, Arithmetic::kDouble);
    return least > 0 && lowest > 0 ? most / lowest : kInfinite;
  }

  // Returns the rounding of an exact residual whose values are at most `magnitude`: fewer than 40
  // operations, on values of at most 16 times that and 2 (8 + weight) times that.
  double rounding(double magnitude, Arithmetic arithmetic) const {
    double weight = eq_.weight;
    if (eq_.has_map()) {
      for (std::size_t i = 0; i < h_.map_.size(); ++i) weight = std::max(weight, h_.map_[i]);
    }
    const double epsilon = arithmetic == Arithmetic::kExtended
                               ? static_cast<double>(std::numeric_limits<long double>::epsilon())
                               : std::numeric_limits<double>::epsilon();
    return 40 * epsilon * (16 + 2 * weight) * magnitude;
  }

  // Returns the arithmetic in which the rounding of a residual, multiplied by at most `reach`
  // through A^-1, stays below `share` of the tolerance.
  Arithmetic exact_enough(double magnitude, double reach, double share) const {
    const double left = rounding(magnitude, Arithmetic::kDouble) * reach;
    return left <= share * params_.tolerance ? Arithmetic::kDouble : Arithmetic::kExtended;
  }

  // Proves |x - x*| <= |e| + |r - A e| |A^-1| with e ~ A^-1 r. Corrections go on until the second
  // term is small beside the first or the tolerance. Where x is proven, or the best possible, it
  // stays; else e_ becomes x plus corrections, with the second term as bound, and it returns true.
  bool certify(double amplification) {
    const bool single = e_.empty() && !eq_.has_rhs();  // x was written as sums src + e in float32
    if (e_.empty()) to_double(1);
    double magnitude = 0, bound = 0;
    Arithmetic arithmetic = Arithmetic::kDouble;
    double largest = residual(eq_, &r_, &e_, arithmetic, 1, &magnitude);
    arithmetic = exact_enough(magnitude, amplification, kProofRounding);
    if (arithmetic != Arithmetic::kDouble) {
      largest = residual(eq_, &r_, &e_, arithmetic, 1, &magnitude);
    }
    report_.residual = largest;
    auto rest = [&] { return (largest + rounding(magnitude, arithmetic)) * amplification; };
    double before = std::numeric_limits<double>::infinity();
    for (int round = 0; round < kMostCorrections; ++round) {
      const bool stands = bound + rest() <= params_.tolerance;
      const bool sharp = rest() <= 0.02 * bound || rest() <= 0.005 * params_.tolerance;
      if (largest == 0 || (sharp && (stands || rest() <= params_.tolerance))) break;
      if (round >= kCorrections && !(largest < 0.7 * before)) break;
      before = largest;
      const double scale = scale_for(largest);
      if (scale != 1) residual(eq_, &r_, &e_, arithmetic, scale);
      double step = 0;
      for (int k = 0; k < channels_; ++k) {
        conjugate_gradients(r_[k], 0, kFloatReduction, kProofIterations);
        step = std::max(step, accumulate(r_[k], scale, e_[k]));
      }
      bound += step;
      largest = residual(eq_, &r_, &e_, arithmetic, 1, &magnitude);
    }
    report_.max_error = bound + rest() + (single ? kFloatUnit * magnitude : 0);
    if (report_.max_error <= params_.tolerance || !(rest() < report_.max_error)) {
      const bool proven = report_.max_error <= params_.tolerance;
      const bool trusted = !doubtful() || std::isfinite(report_.max_error);
      report_.converged = proven || (report_.converged && trusted);
      return false;
    }
    report_.max_error = rest();
    report_.residual = largest;
    report_.estimate = std::min(bound, rest());
    report_.converged = report_.estimate <= params_.tolerance;
    return true;
  }

  const Hierarchy& h_;
  const SolveParams& params_;
  const Level& finest_;
  Equation eq_;
  int channels_ = 1;
  Pool<Buffer<float>> scratch_;  // ring buffers of the passes
  Buffer<float> own_scratch_;    // those of levels of one band
  std::vector<Work> work_;
  int smoothed_from_ = 1;  // the first level that nested iteration smooths
  Plane<float> x_, p_, z_, spare_;
  std::vector<float> direct_sum_;
  std::vector<Partial> partial_;
  std::vector<Plane<float>> r_;
  std::vector<Plane<double>> e_;
  double shown_ = 0, first_left_ = 0;  // for the WarmStart
  std::vector<const float*> start_;    // [C], e of the frame before, not yet in r_ or e_
  Report report_;
};

Report Hierarchy::solve(const SolveParams& params) const {
  const ImageView& frame = params.rhs.data != nullptr ? params.rhs : params.dst;
  auto check = [&](const ImageView& image, const char* name, bool plane = false) {
    HM_CHECK(image.data != nullptr, name, ": missing");
    check_image_shape(image, name, height_, width_, plane ? 1 : frame.channels);
    HM_CHECK(plane || image.dtype != DType::kBool, name, ": dtype bool is not an image type");
  };
  if (params.rhs.data != nullptr) {
    check(params.rhs, "rhs");
  } else {
    check(params.src, "src");
    check(params.dst, "dst");
    check(params.mask, "mask", true);
    if (params.base.data != nullptr) check(params.base, "base");
  }
  check(params.out, "out");
  HM_CHECK(frame.channels > 0, "image: no channels");
  HM_CHECK(params.tolerance >= 0, "tolerance: ", params.tolerance, ", expected at least 0");
  HM_CHECK(params.max_iterations > 0, "max_iterations: ", params.max_iterations,
           ", expected at least 1");
  if (levels_.empty()) return Report();
  return Solver(*this, params).run();
}

}  // namespace pyharmony::poisson
