// The set-up of a hierarchy: box, spans, coarse operators, coarsest inverse.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/dispatch.h"
#include "core/parallel.h"
#include "ops/poisson/bands.h"
#include "ops/poisson/poisson.h"

namespace pyharmony::poisson {
namespace {

// A level of at most this many unknowns is solved with its inverse.
constexpr std::int64_t kDirectNodes = 96;

constexpr int round_up(int n) { return (n + kPad - 1) / kPad * kPad; }

void shape_level(Level& level, int height, int width) {
  LevelView& view = level.view;
  view.height = height;
  view.width = width;
  // The stride is an odd number of cache lines: rows of a power of two would share cache sets.
  view.stride = (kPad + round_up(width)) / kPad | 1;
  view.stride *= kPad;
  level.spans.assign(static_cast<std::size_t>(height) * 4, 0);
  level.zero_row = Buffer<float>::zeros(static_cast<std::size_t>(view.stride + kPad));
  view.zero_row = level.zero_row.data() + kPad;
  view.lo = level.spans.data();
  view.hi = view.lo + height;
  view.wide_lo = view.hi + height;
  view.wide_hi = view.wide_lo + height;
}

// Completes the spans from the first and one past the last unknown of each row, in lo and hi.
void finish_spans(Level& level) {
  const int height = level.view.height;
  int* lo = level.spans.data();
  int *hi = lo + height, *wide_lo = hi + height, *wide_hi = wide_lo + height;
  for (int i = 0; i < height; ++i) {
    if (lo[i] >= hi[i]) {
      lo[i] = hi[i] = 0;
    } else {
      lo[i] = lo[i] / kPad * kPad;
      hi[i] = round_up(hi[i]);
    }
  }
  for (int i = 0; i < height; ++i) {
    int from = std::numeric_limits<int>::max(), to = -1;
    for (int k = std::max(i - 1, 0); k <= std::min(i + 1, height - 1); ++k) {
      if (lo[k] >= hi[k]) continue;
      from = std::min(from, lo[k] - kPad);
      to = std::max(to, hi[k] + kPad);
    }
    wide_lo[i] = to < 0 ? 0 : from;
    wide_hi[i] = to < 0 ? 0 : to;
  }
}

double map_value(const ImageView& map, std::int64_t y, std::int64_t x) {
  return map.dtype == DType::kFloat64 ? *map.at<double>(y, x, 0) : *map.at<float>(y, x, 0);
}

bool is_active(const LevelView& view, int i, int j) {
  const std::ptrdiff_t at = i * view.stride + j;
  return view.stencil == Stencil::kNine ? view.inverse[at] != 0 : view.active[at] != 0;
}

// Returns the entry of A between node (i, j) and the node dy rows below and dx columns right of it.
double coefficient(const LevelView& view, int i, int j, int dy, int dx) {
  if (view.stencil == Stencil::kNine) {
    if (dy < 0 || (dy == 0 && dx < 0)) return coefficient(view, i + dy, j + dx, -dy, -dx);
    const std::ptrdiff_t at = i * view.stride + j;
    if (dy == 0) return dx == 0 ? view.c[at] : view.e[at];
    return dx < 0 ? view.sw[at] : dx == 0 ? view.s[at] : view.se[at];
  }
  if (dy != 0 && dx != 0) return 0;
  if (dy != 0 || dx != 0) return -1;
  const double excess =
      view.stencil == Stencil::kFiveMap ? view.excess[i * view.stride + j] : view.excess_all;
  const double links = view.stencil == Stencil::kFive ? 4 : view.links[j];
  return links - (view.mirror_top && i == 0) - (view.mirror_bottom && i == view.height - 1) +
         excess;
}

}  // namespace

std::size_t scratch_floats(const LevelView& level) {
  constexpr std::size_t kMostRows = 26;
  return kMostRows * static_cast<std::size_t>(level.stride) + kPad;
}

int band_rows(const LevelView& level) {
  constexpr int kRows = 64, kPixels = 16384;
  return std::max(kRows, kPixels / level.width / 2 * 2);
}

int band_count(const LevelView& level) {
  const int rows = band_rows(level);
  return (level.height + rows - 1) / rows;
}

Hierarchy::Hierarchy(const ImageView& mask, double weight, const ImageView& weight_map, double w0,
                     double w1)
    : height_(static_cast<int>(mask.height)),
      width_(static_cast<int>(mask.width)),
      weight_(weight),
      w0_(w0),
      w1_(w1) {
  HM_CHECK(mask.height > 0 && mask.width > 0 && mask.channels == 1, "mask: shape [", mask.height,
           ", ", mask.width, ", ", mask.channels, "], expected [H, W] with pixels");
  HM_CHECK(mask.height < (1 << 28) && mask.width < (1 << 28), "mask: shape [", mask.height, ", ",
           mask.width, "] is too large");
  HM_CHECK(weight >= 0 && std::isfinite(weight), "weight: ", weight, ", expected at least 0");
  HM_CHECK(w0 > 0 && w1 >= 0, "w0, w1: ", w0, ", ", w1, ", expected taps of a Gaussian");
  if (weight_map.data != nullptr) {
    HM_CHECK(weight_map.dtype == DType::kFloat32 || weight_map.dtype == DType::kFloat64,
             "weight_map: dtype ", dtype_name(weight_map.dtype), ", expected float32 or float64");
    HM_CHECK(weight_map.height == mask.height && weight_map.width == mask.width &&
                 weight_map.channels == 1,
             "weight_map: shape [", weight_map.height, ", ", weight_map.width, "], expected [",
             mask.height, ", ", mask.width, "]");
  }
  build_finest(mask, weight_map);
  if (levels_.empty()) return;
  while (build_coarser()) {
  }
  factor_coarsest();
}

void Hierarchy::build_finest(const ImageView& mask, const ImageView& weight_map) {
  // These are the first and one past the last unknown of each row of the image.
  std::vector<int> first(static_cast<std::size_t>(height_), 0);
  std::vector<int> last(static_cast<std::size_t>(height_), mask.data == nullptr ? width_ : 0);
  if (mask.data != nullptr) {
    dispatch_any(mask.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      parallel_each(height_, 64, [&](std::int64_t y) {
        const T* row = mask.at<T>(y, 0, 0);
        int a = 0, b = width_;
        while (a < width_ && !(to_real<float>(row[a * mask.col_stride]) > 0)) ++a;
        while (b > a && !(to_real<float>(row[(b - 1) * mask.col_stride]) > 0)) --b;
        first[y] = a;
        last[y] = b;
      });
    });
  }
  int top = height_, bottom = 0, left = width_, right = 0;
  for (int y = 0; y < height_; ++y) {
    if (first[y] >= last[y]) continue;
    top = std::min(top, y);
    bottom = y + 1;
    left = std::min(left, first[y]);
    right = std::max(right, last[y]);
  }
  if (top >= bottom) return;  // nothing is unknown
  top_ = top;
  left_ = left;
  const int height = bottom - top, width = right - left;
  levels_.push_back(std::make_unique<Level>());
  Level& level = *levels_.back();
  shape_level(level, height, width);
  LevelView& view = level.view;
  level.bottom = bottom == height_;
  level.right = right == width_;
  for (int i = 0; i < height; ++i) {
    level.spans[i] = first[top + i] - left;
    level.spans[height + i] = last[top + i] - left;
  }
  finish_spans(level);

