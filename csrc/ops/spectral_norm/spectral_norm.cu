#include <algorithm>
#include <cstdint>

#include "core/checks.h"
#include "device/launch.h"
#include "device/pack.h"
#include "device/reduce.h"
#include "device/tensor.h"
#include "ops/spectral_norm/spectral_norm_cuda.h"

namespace pyharmony {
namespace {

using device::block_reduce;
using device::from_float;
using device::Pack;
using device::Sum;
using device::to_float;
using device::warp_reduce;

// M^T u: 128 rows by 32 lanes of one or four columns; each warp has a quarter of the rows.
constexpr int kColumnWarps = 4, kColumnRows = 128;
// M v: each warp does two rows; v goes through shared memory in chunks.
constexpr int kRowThreads = 256, kRowsOfTile = 16, kChunk = 2048;
// The passes that go element by element.
constexpr int kFlatThreads = 256, kFlatTile = 32768;

enum class From : int { kVectors, kPartials, kProducts };

template <int n, typename T>
__device__ __forceinline__ void load(const T* p, float (&x)[n]) {
  const Pack<T, n> pack = *reinterpret_cast<const Pack<T, n>*>(p);
#pragma unroll
  for (int i = 0; i < n; ++i) x[i] = to_float(pack.value[i]);
}

template <int n, typename T>
__device__ __forceinline__ void store(T* p, const float (&x)[n]) {
  Pack<T, n> pack;
#pragma unroll
  for (int i = 0; i < n; ++i) pack.value[i] = from_float<T>(x[i]);
  *reinterpret_cast<Pack<T, n>*>(p) = pack;
}

// Returns the index of the weight that a tile of the launch belongs to.
__device__ __forceinline__ int item_of(const SpectralNormParams& params, int tile) {
  int k = 0;
  while (k + 1 < params.count && tile >= params.items[k + 1].first_tile) ++k;
  return k;
}

// Returns the place of M[row, column] in a weight.
__device__ __forceinline__ std::int64_t place(const SpectralNormItem& item, int row, int column) {
  if (item.outer == 1) return static_cast<std::int64_t>(row) * item.inner + column;
  const int o = column / item.inner;
  return (static_cast<std::int64_t>(o) * item.rows + row) * item.inner + (column - o * item.inner);
}

__device__ __forceinline__ float* partials(const SpectralNormParams& params,
                                           const SpectralNormItem& item) {
  return params.workspace + item.partials;
}
__device__ __forceinline__ float* sums(const SpectralNormParams& params,
                                       const SpectralNormItem& item) {
  return partials(params, item) + item.blocks * item.outer * item.inner;
}
__device__ __forceinline__ float* products(const SpectralNormParams& params,
                                           const SpectralNormItem& item) {
  return sums(params, item) + item.outer * item.inner;
}

// Returns (M^T u)[column], summed over all blocks of rows.
__device__ __forceinline__ float sum_of_blocks(const SpectralNormItem& item, const float* partial,
                                               int column) {
  const int cols = item.outer * item.inner;
  float total = partial[column];
  for (int b = 1; b < item.blocks; ++b) total += partial[b * cols + column];
  return total;
}

// Returns 1 / max(sqrt(square), eps); a NaN stays NaN.
__device__ __forceinline__ float inverse_length(float square, float eps) {
  const float norm = sqrtf(square);
  return 1.0f / (norm < eps ? eps : norm);
}

// Sums all threads' values; all of them get the result.
template <int kThreads>
__device__ __forceinline__ float sum_to_all(float value, float* scratch, float* result) {
  value = block_reduce<kThreads>(value, Sum(), scratch);
  if (threadIdx.x == 0) *result = value;
  HM_SYNC();
  return *result;
}

template <typename T, int n>
__device__ __forceinline__ void column_sums(const SpectralNormItem& item, const float* u, int row,
                                            int row_end, int column, float (&total)[n]) {
  const T* w = static_cast<const T*>(item.weight) + place(item, row, column);
#pragma unroll 4
  for (int r = row; r < row_end; ++r) {
    float x[n];
    load<n>(w, x);
    const float factor = u[r];
#pragma unroll
    for (int i = 0; i < n; ++i) total[i] = fmaf(factor, x[i], total[i]);
    w += item.inner;
  }
}

// Sums parts of M^T u of a tile; u is the layer's, or M v of the launch before, to be scaled.
template <typename T>
__global__ void __launch_bounds__(32 * kColumnWarps)
    spectral_norm_columns_kernel(const SpectralNormParams params, From from) {
  __shared__ float part[kColumnWarps][128];
  __shared__ float scratch[kColumnWarps], length;
  const SpectralNormItem& item = params.items[item_of(params, blockIdx.x)];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int cols = item.outer * item.inner, width = item.wide ? 4 : 1;
  const int across = (cols + 32 * width - 1) / (32 * width);
  const int tile = blockIdx.x - item.first_tile, block = tile / across;
  const int first = (tile - block * across) * 32 * width, column = first + lane * width;
  const float* u = from == From::kVectors ? item.u : products(params, item);
  float scale = 1.0f;
  if (from == From::kProducts) {
    float square = 0;
    for (int r = threadIdx.x; r < item.rows; r += 32 * kColumnWarps) {
      square = fmaf(u[r], u[r], square);
    }
    scale = inverse_length(sum_to_all<32 * kColumnWarps>(square, scratch, &length), params.eps);
  }
  const int row = block * kColumnRows + warp * (kColumnRows / kColumnWarps);
  const int after = row + kColumnRows / kColumnWarps;
  const int row_end = after < item.rows ? after : item.rows;
  float total[4] = {};
  if (column < cols && row < row_end) {
    if (item.wide) {
      column_sums<T, 4>(item, u, row, row_end, column, total);
    } else {
      float one[1] = {};
      column_sums<T, 1>(item, u, row, row_end, column, one);
      total[0] = one[0];
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i < width) part[warp][lane * width + i] = total[i];
  }
  HM_SYNC();
  const int at = threadIdx.x;
  if (at < 32 * width && first + at < cols) {
    float sum = part[0][at];
#pragma unroll
    for (int w = 1; w < kColumnWarps; ++w) sum += part[w][at];
    partials(params, item)[block * cols + first + at] = scale * sum;
  }
}

template <typename T, int n>
__device__ __forceinline__ float row_dot(const SpectralNormItem& item, int row, int first,
                                         int count, const float* v) {
  const T* w = static_cast<const T*>(item.weight);
  float total = 0;
  if (item.outer == 1) {
    w += place(item, row, first);
#pragma unroll 4
    for (int c = (threadIdx.x % 32) * n; c < count; c += 32 * n) {
      float x[n];
      load<n>(w + c, x);
#pragma unroll
      for (int i = 0; i < n; ++i) total = fmaf(v[c + i], x[i], total);
    }
    return total;
  }
#pragma unroll 1
  for (int c = (threadIdx.x % 32) * n; c < count; c += 32 * n) {
    float x[n];
    load<n>(w + place(item, row, first + c), x);
#pragma unroll
    for (int i = 0; i < n; ++i) total = fmaf(v[c + i], x[i], total);
  }
  return total;
}

// Computes M v of a tile's rows; v is the layer's, or M^T u of the launch before, to be scaled. The
// first tile of a layer also leaves M^T u in `sums`.
template <typename T>
__global__ void __launch_bounds__(kRowThreads, 4)
    spectral_norm_rows_kernel(const SpectralNormParams params, From from) {
  __shared__ __align__(16) float v[kChunk];
  __shared__ float scratch[kRowThreads / 32], length;
  const SpectralNormItem& item = params.items[item_of(params, blockIdx.x)];
  const int cols = item.outer * item.inner, warp = threadIdx.x / 32;
  const int tile = blockIdx.x - item.first_tile;
  const float* partial = partials(params, item);
  constexpr int kEach = kRowsOfTile / (kRowThreads / 32);
  float total[kEach] = {}, square = 0;
  for (int first = 0; first < cols; first += kChunk) {
    const int count = cols - first < kChunk ? cols - first : kChunk;
    if (first > 0) HM_SYNC();
    for (int c = threadIdx.x; c < count; c += kRowThreads) {
      const float x =
          from == From::kVectors ? item.v[first + c] : sum_of_blocks(item, partial, first + c);
      square = fmaf(x, x, square);
      v[c] = x;
      if (from == From::kPartials && tile == 0) sums(params, item)[first + c] = x;
    }
    HM_SYNC();
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const int row = tile * kRowsOfTile + warp * kEach + k;
      if (row < item.rows) {
        total[k] += item.wide ? row_dot<T, 4>(item, row, first, count, v)
                              : row_dot<T, 1>(item, row, first, count, v);
      }
    }
  }
  float scale = 1.0f;
  if (from == From::kPartials) {
    scale = inverse_length(sum_to_all<kRowThreads>(square, scratch, &length), params.eps);
  }
#pragma unroll
  for (int k = 0; k < kEach; ++k) {
    const int row = tile * kRowsOfTile + warp * kEach + k;
    const float sum = warp_reduce(total[k], Sum());
    if (threadIdx.x % 32 == 0 && row < item.rows) products(params, item)[row] = scale * sum;
  }
}

// Computes sigma, every tile for itself. The first tile of a layer writes it and the vectors, and
// all write their part of W / sigma. `from` says what sigma is the length of: M v (legacy) or M^T
// u. From vectors it is u . M v, and they stay as they are.
template <typename T>
__global__ void __launch_bounds__(kFlatThreads)
    spectral_norm_finish_kernel(const SpectralNormParams params, From from, bool write) {
  __shared__ float scratch[kFlatThreads / 32], length;
  __shared__ float scratch_u[kFlatThreads / 32], length_u;
  const SpectralNormItem& item = params.items[item_of(params, blockIdx.x)];
  const int cols = item.outer * item.inner, tile = blockIdx.x - item.first_tile;
  const float* product = products(params, item);
  float square = 0;
  if (from == From::kPartials) {
    for (int c = threadIdx.x; c < cols; c += kFlatThreads) {
      const float x = sum_of_blocks(item, partials(params, item), c);
      square = fmaf(x, x, square);
    }
  } else {
    for (int r = threadIdx.x; r < item.rows; r += kFlatThreads) {
      square = fmaf(product[r], from == From::kVectors ? item.u[r] : product[r], square);
    }
  }
  square = sum_to_all<kFlatThreads>(square, scratch, &length);
  const float inverse = inverse_length(square, params.eps);
  const float sigma = from == From::kVectors ? square : square * inverse;
  if (tile == 0) {
    float* u = params.state + item.state;
    float* v = u + item.rows;
    float scale_u = inverse, scale_v = inverse;
    if (from == From::kPartials) {  // u must still be scaled
      float other = 0;
      for (int r = threadIdx.x; r < item.rows; r += kFlatThreads) {
        other = fmaf(product[r], product[r], other);
      }
      scale_u = inverse_length(sum_to_all<kFlatThreads>(other, scratch_u, &length_u), params.eps);
    } else if (from == From::kProducts) {  // v must still be scaled
      float other = 0;
      for (int c = threadIdx.x; c < cols; c += kFlatThreads) {
        const float x = sums(params, item)[c];
        other = fmaf(x, x, other);
      }
      scale_v = inverse_length(sum_to_all<kFlatThreads>(other, scratch_u, &length_u), params.eps);
    }
    for (int r = threadIdx.x; r < item.rows; r += kFlatThreads) {
      const float x = from == From::kVectors ? item.u[r] : scale_u * product[r];
      u[r] = x;
      if (write) item.u[r] = x;
    }
    for (int c = threadIdx.x; c < cols; c += kFlatThreads) {
      const float x = from == From::kVectors ? item.v[c]
                      : from == From::kProducts
                          ? scale_v * sums(params, item)[c]
                          : scale_v * sum_of_blocks(item, partials(params, item), c);
      v[c] = x;
      if (write) item.v[c] = x;
    }
    if (threadIdx.x == 0) params.sigmas[item.index] = sigma;
  }
  if (item.out == nullptr) return;
  const float scale = 1.0f / sigma;
  const T* w = static_cast<const T*>(item.weight);
  T* out = static_cast<T*>(item.out);
  const std::int64_t size = static_cast<std::int64_t>(item.rows) * cols;
  const std::int64_t begin = static_cast<std::int64_t>(tile) * kFlatTile;
  const std::int64_t end = begin + kFlatTile < size ? begin + kFlatTile : size;
  if (item.wide) {
#pragma unroll 4
    for (std::int64_t i = begin + 4 * threadIdx.x; i < end; i += 4 * kFlatThreads) {
      float x[4];
      load<4>(w + i, x);
#pragma unroll
      for (int k = 0; k < 4; ++k) x[k] *= scale;
      store<4>(out + i, x);
    }
  } else {
    for (std::int64_t i = begin + threadIdx.x; i < end; i += kFlatThreads) {
      out[i] = from_float<T>(to_float(w[i]) * scale);
    }
  }
}

// Computes <G, W> of a tile, to the workspace.
template <typename T>
__global__ void __launch_bounds__(kFlatThreads)
    spectral_norm_dot_kernel(const SpectralNormParams params) {
  __shared__ float scratch[kFlatThreads / 32];
  const SpectralNormItem& item = params.items[item_of(params, blockIdx.x)];
  if (item.grad == nullptr) return;
  const int tile = blockIdx.x - item.first_tile;
  const T* w = static_cast<const T*>(item.weight);
  const T* g = static_cast<const T*>(item.grad);
  const std::int64_t size = static_cast<std::int64_t>(item.rows) * item.outer * item.inner;
  const std::int64_t begin = static_cast<std::int64_t>(tile) * kFlatTile;
  const std::int64_t end = begin + kFlatTile < size ? begin + kFlatTile : size;
  float total = 0;
  if (item.wide) {
#pragma unroll 4
    for (std::int64_t i = begin + 4 * threadIdx.x; i < end; i += 4 * kFlatThreads) {
      float x[4], y[4];
      load<4>(w + i, x);
      load<4>(g + i, y);
#pragma unroll
      for (int k = 0; k < 4; ++k) total = fmaf(x[k], y[k], total);
    }
  } else {
    for (std::int64_t i = begin + threadIdx.x; i < end; i += kFlatThreads) {
      total = fmaf(to_float(w[i]), to_float(g[i]), total);
    }
  }
  total = block_reduce<kFlatThreads>(total, Sum(), scratch);
  if (threadIdx.x == 0) params.workspace[item.partials + tile] = total;
}

// Computes G / sigma + (g - <G, W> / sigma^2) u v^T of a tile.
template <typename T>
__global__ void __launch_bounds__(kFlatThreads)
    spectral_norm_gradient_kernel(const SpectralNormParams params) {
  __shared__ float scratch[kFlatThreads / 32], inner;
  const SpectralNormItem& item = params.items[item_of(params, blockIdx.x)];
  const int tile = blockIdx.x - item.first_tile;
  const int cols = item.outer * item.inner, length = item.inner, rows = item.rows;
  const std::int64_t size = static_cast<std::int64_t>(rows) * cols;
  const int tiles = static_cast<int>((size + kFlatTile - 1) / kFlatTile);
  const float sigma = params.sigmas[item.index];
  const float scale = 1.0f / sigma;
  float along = params.grad_sigmas == nullptr ? 0.0f : params.grad_sigmas[item.index];
  if (item.grad != nullptr) {
    float dot = 0;
    for (int i = threadIdx.x; i < tiles; i += kFlatThreads) {
      dot += params.workspace[item.partials + i];
    }
    dot = sum_to_all<kFlatThreads>(dot, scratch, &inner);
    along -= dot * scale * scale;
  }
  const float* u = params.state + item.state;
  const float* v = u + rows;
  const T* g = static_cast<const T*>(item.grad);
  T* out = static_cast<T*>(item.out);
  const std::int64_t begin = static_cast<std::int64_t>(tile) * kFlatTile;
  const std::int64_t end = begin + kFlatTile < size ? begin + kFlatTile : size;
  const int step = item.wide ? 4 : 1;
  for (std::int64_t i = begin + step * static_cast<int>(threadIdx.x); i < end;
       i += step * kFlatThreads) {
    const unsigned line = static_cast<unsigned>(i / length);  // index over outer and rows
    const unsigned o = line / rows;
    const int row = static_cast<int>(line - o * rows);
    const int column = static_cast<int>(o) * length +
                       static_cast<int>(i - static_cast<std::int64_t>(line) * length);
    const float factor = along * u[row];
    if (item.wide) {
      float x[4] = {};
      if (g != nullptr) load<4>(g + i, x);
#pragma unroll
      for (int k = 0; k < 4; ++k) x[k] = fmaf(factor, v[column + k], scale * x[k]);
      store<4>(out + i, x);
    } else {
      const float x = g == nullptr ? 0.0f : to_float(g[i]);
      out[i] = from_float<T>(fmaf(factor, v[column], scale * x));
    }
  }
}

// ---- the host's side ----

int ceil_div(std::int64_t a, std::int64_t b) { return static_cast<int>((a + b - 1) / b); }

bool aligned(const ArrayView& a, int bytes) {
  return reinterpret_cast<std::uintptr_t>(a.data) % static_cast<unsigned>(bytes) == 0;
}

void check_vector(const ArrayView& a, std::int64_t size, const char* name) {
  HM_CHECK(a.ndim == 1 && a.shape[0] == size && is_contiguous(a) && a.dtype == DType::kFloat32,
           name, ": expected ", size, " contiguous float32");
}

// Returns the floats of workspace for a weight [outer, rows, inner].
std::int64_t workspace_of(const ArrayView& w) {
  const std::int64_t rows = w.shape[1], cols = w.shape[0] * w.shape[2];
  const std::int64_t iterations = (ceil_div(rows, kColumnRows) + 1) * cols + rows;
  return std::max(iterations, static_cast<std::int64_t>(ceil_div(rows * cols, kFlatTile)));
}

enum class Tiles { kColumns, kRows, kFlat, kOne };

// Sets the tiles of a launch; returns how many there are.
int set_tiles(SpectralNormParams& params, Tiles kind) {
  std::int64_t total = 0;
  for (int k = 0; k < params.count; ++k) {
    SpectralNormItem& item = params.items[k];
    item.first_tile = static_cast<int>(total);
    const std::int64_t cols = static_cast<std::int64_t>(item.outer) * item.inner;
    switch (kind) {
      case Tiles::kColumns:
        total += static_cast<std::int64_t>(item.blocks) * ceil_div(cols, item.wide ? 128 : 32);
        break;
      case Tiles::kRows: total += ceil_div(item.rows, kRowsOfTile); break;
      case Tiles::kFlat: total += ceil_div(cols * item.rows, kFlatTile); break;
      case Tiles::kOne: total += 1; break;
    }
  }
  HM_CHECK(total < (std::int64_t(1) << 31), "weights: too many elements");
  return static_cast<int>(total);
}

// Calls fn(params) for at most kSpectralNormItems weights at a time.
template <typename Fn>
void in_parts(const std::vector<ArrayView>& weights, const std::vector<ArrayView>& grads,
              const std::vector<ArrayView>& outs, SpectralNormParams params, Fn&& fn) {
  const std::size_t all = weights.size();
  HM_CHECK(
      all > 0 && (grads.empty() || grads.size() == all) && (outs.empty() || outs.size() == all),
      "grads, outs: expected one for each of ", all, " weights");
  std::int64_t workspace = 0, state = 0;
  params.count = 0;
  for (std::size_t i = 0; i < all; ++i) {
    const ArrayView& w = weights[i];
    HM_CHECK(w.ndim == 3 && w.size() > 0 && is_contiguous(w) && w.dtype == weights[0].dtype,
             "weights[", i, "]: expected a dense [outer, rows, inner] of the dtype of weights[0]");
    HM_CHECK(w.size() < (std::int64_t(1) << 31), "weights[", i, "]: too many elements");
    const int pack = 4 * dtype_size(w.dtype);
    bool wide = w.shape[2] % 4 == 0 && aligned(w, pack);
    SpectralNormItem item = {};
    for (const auto* others : {&grads, &outs}) {
      if (others->empty() || (*others)[i].data == nullptr) continue;
      const ArrayView& other = (*others)[i];
      HM_CHECK(other.dtype == w.dtype && is_contiguous(other) && other.ndim == 3 &&
                   std::equal(w.shape, w.shape + 3, other.shape),
               others == &grads ? "grads[" : "outs[", i,
               "]: expected the shape and dtype of its weight, dense");
      wide = wide && aligned(other, pack);
      (others == &grads ? const_cast<void*&>(item.grad) : item.out) = other.data;
    }
    item.weight = w.data;
    item.outer = static_cast<int>(w.shape[0]);
    item.rows = static_cast<int>(w.shape[1]);
    item.inner = static_cast<int>(w.shape[2]);
    item.blocks = ceil_div(item.rows, kColumnRows);
    item.partials = static_cast<int>(workspace);
    item.state = static_cast<int>(state);
    item.index = static_cast<int>(i);
    item.wide = wide;
    workspace += workspace_of(w);
    state += item.rows + static_cast<std::int64_t>(item.outer) * item.inner;
    HM_CHECK(workspace < (std::int64_t(1) << 31), "weights: too many elements");
    params.items[params.count++] = item;
    if (params.count == kSpectralNormItems || i + 1 == all) {
      fn(params);
      params.count = 0;
    }
  }
}

std::int64_t state_of(const std::vector<ArrayView>& weights) {
  std::int64_t n = 0;
  for (const ArrayView& w : weights) n += w.shape[1] + w.shape[0] * w.shape[2];
  return n;
}

}  // namespace

