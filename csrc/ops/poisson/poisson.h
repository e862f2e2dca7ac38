// Solves L x + weight G x = b on the pixels with mask > 0, the others being known: the equation of
// pyharmony/reference/poisson.py, by conjugate gradients with a multigrid preconditioner.
//
// Coarse node (I, J) sits at fine (2I, 2J) and exists where that pixel is unknown; P is bilinear
// with the rows of known pixels deleted, and the coarse operator is P^T A P. One V-cycle smooths
// twice before and twice after each coarser level. Everything runs on the box of the mask.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/array.h"
#include "core/buffer.h"
#include "ops/poisson/images.h"
#include "ops/poisson/level.h"

namespace pyharmony::poisson {

// A grid of the hierarchy with its stored planes.
struct Level {
  LevelView view;
  std::vector<int> spans;  // lo, hi, wide_lo, wide_hi
  Buffer<std::int8_t> active;
  Buffer<float> coefficients, excess, columns, zero_row;
  bool bottom = false, right = false;  // whether the last row or column is the image's

  std::size_t plane_floats() const {
    return static_cast<std::size_t>(view.height + 2) * static_cast<std::size_t>(view.stride) + kPad;
  }
  std::ptrdiff_t origin() const { return view.stride + kPad; }
};

struct Report {
  int iterations = 0;
  double residual = 0;   // largest |b - A x|; the certificate's where there is one
  double estimate = 0;   // estimated error, from the last preconditioned residual
  double max_error = 0;  // proven bound, NaN without a certificate
  bool converged = true;
  std::int64_t clipped = 0;  // values that were clipped where they were stored
};

// The correction x - src of the frame before, which is close to that of the next frame.
class WarmStart {
 public:
  void reset() { e_.clear(); }
  std::int64_t bytes() const {
    return e_.empty() ? 0 : static_cast<std::int64_t>(e_.size() * e_[0].bytes());
  }

 private:
  friend class Solver;
  std::vector<Buffer<float>> e_;  // [C] planes of the finest level; none before the first frame
  double largest_ = 0;            // largest value in them
  // The largest values that earlier frames showed for this mask: the contraction by Ritz values,
  // and what the first iteration left of the estimate. A cut does not reset them.
  double contraction_ = 0, first_left_ = 0;
};

struct SolveParams : Sources {
  ImageView out;
  double tolerance = 0;  // largest error, in the unit of the images
  int max_iterations = 30;
  bool certify = false;
  WarmStart* warm = nullptr;  // from the same hierarchy; used by one solve at a time; not with rhs
};

// The hierarchy depends on the mask alone; solve() may run on several threads at once.
class Hierarchy {
 public:
  // mask.data null: every pixel is unknown. weight_map.data null: `weight` holds everywhere.
  Hierarchy(const ImageView& mask, double weight, const ImageView& weight_map, double w0,
            double w1);

  Report solve(const SolveParams& params) const;

  std::int64_t unknowns() const { return unknowns_; }
  std::int64_t bytes() const;
  int levels() const { return static_cast<int>(levels_.size()); }
  int height() const { return height_; }
  int width() const { return width_; }

 private:
  friend class Solver;
  void build_finest(const ImageView& mask, const ImageView& weight_map);
  void build_finest_nine(const ImageView& weight_map);
  bool build_coarser();
  void factor_coarsest();

  int height_, width_;  // size of the image
  double weight_, w0_, w1_;
  int top_ = 0, left_ = 0;  // origin of the box
  Buffer<double> map_;      // weights of the box and one pixel around it, as far as the image goes
  int map_top_ = 0, map_left_ = 0, map_height_ = 0, map_width_ = 0;
  std::int64_t unknowns_ = 0;
  std::int64_t nodes_count_ = 0;                // nodes of the coarsest level
  double reach_ = 0;                            // approximate |A^-1| in the maximum norm, from it
  std::vector<std::unique_ptr<Level>> levels_;  // the finest first
  // The coarsest level: indices of its nodes into a plane, and the inverse of its matrix.
  std::vector<std::ptrdiff_t> nodes_;
  Buffer<float> inverse_;
  // max w / min (A w) for some w > 0; see docs/poisson.md. The first certificate finds it.
  mutable std::mutex amplification_mutex_;
  mutable double amplification_ = -1;
};

}  // namespace pyharmony::poisson