  level.active = Buffer<std::int8_t>(level.plane_floats());
  std::int8_t* active = level.active.data() + level.origin();
  view.active = active;
  std::vector<std::int64_t> counts(static_cast<std::size_t>(height), 0);
  std::memset(level.active.data(), 0, static_cast<std::size_t>(view.stride));
  std::memset(active - kPad + height * view.stride, 0,
              static_cast<std::size_t>(view.stride) + kPad);
  parallel_each(height, 64, [&](std::int64_t i) {
    std::int8_t* __restrict row = active + i * view.stride;
    std::memset(row - kPad, 0, static_cast<std::size_t>(view.stride));
    const int a = first[top + i], b = last[top + i];
    std::int64_t count = 0;
    if (mask.data == nullptr) {
      std::memset(row, -1, static_cast<std::size_t>(width));
      count = width;
    } else {
      dispatch_any(mask.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const T* __restrict in = mask.at<T>(top + i, 0, 0);
        for (int x = a; x < b; ++x) {
          const bool inside = to_real<float>(in[x * mask.col_stride]) > 0;
          row[x - left] = static_cast<std::int8_t>(-static_cast<int>(inside));
          count += inside;
        }
      });
    }
    counts[i] = count;
  });
  for (std::int64_t count : counts) unknowns_ += count;

  const bool map = weight_map.data != nullptr;
  HM_CHECK(unknowns_ < std::int64_t(height_) * width_ || weight_ > 0 || map,
           "mask: it covers the whole image and the weight is 0: nothing fixes the mean");
  if (map) {
    map_top_ = std::max(top - 1, 0);
    map_left_ = std::max(left - 1, 0);
    map_height_ = std::min(bottom + 1, height_) - map_top_;
    map_width_ = std::min(right + 1, width_) - map_left_;
    map_ = Buffer<double>(static_cast<std::size_t>(map_height_) * map_width_);
    for (int i = 0; i < map_height_; ++i) {
      for (int j = 0; j < map_width_; ++j) {
        map_[static_cast<std::size_t>(i) * map_width_ + j] =
            map_value(weight_map, map_top_ + i, map_left_ + j);
      }
    }
  }
  view.merge_bottom = level.bottom && height % 2 == 0;
  view.merge_right = level.right && width % 2 == 0;
  if (w1_ > 0 && (map || weight_ > 0)) {
    view.stencil = Stencil::kNine;
    build_finest_nine(weight_map);
    return;
  }
  view.mirror_top = top == 0;
  view.mirror_bottom = level.bottom;
  const bool touches = left == 0 || level.right;
  view.excess_all = static_cast<float>(weight_ * w0_ * w0_);
  view.inverse_all = 0.5f / (4 + view.excess_all);
  view.stencil = map ? Stencil::kFiveMap : touches ? Stencil::kFiveColumns : Stencil::kFive;
  if (!map && !touches) return;
  level.columns = Buffer<float>::zeros(3 * view.stride + kPad);
  float* on_left = level.columns.data() + kPad;
  float* on_right = on_left + view.stride;
  float* links = on_right + view.stride;
  view.left = on_left;
  view.right = on_right;
  view.links = links;
  for (int j = 0; j < width; ++j) {
    on_left[j] = left > 0 || j > 0;
    on_right[j] = !level.right || j < width - 1;
    links[j] = 2 + on_left[j] + on_right[j];
  }
  if (!map) return;
  level.excess = Buffer<float>::zeros(level.plane_floats());
  float* excess = level.excess.data() + level.origin();
  view.excess = excess;
  for (int i = 0; i < height; ++i) {
    for (int j = 0; j < width; ++j) {
      const double weight = map_value(weight_map, top + i, left + j);
      excess[i * view.stride + j] = static_cast<float>(weight * w0_ * w0_);
    }
  }
  level.coefficients = Buffer<float>::zeros(level.plane_floats());
  float* inverse = level.coefficients.data() + level.origin();
  view.inverse = inverse;
  for (int i = 0; i < height; ++i) {
    for (int j = 0; j < width; ++j) {
      const std::ptrdiff_t at = i * view.stride + j;
      inverse[at] = active[at] ? 0.5f / std::max(links[j] + excess[at], 3.0f) : 0.0f;
    }
  }
}

