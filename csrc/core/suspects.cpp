#include "core/suspects.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <type_traits>

#include "core/checks.h"
#include "core/dispatch.h"

namespace pyharmony {
namespace {

// A dst looks erased if it has one colour under the mask and others around it.
constexpr std::int64_t kErasedSamples = 24;  // rows and columns of the grid, at least
constexpr double kErasedShare = 0.9;         // least share under the mask with nearly that colour
constexpr double kFlat = 2;                  // largest distance from it there, in 8-bit levels
constexpr double kBesideShare = 0.5;         // largest share around the mask with a similar colour
constexpr double kAlike = 8;                 // largest distance from it there, in 8-bit levels
constexpr std::size_t kLeastErased = 16;     // with fewer samples nothing looks erased

// Scenes that look flooded, ten of photographs and those of the gallery, have 27 levels or more and
// a share of 0.16 or more; of the others those with more than 17 levels are thin.
constexpr std::int64_t kFloodedSamples = 48;  // rows or columns of the grid, at the longer side
constexpr std::size_t kLeastFlooded = 32;     // with fewer samples nothing looks flooded
constexpr int kMargin = 2;                    // samples so near to the contour are left out
constexpr double kThick = 0.4;   // an object with a smaller share of samples left is thin: the
                                 // colours around it may fill it
constexpr double kLevels = 20;   // least standard deviation of the moves, in 8-bit levels
constexpr double kShare = 0.13;  // the same, as a share of the range of the object's own colours
constexpr double kLow = 0.05, kHigh = 0.95;  // the quantiles between which that range lies

// A grid of samples: every `step`-th row and column.
struct Grid {
  std::int64_t row_step, column_step, rows, columns;

  Grid(std::int64_t height, std::int64_t width, std::int64_t row_step, std::int64_t column_step)
      : row_step(row_step),
        column_step(column_step),
        rows((height + row_step - 1) / row_step),
        columns((width + column_step - 1) / column_step) {}

  std::size_t size() const { return static_cast<std::size_t>(rows * columns); }
  std::size_t at(std::int64_t i, std::int64_t j) const {
    return static_cast<std::size_t>(i * columns + j);
  }
};

template <typename Fn>
void for_samples(const Grid& grid, Fn&& fn) {
  for (std::int64_t i = 0; i < grid.rows; ++i) {
    for (std::int64_t j = 0; j < grid.columns; ++j) fn(i, j);
  }
}

// Which samples of a mask are above a share of its range.
std::vector<char> samples_above(const ImageView& mask, const Grid& grid, double least) {
  std::vector<char> result(grid.size());
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const double limit = least * dtype_range(mask.dtype);
    const std::int64_t step = grid.column_step * mask.col_stride;
    for (std::int64_t i = 0; i < grid.rows; ++i) {
      const T* __restrict from = mask.at<T>(i * grid.row_step, 0, 0);
      char* __restrict to = &result[grid.at(i, 0)];
      if constexpr (std::is_integral_v<T>) {
        const std::int32_t whole = static_cast<std::int32_t>(limit);  // above it is above limit
        for (std::int64_t j = 0; j < grid.columns; ++j) to[j] = from[j * step] > whole;
      } else {
        for (std::int64_t j = 0; j < grid.columns; ++j) {
          to[j] = to_real<double>(from[j * step]) > limit;
        }
      }
    }
  });
  return result;
}

// The values of an image's samples, [samples, C].
template <typename Real>
std::vector<Real> samples_of(const ImageView& image, const Grid& grid) {
  std::vector<Real> result(grid.size() * static_cast<std::size_t>(image.channels));
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    Real* to = result.data();
    for_samples(grid, [&](std::int64_t i, std::int64_t j) {
      for (std::int64_t k = 0; k < image.channels; ++k) {
        *to++ = to_real<Real>(*image.at<T>(i * grid.row_step, j * grid.column_step, k));
      }
    });
  });
  return result;
}

// Whether at least three of nine pixels are similar: a test that takes next to no time.
bool may_be_flat(const ImageView& image, double near) {
  std::vector<std::vector<double>> nine;
  dispatch_image(image.dtype, "image", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t h = image.height, w = image.width;
    for (std::int64_t y : {h / 4, h / 2, h - 1 - h / 4}) {
      for (std::int64_t x : {w / 4, w / 2, w - 1 - w / 4}) {
        std::vector<double>& pixel = nine.emplace_back();
        for (std::int64_t k = 0; k < image.channels; ++k) {
          const double value = to_real<double>(*image.at<T>(y, x, k));
          pixel.push_back(std::isnan(value) ? HUGE_VAL : value);  // sorting needs an order
        }
      }
    }
  });
  std::sort(nine.begin(), nine.end());
  for (std::size_t i = 0; i + 2 < nine.size(); ++i) {
    bool alike = true;
    for (std::size_t k = 0; k < nine[i].size(); ++k) {
      alike = alike && std::abs(nine[i][k] - nine[i + 2][k]) <= 2 * near;
    }
    if (alike) return true;
  }
  return false;
}

