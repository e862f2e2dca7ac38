// Rows of the direct solver whose length the compiler knows: see launch_lines.
//
// A real row is a complex one of half the length N, in three stages of one butterfly a thread.
// Makhoul's order (see direct_plan.cpp), two values a complex number, is z[n] = (b[4n], b[4n + 2])
// and, from the end, z[N - 1 - n] = (b[4n + 3], b[4n + 1]). Index n = (n1 R2 + n2) R3 + n3 lies at
// slot n1 kPitch1 + n2 kPitch2 + n3, where the stages leave frequency n1 + R1 (n2 + R2 n3).
// Frequencies k and N - k of z are four columns of the spectrum.
#pragma once

#include "ops/gaussian_poisson/direct_row.cuh"

namespace pyharmony::gaussian_poisson {
namespace {

template <int kColumnsOfRow>
struct Line {
  static constexpr LineRadices kRadices = line_radices(kColumnsOfRow);
  static constexpr int kFirst = kRadices.first, kSecond = kRadices.second, kThird = kRadices.third;
  static constexpr int kWidth = kColumnsOfRow, kHalf = kWidth / 2, kPart = kSecond * kThird,
                       kGroups = kFirst * kSecond;
  static constexpr int kPitch1 = kRadices.first_step(), kPitch2 = kRadices.second_step();
  static constexpr int kSlots = kRadices.slots();
  static constexpr int kThreads = kRadices.threads();
  static_assert(kFirst * kPart == kHalf && kThird % 2 == 0 && kGroups % kColumns == 0);

  __device__ static __forceinline__ int slot(int n) {
    return n / kPart * kPitch1 + n % kPart / kThird * kPitch2 + n % kThird;
  }
  // Returns where a pixel lies, in floats.
  __device__ static __forceinline__ int place(int x) {
    const int at = index_of(x, kWidth);
    return 2 * slot(at / 2) + at % 2;
  }
};

#if defined(__CUDA_ARCH__)
constexpr int kArchitecture = __CUDA_ARCH__ / 10;
#else
constexpr int kArchitecture = 90;
#endif

// Registers of a thread; newer architectures leave fewer for values.
constexpr int kRegistersOfThread = kArchitecture >= 100 ? 88 : 80;

// A block takes two rows of one channel or of three interleaved ones: lines in shared memory,
// channel by channel. Each team of kThreads threads takes kTurns lines one after the other, which
// share twiddles and addresses.
template <class L, int kChannels>
struct LineBlock {
  static constexpr int kRows = 2, kTurns = 2, kTeams = kChannels;
  static constexpr int kThreads = kTeams * L::kThreads, kWarps = kThreads / 32,
                       kBytes = L::kRadices.bytes(kChannels);
  // Blocks of a multiprocessor: those that its shared memory and registers allow, and any has. Each
  // of its four parts has the registers of whole warps.
  static constexpr int kWarpsOfProcessor = 4 * (16384 / (32 * kRegistersOfThread));
  static constexpr int kSharedOfProcessor = int(shared_of_processor(kArchitecture));
  static constexpr int kBlocks =
      std::max(1, std::min({kWarpsOfProcessor / kWarps, kSharedOfProcessor / (kBytes + 1024), 16}));
  // Where there is no room, the kernels have no code: the host asks for what they were compiled.
  static constexpr bool kFits = kBytes <= kSharedOfProcessor;

  int team, thread, item, channel, y;

