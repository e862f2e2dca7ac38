// How the direct solver transforms rows, and the tables that its kernels read: see direct_cuda.h.
#pragma once

#include <algorithm>
#include <vector>

#include "core/host_device.h"

namespace pyharmony::gaussian_poisson {

constexpr int kDirectStages = 4;  // of a transform, at most
constexpr int kPrimePairs = 2;    // pairs of frequencies that a thread has of a prime radix

// The radices of the stages of a line, a row whose width its kernels know; their product is half
// the width.
struct LineRadices {
  int first = 0, second = 0, third = 0;

  constexpr int width() const { return 2 * first * second * third; }
  // Steps of the first two indices in shared memory, and all its slots: odd, and one behind each
  // last index is free.
  constexpr int second_step() const { return third + 1; }
  constexpr int first_step() const { return (second * second_step()) | 1; }
  constexpr int slots() const { return first * first_step(); }
  // Threads that take a line, whole warps: one for each butterfly of a stage, but no more than have
  // registers.
  constexpr int threads() const {
    const int most = std::max({second * third, first * third, first * second});
    return std::min((most + 31) / 32 * 32, 256);
  }
  // Shared memory of a block: two lines of each channel, and the sums of its warps.
  constexpr int bytes(int channels) const {
    return channels *
           (2 * slots() * int(sizeof(float) * 2) + channels * threads() / 32 * int(sizeof(double)));
  }
};
// Widths of networks, videos, cameras and powers of two. The files direct_lines_*.cu compile three
// of them each, from the one in their name on.
constexpr LineRadices kLines[] = {
    {4, 8, 8},     // 512
    {8, 8, 8},     // 1024
    {8, 8, 10},    // 1280
    {10, 8, 12},   // 1920
    {8, 8, 16},    // 2048
    {10, 16, 8},   // 2560
    {12, 8, 16},   // 3072
    {12, 10, 16},  // 3840
    {10, 20, 10},  // 4000
    {12, 12, 14},  // 4032
    {16, 8, 16},   // 4096
    {12, 12, 16},  // 4608
    {15, 16, 10},  // 4800
    {16, 10, 16},  // 5120
    {12, 12, 18},  // 5184
    {15, 16, 12},  // 5760
    {12, 16, 16},  // 6144
    {15, 16, 14},  // 6720
    {15, 16, 16},  // 7680
    {16, 16, 16},  // 8192
    {15, 16, 18},  // 8640
};
constexpr LineRadices line_radices(int width) {
  for (const LineRadices& radices : kLines) {
    if (radices.width() == width) return radices;
  }
  return {};
}

// A stage of the transform: butterflies of `radix` values, `step` apart in shared memory.
struct DirectStage {
  int radix = 1, step = 1, count = 0;
  int table = 0;  // the first of its butterflies in the tables
};

// How rows of a width are transformed. `length` is the width where it is a product of at most four
// radices: of up to 16, but the first may be a prime up to 73. Otherwise the transform is a
// convolution of `length` values (Bluestein).
struct DirectPlan {
  int width = 0, length = 0, stages = 0;
  int slots = 0;  // complex numbers that a row takes in shared memory
  DirectStage stage[kDirectStages];
  // Offsets in the tables, in bytes.
  int place = 0;     // uint16 [width], where pixel x lies in shared memory
  int spectral = 0;  // uint16 [width], where frequency k lies after the transform
  int base = 0;      // uint16, the first slot of each butterfly, stage by stage
  int root = 0;      // float2, the first twiddle of each butterfly
  int twist = 0;     // float2 [width / 2 + 1], exp(-i pi k / 2 width)
  int column = 0;    // float2 [width], 1 - r and r / (2 alpha width)
  int prime = 0;     // float2 [radix / 2][whole kPrimePairs], cosine and sine of 2 pi t k / radix
  int turns = 0;     // float2 [length], exp(-2 i pi n / length): the twiddles of a prime radix
  int line = 0;      // float2, the first twiddle of each butterfly of a line's first two stages
  int natural = 0;   // uint16 [length], slots in the order of their indices: of a convolution
  int chirp = 0;     // float2 [width], exp(-i pi n^2 / width): of a convolution
  int kernel = 0;  // float2 [length], the filter's transform over length, in the order of `natural`
  int bytes = 0;

  // The radix of the first stage where that is a prime above 16, otherwise 0.
  int prime_radix() const { return stages > 0 && stage[0].radix > 16 ? stage[0].radix : 0; }
  HM_HOST_DEVICE bool convolves() const { return length != width; }
};

// Returns the plan of a width, which for some is one of about twice the length.
DirectPlan direct_plan(int width);
// Returns the tables of a width for an operator, and how many of the first columns are slow: their
// 1 - r is so small that float32 would lose it.
std::vector<unsigned char> direct_tables(int width, double weight, double w0, double w1, int& slow);

}  // namespace pyharmony::gaussian_poisson
