// Kernels that are right, and kernels with one fault each, at the lines that end with its name.
#include "emulator_kernels.h"

#include <map>

#include "device/async_copy.h"
#include "device/launch.h"
#include "device/mma.h"
#include "device/reduce.h"

namespace pyharmony::emulator_tests {
namespace {

constexpr int kThreads = 64;  // of a block, two warps
constexpr unsigned kCluster = 4;
constexpr unsigned kFull = 0xffffffffu;

// ---- right ----

// Takes a mean over three twice, in shared memory. One block for kThreads values.
__global__ void stencil_kernel(const float* in, float* out, int n) {
  __shared__ float tile[2][kThreads + 2];
  const int t = threadIdx.x, i = blockIdx.x * kThreads + t;
  tile[0][t + 1] = in[i];
  if (t == 0) {
    tile[0][0] = tile[1][0] = i > 0 ? in[i - 1] : 0.0f;
    tile[0][kThreads + 1] = tile[1][kThreads + 1] = i + kThreads < n ? in[i + kThreads] : 0.0f;
  }
  HM_SYNC();
  for (int sweep = 0; sweep < 2; ++sweep) {
    const float* from = tile[sweep];
    tile[1 - sweep][t + 1] = (from[t] + from[t + 1] + from[t + 2]) / 3.0f;
    HM_SYNC();
  }
  out[i] = tile[0][t + 1];
}

__global__ void block_sum_kernel(const float* in, float* out) {
  __shared__ float scratch[kThreads / 32];
  const int t = threadIdx.x, i = blockIdx.x * kThreads + t;
  const float sum = device::block_reduce<kThreads>(in[i], device::Sum(), scratch);
  if (t == 0) out[blockIdx.x] = sum;
}

// Reads rows and writes columns; a block has one warp and 32 columns.
template <int kPadding>
__global__ void transpose_kernel(const float* in, float* out, int rows) {
  HM_DYN_SMEM(float, tile);
  const int x = threadIdx.x, row0 = blockIdx.x * 32;
  for (int y = 0; y < 32; ++y) tile[y * (32 + kPadding) + x] = in[(row0 + y) * 32 + x];
  HM_SYNCWARP(kFull);
  for (int y = 0; y < 32; ++y) {
    out[y * rows + row0 + x] = tile[x * (32 + kPadding) + y];  // transposed
  }
}

// Reads four floats at once in each thread.
__global__ void copy_vector_kernel(const float* in, float* out) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  reinterpret_cast<float4*>(out)[i] = reinterpret_cast<const float4*>(in)[i];
}

__global__ void copy_stride_kernel(const float* in, float* out, int stride) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  out[i] = in[i * stride];  // strided
}

// Counts values 0 to 15.
__global__ void histogram_kernel(const float* in, unsigned* counts) {
  __shared__ unsigned bins[16];
  const int t = threadIdx.x, i = blockIdx.x * kThreads + t;
  if (t < 16) bins[t] = 0;
  HM_SYNC();
  atomicAdd(&bins[static_cast<int>(in[i])], 1);
  HM_SYNC();
  if (t < 16) atomicAdd(&counts[t], bins[t]);
}

// Adds what all blocks have written, in the block that ends last.
template <bool kReleases, bool kAcquires>
__global__ void last_block_kernel(const float* in, float* out, unsigned* counter) {
  __shared__ float scratch[kThreads / 32];
  __shared__ bool last;
  const int t = threadIdx.x;
  const float sum =
      device::block_reduce<kThreads>(in[blockIdx.x * kThreads + t], device::Sum(), scratch);
  if (t == 0) {
    out[1 + blockIdx.x] = sum;
    if (kReleases) __threadfence();
    last = atomicAdd(counter, 1) == gridDim.x - 1;
    if (kAcquires) __threadfence();
  }
  HM_SYNC();
  if (!last) return;
  float some = 0.0f;
  for (unsigned b = t; b < gridDim.x; b += kThreads) {
    some += out[1 + b];  // missing_release, missing_acquire
  }
  const float total = device::block_reduce<kThreads>(some, device::Sum(), scratch);
  if (t == 0) {
    out[0] = total;
    *counter = 0;
  }
}

