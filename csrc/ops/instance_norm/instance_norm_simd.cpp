// Sums over the positions of each plane, then writes in a second pass. A plane of a planar tensor
// belongs to one task. Of channels-last tensors, tasks have tiles of rows, [rows, C], whose sums
// are added in order. Compiled once for each instruction set.
#include <algorithm>

#include "core/buffer.h"
#include "core/dispatch.h"
#include "core/parallel.h"
#include "core/real_vec.h"
#include "ops/instance_norm/instance_norm.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

using Call = InstanceNormCall;

constexpr std::int64_t kTaskBytes = std::int64_t(256) << 10;
constexpr std::int64_t kRun = 2048;  // values of a run; it is summed in reals, the runs in double
constexpr std::int64_t kTileBytes = std::int64_t(128) << 10, kTileRows = 512;
constexpr std::int64_t kMergeChannels = 64;

// Loops are written with one value, or with as many as a register has.
template <typename R>
struct One {
  using V = R;
  template <typename T>
  static V load(const T* p) {
    return to_real<R>(*p);
  }
  template <typename T>
  static void store(T* p, V v) {
    *p = from_real<T>(v);
  }
  static V repeat(R v) { return v; }
  static V multiply_add(V a, V b, V c) { return a * b + c; }
  static V kept(const std::uint8_t* p) { return static_cast<R>(*p); }
};

template <typename R>
struct Many {
  using V = typename VecOf<R>::type;
  template <typename T>
  static V load(const T* p) {
    return read(p);
  }
  template <typename T>
  static void store(T* p, V v) {
    write(p, v);
  }
  static V repeat(R v) { return all(v); }
  static V multiply_add(V a, V b, V c) { return HM_SIMD_NS::multiply_add(a, b, c); }
  static V kept(const std::uint8_t* p) {
    if constexpr (std::is_same_v<R, float>) {
      return load_as_float(p);
    } else {
      V v;
      for (int i = 0; i < kWidth<R>; ++i) v[i] = p[i];
      return v;
    }
  }
};

// Calls fn(lanes, i) for n values beside each other.
template <typename R, typename Fn>
inline void sweep(std::int64_t n, Fn&& fn) {
  constexpr int kStep = kWidth<R>;
  std::int64_t i = 0;
  for (; i + kStep <= n; i += kStep) fn(Many<R>{}, i);
  for (; i < n; ++i) fn(One<R>{}, i);
}

// Adds to totals the sums of fn(lanes, i, terms) over n values beside each other.
template <int kSums, typename R, typename Fn>
inline void add_values(std::int64_t n, Fn&& fn, double (&totals)[kSums]) {
  using V = typename Many<R>::V;
  constexpr int kStep = kWidth<R>, kAhead = 4;
  std::int64_t i = 0;
  if (n >= kStep) {  // A tiny plane would spend most of its time on empty sums.
    V part[kAhead][kSums] = {};
    const auto add = [&](V(&to)[kSums], std::int64_t at) {
      V terms[kSums];
      fn(Many<R>{}, at, terms);
      for (int s = 0; s < kSums; ++s) to[s] += terms[s];
    };
    for (; i + kAhead * kStep <= n; i += kAhead * kStep) {
      for (int a = 0; a < kAhead; ++a) add(part[a], i + a * kStep);
    }
    for (; i + kStep <= n; i += kStep) add(part[0], i);
    for (int s = 0; s < kSums; ++s) {
      const V both = (part[0][s] + part[1][s]) + (part[2][s] + part[3][s]);
      totals[s] += static_cast<double>(sum<R>(both));
    }
  }
  for (; i < n; ++i) {
    R terms[kSums];
    fn(One<R>{}, i, terms);
    for (int s = 0; s < kSums; ++s) totals[s] += static_cast<double>(terms[s]);
  }
}

