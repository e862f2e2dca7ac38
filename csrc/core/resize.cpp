#include "core/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/buffer.h"
#include "core/checks.h"

namespace pyharmony {
namespace {

constexpr double kGap = 3.0;
constexpr int kMaxChannels = 4;

// An axis of the part that is resized.
struct Axis {
  std::int64_t size;                             // of the image
  double begin, end;                             // of the part
  std::int64_t count;                            // pixels of the result
  std::int64_t factor = 1, first = 0, last = 0;  // of the blocks, and the pixels that they cover

  void plan() {
    const double scale = (end - begin) / static_cast<double>(count);
    factor = std::max<std::int64_t>(1, static_cast<std::int64_t>(scale / kGap));
    const double support = 0.5 * scale;
    first = std::max<std::int64_t>(0, static_cast<std::int64_t>(begin - support));
    last = std::min(size, static_cast<std::int64_t>(std::ceil(end + support)));
  }
  // Goes on with the means of the blocks.
  void reduce() {
    begin = (begin - static_cast<double>(first)) / static_cast<double>(factor);
    end = (end - static_cast<double>(first)) / static_cast<double>(factor);
    size = (last - first + factor - 1) / factor;
  }
};

class Taps {
 public:
  explicit Taps(const Axis& axis) {
    // Pillow has the corners of the part as floats.
    const float begin = static_cast<float>(axis.begin), end = static_cast<float>(axis.end);
    const double scale = static_cast<double>(end - begin) / static_cast<double>(axis.count);
    const double support = std::max(scale, 1.0), share = 1.0 / support;
    size_ = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;
    first_.resize(static_cast<std::size_t>(axis.count));
    count_.resize(first_.size());
    weights_.resize(first_.size() * static_cast<std::size_t>(size_));
    std::vector<double> exact(static_cast<std::size_t>(size_));
    for (std::size_t i = 0; i < first_.size(); ++i) {
      const double centre = static_cast<double>(begin) + (static_cast<double>(i) + 0.5) * scale;
      const std::int64_t from =
          std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - support + 0.5));
      const std::int64_t to =
          std::min(axis.size, static_cast<std::int64_t>(centre + support + 0.5));
      first_[i] = static_cast<std::int32_t>(from);
      count_[i] = static_cast<std::int32_t>(std::max<std::int64_t>(0, to - from));
      double sum = 0;
      for (std::int32_t k = 0; k < count_[i]; ++k) {
        const double away = std::abs((static_cast<double>(k + from) - centre + 0.5) * share);
        exact[static_cast<std::size_t>(k)] = away < 1 ? 1 - away : 0.0;
        sum += exact[static_cast<std::size_t>(k)];
      }
      for (std::int32_t k = 0; k < count_[i]; ++k) {
        double weight = exact[static_cast<std::size_t>(k)];
        if (sum != 0) weight /= sum;
        weights_[i * static_cast<std::size_t>(size_) + static_cast<std::size_t>(k)] =
            static_cast<std::int32_t>(0.5 + weight * (1 << kResizeBits));
      }
    }
  }

  ResizeTaps view() const { return {first_.data(), count_.data(), weights_.data(), size_}; }
  std::int64_t begin() const { return first_.front(); }
  std::int64_t end() const { return first_.back() + count_.back(); }

 private:
  std::vector<std::int32_t> first_, count_, weights_;
  std::int64_t size_;
};

void check_levels(const ArrayView& image, const ArrayView& out) {
  HM_CHECK(image.dtype == DType::kUInt8 && out.dtype == DType::kUInt8 && out.writable,
           "image, out: expected uint8, and a writable out");
  const std::int64_t from = as_image(image, "image").channels, to = as_image(out, "out").channels;
  HM_CHECK(from == to && from >= 1 && from <= kMaxChannels, "out: ", to, " channels of ", from,
           ", expected 1 to ", kMaxChannels);
}

}  // namespace

void resize(const ArrayView& image, const ArrayView& out, double left, double top, double right,
            double bottom) {
  ResizeParams p{};
  p.src = as_image(image, "image");
  p.out = as_image(out, "out");
  check_levels(image, out);
  HM_CHECK(p.out.height > 0 && p.out.width > 0, "out: no pixels");
  Axis x{p.src.width, left, right, p.out.width}, y{p.src.height, top, bottom, p.out.height};
  HM_CHECK(0 <= left && left < right && right <= static_cast<double>(x.size) && 0 <= top &&
               top < bottom && bottom <= static_cast<double>(y.size),
           "box: (", left, ", ", top, ", ", right, ", ", bottom, ") is not inside the image");
  x.plan();
  y.plan();
  if (x.factor > 1 || y.factor > 1) {
    p.src.data = p.src.at<std::uint8_t>(y.first, x.first, 0);
    p.src.height = y.last - y.first;
    p.src.width = x.last - x.first;
    x.reduce();
    y.reduce();
  }
  p.blocks = Blocks{x.factor, y.factor, y.size, x.size};
  const Taps across(x), down(y);
  p.x = across.view();
  p.y = down.view();
  p.y0 = down.begin();
  p.y1 = down.end();
  p.down_first = y.size - y.count > 2 * std::max<std::int64_t>(0, x.size - x.count);
  const std::int64_t cells = p.down_first ? y.count * x.size : (p.y1 - p.y0) * x.count;
  Buffer<std::uint8_t> between(static_cast<std::size_t>(cells * p.out.channels));
  p.between = between.data();
  HM_SIMD_CALL(resize_kernel, p);
}

void block_means(const ArrayView& image, std::int64_t across, std::int64_t down,
                 const ArrayView& out) {
  check_levels(image, out);
  HM_CHECK(across > 0 && down > 0, "across, down: ", across, ", ", down, ", expected above 0");
  const ImageView src = as_image(image, "image"), means = as_image(out, "out");
  // Pillow weights colours by the alpha of two and four channels.
  HM_CHECK(src.channels == 1 || src.channels == 3, "image: ", src.channels,
           " channels, expected 1 or 3");
  const Blocks blocks{across, down, (src.height + down - 1) / down,
                      (src.width + across - 1) / across};
  check_image_shape(means, "out", blocks.height, blocks.width, src.channels);
  HM_SIMD_CALL(block_means_kernel, src, blocks, means);
}

}  // namespace pyharmony
