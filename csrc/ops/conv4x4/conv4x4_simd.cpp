// The transforms, for a register of channels at a time. Compiled once for each instruction set.
#include <algorithm>

#include "core/parallel.h"
#include "core/vec.h"
#include "ops/conv4x4/conv4x4.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr int kTile = kWinogradTile, kRow = kTile + 1;
constexpr std::int64_t kGrain = std::int64_t(1) << 15;  // values of a task

// Reads and writes a whole register of channels, or the last `count` ones.
struct Whole {
  static Vec load(const float* p) { return load_unaligned(p); }
  static void store(float* p, Vec v) { store_from_float(p, v); }
};
struct Some {
  std::int64_t count;
  Vec load(const float* p) const {
    Vec v{};
    std::memcpy(&v, p, count * sizeof(float));
    return v;
  }
  void store(float* p, Vec v) const { std::memcpy(p, &v, count * sizeof(float)); }
};

// Calls fn(access, channel) for all registers of channels.
template <typename Fn>
inline void each_register(std::int64_t channels, Fn&& fn) {
  std::int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) fn(Whole{}, c);
  if (c < channels) fn(Some{channels - c}, c);
}

template <typename Access>
inline void load_points(Access access, const float* point, std::int64_t stride,
                        Vec (&values)[kRow][kRow]) {
  for (int y = 0; y < kRow; ++y) {
    for (int x = 0; x < kRow; ++x, point += stride) values[y][x] = access.load(point);
  }
}

template <typename Access>
inline void store_points(Access access, const Vec (&values)[kRow][kRow], float* point,
                         std::int64_t stride) {
  for (int y = 0; y < kRow; ++y) {
    for (int x = 0; x < kRow; ++x, point += stride) access.store(point, values[y][x]);
  }
}

inline Vec activated(Vec v, Vec slope) {
  const Vec low = v * slope;
  return v > Vec{} ? v : low;
}

// ---- the transforms of one row or column; see conv4x4.h ----------------------------------------

inline void input(const Vec (&d)[kRow], Vec (&t)[kRow]) {
  const Vec more = splat(1.5f);
  t[0] = fma(more, d[2] - d[1], d[3] - d[0]);
  t[1] = fma(splat(2.5f), d[2], d[1] + d[3]);
  t[2] = fma(splat(-2.0f), d[1], d[2] + d[3]);
  t[3] = fma(splat(-0.5f), d[1] + d[2], d[3]);
  t[4] = fma(more, d[3] - d[2], d[4] - d[1]);
}

inline void input_adjoint(const Vec (&t)[kRow], Vec (&d)[kRow]) {
  const Vec more = splat(1.5f), half = splat(-0.5f);
  d[0] = -t[0];
  d[1] = fma(-more, t[0], fma(splat(-2.0f), t[2], fma(half, t[3], t[1] - t[4])));
  d[2] = fma(more, t[0] - t[4], fma(splat(2.5f), t[1], fma(half, t[3], t[2])));
  d[3] = fma(more, t[4], (t[0] + t[1]) + (t[2] + t[3]));
  d[4] = t[4];
}

inline void output(const Vec (&t)[kRow], Vec (&y)[kTile]) {
  y[0] = (t[0] + t[1]) + (t[2] + t[3]);
  y[1] = fma(splat(-0.5f), t[2], fma(splat(-2.0f), t[3], t[1]));
  y[2] = fma(splat(0.25f), t[2], fma(splat(4.0f), t[3], t[1]));
  y[3] = fma(splat(-0.125f), t[2], fma(splat(-8.0f), t[3], t[1] + t[4]));
}

inline void output_adjoint(const Vec (&y)[kTile], Vec (&t)[kRow]) {
  t[0] = y[0];
  t[1] = (y[0] + y[1]) + (y[2] + y[3]);
  t[2] = fma(splat(-0.5f), y[1], fma(splat(0.25f), y[2], fma(splat(-0.125f), y[3], y[0])));
  t[3] = fma(splat(-2.0f), y[1], fma(splat(4.0f), y[2], fma(splat(-8.0f), y[3], y[0])));
  t[4] = y[3];
}

