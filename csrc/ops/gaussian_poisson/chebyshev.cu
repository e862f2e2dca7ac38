// The Chebyshev iteration on a device: right-hand side, all steps, measure and rounding while the
// image streams through registers once.
//
// A warp owns a strip of columns of one channel, N columns a lane, and marches down a segment of
// rows. The state is the correction e = x - x0 of the start x0 (base, or dst at known pixels):
// e_0 = 0, so the first step is a multiple of r0 = b - A x0, and known pixels stay zero. Each
// level (step) follows one row behind the level before it, so a level keeps its last two rows, in
// registers; r0 and x0 of the rows under way are in the lane's own shared memory. Neighbours left
// and right are in registers but for the ends of a lane's run of columns, for which
// t = x + rho (up + down) is exchanged: two shuffles a level and row.
//
// Beyond a tile's sides and ends as many pixels are computed redundantly as there are stencils one
// after another; loads beyond the image are mirrored, and the equation continues by mirroring, so
// the sweeps have no borders. Mirrored pixels get mirrored bits: sums are of pairs.
//
// With y_k = e_k / alpha_k, alpha_k = momentum_k alpha_(k-2), a step is
//   y_k = q (kappa y + up + down + t_left + t_right + inverse r0) - y_(k-2)
// for A e = c1 (c0 / c1 e + up + down + t_left + t_right), rho = c2 / c1; alpha is one at the end.
// Where c1 is near zero, and with a map of weights, the steps are those of A itself.
//
// Known pixels carry r0 = NaN.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/status.h"
#include "device/image.h"
#include "device/launch.h"
#include "device/reduce.h"
#include "ops/gaussian_poisson/chebyshev_cuda.h"
#include "ops/gaussian_poisson/chebyshev_plan.h"

namespace pyharmony::gaussian_poisson {
namespace {

using device::ImageBatch;

constexpr unsigned kAll = 0xffffffffu;
// Steps that a pass of each kernel has, the first of a run not counted: of first runs with few and
// with more, of repeated ones and of those with a map.
constexpr int kFewLevels = 9, kMoreLevels = 10, kRepeatLevels = 10, kMapLevels = 8;
constexpr int kMostLevels = 10;
constexpr int kMostPlans = 64;  // prepared for repeated runs
constexpr int kDecideThreads = 128;
constexpr float kLeastC1 = 1.0f / 16;

enum class Kind { kPlain, kPinned, kMap };  // a map may have known pixels as well
enum class Input { kImages, kRhs };

// ---- plans --------------------------------------------------------------------------------------

// kappa, q, inverse; with a map momentum, step, 0.
struct alignas(16) LevelStep {
  float a, b, c, unused;
};

// A part of a run that one launch does: the step from zero, if it is the first part, and `count`
// levels above it.
struct Pass {
  int starts, ends, count;
  float inject;                  // level 0 is inject * r0 where the run starts,
  float scale, before_scale;     // else these times the state
  LevelStep steps[kMostLevels];  // of levels 1 .. count
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
  double alpha[kMostLevels + 2];  // of level k - 1
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

// Levels of pass i: as even as can be.
HM_HOST_DEVICE inline int pass_levels(int steps, int passes, int i) {
  return (steps - 1) / passes + (i < (steps - 1) % passes ? 1 : 0);
}

// A plan that a repeated run may take, with what it leaves of an error.
struct Candidate {
  int steps;
  float low, upper, lowest;
};

// What becomes of an item: written by the decision on each run, read by the next one.
struct Control {
  int done, steps, total_steps, passes;
  double upper, lowest;  // the start that the plan at hand was chosen for
  double reduction;      // its part of an error in the upper spectrum, and its bound
  double bound;
};

struct TileMeasure {
  float residual, scaled, correction;      // of the last pass of a run
  float first_residual, start, low, high;  // of the first; infinite: the images are not finite
  double norm;                             // of the last; the square
};

// ---- images -------------------------------------------------------------------------------------

__device__ __forceinline__ int bytes_of(DType dtype) {
  return dtype == DType::kFloat32 ? 4 : dtype == DType::kUInt16 || dtype == DType::kFloat16 ? 2 : 1;
}

// An image as the kernels read it; strides in bytes.
struct Source {
  char* data;
  std::int64_t item, channel;
  int row, column;
  DType dtype;
  bool vector;  // four neighbouring columns are one aligned load

  // Of row 0.
  __device__ __forceinline__ std::int64_t place(int n, int c) const {
    return n * item + c * channel;
  }
  // Column 0 of a row.
  __device__ __forceinline__ char* at(std::int64_t place, int y) const {
    return data + (place + std::int64_t(y) * row);
  }
  __device__ __forceinline__ char* at(int n, int c, int y) const { return at(place(n, c), y); }
};

__device__ __forceinline__ float value_of(unsigned bits, DType dtype) {
  switch (dtype) {
    case DType::kBool: return bits != 0 ? 1.0f : 0.0f;
    case DType::kFloat16: return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
    case DType::kFloat32: return __uint_as_float(bits);
    default: return static_cast<float>(bits);
  }
}

__device__ __forceinline__ unsigned bits_at(const char* p, DType dtype) {
  switch (bytes_of(dtype)) {
    case 4: return *reinterpret_cast<const unsigned*>(p);
    case 2: return *reinterpret_cast<const unsigned short*>(p);
    default: return *reinterpret_cast<const unsigned char*>(p);
  }
}

// The value, of which the compiler does not know that it is the same in every row: what is computed
// from it is computed again and does not occupy registers from row to row.
__device__ __forceinline__ int anew(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

// A run of N values, one for each column of a lane.
template <int N>
struct Run {
  float v[N];
  __device__ __forceinline__ float& operator[](int j) { return v[j]; }
  __device__ __forceinline__ float operator[](int j) const { return v[j]; }
};

template <int N>
__device__ __forceinline__ Run<N> constant(float value) {
  Run<N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out[j] = value;
  return out;
}

template <int N>
__device__ __forceinline__ Run<N> read(const float* p) {
  Run<N> out;
#pragma unroll
  for (int j = 0; j < N; j += 4) {
    const float4 q = *reinterpret_cast<const float4*>(p + j);
    out[j] = q.x;
    out[j + 1] = q.y;
    out[j + 2] = q.z;
    out[j + 3] = q.w;
  }
  return out;
}

template <int N>
__device__ __forceinline__ void write(float* p, const Run<N>& run) {
#pragma unroll
  for (int j = 0; j < N; j += 4) {
    *reinterpret_cast<float4*>(p + j) = make_float4(run[j], run[j + 1], run[j + 2], run[j + 3]);
  }
}

// The bits of one row, as they were loaded: of a lane's own columns, packed, or of every 32nd.
template <int N>
struct Bits {
  unsigned v[N];
};

// Of each address one value of `size` bytes.
template <int N>
__device__ __forceinline__ void gather(const char* const (&from)[N], int size, Bits<N>& bits) {
  if (size == 4) {
#pragma unroll
    for (int j = 0; j < N; ++j) bits.v[j] = *reinterpret_cast<const unsigned*>(from[j]);
  } else if (size == 2) {
#pragma unroll
    for (int j = 0; j < N; ++j) bits.v[j] = *reinterpret_cast<const unsigned short*>(from[j]);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) bits.v[j] = *reinterpret_cast<const unsigned char*>(from[j]);
  }
}

template <typename Words, int kCount, int N>
__device__ __forceinline__ void fetch_words(const char* p, Bits<N>& bits) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const Words w = reinterpret_cast<const Words*>(p)[i];
    if constexpr (sizeof(Words) == 4) {
      bits.v[i] = w;
    } else {
      constexpr int kEach = sizeof(Words) / 4;
      bits.v[kEach * i] = w.x;
      bits.v[kEach * i + 1] = w.y;
      if constexpr (kEach == 4) {
        bits.v[kEach * i + 2] = w.z;
        bits.v[kEach * i + 3] = w.w;
      }
    }
  }
}

// `own`: a lane's own columns, from `first` on, as aligned loads; else those of `columns`.
template <int N>
__device__ __forceinline__ void fetch(const Source& image, const char* p, bool own, int first,
                                      const int (&columns)[N], Bits<N>& bits) {
  static_assert(N == 4 || N == 8);
  const int size = bytes_of(image.dtype);
  if (own) {
    p += first * size;
    if (size == 4) {
      fetch_words<uint4, N / 4>(p, bits);
    } else if (size == 2) {
      fetch_words<std::conditional_t<N == 8, uint4, uint2>, 1>(p, bits);
    } else {
      fetch_words<std::conditional_t<N == 8, uint2, unsigned>, 1>(p, bits);
    }
  } else {
    const char* from[N];
#pragma unroll
    for (int j = 0; j < N; ++j) from[j] = p + std::int64_t(columns[j]) * image.column;
    gather(from, size, bits);
  }
}

template <DType kType, bool kOwn, int N>
__device__ __forceinline__ Run<N> unpack_as(const Bits<N>& bits) {
  Run<N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    constexpr int kSize = kType == DType::kFloat32                              ? 4
                          : kType == DType::kUInt16 || kType == DType::kFloat16 ? 2
                                                                                : 1;
    unsigned b = bits.v[j];
    if (kOwn && kSize == 2) b = bits.v[j / 2] >> (j % 2 * 16) & 0xffffu;
    if (kOwn && kSize == 1) b = bits.v[j / 4] >> (j % 4 * 8) & 0xffu;
    out[j] = value_of(b, kType);
  }
  return out;
}