// Synchronises even and odd lanes by themselves, even ones more often.
__global__ void divergent_exchange_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x, lane = t % 32, i = blockIdx.x * kThreads + t;
  const unsigned even = 0x55555555u;
  float value = in[i];
  if (lane % 2 == 0) {
    for (int distance = 16; distance >= 8; distance /= 2) {
      tile[t] = value;
      HM_SYNCWARP(even);
      value += tile[t ^ distance];
      HM_SYNCWARP(even);
    }
    for (int distance = 4; distance >= 2; distance /= 2) {
      value += __shfl_xor_sync(even, value, distance);
    }
  } else {
    value = __shfl_sync(~even, value, 31);
    if (__ballot_sync(~even, lane > 15) != (~even & 0xffff0000u)) value = -1.0f;
  }
  value += __shfl_down_sync(kFull, value, 1);
  out[i] = value;
}

// Sends pieces of kThreads floats through two buffers, the next one on its way.
__global__ void pipeline_kernel(const float* in, float* out, int pieces) {
  HM_DYN_SMEM(float, buffer);  // [2][kThreads]
  const int t = threadIdx.x;
  device::async_copy<4>(buffer + t, in + t);
  device::async_commit();
  float sum = 0.0f;
  for (int p = 0; p < pieces; ++p) {
    const bool more = p + 1 < pieces;
    device::async_copy_or_zero<4>(buffer + (p + 1) % 2 * kThreads + t,
                                  in + (more ? p + 1 : 0) * kThreads + t, more);
    device::async_commit();
    device::async_wait<1>();
    HM_SYNC();
    sum += buffer[p % 2 * kThreads + (t + 1) % kThreads];
    HM_SYNC();
  }
  device::async_wait<0>();
  out[t] = sum + buffer[pieces % 2 * kThreads + t];
}

// Writes bytes of one word by neighbouring threads.
__global__ void bytes_kernel(const float* in, float* out) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  reinterpret_cast<unsigned char*>(out)[i] = static_cast<unsigned char>(in[i]);
}

// Block 0 sets a flag when its value is there; the others take the value if they see the flag.
__global__ void flag_kernel(const float* in, float* out, unsigned* flag) {
  volatile unsigned* seen = flag;
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    out[0] = in[0];
    __threadfence();
    *seen = 1;
  } else if (*seen == 1) {
    __threadfence();
    out[blockIdx.x] = out[0];
  }
}

// Multiplies a [16, 8 words] by b [8 columns, 8 words], the words of `in`, in one warp; writes the
// product, and the parts of a that the lanes load, as it is and transposed.
template <typename T>
__global__ void product_kernel(const float* in, float* out) {
  __shared__ __align__(16) float words[24][8];
  const int lane = threadIdx.x;
  for (int i = lane; i < 24 * 8; i += 32) words[i / 8][i % 8] = in[i];
  HM_SYNCWARP(kFull);
  unsigned a[4], b[4], turned[4];
  device::load_matrices(&words[lane % 16][lane / 16 * 4], a);
  device::load_transposed(&words[lane % 16][lane / 16 * 4], turned);
  device::load_matrices(&words[16 + lane % 8][lane / 8 % 2 * 4], b);
  for (int i = 0; i < 4; ++i) {
    out[128 + lane * 4 + i] = __uint_as_float(a[i]);
    out[256 + lane * 4 + i] = __uint_as_float(turned[i]);
    a[i] = device::round_operand<T>(a[i]);
  }
  const unsigned right[2] = {device::round_operand<T>(b[0]), device::round_operand<T>(b[1])};
  float d[4] = {1.0f, 1.0f, 1.0f, 1.0f};
  device::multiply<T>(d, a, right);
  for (int i = 0; i < 4; ++i) out[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

template <typename T>
void product(const Arrays& a) {
  HM_LAUNCH((product_kernel<T>), dim3(1), dim3(32), 0, nullptr, a.in, a.out);
}

__global__ void any_kernel(const float* in, float* out, int rounds) {
  const int t = threadIdx.x, i = blockIdx.x * kThreads + t;
  float sum = 0.0f;
  for (int r = 0; r < rounds; ++r) sum += HM_SYNC_OR(in[i] == r && t % 2 == 1) ? 1.0f : 0.0f;
  out[i] = sum;
}

// ---- wrong ----

__global__ void shared_race_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads / 2];
  const int t = threadIdx.x;
  tile[t / 2] = in[t];  // shared_race
  HM_SYNC();
  out[t] = tile[t / 2];
}