  // As in RowPlace, a kernel asks anew after what needs all registers.
  __device__ __forceinline__ explicit LineBlock(const RowParams& p) {
    team = static_cast<int>(threadIdx.x) / L::kThreads;
    thread = static_cast<int>(threadIdx.x) % L::kThreads;
    const int block = device::anew(static_cast<int>(blockIdx.x)), rest = block / p.groups;
    channel = block % p.groups * kChannels;
    y = rest % p.pairs * kRows;
    item = rest / p.pairs;
  }
  // The plane of the team's lines.
  __device__ __forceinline__ std::int64_t plane(const RowParams& p) const {
    return std::int64_t(item) * p.channels + channel + team;
  }
  // Where warps leave their sums of channel c.
  __device__ __forceinline__ static double* sums(float2* lines, int c) {
    return reinterpret_cast<double*>(lines + kChannels * kRows * L::kSlots) + c * kWarps;
  }
};

// ---- the transform ------------------------------------------------------------------------------

template <class L, int kStage, bool kUp>
__device__ __forceinline__ void line_stage(float2* lines, int t, const float2* roots) {
  constexpr int kThird = L::kThird;
  constexpr int R = kStage == 1 ? L::kFirst : kStage == 2 ? L::kSecond : kThird;
  constexpr int kStep = kStage == 1 ? L::kPitch1 : kStage == 2 ? L::kPitch2 : 1;
  constexpr int kCount = L::kHalf / R;
#pragma unroll 1
  for (int i = 0; i < (kCount + L::kThreads - 1) / L::kThreads; ++i, t += L::kThreads) {
    if (t >= kCount) return;
    const int first = kStage == 1   ? L::slot(t)
                      : kStage == 2 ? t / kThird * L::kPitch1 + t % kThird
                                    : t / L::kSecond * L::kPitch1 + t % L::kSecond * L::kPitch2;
    const int root = kStage == 1 ? t : L::kPart + t % kThird;
    // Sixteen values leave no registers for a factor that waits.
    auto turn = [&](float2(&x)[R]) {
      if constexpr (kStage < 3) twiddle(x, roots[R >= 16 ? device::anew(root) : root]);
    };
#pragma unroll 1
    for (int r = 0; r < 2; ++r) {
      float2* const at = lines + (r * L::kSlots + first);
      float2 x[R];
#pragma unroll
      for (int j = 0; j < R; ++j) x[j] = at[j * kStep];
      if (kUp) turn(x);
      transform<R>(x);
      if (!kUp) turn(x);
#pragma unroll
      for (int j = 0; j < R; ++j) at[j * kStep] = x[j];
      if (kStage == 3 && !kUp && t == 0) at[R] = x[0];  // frequency 0 is its own partner
    }
  }
}

// Calls fn(i, low, high, w, t) for the pairs of frequencies k + kGroups i of z and their partners:
// where they lie in a line, and exp(-i pi k / 2 W) and its fourth power; `open` prepares for the
// first k.
template <class L, typename Open, typename Fn>
__device__ __forceinline__ void each_pair(const RowParams& p, int thread, Open&& open, Fn&& fn) {
  auto base = [](int at) { return at % L::kFirst * L::kPitch1 + at / L::kFirst * L::kPitch2; };
  // Frequency N / 2 is a pair of its own, of the thread behind the others or, where there is none,
  // of the first one.
#pragma unroll 1
  for (int u = thread; u <= L::kGroups; u += L::kThreads) {
    const bool half = u == L::kGroups;
    const int k = half ? L::kHalf / 2 : u, low = half ? L::kThird / 2 : base(u);
    const int high = half     ? L::kThird / 2
                     : u == 0 ? L::kThird
                              : base(L::kGroups - u) + L::kThird - 1;
    const float2 w = p.factors(p.plan.twist)[k], square = times(w, w),
                 fourth = times(square, square);
    open(k);
    each<L::kThird / 2>([&](auto i) {
      if (i > 0 && half) return;
      fn(i > 0 || k > 0, low + i, high - i, rotate<8 * L::kThird, i>(w),
         rotate<2 * L::kThird, i>(fourth));
    });
  }
}

// Where the four columns of a pair lie, from a row on; the next pair's are kGroups columns on, and
// so whole tiles.
template <class L, typename Float>
struct FourColumns {
  Float *k = nullptr, *wk = nullptr, *nk = nullptr, *npk = nullptr;  // k, W - k, N - k and N + k