// Masks alone may be bool.
template <bool kOwn, bool kMask, int N>
__device__ __forceinline__ Run<N> unpack(const Bits<N>& bits, DType dtype) {
  if (dtype == DType::kFloat32) return unpack_as<DType::kFloat32, kOwn>(bits);
  if (dtype == DType::kFloat16) return unpack_as<DType::kFloat16, kOwn>(bits);
  if (dtype == DType::kUInt16) return unpack_as<DType::kUInt16, kOwn>(bits);
  if (kMask && dtype == DType::kBool) return unpack_as<DType::kBool, kOwn>(bits);
  return unpack_as<DType::kUInt8, kOwn>(bits);
}

// Rows one after the other, mirrored at both ends as often as need be.
struct RowCursor {
  int at, direction, count;

  __device__ __forceinline__ RowCursor(int row, int n) : count(n) {
    const int period = 2 * n;
    row %= period;
    if (row < 0) row += period;
    direction = row < n ? 1 : -1;
    at = row < n ? row : period - 1 - row;
  }
  __device__ __forceinline__ void next() {
    at += direction;
    if (at < 0 || at >= count) {
      at -= direction;
      direction = -direction;
    }
  }
};

// Keys' cubic at the cell centres: weights of four neighbours, the second being the nearest on
// the side of the first. See ops/pyramid/pyramid.h.
__device__ __forceinline__ float cubic(float near_outer, float near_, float far_, float far_outer) {
  constexpr float kNear = 111.0f / 128, kFar = 29.0f / 128, kNearOuter = -9.0f / 128,
                  kFarOuter = -3.0f / 128;
  return kNearOuter * near_outer + kNear * near_ + (kFar * far_ + kFarOuter * far_outer);
}

// ---- the march ----------------------------------------------------------------------------------

struct MarchParams {
  // The rows that are streamed: src, dst, mask and base; or the right-hand side, -, mask and -.
  // Without data: not streamed.
  Source field[4];
  Input input;
  Source dst, base, mask, map, out;
  int half_height, half_width;  // of base, with half_base
  bool pinned, half_base, floats, want_norm;
  float c0, c1, c2, rho;              // of the stencil
  float sum, side, corner, slope;     // of G with a map; row excess / c_i
  float weight, damping, mask_scale;  // mask_scale: times the sum of two masks is their mean
  int height, width, channels;
  // What the launch does: these items, of them these channels.
  int first_item, items, first_channel, its_channels, tasks;
  int strips, strip_columns, pad, segments, segment_rows;
  std::int64_t plane, pitch;  // of the state
  float *e[2], *before[2];    // [items, its_channels, H, pitch]; null where one pass does it all
  TileMeasure* measures;      // [N, segments, strips, C]
  const Control* control;     // null in the first run
  const Pass* table;          // [N, passes], null in the first run
  int pass, table_passes;
  Pass plan;  // of the first run
};

template <int N>
struct Sides {
  Run<N> left, right;
};

template <int N>
__device__ __forceinline__ Sides<N> sides_of(const Run<N>& x) {
  Sides<N> s;
  s.left[0] = __shfl_up_sync(kAll, x[N - 1], 1);
  s.right[N - 1] = __shfl_down_sync(kAll, x[0], 1);
#pragma unroll
  for (int j = 1; j < N; ++j) {
    s.left[j] = x[j - 1];
    s.right[j - 1] = x[j];
  }
  return s;
}

// K levels at most; kShared: the steps are in shared memory, for they are not known to the host,
// or too many.
template <int K, int N, Kind kKind, bool kShared>
class March {
 public:
  static constexpr int kColumns = 32 * N;
  // Where the levels leave few registers, the images' rows i - 1 to i + 1 are in shared memory, and
  // they are loaded when they are due, not a row ahead.
  static constexpr bool kLean = kShared || K > 9;
  static constexpr int kFieldRows = kLean ? 3 : 1;
  // Rows of r0 from the one injected to the one that is finished, and with a map one more of c.
  static constexpr int kGroups = (K + (kKind == Kind::kMap ? 3 : 2) + 2) / 3, kRing = 3 * kGroups;
  static constexpr int kRings = kKind == Kind::kMap ? 3 : 2, kFields = 4;
  static constexpr int kPlaceFloats = 12;  // kFields + 1 places, which are as long as two
  static constexpr int kFloats = (kRings * kRing + kFieldRows * kFields + 1) * kColumns +
                                 kPlaceFloats + (kShared ? 4 * K : 0);  // of shared memory

  __device__ __forceinline__ March(const MarchParams& params, float* shared)
      : p_(params),
        lane_(static_cast<int>(threadIdx.x) % 32),
        rings_(shared),
        fields_(shared + kRings * kRing * kColumns),
        row_out_(fields_ + kFieldRows * kFields * kColumns),
        places_(reinterpret_cast<std::int64_t*>(row_out_ + kColumns)),
        steps_(reinterpret_cast<LevelStep*>(row_out_ + kColumns + kPlaceFloats)) {}

  __device__ __forceinline__ void run(int task) {
    const int channels = p_.its_channels;
    channel_ = p_.first_channel + task % channels;
    const int strip = task / channels % p_.strips;
    const int segment = task / channels / p_.strips % p_.segments;
    item_ = p_.first_item + task / channels / p_.strips / p_.segments;
    if constexpr (kShared) {
      plan_ = &p_.plan;
      if (p_.control != nullptr) {
        const Control& control = p_.control[item_];
        const bool idle = control.done || p_.pass >= control.passes;
        if (__any_sync(kAll, idle)) return;
        plan_ = p_.table + item_ * p_.table_passes + p_.pass;
      }
      // By shuffles, so that the compiler knows that they are the same for the whole warp.
      count_ = __shfl_sync(kAll, plan_->count, 0);
      ends_ = __shfl_sync(kAll, plan_->ends, 0);
    }
    x0_ = strip * p_.strip_columns;
    x1_ = std::min(p_.width, x0_ + p_.strip_columns);
    y0_ = segment * p_.segment_rows;
    y1_ = std::min(p_.height, y0_ + p_.segment_rows);
    xs_ = x0_ - p_.pad;
    measure_ = TileMeasure{};
    interior_ = xs_ >= 0 && xs_ + kColumns <= p_.width;
    if (known_rows()) march();
    publish(((std::int64_t(item_) * p_.segments + segment) * p_.strips + strip) * p_.channels +
            channel_);
  }

 private:
  __device__ __forceinline__ const Pass& plan() const {
    if constexpr (kShared) return *plan_;
    return p_.plan;
  }
  __device__ __forceinline__ bool starts() const { return p_.pass == 0; }
  __device__ __forceinline__ bool ends() const { return (kShared ? ends_ : p_.plan.ends) != 0; }
  __device__ __forceinline__ int count() const { return kShared ? count_ : p_.plan.count; }
  __device__ __forceinline__ int first() const { return K - count(); }

  __device__ __forceinline__ bool is_pinned() const {
    return kKind == Kind::kPinned || (kKind == Kind::kMap && p_.pinned);
  }

  __device__ __forceinline__ bool inside(int column) const { return column >= x0_ && column < x1_; }

  __device__ __forceinline__ std::int64_t state_row(int y) const {
    const int item = item_ - p_.first_item, channel = channel_ - p_.first_channel;
    return (std::int64_t(item) * p_.its_channels + channel) * p_.plane + y * p_.pitch;
  }

