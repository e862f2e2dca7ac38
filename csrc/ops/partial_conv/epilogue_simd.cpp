// Does the passes before and after the product. Compiled once for each instruction set.
#include "ops/partial_conv/product_rows.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr std::int64_t kSumRows = 1024;  // sums run over fixed blocks, added in order
constexpr std::int64_t kPlanes = 16;     // planes read or written side by side
constexpr std::int64_t kLanes = 16;      // sums along a plane

// Arguments come by value, and there is no branch, because signs are random.
template <typename R>
inline R activate(R value, R slope) {
  const R low = value * slope;
  return value > R(0) ? value : low;
}
template <typename R>
inline R slope_at(R y, R slope) {
  return y > R(0) ? R(1) : slope;
}

// The values of one map at positions; a constant where the map is missing.
template <typename R>
struct Map {
  const R* values;
  R otherwise;

  Map(const ArrayView* a, R missing)
      : values(a == nullptr ? nullptr : a->as<const R>()), otherwise(missing) {}
  R operator[](std::int64_t i) const { return values == nullptr ? otherwise : values[i]; }
};

template <typename R>
struct Maps {
  Map<R> ratio, cover;
  bool has_cover;

  template <typename Call>
  explicit Maps(const Call& p)
      : ratio(p.ratio, R(1)), cover(p.cover, R(1)), has_cover(p.cover != nullptr) {}
  // Returns the new mask's value: without a map of its own it is 1 wherever the ratio is not 0.
  R covered(std::int64_t i) const { return has_cover ? cover[i] : ratio[i] != R(0) ? R(1) : R(0); }
};

template <typename T>
void epilogue(const partial_conv::Epilogue& e) {
  using P = Product<T>;
  using R = Real<T>;
  const EpilogueParams& p = e.call;
  const std::int64_t channels = p.y.shape[1], plane = p.y.shape[2] * p.y.shape[3];
  const std::int64_t images = p.y.shape[0], positions = images * plane;
  const R scale = static_cast<R>(p.scale), slope = static_cast<R>(p.negative_slope);
  const R* bias = p.bias == nullptr ? nullptr : p.bias->as<const R>();
  const Maps<R> maps(p);
  const auto finish = [&](auto* in, T* out, std::int64_t at) {
    const R r = maps.ratio[at] * scale, c = maps.covered(at);
    if (bias == nullptr) {
      for (std::int64_t j = 0; j < channels; ++j) {
        out[j] = from_real<T>(activate(to_real<R>(in[j]) * r, slope));
      }
    } else {
      for (std::int64_t j = 0; j < channels; ++j) {
        out[j] = from_real<T>(activate(to_real<R>(in[j]) * r + bias[j] * c, slope));
      }
    }
  };
  if (e.to.channels_last) {
    const std::int64_t step = e.to.position;
    const std::int64_t grain = grain_of(channels * sizeof(T));
    parallel_for(positions, grain, [&](std::int64_t begin, std::int64_t end) {
      T* y = p.y.as<T>();
      if (p.rows == nullptr) {
        for (std::int64_t i = begin; i < end; ++i) finish(y + i * step, y + i * step, i);
        return;
      }
      const P* acc = p.acc->as<const P>();
      std::int64_t row = std::lower_bound(p.rows, p.rows + p.count, begin) - p.rows;
      const auto clear = [&](std::int64_t from, std::int64_t to) {
        if (step == channels) {
          std::memset(static_cast<void*>(y + from * step), 0,
                      static_cast<std::size_t>((to - from) * channels) * sizeof(T));
        } else {
          for (; from < to; ++from) std::fill(y + from * step, y + from * step + channels, T{});
        }
      };
      std::int64_t next = begin;
      for (; row < p.count && p.rows[row] < end; ++row) {
        const std::int64_t at = p.rows[row];
        clear(next, at);
        finish(acc + row * channels, y + at * step, at);
        next = at + 1;
      }
      clear(next, end);
    });
    return;
  }
  if (p.rows == nullptr) {
    parallel_each(images * channels, grain_of(plane * sizeof(T)), [&](std::int64_t i) {
      const std::int64_t n = i / channels, c = i % channels, at = n * plane;
      T* y = p.y.as<T>() + n * e.to.image + c * e.to.channel;
      const R b = bias == nullptr ? R(0) : bias[c];
      if (maps.ratio.values == nullptr && !maps.has_cover) {
        for (std::int64_t j = 0; j < plane; ++j) {
          y[j] = from_real<T>(activate(to_real<R>(y[j]) * scale + b, slope));
        }
      } else {
        for (std::int64_t j = 0; j < plane; ++j) {
          const R v = to_real<R>(y[j]) * (maps.ratio[at + j] * scale) + b * maps.covered(at + j);
          y[j] = from_real<T>(activate(v, slope));
        }
      }
    });
    return;
  }
  const std::int64_t blocks = (channels + kPlanes - 1) / kPlanes;
  parallel_each(images * blocks, 1, [&](std::int64_t i) {
    const std::int64_t n = i / blocks, c0 = i % blocks * kPlanes;
    const std::int64_t some = std::min(kPlanes, channels - c0);
    T* y = p.y.as<T>() + n * e.to.image + c0 * e.to.channel;
    for (std::int64_t j = 0; j < some; ++j) {
      std::fill(y + j * e.to.channel, y + j * e.to.channel + plane, T{});
    }
    std::int64_t row = std::lower_bound(p.rows, p.rows + p.count, n * plane) - p.rows;
    for (; row < p.count && p.rows[row] < (n + 1) * plane; ++row) {
      const std::int64_t at = p.rows[row];
      const P* in = p.acc->as<const P>() + row * channels + c0;
      const R r = maps.ratio[at] * scale, c = maps.covered(at);
      for (std::int64_t j = 0; j < some; ++j) {
        const R b = bias == nullptr ? R(0) : bias[c0 + j];
        y[j * e.to.channel + at - n * plane] =
            from_real<T>(activate(to_real<R>(in[j]) * r + b * c, slope));
      }
    }
  });
}

