// CMake turns contraction off for this file: each product is rounded before it is added.
#include "ops/matting/edge_colours.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/buffer.h"
#include "core/checks.h"
#include "core/dispatch.h"
#include "core/parallel.h"

namespace pyharmony {
namespace {

constexpr float kSmooth = 1e-2f;  // ε: the paper's 1e-5 follows noise and errors of alpha more
constexpr float kPrior =
    0.1f;  // the weight of its cell's colours, that of a pixel's equation being 1
constexpr float kNothing = 1e-6f;  // a smaller share of a cell is a rounding error
constexpr float kTiny = 1e-12f;    // the least determinant
constexpr int kNeighbours = 4;
constexpr std::int64_t kGrain = 4096;  // cells of a task

// A colour, its last value unused.
typedef float Colour __attribute__((vector_size(16)));

inline Colour clipped(Colour x, Colour low, Colour high) {
  x = x > low ? x : low;
  return x < high ? x : high;
}

inline Colour splat(float x) { return Colour{x, x, x, x}; }

inline Colour load(const float* x) { return Colour{x[0], x[1], x[2], 0}; }

struct Cell {
  Colour colours[2];  // of the object and of the background
  float alpha;
  float has[2];  // 1 where the cell has something of the two
};

// The equations of a soft cell, solved for it.
struct System {
  Cell* cell;
  Colour right[2];
  float weights[kNeighbours][2];
  float own[2], other;
};

void check_bools(const ArrayView& x, const char* name, std::int64_t height, std::int64_t width) {
  HM_CHECK(x.dtype == DType::kBool && x.ndim == 2 && x.shape[0] == height && x.shape[1] == width,
           name, ": expected [", height, ", ", width, "] of bool");
}

void check_floats(const ArrayView& x, const char* name) {
  HM_CHECK(x.dtype == DType::kFloat32, name, ": dtype ", dtype_name(x.dtype), ", expected float32");
}

EdgePixels pixels_of(const ArrayView& colours, const ArrayView& alpha, const ArrayView& soft,
                     float opaque, bool background) {
  const EdgePixels p{as_image(colours, "colours"), as_image(alpha, "alpha"), as_image(soft, "soft"),
                     opaque, background};
  HM_CHECK(colours.dtype == alpha.dtype && colours.dtype != DType::kBool, "alpha: dtype ",
           dtype_name(alpha.dtype), ", colours: ", dtype_name(colours.dtype),
           ", expected the same of an image");
  check_image_shape(p.colours, "colours", p.alpha.height, p.alpha.width, kEdgeColours);
  check_image_shape(p.alpha, "alpha", p.alpha.height, p.alpha.width, 1);
  check_bools(soft, "soft", p.alpha.height, p.alpha.width);
  return p;
}

// Object and background of cells, [h, w, 2, 3] of any strides between cells.
struct PairsView {
  const float* data = nullptr;
  std::int64_t height = 0, width = 0, row = 0, column = 0;

  PairsView() = default;
  PairsView(const ArrayView& x, const char* name) {
    check_floats(x, name);
    HM_CHECK(x.ndim == 4 && x.shape[2] == 2 && x.shape[3] == kEdgeColours && x.stride[3] == 1 &&
                 x.stride[2] == kEdgeColours,
             name, ": expected [h, w, 2, 3]");
    data = x.as<float>();
    height = x.shape[0];
    width = x.shape[1];
    row = x.stride[0];
    column = x.stride[1];
  }
  const float* at(std::int64_t y, std::int64_t x) const { return data + y * row + x * column; }
};

class Relaxation {
 public:
  Relaxation(const ImageView& means, const ImageView& soft, const PairsView& coarser)
      : means_(means),
        soft_(soft),
        coarser_(coarser),
        across_(means.width + 2),
        cells_(static_cast<std::size_t>((means.height + 2) * across_)),
        is_ready_(Buffer<std::uint8_t>::zeros(cells_.size())) {
    for (std::int64_t y = 0; y < means.height; ++y) {
      const std::uint8_t* const row = soft.at<std::uint8_t>(y, 0, 0);
      for (std::int64_t x = 0; x < means.width; ++x) {
        if (row[x * soft.col_stride]) systems_[(y + x) % 2].push_back(system(y, x));
      }
    }
  }

  void sweep(float low, float high) const {
    const Colour least = splat(low), most = splat(high);
    for (const std::vector<System>& systems : systems_) {
      parallel_each(static_cast<std::int64_t>(systems.size()), kGrain, [&](std::int64_t i) {
        const System& s = systems[static_cast<std::size_t>(i)];
        const Cell* const beside[kNeighbours] = {s.cell - across_, s.cell + across_, s.cell - 1,
                                                 s.cell + 1};
        Colour object = s.right[0], background = s.right[1];
        for (int k = 0; k < kNeighbours; ++k) {
          object += s.weights[k][0] * beside[k]->colours[0];
          background += s.weights[k][1] * beside[k]->colours[1];
        }
        s.cell->colours[0] = clipped(s.own[0] * object - s.other * background, least, most);
        s.cell->colours[1] = clipped(s.own[1] * background - s.other * object, least, most);
      });
    }
  }