  // Where pixels are known, narrows the rows to those with unknown ones and deals with the others.
  // False: there are none.
  __device__ __forceinline__ bool known_rows() {
    if (!is_pinned()) return true;
    constexpr int kAtOnce = 4;
    int low = y1_, high = y0_;
    for (int y = y0_; y < y1_; y += kAtOnce) {
      unsigned unknown = 0;
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {
        if (y + r >= y1_) continue;
        // Columns beyond the strip's are read from within it.
        const char* from[N];
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const int x = std::min(std::max(xs_ + lane_ + 32 * j, x0_), x1_ - 1);
          from[j] = p_.mask.at(item_, 0, y + r) + std::int64_t(x) * p_.mask.column;
        }
        Bits<N> bits;
        gather(from, bytes_of(p_.mask.dtype), bits);
        const Run<N> values = unpack<false, true>(bits, p_.mask.dtype);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          if (values[j] > 0) unknown |= 1u << r;
        }
      }
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {
        if (!__any_sync(kAll, (unknown >> r) & 1u)) continue;
        low = std::min(low, y + r);
        high = y + r + 1;
      }
    }
    if (low >= high) low = high = y1_;
    hold(low, high);
    y0_ = low;
    y1_ = high;
    return low < high;
  }

  // Rows of known pixels, those before `low` and from `high` on: dst, or zero where b is given; a
  // state of zero.
  __device__ __forceinline__ void hold(int low, int high) {
    const bool have = p_.dst.data != nullptr;
    for (int y = low > y0_ ? y0_ : high; y < y1_; y = y + 1 == low ? high : y + 1) {
#pragma unroll 1
      for (int j = 0; j < N; ++j) {
        const int x = xs_ + lane_ + 32 * j;
        if (!inside(x)) continue;
        if (ends()) {
          float value = 0;
          if (have) {
            const char* from = p_.dst.at(item_, channel_, y) + std::int64_t(x) * p_.dst.column;
            value = value_of(bits_at(from, p_.dst.dtype), p_.dst.dtype);
          }
          store_one(y, x, value);
        } else {
          const std::int64_t at = state_row(y) + x;
          p_.e[p_.pass & 1][at] = 0;
          p_.before[p_.pass & 1][at] = 0;
        }
      }
    }
  }

  static __device__ __forceinline__ float nan() { return __uint_as_float(0x7fc00000u); }

  // ---- rows in ----

  __device__ __forceinline__ bool own(int f) const { return interior_ && p_.field[f].vector; }

  __device__ __forceinline__ int mirrored(int x) const {
    if (interior_) return x;
    return p_.width >= kColumns ? device::mirror_once(x, p_.width) : device::mirror(x, p_.width);
  }

  __device__ __forceinline__ void fetch_row() {
    int columns[N];
#pragma unroll
    for (int j = 0; j < N; ++j) columns[j] = mirrored(xs_ + lane_ + 32 * j);
#pragma unroll
    for (int f = 0; f < kFields; ++f) {
      if (p_.field[f].data == nullptr) continue;
      fetch<N>(p_.field[f], p_.field[f].at(places_[f], cursor_.at), own(f), xs_ + lane_ * N,
               columns, bits_[f]);
    }
  }

  // The images' row i, the one before it or the one after it, in each lane's own columns.
  enum { kBefore, kHere, kNext };
  __device__ __forceinline__ float* field_row(int row, int f) const {
    if constexpr (!kLean) return fields_ + f * kColumns;
    return fields_at_[row] + f * kColumns;
  }

  // Row i + 1, as it was fetched.
  __device__ __forceinline__ void receive(Run<N> (&row)[kFields], Run<N>& weights) {
#pragma unroll
    for (int f = 0; f < kFields; ++f) {
      if (p_.field[f].data == nullptr || own(f)) continue;
      const Run<N> values = f == 2 ? unpack<false, true>(bits_[f], p_.field[f].dtype)
                                   : unpack<false, false>(bits_[f], p_.field[f].dtype);
#pragma unroll
      for (int j = 0; j < N; ++j) field_row(kNext, f)[lane_ + 32 * j] = values[j];
    }
    const bool half = p_.input == Input::kImages && p_.half_base;
    if (half) half_row(field_row(kNext, 3));
    HM_SYNCWARP(kAll);
#pragma unroll
    for (int f = 0; f < kFields; ++f) {
      if (p_.field[f].data == nullptr) {
        row[f] = constant<N>(0);
        if (kLean && f < 3) write<N>(field_row(kNext, f) + lane_ * N, row[f]);
      } else if (own(f)) {
        row[f] = f == 2 ? unpack<true, true>(bits_[f], p_.field[f].dtype)
                        : unpack<true, false>(bits_[f], p_.field[f].dtype);
        if (kLean && f < 3) write<N>(field_row(kNext, f) + lane_ * N, row[f]);
      } else {
        row[f] = read<N>(field_row(kNext, f) + lane_ * N);
      }
    }
    if (half) {
      row[3] = cubic_row(field_row(kNext, 3));
      if (kLean) HM_SYNCWARP(kAll);  // the doubled row is written in its place
    }
    if constexpr (kKind == Kind::kMap) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        weights[j] = p_.weight;
        if (p_.map.data != nullptr) {
          const int x = mirrored(xs_ + lane_ * N + j);
          weights[j] = *reinterpret_cast<const float*>(p_.map.at(item_, 0, cursor_.at) +
                                                       std::int64_t(x) * p_.map.column);
        }
      }
    }
    cursor_.next();
  }

  // First column of half the size that the strip's cubics reach.
  __device__ __forceinline__ int first_half() const { return std::max(xs_, 0) / 2 - 2; }

  // The row of half the size's columns at the height of the full row, into the fields' last row.
  __device__ __forceinline__ void half_row(float* to) {
    const int y = cursor_.at / 2, toward = cursor_.at % 2 == 0 ? -1 : 1, last = p_.half_height - 1;
    const int size = bytes_of(p_.base.dtype);
    const char* rows[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int at = std::min(std::max(y + (r - 1) * toward, 0), last);
      rows[r] = p_.base.at(places_[3], at);
    }
    constexpr int kMost = (kColumns / 2 + 5 + 31) / 32;
#pragma unroll 1
    for (int t = 0; t < kMost; ++t) {
      const int x = std::min(std::max(first_half() + lane_ + 32 * t, 0), p_.half_width - 1);
      const char* from[4];
#pragma unroll
      for (int r = 0; r < 4; ++r) from[r] = rows[r] + std::int64_t(x) * p_.base.column;
      Bits<4> bits;
      gather(from, size, bits);
      const Run<4> v = unpack<false, false>(bits, p_.base.dtype);
      to[lane_ + 32 * t] = cubic(v[0], v[1], v[2], v[3]);
    }
  }

  __device__ __forceinline__ Run<N> cubic_row(const float* half) const {
    Run<N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int x = mirrored(xs_ + lane_ * N + j);
      const int toward = x % 2 == 0 ? -1 : 1, at = x / 2 - first_half();
      out[j] = cubic(half[at - toward], half[at], half[at + toward], half[at + 2 * toward]);
    }
    return out;
  }

  // ---- stencils ----

  // b - A x of the row `x`, `above` and `below` being its neighbours.
  __device__ __forceinline__ Run<N> residual(const Run<N>& above, const Run<N>& x,
                                             const Run<N>& below, const Run<N>& b) const {
    Run<N> v, t, r;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      v[j] = above[j] + below[j];
      t[j] = fmaf(p_.c2, v[j], p_.c1 * x[j]);
    }
    const Sides<N> s = sides_of<N>(t);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      r[j] = fmaf(-p_.c1, v[j], fmaf(-p_.c0, x[j], b[j])) - (s.left[j] + s.right[j]);
    }
    return r;
  }

  // The same with weights c of the three rows.
  __device__ __forceinline__ Run<N> residual(const Run<N>& above, const Run<N>& x,
                                             const Run<N>& below, const Run<N>& b,
                                             const Run<N>& c_above, const Run<N>& c,
                                             const Run<N>& c_below) const {
    const Sides<N> x0 = sides_of<N>(above), x1 = sides_of<N>(x), x2 = sides_of<N>(below);
    const Sides<N> c0 = sides_of<N>(c_above), c1 = sides_of<N>(c), c2 = sides_of<N>(c_below);
    Run<N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float middle = x[j], weight = c[j];
      auto link = [&](float neighbour, float its, float& sum) {
        const float difference = middle - neighbour;
        sum = fmaf(fminf(weight, its), difference, sum);
        return difference;
      };
      // Pairs that mirror each other are added first: mirrored pixels then get mirrored bits.
      float edges = 0, left_edge = 0, right_edge = 0, left_corner = 0, right_corner = 0;
      const float left = link(x1.left[j], c1.left[j], left_edge);
      const float right = link(x1.right[j], c1.right[j], right_edge);
      float up_edge = 0, down_edge = 0;
      const float up = link(above[j], c_above[j], up_edge);
      const float down = link(below[j], c_below[j], down_edge);
      float upper = 0, lower = 0;
      link(x0.left[j], c0.left[j], upper);
      link(x2.left[j], c2.left[j], lower);
      left_corner = upper + lower;
      upper = lower = 0;
      link(x0.right[j], c0.right[j], upper);
      link(x2.right[j], c2.right[j], lower);
      right_corner = upper + lower;
      edges = (left_edge + right_edge) + (up_edge + down_edge);
      const float laplace = (left + right) + (up + down);
      float r = fmaf(-(p_.sum * weight), middle, b[j] - laplace);
      r = fmaf(p_.side, edges, r);
      out[j] = fmaf(p_.corner, left_corner + right_corner, r);
    }
    return out;
  }

  // Slots of the rings: the row that was injected `back` rows before the row at hand (sub-row U of
  // three; levels below first_ counted in).
  template <int U>
  __device__ __forceinline__ float* slot(int ring, int back) const {
    const int sub = ((U - back) % 3 + 3) % 3, group = (back - U + sub) / 3;
    return groups_[group % kGroups] + (ring * kRing + sub) * kColumns;
  }

  // ---- one row ----

  // The last two levels of the pass before: row i, and row i - 1 that level 1 is about to do.
  __device__ __forceinline__ void resume(int i, Run<N>& level, Run<N>& before) const {
    const int from = (p_.pass & 1) ^ 1;
    const float* e = p_.e[from] + state_row(device::mirror(i, p_.height));
    const float* its = p_.before[from] + state_row(device::mirror(i - 1, p_.height));
    const int first = xs_ + lane_ * N;
    if (interior_) {
      level = read<N>(e + first);
      before = read<N>(its + first);
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const int x = mirrored(first + j);
        level[j] = e[x];
        before[j] = its[x];
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      level[j] *= plan().scale;
      before[j] *= plan().before_scale;
    }
  }

  // r0, x0 and, where the run starts, level 0 of row i, of which row i + 1 has come.
  __device__ __forceinline__ void inject(int i, const Run<N> (&row)[kFields], const Run<N>& weights,
                                         Run<N>& r0, Run<N>& x0, Run<N>& level) {
    Run<N> next = row[3];
    const Run<N> x_before = kLean ? read<N>(field_row(kBefore, 3) + lane_ * N) : x_[0],
                 x_here = kLean ? read<N>(field_row(kHere, 3) + lane_ * N) : x_[1];
    const Run<N> s_here = kLean ? read<N>(field_row(kHere, 0) + lane_ * N) : s_,
                 d_here = kLean ? read<N>(field_row(kHere, 1) + lane_ * N) : d_,
                 m_here = kLean ? read<N>(field_row(kHere, 2) + lane_ * N) : m_;
    if (p_.input == Input::kImages) {
      const Run<N>&s1 = row[0], &d1 = row[1], &m1 = row[2];
      Run<N> down, right, b;
      const float s_end = __shfl_down_sync(kAll, s_here[0], 1),
                  d_end = __shfl_down_sync(kAll, d_here[0], 1),
                  m_end = __shfl_down_sync(kAll, m_here[0], 1);
      auto wanted = [&](float ds, float dd, float m) {
        return fmaf(m * p_.mask_scale, ds - dd, dd);
      };
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (is_pinned()) next[j] = m1[j] > 0 ? next[j] : d1[j];
        down[j] = wanted(s1[j] - s_here[j], d1[j] - d_here[j], m_here[j] + m1[j]);
        const float s = j + 1 < N ? s_here[(j + 1) % N] : s_end,
                    d = j + 1 < N ? d_here[(j + 1) % N] : d_end,
                    m = j + 1 < N ? m_here[(j + 1) % N] : m_end;
        right[j] = wanted(s - s_here[j], d - d_here[j], m_here[j] + m);
      }
      float left = __shfl_up_sync(kAll, right[N - 1], 1);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float weight = kKind == Kind::kMap ? c_[1][j] : p_.weight;
        b[j] = fmaf(weight, x_here[j], (left - right[j]) + (up_[j] - down[j]));
        left = right[j];
        up_[j] = down[j];
      }
      x0 = x_here;
      if constexpr (kKind == Kind::kMap) {
        r0 = residual(x_before, x_here, next, b, c_[0], c_[1], weights);
      } else {
        r0 = residual(x_before, x_here, next, b);
      }
    } else {
      r0 = s_here;
      x0 = constant<N>(0);
    }
    const bool own = i >= y0_ && i < y1_;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const bool unknown = !is_pinned() || m_here[j] > 0;
      if (starts()) {
        // Around the tile as well: known pixels there are in nobody's rows.
        measure_.start = fmaxf(measure_.start, fabsf(x0[j]));
        if (p_.floats) {
          measure_.low = fminf(measure_.low, fminf(s_here[j], d_here[j]));
          measure_.high = fmaxf(measure_.high, fmaxf(s_here[j], d_here[j]));
        }
        if (own && unknown && inside(xs_ + lane_ * N + j)) {
          // Infinity where the images are not finite.
          const float size = r0[j] == r0[j] ? fabsf(r0[j]) : __uint_as_float(0x7f800000u);
          measure_.first_residual = fmaxf(measure_.first_residual, size);
        }
        level[j] = r0[j] * plan().inject;
      }
      if (kKind != Kind::kPlain && !unknown) r0[j] = nan();
      if (kKind != Kind::kPlain && !unknown) level[j] = 0;
    }
    if constexpr (kLean) {
      write<N>(field_row(kNext, 3) + lane_ * N, next);
    } else {
      s_ = row[0];
      d_ = row[1];
      m_ = row[2];
      x_[0] = x_[1];
      x_[1] = next;
    }
    if constexpr (kKind == Kind::kMap) {
      c_[0] = c_[1];
      c_[1] = weights;
    }
  }

  // The levels of row i, which is sub-row U.
  template <int U, bool kChecked>
  __device__ __forceinline__ void levels(int i, Run<N> current, const Run<N>& start_before) {
    // Level k does row i - (k - first); before it is needed it is not computed, but two rows.
    const int reach = (i - y0_ + K + 1 + first()) / 2 + 1;
    constexpr int kUp = (U + 1) % 3, kHere = (U + 2) % 3;
#pragma unroll
    for (int k = 1; k <= K; ++k) {
      const Run<N> level = current;
      if (!kChecked || (k > first() && k <= reach)) {
        const Run<N> b = read<N>(slot<U>(0, k));
        const Run<N>&up = rows_[k - 1][kUp], &here = rows_[k - 1][kHere];
        Run<N> next, before;
        if (k == 1 || (kChecked && k == first() + 1)) {
          before = start_before;
        } else {
          before = rows_[k >= 2 ? k - 2 : 0][kUp];
        }
        const LevelStep step = step_of<kChecked>(k);
        if constexpr (kKind == Kind::kMap) {
          const Run<N> r = residual(up, here, current, b, read<N>(slot<U>(2, k + 1)),
                                    read<N>(slot<U>(2, k)), read<N>(slot<U>(2, k - 1)));
#pragma unroll
          for (int j = 0; j < N; ++j) {
            next[j] = fmaf(step.b, r[j], here[j]);
            next[j] = fmaf(step.a, here[j] - before[j], next[j]);
          }
        } else {
          Run<N> v, t;
#pragma unroll
          for (int j = 0; j < N; ++j) {
            v[j] = up[j] + current[j];
            t[j] = fmaf(p_.rho, v[j], here[j]);
          }
          const Sides<N> s = sides_of<N>(t);
#pragma unroll
          for (int j = 0; j < N; ++j) {
            const float sum = fmaf(step.a, here[j], v[j]) + (s.left[j] + s.right[j]);
            next[j] = fmaf(step.b, fmaf(step.c, b[j], sum), -before[j]);
          }
        }
#pragma unroll
        for (int j = 0; j < N; ++j) {
          if (kKind != Kind::kPlain) next[j] = b[j] == b[j] ? next[j] : 0.0f;
        }
        current = next;
      }
      // Whether it was needed or not, so that what was there before is not.
      rows_[k - 1][U] = level;
    }
    if (!kChecked || K < reach) finish<U>(i, current);
    rows_[K][U] = current;
  }

  template <bool kChecked>
  __device__ __forceinline__ void levels(int u, int i, const Run<N>& current,
                                         const Run<N>& start_before) {
    if (u == 0) {
      levels<0, kChecked>(i, current, start_before);
    } else if (u == 1) {
      levels<1, kChecked>(i, current, start_before);
    } else {
      levels<2, kChecked>(i, current, start_before);
    }
  }

  // `steady`: every level is under way, none is left out. The levels are there once for each of the
  // three rows whose registers take turns; what comes in and goes out, which is more code for all
  // its dtypes, is there once.
  __device__ __forceinline__ void row(int u, int i, bool steady) {
    Run<N> in[kFields], weights, r0, x0, current = constant<N>(0), before = current;
    lane_ = anew(lane_);
    if (!!kLean) fetch_row();
    if (!starts()) resume(i, current, before);
    receive(in, weights);
    const Run<N> c_here = c_[1];
    inject(i, in, weights, r0, x0, current);
    // Not before: what came is in registers until here.
    if (!kLean) fetch_row();
    float* to = rings_ + slot_ * kColumns + lane_ * N;
    write<N>(to, r0);
    write<N>(to + kRing * kColumns, x0);
    if constexpr (kKind == Kind::kMap) write<N>(to + 2 * kRing * kColumns, c_here);
    slot_ = slot_ + 1 == kRing ? 0 : slot_ + 1;

    if (kShared || !steady) {
      levels<true>(u, i, current, before);
    } else {
      levels<false>(u, i, current, before);
    }
    const int y = i - count() - 1;
    const bool done = ends() && y >= y0_ && y < y1_;
    const std::int64_t place = places_[kFields];  // before the next tile's is written
    if (done && p_.out.vector) store_own(p_.out.at(place, y), y, read<N>(row_out_ + lane_ * N));
    HM_SYNCWARP(kAll);
    if (done && !p_.out.vector) store_spread(p_.out.at(place, y));
  }

  __device__ __forceinline__ void store_one(int y, int x, float value) const {
    device::store_value(p_.out.at(item_, channel_, y) + std::int64_t(x) * p_.out.column,
                        p_.out.dtype, 0, value);
  }

  // A row of the answer, from shared memory: neighbouring lanes, neighbouring columns.
  __device__ __forceinline__ void store_spread(char* row) const {
    char* to[N];
    float value[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      to[j] = row + std::int64_t(xs_ + lane_ + 32 * j) * p_.out.column;
      value[j] = row_out_[lane_ + 32 * j];
    }
    switch (p_.out.dtype) {
      case DType::kUInt8: return store_spread_as<DType::kUInt8>(to, value);
      case DType::kUInt16: return store_spread_as<DType::kUInt16>(to, value);
      case DType::kFloat16: return store_spread_as<DType::kFloat16>(to, value);
      default: return store_spread_as<DType::kFloat32>(to, value);
    }
  }

  template <DType kType>
  __device__ __forceinline__ void store_spread_as(char* const (&to)[N],
                                                  const float (&value)[N]) const {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (inside(xs_ + lane_ + 32 * j)) device::store_value(to[j], kType, 0, value[j]);
    }
  }

  // The last level's row y = i - count - 1: measure and last update, into the row of the answer.
  // Where the run goes on, the last two levels' row i - count.
  template <int U>
  __device__ __forceinline__ void finish(int i, const Run<N>& current) {
    constexpr int kUp = (U + 1) % 3, kHere = (U + 2) % 3;
    if (!ends()) {
      const int y = i - count();
      if (y >= y0_ && y < y1_) {
        store_state(p_.e[p_.pass & 1], y, current, p_.before[p_.pass & 1], rows_[K - 1][kHere]);
      }
      return;
    }
    const int y = i - count() - 1;
    const bool wanted = y >= y0_ && y < y1_;
    const Run<N>&up = rows_[K][kUp], &e = rows_[K][kHere];
    const Run<N> b = read<N>(slot<U>(0, K + 1));
    Run<N> r, x0, c;
    if constexpr (kKind == Kind::kMap) {
      c = read<N>(slot<U>(2, K + 1));
      r = residual(up, e, current, b, read<N>(slot<U>(2, K + 2)), c, read<N>(slot<U>(2, K)));
    } else {
      r = residual(up, e, current, b);
    }
    if (wanted) {
      x0 = read<N>(slot<U>(1, K + 1));
      Run<N> x;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const bool known = kKind != Kind::kPlain && !(b[j] == b[j]);
        x[j] = known ? x0[j] : x0[j] + fmaf(p_.damping, r[j], e[j]);
        if (known || !inside(xs_ + lane_ * N + j)) continue;
        const float size = fabsf(r[j]);
        measure_.residual = fmaxf(measure_.residual, size);
        measure_.correction = fmaxf(measure_.correction, fabsf(e[j]));
        if (kKind == Kind::kMap) {
          measure_.scaled = fmaxf(measure_.scaled, size / (p_.slope * c[j]));
          if (p_.want_norm) measure_.norm += static_cast<double>(r[j]) * static_cast<double>(r[j]);
        }
      }
      write<N>(row_out_ + lane_ * N, x);
    }
  }

  __device__ __forceinline__ void store_state(float* a, int y, const Run<N>& va, float* b,
                                              const Run<N>& vb) const {
    const std::int64_t at = state_row(y) + xs_ + lane_ * N;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (!inside(xs_ + lane_ * N + j)) continue;
      a[at + j] = va[j];
      b[at + j] = vb[j];
    }
  }

  // A lane's columns as one store, where all of them are wanted.
  __device__ __forceinline__ void store_own(char* row, int y, const Run<N>& x) const {
    const int first = xs_ + lane_ * N;
    if (first >= x0_ && first + N <= x1_) {
      char* to = row + first * bytes_of(p_.out.dtype);
      switch (p_.out.dtype) {
        case DType::kUInt8: {
#pragma unroll
          for (int j = 0; j < N; j += 4) {
            unsigned packed = 0;
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              packed |= static_cast<unsigned>(rintf(fminf(fmaxf(x[j + k], 0.0f), 255.0f)))
                        << (8 * k);
            }
            reinterpret_cast<unsigned*>(to)[j / 4] = packed;
          }
          return;
        }
        case DType::kUInt16:
        case DType::kFloat16: {
#pragma unroll
          for (int j = 0; j < N; j += 2) {
            unsigned packed = 0;
#pragma unroll
            for (int k = 0; k < 2; ++k) {
              const unsigned v =
                  p_.out.dtype == DType::kUInt16
                      ? static_cast<unsigned>(rintf(fminf(fmaxf(x[j + k], 0.0f), 65535.0f)))
                      : static_cast<unsigned>(__half_as_ushort(__float2half_rn(x[j + k])));
              packed |= v << (16 * k);
            }
            reinterpret_cast<unsigned*>(to)[j / 2] = packed;
          }
          return;
        }
        default: write<N>(reinterpret_cast<float*>(to), x); return;
      }
    }
    // The strip's ends.