template <typename T>
void epilogue_grad(const partial_conv::EpilogueGrad& e) {
  using P = Product<T>;
  using R = Real<T>;
  const EpilogueGradParams& p = e.call;
  const ArrayView& g = p.grad;
  const std::int64_t channels = g.shape[1], plane = g.shape[2] * g.shape[3];
  const std::int64_t images = g.shape[0];
  const R scale = static_cast<R>(p.scale), slope = static_cast<R>(p.negative_slope);
  const bool active = p.y != nullptr && slope != R(1);
  const Maps<R> maps(p);
  R* total = p.bias_grad == nullptr ? nullptr : p.bias_grad->as<R>();
  if (total != nullptr) std::fill(total, total + channels, R(0));
  const T* grad = g.as<const T>();
  // Without an activation the slope is 1 whatever the sign: one loop serves both, without a branch.
  const T* y = active ? p.y->as<const T>() : grad;
  const R low = active ? slope : R(1);

  if (e.from.channels_last) {
    const std::int64_t count = p.rows == nullptr ? images * plane : p.count;
    const std::int64_t blocks = (count + kSumRows - 1) / kSumRows;
    Buffer<R> partial(static_cast<std::size_t>(total == nullptr ? 0 : blocks * channels));
    parallel_for(blocks, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t block = first; block < last; ++block) {
        R* sum = total == nullptr ? nullptr : partial.data() + block * channels;
        if (sum != nullptr) std::fill(sum, sum + channels, R(0));
        const std::int64_t end = std::min(count, (block + 1) * kSumRows);
        for (std::int64_t i = block * kSumRows; i < end; ++i) {
          const std::int64_t at = p.rows == nullptr ? i : p.rows[i];
          const T* in = grad + at * e.from.position;
          const T* out = y + at * e.from.position;
          const R r = maps.ratio[at] * scale, c = maps.covered(at);
          const auto run = [&](auto* __restrict h) {
            using H = std::remove_reference_t<decltype(*h)>;
            const T* __restrict from = in;
            const R low_slope = low, factor = r, share = c;
            const T* __restrict sign = out;
            if (sum != nullptr) {
              R* __restrict add = sum;
              for (std::int64_t j = 0; j < channels; ++j) {
                const R d = to_real<R>(from[j]) * slope_at(to_real<R>(sign[j]), low_slope);
                h[j] = from_real<H>(d * factor);
                add[j] += d * share;
              }
            } else {
              for (std::int64_t j = 0; j < channels; ++j) {
                const R d = to_real<R>(from[j]) * slope_at(to_real<R>(sign[j]), low_slope);
                h[j] = from_real<H>(d * factor);
              }
            }
          };
          if (p.rows == nullptr) {
            run(p.h.as<T>() + at * e.from.position);
          } else {
            run(p.h.as<P>() + i * channels);
          }
        }
      }
    });
    if (total != nullptr) {
      for (std::int64_t block = 0; block < blocks; ++block) {
        const R* sum = partial.data() + block * channels;
        for (std::int64_t j = 0; j < channels; ++j) total[j] += sum[j];
      }
    }
    return;
  }
  if (p.rows == nullptr) {
    Buffer<R> partial(static_cast<std::size_t>(images * channels));
    parallel_each(images * channels, grain_of(plane * sizeof(T)), [&](std::int64_t i) {
      const std::int64_t n = i / channels, at = n * plane;
      const std::int64_t offset = n * e.from.image + i % channels * e.from.channel;
      T* h = p.h.as<T>() + offset;
      R sums[kLanes] = {};
      for (std::int64_t j = 0; j < plane; j += kLanes) {
        const std::int64_t some = std::min(kLanes, plane - j);
        for (std::int64_t l = 0; l < some; ++l) {
          const R d = slope_at(to_real<R>(y[offset + j + l]), low);
          const R value = to_real<R>(grad[offset + j + l]) * d;
          h[j + l] = from_real<T>(value * (maps.ratio[at + j + l] * scale));
          sums[l] += value * maps.covered(at + j + l);
        }
      }
      R sum = 0;
      for (R s : sums) sum += s;
      partial[static_cast<std::size_t>(i)] = sum;
    });
    for (std::int64_t i = 0; total != nullptr && i < images * channels; ++i) {
      total[i % channels] += partial[static_cast<std::size_t>(i)];
    }
    return;
  }
  const std::int64_t blocks = (channels + kPlanes - 1) / kPlanes;
  parallel_each(blocks, 1, [&](std::int64_t block) {
    const std::int64_t c0 = block * kPlanes, some = std::min(kPlanes, channels - c0);
    for (std::int64_t i = 0; i < p.count; ++i) {
      const std::int64_t at = p.rows[i];
      const std::int64_t offset = at / plane * e.from.image + c0 * e.from.channel + at % plane;
      const R r = maps.ratio[at] * scale, c = maps.covered(at);
      P* h = p.h.as<P>() + i * channels + c0;
      for (std::int64_t j = 0; j < some; ++j) {
        const std::int64_t from = offset + j * e.from.channel;
        const R d = slope_at(to_real<R>(y[from]), low);
        const R value = to_real<R>(grad[from]) * d;
        h[j] = from_real<P>(value * r);
        if (total != nullptr) total[c0 + j] += value * c;
      }
    }
  });
}