  __device__ __forceinline__ void open(const RowParams& p, Float* row, int at) {
    k = row + p.column_at(at);
    wk = row + p.column_at(L::kWidth - at);
    nk = row + p.column_at(L::kHalf - at);
    npk = row + p.column_at(L::kHalf + at);
  }
  __device__ __forceinline__ void next(const RowParams& p) {
    const std::int64_t on = std::int64_t(L::kGroups / kColumns) * p.height * kColumns;
    k += on, wk -= on, nk -= on, npk += on;
  }
};
constexpr float kHalfRoot = 0.70710678118654752f;

// ---- the right-hand side ------------------------------------------------------------------------

// Bytes are read as 2^23 + v, by their bits: differences are exact as they are.
template <typename T>
constexpr float kBias = sizeof(T) == 1 ? 8388608.0f : 0.0f;
__device__ __forceinline__ float biased(float v) { return v; }
__device__ __forceinline__ float biased(std::uint8_t v) { return __uint_as_float(0x4b000000u | v); }
__device__ __forceinline__ void load_biased(const float* at, float (&v)[4]) {
  const float4 four = *reinterpret_cast<const float4*>(at);
  v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
}
__device__ __forceinline__ void load_biased(const std::uint8_t* at, float (&v)[4]) {
  const unsigned four = *reinterpret_cast<const unsigned*>(at);
#pragma unroll
  for (int j = 0; j < 4; ++j) v[j] = biased(static_cast<std::uint8_t>(four >> 8 * j));
}

// The masks of an image: of uint8, bool or float32, whatever the images are.
struct LineMask {
  const char* data;
  bool floats, flags;
  float offset;  // what makes the bias of bytes good

