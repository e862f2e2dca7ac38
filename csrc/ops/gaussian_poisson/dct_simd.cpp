// A fast direct solver: cosine transforms along the rows, elimination along the columns.
//
// The DCT-II along x splits A into one tridiagonal system a column l, of size H,
//   T_l = q_l Ly + mu_l I,   q_l = 1 - c w1 g_l,   mu_l = lambda_l + c (w0 + 2 w1) g_l,
//   lambda_l = 4 sin^2(pi l / 2W),   g_l = w0 + 2 w1 cos(pi l / W),   c the weight,
// with Ly the Laplacian of a line: G = (w0 + 2 w1) I - w1 L along each axis. Elimination costs a
// fraction of the two transforms along y that it replaces (Hockney 1965), takes any H equally
// well and is as exact, as its pivots are kept as q + delta with delta positive: no cancellation.
// Where GP-GAN's taps make some T_l indefinite, columns are transformed too.
//
// A width with a large prime factor is padded to a length n that transforms well, with zeros in b.
// Cutting the links between the columns W - 1 and W again takes a flux s(y) along them,
//   A' z = b + s d,  d = +1 in column W - 1, -1 in column W,  with s = q (z_{W-1} - z_W),
// which a DCT along y decouples (Sherman-Morrison for each frequency): one more elimination, and
// two transforms of a single column. All terms stay of the size of the answer, as the flux of the
// first solution is taken from the sum over the padding, which it feeds.
//
// Three passes share one workspace, stored as tiles of V columns (V lanes of a register):
//   rows:    b formed on load, DCT-II of V rows at once;
//   columns: V systems at once, the same for all channels;
//   rows:    DCT-III of V rows at once, rounded and stored.
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/real_vec.h"
#include "ops/gaussian_poisson/dct.h"
#include "ops/gaussian_poisson/rhs_rows.h"

#define HM_JOIN_(a, b) a##b
#define HM_JOIN(a, b) HM_JOIN_(a, b)
// This is a namespace of the header's own for each instruction set, as its inline functions differ.
#define pocketfft HM_JOIN(pocketfft_, HM_SIMD_NS)
#define POCKETFFT_NO_MULTITHREADING
#include "third_party/pocketfft/pocketfft_hdronly.h"

// Bluestein's algorithm prepares itself by a forward transform of plain numbers. It runs in all
// lanes of registers, as the transforms of rows do: code of its own would be a third of this
// file's.
#define HM_TRANSFORM_IN_LANES(Real)                                                       \
  template <>                                                                             \
  template <>                                                                             \
  inline void cfftp<Real>::exec(cmplx<Real> c[], Real factor, bool) const {               \
    using Vec = pyharmony::HM_SIMD_NS::VecOf<Real>::type;                                 \
    pyharmony::Buffer<cmplx<Vec>> lanes(length);                                          \
    for (std::size_t i = 0; i < length; ++i) lanes[i] = {Vec{} + c[i].r, Vec{} + c[i].i}; \
    pass_all<true>(lanes.data(), factor);                                                 \
    for (std::size_t i = 0; i < length; ++i) c[i].Set(lanes[i].r[0], lanes[i].i[0]);      \
  }
namespace pocketfft::detail {
HM_TRANSFORM_IN_LANES(float)
HM_TRANSFORM_IN_LANES(double)
}  // namespace pocketfft::detail
#undef HM_TRANSFORM_IN_LANES