#pragma unroll 1
    for (int j = 0; j < N; ++j) {
      float value = x[0];
#pragma unroll
      for (int k = 1; k < N; ++k) value = j == k ? x[k] : value;
      if (inside(first + j)) store_one(y, first + j, value);
    }
  }

  template <bool kChecked>
  __device__ __forceinline__ LevelStep step_of(int k) const {
    if constexpr (kShared) return steps_[k - 1];
    return p_.plan.steps[kChecked ? k - 1 - first() : k - 1];
  }

  __device__ __forceinline__ void march() {
    if constexpr (kShared) {
      for (int k = lane_; k < count(); k += 32) steps_[k + first()] = plan().steps[k];
    }
    if (lane_ == 0) {
#pragma unroll
      for (int f = 0; f < kFields; ++f) {
        const Source& field = f == 3 && p_.half_base ? p_.base : p_.field[f];
        places_[f] = field.place(item_, f == 2 ? 0 : channel_);
      }
      places_[kFields] = p_.out.place(item_, channel_);
    }
    HM_SYNCWARP(kAll);
    const int begin = y0_ - (count() + 2);
    cursor_ = RowCursor(begin, p_.height);
    fetch_row();
    // What the levels read before it is there does not reach the tile, but it is not to be chance.
#pragma unroll 1
    for (int r = 0; r < kRings * kRing; ++r) {
      write<N>(rings_ + r * kColumns + lane_ * N, constant<N>(0));
    }
#pragma unroll
    for (int k = 0; k <= K; ++k) {
#pragma unroll
      for (int r = 0; r < 3; ++r) rows_[k][r] = constant<N>(0);
    }
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      groups_[g] = rings_ + (g == 0 ? 0 : kGroups - g) * 3 * kColumns + lane_ * N;
    }
    slot_ = first() == 0 ? 0 : kRing - first();
    up_ = c_[0] = c_[1] = constant<N>(0);
    if constexpr (kLean) {
#pragma unroll
      for (int r = 0; r < 3; ++r) fields_at_[r] = fields_ + r * kFields * kColumns;
    }
    Run<N> in[kFields];
    receive(in, c_[1]);
    HM_SYNCWARP(kAll);
    if (!kLean) fetch_row();
    if (p_.input == Input::kImages && is_pinned()) {
#pragma unroll
      for (int j = 0; j < N; ++j) in[3][j] = in[2][j] > 0 ? in[3][j] : in[1][j];
    }
    if constexpr (kLean) {
      write<N>(field_row(kNext, 3) + lane_ * N, in[3]);
      write<N>(field_row(kHere, 3) + lane_ * N, constant<N>(0));
      next_row();
    } else {
      s_ = in[0];
      d_ = in[1];
      m_ = in[2];
      x_[0] = constant<N>(0);
      x_[1] = in[3];
    }
    const int last = ends() ? y1_ + count() : y1_ + count() - 1;
    const int steady = !kShared && first() == 0 ? y0_ + K : last + 1;
    int u = 0;
