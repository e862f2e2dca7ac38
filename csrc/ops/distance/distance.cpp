// Meijster, Roerdink, Hesselink: A General Algorithm for Computing Distance Transforms in Linear
// Time, 2000. It takes distances along the columns, then along each row the lower envelope of one
// parabola per pixel. All is in integers, so the squares are exact.
#include "ops/distance/distance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/buffer.h"
#include "core/checks.h"
#include "core/dispatch.h"
#include "core/parallel.h"

namespace pyharmony {
namespace {

constexpr std::int32_t kFar = 1 << 30;    // no pixel outside in this column
constexpr std::int64_t kColumns = 256;    // columns of a strip in the first pass
constexpr std::int64_t kRowsAtOnce = 16;  // rows of a task in the second pass

// Computes rows[y, x], the number of rows to the nearest pixel outside in column x.
template <typename T>
void along_columns(const ImageView& mask, std::int64_t x0, std::int64_t x1, std::int32_t* rows) {
  const std::int64_t w = mask.width;
  for (std::int64_t y = 0; y < mask.height; ++y) {
    std::int32_t* const row = rows + y * w;
    for (std::int64_t x = x0; x < x1; ++x) {
      const std::int32_t above = y > 0 ? row[x - w] : kFar;
      row[x] = to_real<double>(*mask.at<T>(y, x, 0)) > 0 ? std::min(above + 1, kFar) : 0;
    }
  }
  for (std::int64_t y = mask.height - 2; y >= 0; --y) {
    std::int32_t* const row = rows + y * w;
    for (std::int64_t x = x0; x < x1; ++x) row[x] = std::min(row[x], row[x + w] + 1);
  }
}

// The parabolas that make up the lower envelope of a run of pixels, left to right.
class Envelope {
 public:
  explicit Envelope(std::int64_t width) : parts_(static_cast<std::size_t>(width) + 2) {}

  // Writes out[x] for begin <= x < end, a run of pixels inside; the pixels beside it are outside.
  void run(const std::int32_t* rows, std::int64_t begin, std::int64_t end, std::int64_t width,
           float* out) {
    count_ = 0;
    if (begin > 0) add(begin - 1, 0, begin, end);
    for (std::int64_t x = begin; x < end; ++x) {
      if (rows[x] < kFar) add(x, std::int64_t{rows[x]} * rows[x], begin, end);
    }
    if (end < width) add(end, 0, begin, end);
    if (count_ == 0) {
      std::fill(out + begin, out + end, std::numeric_limits<float>::infinity());
      return;
    }
    std::int64_t part = 0;
    for (std::int64_t x = begin; x < end; ++x) {
      if (part + 1 < count_ && parts_[part + 1].from == x) ++part;
      out[x] = static_cast<float>(std::sqrt(static_cast<double>(parts_[part].at(x))));
    }
  }

 private:
  struct Part {
    std::int64_t centre, height, from;  // (x - centre)^2 + height, for x >= from
    std::int64_t at(std::int64_t x) const { return (x - centre) * (x - centre) + height; }
  };

  void add(std::int64_t centre, std::int64_t height, std::int64_t begin, std::int64_t end) {
    Part next{centre, height, begin};
    while (count_ > 0 &&
           parts_[count_ - 1].at(parts_[count_ - 1].from) > next.at(parts_[count_ - 1].from)) {
      --count_;
    }
    if (count_ > 0) {
      // The last one is not above at its first pixel: they meet at or beyond it, so plain division
      // rounds the quotient towards smaller x (its numerator is not negative).
      const Part& last = parts_[count_ - 1];
      const std::int64_t both = centre * centre - last.centre * last.centre + height - last.height;
      next.from = both / (2 * (centre - last.centre)) + 1;
    }
    if (next.from < end) parts_[count_++] = next;
  }

  Buffer<Part> parts_;
  std::int64_t count_ = 0;
};

}  // namespace

void distance(const ArrayView& mask, const ArrayView& out) {
  const ImageView m = as_image(mask, "mask"), d = as_image(out, "out");
  HM_CHECK(mask.ndim == 2, "mask: ", mask.ndim, " dimensions, expected [H, W]");
  HM_CHECK(out.ndim == 2 && out.dtype == DType::kFloat32 && out.writable && d.height == m.height &&
               d.width == m.width && is_contiguous(out),
           "out: expected contiguous writable float32 [", m.height, ", ", m.width, "]");
  const std::int64_t h = m.height, w = m.width;
  Buffer<std::int32_t> rows(static_cast<std::size_t>(h * w));
  parallel_for((w + kColumns - 1) / kColumns, 1, [&](std::int64_t begin, std::int64_t end) {
    dispatch_any(m.dtype, [&](auto tag) {
      along_columns<typename decltype(tag)::type>(m, begin * kColumns, std::min(end * kColumns, w),
                                                  rows.data());
    });
  });
  parallel_for(h, kRowsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    Envelope envelope(w);
    for (std::int64_t y = begin; y < end; ++y) {
      const std::int32_t* const row = rows.data() + y * w;
      float* const result = d.at<float>(y, 0, 0);
      for (std::int64_t x = 0; x < w;) {
        if (row[x] == 0) {
          result[x++] = 0;
          continue;
        }
        const std::int64_t first = x;
        while (x < w && row[x] != 0) ++x;
        envelope.run(row, first, x, w, result);
      }
    }
  });
}

}  // namespace pyharmony
