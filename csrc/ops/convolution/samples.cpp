#include "ops/convolution/samples.h"

#include <algorithm>
#include <cmath>

#include "core/buffer.h"
#include "core/checks.h"

namespace pyharmony {
namespace {

// The sums of so many weights are kept; those between are added again where they are needed.
constexpr std::int64_t kRun = 128;
constexpr float kLeastWeight = 1e-9f, kLeastSlope = 1e-4f;

typedef float Four __attribute__((vector_size(16)));

void expect(const ArrayView& a, const char* name, int ndim, bool writable = false,
            DType dtype = DType::kFloat32) {
  HM_CHECK(a.dtype == dtype, name, ": dtype ", dtype_name(a.dtype), ", expected ",
           dtype_name(dtype));
  HM_CHECK(a.ndim == ndim, name, ": ", a.ndim, " dimensions, expected ", ndim);
  HM_CHECK(a.size() == 0 || is_contiguous(a), name, ": expected a contiguous array");
  HM_CHECK(!writable || a.writable, name, ": expected a writable array");
}

void expect_points(const ArrayView& place, const ArrayView& normal) {
  HM_CHECK(place.shape[1] == 2 && normal.shape[1] == 2 && normal.shape[0] == place.shape[0],
           "place and normal: expected [N, 2] both");
}

// Calls fn(i, index) for the index of each of `made` elements.
template <typename Fn>
void spread(const float* weight, std::int64_t count, std::int64_t made, Fn&& fn) {
  Buffer<double> sums(count / kRun + 1);  // before each run
  double sum = 0;
  for (std::int64_t first = 0; first < count; first += kRun) {
    sums.data()[first / kRun] = sum;
    const std::int64_t end = std::min(first + kRun, count);
    for (std::int64_t i = first; i < end; ++i) sum += weight[i] + kLeastWeight;
  }
  const double total = sum;
  std::int64_t at = 0;
  sum = weight[0] + kLeastWeight;  // up to `at`, and with it
  for (std::int64_t i = 0; i < made; ++i) {
    const double step = (static_cast<double>(i) + 0.5) / static_cast<double>(made) * total;
    const std::int64_t runs = (count + kRun - 1) / kRun;
    std::int64_t run = at / kRun;
    while (run + 1 < runs && sums.data()[run + 1] < step) ++run;
    if (run != at / kRun) {
      at = run * kRun;
      sum = sums.data()[run] + (weight[at] + kLeastWeight);
    }
    while (sum < step && at + 1 < count) {
      ++at;
      sum += weight[at] + kLeastWeight;
    }
    fn(i, at);
  }
}

}  // namespace

void spread(const ArrayView& weight, const ArrayView& out) {
  expect(weight, "weight", 1);
  expect(out, "out", 1, true, DType::kFloat64);
  HM_CHECK(weight.shape[0] >= 1, "weight: empty, expected at least one element");
  spread(weight.as<float>(), weight.shape[0], out.shape[0],
         [&](std::int64_t i, std::int64_t at) { out.as<double>()[i] = static_cast<double>(at); });
}

void contour(const ArrayView& mask, const ArrayView& blur, std::int64_t reach,
             const ArrayView& place, const ArrayView& normal, const ArrayView& slope) {
  expect(mask, "mask", 2);
  expect(blur, "blur", 2);
  expect(place, "place", 2, true);
  expect(normal, "normal", 2, true);
  expect(slope, "slope", 1, true);
  expect_points(place, normal);
  HM_CHECK(slope.shape[0] == place.shape[0], "slope: expected one value for each position");
  const std::int64_t side = mask.shape[0];
  HM_CHECK(side >= 1 && mask.shape[1] == side && blur.shape[0] == side && blur.shape[1] == side,
           "mask and blur: expected squares of one size");
  HM_CHECK(reach >= 0, "reach: ", reach, ", expected at least 0");
  Buffer<float> planes(4 * side * side);
  float* const smooth = planes.data();
  float* const across = smooth + side * side;
  float* const down = across + side * side;
  float* const weight = down + side * side;
  const BlurParams params{mask.as<float>(), blur.as<float>(), smooth, side,
                          std::min(reach, side - 1)};
  HM_SIMD_CALL(blurred_kernel, params);
  for (std::int64_t y = 0; y < side; ++y) {
    const float* const row = smooth + y * side;
    const float* const above = y > 0 ? row - side : row;
    const float* const below = y + 1 < side ? row + side : row;
    float* const a = across + y * side;
    float* const d = down + y * side;
    a[0] = (row[std::min<std::int64_t>(1, side - 1)] - row[0]) / 2;
    for (std::int64_t x = 1; x + 1 < side; ++x) a[x] = (row[x + 1] - row[x - 1]) / 2;
    if (side > 1) a[side - 1] = (row[side - 1] - row[side - 2]) / 2;
    for (std::int64_t x = 0; x < side; ++x) {
      d[x] = (below[x] - above[x]) / 2;
      const float steep = std::sqrt(a[x] * a[x] + d[x] * d[x]);
      weight[y * side + x] = steep * steep * steep;
    }
  }
  spread(weight, side * side, place.shape[0], [&](std::int64_t i, std::int64_t at) {
    const float steep = std::sqrt(across[at] * across[at] + down[at] * down[at]);
    const float most = std::max(steep, kLeastSlope);
    place.as<float>()[2 * i] = static_cast<float>(at % side);
    place.as<float>()[2 * i + 1] = static_cast<float>(at / side);
    normal.as<float>()[2 * i] = across[at] / most;
    normal.as<float>()[2 * i + 1] = down[at] / most;
    slope.as<float>()[i] = steep;
  });
}

void sampled(const ArrayView& planes, const ArrayView& place, const ArrayView& normal,
             const ArrayView& distances, const ArrayView& out) {
  expect(planes, "planes", 3);
  expect(place, "place", 2);
  expect(normal, "normal", 2);
  expect(distances, "distances", 1);
  expect(out, "out", 3, true);
  expect_points(place, normal);
  const std::int64_t side = planes.shape[0], channels = planes.shape[2];
  const std::int64_t count = place.shape[0], steps = distances.shape[0];
  HM_CHECK(side >= 2 && planes.shape[1] == side, "planes: expected a square of 2 pixels or more");
  HM_CHECK(out.shape[0] == count && out.shape[1] == steps && out.shape[2] == channels,
           "out: expected [", count, ", ", steps, ", ", channels, "]");
  const float last = static_cast<float>(side - 1);
  float* to = out.as<float>();
  for (std::int64_t i = 0; i < count; ++i) {
    const float* const from = place.as<float>() + 2 * i;
    const float* const along = normal.as<float>() + 2 * i;
    for (std::int64_t step = 0; step < steps; ++step, to += channels) {
      float share[2];
      std::int64_t pixel[2];
      for (int axis = 0; axis < 2; ++axis) {
        const float v = from[axis] + distances.as<float>()[step] * along[axis];
        // NaN, of damaged weights or masks, is at 0.
        const float held = v > 0 ? std::min(v, last) : 0;
        pixel[axis] = std::min(static_cast<std::int64_t>(held), side - 2);
        share[axis] = held - static_cast<float>(pixel[axis]);
      }
      const float* const top = planes.as<float>() + (pixel[1] * side + pixel[0]) * channels;
      const float* const bottom = top + side * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        const float upper = top[c] * (1 - share[0]) + top[c + channels] * share[0];
        const float lower = bottom[c] * (1 - share[0]) + bottom[c + channels] * share[0];
        to[c] = upper * (1 - share[1]) + lower * share[1];
      }
    }
  }
}

