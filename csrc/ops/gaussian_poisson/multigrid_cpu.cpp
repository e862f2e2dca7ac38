// Cell-centred multigrid on the rectangle, with mirrored borders.
//
// Cells are merged in pairs along each axis. Where their number is odd, the last one stays alone,
// or joins the last pair if it is narrower than the others: the last cell is 0.5 to 1.5 times as
// wide as the others on every grid. With widths m, centres of mass and links 1 / distance,
//   A = Ly x Mx + My x Lx + c My x Mx
// on every grid below the finest, which keeps its exact G. Interpolation is linear between the
// true centres, residuals of merged cells are added up. This keeps the convergence of even sizes
// for every size; grids that ignore the widths lose half of it and leave a stripe at the border.
//
// The smoother is two steps of the Chebyshev iteration of the fourth kind (Lottes 2023; Phillips
// and Fischer 2022), which needs only an upper bound of the spectrum of D^-1 A. A sweep does
// interpolation, both steps and the restricted residual while it streams through the rows once.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "core/parallel.h"
#include "ops/gaussian_poisson/multigrid_grids.h"
#include "ops/gaussian_poisson/rectangle.h"
#include "ops/gaussian_poisson/rhs_rows.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

using gaussian_poisson::Axis;
using gaussian_poisson::kCycleFactor;
using gaussian_poisson::kGain1;
using gaussian_poisson::kGain2;
using gaussian_poisson::kMomentum2;
using gaussian_poisson::MultigridParams;
using gaussian_poisson::MultigridResult;
using gaussian_poisson::Problem;

constexpr std::int64_t kBandRows = 64;       // rows of a task; even
constexpr std::int64_t kCoarsestCells = 64;  // solved directly
constexpr std::int64_t kPad = 16;            // floats before and after a row
// One axis of a grid, cell by cell.
struct AxisArrays {
  std::int64_t count = 0, coarse_count = 0;
  std::vector<float> size, before, after;  // width; links to the neighbours, zero at the ends
  std::vector<float> even, odd;            // shares of interpolation

  explicit AxisArrays(const Axis& axis) : count(axis.count), coarse_count(axis.coarse_count) {
    for (std::int64_t i = 0; i < count; ++i) {
      size.push_back(static_cast<float>(axis.width(i)));
      before.push_back(axis.link(i));
      after.push_back(axis.link(i + 1));
    }
  }
  void add_shares(const Axis& axis, const Axis& coarse) {
    for (std::int64_t i = 0; i < coarse.count; ++i) {
      even.push_back(gaussian_poisson::even_share(axis, coarse, i));
      odd.push_back(gaussian_poisson::odd_share(axis, coarse, i));
    }
  }
  std::int64_t owner(std::int64_t i) const { return std::min(i / 2, coarse_count - 1); }
};

struct Grid {
  AxisArrays y, x;
  std::int64_t pitch = 0;
  bool finest = false;
  Buffer<float> solution, other, rhs;  // [y.count, pitch]; the finest grid's rhs is elsewhere

  Grid(const Axis& y_axis, const Axis& x_axis) : y(y_axis), x(x_axis) {}
  std::int64_t cells() const { return y.count * x.count; }
};

// The largest magnitude. Compared as integers, which is the same order and vectorises; NaN is
// above everything.
class LargestMagnitude {
 public:
  void add(const float* __restrict row, std::int64_t n) {
    std::int32_t largest = bits_;
    for (std::int64_t i = 0; i < n; ++i) {
      std::int32_t bits;
      std::memcpy(&bits, row + i, sizeof(bits));
      bits &= 0x7fffffff;
      largest = bits > largest ? bits : largest;
    }
    bits_ = largest;
  }
  void add(const LargestMagnitude& other) { bits_ = std::max(bits_, other.bits_); }
  float value() const {
    float result;
    std::memcpy(&result, &bits_, sizeof(result));
    return result;
  }

 private:
  std::int32_t bits_ = 0;
};

struct Norms {
  LargestMagnitude residual, change;
};

