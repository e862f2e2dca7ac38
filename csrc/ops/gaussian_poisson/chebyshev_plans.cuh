// Plans of Chebyshev steps as kernels read them, shared by the files of chebyshev.cu.
#pragma once

#include <cstdint>

#include "device/image.h"
#include "device/launch.h"
#include "ops/gaussian_poisson/chebyshev_cuda.h"
#include "ops/gaussian_poisson/chebyshev_plan.h"

namespace pyharmony::gaussian_poisson {
namespace {

using device::ImageBatch;

constexpr unsigned kAll = 0xffffffffu;
// The most steps that a pass of each kernel does, not counting the first step of a run: first runs
// with few steps and with more, repeated runs, and runs with a map.
constexpr int kFewLevels = 9, kMoreLevels = 10, kRepeatLevels = 10, kMapLevels = 8;
constexpr int kMostLevels = 10;
constexpr int kMostPlans = 64;  // how many are prepared for repeated runs
constexpr int kDecideThreads = 128;
constexpr float kLeastC1 = 1.0f / 16;

enum class Input { kImages, kRhs };

// The coefficients are kappa, q, inverse; with a map they are momentum, step, 0.
struct alignas(16) LevelStep {
  float a, b, c, unused;
};

// The part of a run that one launch does: the step from zero, if it is the first part, and `count`
// levels above it.
struct Pass {
  int starts, ends, count;
  float inject;                  // level 0 is inject * r0 where the run starts,
  float scale, before_scale;     // else it is the state times these
  LevelStep steps[kMostLevels];  // for levels 1 .. count
};

// Entries of the 9-point stencil: centre, edges, corners.
struct Entries {
  double c0, c1, c2;
};

HM_HOST_DEVICE inline void make_pass(const Entries& entries, bool map, StepSequence& sequence,
                                     bool starts, bool ends, int count, Pass& pass) {
  pass.starts = starts;
  pass.ends = ends;
  pass.count = count;
  const double first = starts ? sequence.next().step : 0;
  ChebyshevStep steps[kMostLevels];
  double alpha[kMostLevels + 2];  // alpha[k] is that of level k - 1
  for (int k = 0; k < count; ++k) steps[k] = sequence.next();
  alpha[0] = alpha[count] = alpha[count + 1] = 1;
  for (int k = count; k >= 1; --k) alpha[k - 1] = map ? 1 : alpha[k + 1] / steps[k - 1].momentum;
  pass.inject = static_cast<float>(first / alpha[1]);
  pass.scale = static_cast<float>(1 / alpha[1]);
  pass.before_scale = static_cast<float>(1 / alpha[0]);
  for (int k = 1; k <= count; ++k) {
    const double momentum = steps[k - 1].momentum, step = steps[k - 1].step;
    LevelStep& to = pass.steps[k - 1];
    to.unused = 0;
    if (map) {
      to.a = static_cast<float>(momentum);
      to.b = static_cast<float>(step);
      to.c = 0;
    } else {
      const double q = -step * entries.c1;
      to.a = static_cast<float>(entries.c0 / entries.c1 + (1 + momentum) / q);
      to.b = static_cast<float>(q * alpha[k] / alpha[k + 1]);
      to.c = static_cast<float>(step / (q * alpha[k]));
    }
  }
}

HM_HOST_DEVICE inline int pass_count(int steps, int levels) {
  const int passes = (steps - 1 + levels - 1) / levels;
  return passes > 0 ? passes : 1;
}

// Returns the number of levels of pass i; all passes have nearly the same.
HM_HOST_DEVICE inline int pass_levels(int steps, int passes, int i) {
  return (steps - 1) / passes + (i < (steps - 1) % passes ? 1 : 0);
}

// A plan that a repeated run may take, and the share of an error that it leaves.
struct Candidate {
  int steps;
  float low, upper, lowest;
};

// The tiles of a run: strips of columns, `pad` columns beyond them, and segments of rows.
struct Tiling {
  int strips, strip_columns, pad, segments, segment_rows;
};

// The parts of a solve that do not change from run to run.
struct Setup {
  Facts facts;
  Operator op;
  Entries entries;
  Plan plan;    // the plan of the first run
  Start start;  // the start that it was chosen for
  double bound, reduction;
  int candidates;
  Candidate candidate[kMostPlans];
};

// The state of an item: each run's decision writes it, the next one reads it.
struct Control {
  int done, steps, total_steps, passes;
  double upper, lowest;  // the start that the plan at hand was chosen for
  double reduction;      // the share of an error that it leaves in the upper spectrum
  double bound;
};

struct TileMeasure {
  float residual, scaled, correction;      // from the last pass of a run
  float first_residual, start, low, high;  // from the first; infinite: the images are not finite
  double norm;                             // from the last pass; its square
};

}  // namespace
}  // namespace pyharmony::gaussian_poisson
