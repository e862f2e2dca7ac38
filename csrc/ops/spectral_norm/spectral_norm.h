// Spectral normalisation of many weights at once; see pyharmony/reference/spectral_norm.py.
//
// A weight is dense memory [outer, rows, inner]; its matrix is M [rows, cols], cols = outer *
// inner, with M[r, o * inner + i] = W[o, r, i]. Outer is 1 where the axis of the outputs comes
// first. Sums are float for weights of float, Half and BFloat16, double for those of double;
// results have the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

enum class PowerOrder : int { kLegacy, kParametrization };  // v first, or u first

struct SpectralNormOptions {
  int iterations = 1;  // 0: sigma of u and v as given
  double eps = 1e-12;
  PowerOrder order = PowerOrder::kLegacy;
  bool write = true;  // whether u and v get the new vectors
};

// Normalises weights [outer, rows, inner]; u [rows] and v [cols], any dtype of tensors, contiguous.
// Returns -1, or the index of the first weight whose sigma is zero, and has written only outs then.
//   outs    W / sigma, of the dtypes and shapes of weights; empty: not wanted
//   sigmas  [layers], float32 or float64
//   state   u and v of one layer after the other, float32 or float64: needed for gradients
std::int64_t spectral_norm(const std::vector<ArrayView>& weights, const std::vector<ArrayView>& us,
                           const std::vector<ArrayView>& vs, const std::vector<ArrayView>& outs,
                           const ArrayView& sigmas, const ArrayView& state,
                           const SpectralNormOptions& options);

// Writes outs = G / sigma + (g - <G, W> / sigma^2) u v^T, with G = grads[i] (null data: zero) and
// g = grad_sigmas[i] (null data: zero), both of the dtypes of weights and sigmas.
void spectral_norm_gradient(const std::vector<ArrayView>& weights,
                            const std::vector<ArrayView>& grads, const ArrayView& sigmas,
                            const ArrayView& grad_sigmas, const ArrayView& state,
                            const std::vector<ArrayView>& outs);

// ---- the kernels' arguments: part of a layer, vectors as float, or double for double weights ----

struct SpectralNormTile {
  const void* weight = nullptr;
  const void* grad = nullptr;
  void* out = nullptr;
  DType dtype = DType::kFloat32;
  std::int64_t outer = 1, rows = 0, inner = 0;
  std::int64_t row = 0, row_end = 0;        // rows of M
  std::int64_t column = 0, column_end = 0;  // columns of M; whole items of outer where outer > 1
  const void* u = nullptr;                  // the layer's
  const void* v = nullptr;                  // the layer's
  void* result = nullptr;
  double scale = 0, rank_one = 0;
};

enum class SpectralNormPass : int {
  kColumns,   // result[0 .. column_end - column) = u^T M over the tile's rows
  kRows,      // result[row .. row_end) = M v over all columns
  kScale,     // out = scale * W for all columns of the tile's rows
  kDot,       // *result, a double: <G, W> over all columns of the tile's rows, if there is a G
  kGradient,  // out = scale * G + rank_one * u v^T for all columns of the tile's rows
};
HM_SIMD_DECLARE(void spectral_norm_kernel(SpectralNormPass pass, const SpectralNormTile& tile))

}  // namespace pyharmony