std::int64_t spectral_norm_workspace(const std::vector<ArrayView>& weights) {
  std::int64_t floats = 0;
  for (const ArrayView& w : weights) {
    HM_CHECK(w.ndim == 3, "weights: expected [outer, rows, inner]");
    floats += workspace_of(w);
  }
  return 4 * floats;
}

void launch_spectral_norm(const std::vector<ArrayView>& weights, const std::vector<ArrayView>& us,
                          const std::vector<ArrayView>& vs, const std::vector<ArrayView>& outs,
                          const ArrayView& sigmas, const ArrayView& state,
                          const SpectralNormOptions& options, void* workspace,
                          cudaStream_t stream) {
  HM_CHECK(us.size() == weights.size() && vs.size() == weights.size(),
           "us, vs: expected one for each of ", weights.size(), " weights");
  HM_CHECK(options.iterations >= 0 && options.eps > 0, "n_power_iterations, eps: out of range");
  check_vector(sigmas, static_cast<std::int64_t>(weights.size()), "sigmas");
  SpectralNormParams base = {};
  base.eps = static_cast<float>(options.eps);
  base.workspace = static_cast<float*>(workspace);
  base.sigmas = sigmas.as<float>();
  base.state = state.as<float>();
  in_parts(weights, {}, outs, base, [&](SpectralNormParams params) {
    check_vector(state, state_of(weights), "state");
    for (int k = 0; k < params.count; ++k) {
      SpectralNormItem& item = params.items[k];
      const std::size_t i = static_cast<std::size_t>(item.index);
      check_vector(us[i], item.rows, "us");
      check_vector(vs[i], static_cast<std::int64_t>(item.outer) * item.inner, "vs");
      item.u = us[i].as<float>();
      item.v = vs[i].as<float>();
    }
    device::dispatch_tensor(weights[0].dtype, "weights", [&](auto tag) {
      using T = typename decltype(tag)::type;
      const auto columns = [&](From from) {
        const int tiles = set_tiles(params, Tiles::kColumns);
        HM_LAUNCH((spectral_norm_columns_kernel<T>), tiles, 32 * kColumnWarps, 0, stream, params,
                  from);
      };
      const auto rows = [&](From from) {
        const int tiles = set_tiles(params, Tiles::kRows);
        HM_LAUNCH((spectral_norm_rows_kernel<T>), tiles, kRowThreads, 0, stream, params, from);
      };
      From last = From::kVectors;
      if (options.iterations == 0) rows(last);
      for (int n = 0; n < options.iterations; ++n) {
        if (options.order == PowerOrder::kLegacy) {
          columns(n == 0 ? From::kVectors : From::kProducts);
          rows(From::kPartials);
          last = From::kProducts;
        } else {
          rows(n == 0 ? From::kVectors : From::kPartials);
          columns(From::kProducts);
          last = From::kPartials;
        }
      }
      const int tiles = set_tiles(params, outs.empty() ? Tiles::kOne : Tiles::kFlat);
      HM_LAUNCH((spectral_norm_finish_kernel<T>), tiles, kFlatThreads, 0, stream, params, last,
                options.write && options.iterations > 0);
    });
  });
}