// x = smooth(in + interpolate(coarse)), and what is wanted of it.
struct Sweep {
  const float* in = nullptr;      // null: zero
  const float* coarse = nullptr;  // null: zero
  const float* rhs = nullptr;
  float* start = nullptr;  // receives in + interpolate(coarse)
  float* out = nullptr;
  float* restricted = nullptr;    // receives the restricted residual of out
  const float* before = nullptr;  // for the norm of out - before; may be out
  bool residual = false;          // for the norm of the residual of in + interpolate(coarse)
  bool smooth = true;             // otherwise only norms
};

// Four rows, one after the other in a ring, each with mirrored ends.
class Ring {
 public:
  explicit Ring(std::int64_t width)
      : width_(width),
        pitch_((width + 2 * kPad + 15) / 16 * 16),
        memory_(static_cast<std::size_t>(4 * pitch_)) {}
  float* row(std::int64_t y) { return memory_.data() + (y & 3) * pitch_ + kPad; }
  float* mirrored(std::int64_t y) {
    float* r = row(y);
    r[-1] = r[0];
    r[width_] = r[width_ - 1];
    return r;
  }

 private:
  const std::int64_t width_, pitch_;
  Buffer<float> memory_;
};

class Multigrid {
 public:
  explicit Multigrid(const MultigridParams& params)
      : params_(params),
        problem_(params.problem),
        h_(params.height()),
        w_(params.width()),
        c_(params.channels()) {
    const double sum = problem_.w0 + 2 * problem_.w1;
    weight_ = problem_.weight * sum * sum;
    build();
  }

  MultigridResult run() {
    MultigridResult result;
    result.converged = true;
    form_rhs();
    for (std::int64_t k = 0; k < c_; ++k) solve_channel(k, result);
    store();
    result.peak_bytes = meter_.peak.load();
    return result;
  }

 private:
  void build() {
    Axis y = gaussian_poisson::pixel_axis(h_), x = gaussian_poisson::pixel_axis(w_);
    while (y.count * x.count > kCoarsestCells) {
      const Axis coarse_y = gaussian_poisson::coarsen(y), coarse_x = gaussian_poisson::coarsen(x);
      grids_.emplace_back(y, x);
      grids_.back().y.add_shares(y, coarse_y);
      grids_.back().x.add_shares(x, coarse_x);
      y = coarse_y;
      x = coarse_x;
    }
    grids_.emplace_back(y, x);
    grids_[0].finest = true;
    for (Grid& grid : grids_) {
      grid.pitch = (grid.x.count + 15) / 16 * 16;
      const std::size_t size = static_cast<std::size_t>(grid.y.count * grid.pitch);
      grid.solution = Buffer<float>(size, &meter_);
      if (&grid != &grids_.back()) grid.other = Buffer<float>(size, &meter_);
      if (!grid.finest) grid.rhs = Buffer<float>(size, &meter_);
    }
    planes_ = Buffer<float>(static_cast<std::size_t>(c_ * h_ * grids_[0].pitch), &meter_);
    factorise();
  }

  float* plane(std::int64_t k) { return planes_.data() + k * h_ * grids_[0].pitch; }