  void write(float* out) const {
    for (const std::vector<System>& systems : systems_) {
      for (const System& s : systems) {
        const std::int64_t i = s.cell - cells_.data();
        float* const to =
            out + ((i / across_ - 1) * means_.width + i % across_ - 1) * 2 * kEdgeColours;
        for (int k = 0; k < 2 * kEdgeColours; ++k) {
          to[k] = s.cell->colours[k / kEdgeColours][k % kEdgeColours];
        }
      }
    }
  }

 private:
  // Returns a cell, which is initialised once; beyond the border it has nothing of both.
  Cell* ready(std::int64_t y, std::int64_t x) {
    const auto i = static_cast<std::size_t>((y + 1) * across_ + x + 1);
    Cell& cell = cells_[i];
    if (is_ready_[i]) return &cell;
    is_ready_[i] = 1;
    cell = Cell{};
    if (y < 0 || x < 0 || y >= means_.height || x >= means_.width) return &cell;
    const float* const m = means_.at<float>(y, x, 0);
    const float rest = m[0] - m[1];
    cell.alpha = m[1] / std::max(m[0], kNothing);
    cell.has[0] = m[1] > kNothing;
    cell.has[1] = rest > kNothing;
    const float* of_both = nullptr;
    if (coarser_.data != nullptr && *soft_.at<std::uint8_t>(y, x, 0)) {
      of_both = coarser_.at(y / 2, x / 2);
      cell.colours[0] = load(of_both);
      cell.colours[1] = load(of_both + kEdgeColours);
    } else {
      const Colour mixed = load(m + 3), whole = load(m + 3 + kEdgeColours);
      cell.colours[0] = mixed / std::max(m[1], kNothing);
      cell.colours[1] = (whole - mixed) / std::max(rest, kNothing);
    }
    return &cell;
  }

  System system(std::int64_t y, std::int64_t x) {
    System s;
    s.cell = ready(y, x);
    const Cell* const beside[kNeighbours] = {ready(y - 1, x), ready(y + 1, x), ready(y, x - 1),
                                             ready(y, x + 1)};
    float sums[2] = {};
    for (int k = 0; k < kNeighbours; ++k) {
      const float smooth = std::abs(beside[k]->alpha - s.cell->alpha) + kSmooth;
      for (int i = 0; i < 2; ++i) sums[i] += s.weights[k][i] = smooth * beside[k]->has[i];
    }
    const float* const m = means_.at<float>(y, x, 0);
    const float count = std::max(m[0], kNothing);
    const float alpha = m[1] / count, square = m[2] / count, mixed = alpha - square;
    s.right[0] = load(m + 3) / count;
    s.right[1] = load(m + 3 + kEdgeColours) / count - s.right[0];
    const float first = sums[0] + square, second = sums[1] + (1 - alpha - mixed);
    const float scale = 1 / std::max(first * second - mixed * mixed, kTiny);
    s.own[0] = second * scale;
    s.own[1] = first * scale;
    s.other = mixed * scale;
    return s;
  }