__global__ void global_race_kernel(const float* in, float* out) {
  const int t = threadIdx.x;
  out[t / 2] = in[t];  // global_race
}

__global__ void missing_barrier_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x;
  tile[t] = in[t];
  out[t] = tile[(t + 40) % kThreads];  // missing_barrier
}

__global__ void missing_second_barrier_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x;
  float sum = 0.0f;
  for (int k = 0; k < 2; ++k) {
    tile[t] = in[t] + k;  // missing_second_barrier
    HM_SYNC();
    sum += tile[(t + 40) % kThreads];
  }
  out[t] = sum;
}

// A barrier of half a warp does not order the other half.
__global__ void half_warp_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x;
  tile[t] = in[t];
  HM_SYNCWARP(t % 32 < 16 ? 0xffffu : 0xffff0000u);
  const float mine = tile[t ^ 1];
  out[t] = mine + tile[t ^ 16];  // half_warp
}

// A shuffle orders no memory.
__global__ void shuffle_is_no_barrier_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x;
  tile[t] = in[t];
  const float other = __shfl_xor_sync(kFull, in[t], 1);
  out[t] = other + tile[t ^ 1];  // shuffle_is_no_barrier
}

__global__ void missing_wait_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x;
  device::async_copy<4>(tile + t, in + t);
  device::async_commit();
  HM_SYNC();
  out[t] = tile[t];  // missing_wait
}

__global__ void missing_barrier_after_wait_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x;
  device::async_copy<4>(tile + t, in + t);
  device::async_commit();
  device::async_wait<0>();
  out[t] = tile[t ^ 32];  // missing_barrier_after_wait
}

__global__ void uninitialised_shared_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads + 1];
  const int t = threadIdx.x;
  tile[t] = in[t];
  HM_SYNC();
  out[t] = tile[t + 1];  // uninitialised_shared
}

__global__ void uninitialised_dynamic_kernel(const float* in, float* out) {
  HM_DYN_SMEM(float, tile);
  const int t = threadIdx.x;
  if (t != 5) tile[t] = in[t];
  HM_SYNC();
  out[t] = tile[t];  // uninitialised_dynamic
}

// Blocks of one multiprocessor do not inherit shared memory.
__global__ void shared_of_another_block_kernel(const float* in, float* out) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x;
  if (blockIdx.x == 0) tile[t] = in[t];
  HM_SYNC();
  out[blockIdx.x * kThreads + t] = tile[t];  // shared_of_another_block
}

// Brings a block's values to the next one of its cluster, which moves them, and back.
template <bool kStart, bool kOwn, bool kEnd>
__global__ void cluster_kernel(const float* in, float* out) {
  HM_DYN_SMEM(float, tile);
  const int t = threadIdx.x, i = blockIdx.x * kThreads + t;
  const unsigned next = (blockIdx.x + 1) % kCluster;
  if (kStart) HM_CLUSTER_SYNC();
  device::shared_of(tile, next)[t] = in[i];  // cluster_no_start
  if (kStart) HM_CLUSTER_SYNC();
  const float own = tile[(t + 40) % kThreads];
  if (kOwn) HM_CLUSTER_SYNC();
  tile[t] = own;  // cluster_no_barrier
  HM_CLUSTER_SYNC();
  out[i] = device::shared_of(tile, next)[t];  // cluster_no_end
  if (kEnd) HM_CLUSTER_SYNC();
}