// Turns the plane that holds 1 where a node is active into the smoother's inverse diagonal. With D
// at least half the absolute row sums, D^-1 A has no eigenvalue above 2 (Gershgorin), and the
// factor 2 is part of the stored inverse.
static void invert_diagonal(const LevelView& view, float* inverse) {
  parallel_each(view.height, band_rows(view), [&](std::int64_t i) {
    const std::ptrdiff_t row = i * view.stride;
    const float* __restrict c = view.c + row, * __restrict e = view.e + row;
    const float* __restrict s = view.s + row, * __restrict se = view.se + row;
    const float* __restrict sw = view.sw + row, * __restrict su = s - view.stride;
    const float* __restrict seu = se - view.stride, * __restrict swu = sw - view.stride;
    float* __restrict out = inverse + row;
    for (int j = view.lo[i]; j < view.hi[i]; ++j) {
      const float beside = std::abs(e[j]) + std::abs(e[j - 1]) + std::abs(s[j]) + std::abs(su[j]) +
                           std::abs(se[j]) + std::abs(seu[j - 1]) + std::abs(sw[j]) +
                           std::abs(swu[j + 1]);
      const float bound = c[j] + std::max(c[j], beside);
      out[j] = out[j] != 0 ? kSmootherBound / bound : 0.0f;
    }
  });
}