namespace pyharmony::HM_SIMD_NS {
namespace {

using gaussian_poisson::DctParams;
using gaussian_poisson::Problem;

constexpr double kPi = 3.14159265358979323846;

// Does one stage of a transpose: exchanges the off-diagonal blocks of 2 kStep x 2 kStep lanes.
template <int kStep, typename Vec, int... kLane>
inline void exchange(Vec& a, Vec& b, std::integer_sequence<int, kLane...>) {
  constexpr int n = sizeof...(kLane);
  const Vec low = __builtin_shufflevector(a, b, ((kLane & kStep) ? n + kLane - kStep : kLane)...);
  b = __builtin_shufflevector(a, b, ((kLane & kStep) ? n + kLane : kLane + kStep)...);
  a = low;
}

template <int kCount, int kStep, typename Vec>
inline void transpose_stages(Vec* m) {
#pragma GCC unroll 16
  for (int i = 0; i < kCount; ++i) {
    if (!(i & kStep)) {
      exchange<kStep>(m[i], m[i + kStep], std::make_integer_sequence<int, kCount>());
    }
  }
  if constexpr (kStep > 1) transpose_stages<kCount, kStep / 2>(m);
}

template <typename Real>
inline void transpose(const typename VecOf<Real>::type* in, typename VecOf<Real>::type* out) {
  constexpr int n = kWidth<Real>;
  typename VecOf<Real>::type m[n];
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) m[i] = in[i];
  transpose_stages<n, n / 2>(m);
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) out[i] = m[i];
}

// Interleaves one register of each channel to three registers of pixels, and the reverse.
template <typename Vec, int... kLane>
inline void interleave3(const Vec& p0, const Vec& p1, const Vec& p2, Vec* out,
                        std::integer_sequence<int, kLane...>) {
  constexpr int n = sizeof...(kLane);
  auto make = [&](auto part) {
    constexpr int g = decltype(part)::value * n;
    const Vec two = __builtin_shufflevector(
        p0, p1, ((g + kLane) % 3 == 1 ? n + (g + kLane) / 3 : (g + kLane) / 3)...);
    return Vec(
        __builtin_shufflevector(two, p2, ((g + kLane) % 3 == 2 ? n + (g + kLane) / 3 : kLane)...));
  };
  out[0] = make(std::integral_constant<int, 0>());
  out[1] = make(std::integral_constant<int, 1>());
  out[2] = make(std::integral_constant<int, 2>());
}

template <typename Vec, int... kLane>
inline void split3(const Vec& a, const Vec& b, const Vec& c, Vec* const* out,
                   std::integer_sequence<int, kLane...>) {
  constexpr int n = sizeof...(kLane);
  auto make = [&](auto channel) {
    constexpr int k = decltype(channel)::value;
    const Vec two = __builtin_shufflevector(a, b, (3 * kLane + k < 2 * n ? 3 * kLane + k : 0)...);
    return Vec(
        __builtin_shufflevector(two, c, (3 * kLane + k < 2 * n ? kLane : 3 * kLane + k - n)...));
  };
  *out[0] = make(std::integral_constant<int, 0>());
  *out[1] = make(std::integral_constant<int, 1>());
  *out[2] = make(std::integral_constant<int, 2>());
}

template <typename Real>
class DctSolver {
  using Vec = typename VecOf<Real>::type;
  using Transform = pocketfft::detail::T_dcst23<Real>;
  static constexpr std::int64_t kV = kWidth<Real>;
  static constexpr std::int64_t kStrip = 256;  // columns whose right-hand side is formed at once

 public:
  explicit DctSolver(const DctParams& params)
      : params_(params),
        problem_(params.problem),
        h_(params.height()),
        w_(params.width()),
        c_(params.channels()),
        definite_(is_definite(w_)),
        n_(transform_length()),
        tiles_((n_ + kV - 1) / kV),
        pitch_(h_ | 1),
        row_blocks_((h_ + kV - 1) / kV),
        row_transform_(static_cast<std::size_t>(n_)) {}

  std::int64_t run() {
    work_ = Buffer<Vec>(static_cast<std::size_t>(c_ * tiles_ * pitch_));
    sums_.assign(static_cast<std::size_t>(row_blocks_ * c_), 0.0);
    parallel_each(row_blocks_, 1, [&](std::int64_t i) { forward_rows(i); });
    std::vector<double> total(static_cast<std::size_t>(c_));
    for (std::size_t i = 0; i < sums_.size(); ++i) total[i % c_] += sums_[i];
    mean_ = gaussian_poisson::known_mean(params_, total);
    if (!definite_) column_transform_ = std::make_unique<Transform>(static_cast<std::size_t>(h_));
    if (n_ > w_) {
      padding_.resize(static_cast<std::size_t>(c_ * tiles_ * h_));
      flux_.resize(static_cast<std::size_t>(c_ * h_));
      parallel_each(tiles_, 1, [&](std::int64_t t) { eliminate_columns<false>(t); });
      find_flux();
    }
    parallel_each(tiles_, 1, [&](std::int64_t t) {
      definite_ ? eliminate_columns<true>(t) : transform_columns(t);
    });
    for (std::int64_t k = 0; k < c_; ++k) set_mean(k);
    parallel_each(row_blocks_, 1, [&](std::int64_t i) { inverse_rows(i); });
    return clipped_.load();
  }