template <bool kInTime>
__global__ void early_kernel(const float* in, const float* before, float* out) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  const float own = in[i];
  if (kInTime) HM_LAUNCH_WAIT();
  out[i] = own + before[i];  // early_read
  if (!kInTime) HM_LAUNCH_WAIT();
}

__global__ void early_without_wait_kernel(const float*, float*) {}

__global__ void copy_kernel(const float* in, float* out, int n) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i < n) out[i] = in[i];  // uninitialised_device
}

__global__ void read_beyond_kernel(const float* in, float* out, int n) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i < n) out[i] = in[i + 1];  // read_beyond
}

__global__ void write_before_kernel(const float* in, float* out, int n) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i < n) out[i - 1] = in[i];  // write_before
}

__global__ void shared_beyond_kernel(const float* in, float* out) {
  HM_DYN_SMEM(float, tile);
  const int t = threadIdx.x;
  tile[t + 1] = in[t];  // shared_beyond
  HM_SYNC();
  out[t] = t > 0 ? tile[t] : 0.0f;
}

__global__ void local_of_another_kernel(const float* in, float* out) {
  __shared__ float* address;
  const int t = threadIdx.x;
  float mine[2] = {in[t], 1.0f};
  if (t == 0) address = mine;
  HM_SYNC();
  out[t] = address[t % 2];  // local_of_another
  HM_SYNC();
}

__global__ void divergent_barrier_kernel(const float* in, float* out) {
  const int t = threadIdx.x;
  if (t < 32) {
    HM_SYNC();  // divergent_barrier
  } else {
    HM_SYNC();  // divergent_barrier
  }
  out[t] = in[t];
}

__global__ void exited_threads_kernel(const float* in, float* out) {
  const int t = threadIdx.x;
  if (t >= 40) return;
  HM_SYNC();  // exited_threads
  out[t] = in[t];
}

__global__ void deadlock_kernel(const float* in, float* out) {
  const int t = threadIdx.x;
  if (t % 32 == 3) HM_SYNC();  // deadlock
  HM_SYNCWARP(kFull);          // deadlock
  out[t] = in[t];
}

__global__ void lane_not_in_mask_kernel(const float* in, float* out) {
  const int t = threadIdx.x;
  out[t] = __shfl_sync(0xffffu, in[t], 0);  // lane_not_in_mask
}

__global__ void half_a_warp_multiplies_kernel(float* out) {
  float d[4] = {};
  device::multiply<float>(d, {0, 0, 0, 0}, {0, 0});  // half_a_warp_multiplies
  out[threadIdx.x] = d[0];
}

__global__ void exited_lane_kernel(const float* in, float* out) {
  const int t = threadIdx.x;
  if (t % 32 == 31) return;
  out[t] = __shfl_down_sync(kFull, in[t], 1);  // exited_lane
}

__global__ void lane_beyond_mask_kernel(const float* in, float* out) {
  const int t = threadIdx.x;
  if (t % 32 < 16) out[t] = __shfl_sync(0xffffu, in[t], 20);  // lane_beyond_mask
}

__global__ void different_operations_kernel(const float* in, float* out) {
  const int t = threadIdx.x;
  if (t % 2 == 0) {
    out[t] = __shfl_sync(kFull, in[t], 0);  // different_operations
  } else {
    out[t] = static_cast<float>(__ballot_sync(kFull, in[t] > 0));  // different_operations
  }
}

__global__ void block_writes_kernel(const float* in, float* out) {
  if (threadIdx.x == 0) out[0] = in[blockIdx.x];  // block_writes
}

__global__ void block_reads_kernel(const float* in, float* out) {
  const int t = threadIdx.x, b = blockIdx.x;
  out[b * kThreads + t] = b > 0 ? out[(b - 1) * kThreads + t] : in[t];  // block_reads
}

__global__ void plain_and_atomic_kernel(float* out, unsigned* counter) {
  atomicAdd(counter, 1);
  out[blockIdx.x * kThreads + threadIdx.x] = static_cast<float>(*counter);  // plain_and_atomic
}

__global__ void nothing_kernel() {}

using Run = void (*)(const Arrays&);

