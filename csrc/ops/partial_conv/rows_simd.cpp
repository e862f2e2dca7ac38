// Moves data between tensors and the rows of a product. Compiled once for each instruction set.
#include "ops/partial_conv/product_rows.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

// Computes out = in m, n values.
template <typename T, typename P>
inline void copy(const T* in, std::int64_t in_step, P* out, std::int64_t out_step, std::int64_t n,
                 Real<T> m) {
  if (m == Real<T>(1) && std::is_same_v<T, P>) {
    if (in_step == 1 && out_step == 1) {
      std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(T));
    } else {
      for (std::int64_t i = 0; i < n; ++i)
        std::memcpy(out + i * out_step, in + i * in_step, sizeof(T));
    }
  } else if (in_step == 1 && out_step == 1) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = from_real<P>(to_real<Real<T>>(in[i]) * m);
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      out[i * out_step] = from_real<P>(to_real<Real<T>>(in[i * in_step]) * m);
    }
  }
}

template <typename P>
inline void clear(P* out, std::int64_t step, std::int64_t n) {
  if (step == 1) {
    std::memset(static_cast<void*>(out), 0, static_cast<std::size_t>(n) * sizeof(P));
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i * step] = P{};
  }
}

template <typename T, typename M>
void gather(const GatherParams& p) {
  using P = Product<T>;
  using R = Real<T>;
  const ArrayView& x = p.x;
  const ConvWindow& win = p.window;
  const std::int64_t channels = x.shape[1], height = x.shape[2], width = x.shape[3];
  const std::int64_t taps = win.taps(), k = taps * channels, plane = p.out_height * p.out_width;
  const std::int64_t tap_step = p.channels_first ? 1 : channels;
  const std::int64_t channel_step = p.channels_first ? taps : 1;
  // It is true where the pixels of a window's row are one run.
  const bool runs = std::is_same_v<T, P> && !p.channels_first && win.dilation[1] == 1 &&
                    (channels == 1 || x.stride[1] == 1) && x.stride[3] == channels;
  const auto value = [&](std::int64_t n, std::int64_t y, std::int64_t xx) -> R {
    if constexpr (std::is_void_v<M>) {
      return R(1);
    } else {
      const ArrayView& m = *p.mask;
      return to_real<R>(m.as<const M>()[n * m.stride[0] + y * m.stride[2] + xx * m.stride[3]]);
    }
  };
  parallel_each(p.count, grain_of(k * sizeof(P)), [&](std::int64_t i) {
    P* row = p.columns.as<P>() + i * k;
    const std::int64_t n = p.rows[i] / plane, at = p.rows[i] % plane;
    const std::int64_t top = at / p.out_width * win.stride[0] - win.padding[0];
    const std::int64_t left = at % p.out_width * win.stride[1] - win.padding[1];
    for (std::int64_t ky = 0; ky < win.kernel[0]; ++ky) {
      const std::int64_t y = top + ky * win.dilation[0];
      P* out = row + ky * win.kernel[1] * tap_step;
      if (y < 0 || y >= height) {
        for (std::int64_t kx = 0; kx < win.kernel[1]; ++kx) {
          clear(out + kx * tap_step, channel_step, channels);
        }
        continue;
      }
      const T* line = x.as<const T>() + n * x.stride[0] + y * x.stride[2];
      if (runs && left >= 0 && left + win.kernel[1] <= width) {
        bool whole = true;
        for (std::int64_t kx = 0; kx < win.kernel[1]; ++kx) whole &= value(n, y, left + kx) == R(1);
        if (whole) {
          copy(line + left * channels, 1, out, 1, win.kernel[1] * channels, R(1));
          continue;
        }
      }
      for (std::int64_t kx = 0; kx < win.kernel[1]; ++kx) {
        const std::int64_t xx = left + kx * win.dilation[1];
        const R m = xx < 0 || xx >= width ? R(0) : value(n, y, xx);
        if (m == R(0)) {
          clear(out + kx * tap_step, channel_step, channels);
        } else {
          copy(line + xx * x.stride[3], x.stride[1], out + kx * tap_step, channel_step, channels,
               m);
        }
      }
    }
  });
}

// A tap and its output, along one axis of the windows that hold a pixel.
struct Tap {
  std::int64_t tap, out;
};

inline std::int64_t taps_of(const ConvWindow& win, int axis, std::int64_t at, std::int64_t out_size,
                            Tap* taps) {
  std::int64_t found = 0;
  for (std::int64_t k = 0; k < win.kernel[axis]; ++k) {
    const std::int64_t offset = at + win.padding[axis] - k * win.dilation[axis];
    if (offset < 0 || offset % win.stride[axis] != 0 || offset / win.stride[axis] >= out_size)
      continue;
    taps[found++] = {k, offset / win.stride[axis]};
  }
  return found;
}