void Hierarchy::build_finest_nine(const ImageView& weight_map) {
  Level& level = *levels_.back();
  LevelView& view = level.view;
  constexpr int kPlanes = 7;
  const std::size_t plane = level.plane_floats();
  level.coefficients = Buffer<float>::zeros(kPlanes * plane);
  const Coefficients to(level.coefficients.data() + level.origin(), plane);
  to.show(view);
  float* row_sum = to.inverse + plane;
  view.row_sum = row_sum;
  const bool map = weight_map.data != nullptr;
  const double side = w0_ * w1_, corner = w1_ * w1_, sum = (w0_ + 2 * w1_) * (w0_ + 2 * w1_);
  parallel_each(view.height, 16, [&](std::int64_t row) {
    const int i = static_cast<int>(row), y = top_ + i;
    for (int j = view.lo[i]; j < std::min(view.hi[i], view.width); ++j) {
      const std::ptrdiff_t at = i * view.stride + j;
      if (!view.active[at]) continue;
      const int x = left_ + j;
      const double own = map ? map_value(weight_map, y, x) : weight_;
      // A link of G through the mirrored border ends at the pixel it is mirrored to.
      double link[3][3] = {};
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) {
          const int ny = std::clamp(y + dy, 0, height_ - 1), nx = std::clamp(x + dx, 0, width_ - 1);
          if (ny == y && nx == x) continue;
          const double weight = map ? map_value(weight_map, ny, nx) : weight_;
          const bool edge = dy == 0 || dx == 0;
          link[ny - y + 1][nx - x + 1] += edge - std::min(own, weight) * (edge ? side : corner);
        }
      }
      double rest = sum * own, diagonal = 0;
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) {
          if (dy == 0 && dx == 0) continue;
          const bool unknown = i + dy >= 0 && i + dy < view.height && j + dx >= 0 &&
                               j + dx < view.width && view.active[at + dy * view.stride + dx];
          (unknown ? diagonal : rest) += link[dy + 1][dx + 1];
          if (!unknown) link[dy + 1][dx + 1] = 0;
        }
      }
      to.c[at] = static_cast<float>(rest + diagonal);
      row_sum[at] = static_cast<float>(rest);
      to.e[at] = static_cast<float>(-link[1][2]);
      to.s[at] = static_cast<float>(-link[2][1]);
      to.se[at] = static_cast<float>(-link[2][2]);
      to.sw[at] = static_cast<float>(-link[2][0]);
      to.inverse[at] = 1;
    }
  });
  invert_diagonal(view, to.inverse);
}

bool Hierarchy::build_coarser() {
  const Level& fine = *levels_.back();
  const LevelView& fine_view = fine.view;
  const std::int64_t nodes = levels_.size() == 1 ? unknowns_ : nodes_count_;
  if (nodes <= kDirectNodes) return false;
  auto next = std::make_unique<Level>();
  Level& level = *next;
  LevelView& view = level.view;
  shape_level(level, coarse_size(fine_view.height), coarse_size(fine_view.width));
  view.stencil = Stencil::kNine;
  level.bottom = fine.bottom;
  level.right = fine.right;
  view.merge_bottom = level.bottom && view.height % 2 == 0;
  view.merge_right = level.right && view.width % 2 == 0;
  constexpr int kPlanes = 6;
  const std::size_t plane = level.plane_floats();
  level.coefficients = Buffer<float>(kPlanes * plane);
  const Coefficients to(level.coefficients.data() + level.origin(), plane);
  const int rows = band_rows(view);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(band_count(view)), 0);
  for (int p = 0; p < kPlanes; ++p) {  // These are the rows above and below.
    float* start = level.coefficients.data() + p * plane;
    std::fill(start, start + view.stride, 0.0f);
    std::fill(start + (view.height + 1) * view.stride, start + plane, 0.0f);
  }
  parallel_for(view.height, rows, [&](std::int64_t begin, std::int64_t end) {
    for (int p = 0; p < kPlanes; ++p) {
      float* start = level.coefficients.data() + p * plane;
      std::fill(start + (begin + 1) * view.stride, start + (end + 1) * view.stride, 0.0f);
    }
    std::int64_t count = 0;
    for (int i = static_cast<int>(begin); i < end; ++i) {
      float* __restrict row = to.inverse + i * view.stride;
      const int from = fine_view.lo[2 * i] / 2;
      const int to = std::min((fine_view.hi[2 * i] + 1) / 2, view.width);
      int first = view.width, last = 0;
      for (int j = from; j < to; ++j) {
        const bool active = is_active(fine_view, 2 * i, 2 * j);
        row[j] = active ? 1.0f : 0.0f;
        count += active;
        if (active) {
          first = std::min(first, j);
          last = j + 1;
        }
      }
      level.spans[i] = first;
      level.spans[view.height + i] = last;
    }
    counts[begin / rows] = count;
  });
  std::int64_t count = 0;
  for (std::int64_t c : counts) count += c;
  if (count == 0) return false;
  finish_spans(level);
  to.show(view);
  const CoarsenPass pass = {fine_view, view, to};
  parallel_for(view.height, rows, [&](std::int64_t begin, std::int64_t end) {
    Buffer<float> scratch(scratch_floats(fine_view));
    HM_SIMD_CALL(poisson_coarsen, pass, static_cast<int>(begin), static_cast<int>(end),
                 scratch.data());
  });
  invert_diagonal(view, to.inverse);
  nodes_count_ = count;
  levels_.push_back(std::move(next));
  return true;
}