template <int kPadding>
void transpose(const Arrays& a) {
  HM_LAUNCH((transpose_kernel<kPadding>), dim3(a.n / 1024), dim3(32),
            32 * (32 + kPadding) * sizeof(float), nullptr, a.in, a.out, a.n / 32);
}

template <bool kReleases, bool kAcquires>
void last_block(const Arrays& a) {
  HM_LAUNCH((last_block_kernel<kReleases, kAcquires>), dim3(a.n / kThreads), dim3(kThreads), 0,
            nullptr, a.in, a.out, a.counters);
}

template <bool kStart, bool kOwn, bool kEnd>
void cluster(const Arrays& a) {
  const device::LaunchForm form = {false, kCluster};
  HM_LAUNCH_AS(form, (cluster_kernel<kStart, kOwn, kEnd>), dim3(a.n / kThreads), dim3(kThreads),
               kThreads * sizeof(float), nullptr, a.in, a.out);
}

// The second launch reads what the first one writes.
template <bool kInTime>
void early(const Arrays& a) {
  const device::LaunchForm form = {true, 1};
  const dim3 grid(a.n / kThreads / 2);
  float* const half = a.out + a.n / 2;
  HM_LAUNCH(early_kernel<true>, grid, dim3(kThreads), 0, nullptr, a.in, a.in, half);
  HM_LAUNCH_AS(form, early_kernel<kInTime>, grid, dim3(kThreads), 0, nullptr, a.in, half, a.out);
}

// All take n, a multiple of kThreads; those with "one block" look at the first kThreads values.
#define HM_BLOCKS_(kernel, ...)                                                       \
  [](const Arrays& a) {                                                               \
    HM_LAUNCH(kernel, dim3(a.n / kThreads), dim3(kThreads), 0, nullptr, __VA_ARGS__); \
  }
#define HM_ONE_BLOCK_(kernel)                                                                   \
  [](const Arrays& a) {                                                                         \
    HM_LAUNCH(kernel, dim3(1), dim3(kThreads), kThreads * sizeof(float), nullptr, a.in, a.out); \
  }

