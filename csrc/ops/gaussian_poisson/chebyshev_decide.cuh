// The certificate of each item and the plan of its next run, computed on the device.
#pragma once

#include <cmath>

#include "device/reduce.h"
#include "ops/gaussian_poisson/chebyshev_plans.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

struct DecideParams : Setup {
  double damping, tolerance;
  double largest_integer;  // largest value of src and dst of integer dtype, without reading them
  int run, max_steps, levels, table_passes, tasks_per_item;
  const TileMeasure* measures;
  Control* control;
  Pass* table;
  ChebyshevReport* report;
};

__global__ void __launch_bounds__(kDecideThreads)
    gaussian_poisson_chebyshev_decide_kernel(const __grid_constant__ DecideParams p) {
  __shared__ double scratch[8][kDecideThreads / 32];
  const int item = static_cast<int>(blockIdx.x);
  Control& control = p.control[item];
  if (p.run > 0 && control.done) return;
  const TileMeasure* measures = p.measures + std::int64_t(item) * p.tasks_per_item;
  double value[7] = {};
  double norm = 0;
  for (int i = static_cast<int>(threadIdx.x); i < p.tasks_per_item; i += kDecideThreads) {
    const TileMeasure& m = measures[i];
    const float its[7] = {m.residual, m.scaled, m.correction, m.first_residual,
                          m.start,    -m.low,   m.high};
#pragma unroll
    for (int f = 0; f < 7; ++f) value[f] = larger(value[f], its[f]);
    norm += m.norm;
  }
#pragma unroll
  for (int f = 0; f < 7; ++f) {
    value[f] = device::block_reduce<kDecideThreads>(value[f], device::Max(), scratch[f]);
  }
  norm = device::block_reduce<kDecideThreads>(norm, device::Sum(), scratch[7]);
  if (threadIdx.x != 0) return;

  ChebyshevMeasure measure;
  measure.residual = value[0];
  measure.scaled_residual = value[1];
  measure.largest = value[2];
  measure.first_residual = value[3];
  measure.largest_start = measure.largest_base = value[4];
  measure.image_low = -value[5];
  measure.image_high = larger(value[6], p.largest_integer);
  measure.norm = std::sqrt(norm);
  measure.finite = value[3] - value[3] == 0;
  if (p.run == 0) {
    control.total_steps = 0;
    control.steps = p.plan.steps;
    control.upper = p.start.upper;
    control.lowest = p.start.lowest;
    control.bound = p.bound;
    control.reduction = p.reduction;
  }
  control.total_steps += control.steps;
  const double nothing = __uint_as_float(0x7fc00000u);
  const Certificate certificate = certify(p.facts, p.op, p.damping, measure);
  ChebyshevReport& report = p.report[item];
  report.steps = control.steps;
  report.total_steps = control.total_steps;
  report.finite = measure.finite;
  report.residual = measure.finite ? certificate.residual : nothing;
  report.max_error = measure.finite ? certificate.max_error : nothing;
  report.converged = measure.finite && certificate.max_error <= p.tolerance;
  report.more = report.unused = 0;

  // This is the rule of ChebyshevRuns::finish, but a run that gained little is followed by another.
  const double left = certificate.max_error - certificate.floor;
  const double limit = p.tolerance - certificate.floor;
  control.done = 1;
  if (report.converged || !measure.finite || p.run == kChebyshevRepeats ||
      control.steps >= p.max_steps || !(limit > 0) || !(left - left == 0)) {
    return;
  }
  if (p.run == 0) {
    const double factor = left / control.bound;
    control.upper *= factor;
    control.lowest *= factor;
  } else {
    control.upper = control.lowest = left / control.reduction;
  }
  int chosen = -1;
  double bound = 0;
  for (int i = 0; i < p.candidates; ++i) {
    if (p.candidate[i].steps <= control.steps) continue;
    chosen = i;
    bound = control.upper * p.candidate[i].upper + control.lowest * p.candidate[i].lowest;
    if (bound <= kSafety * limit) break;
  }
  if (chosen < 0) return;
  const Candidate& candidate = p.candidate[chosen];
  control.done = 0;
  report.more = 1;
  control.steps = candidate.steps;
  control.bound = bound;
  control.reduction = candidate.upper;
  control.passes = pass_count(candidate.steps, p.levels);
  StepSequence sequence(p.op, {candidate.steps, candidate.low});
  for (int i = 0; i < control.passes; ++i) {
    make_pass(p.entries, p.facts.has_map, sequence, i == 0, i + 1 == control.passes,
              pass_levels(candidate.steps, control.passes, i),
              p.table[std::int64_t(item) * p.table_passes + i]);
  }
}

}  // namespace
}  // namespace pyharmony::gaussian_poisson