void launch_spectral_norm_gradient(const std::vector<ArrayView>& weights,
                                   const std::vector<ArrayView>& grads, const ArrayView& sigmas,
                                   const ArrayView& grad_sigmas, const ArrayView& state,
                                   const std::vector<ArrayView>& outs, void* workspace,
                                   cudaStream_t stream) {
  HM_CHECK(grads.size() == weights.size() && outs.size() == weights.size(),
           "grads, outs: expected one for each of ", weights.size(), " weights");
  const std::int64_t count = static_cast<std::int64_t>(weights.size());
  check_vector(sigmas, count, "sigmas");
  if (grad_sigmas.data != nullptr) check_vector(grad_sigmas, count, "grad_sigmas");
  SpectralNormParams base = {};
  base.workspace = static_cast<float*>(workspace);
  base.sigmas = sigmas.as<float>();
  base.grad_sigmas = static_cast<const float*>(grad_sigmas.data);
  base.state = state.as<float>();
  in_parts(weights, grads, outs, base, [&](SpectralNormParams params) {
    check_vector(state, state_of(weights), "state");
    const int tiles = set_tiles(params, Tiles::kFlat);
    device::dispatch_tensor(weights[0].dtype, "weights", [&](auto tag) {
      using T = typename decltype(tag)::type;
      HM_LAUNCH((spectral_norm_dot_kernel<T>), tiles, kFlatThreads, 0, stream, params);
      HM_LAUNCH((spectral_norm_gradient_kernel<T>), tiles, kFlatThreads, 0, stream, params);
    });
  });
}

}  // namespace pyharmony