const std::map<std::string, Run>& cases() {
  static const std::map<std::string, Run> all = {
      {"stencil", HM_BLOCKS_(stencil_kernel, a.in, a.out, a.n)},
      {"block_sum", HM_BLOCKS_(block_sum_kernel, a.in, a.out)},
      {"transpose", &transpose<0>},
      {"transpose_padded", &transpose<1>},
      {"copy_vector",
       [](const Arrays& a) {
         HM_LAUNCH(copy_vector_kernel, dim3(a.n / kThreads / 4), dim3(kThreads), 0, nullptr, a.in,
                   a.out);
       }},
      {"copy_stride",
       [](const Arrays& a) {
         HM_LAUNCH(copy_stride_kernel, dim3(a.n / kThreads / 8), dim3(kThreads), 0, nullptr, a.in,
                   a.out, 8);
       }},
      {"cluster", &cluster<true, true, true>},
      {"cluster_no_start", &cluster<false, true, true>},
      {"cluster_no_barrier", &cluster<true, false, true>},
      {"cluster_no_end", &cluster<true, true, false>},
      {"early", &early<true>},
      {"early_without_wait",
       [](const Arrays& a) {
         const device::LaunchForm form = {true, 1};
         HM_LAUNCH_AS(form, early_without_wait_kernel, dim3(1), dim3(kThreads), 0, nullptr, a.in,
                      a.out);
       }},
      {"early_read", &early<false>},
      {"histogram", HM_BLOCKS_(histogram_kernel, a.in, a.counters)},
      {"last_block", &last_block<true, true>},
      {"divergent_exchange", HM_BLOCKS_(divergent_exchange_kernel, a.in, a.out)},
      {"pipeline",
       [](const Arrays& a) {
         HM_LAUNCH(pipeline_kernel, dim3(1), dim3(kThreads), 2 * kThreads * sizeof(float), nullptr,
                   a.in, a.out, a.n / kThreads);
       }},
      {"bytes", HM_BLOCKS_(bytes_kernel, a.in, a.out)},
      {"flag", HM_BLOCKS_(flag_kernel, a.in, a.out, a.counters)},
      {"any", HM_BLOCKS_(any_kernel, a.in, a.out, 4)},
      {"product_half", &product<__half>},
      {"product_bfloat16", &product<BFloat16>},
      {"product_tf32", &product<float>},
      {"half_a_warp_multiplies",
       [](const Arrays& a) {
         HM_LAUNCH(half_a_warp_multiplies_kernel, dim3(1), dim3(16), 0, nullptr, a.out);
       }},
      {"shared_race", HM_ONE_BLOCK_(shared_race_kernel)},
      {"global_race", HM_ONE_BLOCK_(global_race_kernel)},
      {"missing_barrier", HM_ONE_BLOCK_(missing_barrier_kernel)},
      {"missing_second_barrier", HM_ONE_BLOCK_(missing_second_barrier_kernel)},
      {"half_warp", HM_ONE_BLOCK_(half_warp_kernel)},
      {"shuffle_is_no_barrier", HM_ONE_BLOCK_(shuffle_is_no_barrier_kernel)},
      {"missing_wait", HM_ONE_BLOCK_(missing_wait_kernel)},
      {"missing_barrier_after_wait", HM_ONE_BLOCK_(missing_barrier_after_wait_kernel)},
      {"uninitialised_shared", HM_ONE_BLOCK_(uninitialised_shared_kernel)},
      {"uninitialised_dynamic", HM_ONE_BLOCK_(uninitialised_dynamic_kernel)},
      {"shared_of_another_block", HM_BLOCKS_(shared_of_another_block_kernel, a.in, a.out)},
      {"uninitialised_device", HM_BLOCKS_(copy_kernel, a.in, a.out, a.n)},
      {"read_beyond", HM_BLOCKS_(read_beyond_kernel, a.in, a.out, a.n)},
      {"write_before", HM_BLOCKS_(write_before_kernel, a.in, a.out, a.n)},
      {"shared_beyond", HM_ONE_BLOCK_(shared_beyond_kernel)},
      {"local_of_another", HM_ONE_BLOCK_(local_of_another_kernel)},
      {"divergent_barrier", HM_ONE_BLOCK_(divergent_barrier_kernel)},
      {"exited_threads", HM_ONE_BLOCK_(exited_threads_kernel)},
      {"deadlock", HM_ONE_BLOCK_(deadlock_kernel)},
      {"lane_not_in_mask", HM_ONE_BLOCK_(lane_not_in_mask_kernel)},
      {"exited_lane", HM_ONE_BLOCK_(exited_lane_kernel)},
      {"lane_beyond_mask", HM_ONE_BLOCK_(lane_beyond_mask_kernel)},
      {"different_operations", HM_ONE_BLOCK_(different_operations_kernel)},
      {"block_writes", HM_BLOCKS_(block_writes_kernel, a.in, a.out)},
      {"block_reads", HM_BLOCKS_(block_reads_kernel, a.in, a.out)},
      {"missing_release", &last_block<false, true>},
      {"missing_acquire", &last_block<true, false>},
      {"plain_and_atomic", HM_BLOCKS_(plain_and_atomic_kernel, a.out, a.counters)},
  };
  return all;
}

dim3 size_of(const std::vector<unsigned>& v) { return dim3(v.at(0), v.at(1), v.at(2)); }

}  // namespace

void run(const std::string& name, const Arrays& arrays) { cases().at(name)(arrays); }

void launch(const std::vector<unsigned>& grid, const std::vector<unsigned>& block,
            std::size_t shared_bytes, std::size_t allowed_bytes, unsigned cluster) {
  if (allowed_bytes > 0) {
    emulator::allow_shared(reinterpret_cast<const void*>(&nothing_kernel), allowed_bytes,
                           "nothing_kernel");
  }
  const device::LaunchForm form = {false, cluster};
  HM_LAUNCH_AS(form, nothing_kernel, size_of(grid), size_of(block), shared_bytes, nullptr);
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, run] : cases()) all.push_back(name);
  return all;
}

}  // namespace pyharmony::emulator_tests