// Adds to sums [kSums, channels] those of fn(lanes, row, channel, terms) over kRows rows.
template <int kRows, int kSums, typename R, typename Fn>
inline void add_some_rows(std::int64_t row, std::int64_t channels, Fn&& fn, R* sums) {
  sweep<R>(channels, [&](auto lanes, std::int64_t c) {
    using Lanes = decltype(lanes);
    typename Lanes::V total[kSums];
    for (int s = 0; s < kSums; ++s) total[s] = Lanes::load(sums + s * channels + c);
    for (int r = 0; r < kRows; ++r) {
      typename Lanes::V terms[kSums];
      fn(lanes, row + r, c, terms);
      for (int s = 0; s < kSums; ++s) total[s] += terms[s];
    }
    for (int s = 0; s < kSums; ++s) Lanes::store(sums + s * channels + c, total[s]);
  });
}

template <int kSums, typename R, typename Fn>
inline void add_rows(std::int64_t rows, std::int64_t channels, Fn&& fn, R* sums) {
  std::fill(sums, sums + kSums * channels, R(0));
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) add_some_rows<4, kSums>(row, channels, fn, sums);
  for (; row < rows; ++row) add_some_rows<1, kSums>(row, channels, fn, sums);
}

// The mean of n values and the sum of squared distances from it.
struct Moments {
  double count = 0, mean = 0, squares = 0;

  void add(double n, double other_mean, double other_squares) {
    const double total = count + n, apart = other_mean - mean;
    mean += apart * (n / total);
    squares += other_squares + apart * apart * (count * (n / total));
    count = total;
  }
  template <typename R>
  void store(double eps, R* stats) const {
    stats[0] = static_cast<R>(mean);
    stats[1] = static_cast<R>(mean - static_cast<double>(stats[0]));
    stats[2] = static_cast<R>(1 / std::sqrt(squares / count + eps));
  }
};

// ---- the three passes: their sums, what follows from the sums, what they write ------------------

// The constants of a plane: h = (x - constant[0]) constant[1] + constant[2], then what follows from
// the sums.
constexpr int kMean = 0, kScale = 1, kRest = 2, kNormal = 3;

template <typename R>
inline void normal_of(const R* stats, R* constants, std::int64_t step) {
  constants[kMean * step] = stats[0];
  constants[kScale * step] = stats[2];
  constants[kRest * step] = -stats[1] * stats[2];
}

template <typename Lanes, typename V = typename Lanes::V>
inline V normalised(V x, const V* constants) {
  return Lanes::multiply_add(x - constants[kMean], constants[kScale], constants[kRest]);
}

// Returns the value where h is positive, else slope times it. There is no branch because signs are
// random.
template <typename V>
inline V sloped(V h, V value, V slope) {
  const V low = value * slope;
  return h > V{} ? value : low;
}

// Passes with a scale and a shift have these two constants first, behind those of h.
constexpr int kGain = kNormal, kOffset = kNormal + 1, kAffine = kNormal + 2;

struct AffineForward {
  static constexpr bool kForward = true, kHasAffine = true;
  static constexpr int kInputs = 1, kOutputs = 1, kConstants = kAffine;
  template <typename Lanes, typename V = typename Lanes::V>
  static void write(const V (&in)[1], const V* constants, V slope, V (&out)[1]) {
    const V h = normalised<Lanes>(in[0], constants);
    const V a = Lanes::multiply_add(constants[kGain], h, constants[kOffset]);
    out[0] = sloped(a, a, slope);
  }
};

// The inputs are x, dy.
struct AffineGradient {
  static constexpr bool kForward = false, kHasAffine = true;
  static constexpr int kInputs = 2, kSums = 2, kOutputs = 1, kConstants = kAffine + 2;
  template <typename Lanes, typename V = typename Lanes::V>
  static void terms(const V (&in)[2], const V* constants, V slope, V (&out)[2]) {
    const V h = normalised<Lanes>(in[0], constants);
    const V a = Lanes::multiply_add(constants[kGain], h, constants[kOffset]);
    out[0] = sloped(a, in[1], slope);
    out[1] = out[0] * h;
  }
  template <typename R>
  static void follow(const double (&means)[2], R* constants, std::int64_t step) {
    for (int i = 0; i < 2; ++i) constants[(kAffine + i) * step] = static_cast<R>(means[i]);
  }
  template <typename Lanes, typename V = typename Lanes::V>
  static void write(const V (&in)[2], const V* constants, V slope, V (&out)[1]) {
    const V h = normalised<Lanes>(in[0], constants);
    const V a = Lanes::multiply_add(constants[kGain], h, constants[kOffset]);
    const V g = sloped(a, in[1], slope);
    out[0] = constants[kGain] * constants[kScale] *
             (g - constants[kAffine] - h * constants[kAffine + 1]);
  }
};