// The share of samples within a distance of a colour; comparisons with NaN are false.
double share_near(const std::vector<float>& samples, const std::vector<std::size_t>& chosen,
                  const float* colour, std::size_t channels, double distance) {
  std::size_t count = 0;
  for (std::size_t sample : chosen) {
    bool near = true;
    for (std::size_t k = 0; k < channels; ++k) {
      const float difference = std::abs(samples[sample * channels + k] - colour[k]);
      near = near && difference <= static_cast<float>(distance);
    }
    count += near;
  }
  return static_cast<double>(count) / static_cast<double>(chosen.size());
}

std::vector<std::size_t> chosen_of(const std::vector<char>& where) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < where.size(); ++i) {
    if (where[i]) chosen.push_back(i);
  }
  return chosen;
}

std::size_t count_of(const std::vector<char>& where) {
  std::size_t count = 0;
  for (char each : where) count += each != 0;
  return count;
}

// Leaves the samples out that have one outside within a step; beyond the grid there is none.
std::vector<char> shrunk(const std::vector<char>& inside, const Grid& grid) {
  std::vector<char> result = inside;
  const std::size_t columns = static_cast<std::size_t>(grid.columns);
  for (std::int64_t i = 0; i < grid.rows; ++i) {
    const char* __restrict at = &inside[grid.at(i, 0)];
    const char* __restrict above = i > 0 ? at - columns : at;
    const char* __restrict below = i + 1 < grid.rows ? at + columns : at;
    char* __restrict to = &result[grid.at(i, 0)];
    for (std::size_t j = 0; j < columns; ++j) to[j] = at[j] & above[j] & below[j];
    for (std::size_t j = 1; j < columns; ++j) to[j] &= at[j - 1];
    for (std::size_t j = 0; j + 1 < columns; ++j) to[j] &= at[j + 1];
  }
  return result;
}

// Returns the value between values of ascending order, `value(i)` being the i-th of `count`, below
// which a share of them lies.
template <typename Fn>
double quantile_of(std::size_t count, double share, Fn&& value) {
  const double at = share * static_cast<double>(count - 1);
  const std::size_t low = static_cast<std::size_t>(at);
  const double below = value(low);
  const double above = value(std::min(low + 1, count - 1));
  return below + (at - static_cast<double>(low)) * (above - below);
}

// Returns how many of some samples of a uint8 image have each value, [C, 256].
std::vector<std::uint32_t> counts_of(const ImageView& image, const Grid& grid,
                                     const std::vector<char>& where) {
  const std::int64_t channels = image.channels, step = grid.column_step * image.col_stride;
  std::vector<std::uint32_t> counts(static_cast<std::size_t>(channels) * 256);
  for (std::int64_t i = 0; i < grid.rows; ++i) {
    const char* __restrict chosen = &where[grid.at(i, 0)];
    const std::uint8_t* __restrict row = image.at<std::uint8_t>(i * grid.row_step, 0, 0);
    for (std::int64_t j = 0; j < grid.columns; ++j) {
      if (!chosen[j]) continue;
      for (std::int64_t k = 0; k < channels; ++k) {
        ++counts[static_cast<std::size_t>(k) * 256 + row[j * step + k * image.channel_stride]];
      }
    }
  }
  return counts;
}