 private:
  // Returns the rows of channel k in the columns [t V, (t + 1) V).
  Vec* tile(std::int64_t k, std::int64_t t) { return work_.data() + (k * tiles_ + t) * pitch_; }

  // Returns W, or the next number without prime factors above 5 if its transform is much cheaper.
  std::int64_t transform_length() const {
    if (!definite_ || w_ < 32 || link_of(0, h_) <= 0) return w_;
    std::int64_t n = w_;
    for (;; ++n) {
      std::int64_t rest = n;
      for (std::int64_t factor : {2, 3, 5}) {
        while (rest % factor == 0) rest /= factor;
      }
      if (rest == 1) break;
    }
    using pocketfft::detail::util;
    return util::cost_guess(static_cast<std::size_t>(w_)) >
                   2 * util::cost_guess(static_cast<std::size_t>(n))
               ? n
               : w_;
  }

  void forward_rows(std::int64_t block) {
    const std::int64_t y0 = block * kV, rows = std::min(kV, h_ - y0);
    double* sum = sums_.data() + block * c_;
    for (std::int64_t x0 = 0; x0 < w_; x0 += kStrip) {
      const std::int64_t x1 = std::min(w_, x0 + kStrip);
      RhsRows<Real> rhs(params_, x0, x1);
      for (std::int64_t y = y0; y < y0 + rows; ++y) split_row(rhs.next(y, sum), x0, x1, y);
      rhs.finish(sum);
    }
    for (std::int64_t t = (w_ + kV - 1) / kV; t < tiles_; ++t) {
      for (std::int64_t k = 0; k < c_; ++k) std::fill_n(tile(k, t) + y0, rows, Vec{});
    }
    Buffer<Vec> lines(static_cast<std::size_t>(tiles_ * kV));
    for (std::int64_t k = 0; k < c_; ++k) transform_rows<2>(k, y0, rows, lines.data());
  }

  // Splits interleaved pixels of the columns [x0, x1) into the tiles, with zeros past the width.
  void split_row(const Real* pixels, std::int64_t x0, std::int64_t x1, std::int64_t y) {
    typedef Vec Loose __attribute__((aligned(sizeof(Real))));
    for (std::int64_t t = x0 / kV; t * kV < x1; ++t, pixels += kV * c_) {
      const Loose* in = reinterpret_cast<const Loose*>(pixels);
      if (c_ == 1) {
        tile(0, t)[y] = in[0];
      } else if (c_ == 3) {
        Vec* const out[3] = {tile(0, t) + y, tile(1, t) + y, tile(2, t) + y};
        split3<Vec>(in[0], in[1], in[2], out, std::make_integer_sequence<int, kV>());
      } else {
        for (std::int64_t k = 0; k < c_; ++k) {
          Real* out = reinterpret_cast<Real*>(tile(k, t) + y);
          for (std::int64_t i = 0; i < kV; ++i) out[i] = pixels[i * c_ + k];
        }
      }
    }
  }

  void interleave_row(std::int64_t x0, std::int64_t x1, std::int64_t y, Real* pixels) {
    for (std::int64_t t = x0 / kV; t * kV < x1; ++t, pixels += kV * c_) {
      Vec* out = reinterpret_cast<Vec*>(pixels);
      if (c_ == 1) {
        out[0] = tile(0, t)[y];
      } else if (c_ == 3) {
        interleave3<Vec>(tile(0, t)[y], tile(1, t)[y], tile(2, t)[y], out,
                         std::make_integer_sequence<int, kV>());
      } else {
        for (std::int64_t k = 0; k < c_; ++k) {
          const Real* in = reinterpret_cast<const Real*>(tile(k, t) + y);
          for (std::int64_t i = 0; i < kV; ++i) pixels[i * c_ + k] = in[i];
        }
      }
    }
  }

