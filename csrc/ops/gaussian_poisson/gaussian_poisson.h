// The Gaussian-Poisson equation A x = b of pyharmony/reference/gaussian_poisson.py.
//
// All methods take one Problem. Values are in the native unit of the images (uint8: 0..255);
// the equation is linear, so nothing is rescaled.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony::gaussian_poisson {

enum class Gradients : int { kSource, kAverage };

// Accepts 'source' or 'average'.
Gradients parse_gradients(const std::string& name);

struct Problem {
  ImageView src, dst, base;  // [H, W, C], each of its own image dtype
  ImageView mask;            // [H, W], bool, or integers scaled by their range, or floats in [0, 1]
  ImageView weight_map;  // [H, W] float32 or float64; data is null where `weight` holds everywhere
  ImageView rhs;         // [H, W, C] float32; data is null where b is formed from the images
  double weight = 1.0;   // color_weight
  double w0 = 1.0, w1 = 0.0;         // centre and side tap of G = [w1 w0 w1] x [w1 w0 w1]
  bool preserve_background = false;  // only pixels with mask > 0 are unknown, the others are dst

  bool has_map() const { return weight_map.data != nullptr; }
  bool has_rhs() const { return rhs.data != nullptr; }
  std::int64_t height() const { return mask.height; }
  std::int64_t width() const { return mask.width; }
  std::int64_t channels() const { return has_rhs() ? rhs.channels : dst.channels; }
};

// Throws std::invalid_argument unless shapes and dtypes fit together.
void check_problem(const Problem& problem);

struct ResidualParams {
  Problem problem;
  ImageView field;  // [H, W, C] float64, see field.h, may be out; data is null: from src and dst
  ImageView x;      // [H, W, C], any image dtype
  ImageView out;    // [H, W, C] float32 or float64; data is null where only the maximum is wanted
  Gradients gradients = Gradients::kSource;
};

struct ChebyshevParams {
  Problem problem;  // With rhs, src, dst and base are not read, the iteration starts at zero and
                    // known pixels are zero.
  ImageView out;    // [H, W, C], any image dtype
  double tolerance = 0;  // largest error before rounding to out's dtype, in the native unit
  int max_steps = 0;
  std::int64_t strip_floats = 0, segment_rows = 0;  // tile's size, 0: chosen; no bit depends on it
};

struct ChebyshevResult {
  int steps = 0;         // steps of the run that made the answer, without the closing damped step
  int total_steps = 0;   // steps of all runs
  bool finite = true;    // whether no NaN or infinity was read from the float images
  double residual = 0;   // a bound of |b - A x| of the answer
  double max_error = 0;  // a bound of |x - x*|, before rounding to out's dtype
  bool converged = false;
  std::int64_t clipped = 0;  // values that were clipped where they were stored
};

// Runs the Chebyshev iteration in float32 with a certified error: the steps that photographs need,
// then, where the bound exceeds the tolerance, again as many as the bound asks for. Not converged:
// max_steps or float32's rounding keep the bound above the tolerance.
ChebyshevResult chebyshev(const ChebyshevParams& params);

// The same iteration for an image that is not in memory, tile by tile, with the bits of the whole:
// every run over the tiles has one plan, and there is one certificate for all.
struct TilesParams {
  // Shapes, dtypes and scalars of the whole image; its data are not read.
  Problem problem;
  double least_weight = 1, most_weight = 1;  // bounds of the map, if there is one
  double range = 255;                        // range of the values of dst
  double tolerance = 0;
  int max_steps = 0;
};

class ChebyshevRuns;

class ChebyshevTiles {
 public:
  explicit ChebyshevTiles(const TilesParams& params);
  ~ChebyshevTiles();

  double rounding() const;  // part of the tolerance that float32 takes, for values within the range
  int steps() const;        // steps of the current run; a tile needs one pixel more around it
  // Writes pixels [y0, y1) x [x0, x1) of a crop to out [y1 - y0, x1 - x0, C]. False: NaN, infinity.
  bool run(const Problem& crop, std::int64_t y0, std::int64_t y1, std::int64_t x0, std::int64_t x1,
           const ImageView& out);
  // Returns, after all tiles, whether the answer stands; otherwise they are to be run again.
  bool finish();
  ChebyshevResult result() const;

 private:
  std::unique_ptr<ChebyshevRuns> runs_;
};

}  // namespace pyharmony::gaussian_poisson

namespace pyharmony {

// Computes b - A x in float64. Known pixels have residual zero and count as dst, whatever x is
// there. Returns the largest magnitude (NaN where there is one).
HM_SIMD_DECLARE(double gaussian_poisson_residual(const gaussian_poisson::ResidualParams& params))

}  // namespace pyharmony