  const ImageView& means_;
  const ImageView& soft_;
  const PairsView& coarser_;
  const std::int64_t across_;
  Buffer<Cell> cells_;  // with a border of one cell
  Buffer<std::uint8_t> is_ready_;
  std::vector<System> systems_[2];  // of every other cell
};

template <typename T>
void write_own(const EdgePixels& p, const PairsView& cells, std::int64_t top, std::int64_t left,
               const ImageView* share, float low, float high, const ImageView& out) {
  const float range = static_cast<float>(dtype_range(p.alpha.dtype)),
              scale = static_cast<float>(1 / dtype_range(p.alpha.dtype));
  for (std::int64_t y = 0; y < p.alpha.height; ++y) {
    for (std::int64_t x = 0; x < p.alpha.width; ++x) {
      if (!*p.soft.at<std::uint8_t>(y, x, 0)) continue;
      float alpha = to_real<float>(*p.alpha.at<T>(y, x, 0)) / range;
      if (alpha >= p.opaque) alpha = 1;
      float colours[kEdgeColours];
      bool there = p.background || alpha > 0;
      for (int c = 0; c < kEdgeColours; ++c) {
        colours[c] = to_real<float>(*p.colours.at<T>(y, x, c));
        there = there && std::isfinite(colours[c]);
      }
      const float* const cell = cells.at((y + top) / 2, (x + left) / 2);
      const float weight = alpha / (alpha * alpha + (1 - alpha) * (1 - alpha) + kPrior);
      for (int c = 0; c < kEdgeColours; ++c) {
        const float mixed = there ? colours[c] * scale : 0.0f;
        const float rest = mixed - alpha * cell[c] - (1 - alpha) * cell[kEdgeColours + c];
        float own = std::min(std::max(low, cell[c] + rest * weight), high) * range;
        if (share != nullptr) {
          const float part = std::min(std::max(0.0f, *share->at<float>(y, x, 0)), 1.0f);
          own = colours[c] + part * (own - colours[c]);
        }
        *out.at<T>(y, x, c) = from_real<T>(own);
      }
    }
  }
}

}  // namespace

std::pair<float, float> edge_cells(const ArrayView& colours, const ArrayView& alpha,
                                   const ArrayView& soft, float opaque, bool background,
                                   std::int64_t top, std::int64_t left, int halvings,
                                   const ArrayView& means, const ArrayView& soft_cells) {
  HM_CHECK(halvings >= 0 && halvings <= kMostHalvings, "halvings: ", halvings, ", expected 0 to ",
           kMostHalvings);
  float limits[2] = {0, 1};
  EdgeCellsParams p{pixels_of(colours, alpha, soft, opaque, background),
                    top,
                    left,
                    halvings,
                    as_image(means, "means"),
                    as_image(soft_cells, "soft_cells"),
                    limits};
  check_floats(means, "means");
  check_image_shape(p.means, "means", p.means.height, p.means.width, kEdgeMeans);
  check_bools(soft_cells, "soft_cells", p.means.height, p.means.width);
  HM_CHECK(means.writable && soft_cells.writable && p.means.channel_stride == 1 &&
               p.means.col_stride == kEdgeMeans && p.soft.col_stride == 1,
           "means, soft_cells: expected writable arrays with contiguous rows");
  HM_SIMD_CALL(edge_cells_kernel, p);
  return {limits[0], limits[1]};
}

void edge_relax(const ArrayView& means, const ArrayView& soft, const ArrayView* coarser, float low,
                float high, int sweeps, const ArrayView& out) {
  const ImageView m = as_image(means, "means"), s = as_image(soft, "soft");
  check_floats(means, "means");
  check_image_shape(m, "means", m.height, m.width, kEdgeMeans);
  HM_CHECK(m.channel_stride == 1, "means: expected a contiguous last axis");
  check_bools(soft, "soft", m.height, m.width);
  PairsView pairs;
  if (coarser != nullptr) {
    pairs = PairsView(*coarser, "coarser");
    HM_CHECK(pairs.height == (m.height + 1) / 2 && pairs.width == (m.width + 1) / 2,
             "coarser: ", pairs.height, " x ", pairs.width, " cells, expected ", (m.height + 1) / 2,
             " x ", (m.width + 1) / 2);
  }
  const PairsView result(out, "out");
  HM_CHECK(
      out.writable && is_contiguous(out) && result.height == m.height && result.width == m.width,
      "out: expected a writable contiguous array [", m.height, ", ", m.width, ", 2, 3]");
  Relaxation relaxation(m, s, pairs);
  for (int i = 0; i < sweeps; ++i) relaxation.sweep(low, high);
  std::fill_n(out.as<float>(), out.size(), 0.0f);
  relaxation.write(out.as<float>());
}

void edge_own(const ArrayView& colours, const ArrayView& alpha, const ArrayView& soft, float opaque,
              bool background, const ArrayView& cells, std::int64_t top, std::int64_t left,
              const ArrayView* share, float low, float high, const ArrayView& out) {
  const EdgePixels p = pixels_of(colours, alpha, soft, opaque, background);
  const std::int64_t height = p.alpha.height, width = p.alpha.width;
  const PairsView pairs(cells, "cells");
  HM_CHECK(
      top >= 0 && left >= 0 && height + top <= 2 * pairs.height && width + left <= 2 * pairs.width,
      "cells: ", pairs.height, " x ", pairs.width, ", too few from (", top, ", ", left, ") on");
  const ImageView o = as_image(out, "out");
  HM_CHECK(out.writable && out.dtype == colours.dtype, "out: expected a writable array of ",
           dtype_name(colours.dtype));
  check_image_shape(o, "out", height, width, kEdgeColours);
  ImageView part;
  if (share != nullptr) {
    part = as_image(*share, "share");
    check_floats(*share, "share");
    check_image_shape(part, "share", height, width, 1);
  }
  dispatch_image(colours.dtype, "colours", [&](auto tag) {
    write_own<typename decltype(tag)::type>(p, pairs, top, left, share ? &part : nullptr, low, high,
                                            o);
  });
}

}  // namespace pyharmony
