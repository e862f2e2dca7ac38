#include "device/copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/checks.h"
#include "device/image.h"
#include "device/launch.h"

namespace pyharmony::device {
namespace {

constexpr int kThreads = 256;

// Copies; consecutive threads take what lies side by side in `to`: channels or columns.
__global__ void __launch_bounds__(kThreads) copy_kernel(ImageBatch from, ImageBatch to) {
  const std::int64_t row = std::int64_t(to.width) * to.channels;
  const std::int64_t i = std::int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= row) return;
  const bool planar = to.col_stride == 1;
  const int x = static_cast<int>(planar ? i % to.width : i / to.channels);
  const int c = static_cast<int>(planar ? i / to.width : i % to.channels);
  for (int y = blockIdx.y; y < to.height; y += gridDim.y) {
    for (int n = blockIdx.z; n < to.count; n += gridDim.z) {
      store_value(to, n, y, x, c, load_value(from, n, y, x, c));
    }
  }
}

// What a launch brings along: kernels have 4 KB of parameters.
constexpr int kWords = 960;
struct Words {
  std::uint32_t value[kWords];
};

__global__ void __launch_bounds__(kThreads)
    write_kernel(const __grid_constant__ Words words, std::uint32_t* to, int count) {
  for (int i = threadIdx.x; i < count; i += kThreads) to[i] = words.value[i];
}

}  // namespace

void launch_write(void* to, const void* host, std::size_t bytes, cudaStream_t stream) {
  HM_CHECK(bytes % sizeof(std::uint32_t) == 0, "bytes: ", bytes, ", expected a multiple of 4");
  const std::size_t count = bytes / sizeof(std::uint32_t);
  for (std::size_t first = 0; first < count; first += kWords) {
    Words words{};
    const std::size_t part = std::min<std::size_t>(kWords, count - first);
    std::memcpy(words.value, static_cast<const std::uint32_t*>(host) + first,
                part * sizeof(std::uint32_t));
    HM_LAUNCH((write_kernel), 1, kThreads, 0, stream, words,
              static_cast<std::uint32_t*>(to) + first, static_cast<int>(part));
  }
}

const void* copy_kernel_address() { return reinterpret_cast<const void*>(&copy_kernel); }

void launch_copy(const ArrayView& from, const ArrayView& to, cudaStream_t stream) {
  const ImageBatch a = as_image_batch(from, "from"), b = as_image_batch(to, "to");
  HM_CHECK(to.writable, "to: read-only");
  HM_CHECK(a.dtype != DType::kFloat64 && b.dtype != DType::kFloat64 && b.dtype != DType::kBool,
           "from, to: dtypes ", dtype_name(a.dtype), " and ", dtype_name(b.dtype),
           ", expected image dtypes other than float64");
  for (int i = 0; i < 4; ++i) {
    HM_CHECK(from.shape[i] == to.shape[i], "from: size ", from.shape[i], " of dimension ", i,
             " differs from to ", to.shape[i]);
  }
  if (a.dtype == b.dtype && is_contiguous(from) && is_contiguous(to)) {
    const auto bytes = static_cast<std::size_t>(from.size()) * dtype_size(a.dtype);
    return copy_on(to.data, from.data, bytes, stream);
  }
  const std::int64_t row = std::int64_t(b.width) * b.channels;
  const dim3 grid(static_cast<unsigned>((row + kThreads - 1) / kThreads),
                  static_cast<unsigned>(std::min(b.height, 65535)),
                  static_cast<unsigned>(std::min(b.count, 65535)));
  HM_LAUNCH((copy_kernel), grid, kThreads, 0, stream, a, b);
}

}  // namespace pyharmony::device