constexpr float kAt1 = 1 / 4.5f, kAtHalf = 1 / 1.125f, kAt2 = -1 / 9.0f;

inline void weights(const Vec (&k)[2], Vec (&t)[kRow]) {
  t[0] = -k[0];
  t[1] = splat(kAt1) * (k[0] + k[1]);
  t[2] = splat(kAtHalf) * fma(splat(-0.5f), k[1], k[0]);
  t[3] = splat(kAt2) * fma(splat(-2.0f), k[1], k[0]);
  t[4] = k[1];
}

inline void weights_adjoint(const Vec (&t)[kRow], Vec (&k)[2]) {
  const Vec at1 = splat(kAt1) * t[1], half = splat(kAtHalf) * t[2], at2 = splat(kAt2) * t[3];
  k[0] = (at1 + half) + (at2 - t[0]);
  k[1] = fma(splat(-0.5f), half, fma(splat(-2.0f), at2, at1 + t[4]));
}

// Transforms along columns, then along rows.
template <int kFrom, int kTo, typename Fn>
inline void both(const Vec (&in)[kFrom][kFrom], Vec (&out)[kTo][kTo], Fn&& along) {
  Vec half[kTo][kFrom];
  for (int x = 0; x < kFrom; ++x) {
    Vec column[kFrom], made[kTo];
    for (int y = 0; y < kFrom; ++y) column[y] = in[y][x];
    along(column, made);
    for (int y = 0; y < kTo; ++y) half[y][x] = made[y];
  }
  for (int y = 0; y < kTo; ++y) along(half[y], out[y]);
}

// ---- tiles --------------------------------------------------------------------------------------

struct Place {
  std::int64_t image, y, x;  // the tile's row and column of tiles
};

inline Place place_of(const WinogradParams& p, std::int64_t tile) {
  const std::int64_t in_image = tile % (p.down * p.across);
  return {tile / (p.down * p.across), in_image / p.across, in_image % p.across};
}

inline std::int64_t grain_of(std::int64_t values) {
  return std::max<std::int64_t>(1, kGrain / values);
}

// Calls fn(number, place) for the tiles of the range.
template <typename Fn>
inline void each_tile(const WinogradParams& p, std::int64_t values, Fn&& fn) {
  parallel_each(p.last - p.first, grain_of(values),
                [&](std::int64_t tile) { fn(tile, place_of(p, p.first + tile)); });
}

// The values of a group under a tile: rows [low, high) of kRow lie in the image, of both axes.
struct Window {
  std::int64_t top, left;
  int low_y, high_y, low_x, high_x;

  bool inside() const { return low_y == 0 && high_y == kRow && low_x == 0 && high_x == kRow; }
};

inline Window window_of(const WinogradParams& p, const Place& at, int group) {
  Window w{};
  w.top = kTile * p.step * at.y + group / 2 * p.apart - p.padding;
  w.left = kTile * p.step * at.x + group % 2 * p.apart - p.padding;
  const auto bound = [&](std::int64_t first, std::int64_t size, int& low, int& high) {
    while (low < kRow && first + low * p.step < 0) ++low;
    high = kRow;
    while (high > low && first + (high - 1) * p.step >= size) --high;
  };
  bound(w.top, p.height, w.low_y, w.high_y);
  bound(w.left, p.width, w.low_x, w.high_x);
  return w;
}

