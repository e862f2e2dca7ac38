// CMake turns contraction off for this file: a product that is not rounded before it is added would
// change the last bit.
#include "core/resample.h"

#include <algorithm>
#include <cstring>

#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/pixel_rows.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kRun = 256;  // pixels whose sums stay in the first cache
constexpr int kMaxChannels = 4;

template <typename T>
constexpr std::int64_t kSlack = PixelRows::kSlack / static_cast<std::int64_t>(sizeof(T));

// Writes, or adds to sums, n values times a weight.
template <bool kAdds, typename Real, typename T>
void weigh(const T* __restrict in, Real weight, std::int64_t n, Real* __restrict sums) {
  for (std::int64_t i = 0; i < n; ++i) {
    const Real product = to_real<Real>(in[i]) * weight;
    sums[i] = kAdds ? sums[i] + product : product;
  }
}

template <typename T, typename Real>
void along_columns(const ResampleParams& p, const PixelRows& rows) {
  const std::int64_t channels = p.image.channels;
  alignas(64) T buffer[kRun * kMaxChannels + kSlack<T>];
  for (std::int64_t y = p.y0; y < p.y1; ++y) {
    for (std::int64_t x = 0; x < p.out.width; x += kRun) {
      const std::int64_t n = std::min(kRun, p.out.width - x);
      Real* const sums = p.out.at<Real>(y, x, 0);
      for (std::int64_t k = 0; k < p.count; ++k) {
        const std::int64_t at = k * p.cells + y;
        const T* const in = rows.read(static_cast<std::int64_t>(p.taps[at]), x, n, buffer);
        const Real weight = static_cast<Real>(p.weights[at]);
        k == 0 ? weigh<false>(in, weight, n * channels, sums)
               : weigh<true>(in, weight, n * channels, sums);
      }
    }
  }
}

// Sums pixels of kChannels. Those of three are moved with a value more, which the next one
// overwrites.
template <int kChannels, typename Real>
void along_row(const ResampleParams& p, const Real* in, const std::int32_t* taps,
               const Real* weights, Real* sums) {
  constexpr int kMoved = kChannels == 3 ? 4 : kChannels;
  typedef Real Pixel __attribute__((vector_size(kMoved * sizeof(Real))));
  for (std::int64_t i = 0; i < p.cells; ++i) {
    Pixel sum{};
    for (std::int64_t k = 0; k < p.count; ++k) {
      Pixel pixel;
      std::memcpy(&pixel, in + kChannels * taps[k * p.cells + i], sizeof(pixel));
      const Pixel product = pixel * weights[k * p.cells + i];
      sum = k == 0 ? product : sum + product;
    }
    std::memcpy(sums + kChannels * i, &sum, sizeof(sum));
  }
}

template <typename T, typename Real>
void along_rows(const ResampleParams& p, const PixelRows& rows) {
  const std::int64_t channels = p.image.channels, width = p.image.width;
  const std::size_t size = static_cast<std::size_t>(p.count * p.cells);
  Buffer<T> pixels(static_cast<std::size_t>(width * channels + kSlack<T>));
  Buffer<Real> reals(static_cast<std::size_t>(width * channels + 1)), weights(size);
  Buffer<Real> sums(static_cast<std::size_t>(p.cells * channels + 1));
  Buffer<std::int32_t> taps(size);
  std::copy(p.taps, p.taps + size, taps.data());
  std::copy(p.weights, p.weights + size, weights.data());
  reals[static_cast<std::size_t>(width * channels)] = 0;
  for (std::int64_t y = p.y0; y < p.y1; ++y) {
    const T* const in = rows.read(y, 0, width, pixels.data());
    for (std::int64_t i = 0; i < width * channels; ++i) reals[i] = to_real<Real>(in[i]);
    switch (channels) {
      case 1: along_row<1>(p, reals.data(), taps.data(), weights.data(), sums.data()); break;
      case 2: along_row<2>(p, reals.data(), taps.data(), weights.data(), sums.data()); break;
      case 3: along_row<3>(p, reals.data(), taps.data(), weights.data(), sums.data()); break;
      default: along_row<4>(p, reals.data(), taps.data(), weights.data(), sums.data());
    }
    std::memcpy(p.out.at<Real>(y, 0, 0), sums.data(),
                static_cast<std::size_t>(p.cells * channels) * sizeof(Real));
  }
}

}  // namespace

void resample_kernel(const ResampleParams& p) {
  const PixelRows rows(p.image);
  dispatch_image(p.image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (p.out.dtype == DType::kFloat64) {
      p.across ? along_rows<T, double>(p, rows) : along_columns<T, double>(p, rows);
    } else {
      p.across ? along_rows<T, float>(p, rows) : along_columns<T, float>(p, rows);
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
