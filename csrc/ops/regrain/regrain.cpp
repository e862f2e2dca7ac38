#include <algorithm>
#include <cmath>
#include <utility>

#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/parallel.h"
#include "ops/regrain/regrain.h"

namespace pyharmony {
namespace {

constexpr int kSweeps[] = {4, 16, 32, 64, 64, 64};  // sweeps on each level, the finest first
constexpr int kLevels = sizeof(kSweeps) / sizeof(kSweeps[0]);
constexpr std::int64_t kSmallest = 20;  // a level with a smaller side has no coarser one
constexpr std::int64_t kBand = 64;
constexpr float kDamping = 0.8f;  // without it a checkerboard would stay

// Planes of a level with a border of one, zero outside of the mask.
struct Level {
  std::int64_t height, width, pitch, plane;
  Buffer<float> image, change, inside;

  Level(std::int64_t h, std::int64_t w)
      : height(h),
        width(w),
        pitch(w + 2),
        plane((h + 2) * (w + 2)),
        image(Buffer<float>::zeros(3 * plane)),
        change(Buffer<float>::zeros(3 * plane)),
        inside(Buffer<float>::zeros(plane)) {}
  std::int64_t at(std::int64_t y, std::int64_t x) const { return (y + 1) * pitch + x + 1; }
};

// Returns the coarser level: means of those of 2 x 2 pixels that are inside.
Level halve(const Level& fine) {
  Level coarse((fine.height + 1) / 2, (fine.width + 1) / 2);
  parallel_each(coarse.height, kBand, [&](std::int64_t y) {
    for (std::int64_t x = 0; x < coarse.width; ++x) {
      const std::int64_t to = coarse.at(y, x);
      float count = 0, image[3] = {}, change[3] = {};
      for (std::int64_t v = 2 * y; v < std::min(2 * y + 2, fine.height); ++v) {
        for (std::int64_t u = 2 * x; u < std::min(2 * x + 2, fine.width); ++u) {
          const std::int64_t from = fine.at(v, u);
          count += fine.inside[from];
          for (int c = 0; c < 3; ++c) {
            image[c] += fine.image[c * fine.plane + from];
            change[c] += fine.change[c * fine.plane + from];
          }
        }
      }
      if (count == 0) continue;
      coarse.inside[to] = 1;
      for (int c = 0; c < 3; ++c) {
        coarse.image[c * coarse.plane + to] = image[c] / count;
        coarse.change[c * coarse.plane + to] = change[c] / count;
      }
    }
  });
  return coarse;
}

// Replaces level.change by its smoothed form.
void smooth(Level& level, int depth) {
  const std::int64_t h = level.height, w = level.width, pitch = level.pitch, plane = level.plane;
  const auto zeros = [&](int planes) { return Buffer<float>::zeros(planes * plane); };
  Buffer<float> x = zeros(3), y = zeros(3), keep = zeros(1), tie = zeros(1), weights = zeros(4),
                wanted = zeros(3);
  if (depth + 1 < kLevels && std::min(h, w) > kSmallest) {
    Level coarse = halve(level);
    smooth(coarse, depth + 1);
    for (int c = 0; c < 3; ++c) {
      for (std::int64_t v = 0; v < h; ++v) {
        for (std::int64_t u = 0; u < w; ++u) {
          const std::int64_t i = level.at(v, u);
          x[c * plane + i] =
              level.inside[i] * coarse.change[c * coarse.plane + coarse.at(v / 2, u / 2)];
        }
      }
    }
  } else {
    std::copy_n(level.change.data(), 3 * plane, x.data());
  }

  const float* const inside = level.inside.data();
  const float share = std::ldexp(30.0f, -depth);
  parallel_each(h, kBand, [&](std::int64_t v) {
    for (std::int64_t i = level.at(v, 0); i < level.at(v, w); ++i) {
      float down = 0, right = 0;
      for (int c = 0; c < 3; ++c) {
        const float* const image = level.image.data() + c * plane;
        down += (image[i + pitch] - image[i]) * (image[i + pitch] - image[i]);
        right += (image[i + 1] - image[i]) * (image[i + 1] - image[i]);
      }
      const float slope = std::sqrt(inside[i] * (inside[i + pitch] * down + inside[i + 1] * right));
      keep[i] = std::min(slope / 5, 1.0f);
      tie[i] = share / (1 + 10 * slope);
    }
  });
  parallel_each(h, kBand, [&](std::int64_t v) {
    for (std::int64_t i = level.at(v, 0); i < level.at(v, w); ++i) {
      const std::int64_t neighbours[4] = {i - pitch, i + pitch, i - 1, i + 1};
      float total = keep[i], ties[4];
      for (int k = 0; k < 4; ++k) {
        ties[k] = inside[i] * inside[neighbours[k]] * 0.5f * (tie[i] + tie[neighbours[k]]);
        total += ties[k];
      }
      const float per = total > 0 ? 1 / total : 0;
      for (int k = 0; k < 4; ++k) weights[k * plane + i] = ties[k] * per;
      for (int c = 0; c < 3; ++c) {
        const float change = level.change[c * plane + i];
        wanted[c * plane + i] = total > 0 ? keep[i] * per * change : change;
      }
    }
  });

  for (int sweep = 0; sweep < kSweeps[depth]; ++sweep) {
    const float* const w4 = weights.data();
    const RegrainSweep params{w,
                              pitch,
                              plane,
                              {w4, w4 + plane, w4 + 2 * plane, w4 + 3 * plane},
                              wanted.data(),
                              x.data(),
                              y.data(),
                              kDamping};
    parallel_for(h, kBand, [&](std::int64_t begin, std::int64_t end) {
      HM_SIMD_CALL(regrain_sweep, params, begin, end);
    });
    x.swap(y);
  }
  level.change.swap(x);
}

}  // namespace

void regrain(const ArrayView& image, const ArrayView& inside, const ArrayView& change) {
  const ImageView from = as_image(image, "image"), mask = as_image(inside, "inside"),
                  to = as_image(change, "change");
  HM_CHECK(from.channels == 3, "image: ", from.channels, " channels, expected 3");
  check_same_image_shape(to, "change", from, "image");
  HM_CHECK(mask.height == from.height && mask.width == from.width && mask.channels == 1 &&
               inside.dtype == DType::kBool,
           "inside: expected bool [", from.height, ", ", from.width, "]");
  HM_CHECK(change.dtype == DType::kFloat32 && change.writable, "change: expected writable float32");
  Level level(from.height, from.width);
  const auto each = [&](auto fn) {
    parallel_each(from.height, kBand, [&](std::int64_t y) {
      for (std::int64_t x = 0; x < from.width; ++x) {
        if (mask.at<Bool>(y, x, 0)->value) fn(y, x, level.at(y, x));
      }
    });
  };
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const float scale = static_cast<float>(255 / dtype_range(image.dtype));
    each([&](std::int64_t y, std::int64_t x, std::int64_t i) {
      level.inside[i] = 1;
      for (int c = 0; c < 3; ++c) {
        level.image[c * level.plane + i] = scale * to_real<float>(*from.at<T>(y, x, c));
        level.change[c * level.plane + i] = *to.at<float>(y, x, c);
      }
    });
  });
  smooth(level, 0);
  each([&](std::int64_t y, std::int64_t x, std::int64_t i) {
    for (int c = 0; c < 3; ++c) *to.at<float>(y, x, c) = level.change[c * level.plane + i];
  });
}

}  // namespace pyharmony