// Returns the range of an image's samples between the quantiles kLow and kHigh, its mean over the
// channels; NaN where a value is.
double range_of(const ImageView& image, const Grid& grid, const std::vector<char>& where,
                std::size_t count) {
  double result = 0;
  dispatch_image(image.dtype, "src", [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<T> values;
    std::vector<std::uint32_t> counts;
    if constexpr (sizeof(T) == 1) {
      counts = counts_of(image, grid, where);
    }
    for (std::int64_t k = 0; k < image.channels; ++k) {
      double ends[2];
      if constexpr (sizeof(T) == 1) {
        const std::uint32_t* own = &counts[static_cast<std::size_t>(k) * 256];
        for (int end = 0; end < 2; ++end) {
          ends[end] = quantile_of(count, end == 0 ? kLow : kHigh, [&](std::size_t i) {
            std::size_t value = 0;
            for (std::size_t below = own[0]; below <= i; below += own[value]) ++value;
            return static_cast<double>(value);
          });
        }
      } else {
        values.clear();
        for_samples(grid, [&](std::int64_t i, std::int64_t j) {
          if (!where[grid.at(i, j)]) return;
          values.push_back(*image.at<T>(i * grid.row_step, j * grid.column_step, k));
        });
        for (T value : values) {
          if (std::isnan(static_cast<double>(value))) result = HUGE_VAL - HUGE_VAL;
        }
        if (std::isnan(result)) return;
        for (int end = 0; end < 2; ++end) {
          ends[end] = quantile_of(count, end == 0 ? kLow : kHigh, [&](std::size_t i) {
            const auto at = values.begin() + static_cast<std::ptrdiff_t>(i);
            std::nth_element(values.begin(), at, values.end());
            return static_cast<double>(*at);
          });
        }
      }
      result += ends[1] - ends[0];
    }
  });
  return result / static_cast<double>(image.channels);
}

// The sums over some samples of a - b in each of kChannels channels, and of its squares, of
// integers.
template <typename A, typename B, int kChannels>
void add_moves(const ImageView& a, const ImageView& b, const Grid& grid, std::int64_t channel,
               const std::vector<char>& where, std::int64_t* sums, std::int64_t* squares) {
  using Value = std::conditional_t<sizeof(A) == 1, std::int32_t, std::int64_t>;
  const std::int64_t a_step = grid.column_step * a.col_stride;
  const std::int64_t b_step = grid.column_step * b.col_stride;
  for (std::int64_t i = 0; i < grid.rows; ++i) {
    const char* __restrict chosen = &where[grid.at(i, 0)];
    const A* __restrict from = a.at<A>(i * grid.row_step, 0, channel);
    const B* __restrict to = b.at<B>(i * grid.row_step, 0, channel);
    Value row_sums[kChannels] = {}, row_squares[kChannels] = {};
    for (std::int64_t j = 0; j < grid.columns; ++j, from += a_step, to += b_step) {
      if (!chosen[j]) continue;
      for (int k = 0; k < kChannels; ++k) {
        const Value move = Value(from[k * a.channel_stride]) - Value(to[k * b.channel_stride]);
        row_sums[k] += move;
        row_squares[k] += move * move;
      }
    }
    for (int k = 0; k < kChannels; ++k) {
      sums[k] += row_sums[k];
      squares[k] += row_squares[k];
    }
  }
}

// The same for one channel of images of which one has floats, as differences from the first move.
template <typename A, typename B>
void add_moves(const ImageView& a, const ImageView& b, const Grid& grid, std::int64_t channel,
               const std::vector<char>& where, double* sum, double* squares) {
  std::optional<double> first;
  for_samples(grid, [&](std::int64_t i, std::int64_t j) {
    if (!where[grid.at(i, j)]) return;
    const std::int64_t y = i * grid.row_step, x = j * grid.column_step;
    double move =
        to_real<double>(*a.at<A>(y, x, channel)) - to_real<double>(*b.at<B>(y, x, channel));
    if (!first) first = move;
    move -= *first;
    *sum += move;
    *squares += move * move;
  });
}

// The standard deviation of a - b over some samples, its mean over the channels.
double deviation_of(const ImageView& a, const ImageView& b, const Grid& grid,
                    const std::vector<char>& where, std::size_t count) {
  const double n = static_cast<double>(count);
  double result = 0;
  const auto add = [&](auto sum, auto squares) {
    const double mean = static_cast<double>(sum) / n;
    result += std::sqrt(std::abs(static_cast<double>(squares) / n - mean * mean));
  };
  dispatch_image(a.dtype, "src", [&](auto a_tag) {
    using A = typename decltype(a_tag)::type;
    dispatch_image(b.dtype, "out", [&](auto b_tag) {
      using B = typename decltype(b_tag)::type;
      if constexpr (std::is_integral_v<A> && std::is_integral_v<B>) {
        const int together = a.channels == 3 ? 3 : 1;
        for (std::int64_t k = 0; k < a.channels; k += together) {
          std::int64_t sums[3] = {}, squares[3] = {};
          if (together == 3) {
            add_moves<A, B, 3>(a, b, grid, k, where, sums, squares);
          } else {
            add_moves<A, B, 1>(a, b, grid, k, where, sums, squares);
          }
          for (int i = 0; i < together; ++i) add(sums[i], squares[i]);
        }
      } else {
        for (std::int64_t k = 0; k < a.channels; ++k) {
          double sum = 0, squares = 0;
          add_moves<A, B>(a, b, grid, k, where, &sum, &squares);
          add(sum, squares);
        }
      }
    });
  });
  return result / static_cast<double>(a.channels);
}