void recolored(const ArrayView& colors, const ArrayView& affine, const ArrayView& curves,
               const ArrayView& out) {
  expect(colors, "colors", 3);
  expect(affine, "affine", 3);
  expect(curves, "curves", 4);
  expect(out, "out", 3, true);
  const std::int64_t sets = colors.shape[0], points = colors.shape[1], knots = curves.shape[3];
  HM_CHECK(colors.shape[2] == 3 && std::equal(out.shape, out.shape + 3, colors.shape),
           "colors and out: expected [V, P, 3] both");
  HM_CHECK(affine.shape[0] == sets && affine.shape[1] == 3 && affine.shape[2] == 4,
           "affine: expected [", sets, ", 3, 4]");
  HM_CHECK(curves.shape[0] == sets && curves.shape[1] == 3 && curves.shape[2] == 3 && knots >= 2,
           "curves: expected [", sets, ", 3, 3, K], K at least 2");
  // The three results of a knot, and those of the step from it to the next one.
  Buffer<Four> tables(2 * 3 * knots);
  const float steps = static_cast<float>(knots - 1);
  const float* from = colors.as<float>();
  float* to = out.as<float>();
  for (std::int64_t set = 0; set < sets; ++set) {
    const float* const matrix = affine.as<float>() + set * 12;
    const float* const curve = curves.as<float>() + set * 9 * knots;
    Four columns[4];
    for (int j = 0; j < 4; ++j) columns[j] = Four{matrix[j], matrix[4 + j], matrix[8 + j], 0};
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t k = 0; k < knots; ++k) {
        Four value{}, next{};
        for (std::int64_t o = 0; o < 3; ++o) {
          value[o] = curve[(o * 3 + c) * knots + k];
          next[o] = curve[(o * 3 + c) * knots + std::min(k + 1, knots - 1)];
        }
        tables.data()[2 * (c * knots + k)] = value;
        tables.data()[2 * (c * knots + k) + 1] = next - value;
      }
    }
    for (std::int64_t i = 0; i < points; ++i, from += 3, to += 3) {
      Four sum = columns[3];
      for (std::int64_t c = 0; c < 3; ++c) {
        const float x = from[c], t = (x > 0 ? std::min(x, 1.0f) : 0) * steps;
        const std::int64_t k = static_cast<std::int64_t>(t);
        const Four* const knot = tables.data() + 2 * (c * knots + k);
        sum += x * columns[c] + (knot[0] + (t - static_cast<float>(k)) * knot[1]);
      }
      for (int o = 0; o < 3; ++o) to[o] = sum[o];
    }
  }
}

}  // namespace pyharmony