  // Transforms `rows` rows of channel k in place.
  template <int kType>
  void transform_rows(std::int64_t k, std::int64_t y0, std::int64_t rows, Vec* lines) {
    Vec edge[kV];
    for (std::int64_t t = 0; t < tiles_; ++t) {
      Vec* in = tile(k, t) + y0;
      if (rows < kV) {
        for (std::int64_t i = 0; i < kV; ++i) edge[i] = i < rows ? in[i] : Vec{};
        in = edge;
      }
      transpose<Real>(in, lines + t * kV);
    }
    row_transform_.exec(lines, Real(1), false, kType, true);
    for (std::int64_t t = 0; t < tiles_; ++t) {
      Vec* out = tile(k, t) + y0;
      if (rows < kV) {
        transpose<Real>(lines + t * kV, edge);
        for (std::int64_t i = 0; i < rows; ++i) out[i] = edge[i];
      } else {
        transpose<Real>(lines + t * kV, out);
      }
    }
  }

  double lambda(std::int64_t k, std::int64_t n) const {
    const double s = 2 * std::sin(kPi * static_cast<double>(k) / (2 * static_cast<double>(n)));
    return s * s;
  }
  double gauss(std::int64_t k, std::int64_t n) const {
    return problem_.w0 + 2 * problem_.w1 - problem_.w1 * lambda(k, n);
  }
  // These are q and mu for frequency l of n points.
  double link_of(std::int64_t l, std::int64_t n) const {
    return 1 - problem_.weight * problem_.w1 * gauss(l, n);
  }
  double shift_of(std::int64_t l, std::int64_t n) const {
    return lambda(l, n) + problem_.weight * (problem_.w0 + 2 * problem_.w1) * gauss(l, n);
  }

  // Returns whether all T_l are definite, and diagonally dominant where their links are negative.
  bool is_definite(std::int64_t n) const {
    for (std::int64_t l = 0; l < n; ++l) {
      const double q = link_of(l, n), mu = shift_of(l, n);
      if (q > 0 ? mu < 0 : mu + 4 * q <= 0) return false;
    }
    return true;
  }