  __device__ __forceinline__ LineMask(const RowParams& p, std::int64_t first)
      : floats(p.mask.dtype == DType::kFloat32),
        flags(p.mask.dtype == DType::kBool),
        offset(floats ? 0.0f : -kBias<std::uint8_t> * p.mask_scale) {
    data = static_cast<const char*>(p.mask.data) + (floats ? 4 * first : first);
  }
  __device__ __forceinline__ float value(float v, float scale) const {
    return fmaf(v, scale, offset);
  }
  __device__ __forceinline__ float one(int at, float scale) const {
    if (floats) return value(reinterpret_cast<const float*>(data)[at], scale);
    const std::uint8_t bits = reinterpret_cast<const std::uint8_t*>(data)[at];
    return value(biased(flags && bits != 0 ? std::uint8_t(1) : bits), scale);
  }
  __device__ __forceinline__ void four(int at, float scale, float (&m)[4]) const {
    if (floats) {
      load_biased(reinterpret_cast<const float*>(data) + at, m);
    } else {
      unsigned bits = *reinterpret_cast<const unsigned*>(data + at);
      // One for each byte that is not zero.
      if (flags) bits = (((bits & 0x7f7f7f7fu) + 0x7f7f7f7fu) | bits) >> 7 & 0x01010101u;
#pragma unroll
      for (int j = 0; j < 4; ++j) m[j] = biased(static_cast<std::uint8_t>(bits >> 8 * j));
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) m[j] = value(m[j], scale);
  }
};

// Calls fn(j, at) for four values from 4 n on of interleaved rows: where value j lies in its
// block's first row.
template <class L, typename Fn>
__device__ __forceinline__ void each_place(int n, Fn&& fn) {
  const int x = 4 * n / 3, phase = 4 * n - 3 * x;
  const int first = L::place(x), second = L::place(smaller(x + 1, L::kWidth - 1));
  each<4>([&](auto j) {
    const bool next = phase + j >= 3;
    fn(j, (next ? second : first) +
              (phase + j - (next ? 3 : 0)) * (2 * LineBlock<L, 3>::kRows * L::kSlots));
  });
}

// Forms b of the block's rows. A warp has 30 groups of four neighbouring values and one more on
// either side, whose differences its neighbours need: they come by shuffles.
template <class L, typename T, int kChannels>
__device__ __forceinline__ void form_lines(const RowParams& p, const LineBlock<L, kChannels>& block,
                                           float2* lines) {
  constexpr unsigned kAllLanes = 0xffffffffu;
  constexpr int kGroups = kChannels * L::kWidth / 4, kUseful = 30,
                kRows = LineBlock<L, kChannels>::kRows;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  auto start = [&](const ImageBatch& image, int channel) {
    return static_cast<const T*>(image.data) + block.item * image.batch_stride +
           channel * image.channel_stride + block.y * image.row_stride;
  };
  const T* const src = start(p.src, block.channel);
  const T* const dst = start(p.dst, block.channel);
  const T* const base = start(p.base, block.channel);
  const LineMask mask(p, block.item * p.mask.batch_stride + block.y * p.mask.row_stride);
  // Rows from y on; those beyond the image repeat the last ones.
  const int rows[kRows + 2] = {block.y > 0 ? -1 : 0, 0, smaller(1, p.height - 1 - block.y),
                               smaller(2, p.height - 1 - block.y)};
  // Sums of base of every kChannels-th value, whether they are wanted or not: to ask would take
  // more registers. Steps of n are whole pixels.
  static_assert(4 * kUseful % kChannels == 0);
  float sum[kChannels] = {};
#pragma unroll 1
  for (int n = warp * kUseful + lane - 1; n - lane + 1 < kGroups;
       n += LineBlock<L, kChannels>::kThreads / 32 * kUseful) {
    const int group = smaller(larger(n, 0), kGroups - 1);
    float b[kRows][4], s0[4] = {}, d0[4] = {}, m0[4] = {};
#pragma unroll
    for (int i = 0; i < kRows + 2; ++i) {
      const bool inner = i > 0 && i <= kRows;
      const int at = rows[i] * (kChannels * L::kWidth) + 4 * group;
      float s[4], d[4], m[4];  // s: src - dst
      load_biased(src + at, s);
      load_biased(dst + at, d);
      if constexpr (kChannels == 1) {
        mask.four(at, p.mask_scale, m);
      } else {
        const int x = 4 * group / 3, phase = 4 * group - 3 * x, row = rows[i] * L::kWidth;
        const float first = mask.one(row + x, p.mask_scale);
        const float second = mask.one(row + smaller(x + 1, L::kWidth - 1), p.mask_scale);
        m[0] = first, m[1] = phase == 2 ? second : first, m[2] = phase >= 1 ? second : first,
        m[3] = second;
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) s[j] -= d[j];
      if (inner) {
        float f[4], h[4 + kChannels];  // h: the difference to the left of each value
        load_biased(base + at, f);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (j >= kChannels) {
            const int k = j - kChannels;
            h[j] = fmaf(m[j] + m[k], s[j] - s[k], d[j] - d[k]);
            continue;
          }
          const int k = 4 - kChannels + j;
          const float sl = __shfl_up_sync(kAllLanes, s[k], 1),
                      dl = __shfl_up_sync(kAllLanes, d[k], 1),
                      ml = __shfl_up_sync(kAllLanes, m[k], 1);
          h[j] = n <= 0 ? 0.0f : fmaf(m[j] + ml, s[j] - sl, d[j] - dl);
        }
#pragma unroll
        for (int j = 0; j < kChannels; ++j) {
          h[4 + j] = __shfl_down_sync(kAllLanes, h[j], 1);
          if (n == kGroups - 1) h[4 + j] = 0;
        }
        // Asked anew, as answers that are kept take registers.
        const bool counts = lane > 0 && lane <= kUseful && device::anew(n) < kGroups &&
                            (i == 1 || device::anew(block.y) + 1 < p.height);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          f[j] -= kBias<T>;
          if (counts) sum[j % kChannels] += f[j];
          b[i - 1][j] = fmaf(p.weight, f[j], h[j] - h[j + kChannels]);
        }
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float down = fmaf(m[j] + m0[j], s[j] - s0[j], d[j] - d0[j]);
        if (inner) b[i - 1][j] += down;
        if (i > 1) b[i - 2][j] -= down;
        s0[j] = s[j], d0[j] = d[j], m0[j] = m[j];
      }
    }
    if (lane == 0 || lane > kUseful || n >= kGroups) continue;
    if constexpr (kChannels == 1) {
      const int low = L::slot(n), high = L::slot(L::kHalf - 1 - n);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        lines[r * L::kSlots + low] = make_float2(b[r][0], b[r][2]);
        lines[r * L::kSlots + high] = make_float2(b[r][3], b[r][1]);
      }
    } else {
      float* const z = reinterpret_cast<float*>(lines);
      each_place<L>(n, [&](auto j, int at) {
        z[at] = b[0][j];
        z[at + 2 * L::kSlots] = b[1][j];
      });
    }
  }
  if (p.sums == nullptr) return;
  // The channel of the thread's first value.
  const int phase = larger(4 * (warp * kUseful + lane - 1), 0) % kChannels;
