#include "ops/laplacian/laplacian.h"

#include <algorithm>
#include <vector>

#include "core/buffer.h"
#include "core/checks.h"
#include "ops/pyramid/pyramid.h"

namespace pyharmony {
namespace {

constexpr int kMaxChannels = 4;
constexpr double kSmoothSigma = 1.0;
// A band is left out if its weight reaches the mask's in less than this share of the mask.
constexpr float kCore = 0.25f;
constexpr int kCoreCells = 3;       // from the contour to where a band's weight is the mask's
constexpr int kReach = 2;           // cells that doubling reads on each side
constexpr std::int64_t kPast = 64;  // floats that vectors may read past the end of an image

struct Size {
  std::int64_t height = 0, width = 0;

  std::int64_t cells() const { return height * width; }
  Size halved() const { return {(height + 1) / 2, (width + 1) / 2}; }
};

struct Level {
  Size size;
  Buffer<std::uint8_t> inside, ramp;
  Buffer<float> mask;    // empty on the finest level, which has the caller's
  Buffer<float> x, sum;  // empty on the finest level
};

ImageView view_of(float* data, Size size, std::int64_t channels) {
  return dense_image(data, DType::kFloat32, size.height, size.width, channels);
}

Buffer<float> image_buffer(Size size, std::int64_t channels) {
  Buffer<float> buffer(static_cast<std::size_t>(size.cells() * channels + kPast));
  std::fill_n(buffer.data() + size.cells() * channels, kPast, 0.0f);
  return buffer;
}

Buffer<std::uint8_t> plane_buffer(Size size) {
  return Buffer<std::uint8_t>(static_cast<std::size_t>(size.cells()));
}

void halve(const ImageView& x, const ImageView* less, double sigma, float range, float* out) {
  const std::vector<float> weights = downsample_weights(sigma);
  DownsampleParams params{x, range, out, weights.data(), static_cast<int>(weights.size())};
  if (less != nullptr) params.less = *less;
  HM_SIMD_CALL(downsample_kernel, params);
}

// A cell is inside if all of its pixels are.
void halve_inside(const std::uint8_t* inside, Size size, std::uint8_t* out) {
  const Size half = size.halved();
  for (std::int64_t y = 0; y < half.height; ++y) {
    const std::uint8_t* const upper = inside + 2 * y * size.width;
    const std::uint8_t* const lower = 2 * y + 1 < size.height ? upper + size.width : upper;
    std::uint8_t* const row = out + y * half.width;
    for (std::int64_t x = 0; x < size.width / 2; ++x) {
      row[x] = upper[2 * x] & upper[2 * x + 1] & lower[2 * x] & lower[2 * x + 1];
    }
    if (size.width % 2 != 0) row[half.width - 1] = upper[size.width - 1] & lower[size.width - 1];
  }
}

// The part of a level whose sum matters, and that of the next level.
struct Part {
  std::int64_t begin, end;