struct Forward {
  static constexpr bool kForward = true, kHasAffine = false;
  static constexpr int kInputs = 1, kOutputs = 1, kConstants = kNormal;
  template <typename Lanes, typename V = typename Lanes::V>
  static void write(const V (&in)[1], const V* constants, V slope, V (&out)[1]) {
    const V h = normalised<Lanes>(in[0], constants);
    out[0] = sloped(h, h, slope);
  }
};

// The inputs are x, dy.
struct Gradient {
  static constexpr bool kForward = false, kHasAffine = false;
  static constexpr int kInputs = 2, kSums = 2, kOutputs = 1, kConstants = kNormal + 2;
  template <typename Lanes, typename V = typename Lanes::V>
  static void terms(const V (&in)[2], const V* constants, V slope, V (&out)[2]) {
    const V h = normalised<Lanes>(in[0], constants);
    out[0] = sloped(h, in[1], slope);
    out[1] = out[0] * h;
  }
  template <typename R>
  static void follow(const double (&means)[2], R* constants, std::int64_t step) {
    for (int i = 0; i < 2; ++i) constants[(kNormal + i) * step] = static_cast<R>(means[i]);
  }
  template <typename Lanes, typename V = typename Lanes::V>
  static void write(const V (&in)[2], const V* constants, V slope, V (&out)[1]) {
    const V h = normalised<Lanes>(in[0], constants);
    const V g = sloped(h, in[1], slope);
    out[0] = constants[kScale] * (g - constants[kNormal] - h * constants[kNormal + 1]);
  }
};

// The inputs are x, dy, u.
struct SecondGradient {
  static constexpr bool kForward = false, kHasAffine = false;
  static constexpr int kInputs = 3, kSums = 5, kOutputs = 2, kConstants = kNormal + 5;
  template <typename Lanes, typename V = typename Lanes::V>
  static void terms(const V (&in)[3], const V* constants, V slope, V (&out)[5]) {
    const V h = normalised<Lanes>(in[0], constants);
    const V g = sloped(h, in[1], slope), u = in[2];
    out[0] = u;
    out[1] = g;
    out[2] = u * h;
    out[3] = g * h;
    out[4] = u * g;
  }
  template <typename R>
  static void follow(const double (&means)[5], R* constants, std::int64_t step) {
    const auto [u, g, uh, gh, ug] = means;
    const double values[] = {u, g, uh, gh, ug - u * g - 3 * uh * gh};
    for (int i = 0; i < 5; ++i) constants[(kNormal + i) * step] = static_cast<R>(values[i]);
  }
  template <typename Lanes, typename V = typename Lanes::V>
  static void write(const V (&in)[3], const V* constants, V slope, V (&out)[2]) {
    const V *mean = constants + kNormal, scale = constants[kScale];
    const V h = normalised<Lanes>(in[0], constants);
    const V g = sloped(h, in[1], slope) - mean[1], u = in[2] - mean[0];
    out[0] = sloped(h, scale * (u - h * mean[2]), slope);
    out[1] = -scale * scale * (h * mean[4] + mean[3] * u + mean[2] * g);
  }
};

// ---- tensors ------------------------------------------------------------------------------------

template <typename Pass>
struct Arrays {
  const Call& call;

  template <typename T>
  const T* from(int k) const {
    return static_cast<const T*>(call.in[k]);
  }
  template <typename T>
  T* to(int k) const {
    return static_cast<T*>(call.out[k]);
  }