#pragma unroll 1
    for (int i = begin; i <= last; ++i) {
      row(u, i, i >= steady);
      if constexpr (kLean) next_row();
      u = u == 2 ? 0 : u + 1;
      if (u > 0) continue;
      float* const oldest = groups_[kGroups - 1];
#pragma unroll
      for (int g = kGroups - 1; g > 0; --g) groups_[g] = groups_[g - 1];
      groups_[0] = oldest;
    }
  }

  __device__ __forceinline__ void next_row() {
    float* const oldest = fields_at_[kBefore];
    fields_at_[kBefore] = fields_at_[kHere];
    fields_at_[kHere] = fields_at_[kNext];
    fields_at_[kNext] = oldest;
  }

  __device__ __forceinline__ void publish(std::int64_t task) {
    using device::warp_reduce;
    struct Larger {
      __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
    };
    TileMeasure m = measure_;
    if (starts()) {
      m.first_residual = warp_reduce(m.first_residual, Larger());
      m.start = warp_reduce(m.start, Larger());
      m.low = -warp_reduce(-m.low, Larger());
      m.high = warp_reduce(m.high, Larger());
    }
    if (ends()) {
      m.residual = warp_reduce(m.residual, Larger());
      m.scaled = warp_reduce(m.scaled, Larger());
      m.correction = warp_reduce(m.correction, Larger());
      if (kKind == Kind::kMap) m.norm = warp_reduce(m.norm, device::Sum());
    }
    if (lane_ != 0) return;
    TileMeasure& to = p_.measures[task];
    if (starts()) {
      to.first_residual = m.first_residual;
      to.start = m.start;
      to.low = m.low;
      to.high = m.high;
    }
    if (ends()) {
      to.residual = m.residual;
      to.scaled = m.scaled;
      to.correction = m.correction;
      to.norm = m.norm;
    }
  }

  const MarchParams& p_;
  int lane_;
  float* const rings_;
  float* const fields_;
  float* const row_out_;
  std::int64_t* const places_;  // of the fields, and of the answer: long to compute
  LevelStep* const steps_;
  int item_, channel_, x0_, x1_, y0_, y1_, xs_;
  int slot_;
  bool interior_;
  const Pass* plan_ = nullptr;
  int count_ = 0, ends_ = 0;
  RowCursor cursor_{0, 1};
  Bits<N> bits_[kFields];
  Run<N> s_, d_, m_, up_;  // row i
  Run<N> x_[2], c_[2];     // rows i - 1 and i
  Run<N> rows_[K + 1][3];
  float* groups_[kGroups];
  float* fields_at_[3];  // where the images' rows i - 1 to i + 1 are
  TileMeasure measure_;
};

template <int K, int N, Kind kKind, bool kShared>
__global__ void __launch_bounds__(128)
    gaussian_poisson_chebyshev_kernel(const __grid_constant__ MarchParams params) {
  using Work = March<K, N, kKind, kShared>;
  HM_DYN_SMEM(float, shared);
  // By a shuffle, so that the compiler knows that it is one for the whole warp.
  const int warp = __shfl_sync(kAll, static_cast<int>(threadIdx.x) / 32, 0);
  const int warps = static_cast<int>(blockDim.x) / 32;
  Work work(params, shared + warp * Work::kFloats);
  for (int task = static_cast<int>(blockIdx.x) * warps + warp; task < params.tasks;
       task += static_cast<int>(gridDim.x) * warps) {
    work.run(task);
  }
}

