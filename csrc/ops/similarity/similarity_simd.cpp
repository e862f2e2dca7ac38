#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/dispatch.h"
#include "core/parallel.h"
#include "core/vec.h"
#include "ops/similarity/similarity.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

// ---- squared errors ----

constexpr std::int64_t kRangePixels = 1 << 15;
constexpr std::int64_t kRun = 512;  // values whose sum of squares of bytes fits in 32 bits

// Returns the sum of (a - b)^2 over n values; exact for integers.
template <typename T>
double sum_of_squares(const T* a, const T* b, std::int64_t n) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    std::int32_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int32_t difference = a[i] - b[i];
      sum += difference * difference;
    }
    return sum;
  } else {
    // Lanes of their own, so that the order of sums is the same for all registers.
    constexpr int kSums = 8;
    std::array<double, kSums> sums{};
    std::int64_t i = 0;
    for (; i + kSums <= n; i += kSums) {
      for (int lane = 0; lane < kSums; ++lane) {
        const double difference = to_real<double>(a[i + lane]) - to_real<double>(b[i + lane]);
        sums[lane] += difference * difference;
      }
    }
    for (int lane = 0; i < n; ++i, ++lane) {
      const double difference = to_real<double>(a[i]) - to_real<double>(b[i]);
      sums[lane] += difference * difference;
    }
    for (int half = kSums / 2; half > 0; half /= 2) {
      for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
    }
    return sums[0];
  }
}

bool are_interleaved(const SimilarityParams& p) {
  for (const ImageView* image : {&p.output, &p.target}) {
    if (image->col_stride != image->channels ||
        (image->channels > 1 && image->channel_stride != 1)) {
      return false;
    }
  }
  return true;
}

template <typename T>
void row_of_squares(const SimilarityParams& p, std::int64_t y, const ImageView& weights,
                    double* sums) {
  const std::int64_t width = p.output.width, channels = p.output.channels;
  double plain = 0, weighted = 0;
  if (weights.data == nullptr) {
    // Values that are apart are copied first: the order of sums does not depend on strides.
    const bool interleaved = are_interleaved(p);
    std::array<T, kRun> first, second;
    std::int64_t x = 0, c = 0;
    for (std::int64_t i = 0, n = width * channels; i < n; i += kRun) {
      const std::int64_t count = std::min(kRun, n - i);
      const T *a = first.data(), *b = second.data();
      if (interleaved) {
        a = p.output.at<T>(y, 0, 0) + i;
        b = p.target.at<T>(y, 0, 0) + i;
      } else {
        for (std::int64_t j = 0; j < count; ++j) {
          first[j] = *p.output.at<T>(y, x, c);
          second[j] = *p.target.at<T>(y, x, c);
          if (++c == channels) c = 0, ++x;
        }
      }
      plain += sum_of_squares(a, b, count);
    }
  } else {
    for (std::int64_t x = 0; x < width; ++x) {
      double pixel = 0;
      for (std::int64_t c = 0; c < channels; ++c) {
        const double difference =
            to_real<double>(*p.output.at<T>(y, x, c)) - to_real<double>(*p.target.at<T>(y, x, c));
        pixel += difference * difference;
      }
      plain += pixel;
      weighted += pixel * *weights.at<double>(y, x, 0);
    }
  }
  sums[0] = plain * p.scale * p.scale;
  sums[1] = weighted * p.scale * p.scale;
}

// ---- SSIM ----

constexpr int kRadius = kSimilarityRadius;
constexpr int kWindow = 2 * kRadius + 1;
constexpr int kMoments = 4;          // x, y, x^2 + y^2 and x y are all that SSIM needs
constexpr std::int64_t kStrip = 32;  // rows
constexpr std::int64_t kTile =
    128;  // columns, so few that the moments of a window's rows fit in L2
constexpr std::int64_t kTileMargin = kTile + 2 * kRadius;
constexpr double kC1 =
    (0.01 * 255) * (0.01 * 255);  // keeps the luminance term's denominator above 0
constexpr double kC2 =
    (0.03 * 255) * (0.03 * 255);  // keeps that of the contrast and structure term

// A Gaussian with a sigma of 1.5 pixels; [i] is the weight at a distance of i.
std::array<double, kRadius + 1> half_kernel() {
  std::array<double, kRadius + 1> half;
  double sum = 0;
  for (int i = 0; i <= kRadius; ++i) {
    half[i] = std::exp(-i * i / (2 * 1.5 * 1.5));
    sum += i == 0 ? half[i] : 2 * half[i];
  }
  for (double& weight : half) weight /= sum;
  return half;
}

// Returns i mirrored at the ends of [0, n), whose first and last values are repeated.
std::int64_t mirrored(std::int64_t i, std::int64_t n) {
  if (i < 0) return -1 - i;
  return i < n ? i : 2 * n - 1 - i;
}

using MomentRows = double[kMoments][kTileMargin];