// Computes to = from m, n values, for masks beside each other. The content of a hole need not be
// finite. It works in place or apart, and without a branch, as masks may be as random as noise.
template <typename T, typename M>
inline void mask_run(const T* from, const M* mask, T* to, std::int64_t n) {
  if constexpr (std::is_same_v<M, Bool>) {
    using Bits =
        std::conditional_t<sizeof(T) == 2, std::uint16_t,
                           std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
    using MayAlias [[gnu::may_alias]] = Bits;
    const auto* in = reinterpret_cast<const MayAlias*>(from);
    auto* out = reinterpret_cast<MayAlias*>(to);
    const auto* known = reinterpret_cast<const std::uint8_t*>(mask);
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) out[i] = known[i] != 0 ? in[i] : Bits(0);
  } else {
    using R = Real<T>;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const R v = mask[i], product = to_real<R>(from[i]) * v;
      to[i] = from_real<T>(v == R(0) ? R(0) : product);
    }
  }
}

template <typename T, typename M>
void premask(const partial_conv::Premask& q) {
  using R = Real<T>;
  const ArrayView &x = *q.x, &m = *q.mask;
  const std::int64_t channels = x.shape[1], height = x.shape[2], width = x.shape[3];
  const std::int64_t mask_channel = m.shape[1] == 1 ? 0 : m.stride[1];
  const T* from = x.as<const T>();
  T* to = q.out->as<T>();
  const std::int64_t grain = grain_of(width * channels * sizeof(T));
  parallel_for(x.shape[0] * height, grain, [&](std::int64_t begin, std::int64_t end) {
    // For planar masks beside channels-last tensors a whole row is transposed, few planes at a
    // time: they may lie a multiple of the cache's size apart.
    constexpr std::int64_t kTurned = 8;
    const bool turned = q.layout.channels_last && mask_channel > 1;
    Buffer<M> side_by_side(static_cast<std::size_t>(turned ? width * channels : width));
    const auto turn = [&](const M* line) {
      for (std::int64_t c0 = 0; c0 < channels; c0 += kTurned) {
        const std::int64_t some = std::min(kTurned, channels - c0);
        for (std::int64_t xx = 0; xx < width; ++xx) {
          M* to_pixel = side_by_side.data() + xx * channels + c0;
          const M* pixel = line + c0 * mask_channel + xx * m.stride[3];
          for (std::int64_t j = 0; j < some; ++j) to_pixel[j] = pixel[j * mask_channel];
        }
      }
    };
    // Returns n values of the mask, one after another.
    const auto run_of = [&](const M* at, std::int64_t step, std::int64_t n) {
      if (step == 1) return at;
      for (std::int64_t i = 0; i < n; ++i) side_by_side.data()[i] = at[i * step];
      return static_cast<const M*>(side_by_side.data());
    };
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / height, row = i % height;
      const M* line = m.as<const M>() + n * m.stride[0] + row * m.stride[2];
      if (q.layout.channels_last) {
        if (turned) turn(line);
        for (std::int64_t xx = 0; xx < width; ++xx) {
          const std::int64_t at = (i * width + xx) * q.layout.position;
          const M* pixel = line + xx * m.stride[3];
          if (mask_channel == 0) {
            const R v = to_real<R>(*pixel);
            if (v == R(0)) {
              std::fill(to + at, to + at + channels, T{});
            } else if (v != R(1)) {
              for (std::int64_t c = 0; c < channels; ++c) {
                to[at + c] = from_real<T>(to_real<R>(from[at + c]) * v);
              }
            } else if (from != to) {
              std::memcpy(static_cast<void*>(to + at), from + at,
                          static_cast<std::size_t>(channels) * sizeof(T));
            }
          } else {
            mask_run(from + at, turned ? side_by_side.data() + xx * channels : pixel, to + at,
                     channels);
          }
        }
      } else {
        const M* plane = mask_channel == 0 ? run_of(line, m.stride[3], width) : nullptr;
        for (std::int64_t c = 0; c < channels; ++c) {
          const std::int64_t at = n * q.layout.image + c * q.layout.channel + row * width;
          if (mask_channel != 0) plane = run_of(line + c * mask_channel, m.stride[3], width);
          mask_run(from + at, plane, to + at, width);
        }
      }
    }
  });
}

}  // namespace

void partial_conv_epilogue_kernel(const partial_conv::Epilogue& params) {
  dispatch_tensor(params.call.y.dtype, "y",
                  [&](auto tag) { epilogue<typename decltype(tag)::type>(params); });
}

void partial_conv_epilogue_grad_kernel(const partial_conv::EpilogueGrad& params) {
  dispatch_tensor(params.call.grad.dtype, "grad",
                  [&](auto tag) { epilogue_grad<typename decltype(tag)::type>(params); });
}

void partial_conv_premask_kernel(const partial_conv::Premask& params) {
  dispatch_tensor(params.x->dtype, "x", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (params.mask->dtype == DType::kBool) {
      premask<T, Bool>(params);
    } else {
      premask<T, Real<T>>(params);
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