// ---- the decision -------------------------------------------------------------------------------

struct DecideParams {
  Facts facts;
  Operator op;
  Entries entries;
  double damping, tolerance;
  double largest_integer;  // of src and dst, which are not looked at if they are integers
  int run, max_steps, levels, candidates, table_passes, tasks_per_item;
  Plan plan;    // of the first run
  Start start;  // that it was chosen for
  double bound, reduction;
  const TileMeasure* measures;
  Control* control;
  Pass* table;
  ChebyshevReport* report;
  Candidate candidate[kMostPlans];
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

  // As ChebyshevRuns::finish, but that a run which gained little is followed by another one.
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

// ---- host ---------------------------------------------------------------------------------------

constexpr int kLane = 4;                         // columns of one
constexpr std::size_t kBlockBytes = 64 << 10;    // of shared memory: what every device has
constexpr std::size_t kReservedBytes = 1 << 10;  // of it, what the system takes for each block
constexpr int kMostWarps = 4;                    // of a block
// Of 255 registers a thread, as many as there are on a processor of any device.
constexpr int kWarpsAtOnce = 8;
// Of the state between passes. Beyond it items and channels, which are solved by themselves, take
// turns; each turn costs some launches, which is little beside a state of this size.
constexpr std::int64_t kStateBytes = 256 << 20;

bool is_image(DType dtype) {
  return dtype == DType::kUInt8 || dtype == DType::kUInt16 || is_float(dtype);
}

void check_image(const ImageBatch& image, const char* name, const ChebyshevDeviceParams& params,
                 bool half = false) {
  const ImageBatch& out = params.out;
  const int h = half ? (out.height + 1) / 2 : out.height,
            w = half ? (out.width + 1) / 2 : out.width;
  HM_CHECK(image.exists(), name, ": missing");
  HM_CHECK(is_image(image.dtype), name, ": dtype ", dtype_name(image.dtype),
           ", expected uint8, uint16, float16 or float32");
  HM_CHECK(image.count == out.count && image.height == h && image.width == w &&
               image.channels == out.channels,
           name, ": shape [", image.count, ", ", image.height, ", ", image.width, ", ",
           image.channels, "], expected [", out.count, ", ", h, ", ", w, ", ", out.channels, "]");
}

void check_plane(const ImageBatch& plane, const char* name, const ChebyshevDeviceParams& params) {
  const ImageBatch& out = params.out;
  HM_CHECK(plane.count == out.count && plane.height == out.height && plane.width == out.width, name,
           ": shape [", plane.count, ", ", plane.height, ", ", plane.width, "], expected [",
           out.count, ", ", out.height, ", ", out.width, "]");
}

void check(const ChebyshevDeviceParams& params) {
  HM_CHECK(params.out.exists(), "out: missing");
  check_image(params.out, "out", params);
  if (params.rhs.exists()) {
    HM_CHECK(params.rhs.dtype == DType::kFloat32, "rhs: dtype ", dtype_name(params.rhs.dtype),
             ", expected float32");
    check_image(params.rhs, "rhs", params);
  } else {
    check_image(params.src, "src", params);
    check_image(params.dst, "dst", params);
    check_image(params.base, "base", params, params.half_base);
  }
  if (!params.rhs.exists() || params.preserve_background) {
    HM_CHECK(params.mask.exists(), "mask: missing");
    HM_CHECK(params.mask.dtype != DType::kFloat64,
             "mask: dtype float64, expected bool, uint8, uint16, float16 or float32");
    check_plane(params.mask, "mask", params);
  }
  if (params.weight_map.exists()) {
    HM_CHECK(params.weight_map.dtype == DType::kFloat32, "weight_map: dtype ",
             dtype_name(params.weight_map.dtype), ", expected float32");
    check_plane(params.weight_map, "weight_map", params);
    HM_CHECK(params.least_weight > 0 && params.least_weight <= params.most_weight &&
                 params.most_weight <= 1e6,
             "weight_map: values from ", params.least_weight, " to ", params.most_weight,
             ", expected more than 0 and at most 1e6");
  } else {
    HM_CHECK(params.weight > 0 && params.weight <= 1e6, "weight: ", params.weight,
             ", expected more than 0 and at most 1e6");
  }
  HM_CHECK(params.w0 > 0 && params.w1 >= 0 && params.w0 + 2 * params.w1 < 1 + 1e-9,
           "w0, w1: ", params.w0, ", ", params.w1, ", expected taps of a Gaussian");
  HM_CHECK(params.tolerance > 0, "tolerance: ", params.tolerance, ", expected more than 0");
  HM_CHECK(params.range > 0 && std::isfinite(params.range), "range: ", params.range,
           ", expected more than 0");
  HM_CHECK(params.max_steps >= 1, "max_steps: ", params.max_steps, ", expected at least 1");
  HM_CHECK(params.state_bytes >= 0, "state_bytes: ", params.state_bytes, ", expected at least 0");
  HM_CHECK(params.processors >= 1, "processors: ", params.processors, ", expected at least 1");
  HM_CHECK(params.first_run >= 0 && params.first_run <= params.last_run &&
               params.last_run <= kChebyshevRepeats,
           "first_run, last_run: ", params.first_run, ", ", params.last_run, ", expected 0 to ",
           kChebyshevRepeats);
}

// How the image is cut for a run.
struct Cut {
  int levels;  // of the kernel
  int strips, strip_columns, pad, segments, segment_rows, warps;
  int tasks_per_item;
  int at_once;  // blocks on a processor
  std::size_t warp_floats;
};

struct Prepared {
  Facts facts;
  Operator op;
  Entries entries;
  bool map;
  Plan plan;
  Start start;
  double bound, reduction;
  int passes, most_passes;  // of the first run; of the others, 0 where there are none
  int candidates;
  Candidate candidate[kMostPlans];
  Cut first, repeat;
  // Offsets in the workspace.
  std::size_t control, table, measures, bytes;
  std::int64_t pitch, plane;  // of the state; 0: there is none
  // Arrays [items, channels, plane] of the state: two for what a pass leaves to the next one, and
  // two more where a pass in the middle reads and writes.
  int arrays;
  // Of which there is room for so many items and channels at once; one of them is one.
  int items, channels;
};

template <int K, Kind kKind, bool kShared>
void cut_levels(Cut& cut) {
  cut.levels = K;
  cut.warp_floats = March<K, kLane, kKind, kShared>::kFloats;
}

// For launches of so many items and channels.
Cut make_cut(const ChebyshevDeviceParams& params, bool map, bool repeat, int most_levels, int items,
             int channels) {
  Cut cut{};
  if (map) {
    cut_levels<kMapLevels, Kind::kMap, true>(cut);
  } else if (!repeat && most_levels <= kFewLevels) {
    cut_levels<kFewLevels, Kind::kPinned, false>(cut);
  } else if (!repeat) {
    cut_levels<kMoreLevels, Kind::kPinned, false>(cut);
  } else {
    cut_levels<kRepeatLevels, Kind::kPinned, true>(cut);
  }
  const int columns = 32 * kLane, halo = std::min(most_levels, cut.levels) + 2;
  cut.pad = (halo + kLane - 1) / kLane * kLane;
  cut.strip_columns = (columns - cut.pad - halo) / kLane * kLane;
  const int width = params.out.width, height = params.out.height, c = channels,
            processors = params.processors;
  cut.strips = (width + cut.strip_columns - 1) / cut.strip_columns;
  const int even = (width + cut.strips - 1) / cut.strips;
  cut.strip_columns = (even + kLane - 1) / kLane * kLane;
  cut.strips = (width + cut.strip_columns - 1) / cut.strip_columns;

  // All warps that a processor holds go through a row in the time of one, for lack of work while
  // one waits: time is waves of blocks times rows. Rows around a segment are computed by half on
  // the average. The channels of a strip share what they load, so a large block is better than a
  // small one, but not than more warps at once.
  const double across = double(cut.strips) * c * items;
  constexpr double kMostWaves = 32;
  double best = 0;
  const int most = std::max(1, height / 8);
  for (int segments = 1; segments <= most; ++segments) {
    const int rows = (height + segments - 1) / segments;
    double fewest = 0;
    for (int warps = kMostWarps; warps >= 1; --warps) {
      const std::size_t bytes = warps * cut.warp_floats * sizeof(float);
      if (warps > 1 && bytes > kBlockBytes) continue;
      const int at_once = std::max(
          1, std::min(kWarpsAtOnce / warps,
                      static_cast<int>(params.shared_per_processor / (bytes + kReservedBytes))));
      const double blocks = std::ceil(across * segments / warps);
      const double waves = std::ceil(blocks / (double(at_once) * processors));
      const double time = (rows + 1.5 * halo) * waves;
      if (fewest == 0 || waves < fewest) fewest = waves;
      if (best == 0 || time < best) {
        best = time;
        cut.segment_rows = rows;
        cut.warps = warps;
        cut.at_once = at_once;
      }
    }
    if (fewest > kMostWaves) break;
  }
  if (params.segment_rows > 0) cut.segment_rows = std::min(params.segment_rows, height);
  cut.segments = (height + cut.segment_rows - 1) / cut.segment_rows;
  const double tasks = double(cut.strips) * cut.segments * params.out.channels * params.out.count;
  HM_CHECK(tasks < 2e9, "out: ", tasks, " tiles are more than one launch has");
  cut.tasks_per_item = cut.strips * params.out.channels * cut.segments;
  return cut;
}

Prepared prepare(const ChebyshevDeviceParams& params) {
  check(params);
  Prepared out{};
  Problem problem;  // without data
  problem.w0 = params.w0;
  problem.w1 = params.w1;
  problem.weight = params.weight;
  problem.src.dtype = params.src.dtype;
  problem.dst.dtype = params.dst.dtype;
  problem.mask.height = params.out.height;
  problem.mask.width = params.out.width;
  problem.dst.channels = problem.rhs.channels = params.out.channels;
  if (params.rhs.exists()) problem.rhs.data = params.rhs.data;
  out.entries = {4 + params.weight * params.w0 * params.w0,
                 params.weight * params.w0 * params.w1 - 1, params.weight * params.w1 * params.w1};
  const bool has_map = params.weight_map.exists();
  // Where rows have no excess the measure is another one, which the kernel of maps has.
  const double edges = params.weight * params.w0 * params.w1 - 1;
  const bool excess = (params.w0 + 2 * params.w1) * (params.w0 + 2 * params.w1) * params.weight -
                          8 * params.w1 * params.w1 * params.weight >
                      8 * std::max(0.0, edges);
  out.map = has_map || !excess || std::abs(out.entries.c1) < kLeastC1;
  if (has_map) problem.weight_map.data = params.out.data;  // of which nothing is read
  out.op = analyse(problem, has_map ? params.least_weight : params.weight,
                   has_map ? params.most_weight : params.weight);
  // Its residual rounds as the kernel of maps does, whether there is one or not.
  if (out.map) problem.weight_map.data = params.out.data;
  out.facts = facts_of(problem);
  out.facts.correction = !params.rhs.exists();

  const bool rhs = params.rhs.exists();
  const double range =
      rhs || is_float(params.dst.dtype) ? params.range : dtype_range(params.dst.dtype);
  out.start = rhs ? start_of_rhs(out.op, params.range) : photograph(out.op, range);
  ChebyshevMeasure nominal;
  if (!rhs) nominal.image_high = nominal.largest_base = nominal.largest_start = range;
  const double rounding = certify(out.facts, out.op, damping_of(out.op), nominal).floor;
  const double limit = std::max(params.tolerance - rounding, params.tolerance / 4);
  out.plan = make_plan(out.op, out.start, limit, 1, params.max_steps);
  out.bound = out.start.bound(out.op, out.plan);
  out.reduction = reduction(out.op, out.plan).upper;

  // The worst that images of this range can ask for; floats may go beyond it.
  double worst = rhs ? 4 * params.range
                     : (is_float(params.dst.dtype) || is_float(params.src.dtype) ? 4 : 1) * range *
                           (8 + 2 * out.op.largest_weight);
  worst /= out.op.excess > 0 ? out.op.excess : out.op.low;
  const Plan last = make_plan(out.op, {worst, worst}, kSafety * limit,
                              std::min(out.plan.steps, params.max_steps), params.max_steps);
  constexpr double kWider[] = {1, 1.25, 1.75, 2.5};
  const double widest = std::max(1.0, 0.5 * (out.op.high + out.op.low) / out.op.low);
  constexpr int kCounts = kMostPlans / 4;
  const int above = last.steps - out.plan.steps;
  int steps = out.plan.steps;
  for (int i = 1; i <= kCounts && steps < last.steps; ++i) {
    // Geometrically, one more at least, the last one being the last.
    const int wanted = i == kCounts || above <= kCounts
                           ? std::min(last.steps, i == kCounts ? last.steps : steps + 1)
                           : static_cast<int>(std::lround(
                                 out.plan.steps * std::pow(double(last.steps) / out.plan.steps,
                                                           double(i) / kCounts)));
    steps = std::max(wanted, steps + 1);
    for (int k = 3; k >= 0; --k) {
      const Plan plan{steps, out.op.low * std::min(widest, kWider[k])};
      const Reduction r = reduction(out.op, plan);
      // Rounded up: they bound.
      out.candidate[out.candidates++] = {steps, static_cast<float>(plan.low),
                                         static_cast<float>(r.upper * (1 + 1e-6)),
                                         static_cast<float>(r.lowest * (1 + 1e-6))};
    }
  }

  const int capacity = out.map ? kMapLevels : kRepeatLevels;
  out.passes = pass_count(out.plan.steps, out.map ? kMapLevels : kMoreLevels);
  if (out.candidates > 0) out.most_passes = pass_count(steps, capacity);
  out.items = params.out.count;
  out.channels = params.out.channels;
  if (std::max(out.passes, out.most_passes) > 1) {
    out.pitch = (params.out.width + kLane - 1) / kLane * kLane;
    out.plane = out.pitch * params.out.height;
    out.arrays = std::max(out.passes, out.most_passes) > 2 ? 4 : 2;
    const std::int64_t room = params.state_bytes > 0 ? params.state_bytes : kStateBytes;
    const std::int64_t planes =
        std::max<std::int64_t>(1, room / (std::int64_t(sizeof(float)) * out.arrays * out.plane));
    out.items = static_cast<int>(
        std::clamp<std::int64_t>(planes / params.out.channels, 1, params.out.count));
    if (planes < params.out.channels) out.channels = static_cast<int>(planes);
  }
  const bool one = out.passes == 1;
  out.first =
      make_cut(params, out.map, false, pass_levels(out.plan.steps, out.passes, 0),
               one ? params.out.count : out.items, one ? params.out.channels : out.channels);
  if (out.candidates > 0) {
    out.repeat = make_cut(params, out.map, true, capacity, out.items, out.channels);
  }
  const std::size_t n = static_cast<std::size_t>(params.out.count);
  auto take = [&](std::size_t bytes) {
    const std::size_t at = out.bytes;
    out.bytes += (bytes + 255) / 256 * 256;
    return at;
  };
  out.control = take(n * sizeof(Control));
  out.table = take(n * static_cast<std::size_t>(out.most_passes) * sizeof(Pass));
  const int tasks = std::max(out.first.tasks_per_item, out.repeat.tasks_per_item);
  out.measures = take(n * static_cast<std::size_t>(tasks) * sizeof(TileMeasure));
  return out;
}

// Bytes; the first run has passes that leave something to the next one seldom, the others mostly.
std::size_t state_size(const ChebyshevDeviceParams& params, const Prepared& prepared) {
  const bool first = params.first_run == 0 && prepared.passes > 1;
  const bool repeats = params.last_run > 0 && prepared.most_passes > 1;
  if (!first && !repeats) return 0;
  return sizeof(float) * prepared.arrays *
         static_cast<std::size_t>(prepared.plane * prepared.channels * prepared.items);
}

// Whether a lane's columns of an image are aligned loads in every row, channel and item.
bool is_vector(const ImageBatch& image) {
  if (!image.exists() || image.col_stride != 1) return false;
  const std::int64_t unit = std::min<std::int64_t>(kLane, 16 / dtype_size(image.dtype));
  auto fits = [&](std::int64_t stride, int count) { return count == 1 || stride % unit == 0; };
  return reinterpret_cast<std::uintptr_t>(image.data) % (unit * dtype_size(image.dtype)) == 0 &&
         fits(image.row_stride, image.height) && fits(image.batch_stride, image.count) &&
         fits(image.channel_stride, image.channels);
}

Source source_of(const ImageBatch& image, const char* name) {
  const std::int64_t size = dtype_size(image.dtype), column = image.col_stride * size,
                     row = image.height > 1 ? image.row_stride * size : 0;
  HM_CHECK(row >= INT32_MIN && row <= INT32_MAX, name, ": rows ", row,
           " bytes apart, expected less than 2^31");
  HM_CHECK(column >= INT32_MIN && column <= INT32_MAX, name, ": columns ", column,
           " bytes apart, expected less than 2^31");
  return {static_cast<char*>(image.data),
          image.batch_stride * size,
          image.channel_stride * size,
          static_cast<int>(row),
          static_cast<int>(column),
          image.dtype,
          is_vector(image)};
}

MarchParams march_params(const ChebyshevDeviceParams& params, const Prepared& prepared) {
  MarchParams p{};
  p.base = source_of(params.base, "base");
  p.half_height = params.base.height;
  p.half_width = params.base.width;
  p.mask = source_of(params.mask, "mask");
  p.map = source_of(params.weight_map, "weight_map");
  p.out = source_of(params.out, "out");
  p.pinned = params.preserve_background;
  p.half_base = params.half_base;
  if (params.rhs.exists()) {
    p.input = Input::kRhs;
    p.field[0] = source_of(params.rhs, "rhs");
    if (p.pinned) p.field[2] = p.mask;
  } else {
    p.input = Input::kImages;
    p.dst = source_of(params.dst, "dst");
    p.field[0] = source_of(params.src, "src");
    p.field[1] = p.dst;
    p.field[2] = p.mask;
    if (!p.half_base) p.field[3] = p.base;
  }
  p.floats = prepared.facts.floats && !params.rhs.exists();
  p.want_norm = prepared.op.excess <= 0;
  p.c0 = static_cast<float>(prepared.entries.c0);
  p.c1 = static_cast<float>(prepared.entries.c1);
  p.c2 = static_cast<float>(prepared.entries.c2);
  p.rho = static_cast<float>(prepared.entries.c2 / prepared.entries.c1);
  const double w0 = params.w0, w1 = params.w1;
  p.sum = static_cast<float>((w0 + 2 * w1) * (w0 + 2 * w1));
  p.side = static_cast<float>(w0 * w1);
  p.corner = static_cast<float>(w1 * w1);
  p.slope = static_cast<float>(prepared.op.slope);
  p.weight = static_cast<float>(params.weight);
  p.damping = static_cast<float>(damping_of(prepared.op));
  p.mask_scale = static_cast<float>(0.5 / dtype_range(params.mask.dtype));
  p.height = params.out.height;
  p.width = params.out.width;
  p.channels = params.out.channels;
  char* workspace = static_cast<char*>(params.workspace);
  p.measures = reinterpret_cast<TileMeasure*>(workspace + prepared.measures);
  p.pitch = prepared.pitch;
  p.plane = prepared.plane;
  if (params.state != nullptr) {
    float** arrays[] = {&p.e[0], &p.before[0], &p.e[1], &p.before[1]};
    float* state = static_cast<float*>(params.state);
    for (int i = 0; i < prepared.arrays; ++i) {
      *arrays[i] = state;
      state += prepared.plane * prepared.channels * prepared.items;
    }
  }
  return p;
}

int blocks_of(const Cut& cut, int tasks) { return (tasks + cut.warps - 1) / cut.warps; }

template <int K, Kind kKind, bool kShared>
void launch_levels(const MarchParams& p, const Cut& cut, int blocks, cudaStream_t stream) {
  using Work = March<K, kLane, kKind, kShared>;
  const std::size_t bytes = cut.warps * Work::kFloats * sizeof(float);
  if (bytes > (48 << 10)) {
    HM_MAX_DYN_SMEM((gaussian_poisson_chebyshev_kernel<K, kLane, kKind, kShared>), kBlockBytes);
  }
  HM_LAUNCH((gaussian_poisson_chebyshev_kernel<K, kLane, kKind, kShared>), dim3(blocks),
            dim3(32 * cut.warps), bytes, stream, p);
}

// At most `most_blocks`, which then take several tasks each; 0: as many as there are tasks for.
void launch_pass(MarchParams p, const Cut& cut, bool map, int most_blocks, cudaStream_t stream) {
  p.strips = cut.strips;
  p.strip_columns = cut.strip_columns;
  p.pad = cut.pad;
  p.segments = cut.segments;
  p.segment_rows = cut.segment_rows;
  p.tasks = cut.strips * cut.segments * p.its_channels * p.items;
  int blocks = blocks_of(cut, p.tasks);
  if (most_blocks > 0) blocks = std::min(blocks, most_blocks);
  if (map) return launch_levels<kMapLevels, Kind::kMap, true>(p, cut, blocks, stream);
  if (p.control != nullptr) {
    if (p.pinned) return launch_levels<kRepeatLevels, Kind::kPinned, true>(p, cut, blocks, stream);
    return launch_levels<kRepeatLevels, Kind::kPlain, true>(p, cut, blocks, stream);
  }
  if (cut.levels == kFewLevels) {
    if (p.pinned) return launch_levels<kFewLevels, Kind::kPinned, false>(p, cut, blocks, stream);
    return launch_levels<kFewLevels, Kind::kPlain, false>(p, cut, blocks, stream);
  }
  if (p.pinned) return launch_levels<kMoreLevels, Kind::kPinned, false>(p, cut, blocks, stream);
  launch_levels<kMoreLevels, Kind::kPlain, false>(p, cut, blocks, stream);
}

}  // namespace