  // Solves the systems of tile t in place, or only finds the padding's row sums.
  template <bool kStore>
  void eliminate_columns(std::int64_t t) {
    // Lanes past the end hold an identity.
    Vec q = {}, mu = Vec{} + Real(1), jump = {}, sum = {};
    const Vec scale = Vec{} + static_cast<Real>(1.0 / (2.0 * static_cast<double>(n_)));
    for (std::int64_t i = 0; i < kV; ++i) {
      const std::int64_t l = t * kV + i;
      if (l >= n_) continue;
      q[i] = static_cast<Real>(link_of(l, n_));
      mu[i] = static_cast<Real>(shift_of(l, n_));
      // This is the transform of d, and the sum over the padding of the basis function.
      const double half = std::sin(kPi * static_cast<double>(l) / (2.0 * static_cast<double>(n_)));
      const double cut =
          std::sin(kPi * static_cast<double>(l * w_ % (2 * n_)) / static_cast<double>(n_));
      jump[i] = static_cast<Real>(4 * cut * half);
      sum[i] = static_cast<Real>(l == 0 ? static_cast<double>(n_ - w_) : -cut / half);
    }
    // T = (I - ratio S) D (I - ratio S^T), where D is the pivots; `inverse` is scale / D.
    const std::size_t rows = static_cast<std::size_t>(h_);
    Buffer<Vec> ratio(rows), inverse(rows), column(kStore ? 0 : rows);
    const Vec one = Vec{} + Real(1);
    // A smaller last pivot of the constant turns rounding into a constant that hides the rest.
    constexpr Real kLostPivot = std::numeric_limits<Real>::epsilon() / 16;
    Vec delta = mu;
    for (std::int64_t y = 0; y < h_; ++y) {
      if (y > 0) delta = mu + ratio[y - 1] * delta;
      Vec pivot = delta;
      if (y < h_ - 1) pivot += q;
      if (y == h_ - 1 && t == 0 && pivot[0] < kLostPivot) pivot[0] = 1;  // the mean is set later
      const Vec reciprocal = one / pivot;
      ratio[y] = q * reciprocal;
      inverse[y] = scale * reciprocal;
    }
    for (std::int64_t k = 0; k < c_; ++k) {
      const Vec* in = tile(k, t);
      Vec* x = kStore ? tile(k, t) : column.data();
      Vec carry = {};
      const Real* flux = kStore && n_ > w_ ? flux_.data() + k * h_ : nullptr;
      for (std::int64_t y = 0; y < h_; ++y) {
        Vec value = in[y] + carry;
        if (flux) value += flux[y] * jump;
        carry = ratio[y] * value;
        x[y] = value;
      }
      carry = Vec{};
      for (std::int64_t y = h_ - 1; y >= 0; --y) {
        carry = inverse[y] * x[y] + (y < h_ - 1 ? ratio[y] * carry : Vec{});
        x[y] = carry;
      }
      if (n_ == w_) continue;
      if (!kStore && t == 0 && problem_.weight > 0) {
        // The constant is known, and rounding may have put a large one in its place.
        double total = 0;
        for (std::int64_t y = 0; y < h_; ++y) total += x[y][0];
        const double share = static_cast<double>(w_) / static_cast<double>(n_);
        const double add = mean_[k] * share - total / static_cast<double>(h_);
        for (std::int64_t y = 0; y < h_; ++y) x[y][0] = static_cast<Real>(x[y][0] + add);
      }
      Real* parts = padding_.data() + (k * tiles_ + t) * h_;
      for (std::int64_t y = 0; y < h_; ++y) {
        const Vec product = sum * x[y];
        Real part = 0;
        for (std::int64_t i = 0; i < kV; ++i) part += product[i];
        parts[y] = part;
      }
    }
  }

  // Returns the sum over the padding of row y in the latest solution.
  double padding_sum(std::int64_t k, std::int64_t y) const {
    double total = 0;
    for (std::int64_t t = 0; n_ > w_ && t < tiles_; ++t)
      total += padding_[(k * tiles_ + t) * h_ + y];
    return total;
  }

  // Finds s(y). At each frequency along y the flux into the padding is mu S, S the padding's sum;
  // it becomes s = (1 + q h) mu S, h the sum of the corners of the inverses of both parts.
  void find_flux() {
    constexpr std::int64_t kLines = kWidth<double>;  // channels that are transformed at once
    const pocketfft::detail::T_dcst23<double> transform(static_cast<std::size_t>(h_));
    parallel_for((c_ + kLines - 1) / kLines, 1, [&](std::int64_t begin, std::int64_t end) {
      Buffer<VecD> s(static_cast<std::size_t>(h_));
      for (std::int64_t k0 = begin * kLines; k0 < std::min(c_, end * kLines); k0 += kLines) {
        const std::int64_t some = std::min(kLines, c_ - k0);
        for (std::int64_t y = 0; y < h_; ++y) {
          s[y] = VecD{};
          for (std::int64_t i = 0; i < some; ++i) s[y][i] = padding_sum(k0 + i, y);
        }
        transform.exec(s.data(), 0.5 / static_cast<double>(h_), false, 2, true);
        for (std::int64_t f = 0; f < h_; ++f) {
          const double q = link_of(f, h_), mu = shift_of(f, h_);
          // mu / q = 4 sinh^2(theta / 2), and mu q h has a form that is exact for small theta.
          const double sine = std::sqrt(mu / q) / 2, theta = 2 * std::asinh(sine);
          double factor = mu;
          for (std::int64_t n : {w_, n_ - w_}) {
            const double m = static_cast<double>(n);
            factor += mu == 0
                          ? q / m
                          : 2 * q * sine * std::exp(-theta / 2) *
                                (1 + std::exp(-(2 * m - 1) * theta)) / -std::expm1(-2 * m * theta);
          }
          s[f] *= mu == 0 ? 0.0 : factor;
        }
        transform.exec(s.data(), 1.0, false, 3, true);
        for (std::int64_t i = 0; i < some; ++i) {
          for (std::int64_t y = 0; y < h_; ++y)
            flux_[(k0 + i) * h_ + y] = static_cast<Real>(s[y][i]);
        }
      }
    });
  }

