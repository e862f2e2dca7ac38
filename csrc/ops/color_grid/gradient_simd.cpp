// Gradients of color_grid: those of image and mask per pixel, those of the map as sums. A strip of
// rows between the same two rows of the grid has its own sums; the sums of all strips are added in
// order. Within a run of pixels they have the type of the map, above it they are double.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "ops/color_grid/runs.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kStripRows = 64;

// The rows [top, bottom) of an image between the rows `low` and `high` of the grid.
struct Strip {
  std::int64_t top, bottom, low, high;
};

std::vector<Strip> strips_of(const ColorGridCall& call) {
  std::vector<Strip> strips;
  for (std::int64_t y = 0; y < call.height;) {
    const std::int64_t cell = call.down.interval(call.y0 + y);
    std::int64_t end = std::min(y + kStripRows, call.height);
    if (cell < call.down.cells) end = std::min(end, call.down.first(cell + 1) - call.y0);
    const CellAxis::Place at = call.down.place(call.y0 + y);
    strips.push_back({y, end, at.low, at.high});
    y = end;
  }
  return strips;
}

// The layout of the sums of a strip, and of a run: nodes of a row of the grid (two of a strip),
// then knots, then the affine map.
struct Sums {
  std::int64_t knots, affine, total;

  Sums(const ColorGridCall& call, std::int64_t rows) {
    knots = rows * call.across.cells * call.depth * kNode;
    affine = knots + (call.curves.data == nullptr ? 0 : 3 * (call.knots + 1) * 4);
    total = affine + kNode;
  }
};

// A pixel's map and its derivatives.
template <typename Real>
struct Point {
  Four<Real> delta = {};                 // the map's change
  Four<Real> slope[3] = {};              // slope of delta along x, without the luma's part
  Four<Real> by_luma = {};               // slope of delta along the luma
  std::int64_t knot[3] = {}, depth = 0;  // the first of the two
  Real between_knots[3] = {}, deep = 0;  // the share of the second of the two
};

template <typename Real>
void evaluate(const ColorGridCall& call, const Tables<Real>& tables, const Real (&x)[4],
              const Real* left, const Real* right, Real across, Point<Real>& point) {
  if (call.curves.data != nullptr) {
    const Real last = static_cast<Real>(call.knots - 1);
    for (int c = 0; c < 3; ++c) {
      const Real t = last * held(x[c], Real(1));
      const std::int64_t k = std::min(static_cast<std::int64_t>(t), call.knots - 2);
      const Real* const at = tables.curves.data() + (c * (call.knots + 1) + k) * 4;
      const Four<Real> low = ReadFour<Real>(at).value;
      const Four<Real> rise = ReadFour<Real>(at + 4).value - low;
      point.knot[c] = k;
      point.between_knots[c] = t - static_cast<Real>(k);
      point.delta += low + point.between_knots[c] * rise;
      if (x[c] >= 0 && x[c] <= 1) point.slope[c] += last * rise;
    }
  }
  if (left == nullptr) {
    for (int j = 0; j < 4; ++j) {
      Four<Real> column = {};
      for (int o = 0; o < 3; ++o) column[o] = tables.affine[4 * o + j];
      point.delta += x[j] * column;
      if (j < 3) point.slope[j] += column;
    }
    return;
  }
  Real luma = 0;
  for (int c = 0; c < 3; ++c) luma += static_cast<Real>(kLuma[c]) * held(x[c], Real(1));
  const Real count = static_cast<Real>(call.depth), given = luma * count - Real(0.5);
  const Real w = held(given, count - 1);
  const std::int64_t k =
      std::min(static_cast<std::int64_t>(w), std::max<std::int64_t>(call.depth - 2, 0));
  const std::int64_t at = k * kNode, next = std::min(k + 1, call.depth - 1) * kNode;
  point.depth = k;
  point.deep = w - static_cast<Real>(k);
  const Real steep = given >= 0 && given <= count - 1 ? count : Real(0);
  for (int j = 0; j < 4; ++j) {
    const Four<Real> low = ReadFour<Real>(left + at + 4 * j).value;
    const Four<Real> high = ReadFour<Real>(right + at + 4 * j).value;
    const Four<Real> next_low = ReadFour<Real>(left + next + 4 * j).value;
    const Four<Real> next_high = ReadFour<Real>(right + next + 4 * j).value;
    const Four<Real> here = low + across * (high - low);
    const Four<Real> rise = next_low + across * (next_high - next_low) - here;
    const Four<Real> column = here + point.deep * rise;
    point.delta += x[j] * column;
    point.by_luma += steep * x[j] * rise;
    if (j < 3) point.slope[j] += column;
  }
}