ChebyshevSchedule chebyshev_schedule(const ChebyshevDeviceParams& params) {
  const Prepared prepared = prepare(params);
  ChebyshevSchedule out;
  out.workspace_size = prepared.bytes;
  out.state_size = state_size(params, prepared);
  auto launch = [&](const Cut& cut, int items, int channels) {
    ChebyshevLaunch l;
    l.warps = cut.warps;
    l.places = cut.at_once * params.processors;
    l.strips = cut.strips;
    l.segments = cut.segments;
    l.segment_rows = cut.segment_rows;
    l.block_bytes = cut.warps * cut.warp_floats * sizeof(float);
    l.blocks = blocks_of(cut, cut.strips * cut.segments * channels * items);
    return l;
  };
  auto turns = [&](bool one) {
    const int items = one ? params.out.count : prepared.items,
              channels = one ? params.out.channels : prepared.channels;
    return ((params.out.count + items - 1) / items) *
           ((params.out.channels + channels - 1) / channels);
  };
  const bool one = prepared.passes == 1;
  out.first = launch(prepared.first, one ? params.out.count : prepared.items,
                     one ? params.out.channels : prepared.channels);
  if (params.first_run == 0) out.launches += turns(one) * prepared.passes + 1;
  if (prepared.candidates > 0) {
    out.repeat = launch(prepared.repeat, prepared.items, prepared.channels);
    out.repeat.blocks = std::min(out.repeat.blocks, out.repeat.places);
    const int runs = std::max(0, params.last_run - std::max(params.first_run, 1) + 1);
    out.launches += runs * (turns(false) * prepared.most_passes + 1);
  }
  return out;
}