  template <typename T, typename Lanes, typename V = typename Lanes::V>
  void load(std::int64_t at, Lanes, V (&values)[Pass::kInputs]) const {
    for (int k = 0; k < Pass::kInputs; ++k) values[k] = Lanes::load(from<T>(k) + at);
    if constexpr (!Pass::kForward) {
      if (call.keep != nullptr) values[1] *= dropped<T, Lanes>(at);
    }
  }
  // The factor of a dropout.
  template <typename T, typename Lanes>
  typename Lanes::V dropped(std::int64_t at) const {
    using R = typename RealOf<T>::type;
    return Lanes::kept(call.keep + at) * Lanes::repeat(static_cast<R>(call.gain));
  }
  template <typename T, typename Lanes, typename V = typename Lanes::V>
  void write(std::int64_t at, Lanes lanes, const V* constants, V slope) const {
    V values[Pass::kInputs], results[Pass::kOutputs];
    load<T>(at, lanes, values);
    Pass::template write<Lanes>(values, constants, slope, results);
    if constexpr (Pass::kForward || Pass::kOutputs == 2) {
      if (call.keep != nullptr) results[0] *= dropped<T, Lanes>(at);
    }
    for (int k = 0; k < Pass::kOutputs; ++k) Lanes::store(to<T>(k) + at, results[k]);
  }
};

// Repeats kCount constants, each the same for all lanes.
template <int kCount, typename Lanes, typename R>
inline void repeat(const R* constants, typename Lanes::V* values) {
  for (int k = 0; k < kCount; ++k) values[k] = Lanes::repeat(constants[k]);
}

template <typename T, typename R>
Moments moments_of(const T* x, std::int64_t n) {
  Moments moments;
  for (std::int64_t begin = 0; begin < n; begin += kRun) {
    const T* run = x + begin;
    const std::int64_t some = std::min(kRun, n - begin);
    // It sums distances from a value of the run: those of equal values are zero, and large means
    // cost no digits.
    const R first = to_real<R>(run[0]);
    double total[1] = {}, squares[1] = {};
    add_values<1, R>(
        some,
        [&](auto lanes, std::int64_t i, auto& terms) {
          terms[0] = lanes.load(run + i) - lanes.repeat(first);
        },
        total);
    const double apart = total[0] / static_cast<double>(some);
    const R middle = static_cast<R>(apart);
    add_values<1, R>(
        some,
        [&](auto lanes, std::int64_t i, auto& terms) {
          const auto d = lanes.load(run + i) - lanes.repeat(first) - lanes.repeat(middle);
          terms[0] = d * d;
        },
        squares);
    moments.add(static_cast<double>(some), static_cast<double>(first) + apart, squares[0]);
  }
  return moments;
}

template <typename Pass, typename T>
void planar(const Call& c) {
  using R = typename RealOf<T>::type;
  const Arrays<Pass> arrays{c};
  const std::int64_t bytes = c.plane * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t grain = std::max(std::int64_t(1), kTaskBytes / bytes);
  parallel_each(c.images * c.channels, grain, [&](std::int64_t i) {
    const std::int64_t at = i * c.plane;
    R* stats = static_cast<R*>(c.stats) + i * kInstanceNormStats;
    R constants[Pass::kConstants];
    if constexpr (Pass::kForward) {
      moments_of<T, R>(arrays.template from<T>(0) + at, c.plane).store(c.eps, stats);
      normal_of(stats, constants, 1);
    } else {
      normal_of(stats, constants, 1);
      typename Many<R>::V many[kNormal];
      R one[kNormal];
      repeat<kNormal, Many<R>>(constants, many);
      repeat<kNormal, One<R>>(constants, one);
      double sums[Pass::kSums] = {};
      for (std::int64_t run = 0; run < c.plane; run += kRun) {
        add_values<Pass::kSums, R>(
            std::min(kRun, c.plane - run),
            [&](auto lanes, std::int64_t j, auto& terms) {
              using Lanes = decltype(lanes);
              typename Lanes::V values[Pass::kInputs];
              arrays.template load<T>(at + run + j, lanes, values);
              const typename Lanes::V slope = lanes.repeat(static_cast<R>(c.slope));
              if constexpr (std::is_same_v<Lanes, One<R>>) {
                Pass::template terms<Lanes>(values, one, slope, terms);
              } else {
                Pass::template terms<Lanes>(values, many, slope, terms);
              }
            },
            sums);
      }
      for (double& sum : sums) sum /= static_cast<double>(c.plane);
      Pass::follow(sums, constants, 1);
    }
    sweep<R>(c.plane, [&](auto lanes, std::int64_t j) {
      using Lanes = decltype(lanes);
      typename Lanes::V values[Pass::kConstants];
      repeat<Pass::kConstants, Lanes>(constants, values);
      arrays.template write<T>(at + j, lanes, values, lanes.repeat(static_cast<R>(c.slope)));
    });
  });
}