template <bool kActivates>
void read_input(const WinogradParams& p) {
  const Vec slope = splat(p.slope);
  const std::int64_t row = p.width * p.channels;
  const std::int64_t down = p.step * row, across = p.step * p.channels;
  each_tile(p, 100 * p.channels, [&](std::int64_t tile, const Place& at) {
    const float* image = p.image + at.image * p.height * row;
    for (int group = 0; group < kWinogradGroups; ++group) {
      const Window w = window_of(p, at, group);
      const bool inside = w.inside();
      const float* from = image + w.top * row + w.left * p.channels;
      float* to = p.tiles + (tile * kWinogradGroups + group) * p.channels;
      each_register(p.channels, [&](auto access, std::int64_t c) {
        Vec values[kRow][kRow], made[kRow][kRow];
        const auto read = [&](int y, int x) {
          const Vec v = access.load(from + y * down + x * across + c);
          values[y][x] = kActivates ? activated(v, slope) : v;
        };
        if (inside) {
          for (int y = 0; y < kRow; ++y) {
            for (int x = 0; x < kRow; ++x) read(y, x);
          }
        } else {
          for (auto& values_of_row : values) std::fill(values_of_row, values_of_row + kRow, Vec{});
          for (int y = w.low_y; y < w.high_y; ++y) {
            for (int x = w.low_x; x < w.high_x; ++x) read(y, x);
          }
        }
        both<kRow, kRow>(values, made, input);
        store_points(access, made, to + c, p.point_stride);
      });
    }
  });
}

template <bool kActivates>
void read_output(const WinogradParams& p) {
  const Vec slope = splat(p.slope);
  const std::int64_t row = p.width * p.channels;
  each_tile(p, kWinogradPoints * p.channels, [&](std::int64_t tile, const Place& at) {
    const std::int64_t rows = std::min<std::int64_t>(kTile, p.height - kTile * at.y);
    const std::int64_t columns = std::min<std::int64_t>(kTile, p.width - kTile * at.x);
    const bool inside = rows == kTile && columns == kTile;
    const float* from =
        p.image + (at.image * p.height + kTile * at.y) * row + kTile * at.x * p.channels;
    each_register(p.channels, [&](auto access, std::int64_t c) {
      Vec values[kTile][kTile], made[kRow][kRow];
      const auto read = [&](std::int64_t y, std::int64_t x) {
        const Vec v = access.load(from + y * row + x * p.channels + c);
        values[y][x] = kActivates ? activated(v, slope) : v;
      };
      if (inside) {
        for (int y = 0; y < kTile; ++y) {
          for (int x = 0; x < kTile; ++x) read(y, x);
        }
      } else {
        for (auto& values_of_row : values) std::fill(values_of_row, values_of_row + kTile, Vec{});
        for (std::int64_t y = 0; y < rows; ++y) {
          for (std::int64_t x = 0; x < columns; ++x) read(y, x);
        }
      }
      both<kTile, kRow>(values, made, output_adjoint);
      store_points(access, made, p.tiles + tile * p.channels + c, p.point_stride);
    });
  });
}

// Calls fn(access, weight, output, group, channel) for each register of channels of the weights of
// a group; weight are the places of its 2 x 2 weights.
template <typename Fn>
inline void each_weight(const WinogradWeights& p, Fn&& fn) {
  parallel_each(p.outputs, grain_of(100 * p.channels), [&](std::int64_t k) {
    for (int group = 0; group < kWinogradGroups; ++group) {
      const int top = group / 2 * p.apart, left = group % 2 * p.apart;
      each_register(p.channels, [&](auto access, std::int64_t c) {
        float* weight[2][2];
        for (int y = 0; y < 2; ++y) {
          for (int x = 0; x < 2; ++x) {
            const std::int64_t tap = 4 * (top + y * p.step) + left + x * p.step;
            weight[y][x] = p.weight + (16 * k + tap) * p.channels + c;
          }
        }
        fn(access, weight, p.tiles + (kWinogradGroups * k + group) * p.channels + c);
      });
    }
  });
}

}  // namespace

void winograd_read_input(const WinogradParams& p) {
  p.slope == 1 ? read_input<false>(p) : read_input<true>(p);
}

void winograd_read_output(const WinogradParams& p) {
  p.slope == 1 ? read_output<false>(p) : read_output<true>(p);
}