void launch_gaussian_poisson_chebyshev(const ChebyshevDeviceParams& params, cudaStream_t stream) {
  const Prepared prepared = prepare(params);
  HM_CHECK(params.workspace != nullptr && params.workspace_size >= prepared.bytes,
           "workspace: ", params.workspace_size, " bytes, expected ", prepared.bytes);
  const std::size_t state = state_size(params, prepared);
  HM_CHECK(state == 0 || (params.state != nullptr && params.state_size >= state),
           "state: ", params.state_size, " bytes, expected ", state);
  HM_CHECK(reinterpret_cast<std::uintptr_t>(params.workspace) % 256 == 0 &&
               reinterpret_cast<std::uintptr_t>(params.state) % 256 == 0,
           "workspace, state: expected addresses that are multiples of 256");
  HM_CHECK(params.report != nullptr, "report: missing");
  const int items = params.out.count;
  char* workspace = static_cast<char*>(params.workspace);

  DecideParams decide{};
  decide.facts = prepared.facts;
  decide.op = prepared.op;
  decide.entries = prepared.entries;
  decide.damping = damping_of(prepared.op);
  decide.tolerance = params.tolerance;
  if (!params.rhs.exists()) {
    for (DType dtype : {params.src.dtype, params.dst.dtype}) {
      if (!is_float(dtype)) {
        decide.largest_integer = std::max(decide.largest_integer, dtype_range(dtype));
      }
    }
  }
  decide.max_steps = params.max_steps;
  decide.levels = prepared.map ? kMapLevels : kRepeatLevels;
  decide.candidates = prepared.candidates;
  decide.table_passes = prepared.most_passes;
  decide.plan = prepared.plan;
  decide.start = prepared.start;
  decide.bound = prepared.bound;
  decide.reduction = prepared.reduction;
  decide.measures = reinterpret_cast<const TileMeasure*>(workspace + prepared.measures);
  decide.control = reinterpret_cast<Control*>(workspace + prepared.control);
  decide.table = reinterpret_cast<Pass*>(workspace + prepared.table);
  decide.report = params.report;
  for (int i = 0; i < prepared.candidates; ++i) decide.candidate[i] = prepared.candidate[i];

  MarchParams march = march_params(params, prepared);
  // Calls `pass` for the items and channels that the state has room for, until all were named.
  auto parts = [&](int at_once, int channels_at_once, auto&& pass) {
    for (march.first_item = 0; march.first_item < items; march.first_item += at_once) {
      march.items = std::min(at_once, items - march.first_item);
      const int channels = params.out.channels;
      for (int c = 0; c < channels; c += channels_at_once) {
        march.first_channel = c;
        march.its_channels = std::min(channels_at_once, channels - c);
        pass();
      }
    }
  };
  if (params.first_run == 0) {
    const bool one = prepared.passes == 1;
    parts(one ? items : prepared.items, one ? params.out.channels : prepared.channels, [&] {
      StepSequence sequence(prepared.op, prepared.plan);
      for (march.pass = 0; march.pass < prepared.passes; ++march.pass) {
        make_pass(prepared.entries, prepared.map, sequence, march.pass == 0,
                  march.pass + 1 == prepared.passes,
                  pass_levels(prepared.plan.steps, prepared.passes, march.pass), march.plan);
        launch_pass(march, prepared.first, prepared.map, 0, stream);
      }
    });
    decide.tasks_per_item = prepared.first.tasks_per_item;
    HM_LAUNCH(gaussian_poisson_chebyshev_decide_kernel, dim3(items), dim3(kDecideThreads), 0,
              stream, decide);
  }
  if (prepared.candidates == 0) return;
  march.control = decide.control;
  march.table = decide.table;
  march.table_passes = prepared.most_passes;
  decide.tasks_per_item = prepared.repeat.tasks_per_item;
  // No more blocks than run at once: most of these launches have nothing to do.
  const int most_blocks = prepared.repeat.at_once * params.processors;
  for (decide.run = std::max(params.first_run, 1); decide.run <= params.last_run; ++decide.run) {
    parts(prepared.items, prepared.channels, [&] {
      for (march.pass = 0; march.pass < prepared.most_passes; ++march.pass) {
        launch_pass(march, prepared.repeat, prepared.map, most_blocks, stream);
      }
    });
    HM_LAUNCH(gaussian_poisson_chebyshev_decide_kernel, dim3(items), dim3(kDecideThreads), 0,
              stream, decide);
  }
}

}  // namespace pyharmony::gaussian_poisson
