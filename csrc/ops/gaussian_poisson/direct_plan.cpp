#include "ops/gaussian_poisson/direct_plan.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>

#include "core/status.h"

namespace pyharmony::gaussian_poisson {
namespace {

constexpr int kMostRadix = 16, kMostPrime = 73;
constexpr double kSlow = 0.1;  // columns of a smaller 1 - r are slow
constexpr double kPi = 3.14159265358979323846;
// Half a warp reads complex numbers at once, one from each of so many banks.
constexpr int kBanks = 16;

struct Radices {
  int stages = kDirectStages + 1, largest = kMostRadix + 1;
  int radix[kDirectStages] = {1, 1, 1, 1};
};

// Finds radices of a length: as few stages as possible, then radices as equal as possible.
void choose(int n, int most, int depth, int (&now)[kDirectStages], Radices& best) {
  if (n == 1) {
    int top = 1;
    for (int i = 0; i < depth; ++i) {
      if (now[i] <= kMostRadix) top = std::max(top, now[i]);
    }
    if (depth < best.stages || (depth == best.stages && top < best.largest)) {
      best.stages = depth;
      best.largest = top;
      std::copy(now, now + kDirectStages, best.radix);
    }
    return;
  }
  if (depth == kDirectStages) return;
  for (int r = std::min(most, n); r >= 2; --r) {
    if (n % r != 0) continue;
    now[depth] = r;
    choose(n / r, r, depth + 1, now, best);
    now[depth] = 1;
  }
}

// Returns the largest prime factor of a number.
int largest_prime(int n) {
  for (int p = 2; p * p <= n; ++p) {
    while (n > p && n % p == 0) n /= p;
  }
  return n;
}

bool radices_of(int length, bool primes, Radices& best) {
  int now[kDirectStages] = {1, 1, 1, 1};
  best = {};
  if (length == 1) {
    best.stages = 0;
    return true;
  }
  const int prime = largest_prime(length);
  if (primes && prime > kMostRadix && prime <= kMostPrime) {
    now[0] = prime;
    choose(length / prime, kMostRadix, 1, now, best);
  } else {
    choose(length, kMostRadix, 0, now, best);
  }
  return best.stages <= kDirectStages;
}

// An index is written in mixed radix: digit i is for stage i. Places of a digit are an odd number
// of slots apart, so that no access of a warp along a digit meets a bank twice.
struct Digits {
  int stages;
  int radix[kDirectStages], step[kDirectStages], natural[kDirectStages];
  int slots = 1;

