// Compiled once for each instruction set, see core/simd.h. CMake turns contraction off for this
// file: each product is rounded before it is added, as NumPy's are.
#include <algorithm>
#include <cstring>

#include "core/buffer.h"
#include "core/planes.h"
#include "core/vec.h"
#include "ops/matting/edge_colours.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

// A row of cells: its means as planes, and where it is soft.
struct Row {
  float* means[kEdgeMeans];
  std::uint8_t* soft;
};

inline bool is_finite(float x) { return x - x == 0; }

class Cells {
 public:
  explicit Cells(const EdgeCellsParams& p)
      : p_(p), is_float_(dtype_range(p.pixels.colours.dtype) == 1) {
    const std::int64_t longest = p.means.width << p.halvings;
    std::int64_t floats = 0, bytes = 0;
    for (int level = 0; level <= p.halvings; ++level) {
      floats += (level < p.halvings ? 2 : 1) * kEdgeMeans * (longest >> level);
      bytes += (level < p.halvings ? 2 : 1) * (longest >> level);
    }
    floats_ = Buffer<float>(static_cast<std::size_t>(floats + longest));
    bytes_ = Buffer<std::uint8_t>(static_cast<std::size_t>(bytes));
    float* next = floats_.data();
    std::uint8_t* next_byte = bytes_.data();
    for (int level = 0; level <= p.halvings; ++level) {
      for (Row& row : rows_[level]) {
        for (float*& plane : row.means) {
          plane = next;
          next += longest >> level;
        }
        row.soft = next_byte;
        next_byte += longest >> level;
        if (level == p.halvings) break;
      }
    }
    column_ = next;
  }

  void write() {
    for (std::int64_t y = 0; y < p_.means.height; ++y) {
      const Row& row = rows_[p_.halvings][0];
      compute(p_.halvings, y, row);
      float* to = p_.means.at<float>(y, 0, 0);
      for (std::int64_t x = 0; x < p_.means.width; ++x, to += kEdgeMeans) {
        for (int i = 0; i < kEdgeMeans; ++i) to[i] = row.means[i][x];
      }
      std::memcpy(p_.soft.at<std::uint8_t>(y, 0, 0), row.soft,
                  static_cast<std::size_t>(p_.means.width));
    }
  }

 private:
  // Computes row y of a level, 0 being that of the pixels.
  void compute(int level, std::int64_t y, const Row& out) {
    const std::int64_t width = p_.means.width << (p_.halvings - level);
    if (level == 0) return read(y + p_.top, width, out);
    const Row &above = rows_[level - 1][0], &below = rows_[level - 1][1];
    compute(level - 1, 2 * y, above);
    compute(level - 1, 2 * y + 1, below);
    for (int i = 0; i < kEdgeMeans; ++i) {
      halve(above.means[i], below.means[i], width, column_, out.means[i]);
    }
    for (std::int64_t x = 0; x < width; ++x) {
      out.soft[x] =
          above.soft[2 * x] | above.soft[2 * x + 1] | below.soft[2 * x] | below.soft[2 * x + 1];
    }
  }

  // Rows are averaged first, as `downsample` does.
  static void halve(const float* __restrict above, const float* __restrict below,
                    std::int64_t width, float* __restrict column, float* __restrict out) {
    for (std::int64_t x = 0; x < 2 * width; ++x) column[x] = 0.5f * (above[x] + below[x]);
    for (std::int64_t x = 0; x < width; ++x) {
      out[x] = 0.5f * (column[2 * x] + column[2 * x + 1]) + 0.0f;
    }
  }

  // Reads row y of the pixels, from column p.left on.
  void read(std::int64_t y, std::int64_t width, const Row& out) {
    const EdgePixels& pixels = p_.pixels;
    const std::int64_t from = std::clamp<std::int64_t>(-p_.left, 0, width);
    const std::int64_t to = std::clamp<std::int64_t>(pixels.alpha.width - p_.left, from, width);
    if (y < 0 || y >= pixels.alpha.height || from == to) return clear(out, 0, width);
    clear(out, 0, from);
    clear(out, to, width);
    const std::int64_t x = p_.left + from, n = to - from;
    for (std::int64_t i = 0; i < n; ++i) {
      out.soft[from + i] = *pixels.soft.at<std::uint8_t>(y, x + i, 0);
    }
    float* m[kEdgeMeans];
    for (int i = 0; i < kEdgeMeans; ++i) m[i] = out.means[i] + from;
    read_plane(pixels.alpha, y, x, n, m[1]);
    read_channels(pixels.colours, y, x, x + n, m + 3 + kEdgeColours);
    count(n, m);
    const float scale = static_cast<float>(1 / dtype_range(pixels.colours.dtype));
    for (int c = 0; c < kEdgeColours; ++c) mix(m[0], m[1], scale, n, m[6 + c], m[3 + c]);
    if (is_float_) widen(n, m);
  }

  static void clear(const Row& out, std::int64_t from, std::int64_t to) {
    for (float* plane : out.means) std::fill(plane + from, plane + to, 0.0f);
    std::fill(out.soft + from, out.soft + to, std::uint8_t{0});
  }

  // Writes which pixels have a colour, alpha and its square.
  void count(std::int64_t n, float* const* m) const {
    float *const there = m[0], *const alpha = m[1], *const square = m[2];
    const float opaque = p_.pixels.opaque;
    for (std::int64_t i = 0; i < n; ++i) {
      alpha[i] = alpha[i] >= opaque ? 1.0f : alpha[i];
      square[i] = alpha[i] * alpha[i];
    }
    if (p_.pixels.background) {
      std::fill_n(there, n, 1.0f);
    } else {
      for (std::int64_t i = 0; i < n; ++i) there[i] = alpha[i] > 0 ? 1.0f : 0.0f;
    }
    for (int c = 0; is_float_ && c < kEdgeColours; ++c) {
      const float* const colours = m[6 + c];
      for (std::int64_t i = 0; i < n; ++i) there[i] = is_finite(colours[i]) ? there[i] : 0.0f;
    }
  }

  static void mix(const float* __restrict there, const float* __restrict alpha, float scale,
                  std::int64_t n, float* __restrict colours, float* __restrict mixed) {
    for (std::int64_t i = 0; i < n; ++i) {
      const float colour = there[i] != 0 ? colours[i] * scale : 0.0f;
      colours[i] = colour;
      mixed[i] = colour * alpha[i];
    }
  }

  // Widens the limits by what a row has.
  void widen(std::int64_t n, float* const* m) const {
    for (int i = 3; i < kEdgeMeans; ++i) {
      Vec low = splat(p_.limits[0]), high = splat(p_.limits[1]);
      std::int64_t k = 0;
      for (; k + kLanes <= n; k += kLanes) {
        low = minimum(low, load_unaligned(m[i] + k));
        high = maximum(high, load_unaligned(m[i] + k));
      }
      p_.limits[0] = -largest(-low);
      p_.limits[1] = largest(high);
      for (; k < n; ++k) {
        p_.limits[0] = std::min(p_.limits[0], m[i][k]);
        p_.limits[1] = std::max(p_.limits[1], m[i][k]);
      }
    }
  }

  const EdgeCellsParams& p_;
  const bool is_float_;
  Buffer<float> floats_;
  Buffer<std::uint8_t> bytes_;
  Row rows_[kMostHalvings + 1][2] = {};
  float* column_;
};

}  // namespace

void edge_cells_kernel(const EdgeCellsParams& params) { Cells(params).write(); }

}  // namespace pyharmony::HM_SIMD_NS