void winograd_add_input(const WinogradParams& p) {
  const std::int64_t row = p.width * p.channels, of_image = p.down * p.across;
  const std::int64_t down = p.step * row, across = p.step * p.channels;
  // Tiles overlap: those of an image belong to one task for each run of channels.
  constexpr std::int64_t kRun = 4 * kLanes;
  const std::int64_t parts = (p.channels + kRun - 1) / kRun;
  const std::int64_t first = p.first / of_image, images = (p.last - 1) / of_image - first + 1;
  parallel_each(images * parts, 1, [&](std::int64_t task) {
    const std::int64_t image = first + task / parts, begin = task % parts * kRun;
    const std::int64_t channels = std::min(kRun, p.channels - begin);
    const std::int64_t last = std::min(p.last, (image + 1) * of_image);
    for (std::int64_t tile = std::max(p.first, image * of_image); tile < last; ++tile) {
      const Place at = place_of(p, tile);
      for (int group = 0; group < kWinogradGroups; ++group) {
        const Window w = window_of(p, at, group);
        const bool inside = w.inside();
        const float* from =
            p.tiles + ((tile - p.first) * kWinogradGroups + group) * p.channels + begin;
        float* to = p.image + (image * p.height + w.top) * row + w.left * p.channels + begin;
        each_register(channels, [&](auto access, std::int64_t c) {
          Vec values[kRow][kRow], made[kRow][kRow];
          load_points(access, from + c, p.point_stride, values);
          both<kRow, kRow>(values, made, input_adjoint);
          const auto add = [&](int y, int x) {
            float* pixel = to + y * down + x * across + c;
            access.store(pixel, access.load(pixel) + made[y][x]);
          };
          if (inside) {
            for (int y = 0; y < kRow; ++y) {
              for (int x = 0; x < kRow; ++x) add(y, x);
            }
          } else {
            for (int y = w.low_y; y < w.high_y; ++y) {
              for (int x = w.low_x; x < w.high_x; ++x) add(y, x);
            }
          }
        });
      }
    }
  });
}

void winograd_write_output(const WinogradParams& p) {
  const std::int64_t row = p.width * p.channels;
  each_tile(p, kWinogradPoints * p.channels, [&](std::int64_t tile, const Place& at) {
    const std::int64_t rows = std::min<std::int64_t>(kTile, p.height - kTile * at.y);
    const std::int64_t columns = std::min<std::int64_t>(kTile, p.width - kTile * at.x);
    float* to = p.image + (at.image * p.height + kTile * at.y) * row + kTile * at.x * p.channels;
    each_register(p.channels, [&](auto access, std::int64_t c) {
      Vec values[kRow][kRow], made[kTile][kTile];
      load_points(access, p.tiles + tile * p.channels + c, p.point_stride, values);
      both<kRow, kTile>(values, made, output);
      const Vec bias = p.bias == nullptr ? Vec{} : access.load(p.bias + c);
      for (std::int64_t y = 0; y < rows; ++y) {
        for (std::int64_t x = 0; x < columns; ++x) {
          access.store(to + y * row + x * p.channels + c, made[y][x] + bias);
        }
      }
    });
  });
}

void winograd_read_weights(const WinogradWeights& p) {
  each_weight(p, [&](auto access, float* const(&weight)[2][2], float* point) {
    Vec values[2][2], made[kRow][kRow];
    for (int y = 0; y < 2; ++y) {
      for (int x = 0; x < 2; ++x) values[y][x] = access.load(weight[y][x]);
    }
    both<2, kRow>(values, made, weights);
    store_points(access, made, point, p.point_stride);
  });
}