  explicit Digits(const Radices& radices) : stages(radices.stages) {
    int size = 1;
    for (int i = stages - 1; i >= 0; --i) {
      radix[i] = radices.radix[i];
      step[i] = i == stages - 1 ? 1 : (radix[i + 1] * step[i + 1]) | 1;
      natural[i] = size;
      size *= radix[i];
    }
    if (stages > 0) slots = radix[0] * step[0];
  }
  int slot_of(int index) const {
    int at = 0;
    for (int i = 0; i < stages; ++i) at += index / natural[i] % radix[i] * step[i];
    return at;
  }
  // The slot of a frequency after the transform: its digits from the lowest on are those of stages
  // 0, 1, ...
  int spectral_slot_of(int k) const {
    int at = 0;
    for (int i = 0; i < stages; ++i) {
      at += k % radix[i] * step[i];
      k /= radix[i];
    }
    return at;
  }
};

using Complex = std::complex<double>;

// Returns exp(-i pi n^2 / width).
Complex chirp_of(std::int64_t n, int width) {
  const double angle = -kPi * static_cast<double>(n * n % (2 * std::int64_t(width))) / width;
  return {std::cos(angle), std::sin(angle)};
}

// Returns the transform of values, by parts of every r-th value for the radices from `stage` on.
std::vector<Complex> transform(const std::vector<Complex>& values, const Radices& radices,
                               int stage) {
  const int n = static_cast<int>(values.size());
  if (n == 1) return values;
  const int r = radices.radix[stage], part = n / r;
  std::vector<Complex> out(n), every(part), roots(n);
  for (int i = 0; i < n; ++i) roots[i] = std::polar(1.0, -2 * kPi * i / n);
  for (int t = 0; t < r; ++t) {
    for (int i = 0; i < part; ++i) every[i] = values[t + r * i];
    const std::vector<Complex> its = transform(every, radices, stage + 1);
    for (int k = 0; k < n; ++k) out[k] += its[k % part] * roots[std::int64_t(t) * k % n];
  }
  return out;
}

template <typename T>
void put(std::vector<unsigned char>& bytes, int at, std::size_t index, T value) {
  std::memcpy(bytes.data() + at + index * sizeof(T), &value, sizeof(T));
}
// The bytes of a float2.
std::complex<float> pair_of(Complex z) {
  return {static_cast<float>(z.real()), static_cast<float>(z.imag())};
}

int whole_pairs(int half) { return (half + kPrimePairs - 1) / kPrimePairs * kPrimePairs; }

}  // namespace

DirectPlan direct_plan(int width) {
  HM_CHECK(width >= 1 && width <= 1 << 16, "width: ", width, ", expected 1 to ", 1 << 16);
  DirectPlan plan;
  plan.width = plan.length = width;
  Radices radices;
  if (!radices_of(width, true, radices)) {
    plan.length = 2 * width - 1;
    while (!radices_of(plan.length, false, radices)) ++plan.length;
  }
  const Digits digits(radices);
  plan.stages = radices.stages;
  plan.slots = digits.slots;
  int butterflies = 0;
  for (int i = 0; i < plan.stages; ++i) {
    plan.stage[i] = {digits.radix[i], digits.step[i], plan.length / digits.radix[i], butterflies};
    butterflies += plan.stage[i].count;
  }
  auto part = [&](int& at, int count, int size) {
    at = plan.bytes;
    plan.bytes += (count * size + 15) / 16 * 16;
  };
  part(plan.place, width, 2);
  part(plan.spectral, width, 2);
  part(plan.base, butterflies, 2);
  part(plan.root, butterflies, 8);
  part(plan.twist, width / 2 + 1, 8);
  part(plan.column, width, 8);
  if (const int half = plan.prime_radix() / 2) {
    part(plan.prime, half * whole_pairs(half), 8);
    part(plan.turns, plan.length, 8);
  }
  const LineRadices line = line_radices(width);
  part(plan.line, line.third * (line.second + 1), 8);
  if (plan.convolves()) {
    part(plan.natural, plan.length, 2);
    part(plan.chirp, width, 8);
    part(plan.kernel, plan.length, 8);
  }
  return plan;
}

std::vector<unsigned char> direct_tables(int width, double weight, double w0, double w1,
                                         int& slow) {
  const DirectPlan plan = direct_plan(width);
  HM_CHECK(plan.slots <= 1 << 16, "width: ", width, ", expected a smaller one");
  Radices radices;
  radices_of(plan.length, !plan.convolves(), radices);
  const Digits digits(radices);
  std::vector<unsigned char> out(plan.bytes);
  auto slot = [](int at) { return static_cast<std::uint16_t>(at); };
  for (int x = 0; x < width; ++x) {
    // Pixels of even columns, and then the others from the last on: their transform has the cosine
    // coefficients (Makhoul 1980).
    put(out, plan.place, x, slot(digits.slot_of(x % 2 == 0 ? x / 2 : width - 1 - x / 2)));
    put(out, plan.spectral, x,
        slot(plan.convolves() ? digits.slot_of(x) : digits.spectral_slot_of(x)));
  }
  for (int i = 0; i < plan.stages; ++i) {
    // Butterflies of a half-warp begin in different banks: in turns one of each bank. Those of a
    // prime are in order, as their twiddles follow from their numbers.
    std::vector<int> of_bank[kBanks];
    const bool ordered = digits.radix[i] > kMostRadix;
    for (int index = 0; index < plan.length; ++index) {
      if (index / digits.natural[i] % digits.radix[i] != 0) continue;
      of_bank[ordered ? 0 : digits.slot_of(index) % kBanks].push_back(index);
    }
    std::size_t at = plan.stage[i].table;
    for (std::size_t turn = 0; at < std::size_t(plan.stage[i].table + plan.stage[i].count);
         ++turn) {
      for (const std::vector<int>& indices : of_bank) {
        if (turn >= indices.size()) continue;
        const int index = indices[turn], j = index % digits.natural[i];
        const double length = static_cast<double>(digits.natural[i]) * digits.radix[i];
        put(out, plan.base, at, slot(digits.slot_of(index)));
        put(out, plan.root, at, pair_of(std::polar(1.0, -2 * kPi * j / length)));
        ++at;
      }
    }
  }
  if (const int prime = plan.prime_radix()) {
    const int half = prime / 2, whole = whole_pairs(half);
    for (int t = 1; t <= half; ++t) {
      for (int k = 1; k <= half; ++k) {
        put(out, plan.prime, (t - 1) * whole + k - 1,
            pair_of(std::polar(1.0, 2 * kPi * (t * k % prime) / prime)));
      }
    }
    for (int n = 0; n < plan.length; ++n) {
      put(out, plan.turns, n, pair_of(std::polar(1.0, -2 * kPi * n / plan.length)));
    }
  }
  const LineRadices line = line_radices(width);
  const int part = line.second * line.third;
  for (int j = 0; j < part; ++j) {
    put(out, plan.line, j, pair_of(std::polar(1.0, -4 * kPi * j / width)));
  }
  for (int j = 0; j < line.third; ++j) {
    put(out, plan.line, part + j, pair_of(std::polar(1.0, -2 * kPi * j / part)));
  }
  const double sum = w0 + 2 * w1;
  slow = 0;
  for (int k = 0; k < width; ++k) {
    const double half = kPi * k / (2.0 * width), sine = std::sin(half);
    if (2 * k <= width) put(out, plan.twist, k, pair_of({std::cos(half), -sine}));
    const double lambda = 4 * sine * sine, gamma = sum - w1 * lambda;
    const double alpha = 1 - weight * w1 * gamma, delta = lambda + weight * sum * gamma;
    // Where alpha is zero, column k is diagonal, and where it is negative, r is.
    Complex column;
    if (std::abs(alpha) < 1e-12 * delta) {
      column = {1.0, 1 / (2.0 * width * delta)};
      // As r goes to zero, r / alpha goes to 1 / delta.
    } else {
      const double q = delta / (4 * alpha);
      const bool negative = alpha < 0;
      HM_CHECK(negative ? q < -1 : q >= 0, "weight: ", weight, ", w1: ", w1, ", not positive");
      double r, rest;
      if (negative) {
        const double root = std::sqrt(-q) + std::sqrt(-1 - q);
        r = -1 / (root * root);
        rest = 1 - r;
      } else {
        const double root = std::sqrt(1 + q) + std::sqrt(q), away = std::sqrt(1 + q) - std::sqrt(q);
        r = 1 / (root * root);
        rest = 2 * std::sqrt(q) * away;
      }
      column = {rest, r / (2 * alpha * width)};
      if (rest < kSlow) slow = k + 1;
    }
    put(out, plan.column, k, pair_of(column));
  }
  if (plan.convolves()) {
    std::vector<Complex> filter(plan.length);
    for (int n = 0; n < width; ++n) {
      const Complex value = std::conj(chirp_of(n, width));
      filter[n] = value;
      if (n > 0) filter[plan.length - n] = value;
    }
    filter = transform(filter, radices, 0);
    // The transform leaves each frequency at the slot of another index.
    std::vector<int> index_of(plan.slots, 0);
    for (int i = 0; i < plan.length; ++i) index_of[digits.slot_of(i)] = i;
    for (int k = 0; k < plan.length; ++k) {
      put(out, plan.kernel, index_of[digits.spectral_slot_of(k)],
          pair_of(filter[k] / double(plan.length)));
    }
    for (int i = 0; i < plan.length; ++i) put(out, plan.natural, i, slot(digits.slot_of(i)));
    for (int n = 0; n < width; ++n) put(out, plan.chirp, n, pair_of(chirp_of(n, width)));
  }
  return out;
}

}  // namespace pyharmony::gaussian_poisson