template <typename T, typename M>
void fold(const FoldParams& p) {
  using P = Product<T>;
  using R = Real<T>;
  constexpr std::int64_t kChunk = 64;  // sums in registers, and the planes written side by side
  const ArrayView& dx = p.dx;
  const ConvWindow& win = p.window;
  const std::int64_t channels = dx.shape[1], height = dx.shape[2], width = dx.shape[3];
  const std::int64_t taps = win.taps(), k = taps * channels;
  const std::int64_t tap_step = p.channels_first ? 1 : channels;
  const std::int64_t channel_step = p.channels_first ? taps : 1;
  // The windows along a row are the same for every row.
  Buffer<Tap> across(static_cast<std::size_t>(width * win.kernel[1]));
  Buffer<std::int64_t> across_count(static_cast<std::size_t>(width));
  for (std::int64_t x = 0; x < width; ++x) {
    across_count[static_cast<std::size_t>(x)] =
        taps_of(win, 1, x, p.out_width, across.data() + x * win.kernel[1]);
  }
  const P* columns = p.columns.as<const P>();
  const std::int64_t grain = grain_of(width * channels * sizeof(T));
  parallel_for(dx.shape[0] * height, grain, [&](std::int64_t begin, std::int64_t end) {
    Buffer<Tap> down(static_cast<std::size_t>(win.kernel[0]));
    Buffer<const P*> from(static_cast<std::size_t>(taps));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / height, y = i % height;
      const std::int64_t down_count = taps_of(win, 0, y, p.out_height, down.data());
      T* line = dx.as<T>() + n * dx.stride[0] + y * dx.stride[2];
      for (std::int64_t x = 0; x < width; ++x) {
        R m = R(1);
        if constexpr (!std::is_void_v<M>) {
          const ArrayView& v = *p.mask;
          m = to_real<R>(v.as<const M>()[n * v.stride[0] + y * v.stride[2] + x * v.stride[3]]);
        }
        T* out = line + x * dx.stride[3];
        std::int64_t found = 0;
        if (m != R(0)) {
          for (std::int64_t a = 0; a < down_count; ++a) {
            const std::int32_t* index =
                p.index + (n * p.out_height + down.data()[a].out) * p.out_width;
            for (std::int64_t b = 0; b < across_count.data()[x]; ++b) {
              const Tap& tap = across.data()[x * win.kernel[1] + b];
              const std::int64_t row = index[tap.out];
              if (row < 0) continue;
              from.data()[found++] =
                  columns + row * k + (down.data()[a].tap * win.kernel[1] + tap.tap) * tap_step;
            }
          }
        }
        if (found == 0) {
          clear(out, dx.stride[1], channels);
          continue;
        }
        for (std::int64_t c = 0; c < channels; c += kChunk) {
          const std::int64_t some = std::min(kChunk, channels - c);
          R sum[kChunk] = {};
          for (std::int64_t f = 0; f < found; ++f) {
            const P* in = from.data()[f] + c * channel_step;
            if (channel_step == 1 && some == kChunk) {
              for (std::int64_t j = 0; j < kChunk; ++j) sum[j] += to_real<R>(in[j]);
            } else {
              for (std::int64_t j = 0; j < some; ++j) sum[j] += to_real<R>(in[j * channel_step]);
            }
          }
          T* to = out + c * dx.stride[1];
          if (dx.stride[1] == 1) {
            for (std::int64_t j = 0; j < some; ++j) to[j] = from_real<T>(sum[j] * m);
          } else {
            for (std::int64_t j = 0; j < some; ++j) to[j * dx.stride[1]] = from_real<T>(sum[j] * m);
          }
        }
      }
    }
  });
}

// Calls fn(tag of T, tag of the mask's elements) for a tensor and its mask.
template <typename Fn>
void dispatch(DType dtype, const ArrayView* mask, Fn&& fn) {
  dispatch_tensor(dtype, "x", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (mask == nullptr) {
      fn(tag, TypeTag<void>{});
    } else if (mask->dtype == DType::kBool) {
      fn(tag, TypeTag<Bool>{});
    } else {
      fn(tag, TypeTag<Real<T>>{});
    }
  });
}

}  // namespace

void partial_conv_gather_kernel(const GatherParams& params) {
  dispatch(params.x.dtype, params.mask, [&](auto type, auto mask) {
    gather<typename decltype(type)::type, typename decltype(mask)::type>(params);
  });
}

void partial_conv_fold_kernel(const FoldParams& params) {
  dispatch(params.dx.dtype, params.mask, [&](auto type, auto mask) {
    fold<typename decltype(type)::type, typename decltype(mask)::type>(params);
  });
}

}  // namespace pyharmony::HM_SIMD_NS