void winograd_read_weights_across(const WinogradWeights& p) {
  // Registers hold the outputs, whose weights lie far apart: squares of them are turned in a
  // buffer.
  const std::int64_t blocks = (p.channels + kLanes - 1) / kLanes;
  parallel_each(blocks, grain_of(100 * kLanes * p.outputs), [&](std::int64_t block) {
    const std::int64_t first = block * kLanes,
                       some = std::min<std::int64_t>(kLanes, p.channels - first);
    for (int group = 0; group < kWinogradGroups; ++group) {
      const int top = group / 2 * p.apart, left = group % 2 * p.apart;
      each_register(p.outputs, [&](auto access, std::int64_t k) {
        const std::int64_t count = std::min<std::int64_t>(kLanes, p.outputs - k);
        float turned[4][kLanes][kLanes] = {};  // [weight, channel, output]
        for (int tap = 0; tap < 4; ++tap) {
          const std::int64_t at = 4 * (top + tap / 2 * p.step) + left + tap % 2 * p.step;
          for (std::int64_t i = 0; i < count; ++i) {
            const float* from = p.weight + (16 * (k + i) + at) * p.channels + first;
            for (std::int64_t c = 0; c < some; ++c) turned[tap][c][i] = from[c];
          }
        }
        for (std::int64_t c = 0; c < some; ++c) {
          Vec values[2][2], made[kRow][kRow];
          for (int tap = 0; tap < 4; ++tap) {
            values[tap / 2][tap % 2] = load_unaligned(turned[tap][c]);
          }
          both<2, kRow>(values, made, weights);
          store_points(access, made, p.tiles + (group * p.channels + first + c) * p.outputs + k,
                       p.point_stride);
        }
      });
    }
  });
}

void winograd_write_weights(const WinogradWeights& p) {
  each_weight(p, [&](auto access, float* const(&weight)[2][2], const float* point) {
    Vec values[kRow][kRow], made[2][2];
    load_points(access, point, p.point_stride, values);
    both<kRow, 2>(values, made, weights_adjoint);
    for (int y = 0; y < 2; ++y) {
      for (int x = 0; x < 2; ++x) access.store(weight[y][x], made[y][x]);
    }
  });
}

namespace {

// The pixels of a window's row that lie in the image: `count` from `first` on, at pixel `at`.
struct Run {
  std::int64_t first, count, at;
};

inline Run run_of(const WindowParams& p, std::int64_t window) {
  const std::int64_t left = window * p.step - p.padding;
  const std::int64_t first = std::max<std::int64_t>(0, -left);
  const std::int64_t last = std::min<std::int64_t>(4, p.width - left);
  return {first, std::max<std::int64_t>(0, last - first), left + first};
}

}  // namespace

void read_windows(const WindowParams& p) {
  const std::int64_t c = p.channels;
  parallel_each(p.images * p.down, grain_of(16 * c * p.across), [&](std::int64_t line) {
    const std::int64_t top = line % p.down * p.step - p.padding;
    const float* image = p.image + line / p.down * p.height * p.width * c;
    float* to = p.rows + line * p.across * 16 * c;
    for (std::int64_t x = 0; x < p.across; ++x) {
      const Run run = run_of(p, x);
      for (std::int64_t y = top; y < top + 4; ++y, to += 4 * c) {
        if (y < 0 || y >= p.height) {
          std::fill_n(to, 4 * c, 0.0f);
          continue;
        }
        std::fill_n(to, run.first * c, 0.0f);
        std::copy_n(image + (y * p.width + run.at) * c, run.count * c, to + run.first * c);
        std::fill_n(to + (run.first + run.count) * c, (4 - run.first - run.count) * c, 0.0f);
      }
    }
  });
}

void fold_windows(const WindowParams& p) {
  const std::int64_t c = p.channels;
  parallel_each(p.images * p.height, grain_of(8 * c * p.width), [&](std::int64_t line) {
    const std::int64_t image = line / p.height, y = line % p.height;
    float* to = p.image + line * p.width * c;
    std::fill_n(to, p.width * c, 0.0f);
    for (int row = 0; row < 4; ++row) {
      const std::int64_t from_top = y + p.padding - row;
      if (from_top < 0 || from_top % p.step != 0 || from_top / p.step >= p.down) continue;
      const float* from =
          p.rows + ((image * p.down + from_top / p.step) * p.across * 4 + row) * 4 * c;
      for (std::int64_t x = 0; x < p.across; ++x, from += 16 * c) {
        const Run run = run_of(p, x);
        const float* add = from + run.first * c;
        float* sum = to + run.at * c;
        for (std::int64_t i = 0; i < run.count * c; ++i) sum[i] += add[i];
      }
    }
  });
}

}  // namespace pyharmony::HM_SIMD_NS
