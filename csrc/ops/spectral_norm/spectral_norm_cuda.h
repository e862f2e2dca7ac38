// The spectral norms of spectral_norm.h on a device. All weights and n iterations take 2 n + 1
// launches, or 2 without iterations and for gradients (again for every kSpectralNormItems weights).
//
// All arrays are in the memory of the current device. Weights, outs and grads have one dtype:
// float32, float16 or bfloat16; vectors, sigmas and state are float32. Launchers allocate nothing,
// wait for nothing and can be captured; results have the same bits every time. The results for a
// zero weight are not finite.
#pragma once

#include <driver_types.h>

#include <vector>

#include "ops/spectral_norm/spectral_norm.h"

namespace pyharmony {

constexpr int kSpectralNormItems = 32;

// A weight as the kernels see it; offsets are in floats.
struct SpectralNormItem {
  const void* weight;
  const void* grad;
  void* out;
  float *u, *v;
  int outer, rows, inner;
  int blocks;      // blocks of rows, each with partial sums of M^T u
  int first_tile;  // in the launch
  int partials;    // in the workspace: [blocks, cols], then M^T u [cols], then M v [rows]
  int state;       // u [rows], then v [cols]
  int index;       // index of sigma
  int wide;        // whether four neighbours in a row can be loaded at once
};

struct SpectralNormParams {
  SpectralNormItem items[kSpectralNormItems];
  int count;
  float eps;
  float* workspace;
  float* sigmas;
  const float* grad_sigmas;
  float* state;
};

// Returns bytes of workspace for either launcher.
std::int64_t spectral_norm_workspace(const std::vector<ArrayView>& weights);

// Does the same as spectral_norm(), but returns nothing.
void launch_spectral_norm(const std::vector<ArrayView>& weights, const std::vector<ArrayView>& us,
                          const std::vector<ArrayView>& vs, const std::vector<ArrayView>& outs,
                          const ArrayView& sigmas, const ArrayView& state,
                          const SpectralNormOptions& options, void* workspace, cudaStream_t stream);

// Does the same as spectral_norm_gradient().
void launch_spectral_norm_gradient(const std::vector<ArrayView>& weights,
                                   const std::vector<ArrayView>& grads, const ArrayView& sigmas,
                                   const ArrayView& grad_sigmas, const ArrayView& state,
                                   const std::vector<ArrayView>& outs, void* workspace,
                                   cudaStream_t stream);

}  // namespace pyharmony