template <typename Pass, typename T>
void channels_last(const Call& c) {
  using R = typename RealOf<T>::type;
  constexpr bool kForward = Pass::kForward;
  constexpr int kKnown = Pass::kHasAffine ? kAffine : kNormal;  // constants before any sum
  constexpr int kSums = [] {
    if constexpr (kForward)
      return 2;
    else
      return Pass::kSums;
  }();
  const Arrays<Pass> arrays{c};
  const std::int64_t channels = c.channels;
  const std::int64_t row_bytes = channels * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t rows = std::clamp(kTileBytes / row_bytes, std::int64_t(4), kTileRows);
  const std::int64_t tiles = (c.plane + rows - 1) / rows;
  // Each tile has [kSums, C], each image [kConstants, C].
  Buffer<R> partial(static_cast<std::size_t>(c.images * tiles * kSums * channels));
  Buffer<R> constants(static_cast<std::size_t>(c.images * Pass::kConstants * channels));
  const auto of_image = [&](std::int64_t n) {
    return constants.data() + n * Pass::kConstants * channels;
  };
  const auto of_tile = [&](std::int64_t i) { return partial.data() + i * kSums * channels; };
  const auto first_of = [&](std::int64_t i) {
    return (i / tiles * c.plane + i % tiles * rows) * channels;
  };
  const auto rows_of = [&](std::int64_t i) { return std::min(rows, c.plane - i % tiles * rows); };
  const auto each_tile = [&](auto&& fn) {
    const std::int64_t grain = std::max(std::int64_t(1), kTaskBytes / (rows * row_bytes));
    parallel_each(c.images * tiles, grain, [&](std::int64_t i) { fn(i); });
  };
  const auto load_constants = [&](auto lanes, const R* from, std::int64_t at, int count,
                                  auto* values) {
    for (int k = 0; k < count; ++k) values[k] = lanes.load(from + k * channels + at);
  };
  if constexpr (Pass::kHasAffine) {
    std::copy_n(static_cast<const R*>(c.scale), channels, of_image(0) + kGain * channels);
    std::copy_n(static_cast<const R*>(c.shift), channels, of_image(0) + kOffset * channels);
  }
  if constexpr (!kForward) {
    for (std::int64_t i = 0; i < c.images * channels; ++i) {
      normal_of(static_cast<const R*>(c.stats) + i * kInstanceNormStats,
                of_image(i / channels) + i % channels, channels);
    }
  }
  each_tile([&](std::int64_t i) {
    const std::int64_t at = first_of(i), some = rows_of(i);
    R* sums = of_tile(i);
    if constexpr (kForward) {
      // This is as in moments_of, with the first row in place of the first value.
      const T* x = arrays.template from<T>(0) + at;
      const auto apart = [&](auto lanes, std::int64_t row, std::int64_t channel) {
        return lanes.load(x + row * channels + channel) - lanes.load(x + channel);
      };
      add_rows<1>(
          some, channels,
          [&](auto lanes, std::int64_t row, std::int64_t channel, auto& terms) {
            terms[0] = apart(lanes, row, channel);
          },
          sums);
      for (std::int64_t j = 0; j < channels; ++j) sums[j] /= static_cast<R>(some);
      add_rows<1>(
          some, channels,
          [&](auto lanes, std::int64_t row, std::int64_t channel, auto& terms) {
            const auto d = apart(lanes, row, channel) - lanes.load(sums + channel);
            terms[0] = d * d;
          },
          sums + channels);
    } else {
      const R* image = of_image(i / tiles);
      add_rows<kSums>(
          some, channels,
          [&](auto lanes, std::int64_t row, std::int64_t channel, auto& terms) {
            using Lanes = decltype(lanes);
            typename Lanes::V values[Pass::kInputs], normal[kKnown];
            load_constants(lanes, image, channel, kKnown, normal);
            arrays.template load<T>(at + row * channels + channel, lanes, values);
            Pass::template terms<Lanes>(values, normal, lanes.repeat(static_cast<R>(c.slope)),
                                        terms);
          },
          sums);
    }
  });
  const std::int64_t parts = (channels + kMergeChannels - 1) / kMergeChannels;
  parallel_each(c.images * parts, 8, [&](std::int64_t i) {
    const std::int64_t n = i / parts, last = std::min(channels, (i % parts + 1) * kMergeChannels);
    for (std::int64_t j = i % parts * kMergeChannels; j < last; ++j) {
      R* image = of_image(n) + j;
      if constexpr (kForward) {
        Moments moments;
        for (std::int64_t t = n * tiles; t < (n + 1) * tiles; ++t) {
          const R* sums = of_tile(t) + j;
          const double first = to_real<double>(arrays.template from<T>(0)[first_of(t) + j]);
          moments.add(static_cast<double>(rows_of(t)), first + static_cast<double>(sums[0]),
                      static_cast<double>(sums[channels]));
        }
        R* stats = static_cast<R*>(c.stats) + (n * channels + j) * kInstanceNormStats;
        moments.store(c.eps, stats);
        normal_of(stats, image, channels);
      } else {
        double means[kSums] = {};
        for (std::int64_t t = n * tiles; t < (n + 1) * tiles; ++t) {
          for (int s = 0; s < kSums; ++s) {
            means[s] += static_cast<double>(of_tile(t)[s * channels + j]);
          }
        }
        if constexpr (Pass::kHasAffine) {
          static_cast<R*>(c.dshift)[j] = static_cast<R>(means[0]);
          static_cast<R*>(c.dscale)[j] = static_cast<R>(means[1]);
        }
        for (double& mean : means) mean /= static_cast<double>(c.plane);
        Pass::follow(means, image, channels);
      }
    }
  });
  each_tile([&](std::int64_t i) {
    const std::int64_t at = first_of(i);
    const R* image = of_image(i / tiles);
    for (std::int64_t row = 0; row < rows_of(i); ++row) {
      sweep<R>(channels, [&](auto lanes, std::int64_t channel) {
        using Lanes = decltype(lanes);
        typename Lanes::V values[Pass::kConstants];
        load_constants(lanes, image, channel, Pass::kConstants, values);
        arrays.template write<T>(at + row * channels + channel, lanes, values,
                                 lanes.repeat(static_cast<R>(c.slope)));
      });
    }
  });
}

template <typename Pass>
void run(const Call& call) {
  dispatch_tensor(call.dtype, "x", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (Pass::kHasAffine) {
      channels_last<Pass, T>(call);
    } else {
      call.channels_last ? channels_last<Pass, T>(call) : planar<Pass, T>(call);
    }
  });
}

}  // namespace

void instance_norm_kernel(const Call& call) {
  switch (call.pass) {
    case InstanceNormPass::kForward: return run<Forward>(call);
    case InstanceNormPass::kGradient: return run<Gradient>(call);
    case InstanceNormPass::kSecondGradient: return run<SecondGradient>(call);
    case InstanceNormPass::kAffineForward: return run<AffineForward>(call);
    case InstanceNormPass::kAffineGradient: return run<AffineGradient>(call);
  }
}

}  // namespace pyharmony::HM_SIMD_NS