#pragma unroll
  for (int c = 0; c < kChannels; ++c) {
    float its = sum[c];
    if (kChannels == 3 && phase == 1) its = sum[(c + 2) % kChannels];
    if (kChannels == 3 && phase == 2) its = sum[(c + 1) % kChannels];
    leave_sum(its, LineBlock<L, kChannels>::sums(lines, c));
  }
}

// ---- kernels ------------------------------------------------------------------------------------

template <class L, typename T, int kChannels>
__global__ void __launch_bounds__((LineBlock<L, kChannels>::kThreads),
                                  (LineBlock<L, kChannels>::kBlocks))
    gaussian_poisson_direct_lines_in_kernel(const __grid_constant__ RowParams p) {
  using B = LineBlock<L, kChannels>;
  if (!B::kFits) return;
  HM_DYN_SMEM(float2, shared);
  form_lines<L, T, kChannels>(p, B(p), shared);
  const B block(p);
  const float2* const roots = p.factors(p.plan.line);
  float2* const lines = shared + block.team * B::kTurns * L::kSlots;
  HM_SYNC();
  line_stage<L, 1, false>(lines, block.thread, roots);
  HM_SYNC();
  line_stage<L, 2, false>(lines, block.thread, roots);
  HM_SYNC();
  line_stage<L, 3, false>(lines, block.thread, roots);
  HM_SYNC();
  const bool two = block.y + 1 < p.height;
  float* const row = p.row_of(block.plane(p), block.y);
  if (p.sums != nullptr && block.thread == 0) {
    p.sums[block.plane(p) * p.pairs + block.y / B::kRows] =
        sum_of_warps(B::sums(shared, block.team), B::kWarps);
  }
  FourColumns<L, float> at;
  each_pair<L>(
      p, block.thread, [&](int k) { at.open(p, row, k); },
      [&](bool positive, int low, int high, float2 w, float2 t) {
        const float2 w1 = make_float2(kHalfRoot * (w.x - w.y), -kHalfRoot * (w.x + w.y));
#pragma unroll
        for (int r = 0; r < B::kTurns; ++r) {
          const float2 a = lines[r * L::kSlots + low], b = lines[r * L::kSlots + high];
          const float2 e = make_float2(a.x + b.x, a.y - b.y), o = make_float2(a.x - b.x, a.y + b.y);
          const float2 q =
              make_float2(fmaf(t.x, o.y, t.y * o.x), fmaf(t.y, o.y, -(t.x * o.x)));  // -i t o
          const float2 v = times(make_float2(e.x + q.x, e.y + q.y), w);
          const float2 u = times(make_float2(e.x - q.x, q.y - e.y), w1);
          if (r > 0 && !two) continue;
          at.k[r * kColumns] = v.x;
          if (positive) at.wk[r * kColumns] = -v.y;
          at.nk[r * kColumns] = u.x;
          at.npk[r * kColumns] = -u.y;
        }
        at.next(p);
      });
}