void Hierarchy::factor_coarsest() {
  const LevelView& view = levels_.back()->view;
  const std::int64_t nodes = levels_.size() == 1 ? unknowns_ : nodes_count_;
  if (nodes > kDirectNodes) return;  // No node has a coarser one: smoothing alone must do.
  std::vector<std::pair<int, int>> at;
  std::vector<int> index(static_cast<std::size_t>(view.height) * view.width, -1);
  for (int i = 0; i < view.height; ++i) {
    for (int j = 0; j < view.width; ++j) {
      if (!is_active(view, i, j)) continue;
      index[static_cast<std::size_t>(i) * view.width + j] = static_cast<int>(at.size());
      at.emplace_back(i, j);
      nodes_.push_back(i * view.stride + j);
    }
  }
  const std::size_t n = at.size();
  std::vector<double> l(n * n, 0.0);
  std::vector<std::size_t> ends(n);  // one past the last entry of a row of l
  for (std::size_t k = 0; k < n; ++k) {
    const auto [i, j] = at[k];
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        const int y = i + dy, x = j + dx;
        if (y < 0 || x < 0 || y >= view.height || x >= view.width) continue;
        const int m = index[static_cast<std::size_t>(y) * view.width + x];
        if (m < 0) continue;
        l[k * n + m] = coefficient(view, i, j, dy, dx);
        ends[k] = std::max(ends[k], static_cast<std::size_t>(m) + 1);
      }
    }
  }
  // A Cholesky factorisation, in rows of the upper factor, which is zero outside a band. A pivot
  // lost to the rounding of the coefficients is held above it, which keeps the preconditioner
  // positive definite. Every sum goes in the order of its nodes; terms of zero are left out.
  std::vector<double> least(n);
  for (std::size_t k = 0; k < n; ++k) least[k] = kLeastPivot * std::abs(l[k * n + k]);
  std::size_t band_end = 0;
  for (std::size_t k = 0; k < n; ++k) {
    double* __restrict row = &l[k * n];
    band_end = std::max(band_end, ends[k]);
    const double pivot = std::sqrt(std::max(row[k], least[k]));
    row[k] = pivot;
    std::size_t end = k + 1;
    for (std::size_t i = k + 1; i < band_end; ++i) {
      if (row[i] != 0) end = i + 1;
      row[i] /= pivot;
    }
    for (std::size_t c = k + 1; c < end; ++c) {
      const double factor = row[c];
      if (factor == 0) continue;
      double* __restrict below = &l[c * n];
      for (std::size_t i = c; i < end; ++i) below[i] -= row[i] * factor;
    }
  }
  // All columns of the inverse at once: row i of x holds entry i of each.
  std::vector<double> x(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    double* __restrict own = &x[i * n];
    own[i] = 1;
    for (std::size_t m = 0; m < i; ++m) {
      const double factor = l[m * n + i];
      if (factor == 0) continue;
      const double* __restrict before = &x[m * n];
      for (std::size_t k = 0; k <= m; ++k) own[k] -= factor * before[k];
    }
    const double pivot = l[i * n + i];
    for (std::size_t k = 0; k <= i; ++k) own[k] /= pivot;
  }
  for (std::size_t i = n; i-- > 0;) {
    double* __restrict own = &x[i * n];
    for (std::size_t m = i + 1; m < n; ++m) {
      const double factor = l[i * n + m];
      if (factor == 0) continue;
      const double* __restrict after = &x[m * n];
      for (std::size_t k = 0; k < n; ++k) own[k] -= factor * after[k];
    }
    const double pivot = l[i * n + i];
    for (std::size_t k = 0; k < n; ++k) own[k] /= pivot;
  }
  inverse_ = Buffer<float>(n * n);
  for (std::size_t k = 0; k < n; ++k) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      inverse_[k * n + i] = static_cast<float>(x[i * n + k]);
      sum += x[i * n + k];
    }
    reach_ = std::max(reach_, sum * static_cast<double>(unknowns_) / static_cast<double>(n));
  }
}

std::int64_t Hierarchy::bytes() const {
  std::size_t sum = map_.bytes() + inverse_.bytes();
  for (const auto& level : levels_) {
    sum += level->active.bytes() + level->zero_row.bytes() + level->columns.bytes() +
           level->excess.bytes() + level->coefficients.bytes();
  }
  return static_cast<std::int64_t>(sum);
}

}  // namespace pyharmony::poisson
