#include <algorithm>
#include <cstring>
#include <mutex>

#include "core/dispatch.h"
#include "core/mask_facts.h"
#include "core/parallel.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr int kBlock = 128;  // pixels, whose counts fit in a byte
constexpr std::int64_t kPiece = 8 * kBlock;
constexpr std::int64_t kRangePixels = 1 << 18;

// Values as they are compared, and counters of their width, so that a register holds as many.
template <typename T>
struct Compared {
  using Value = T;
  using Count = std::conditional_t<
      sizeof(T) == 1, std::uint8_t,
      std::conditional_t<sizeof(T) == 2, std::uint16_t,
                         std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;
};
template <>
struct Compared<Bool> {
  using Value = std::uint8_t;
  using Count = std::uint8_t;
};
template <>
struct Compared<Half> {
  using Value = float;
  using Count = std::uint32_t;
};

template <typename T>
inline typename Compared<T>::Value compared(T value) {
  if constexpr (std::is_same_v<T, Bool>) {
    return value.value;
  } else {
    return static_cast<typename Compared<T>::Value>(value);
  }
}

template <typename T>
class Reader {
 public:
  using Value = typename Compared<T>::Value;
  using Count = typename Compared<T>::Count;

  Reader(const ImageView& mask, double least) : mask_(mask) {
    const double range = dtype_range(mask.dtype);
    white_ = static_cast<Value>(range);
    if constexpr (std::is_same_v<T, Bool>) {
      clear_ = 1;
    } else if constexpr (std::is_integral_v<T>) {
      clear_ = static_cast<Value>(static_cast<std::int64_t>(least * range) + 1);
    } else {
      clear_ = static_cast<Value>(static_cast<T>(least));
    }
  }

  void row(std::int64_t y, MaskFacts& facts) const {
    for (std::int64_t x = 0; x < mask_.width; x += kPiece) {
      const std::int64_t end = std::min(x + kPiece, mask_.width);
      if (add_uniform(y, x, end, facts)) continue;
      for (std::int64_t i = x; i < end; i += kBlock) block(y, i, facts);
    }
  }

 private:
  // Adds the pixels of a row from x to end if they are all zero or all white, as most are of many
  // masks; returns whether they are. It reads bytes only.
  bool add_uniform(std::int64_t y, std::int64_t x, std::int64_t end, MaskFacts& facts) const {
    if constexpr (!std::is_same_v<T, std::uint8_t>) {
      return false;
    } else {
      if (mask_.col_stride != 1) return false;
      const T* const in = mask_.at<T>(y, x, 0);
      T high = 0, low = white_;
      for (std::int64_t i = 0; i < end - x; ++i) {
        high |= in[i];
        low &= in[i];
      }
      if (high == 0) return true;
      if (low != white_) return false;
      facts.largest = white_;
      facts.inside += end - x;
      if (facts.y1 == 0) facts.y0 = y;
      facts.y1 = y + 1;
      facts.x0 = std::min(facts.x0, x);
      facts.x1 = std::max(facts.x1, end);
      return true;
    }
  }

  void block(std::int64_t y, std::int64_t x, MaskFacts& facts) const {
    const std::int64_t n = std::min<std::int64_t>(kBlock, mask_.width - x);
    const T* const in = mask_.at<T>(y, x, 0);
    if constexpr (std::is_same_v<T, Value>) {
      if (mask_.col_stride == 1 && n == kBlock) return count(in, y, x, n, facts);
    }
    Value values[kBlock] = {};
    if (mask_.col_stride == 1 && n == kBlock) {
      for (int i = 0; i < kBlock; ++i) values[i] = compared(in[i]);
    } else {
      for (std::int64_t i = 0; i < n; ++i) values[i] = compared(in[i * mask_.col_stride]);
    }
    count(values, y, x, n, facts);
  }

  // Counts a block's values, those beyond n being zero.
  void count(const Value* values, std::int64_t y, std::int64_t x, std::int64_t n,
             MaskFacts& facts) const {
    // Most blocks of many masks are zero, and most others white.
    std::uint64_t high = 0, low = ~std::uint64_t{0};
    for (std::size_t i = 0; i < kBlock * sizeof(Value); i += sizeof(high)) {
      std::uint64_t some;
      std::memcpy(&some, reinterpret_cast<const unsigned char*>(values) + i, sizeof(some));
      high |= some;
      low &= some;
    }
    if (high == 0) return;
    Count inside = kBlock, clear = kBlock, full = kBlock;
    Value largest = white_;
    if (!std::is_integral_v<T> || low != ~std::uint64_t{0}) {
      inside = clear = full = 0;
      largest = 0;
      Count within = 0;
      for (int i = 0; i < kBlock; ++i) {
        if constexpr (!std::is_integral_v<Value>) {
          within = static_cast<Count>(within + (values[i] >= 0 && values[i] <= 1));
        }
        inside = static_cast<Count>(inside + (values[i] > 0));
        clear = static_cast<Count>(clear + (values[i] >= clear_));
        full = static_cast<Count>(full + (values[i] >= white_));
        largest = std::max(largest, values[i]);
      }
      if constexpr (!std::is_integral_v<Value>) facts.within &= within == kBlock;
      if (inside == 0) return;
    }
    if constexpr (std::is_integral_v<T>) {
      facts.largest = std::max(facts.largest, static_cast<std::int64_t>(largest));
    }
    facts.soft |= full != inside;
    facts.inside += static_cast<std::int64_t>(inside);
    facts.faint += static_cast<std::int64_t>(inside) - static_cast<std::int64_t>(clear);
    if (facts.y1 == 0) facts.y0 = y;
    facts.y1 = y + 1;
    if (x < facts.x0) {
      std::int64_t first = 0;
      while (!(values[first] > 0)) ++first;
      facts.x0 = std::min(facts.x0, x + first);
    }
    if (x + n > facts.x1) {
      std::int64_t end = n;
      while (!(values[end - 1] > 0)) --end;
      facts.x1 = std::max(facts.x1, x + end);
    }
  }

  ImageView mask_;
  Value clear_, white_;
};

}  // namespace

MaskFacts mask_facts_kernel(const ImageView& mask, double least) {
  MaskFacts all;
  all.x0 = mask.width;
  if (mask.width > 0) {
    std::mutex mutex;
    const std::int64_t rows = std::max<std::int64_t>(1, kRangePixels / mask.width);
    dispatch_any(mask.dtype, [&](auto tag) {
      const Reader<typename decltype(tag)::type> reader(mask, least);
      parallel_for(mask.height, rows, [&](std::int64_t begin, std::int64_t end) {
        MaskFacts part;
        part.x0 = mask.width;
        for (std::int64_t y = begin; y < end; ++y) reader.row(y, part);
        if (part.inside == 0 && part.within) return;
        const std::lock_guard<std::mutex> lock(mutex);
        all.within &= part.within;
        if (part.inside == 0) return;
        all.y0 = all.inside == 0 ? part.y0 : std::min(all.y0, part.y0);
        all.y1 = std::max(all.y1, part.y1);
        all.x0 = std::min(all.x0, part.x0);
        all.x1 = std::max(all.x1, part.x1);
        all.soft |= part.soft;
        all.inside += part.inside;
        all.faint += part.faint;
        all.largest = std::max(all.largest, part.largest);
      });
    });
  }
  if (all.inside == 0) all.x0 = 0;
  return all;
}

}  // namespace pyharmony::HM_SIMD_NS