template <class L, typename T, int kChannels>
__global__ void __launch_bounds__((LineBlock<L, kChannels>::kThreads),
                                  (LineBlock<L, kChannels>::kBlocks))
    gaussian_poisson_direct_lines_out_kernel(const __grid_constant__ RowParams p) {
  using B = LineBlock<L, kChannels>;
  if (!B::kFits) return;
  HM_DYN_SMEM(float2, shared);
  const B block(p);
  const float2* const roots = p.factors(p.plan.line);
  float2* const lines = shared + block.team * B::kTurns * L::kSlots;
  const int second = block.y + 1 < p.height ? kColumns : 0;
  const float* const row = p.row_of(block.plane(p), block.y);
  FourColumns<L, const float> at;
  each_pair<L>(
      p, block.thread, [&](int k) { at.open(p, row, k); },
      [&](bool positive, int low, int high, float2 w, float2 t) {
        const float2 w1 = make_float2(kHalfRoot * (w.x - w.y), kHalfRoot * (w.x + w.y));
#pragma unroll
        for (int r = 0; r < B::kTurns; ++r) {
          const float x1 = at.k[r * second], x2 = positive ? at.wk[r * second] : 0.0f,
                      x3 = at.nk[r * second], x4 = at.npk[r * second];
          const float2 v = make_float2(fmaf(w.x, x1, -(w.y * x2)), -fmaf(w.y, x1, w.x * x2));
          const float2 u = make_float2(fmaf(w1.x, x3, w1.y * x4), fmaf(w1.y, x3, -(w1.x * x4)));
          const float2 e = make_float2(v.x + u.x, v.y - u.y), o = make_float2(v.x - u.x, v.y + u.y);
          const float2 q =
              make_float2(fmaf(t.y, o.x, -(t.x * o.y)), fmaf(t.x, o.x, t.y * o.y));  // i conj(t) o
          // With the parts exchanged, the forward transform is the inverse one.
          lines[r * L::kSlots + high] = make_float2(q.y - e.y, e.x - q.x);
          lines[r * L::kSlots + low] = make_float2(e.y + q.y, e.x + q.x);
        }
        at.next(p);
      });
  HM_SYNC();
  line_stage<L, 3, true>(lines, block.thread, roots);
  HM_SYNC();
  line_stage<L, 2, true>(lines, block.thread, roots);
  HM_SYNC();
  line_stage<L, 1, true>(lines, block.thread, roots);
  HM_SYNC();
  const B place(p);
  T* const to = static_cast<T*>(p.out.data) + place.item * p.out.batch_stride +
                place.channel * p.out.channel_stride + place.y * p.out.row_stride;
#pragma unroll 1
  for (int n = static_cast<int>(threadIdx.x); n < kChannels * L::kWidth / 4; n += B::kThreads) {
    device::Pack<T, 4> pack[B::kRows];
    if constexpr (kChannels == 1) {
      const int low = L::slot(n), high = L::slot(L::kHalf - 1 - n);
#pragma unroll
      for (int r = 0; r < B::kRows; ++r) {
        const float2 a = shared[r * L::kSlots + low], b = shared[r * L::kSlots + high];
        pack[r].value[0] = rounded<T>(a.y);
        pack[r].value[1] = rounded<T>(b.x);
        pack[r].value[2] = rounded<T>(a.x);
        pack[r].value[3] = rounded<T>(b.y);
      }
    } else {
      const float* const z = reinterpret_cast<const float*>(shared);
      each_place<L>(n, [&](auto j, int at) {  // the parts are exchanged
        pack[0].value[j] = rounded<T>(z[at ^ 1]);
        pack[1].value[j] = rounded<T>(z[(at ^ 1) + 2 * L::kSlots]);
      });
    }
    device::store_pack<T, 4>(to, 4 * n, pack[0]);
    if (place.y + 1 < p.height) device::store_pack<T, 4>(to, p.out.row_stride + 4 * n, pack[1]);
  }
}

template <class L, typename T, int kChannels>
void launch_line(const RowParams& p, const LineLaunch& how, cudaStream_t stream) {
  using B = LineBlock<L, kChannels>;
  const dim3 grid(how.blocks), threads(B::kThreads);
  with_most(how.shared_per_block, [&](auto most) {
    constexpr int kMost = decltype(most)::value;
    if constexpr (B::kBytes <= kMost) {
      if (how.in) {
        HM_MAX_DYN_SMEM((gaussian_poisson_direct_lines_in_kernel<L, T, kChannels>), kMost);
        HM_LAUNCH((gaussian_poisson_direct_lines_in_kernel<L, T, kChannels>), grid, threads,
                  B::kBytes, stream, p);
      } else {
        HM_MAX_DYN_SMEM((gaussian_poisson_direct_lines_out_kernel<L, T, kChannels>), kMost);
        HM_LAUNCH((gaussian_poisson_direct_lines_out_kernel<L, T, kChannels>), grid, threads,
                  B::kBytes, stream, p);
      }
    }
  });
}

}  // namespace

template <int kWidth>
void launch_lines(const RowParams& p, const LineLaunch& how, cudaStream_t stream) {
  using L = Line<kWidth>;
  const bool floats = how.dtype == DType::kFloat32, planar = how.step == 1;
  if (floats && planar) launch_line<L, float, 1>(p, how, stream);
  if (floats && !planar) launch_line<L, float, 3>(p, how, stream);
  if (!floats && planar) launch_line<L, std::uint8_t, 1>(p, how, stream);
  if (!floats && !planar) launch_line<L, std::uint8_t, 3>(p, how, stream);
}

}  // namespace pyharmony::gaussian_poisson