  // Lane 0 of tile 0 is the mean of each row, padding included.
  void set_mean(std::int64_t k) {
    Vec* x = tile(k, 0);
    double total = 0;
    for (std::int64_t y = 0; y < h_; ++y) {
      total += static_cast<double>(n_) * x[y][0] - padding_sum(k, y);
    }
    const double add = mean_[k] - total / (static_cast<double>(h_) * static_cast<double>(w_));
    for (std::int64_t y = 0; y < h_; ++y) x[y][0] = static_cast<Real>(x[y][0] + add);
  }

  void transform_columns(std::int64_t t) {
    for (std::int64_t k = 0; k < c_; ++k) {
      Vec* x = tile(k, t);
      column_transform_->exec(x, Real(1), false, 2, true);
      for (std::int64_t y = 0; y < h_; ++y) {
        Vec factor = {};
        for (std::int64_t i = 0; i < kV; ++i) {
          const std::int64_t l = std::min(t * kV + i, w_ - 1);
          double eigenvalue =
              lambda(y, h_) + lambda(l, w_) + problem_.weight * gauss(y, h_) * gauss(l, w_);
          // GP-GAN's code does the same.
          if (eigenvalue >= 0 && eigenvalue < 1e-12) eigenvalue = 1e-12;
          if (eigenvalue < 0 && eigenvalue > -1e-12) eigenvalue = -1e-12;
          factor[i] = static_cast<Real>(1.0 / (4.0 * static_cast<double>(h_ * w_) * eigenvalue));
        }
        x[y] *= factor;
      }
      column_transform_->exec(x, Real(1), false, 3, true);
    }
  }

  void inverse_rows(std::int64_t block) {
    const std::int64_t y0 = block * kV, rows = std::min(kV, h_ - y0);
    {
      Buffer<Vec> lines(static_cast<std::size_t>(tiles_ * kV));
      for (std::int64_t k = 0; k < c_; ++k) transform_rows<3>(k, y0, rows, lines.data());
    }
    Buffer<Real> pixels(static_cast<std::size_t>(c_ * kStrip));
    for (std::int64_t x0 = 0; x0 < w_; x0 += kStrip) {
      const std::int64_t x1 = std::min(w_, x0 + kStrip);
      const ImageView out = columns(params_.out, x0, x1);
      for (std::int64_t y = y0; y < y0 + rows; ++y) {
        interleave_row(x0, x1, y, pixels.data());
        clipped_ += count_clipped(pixels.data(), (x1 - x0) * c_, out.dtype);
        store_row(pixels.data(), out, y);
      }
    }
  }

  const DctParams& params_;
  const Problem& problem_;
  const std::int64_t h_, w_, c_;
  const bool definite_;
  const std::int64_t n_;  // length of the transforms along x, at least W
  const std::int64_t tiles_;
  const std::int64_t
      pitch_;  // pitch of tiles, in rows; odd, so that the tiles of a row do not share a cache set
  const std::int64_t row_blocks_;
  const Transform row_transform_;
  std::unique_ptr<Transform> column_transform_;
  Buffer<Vec> work_;
  std::vector<double> sums_, mean_;
  std::vector<Real> padding_;  // [C, tiles, H]: each tile's part of the row sums over the padding
  std::vector<Real> flux_;     // [C, H]
  std::atomic<std::int64_t> clipped_{0};
};

}  // namespace

std::int64_t gaussian_poisson_dct(const DctParams& params) {
  if (params.double_precision) return DctSolver<double>(params).run();
  return DctSolver<float>(params).run();
}

}  // namespace pyharmony::HM_SIMD_NS