  Part halved(std::int64_t size) const {
    return {std::max<std::int64_t>(begin / 2 - kReach, 0) / 2 * 2,
            std::min((end + 1) / 2 + kReach, (size + 1) / 2)};
  }
};

// The rows and the columns of pixels inside; empty if there are none.
void box_of(const std::uint8_t* inside, Size size, Part& rows, Part& columns) {
  rows = {size.height, 0};
  columns = {size.width, 0};
  for (std::int64_t y = 0; y < size.height; ++y) {
    const std::uint8_t* const row = inside + y * size.width;
    const std::uint8_t* const first = std::find(row, row + size.width, 1);
    if (first == row + size.width) continue;
    rows = {std::min(rows.begin, y), y + 1};
    std::int64_t end = size.width;
    while (!row[end - 1]) --end;
    columns = {std::min<std::int64_t>(columns.begin, first - row), std::max(columns.end, end)};
  }
  rows.begin = rows.begin / 2 * 2;
  columns.begin = columns.begin / 2 * 2;
}

double mean(const Buffer<float>& values, std::int64_t n) {
  constexpr std::int64_t kSums = 8;  // side by side, so that additions need not wait
  double sums[kSums] = {};
  const std::int64_t whole = n / kSums * kSums;
  for (std::int64_t i = 0; i < whole; i += kSums) {
    for (std::int64_t k = 0; k < kSums; ++k) sums[k] += static_cast<double>(values[i + k]);
  }
  double sum = 0;
  for (std::int64_t i = whole; i < n; ++i) sum += static_cast<double>(values[i]);
  for (const double one : sums) sum += one;
  return sum / static_cast<double>(n);
}

// Returns whether a band's weight is full in so small a share of the mask that it is left out.
bool is_thin(const Level& level) {
  const std::int64_t core = HM_SIMD_CALL(core_kernel, level.inside.data(), level.size.height,
                                         level.size.width, kCoreCells);
  // In float32, so that a share of exactly a quarter of a hard mask is judged the same everywhere.
  const float share = static_cast<float>(mean(level.mask, level.size.cells()));
  return static_cast<double>(core) / static_cast<double>(level.size.cells()) <
         static_cast<double>(kCore * share);
}

// Returns the levels with their masks and ramps, the finest first.
std::vector<Level> levels_of(const ImageView& mask, int count, bool adapt) {
  std::vector<Level> levels;
  for (int k = 0; k <= count; ++k) {
    Level level;
    level.size = k == 0 ? Size{mask.height, mask.width} : levels.back().size.halved();
    level.inside = plane_buffer(level.size);
    if (k == 0) {
      HM_SIMD_CALL(inside_kernel, mask, level.inside.data());
    } else {
      const Level& finer = levels.back();
      level.mask = image_buffer(level.size, 1);
      ImageView before = mask;
      if (k > 1) before = view_of(const_cast<float*>(finer.mask.data()), finer.size, 1);
      halve(before, nullptr, 0.0, static_cast<float>(dtype_range(before.dtype)), level.mask.data());
      halve_inside(finer.inside.data(), finer.size, level.inside.data());
      if (adapt && is_thin(level)) break;
    }
    level.ramp = plane_buffer(level.size);
    const RampParams ramp{level.inside.data(), level.size.height, level.size.width, k == 0 ? 1 : 2,
                          level.ramp.data()};
    HM_SIMD_CALL(ramp_kernel, ramp);
    levels.push_back(std::move(level));
  }
  return levels;
}

}  // namespace

std::int64_t laplacian(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                       int levels, bool adapt, const ArrayView& out) {
  const ImageView s = as_image(src, "src"), d = as_image(dst, "dst"), m = as_image(mask, "mask"),
                  o = as_image(out, "out");
  HM_CHECK(out.writable, "out: expected a writable array");
  for (const ArrayView* image : {&src, &dst, &out}) {
    HM_CHECK(image->dtype != DType::kBool, "dtype bool is not an image type");
  }
  check_same_image_shape(s, "src", o, "out");
  check_same_image_shape(d, "dst", o, "out");
  check_image_shape(m, "mask", o.height, o.width, 1);
  HM_CHECK(o.channels >= 1 && o.channels <= kMaxChannels, "out: ", o.channels,
           " channels, expected 1 to ", kMaxChannels);
  HM_CHECK(levels >= 0, "levels: ", levels, ", expected at least 0");
  std::int64_t clipped = 0;
  if (o.height == 0 || o.width == 0) return clipped;
  const std::int64_t c = o.channels;
  std::vector<Level> all = levels_of(m, levels, adapt);
  Part rows, columns;
  box_of(all[0].inside.data(), all[0].size, rows, columns);
  std::vector<std::pair<Part, Part>> parts{{rows, columns}};
  for (std::size_t k = 1; k < all.size(); ++k) {
    Level& level = all[k];
    const Level& finer = all[k - 1];
    parts.emplace_back(parts.back().first.halved(finer.size.height),
                       parts.back().second.halved(finer.size.width));
    level.x = image_buffer(level.size, c);
    if (k == 1) {
      halve(s, &d, kSmoothSigma, 1.0f, level.x.data());
    } else {
      halve(view_of(all[k - 1].x.data(), finer.size, c), nullptr, kSmoothSigma, 1.0f,
            level.x.data());
    }
  }
  for (std::size_t k = all.size(); k-- > 0;) {
    Level& level = all[k];
    const auto [y, x] = parts[k];
    if (y.begin >= y.end) break;
    BandParams p{};
    p.x = k == 0 ? s : view_of(level.x.data(), level.size, c);
    p.mask = k == 0 ? m : view_of(level.mask.data(), level.size, 1);
    p.ramp = level.ramp.data();
    p.y0 = y.begin, p.y1 = y.end, p.x0 = x.begin, p.x1 = x.end;
    if (k + 1 < all.size()) {
      p.coarse = all[k + 1].x.data();
      p.coarse_sum = all[k + 1].sum.data();
    }
    if (k == 0) {
      p.dst = d;
      p.out = o;
      p.inside = level.inside.data();
    } else {
      level.sum = image_buffer(level.size, c);
      p.out = view_of(level.sum.data(), level.size, c);
    }
    clipped = HM_SIMD_CALL(band_kernel, p);
    if (k + 1 < all.size()) all.pop_back();
  }
  return clipped;
}

}  // namespace pyharmony