void check_over(const ImageView& mask, const Box& place) {
  HM_CHECK(mask.channels == 1 && mask.height == place.height() && mask.width == place.width(),
           "mask: shape [", mask.height, ", ", mask.width, "], expected [", place.height(), ", ",
           place.width(), "]");
}

}  // namespace

std::vector<float> erased_colour(const ImageView& dst, const ImageView& mask, const Box& place,
                                 const Box& box) {
  check_over(mask, place);
  const double level = dtype_range(dst.dtype) / 255;
  const Box common = box.overlap(place).overlap({0, dst.height, 0, dst.width});
  if (common.empty()) return {};
  const ImageView part = part_of(dst, common);
  if (!may_be_flat(part, kFlat * level)) return {};
  const std::int64_t row_step = std::max<std::int64_t>(1, common.height() / kErasedSamples);
  const std::int64_t column_step = std::max<std::int64_t>(1, common.width() / kErasedSamples);
  const std::size_t channels = static_cast<std::size_t>(dst.channels);

  const Grid grid(common.height(), common.width(), row_step, column_step);
  const std::vector<std::size_t> under =
      chosen_of(samples_above(part_of(mask, common, place.y0, place.x0), grid, 0.5));
  if (under.size() < kLeastErased) return {};
  const std::vector<float> below = samples_of<float>(part, grid);
  const float* middle = &below[under[under.size() / 2] * channels];
  const std::vector<float> colour(middle, middle + channels);
  if (!(share_near(below, under, colour.data(), channels, kFlat * level) >= kErasedShare)) {
    return {};
  }

  const std::int64_t reach = 2 + std::max(box.height(), box.width()) / 8;
  const Box around = box.expanded(reach, dst.height, dst.width);
  const Grid wide(around.height(), around.width(), row_step, column_step);
  std::vector<char> outside(wide.size(), 1);
  dispatch_any(mask.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_samples(wide, [&](std::int64_t i, std::int64_t j) {
      const std::int64_t y = around.y0 + i * row_step - place.y0;
      const std::int64_t x = around.x0 + j * column_step - place.x0;
      if (y < 0 || x < 0 || y >= mask.height || x >= mask.width) return;
      outside[wide.at(i, j)] = to_real<double>(*mask.at<T>(y, x, 0)) == 0;
    });
  });
  const std::vector<std::size_t> beside = chosen_of(outside);
  if (beside.size() < kLeastErased) return {};
  const std::vector<float> there = samples_of<float>(part_of(dst, around), wide);
  const double alike = share_near(there, beside, colour.data(), channels, kAlike * level);
  return alike <= kBesideShare ? colour : std::vector<float>();
}

double flooded_levels(const ImageView& src, const ImageView& out, const ImageView& mask,
                      const Box& place, const Box& box) {
  check_over(mask, place);
  check_image_shape(src, "src", mask.height, mask.width, out.channels);
  const Box common = box.overlap(place).overlap({0, out.height, 0, out.width});
  if (common.empty()) return 0;
  const std::int64_t step =
      std::max<std::int64_t>(1, std::max(common.height(), common.width()) / kFloodedSamples);
  const Grid grid(common.height(), common.width(), step, step);
  const std::vector<char> inside =
      samples_above(part_of(mask, common, place.y0, place.x0), grid, 0.5);
  std::vector<char> inner = inside;
  for (int i = 0; i < kMargin; ++i) inner = shrunk(inner, grid);
  const std::size_t count = count_of(inside), deep = count_of(inner);
  if (deep < kLeastFlooded || static_cast<double>(deep) < kThick * static_cast<double>(count)) {
    return 0;
  }
  const double level = dtype_range(out.dtype) / 255;
  const ImageView object = part_of(src, common, place.y0, place.x0);
  const double deviation = deviation_of(object, part_of(out, common), grid, inner, deep) / level;
  if (!(deviation >= kLevels)) return 0;  // NaN is above nothing
  // Values of integers are within 255 levels of each other.
  const bool whole = src.dtype == DType::kUInt8 || src.dtype == DType::kUInt16;
  if (whole && deviation >= kShare * 255) return deviation;
  return deviation >= kShare * range_of(object, grid, inside, count) / level ? deviation : 0;
}

}  // namespace pyharmony
