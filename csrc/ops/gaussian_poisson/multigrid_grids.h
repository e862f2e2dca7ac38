// The grids and the smoother of the cell-centred multigrid on the rectangle, with mirrored borders.
//
// Cells are merged in pairs along each axis. Where their number is odd, the last one stays alone,
// or joins the last pair if it is narrower than the others: the last cell is 0.5 to 1.5 times as
// wide as the others on every grid. With widths m, centres of mass and links 1 / distance,
// A = Ly x Mx + My x Lx + c My x Mx on every grid below the finest, which keeps its exact G.
// Interpolation is linear between the true centres, and the residuals of merged cells are added up.
// So every size converges like an even one; grids that ignore the widths lose half of that and
// leave a stripe at the border.
//
// The smoother is two steps of the Chebyshev iteration of the fourth kind (Lottes 2023; Phillips
// and Fischer 2022), which needs only an upper bound of the spectrum of D^-1 A.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pyharmony::gaussian_poisson {

// The error falls at least by this factor in a cycle, whatever the size and the weight.
constexpr double kCycleFactor = 0.16;
// The steps are x += d, d = momentum d + gain D^-1 r, of the Chebyshev iteration of the fourth kind
// for a spectrum of D^-1 A up to 1.86. The spectrum ends at two: the polynomial is still small
// there, and the lower bound converges better.
constexpr float kSpectrum = 1.86f;
constexpr float kGain1 = 4.0f / 3 / kSpectrum, kMomentum2 = 1.0f / 5,
                kGain2 = 12.0f / 5 / kSpectrum;

// One axis of a grid. All cells but the last are alike: `size` pixels wide, which is a power of
// two.
struct Axis {
  std::int64_t count = 0;
  double size = 1, first_centre = 0;
  double last_size = 1, last_centre = 0;
  std::int64_t coarse_count = 0;  // the last coarse cell owns all cells that are left, up to three

  double width(std::int64_t i) const { return i + 1 < count ? size : last_size; }
  double centre(std::int64_t i) const {
    return i + 1 < count ? first_centre + size * static_cast<double>(i) : last_centre;
  }
  // Returns the link between cells i - 1 and i, 1 / distance; zero beyond the ends.
  float link(std::int64_t i) const {
    return i > 0 && i < count ? static_cast<float>(1.0 / (centre(i) - centre(i - 1))) : 0.0f;
  }
  std::int64_t owner(std::int64_t i) const { return std::min(i / 2, coarse_count - 1); }
};

inline Axis pixel_axis(std::int64_t count) {
  Axis axis;
  axis.count = count;
  axis.last_centre = static_cast<double>(count - 1);
  return axis;
}

// Merges cells in pairs. Where their number is odd, the last one stays alone, or joins the last
// pair if it is narrower than the others.
inline Axis coarsen(Axis& fine) {
  Axis axis;
  const std::int64_t last = fine.count - 1;
  const bool join = fine.count > 1 && last % 2 == 0 && fine.last_size < fine.size;
  axis.count = fine.coarse_count = (fine.count + (join ? 0 : 1)) / 2;
  axis.size = 2 * fine.size;
  axis.first_centre = fine.first_centre + fine.size / 2;
  double size = 0, moment = 0;
  for (std::int64_t j = 2 * (axis.count - 1); j <= last; ++j) {
    size += fine.width(j);
    moment += fine.width(j) * fine.centre(j);
  }
  axis.last_size = size;
  axis.last_centre = moment / size;
  return axis;
}

// Interpolation is linear between centres. These are the shares of coarse cell i - 1 in cell 2 i
// and of i + 1 in cell 2 i + 1; the rest is the share of cell i.
inline float even_share(const Axis& fine, const Axis& coarse, std::int64_t i) {
  if (i <= 0 || i >= coarse.count) return 0.0f;
  return static_cast<float>((coarse.centre(i) - fine.centre(2 * i)) /
                            (coarse.centre(i) - coarse.centre(i - 1)));
}
inline float odd_share(const Axis& fine, const Axis& coarse, std::int64_t i) {
  if (i < 0 || i + 1 >= coarse.count) return 0.0f;
  return static_cast<float>((fine.centre(2 * i + 1) - coarse.centre(i)) /
                            (coarse.centre(i + 1) - coarse.centre(i)));
}

}  // namespace pyharmony::gaussian_poisson
