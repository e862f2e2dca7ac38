// A direct solver of (L + weight G) x = b on the whole rectangle, on a device.
//
// L is the five-point Laplacian, G the 3 x 3 Gaussian [w1 w0 w1] along both axes, both mirrored at
// the borders (half-sample). A cosine transform along x makes G and L multiples of one another:
// column k has the equation
//
//   alpha (-X[y-1] + 2 X[y] - X[y+1]) + delta X[y] = B[y],    X[-1] = X[0], X[H] = X[H-1],
//   alpha = 1 - weight w1 gamma, delta = lambda + weight S gamma, gamma = S - w1 lambda,
//   lambda = 4 sin^2(pi k / 2 W), S = w0 + 2 w1,
//
// a tridiagonal one with constant coefficients, whatever the height is:
//   alpha (...) = (alpha / r) (1 - r z^-1) (1 - r z), r = (sqrt(1 + t) - sqrt(t))^2, t = delta / (4
//   alpha)
// is inverted by one recursion down and one up. So three launches do a solve, which reads the
// images once, reads and writes the spectrum twice, and writes the answer once. The mean of the
// answer is that of base over S^2; where the weight is zero, that of base, or zero for a given rhs.
#pragma once

#include <cstddef>

#include "device/image.h"
#include "ops/gaussian_poisson/direct_plan.h"

namespace pyharmony::gaussian_poisson {

struct DirectParams {
  // [N, H, W, C], each uint8, uint16, float16 or float32. One type for all is the fastest; base may
  // be float32 beside it.
  device::ImageBatch src, dst, base, out;
  device::ImageBatch mask;  // [N, H, W], one of these types or bool
  // [N, H, W, C] float32, or no data. Where it is given, it is b, and no other image is read.
  device::ImageBatch rhs;
  double weight = 1, w0 = 1, w1 = 0;
  const void* tables = nullptr;  // those of direct_tables, in device memory, aligned to 16 bytes
  int slow = 0;
  int processors = 1;
  std::size_t shared_per_block = 48 << 10, shared_per_processor = 64 << 10;  // bytes
  void* workspace = nullptr;                                                 // aligned to 256 bytes
  std::size_t workspace_size = 0;
};

// Returns whether a device with so much shared memory for a block can transform rows of a width.
bool direct_fits(int width, std::size_t shared_per_block);

// Throws std::invalid_argument unless shapes, dtypes and options fit together.
std::size_t direct_workspace(const DirectParams& params);

// Enqueues the solve. Nothing is read back, and the answer depends on no order of threads.
void launch_gaussian_poisson_direct(const DirectParams& params, cudaStream_t stream);

// Enqueues the largest |b - A x| of each item, of float32 answers x [N, H, W, C] in params.out,
// into residuals [N] (float32; NaN where a value is not finite).
void launch_gaussian_poisson_direct_residual(const DirectParams& params, float* residuals,
                                             cudaStream_t stream);

}  // namespace pyharmony::gaussian_poisson