  // b of every channel, one plane each.
  void form_rhs() {
    constexpr std::int64_t kRows = 16;
    const std::int64_t pitch = grids_[0].pitch, blocks = (h_ + kRows - 1) / kRows;
    std::vector<double> sums(static_cast<std::size_t>(blocks * c_));
    parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        constexpr std::int64_t kStrip = 512;
        for (std::int64_t x0 = 0; x0 < w_; x0 += kStrip) {
          const std::int64_t x1 = std::min(w_, x0 + kStrip);
          RhsRows<float> rows(params_, x0, x1, &meter_);
          for (std::int64_t y = i * kRows; y < std::min(h_, (i + 1) * kRows); ++y) {
            const float* __restrict b = rows.next(y, sums.data() + i * c_);
            for (std::int64_t k = 0; k < c_; ++k) {
              float* __restrict to = plane(k) + y * pitch + x0;
              for (std::int64_t x = 0; x < x1 - x0; ++x) to[x] = b[x * c_ + k];
            }
          }
          rows.finish(sums.data() + i * c_);
        }
      }
    });
    std::vector<double> total(static_cast<std::size_t>(c_));
    for (std::size_t i = 0; i < sums.size(); ++i) total[i % c_] += sums[i];
    mean_ = gaussian_poisson::known_mean(params_, total);
  }

  void solve_channel(std::int64_t k, MultigridResult& result) {
    Grid& finest = grids_[0];
    const float* b = plane(k);
    std::vector<double> history;
    double estimate = 0;
    bool converged = true;
    int cycles = 0;
    if (grids_.size() == 1) {
      solve_coarsest(b);
    } else {
      converged = false;
      bool started = params_.start.data != nullptr;
      if (started) {
        load_start(k);
      } else {
        approximate(b);
      }
      double last_change = HUGE_VAL;
      while (cycles < params_.max_cycles && !converged) {
        Sweep down;
        down.rhs = b;
        down.residual = true;
        if (started) {
          down.in = finest.solution.data();
        } else {
          down.coarse = grids_[1].solution.data();
          down.start = finest.solution.data();
        }
        started = true;
        const Norms norms = cycle(0, down);
        history.push_back(norms.residual.value());
        ++cycles;
        const double change = norms.change.value();
        estimate = change / (1 - kCycleFactor);
        converged = estimate <= params_.tolerance;
        // Rounding: further cycles would not come closer.
        if (!converged && cycles > 2 && !(change < 0.7 * last_change)) break;
        last_change = change;
      }
      if (!started) {
        Sweep interpolation;
        interpolation.coarse = grids_[1].solution.data();
        interpolation.rhs = b;
        interpolation.start = finest.solution.data();
        interpolation.smooth = false;
        sweep(0, interpolation);
        estimate = HUGE_VAL;
      } else if (cycles == 0) {
        estimate = HUGE_VAL;
      }
    }
    set_mean(k);
    Sweep check;
    check.in = finest.solution.data();
    check.rhs = b;
    check.residual = true;
    check.smooth = false;
    history.push_back(sweep(0, check).residual.value());

    result.cycles = std::max(result.cycles, cycles);
    result.residual = std::max(result.residual, history.back());
    result.estimate = std::max(result.estimate, estimate);
    result.converged = result.converged && converged;
    // A channel that was done earlier counts with its last residual.
    std::vector<double>& all = result.residual_history;
    histories_.push_back(history);
    std::size_t length = 0;
    for (const auto& h : histories_) length = std::max(length, h.size());
    all.assign(length, 0.0);
    for (const auto& h : histories_) {
      for (std::size_t i = 0; i < length; ++i) {
        all[i] = std::max(all[i], h[std::min(i, h.size() - 1)]);
      }
    }
    // The answer takes the place of b until all channels are stored.
    std::memcpy(plane(k), finest.solution.data(),
                static_cast<std::size_t>(h_ * finest.pitch) * sizeof(float));
  }

  // Full multigrid: the solution of every grid below the finest, from the coarsest up.
  void approximate(const float* b) {
    for (std::size_t l = 1; l < grids_.size(); ++l) {
      restrict_rhs(l - 1, l == 1 ? b : grids_[l - 1].rhs.data());
    }
    solve_coarsest(grids_.back().rhs.data());
    for (std::size_t l = grids_.size() - 2; l >= 1; --l) {
      Sweep down;
      down.coarse = grids_[l + 1].solution.data();
      down.rhs = grids_[l].rhs.data();
      cycle(l, down);
    }
  }

  // V(2,2) on grid l; `down` says where it starts.
  Norms cycle(std::size_t l, Sweep down) {
    Grid& grid = grids_[l];
    Grid& next = grids_[l + 1];
    down.out = grid.other.data();
    down.restricted = next.rhs.data();
    Norms norms = sweep(l, down);
    if (l + 2 == grids_.size()) {
      solve_coarsest(next.rhs.data());
    } else {
      Sweep from_zero;
      from_zero.rhs = next.rhs.data();
      cycle(l + 1, from_zero);
    }
    Sweep up;
    up.in = grid.other.data();
    up.coarse = next.solution.data();
    up.rhs = down.rhs;
    up.out = grid.solution.data();
    if (l == 0) up.before = grid.solution.data();
    norms.change = sweep(l, up).change;
    return norms;
  }

  Norms sweep(std::size_t l, const Sweep& s) {
    const Grid& grid = grids_[l];
    // A last row of its own goes with the band before, as it may share its coarse row.
    const std::int64_t bands =
        std::max<std::int64_t>(1, (grid.y.count + kBandRows - 2) / kBandRows);
    std::vector<Norms> norms(static_cast<std::size_t>(bands));
    parallel_for(bands, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t y0 = i * kBandRows, y1 = i + 1 < bands ? y0 + kBandRows : grid.y.count;
        norms[i] = grid.finest ? sweep_band<true>(l, s, y0, y1) : sweep_band<false>(l, s, y0, y1);
      }
    });
    Norms all;
    for (const Norms& n : norms) {
      all.residual.add(n.residual);
      all.change.add(n.change);
    }
    return all;
  }

  // The rows [y0, y1). Stages follow each other one row apart: start, two steps, residual.
  template <bool kFinest>
  Norms sweep_band(std::size_t l, const Sweep& s, std::int64_t y0, std::int64_t y1) {
    const Grid& grid = grids_[l];
    const std::int64_t h = grid.y.count, w = grid.x.count, pitch = grid.pitch;
    const std::int64_t halo = !s.smooth ? 1 : s.restricted ? 3 : 2;
    Norms norms;
    Ring start(w), first(w), second(w), step(w), scratch(w);
    Buffer<float> inverse(static_cast<std::size_t>(pitch));
    const std::int64_t begin = std::max<std::int64_t>(0, y0 - halo);
    auto lower = [&](std::int64_t margin) { return std::max<std::int64_t>(0, y0 - margin); };
    auto upper = [&](std::int64_t margin) { return std::min(h, y1 + margin); };
    auto within = [&](std::int64_t y, std::int64_t margin) {
      return margin >= 0 && y >= lower(margin) && y < upper(margin);
    };
    auto neighbours = [&](Ring& ring, std::int64_t y, const float** rows) {
      rows[0] = ring.row(std::max<std::int64_t>(0, y - 1));
      rows[1] = ring.row(y);
      rows[2] = ring.row(std::min(h - 1, y + 1));
    };
    double inverse_key[3] = {-1, -1, -1};
    const float* rows[3];
    for (std::int64_t i = begin; i < upper(halo) + 3; ++i) {
      if (i < upper(halo)) {
        float* row = start.row(i);
        if (s.in) {
          std::memcpy(row, s.in + i * pitch, static_cast<std::size_t>(w) * sizeof(float));
        } else {
          std::memset(row, 0, static_cast<std::size_t>(w) * sizeof(float));
        }
        if (s.coarse) interpolate(l, s.coarse, i, scratch, row);
        if (s.start && within(i, 0)) {
          std::memcpy(s.start + i * pitch, row, static_cast<std::size_t>(w) * sizeof(float));
        }
        start.mirrored(i);
      }
      if (const std::int64_t y = i - 1; y >= 0 && within(y, halo - 1)) {
        neighbours(start, y, rows);
        float* __restrict r = scratch.row(0);
        residual_row<kFinest>(grid, y, rows, s.rhs + y * pitch, r);
        if (s.residual && within(y, 0)) norms.residual.add(r, w);
        if (s.smooth) {
          inverse_diagonal(grid, y, inverse_key, inverse.data());
          const float* __restrict x0 = rows[1];
          const float* __restrict d = inverse.data();
          float* __restrict x1 = first.row(y);
          float* __restrict p = step.row(y);
          for (std::int64_t j = 0; j < w; ++j) {
            p[j] = kGain1 * d[j] * r[j];
            x1[j] = x0[j] + p[j];
          }
          first.mirrored(y);
        }
      }
      if (!s.smooth) continue;
      if (const std::int64_t y = i - 2; y >= 0 && within(y, halo - 2)) {
        neighbours(first, y, rows);
        float* __restrict r = scratch.row(0);
        residual_row<kFinest>(grid, y, rows, s.rhs + y * pitch, r);
        inverse_diagonal(grid, y, inverse_key, inverse.data());
        const float* __restrict x1 = rows[1];
        const float* __restrict p = step.row(y);
        const float* __restrict d = inverse.data();
        float* __restrict x2 = second.row(y);
        for (std::int64_t j = 0; j < w; ++j) {
          x2[j] = x1[j] + (kMomentum2 * p[j] + kGain2 * d[j] * r[j]);
        }
        second.mirrored(y);
        if (within(y, 0)) {
          if (s.before) {
            const float* __restrict before = s.before + y * pitch;
            for (std::int64_t j = 0; j < w; ++j) r[j] = x2[j] - before[j];
            norms.change.add(r, w);
          }
          std::memcpy(s.out + y * pitch, x2, static_cast<std::size_t>(w) * sizeof(float));
        }
      }
      if (const std::int64_t y = i - 3; s.restricted && y >= 0 && within(y, 0)) {
        neighbours(second, y, rows);
        const Grid& next = grids_[l + 1];
        const std::int64_t owner = grid.y.owner(y);
        float* __restrict sum = scratch.row(2);
        float* __restrict r = y == 2 * owner ? sum : scratch.row(0);
        residual_row<kFinest>(grid, y, rows, s.rhs + y * pitch, r);
        if (r != sum) {
          for (std::int64_t j = 0; j < w; ++j) sum[j] += r[j];
        }
        if (y + 1 == h || grid.y.owner(y + 1) != owner) {
          merge_columns(grid, sum, s.restricted + owner * next.pitch);
        }
      }
    }
    return norms;
  }

  // Sums of the cells that each coarse cell owns. row[-1] to row[w] are writable.
  static void merge_columns(const Grid& grid, float* __restrict row, float* __restrict to) {
    const std::int64_t w = grid.x.count, n = grid.x.coarse_count;
    row[w] = 0;
    for (std::int64_t j = 0; j < n; ++j) to[j] = row[2 * j] + row[2 * j + 1];
    if (w > 2 * n) to[n - 1] += row[w - 1];
  }

  // r = b - A x of row y, from the rows above, at and below it.
  template <bool kFinest>
  void residual_row(const Grid& grid, std::int64_t y, const float* const* rows,
                    const float* __restrict b, float* __restrict r) {
    const std::int64_t w = grid.x.count;
    const float* __restrict x0 = rows[0];
    const float* __restrict x1 = rows[1];
    const float* __restrict x2 = rows[2];
    if constexpr (kFinest) {
      const float diagonal = static_cast<float>(weight_);
      const float edge = static_cast<float>(1 - problem_.weight * problem_.w0 * problem_.w1);
      const float corner = static_cast<float>(-problem_.weight * problem_.w1 * problem_.w1);
      for (std::int64_t j = 0; j < w; ++j) {
        const float x = x1[j];
        const float edges = 4 * x - (x0[j] + x2[j]) - (x1[j - 1] + x1[j + 1]);
        const float corners = 4 * x - (x0[j - 1] + x2[j - 1]) - (x0[j + 1] + x2[j + 1]);
        r[j] = b[j] - (diagonal * x + (edge * edges + corner * corners));
      }
    } else {
      const float above = grid.y.before[y], below = grid.y.after[y], height = grid.y.size[y];
      const float diagonal = static_cast<float>(weight_) * height;
      const float* __restrict left = grid.x.before.data();
      const float* __restrict right = grid.x.after.data();
      const float* __restrict size = grid.x.size.data();
      for (std::int64_t j = 0; j < w; ++j) {
        const float x = x1[j];
        const float vertical = above * (x - x0[j]) + below * (x - x2[j]) + diagonal * x;
        const float horizontal = left[j] * (x - x1[j - 1]) + right[j] * (x - x1[j + 1]);
        r[j] = b[j] - (size[j] * vertical + height * horizontal);
      }
    }
  }

  // 1 / D of row y; most rows share it.
  void inverse_diagonal(const Grid& grid, std::int64_t y, double* key, float* __restrict out) {
    const double links = static_cast<double>(grid.y.before[y]) + grid.y.after[y];
    const double size = grid.y.size[y];
    const double missing = 2.0 - (y > 0) - (y + 1 < grid.y.count);
    if (key[0] == links && key[1] == size && key[2] == missing) return;
    key[0] = links;
    key[1] = size;
    key[2] = missing;
    const std::int64_t n = grid.x.count;
    const double tap_y = problem_.w0 + problem_.w1 * missing;
    for (std::int64_t j = 0; j < n; ++j) {
      const double across = static_cast<double>(grid.x.before[j]) + grid.x.after[j];
      double diagonal = links * grid.x.size[j] + size * across;
      if (grid.finest) {
        const double tap_x = problem_.w0 + problem_.w1 * (2.0 - (j > 0) - (j + 1 < n));
        diagonal += problem_.weight * tap_y * tap_x;
      } else {
        diagonal += weight_ * size * grid.x.size[j];
      }
      out[j] = static_cast<float>(1.0 / diagonal);
    }
  }

  // Adds row y of the interpolated solution of grid l + 1.
  void interpolate(std::size_t l, const float* coarse, std::int64_t y, Ring& scratch,
                   float* __restrict row) {
    const Grid& grid = grids_[l];
    const Grid& next = grids_[l + 1];
    const std::int64_t n = next.x.count, w = grid.x.count, i = grid.y.owner(y);
    const float share = y == 2 * i ? grid.y.even[i] : y == 2 * i + 1 ? grid.y.odd[i] : 0.0f;
    const std::int64_t other = share == 0 ? i : y == 2 * i ? i - 1 : i + 1;
    const float* __restrict near = coarse + i * next.pitch;
    const float* __restrict far = coarse + other * next.pitch;
    float* __restrict q = scratch.row(0);
    for (std::int64_t j = 0; j < n; ++j) q[j] = near[j] + share * (far[j] - near[j]);
    q[-1] = q[0];
    q[n] = q[n - 1];
    const float* __restrict even = grid.x.even.data();
    const float* __restrict odd = grid.x.odd.data();
    for (std::int64_t j = 0; j < w / 2; ++j) {
      row[2 * j] += q[j] + even[j] * (q[j - 1] - q[j]);
      row[2 * j + 1] += q[j] + odd[j] * (q[j + 1] - q[j]);
    }
    if (w > 2 * n) row[w - 1] += q[n - 1];
    if (w < 2 * n) row[w - 1] += q[n - 1] + even[n - 1] * (q[n - 2] - q[n - 1]);
  }

  // The right-hand side of grid l + 1 from that of grid l.
  void restrict_rhs(std::size_t l, const float* from) {
    const Grid& grid = grids_[l];
    Grid& next = grids_[l + 1];
    const std::int64_t w = grid.x.count, n = next.y.count;
    parallel_for(n, 16, [&](std::int64_t begin, std::int64_t end) {
      Ring scratch(w);
      float* __restrict sum = scratch.row(0);
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t last = i + 1 < n ? 2 * i + 1 : grid.y.count - 1;
        std::memcpy(sum, from + 2 * i * grid.pitch, static_cast<std::size_t>(w) * sizeof(float));
        for (std::int64_t y = 2 * i + 1; y <= last; ++y) {
          const float* __restrict row = from + y * grid.pitch;
          for (std::int64_t j = 0; j < w; ++j) sum[j] += row[j];
        }
        merge_columns(grid, sum, next.rhs.data() + i * next.pitch);
      }
    });
  }

  // Cholesky factor of the coarsest grid's matrix; with weight 0, of its sum with the projection
  // onto constants, whose inverse agrees with the pseudo-inverse where the rhs sums to zero.
  void factorise() {
    const Grid& grid = grids_.back();
    const std::int64_t h = grid.y.count, w = grid.x.count, n = h * w;
    factor_.assign(static_cast<std::size_t>(n * n), 0.0);
    auto tap = [&](const AxisArrays& axis, std::int64_t i, std::int64_t j) {
      if (i != j) return std::abs(i - j) == 1 ? problem_.w1 : 0.0;
      return problem_.w0 + problem_.w1 * (2.0 - (i > 0) - (i + 1 < axis.count));
    };
    auto laplace = [](const AxisArrays& axis, std::int64_t i, std::int64_t j) {
      if (i == j) return static_cast<double>(axis.before[i]) + axis.after[i];
      return i - j == 1   ? -static_cast<double>(axis.before[i])
             : j - i == 1 ? -static_cast<double>(axis.after[i])
                          : 0.0;
    };
    auto size = [](const AxisArrays& axis, std::int64_t i, std::int64_t j) {
      return i == j ? static_cast<double>(axis.size[i]) : 0.0;
    };
    for (std::int64_t a = 0; a < n; ++a) {
      for (std::int64_t b = 0; b <= a; ++b) {
        const std::int64_t y = a / w, v = b / w, x = a % w, u = b % w;
        double value =
            laplace(grid.y, y, v) * size(grid.x, x, u) + size(grid.y, y, v) * laplace(grid.x, x, u);
        value += grid.finest ? problem_.weight * tap(grid.y, y, v) * tap(grid.x, x, u)
                             : weight_ * size(grid.y, y, v) * size(grid.x, x, u);
        if (problem_.weight == 0) value += 1.0 / static_cast<double>(n);
        factor_[a * n + b] = value;
      }
    }
    for (std::int64_t a = 0; a < n; ++a) {
      for (std::int64_t b = 0; b <= a; ++b) {
        double value = factor_[a * n + b];
        for (std::int64_t k = 0; k < b; ++k) value -= factor_[a * n + k] * factor_[b * n + k];
        factor_[a * n + b] = a == b ? std::sqrt(value) : value / factor_[b * n + b];
      }
    }
  }

  void solve_coarsest(const float* rhs) {
    Grid& grid = grids_.back();
    const std::int64_t h = grid.y.count, w = grid.x.count, n = h * w;
    std::vector<double> x(static_cast<std::size_t>(n));
    double mean = 0;
    for (std::int64_t a = 0; a < n; ++a) {
      x[a] = rhs[a / w * grid.pitch + a % w];
      mean += x[a] / static_cast<double>(n);
    }
    if (problem_.weight == 0) {
      for (double& value : x) value -= mean;
    }
    for (std::int64_t a = 0; a < n; ++a) {
      for (std::int64_t k = 0; k < a; ++k) x[a] -= factor_[a * n + k] * x[k];
      x[a] /= factor_[a * n + a];
    }
    for (std::int64_t a = n - 1; a >= 0; --a) {
      for (std::int64_t k = a + 1; k < n; ++k) x[a] -= factor_[k * n + a] * x[k];
      x[a] /= factor_[a * n + a];
    }
    for (std::int64_t a = 0; a < n; ++a) {
      grid.solution[a / w * grid.pitch + a % w] = static_cast<float>(x[a]);
    }
  }

  void load_start(std::int64_t k) {
    ImageView view = params_.start;
    view.data = static_cast<char*>(view.data) + k * view.channel_stride * dtype_size(view.dtype);
    view.channels = 1;
    view.channel_stride = 1;
    Grid& finest = grids_[0];
    parallel_for(h_, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y) {
        load_row(view, y, finest.solution.data() + y * finest.pitch);
      }
    });
  }

  void set_mean(std::int64_t k) {
    Grid& finest = grids_[0];
    std::vector<double> sums(static_cast<std::size_t>(h_));
    parallel_for(h_, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y) {
        ChannelSums sum(1);
        sum.add(finest.solution.data() + y * finest.pitch, w_, &sums[y]);
        sum.finish(&sums[y]);
      }
    });
    double total = 0;
    for (double sum : sums) total += sum;
    const float add =
        static_cast<float>(mean_[k] - total / (static_cast<double>(h_) * static_cast<double>(w_)));
    parallel_for(h_, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y) {
        float* __restrict row = finest.solution.data() + y * finest.pitch;
        for (std::int64_t x = 0; x < w_; ++x) row[x] += add;
      }
    });
  }

  void store() {
    const std::int64_t pitch = grids_[0].pitch;
    parallel_for(h_, 16, [&](std::int64_t begin, std::int64_t end) {
      Buffer<float> pixels(static_cast<std::size_t>(w_ * c_), &meter_);
      for (std::int64_t y = begin; y < end; ++y) {
        for (std::int64_t k = 0; k < c_; ++k) {
          const float* __restrict from = plane(k) + y * pitch;
          float* __restrict to = pixels.data() + k;
          for (std::int64_t x = 0; x < w_; ++x) to[x * c_] = from[x];
        }
        store_row(pixels.data(), params_.out, y);
      }
    });
  }

  const MultigridParams& params_;
  const Problem& problem_;
  const std::int64_t h_, w_, c_;
  double weight_ = 0;  // times the sum of G's taps
  MemoryMeter meter_;
  std::vector<Grid> grids_;
  Buffer<float> planes_;
  std::vector<double> factor_, mean_;
  std::vector<std::vector<double>> histories_;
};

}  // namespace

MultigridResult gaussian_poisson_multigrid(const MultigridParams& params) {
  return Multigrid(params).run();
}

}  // namespace pyharmony::HM_SIMD_NS