// Reads the moments of a row from column `left` on, which may be before the image.
template <typename T>
void read_moments(const SimilarityParams& p, std::int64_t y, std::int64_t left, std::int64_t n,
                  std::int64_t channel, MomentRows& out) {
  const std::int64_t row = mirrored(y, p.output.height);
  const T* const a = p.output.at<T>(row, 0, channel);
  const T* const b = p.target.at<T>(row, 0, channel);
  const std::int64_t a_step = p.output.col_stride, b_step = p.target.col_stride;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t x = mirrored(left + i, p.output.width);
    out[0][i] = to_real<double>(a[x * a_step]) * p.scale;
    out[1][i] = to_real<double>(b[x * b_step]) * p.scale;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    out[2][i] = out[0][i] * out[0][i] + out[1][i] * out[1][i];
    out[3][i] = out[0][i] * out[1][i];
  }
}

class Tile {
 public:
  Tile(const SimilarityParams& params, const ImageView& map)
      : p_(params), map_(map), half_(half_kernel()), rows_(kWindow) {}

  // Adds the channels of columns [x, x + n) of rows [top, bottom) to the map.
  template <typename T>
  void run(std::int64_t top, std::int64_t bottom, std::int64_t x, std::int64_t n) {
    for (std::int64_t channel = 0; channel < p_.output.channels; ++channel) {
      // Row y has its place at y modulo the window's height.
      for (std::int64_t y = top - kRadius; y < top + kRadius; ++y) read<T>(y, x, n, channel);
      for (std::int64_t y = top; y < bottom; ++y) {
        read<T>(y + kRadius, x, n, channel);
        smooth_columns(y, n + 2 * kRadius);
        add_row(map_.at<double>(y, x, 0), n, channel == 0);
      }
    }
  }

 private:
  MomentRows& row(std::int64_t y) {
    return rows_[static_cast<std::size_t>((y + kWindow) % kWindow)].values;
  }

  template <typename T>
  void read(std::int64_t y, std::int64_t x, std::int64_t n, std::int64_t channel) {
    read_moments<T>(p_, y, x - kRadius, n + 2 * kRadius, channel, row(y));
  }

  void smooth_columns(std::int64_t y, std::int64_t n) {
    for (int m = 0; m < kMoments; ++m) {
      const double* at[kWindow];
      for (int i = 0; i < kWindow; ++i) at[i] = row(y + i - kRadius)[m];
      double* __restrict const out = columns_[m];
      for (std::int64_t i = 0; i < n; ++i) {
        double sum = half_[0] * at[kRadius][i];
        for (int k = 1; k <= kRadius; ++k) {
          sum += half_[k] * (at[kRadius - k][i] + at[kRadius + k][i]);
        }
        out[i] = sum;
      }
    }
  }

  void add_row(double* __restrict out, std::int64_t n, bool first) {
    double smooth[kMoments][kTile];
    for (int m = 0; m < kMoments; ++m) {
      const double* const in = columns_[m] + kRadius;
      for (std::int64_t i = 0; i < n; ++i) {
        double sum = half_[0] * in[i];
        for (int k = 1; k <= kRadius; ++k) sum += half_[k] * (in[i - k] + in[i + k]);
        smooth[m][i] = sum;
      }
    }
    const double channels = static_cast<double>(p_.output.channels);
    for (std::int64_t i = 0; i < n; ++i) {
      const double means = smooth[0][i] * smooth[1][i];
      const double both = smooth[0][i] * smooth[0][i] + smooth[1][i] * smooth[1][i];
      const double squares = smooth[2][i] - both, product = smooth[3][i] - means;
      const double ssim =
          (2 * means + kC1) * (2 * product + kC2) / ((both + kC1) * (squares + kC2)) / channels;
      out[i] = first ? ssim : out[i] + ssim;
    }
  }

  struct Row {
    alignas(64) MomentRows values;
  };

  const SimilarityParams& p_;
  const ImageView& map_;
  std::array<double, kRadius + 1> half_;
  std::vector<Row> rows_;
  alignas(64) MomentRows columns_;
};

}  // namespace

void squared_errors_kernel(const SimilarityParams& p, const ImageView& weights, double* sums) {
  const std::int64_t rows = kRangePixels / std::max<std::int64_t>(1, p.output.width);
  dispatch_image(p.output.dtype, "output", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_each(p.output.height, std::max<std::int64_t>(1, rows),
                  [&](std::int64_t y) { row_of_squares<T>(p, y, weights, sums + 2 * y); });
  });
}

void similarity_kernel(const SimilarityParams& p, const ImageView& map) {
  dispatch_image(p.output.dtype, "output", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(map.height, kStrip, [&](std::int64_t top, std::int64_t bottom) {
      Tile tile(p, map);
      for (std::int64_t x = 0; x < map.width; x += kTile) {
        tile.template run<T>(top, bottom, x, std::min(kTile, map.width - x));
      }
    });
  });
}

}  // namespace pyharmony::HM_SIMD_NS
