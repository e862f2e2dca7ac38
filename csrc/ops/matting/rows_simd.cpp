// Compiled once for each instruction set, see core/simd.h. CMake turns contraction off for this
// file: each product is rounded before it is added, as NumPy's are.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/interrupt.h"
#include "ops/matting/matting.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

constexpr int kBlock = 16;  // windows that are computed at once
constexpr int kChannels = 3;
constexpr int kSide = 2 * kMattingReach + 1;

// The windows of a block, one a lane: their middles, and what follows from their colours.
struct Windows {
  std::int64_t middle[kBlock];  // in the order in which the shares are added
  int count = 0;
  float white[kWindow][kChannels][kBlock];  // colours, centred and whitened
  float shares[kWindow][kWindow][kBlock];   // what two pixels of a window have in common
};

inline std::int64_t member(const MattingRowsParams& p, std::int64_t middle, int i) {
  return middle + (i / 3 - 1) * p.width + i % 3 - 1;
}

// Whitens by a Cholesky factor of the colours' covariance.
void whiten(const MattingRowsParams& p, Windows& w) {
  alignas(64) double off[kWindow][kChannels][kBlock];
  for (int lane = 0; lane < kBlock; ++lane) {
    // Lanes without a window repeat the last one.
    const std::int64_t middle = w.middle[std::min(lane, w.count - 1)];
    const std::int64_t y = middle / p.width, x = middle % p.width;
    for (int i = 0; i < kWindow; ++i) {
      for (int c = 0; c < kChannels; ++c) {
        off[i][c][lane] = *p.guide.at<float>(y + i / 3 - 1, x + i % 3 - 1, c);
      }
    }
  }
  for (int c = 0; c < kChannels; ++c) {
    for (int lane = 0; lane < kBlock; ++lane) {
      double mean = off[0][c][lane];
      for (int i = 1; i < kWindow; ++i) mean += off[i][c][lane];
      mean /= kWindow;
      for (int i = 0; i < kWindow; ++i) off[i][c][lane] -= mean;
    }
  }
  const double ridge = p.ridge / kWindow;
  for (int lane = 0; lane < kBlock; ++lane) {
    double shared[kChannels][kChannels];
    for (int a = 0; a < kChannels; ++a) {
      for (int b = a; b < kChannels; ++b) {
        double sum = off[0][a][lane] * off[0][b][lane];
        for (int i = 1; i < kWindow; ++i) sum += off[i][a][lane] * off[i][b][lane];
        shared[a][b] = sum / kWindow + (a == b ? ridge : 0);
      }
    }
    const double first = std::sqrt(shared[0][0]);
    const double second_by_first = shared[0][1] / first, third_by_first = shared[0][2] / first;
    const double second = std::sqrt(shared[1][1] - second_by_first * second_by_first);
    const double third_by_second = (shared[1][2] - third_by_first * second_by_first) / second;
    const double third = std::sqrt(shared[2][2] - third_by_first * third_by_first -
                                   third_by_second * third_by_second);
    for (int i = 0; i < kWindow; ++i) {
      const double x = off[i][0][lane] / first;
      const double y = (off[i][1][lane] - second_by_first * x) / second;
      const double z = (off[i][2][lane] - third_by_first * x - third_by_second * y) / third;
      w.white[i][0][lane] = static_cast<float>(x);
      w.white[i][1][lane] = static_cast<float>(y);
      w.white[i][2][lane] = static_cast<float>(z);
    }
  }
}

void compute_shares(Windows& w) {
  constexpr float kShare = static_cast<float>(1.0 / kWindow);
  for (int a = 0; a < kWindow; ++a) {
    for (int b = a; b < kWindow; ++b) {
      const float own = a == b ? 1.0f : 0.0f;
      for (int lane = 0; lane < kBlock; ++lane) {
        float alike = w.white[a][0][lane] * w.white[b][0][lane];
        alike += w.white[a][1][lane] * w.white[b][1][lane];
        alike += w.white[a][2][lane] * w.white[b][2][lane];
        const float share = own - (1 + alike) * kShare;
        w.shares[a][b][lane] = share;
        w.shares[b][a][lane] = share;
      }
    }
  }
}

// Adds the shares of a block to the rows of its windows' pixels, and empties it.
void add_block(const MattingRowsParams& p, Windows& w) {
  if (w.count == 0) return;
  whiten(p, w);
  compute_shares(w);
  for (int lane = 0; lane < w.count; ++lane) {
    for (int a = 0; a < kWindow; ++a) {
      const std::int64_t number = p.number[member(p, w.middle[lane], a)];
      // The coefficient of the window's first pixel, in the row of this one.
      float* const sums = p.sums + number * kMattingTerms + (2 - a / 3) * kSide + 2 - a % 3;
      for (int b = 0; b < kWindow; ++b) sums[b / 3 * kSide + b % 3] += w.shares[a][b][lane];
    }
  }
  w.count = 0;
}

}  // namespace

void matting_rows_kernel(const MattingRowsParams& p) {
  Windows windows;
  std::vector<std::uint8_t> column(static_cast<std::size_t>(p.width));
  // From the last window to the first: so each coefficient has the order of NumPy's sums by pairs
  // of a window's pixels.
  for (std::int64_t y = p.height - 2; y > 0; --y) {
    check_interrupt();
    const std::uint8_t* const band = p.band + y * p.width;
    for (std::int64_t x = 0; x < p.width; ++x) {
      column[static_cast<std::size_t>(x)] = band[x - p.width] | band[x] | band[x + p.width];
    }
    for (std::int64_t x = p.width - 2; x > 0; --x) {
      const std::uint8_t* const its = column.data() + x;
      if (!(its[-1] | its[0] | its[1])) continue;
      windows.middle[windows.count++] = y * p.width + x;
      if (windows.count == kBlock) add_block(p, windows);
    }
  }
  add_block(p, windows);
  for (int k = 0; k < kMattingTerms; ++k) {
    for (std::int64_t i = 0; i < p.count; ++i) {
      p.weights[k * p.count + i] = p.sums[i * kMattingTerms + k];
    }
  }
}

}  // namespace pyharmony::HM_SIMD_NS