template <typename Real>
Real dot(const Four<Real>& a, const Four<Real>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

template <typename Real>
void add_to(Real* sums, const Four<Real>& value) {
  const Four<Real> sum = ReadFour<Real>(sums).value + value;
  std::memcpy(sums, &sum, sizeof(sum));
}

// Adds the pixels [begin, end) of a run. run.delta comes in as the gradient of the result and goes
// out as that of the image; run.weight goes out as that of the mask. `sums` is laid out as Sums of
// one row, with nodes from the column `tables.left` on.
template <typename Real>
void add_pixels(const ColorGridCall& call, const ColorGridGradient& gradient,
                const Tables<Real>& tables, const Sums& at, const Piece<Real>& piece,
                const Real* row, Pixels<Real>& run, Real* sums) {
  const bool has_grid = call.grid.data != nullptr;
  const std::int64_t size = call.depth * kNode;
  const std::int64_t left = (piece.left - tables.left) * size,
                     right = (piece.right - tables.left) * size;
  for (std::int64_t i = piece.begin; i < piece.end; ++i) {
    const Real m = run.weight[i];
    if (!(m > 0) && gradient.mask == nullptr) continue;  // The result is the image.
    const Real x[4] = {run.value[0][i], run.value[1][i], run.value[2][i], Real(1)};
    const Real across = has_grid ? piece.share(i) : Real(0);
    Point<Real> point;
    evaluate(call, tables, x, has_grid ? row + left : nullptr, has_grid ? row + right : nullptr,
             across, point);
    Four<Real> pull = {};
    Real of_mask = 0, of_image[3];
    for (int o = 0; o < 3; ++o) {
      const Real g = run.delta[o][i], y = x[o] + point.delta[o];
      const Real low = x[o] < 0 ? x[o] : Real(0), high = x[o] > 1 ? x[o] : Real(1);
      const bool below = y<low, above = y> high;
      of_mask += g * ((below ? low : above ? high : y) - x[o]);
      of_image[o] = g * (1 - m);
      if (!below && !above) {
        pull[o] = m * g;
        of_image[o] += m * g;
      } else if (below ? x[o] < 0 : x[o] > 1) {
        of_image[o] += m * g;
      }
    }
    const Real by_luma = has_grid ? dot<Real>(pull, point.by_luma) : Real(0);
    for (int c = 0; c < 3; ++c) {
      const Real luma = x[c] >= 0 && x[c] <= 1 ? static_cast<Real>(kLuma[c]) : Real(0);
      run.delta[c][i] = of_image[c] + dot<Real>(pull, point.slope[c]) + luma * by_luma;
    }
    run.weight[i] = of_mask;
    if (call.curves.data != nullptr && gradient.curves != nullptr) {
      for (int c = 0; c < 3; ++c) {
        Real* const knot = sums + at.knots + (c * (call.knots + 1) + point.knot[c]) * 4;
        const Four<Real> second = point.between_knots[c] * pull;
        add_to<Real>(knot, pull - second);
        add_to<Real>(knot + 4, second);
      }
    }
    for (int j = 0; j < 4; ++j) {
      const Four<Real> product = x[j] * pull;
      add_to<Real>(sums + at.affine + 4 * j, product);
      if (gradient.grid == nullptr) continue;
      const std::int64_t near = point.depth * kNode + 4 * j;
      const std::int64_t far = std::min(point.depth + 1, call.depth - 1) * kNode + 4 * j;
      const Four<Real> second = across * product, first_part = product - second;
      add_to<Real>(sums + left + near, (1 - point.deep) * first_part);
      add_to<Real>(sums + left + far, point.deep * first_part);
      add_to<Real>(sums + right + near, (1 - point.deep) * second);
      add_to<Real>(sums + right + far, point.deep * second);
    }
  }
}

// Adds share * run[...] to strip[...], and sets run to zero.
template <typename Real>
void flush(Real* run, std::int64_t count, double share, double* low, double* high) {
  for (std::int64_t i = 0; i < count; ++i) {
    low[i] += (1 - share) * static_cast<double>(run[i]);
    if (high != nullptr) high[i] += share * static_cast<double>(run[i]);
    run[i] = 0;
  }
}

template <typename T, typename Real>
void add_strip(const ColorGridCall& call, const ColorGridGradient& gradient,
               const Tables<Real>& tables, std::int64_t n, const Strip& strip, double* sums) {
  const bool has_grid = call.grid.data != nullptr;
  const ImageView image = call.image.item(n, call.height, call.width, 3);
  const ImageView mask = call.mask.item(n, call.height, call.width, 1);
  const ImageView grad = gradient.grad.item(n, call.height, call.width, 3);
  const ImageView dimage = gradient.image.item(n, call.height, call.width, 3);
  const std::int64_t size = call.depth * kNode;
  const Sums whole(call, 2), of_run(call, 1);
  Buffer<Real> row(tables.columns * size), own = Buffer<Real>::zeros(of_run.total);
  std::fill_n(sums, whole.total, 0.0);
  Pixels<Real> run;
  for (std::int64_t y = strip.top; y < strip.bottom; ++y) {
    const double share = call.down.place(call.y0 + y).share;
    if (has_grid) make_row(call, tables, y, row.data());
    for (std::int64_t x = 0; x < call.width; x += kRun) {
      const RunPlace at{y, x, std::min(kRun, call.width - x), call.height, call.width};
      load_run<T>(grad, at, Real(1), run);
      for (int c = 0; c < 3; ++c) std::copy_n(run.value[c], kRun, run.delta[c]);
      load_run<T>(image, at, Real(1), run);
      load_weights(mask, at, run);
      std::int64_t low = tables.left, high = tables.left;
      const auto add = [&](const Piece<Real>& piece) {
        if (piece.begin == 0) low = piece.left;
        high = piece.right;
        add_pixels(call, gradient, tables, of_run, piece, row.data(), run, own.data());
      };
      if (has_grid) {
        for_each_piece<Real>(call, at, add);
      } else {
        add({0, at.n, 0, 0, 0, 0, 0});
      }
      if (gradient.grid != nullptr) {
        flush(own.data() + (low - tables.left) * size, (high - low + 1) * size, share,
              sums + low * size, sums + (call.across.cells + low) * size);
      }
      flush(own.data() + of_run.knots, of_run.total - of_run.knots, 0.0, sums + whole.knots,
            nullptr);
      if (dimage.data != nullptr) {
        alignas(64) T planes[3][kRun + kBehind];
        for (int c = 0; c < 3; ++c) {
          for (std::int64_t i = 0; i < at.n; i += kWidth<Real>) {
            write(planes[c] + i, read(run.delta[c] + i));
          }
        }
        T* const to = dimage.at<T>(y, x, 0);
        for (std::int64_t i = 0; i < at.n; ++i) {
          for (int c = 0; c < 3; ++c) {
            to[i * dimage.col_stride + c * dimage.channel_stride] = planes[c][i];
          }
        }
      }
      if (gradient.mask != nullptr) {
        Real* const to = static_cast<Real*>(gradient.mask) + (n * call.height + y) * call.width + x;
        std::copy_n(run.weight, at.n, to);
      }
    }
  }
}

// Adds up the sums of an image's strips, in their order.
template <typename Real>
void add_image(const ColorGridCall& call, const ColorGridGradient& gradient, std::int64_t n,
               const std::vector<Strip>& strips, const double* partial) {
  const Sums at(call, 2);
  const std::int64_t row = call.across.cells * call.depth * kNode;
  auto total = Buffer<double>::zeros(call.down.cells * row + at.total - at.knots);
  double* const rest = total.data() + call.down.cells * row;
  for (std::size_t s = 0; s < strips.size(); ++s) {
    const double* const found = partial + s * at.total;
    if (gradient.grid != nullptr) {
      for (std::int64_t i = 0; i < row; ++i) {
        total[strips[s].low * row + i] += found[i];
        total[strips[s].high * row + i] += found[row + i];
      }
    }
    for (std::int64_t i = at.knots; i < at.total; ++i) rest[i - at.knots] += found[i];
  }
  const auto unpack = [](const double* nodes, std::int64_t count, Real* to) {
    for (std::int64_t i = 0; i < count; ++i) {
      for (int o = 0; o < 3; ++o) {
        for (int j = 0; j < 4; ++j) {
          to[i * kCoefficients + 4 * o + j] = static_cast<Real>(nodes[i * kNode + 4 * j + o]);
        }
      }
    }
  };
  if (gradient.grid != nullptr) {
    const std::int64_t count = call.down.cells * call.across.cells * call.depth;
    unpack(total.data(), count, static_cast<Real*>(gradient.grid) + n * call.grid_size());
  }
  if (gradient.affine != nullptr) {
    unpack(rest + at.affine - at.knots, 1, static_cast<Real*>(gradient.affine) + n * kCoefficients);
  }
  if (gradient.curves != nullptr) {
    Real* const to = static_cast<Real*>(gradient.curves) + n * 9 * call.knots;
    for (int t = 0; t < 9; ++t) {
      for (std::int64_t k = 0; k < call.knots; ++k) {
        const std::int64_t from = (t % 3 * (call.knots + 1) + k) * 4 + t / 3;
        to[t * call.knots + k] = static_cast<Real>(rest[from]);
      }
    }
  }
}

template <typename T, typename Real>
void add_images(const ColorGridCall& call, const ColorGridGradient& gradient) {
  const bool shared = call.affine.step == 0 && call.curves.step == 0 && call.grid.step == 0;
  std::vector<Tables<Real>> tables(static_cast<std::size_t>(shared ? 1 : call.images));
  parallel_each(static_cast<std::int64_t>(tables.size()), 1,
                [&](std::int64_t i) { make_tables(call, i, false, tables[i]); });
  const std::vector<Strip> strips = strips_of(call);
  const std::int64_t count = static_cast<std::int64_t>(strips.size()), size = Sums(call, 2).total;
  // Sums are held for only a few images at once, so that memory does not grow with the batch.
  const std::int64_t together = std::max<std::int64_t>(1, (1 << 21) / (count * size));
  Buffer<double> partial(std::min(together, call.images) * count * size);
  for (std::int64_t start = 0; start < call.images; start += together) {
    const std::int64_t images = std::min(together, call.images - start);
    parallel_each(images * count, 1, [&](std::int64_t i) {
      const std::int64_t n = start + i / count;
      add_strip<T>(call, gradient, tables[shared ? 0 : n], n, strips[i % count],
                   partial.data() + i * size);
    });
    parallel_each(images, 1, [&](std::int64_t i) {
      add_image<Real>(call, gradient, start + i, strips, partial.data() + i * count * size);
    });
  }
}

}  // namespace

void color_grid_gradient_kernel(const ColorGridCall& call, const ColorGridGradient& gradient) {
  switch (call.image.dtype) {
    case DType::kFloat16: return add_images<Half, float>(call, gradient);
    case DType::kFloat64: return add_images<double, double>(call, gradient);
    default: return add_images<float, float>(call, gradient);
  }
}

}  // namespace pyharmony::HM_SIMD_NS
