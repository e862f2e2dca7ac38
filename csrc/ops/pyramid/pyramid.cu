#include "ops/pyramid/pyramid_cuda.h"

#include <algorithm>

#include "device/image.h"
#include "device/launch.h"
#include "device/math.h"
#include "device/runtime.h"
#include "ops/pyramid/weights.h"

namespace pyharmony {
namespace {

using device::check_image_shape;
using device::ImageBatch;
using device::larger;
using device::smaller;

constexpr int kMaxSize = 1 << 30;
constexpr std::int64_t kMaxBlocks = (std::int64_t(1) << 31) - 1;

HM_HOST_DEVICE constexpr int divide_up(int n, int by) { return (n + by - 1) / by; }

__device__ __forceinline__ int mirrored(int i, int n) {
  return i >= 0 && i < n ? i : device::mirror(i, n);
}

__device__ __forceinline__ void store_real(void* data, bool half, std::int64_t at, float value) {
  if (half) {
    static_cast<__half*>(data)[at] = __float2half_rn(value);
  } else {
    static_cast<float*>(data)[at] = value;
  }
}

// The tiles of a launch in one dimension; the tiles of a row are next to each other.
struct Tiles {
  int columns, rows;
};

struct TilePlace {
  int x, y, plane;
};

__device__ __forceinline__ TilePlace place_of(const Tiles& tiles) {
  const unsigned block = blockIdx.x;
  const unsigned row = block / tiles.columns;
  return {static_cast<int>(block - row * tiles.columns), static_cast<int>(row % tiles.rows),
          static_cast<int>(row / tiles.rows)};
}

dim3 grid_of(const Tiles& tiles, std::int64_t planes) {
  HM_CHECK(
      tiles.rows <= kMaxBlocks / tiles.columns && planes <= kMaxBlocks / tiles.columns / tiles.rows,
      "image: ", planes, " planes of ", tiles.columns, " x ", tiles.rows,
      " tiles, expected at most 2^31 - 1 tiles in all");
  return dim3(static_cast<unsigned>(tiles.columns * planes * tiles.rows));
}

ImageBatch image_of(const ArrayView& view, const char* name, bool plane = false) {
  const ImageBatch image = device::as_image_batch(view, name, plane);
  HM_CHECK(image.height <= kMaxSize && image.width <= kMaxSize && image.channels <= kMaxSize, name,
           ": shape [", image.height, ", ", image.width, ", ", image.channels,
           "], expected at most 2^30 each");
  return image;
}

ImageBatch picture_of(const ArrayView& view, const char* name) {
  HM_CHECK(view.dtype != DType::kBool, name, ": dtype bool is not an image type");
  return image_of(view, name);
}

ImageBatch result_of(const ArrayView& view, const char* name, bool plane = false) {
  HM_CHECK(view.writable, name, ": read-only");
  HM_CHECK(view.dtype == DType::kFloat32 || view.dtype == DType::kFloat16, name, ": dtype ",
           dtype_name(view.dtype), ", expected float32 or float16");
  return image_of(view, name, plane);
}

// ---- down ---------------------------------------------------------------------------------------
//
// A block filters a strip of columns down the rows, and each filtered row along itself. A row is a
// sequence of samples: the pixels' channels one after another. Channels lie in chunks: all of them
// where pixels are packed, else each for itself.

constexpr int kMaxChunk = 8;                        // channels of a chunk
constexpr int kDownThreads = 128, kDownBlocks = 5;  // on a multiprocessor: 96 registers a thread
constexpr int kAnyThreads = 256;

// The samples from one of the four arrays of a filtered row to the next.
HM_HOST_DEVICE constexpr int down_pitch(int channels) {
  return (kDownThreads + channels + 31) / 32 * 32 + (channels % 2 == 0 ? 1 : 0);
}

struct DownImage {
  ImageBatch in, out;
  bool half_out = false;
  bool aligned = false;  // whether every fourth sample of every row is aligned to four samples
  std::int64_t chunk_stride = 0, sample_stride = 0;
};

struct DownParams {
  DownImage images[kMaxDownsampleImages];
  int batch, height, width, out_height, out_width;
  int channels, chunks;      // channels of a chunk; chunks of an image
  int tile_cols, tile_rows;  // size in the output
  int pitch, half;
  Tiles tiles;
  float weights[kMaxDownsamplePairs];
};

// A block's part of an image.
struct DownTile {
  const DownImage* image;
  std::int64_t source, target;  // offsets of the plane
  int x0, y0, cols, rows;       // place and size in the output
};

__device__ __forceinline__ DownTile down_tile(const DownParams& p) {
  const TilePlace place = place_of(p.tiles);
  const int chunk = place.plane % p.chunks, item = place.plane / p.chunks;
  const DownImage& image = p.images[item / p.batch];
  const int n = item % p.batch;
  DownTile tile;
  tile.image = &image;
  tile.source = n * image.in.batch_stride + chunk * image.chunk_stride;
  tile.target =
      n * image.out.batch_stride + std::int64_t(chunk) * p.channels * image.out.channel_stride;
  tile.x0 = place.x * p.tile_cols;
  tile.y0 = place.y * p.tile_rows;
  tile.cols = smaller(p.tile_cols, p.out_width - tile.x0);
  tile.rows = smaller(p.tile_rows, p.out_height - tile.y0);
  return tile;
}

// Four samples in the order of memory.
template <typename T>
struct Four;

template <>
struct Four<std::uint8_t> {
  std::uint32_t bits;
  __device__ __forceinline__ static Four of(std::uint8_t a, std::uint8_t b, std::uint8_t c,
                                            std::uint8_t d) {
    return {a | std::uint32_t(b) << 8 | std::uint32_t(c) << 16 | std::uint32_t(d) << 24};
  }
  __device__ __forceinline__ float get(int i) const {
    return static_cast<float>(bits >> 8 * i & 255u);
  }
};

template <>
struct __align__(8) Four<std::uint16_t> {
  std::uint32_t low, high;
  __device__ __forceinline__ static Four of(std::uint16_t a, std::uint16_t b, std::uint16_t c,
                                            std::uint16_t d) {
    return {a | std::uint32_t(b) << 16, c | std::uint32_t(d) << 16};
  }
  __device__ __forceinline__ unsigned short bits(int i) const {
    return static_cast<unsigned short>((i < 2 ? low : high) >> 16 * (i % 2) & 65535u);
  }
  __device__ __forceinline__ float get(int i) const { return static_cast<float>(bits(i)); }
};

template <>
struct Four<__half> {
  Four<std::uint16_t> four;
  __device__ __forceinline__ static Four of(__half a, __half b, __half c, __half d) {
    return {Four<std::uint16_t>::of(static_cast<__half_raw>(a).x, static_cast<__half_raw>(b).x,
                                    static_cast<__half_raw>(c).x, static_cast<__half_raw>(d).x)};
  }
  __device__ __forceinline__ float get(int i) const {
    __half_raw raw;
    raw.x = four.bits(i);
    return __half2float(__half(raw));
  }
};

template <>
struct Four<float> {
  float4 v;
  __device__ __forceinline__ static Four of(float a, float b, float c, float d) {
    return {make_float4(a, b, c, d)};
  }
  __device__ __forceinline__ float get(int i) const {
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
  }
};

// Does the usual filters. A thread filters four samples of every row down, holding the rows of the
// filter in registers, and then two pixels of one channel along the row. Filtered samples lie in
// four arrays, pixel q in array q mod 4, so that neighbouring threads read neighbouring words
// whatever the number of channels. Two of these rows alternate, with one barrier per row.
// With kChannels above 0 there are so many channels, and all that is read lies in the image, four
// samples at an aligned address; 0 is for any tile.
template <typename T, int kHalf, int kChannels>
__device__ __forceinline__ void filter_tile(const DownParams& p, const DownTile& tile,
                                            float* filtered) {
  constexpr int kTaps = 2 * kHalf, kReach = kHalf - 1;
  constexpr bool kInside = kChannels > 0;
  const DownImage& image = *tile.image;
  const int channels = kInside ? kChannels : p.channels, pitch = down_pitch(channels);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_x = 2 * tile.x0 - kReach, first_y = 2 * tile.y0 - kReach;

  int sample[4], place[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int q = (4 * thread + i) / channels, c = 4 * thread + i - q * channels;
    sample[i] = mirrored(first_x + q, p.width) * channels + c;
    place[i] = (q & 3) * pitch + (q >> 2) * channels + c;
  }
  const T* const data = static_cast<const T*>(image.in.data) + tile.source;
  const T* next = data;
  if (kInside) next += first_y * image.in.row_stride + first_x * channels + 4 * thread;
  const bool vector =
      image.aligned && sample[0] == first_x * channels + 4 * thread && sample[3] == sample[0] + 3;
  // Returns the samples of a row; rows are asked for in their order.
  const auto fetch = [&](int row) {
    if (kInside) {
      const T* const from = next;
      next += image.in.row_stride;
      return *reinterpret_cast<const Four<T>*>(from);
    }
    const T* const from = data + mirrored(first_y + row, p.height) * image.in.row_stride;
    return vector
               ? *reinterpret_cast<const Four<T>*>(from + sample[0])
               : Four<T>::of(
                     from[sample[0] * image.sample_stride], from[sample[1] * image.sample_stride],
                     from[sample[2] * image.sample_stride], from[sample[3] * image.sample_stride]);
  };

  const int column = thread / channels, channel = thread - column * channels;  // in pixel pairs
  const bool first_there = 2 * column < tile.cols, second_there = 2 * column + 1 < tile.cols;
  std::int64_t target = tile.target + (tile.x0 + 2 * column) * image.out.col_stride +
                        channel * image.out.channel_stride + tile.y0 * image.out.row_stride;

  float window[kTaps][4];  // row r of the tile in slot r mod kTaps
#pragma unroll
  for (int row = 0; row < kTaps - 2; ++row) {
    const Four<T> four = fetch(row);
#pragma unroll
    for (int i = 0; i < 4; ++i) window[row][i] = four.get(i);
  }
  Four<T> low = fetch(kTaps - 2), high = fetch(kTaps - 1);
  constexpr bool kFloats = std::is_same_v<T, float>;
  const auto take = [&](int u) __attribute__((always_inline)) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      window[(2 * u + kTaps - 2) % kTaps][i] = low.get(i);
      window[(2 * u + kTaps - 1) % kTaps][i] = high.get(i);
    }
  };
  if (kFloats) take(0);

  // An even number of rows, so that which buffer is a row's is known to the compiler.
  constexpr int kRows = kInside ? 2 * kHalf : kHalf;
#pragma unroll 1
  for (int y = 0; y < tile.rows; y += kRows) {
#pragma unroll
    for (int u = 0; u < kRows; ++u) {
      if (y + u < tile.rows) {
        float* const buffer = filtered + (kInside ? u : y + u) % 2 * (4 * pitch);
        if (!kFloats) take(u);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float sum = 0;
#pragma unroll
          for (int t = 0; t < kHalf; ++t) {
            const float pair =
                window[(2 * u + kHalf - 1 - t) % kTaps][i] + window[(2 * u + kHalf + t) % kTaps][i];
            sum = t == 0 ? p.weights[0] * pair : fmaf(p.weights[t], pair, sum);
          }
          buffer[place[i]] = sum;
        }
        // Two rows of the window are free at this point. Floats go there, others wait for the
        // filter.
        if (y + u + 1 < tile.rows) {
          low = fetch(2 * (y + u) + kTaps);
          high = fetch(2 * (y + u) + kTaps + 1);
          if (kFloats) take(u + 1);
        }
        HM_SYNC();
        if (first_there) {
          float a[kTaps + 2];
#pragma unroll
          for (int k = 0; k < kTaps + 2; ++k) {
            a[k] = buffer[(k & 3) * pitch + thread + (k >> 2) * channels];
          }
          float one = 0, two = 0;
#pragma unroll
          for (int t = 0; t < kHalf; ++t) {
            const float pair = a[kHalf - 1 - t] + a[kHalf + t];
            const float next = a[kHalf + 1 - t] + a[kHalf + 2 + t];
            one = t == 0 ? p.weights[0] * pair : fmaf(p.weights[t], pair, one);
            two = t == 0 ? p.weights[0] * next : fmaf(p.weights[t], next, two);
          }
          store_real(image.out.data, image.half_out, target, one);
          if (second_there) {
            store_real(image.out.data, image.half_out, target + image.out.col_stride, two);
          }
        }
        target += image.out.row_stride;
      }
    }
  }
}

template <typename T, int kHalf>
__global__ void __launch_bounds__(kDownThreads, kDownBlocks)
    pyramid_downsample_rows_kernel(const __grid_constant__ DownParams p) {
  constexpr int kReach = kHalf - 1;
  HM_DYN_SMEM(float, filtered);  // [2][4][pitch]
  const DownTile tile = down_tile(p);
  const int x = 2 * tile.x0 - kReach, y = 2 * tile.y0 - kReach;
  const bool inside = tile.image->aligned && x >= 0 && y >= 0 &&
                      x * p.channels + 4 * static_cast<int>(blockDim.x) <= p.width * p.channels &&
                      y + 2 * (tile.rows + kReach) <= p.height;
  if (inside && p.channels == 3) {
    filter_tile<T, kHalf, 3>(p, tile, filtered);
  } else if (inside && p.channels == 1) {
    filter_tile<T, kHalf, 1>(p, tile, filtered);
  } else {
    filter_tile<T, kHalf, 0>(p, tile, filtered);
  }
}

constexpr int kAnyRows = 4;

// Does any filter and any dtype. A thread filters a column of samples down to kAnyRows rows at
// once; pixels of even and of odd position lie apart, so that neighbouring threads read
// neighbouring words.
__global__ void __launch_bounds__(kAnyThreads, 4)
    pyramid_downsample_kernel(const __grid_constant__ DownParams p) {
  HM_DYN_SMEM(float, filtered);  // [kAnyRows][2][pitch]
  const DownTile tile = down_tile(p);
  const DownImage& image = *tile.image;
  const int half = p.half, channels = p.channels;
  const int first_x = 2 * tile.x0 - (half - 1), first_y = 2 * tile.y0 - (half - 1);
  const int samples = 2 * (tile.cols + half - 1) * channels;
  for (int e = threadIdx.x; e < samples; e += blockDim.x) {
    const int q = e / channels, c = e - q * channels;
    const std::int64_t at =
        tile.source +
        (std::int64_t(mirrored(first_x + q, p.width)) * channels + c) * image.sample_stride;
    float sum[kAnyRows] = {};
#pragma unroll 1
    for (int row = 0; row < 2 * (kAnyRows + half - 1); ++row) {
      const float value =
          device::load_value(image.in.data, image.in.dtype,
                             at + mirrored(first_y + row, p.height) * image.in.row_stride);
#pragma unroll
      for (int k = 0; k < kAnyRows; ++k) {
        const int tap = row - 2 * k;
        if (tap >= 0 && tap < 2 * half) {
          sum[k] = fmaf(p.weights[tap < half ? half - 1 - tap : tap - half], value, sum[k]);
        }
      }
    }
#pragma unroll
    for (int k = 0; k < kAnyRows; ++k) {
      filtered[(2 * k + (q & 1)) * p.pitch + (q >> 1) * channels + c] = sum[k];
    }
  }
  HM_SYNC();
  for (int e = threadIdx.x; e < tile.cols * channels; e += blockDim.x) {
    const int x = e / channels, c = e - x * channels;
    const std::int64_t target = tile.target + (tile.x0 + x) * image.out.col_stride +
                                c * image.out.channel_stride + tile.y0 * image.out.row_stride;
    for (int k = 0; k < tile.rows; ++k) {
      const float* const row = filtered + 2 * k * p.pitch + e;
      float sum = 0;
      for (int t = 0; t < half; ++t) {
        const int a = half - 1 - t, b = half + t;  // positions of the pair, from the first tap
        sum = fmaf(p.weights[t],
                   row[(a & 1) * p.pitch + (a >> 1) * channels] +
                       row[(b & 1) * p.pitch + (b >> 1) * channels],
                   sum);
      }
      store_real(image.out.data, image.half_out, target + k * image.out.row_stride, sum);
    }
  }
}

bool packed(const ImageBatch& image) {
  return image.channels == 1 ||
         (image.channels <= kMaxChunk && image.channel_stride == 1 &&
          image.col_stride == image.channels && image.width <= kMaxSize / image.channels);
}

DownImage down_image(const ImageBatch& image, const ImageBatch& out) {
  const bool whole = packed(image);
  DownImage d{image, out};
  d.half_out = out.dtype == DType::kFloat16;
  d.chunk_stride = whole ? 0 : image.channel_stride;
  d.sample_stride = whole && image.channels > 1 ? 1 : image.col_stride;
  d.aligned = d.sample_stride == 1 && image.batch_stride % 4 == 0 && image.row_stride % 4 == 0 &&
              d.chunk_stride % 4 == 0 &&
              reinterpret_cast<std::uintptr_t>(image.data) % (4 * dtype_size(image.dtype)) == 0;
  return d;
}

template <typename T, int kHalf>
void downsample_rows(DownParams p, std::int64_t planes, cudaStream_t stream) {
  constexpr int kReach = kHalf - 1;
  // There are as many threads as a row needs, and tiles are even, because pixels go in pairs.
  const std::int64_t samples = (4 * (std::int64_t(p.out_width) + 1) / 2 + 2 * kReach) * p.channels;
  const int threads =
      static_cast<int>(std::clamp<std::int64_t>((samples + 127) / 128 * 32, 64, kDownThreads));
  p.tile_cols = (4 * threads / p.channels / 2 - kReach) / 2 * 2;
  // Long tiles repeat few rows; short ones give more blocks.
  p.tile_rows = 8 * kHalf;
  p.tiles.columns = divide_up(p.out_width, p.tile_cols);
  p.tiles.rows = divide_up(p.out_height, p.tile_rows);
  while (p.tile_rows > kHalf && p.tiles.columns * planes * p.tiles.rows < 512) {
    p.tile_rows /= 2;
    p.tiles.rows = divide_up(p.out_height, p.tile_rows);
  }
  HM_LAUNCH((pyramid_downsample_rows_kernel<T, kHalf>), grid_of(p.tiles, planes), dim3(threads),
            2 * 4 * down_pitch(p.channels) * sizeof(float), stream, p);
}

void downsample_any(DownParams p, std::int64_t planes, cudaStream_t stream) {
  // The tile's width grows with the filter, so that at most half of what is read lies around it.
  p.tile_cols = std::min(p.out_width, std::max(256 / p.channels, p.half - 1));
  p.tile_rows = kAnyRows;
  p.tiles = {divide_up(p.out_width, p.tile_cols), divide_up(p.out_height, p.tile_rows)};
  // A pixel of even and one of odd position are 16 banks apart.
  p.pitch = ((p.tile_cols + p.half - 1) * p.channels + 15) / 32 * 32 + 16;
  HM_LAUNCH(pyramid_downsample_kernel, grid_of(p.tiles, planes), dim3(kAnyThreads),
            kAnyRows * 2 * p.pitch * sizeof(float), stream, p);
}

template <int kHalf>
void downsample_usual(const DownParams& p, std::int64_t planes, cudaStream_t stream) {
  switch (p.images[0].in.dtype) {
    case DType::kUInt8: return downsample_rows<std::uint8_t, kHalf>(p, planes, stream);
    case DType::kUInt16: return downsample_rows<std::uint16_t, kHalf>(p, planes, stream);
    case DType::kFloat16: return downsample_rows<__half, kHalf>(p, planes, stream);
    case DType::kFloat32: return downsample_rows<float, kHalf>(p, planes, stream);
    default: return downsample_any(p, planes, stream);
  }
}

// ---- masks down ---------------------------------------------------------------------------------

constexpr int kMaskCols = 4, kMaskRows = 8;  // outputs of a thread along a row; rows of a block

// The arrays of a launch: those of the mask, and those of what is known. Without an array of the
// latter, pixels are known where the mask is zero.
struct MaskParams {
  ImageBatch in[2], out[2];
  bool vector[2];  // whether eight values of a row can be read at once
  float scale[2];  // the sum of four whole pixels
  Tiles tiles;
};

bool reads_eight(const ImageBatch& plane) {
  return plane.dtype != DType::kFloat64 && plane.col_stride == 1 && plane.row_stride % 8 == 0 &&
         plane.batch_stride % 8 == 0 &&
         reinterpret_cast<std::uintptr_t>(plane.data) % std::min(16, 8 * dtype_size(plane.dtype)) ==
             0;
}

// Returns a mask's value in its own unit. A value above zero stays above zero, even halved.
__device__ __forceinline__ float mask_value(const ImageBatch& mask, std::int64_t at) {
  constexpr float kLeast = 1.17549435e-38f;
  if (mask.dtype == DType::kFloat64) {
    const double value = static_cast<const double*>(mask.data)[at];
    return value > 0 && value < double(kLeast) ? kLeast : static_cast<float>(value);
  }
  const float value = device::load_value(mask.data, mask.dtype, at);
  return value > 0 && value < kLeast ? kLeast : value;
}

// Reads pixels at to at + 7 of a row, which are one aligned access or two.
__device__ __forceinline__ void mask_row(const ImageBatch& mask, std::int64_t at, float (&v)[8]) {
  if (mask.dtype == DType::kBool || mask.dtype == DType::kUInt8) {
    const uint2 eight =
        *reinterpret_cast<const uint2*>(static_cast<const std::uint8_t*>(mask.data) + at);
    const bool flags = mask.dtype == DType::kBool;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const unsigned byte = (i < 4 ? eight.x : eight.y) >> 8 * (i % 4) & 255u;
      v[i] = flags ? (byte != 0 ? 1.0f : 0.0f) : static_cast<float>(byte);
    }
    return;
  }
  if (mask.dtype == DType::kFloat32) {
    const float4* const from =
        reinterpret_cast<const float4*>(static_cast<const float*>(mask.data) + at);
    const float4 a = from[0], b = from[1];
    const float eight[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      constexpr float kLeast = 1.17549435e-38f;
      v[i] = eight[i] > 0 && eight[i] < kLeast ? kLeast : eight[i];
    }
    return;
  }
  const uint4 eight =
      *reinterpret_cast<const uint4*>(static_cast<const std::uint16_t*>(mask.data) + at);
  const unsigned words[4] = {eight.x, eight.y, eight.z, eight.w};
  const bool integers = mask.dtype == DType::kUInt16;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const unsigned short bits = static_cast<unsigned short>(words[i / 2] >> 16 * (i % 2) & 65535u);
    __half_raw raw;
    raw.x = bits;
    v[i] = integers ? static_cast<float>(bits) : __half2float(__half(raw));
  }
}

__device__ __forceinline__ void mask_rows(const ImageBatch& mask, int n, int y, int x,
                                          float (&low)[8], float (&high)[8]) {
  const std::int64_t plane = n * mask.batch_stride;
  mask_row(mask, plane + 2 * y * mask.row_stride + 2 * x, low);
  mask_row(mask, plane + smaller(2 * y + 1, mask.height - 1) * mask.row_stride + 2 * x, high);
}

// Stores a sum of 2 x 2 pixels, divided once: a whole mask stays 1.
__device__ __forceinline__ void store_mean(const ImageBatch& out, int n, int y, int x, float sum,
                                           float scale) {
  store_real(out.data, out.dtype == DType::kFloat16, device::offset(out, n, y, x), sum / scale);
}

__global__ void __launch_bounds__(32 * kMaskRows, 4)
    pyramid_downsample_mask_kernel(const __grid_constant__ MaskParams p) {
  const TilePlace place = place_of(p.tiles);
  const int x = (place.x * 32 + static_cast<int>(threadIdx.x)) * kMaskCols, n = place.plane;
  const int y = place.y * kMaskRows + static_cast<int>(threadIdx.y);
  if (x >= p.out[0].width || y >= p.out[0].height) return;
  const int count = p.out[1].data != nullptr ? 2 : 1;
  const bool knows = count == 2 && p.in[1].data != nullptr;
  if (p.vector[0] && (!knows || p.vector[1]) && 2 * (x + kMaskCols) <= p.in[0].width) {
    float low[8], high[8];
#pragma unroll 1
    for (int i = 0; i < count; ++i) {
      if (i == 0 || knows) {
        mask_rows(p.in[i], n, y, x, low, high);
      } else {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          low[j] = low[j] == 0 ? 1.0f : 0.0f;
          high[j] = high[j] == 0 ? 1.0f : 0.0f;
        }
      }
#pragma unroll
      for (int j = 0; j < kMaskCols; ++j) {
        const float sum = (low[2 * j] + low[2 * j + 1]) + (high[2 * j] + high[2 * j + 1]);
        store_mean(p.out[i], n, y, x + j, sum, p.scale[i]);
      }
    }
    return;
  }
#pragma unroll 1
  for (int column = x; column < smaller(x + kMaskCols, p.out[0].width); ++column) {
    float sum = 0, known = 0;
#pragma unroll 1
    for (int row = 2 * y; row < 2 * y + 2; ++row) {
      // Rows and columns are continued by the last one.
      auto value = [&](const ImageBatch& mask, int at) {
        return mask_value(mask, device::offset(mask, n, smaller(row, mask.height - 1),
                                               smaller(at, mask.width - 1)));
      };
      const float a = value(p.in[0], 2 * column), b = value(p.in[0], 2 * column + 1);
      sum += a + b;
      known += knows ? value(p.in[1], 2 * column) + value(p.in[1], 2 * column + 1)
                     : (a == 0 ? 1.0f : 0.0f) + (b == 0 ? 1.0f : 0.0f);
    }
    store_mean(p.out[0], n, y, column, sum, p.scale[0]);
    if (count == 2) store_mean(p.out[1], n, y, column, known, p.scale[1]);
  }
}

// ---- up -----------------------------------------------------------------------------------------
//
// A block makes a tile of kTile x kTile pixels. A thread filters the cells of a column along their
// rows, keeps the even and the odd result of five rows in registers, and filters them down to 2 x 2
// pixels a cell. These lie in shared memory, with pixels of even and of odd position apart; rows
// are written from there in the order of memory.

constexpr int kTile = 32, kCellsOfThread = 4, kMaxUpChunk = 4, kSpan = kTile + 2 * kMeetRadius;
constexpr int kUpReach = 2;  // cells

struct UpParams {
  ImageBatch image, dst, known, out;
  bool from_mask;
  int channels, chunks;  // most channels of a chunk; chunks of an image
  float weights[2 * kMeetRadius + 1];
  Tiles tiles;
};

// The sizes of the shared memory, in floats. Cells are those of the tile and, for colours that are
// to meet, of the pixels around it.
template <bool kMeet>
struct UpLayout {
  static constexpr int kHalo = kMeet ? 4 : 0;  // pixels around the tile; even, at least kMeetRadius
  static constexpr int kCells = kTile / 2 + kHalo;
  static constexpr int kGrid = kCells + 2 * kUpReach;
  // Rows four apart, and pixels of even and odd position, are 16 banks apart.
  HM_HOST_DEVICE static constexpr int grid_pitch(int channels) { return kGrid * channels + 4; }
  HM_HOST_DEVICE static constexpr int odd_offset(int channels) {
    return (kCells * channels + 15) / 32 * 32 + 16;
  }
  HM_HOST_DEVICE static constexpr int colour_pitch(int channels) {
    return 2 * odd_offset(channels) + 2;
  }
  HM_HOST_DEVICE static constexpr int colours(int channels) {
    return 2 * kCells * colour_pitch(channels);
  }
  // The missing part takes the place of the grid.
  HM_HOST_DEVICE static constexpr int grid(int channels) {
    const int cells = kGrid * grid_pitch(channels);
    return kMeet && cells < kSpan * kSpan ? kSpan * kSpan : cells;
  }
  HM_HOST_DEVICE static constexpr int sums() { return kMeet ? kSpan * kTile : 0; }
  HM_HOST_DEVICE static constexpr int strengths() { return kMeet ? kTile * kTile : 0; }
  HM_HOST_DEVICE static constexpr int flags() { return kMeet ? kSpan * kSpan / 4 : 0; }
  static int bytes(int channels) {
    return (colours(channels) + grid(channels) + sums() + strengths() + flags()) *
           int(sizeof(float));
  }
};
static_assert(kSpan * kSpan % 4 == 0);

__device__ __forceinline__ float cubic(float near_outer, float near, float far, float far_outer) {
  return fmaf(kCubicNear, near,
              fmaf(kCubicFar, far, fmaf(kCubicNearOuter, near_outer, kCubicFarOuter * far_outer)));
}

__device__ __forceinline__ float known_share(const UpParams& p, int n, int y, int x) {
  const float value = device::load_mask(p.known, n, y, x);
  return p.from_mask ? (value == 0 ? 1.0f : 0.0f) : value;
}

template <bool kMeet>
__global__ void __launch_bounds__(256, 4)
    pyramid_upsample_kernel(const __grid_constant__ UpParams p) {
  using Layout = UpLayout<kMeet>;
  constexpr int kHalo = Layout::kHalo, kCells = Layout::kCells, kGrid = Layout::kGrid;
  HM_DYN_SMEM(float, shared);
  __shared__ unsigned seen[8];  // bits of each warp: 1 a known pixel, 2 one to be moved

  const TilePlace place = place_of(p.tiles);
  const int n = place.plane / p.chunks, chunk = place.plane % p.chunks * p.channels;
  const int channels = smaller(p.channels, p.out.channels - chunk);
  const int x0 = place.x * kTile, y0 = place.y * kTile;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int lane = thread % 32, warp = thread / 32, warps = threads / 32;

  const int grid_pitch = Layout::grid_pitch(channels), odd = Layout::odd_offset(channels);
  const int pitch = Layout::colour_pitch(channels);
  float* const colours = shared;                            // [2 kCells][pitch]
  float* const grid = colours + Layout::colours(channels);  // [kGrid][grid_pitch]
  float* const sums = grid + Layout::grid(channels);        // [kSpan][kTile]
  float* const strengths = sums + Layout::sums();           // [kTile][kTile]
  std::uint8_t* const flags =
      reinterpret_cast<std::uint8_t*>(strengths + Layout::strengths());  // [kSpan][kSpan]

  {
    constexpr int kTurns = divide_up(kGrid * kMaxUpChunk, 32);
    const int first_x = x0 / 2 - kHalo / 2 - kUpReach, first_y = y0 / 2 - kHalo / 2 - kUpReach;
    std::int64_t at[kTurns];
#pragma unroll
    for (int k = 0; k < kTurns; ++k) {
      const int x = (lane + 32 * k) / channels, c = lane + 32 * k - x * channels;
      at[k] = smaller(larger(first_x + x, 0), p.image.width - 1) * p.image.col_stride +
              (chunk + c) * p.image.channel_stride + n * p.image.batch_stride;
    }
    for (int row = warp; row < kGrid; row += warps) {
      const std::int64_t from =
          smaller(larger(first_y + row, 0), p.image.height - 1) * p.image.row_stride;
#pragma unroll
      for (int k = 0; k < kTurns; ++k) {
        if (lane + 32 * k < kGrid * channels) {
          grid[row * grid_pitch + lane + 32 * k] =
              device::load_value(p.image.data, p.image.dtype, from + at[k]);
        }
      }
    }
  }
  if (kMeet) {
    unsigned mine = 0;
    for (int i = thread; i < kSpan * kSpan; i += threads) {
      const int row = i / kSpan, column = i - row * kSpan;
      const int y = y0 - kMeetRadius + row, x = x0 - kMeetRadius + column;
      const bool there = y >= 0 && y < p.out.height && x >= 0 && x < p.out.width;
      const bool whole = there && known_share(p, n, y, x) >= 1;
      const bool inner = row >= kMeetRadius && row < kMeetRadius + kTile && column >= kMeetRadius &&
                         column < kMeetRadius + kTile;
      flags[i] = whole;
      mine |= (whole ? 1u : 0u) | (there && inner && !whole ? 2u : 0u);
    }
    const unsigned any = (__any_sync(0xffffffffu, mine & 1u) ? 1u : 0u) |
                         (__any_sync(0xffffffffu, mine & 2u) ? 2u : 0u);
    if (lane == 0) seen[warp] = any;
  }
  HM_SYNC();

  bool contour = false;
  if (kMeet) {
    unsigned all = 0;
    for (int w = 0; w < warps; ++w) all |= seen[w];
    contour = all == 3u;
  }

  {
    // Away from the contour only the tile is done.
    const int skip = contour ? 0 : kHalo / 2, cells = kCells - 2 * skip;
    const int columns = cells * channels, tasks = columns * (cells / kCellsOfThread);
    for (int task = thread; task < tasks; task += threads) {
      const int part = task / columns;
      const int row = skip + part * kCellsOfThread;
      const int column = task - part * columns + skip * channels;
      const float* from = grid + row * grid_pitch + column;
      float* to = colours + 2 * row * pitch + column;
      constexpr int kRows = kCellsOfThread + 2 * kUpReach;
      float even_x[kRows], odd_x[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float a = from[0], b = from[channels], c = from[2 * channels], d = from[3 * channels],
                    e = from[4 * channels];
        even_x[r] = cubic(d, c, b, a);
        odd_x[r] = cubic(b, c, d, e);
        from += grid_pitch;
        if (r >= 2 * kUpReach) {
          to[0] = cubic(even_x[r - 1], even_x[r - 2], even_x[r - 3], even_x[r - 4]);
          to[odd] = cubic(odd_x[r - 1], odd_x[r - 2], odd_x[r - 3], odd_x[r - 4]);
          to[pitch] = cubic(even_x[r - 3], even_x[r - 2], even_x[r - 1], even_x[r]);
          to[pitch + odd] = cubic(odd_x[r - 3], odd_x[r - 2], odd_x[r - 1], odd_x[r]);
          to += 2 * pitch;
        }
      }
    }
  }
  HM_SYNC();

  // Returns the place of the colour of a pixel of the tile, or of the three around it.
  const auto colour_at = [&](int y, int x, int c) {
    const int u = x + kHalo, v = y + kHalo;
    return v * pitch + (u & 1) * odd + (u >> 1) * channels + c;
  };

  if (kMeet && contour) {
    float* const missed = grid;  // [kSpan][kSpan]: first the known weight itself, then what each
                                 // channel lacks
#pragma unroll 1
    for (int c = -1; c < channels; ++c) {
      for (int i = thread; i < kSpan * kSpan; i += threads) {
        const int row = i / kSpan, column = i - row * kSpan;
        const int y = row - kMeetRadius, x = column - kMeetRadius;
        float value = flags[i] ? 1.0f : 0.0f;
        if (c >= 0 && flags[i]) {
          value =
              device::load_value(p.dst, n, y0 + y, x0 + x, chunk + c) - colours[colour_at(y, x, c)];
        }
        missed[i] = value;
      }
      HM_SYNC();
      for (int i = thread; i < kSpan * kTile; i += threads) {
        const int row = i / kTile, column = i - row * kTile;
        float sum = 0;
#pragma unroll
        for (int q = 0; q <= 2 * kMeetRadius; ++q) {
          sum = fmaf(p.weights[q], missed[row * kSpan + column + q], sum);
        }
        sums[i] = sum;
      }
      HM_SYNC();
      for (int i = thread; i < kTile * kTile; i += threads) {
        const int row = i / kTile, column = i - row * kTile;
        const int y = y0 + row, x = x0 + column;
        if (y < p.out.height && x < p.out.width &&
            !flags[(row + kMeetRadius) * kSpan + column + kMeetRadius]) {
          float sum = 0;
#pragma unroll
          for (int q = 0; q <= 2 * kMeetRadius; ++q) {
            sum = fmaf(p.weights[q], sums[i + q * kTile], sum);
          }
          if (c < 0) {
            float across = 0, down = 0;  // the weights inside the image
#pragma unroll
            for (int q = -kMeetRadius; q <= kMeetRadius; ++q) {
              if (x + q >= 0 && x + q < p.out.width) across += p.weights[q + kMeetRadius];
              if (y + q >= 0 && y + q < p.out.height) down += p.weights[q + kMeetRadius];
            }
            strengths[i] = sum > 0 ? fminf(1.0f, 3 * sum / (across * down)) / sum : 0.0f;
          } else if (strengths[i] > 0) {
            float* const here = colours + colour_at(row, column, c);
            const float value = device::load_value(p.dst, n, y, x, chunk + c) - *here;
            *here = fmaf(strengths[i], sum, fmaf(known_share(p, n, y, x), value, *here));
          }
        }
      }
    }
    HM_SYNC();
  }

  {
    int from[kMaxUpChunk];
    std::int64_t to[kMaxUpChunk];
#pragma unroll
    for (int k = 0; k < kMaxUpChunk; ++k) {
      const int x = (lane + 32 * k) / channels, c = lane + 32 * k - x * channels;
      from[k] = k < channels && x0 + x < p.out.width ? colour_at(0, x, c) : -1;
      to[k] = (x0 + x) * p.out.col_stride + (chunk + c) * p.out.channel_stride +
              n * p.out.batch_stride + y0 * p.out.row_stride;
    }
    const int rows = smaller(kTile, p.out.height - y0);
    for (int row = warp; row < rows; row += warps) {
#pragma unroll
      for (int k = 0; k < kMaxUpChunk; ++k) {
        if (from[k] >= 0) {
          store_real(p.out.data, p.out.dtype == DType::kFloat16, to[k] + row * p.out.row_stride,
                     colours[row * pitch + from[k]]);
        }
      }
    }
  }
}

template <bool kMeet>
void upsample_image(UpParams p, cudaStream_t stream) {
  p.channels = std::min(p.out.channels, kMaxUpChunk);
  p.chunks = divide_up(p.out.channels, p.channels);
  p.tiles = {divide_up(p.out.width, kTile), divide_up(p.out.height, kTile)};
  const int threads = std::max(128, 64 * p.channels);
  HM_LAUNCH((pyramid_upsample_kernel<kMeet>),
            grid_of(p.tiles, std::int64_t(p.out.count) * p.chunks), dim3(threads),
            UpLayout<kMeet>::bytes(p.channels), stream, p);
}

UpParams up_params(const ArrayView& image_view, const ArrayView& out_view) {
  UpParams p{};
  p.image = picture_of(image_view, "image");
  p.out = result_of(out_view, "out");
  check_image_shape(p.image, "image", p.out.count, divide_up(p.out.height, 2),
                    divide_up(p.out.width, 2), p.out.channels);
  return p;
}

// ---- pointwise: the first base, a source laid over dst -----------------------------------------

constexpr int kPointThreads = 256;

struct PointParams {
  ImageBatch src, dst, mask, out;
  std::int64_t count;
  LaidPlace laid;
  int sides;       // of a mask, where strips are closed
  int* open;       // whether an item has a zero
  bool only_full;  // leave the items that have one
  int block_rows;  // rows of a block of lay_mask
};

struct Point {
  int n, y, x, c;
};

__device__ __forceinline__ Point point_of(const ImageBatch& image, std::int64_t i) {
  Point point;
  point.c = static_cast<int>(i % image.channels);
  i /= image.channels;
  point.x = static_cast<int>(i % image.width);
  i /= image.width;
  point.y = static_cast<int>(i % image.height);
  point.n = static_cast<int>(i / image.height);
  return point;
}

__global__ void __launch_bounds__(kPointThreads)
    pyramid_copy_paste_kernel(const __grid_constant__ PointParams p) {
  const std::int64_t i = std::int64_t(blockIdx.x) * kPointThreads + threadIdx.x;
  if (i >= p.count) return;
  const Point at = point_of(p.out, i);
  const float m = device::load_mask(p.mask, at.n, at.y, at.x);
  const float dst = device::load_value(p.dst, at.n, at.y, at.x, at.c) * (1.0f - m);
  device::store_value(p.out, at.n, at.y, at.x, at.c,
                      fmaf(device::load_value(p.src, at.n, at.y, at.x, at.c), m, dst));
}

__global__ void __launch_bounds__(kPointThreads)
    pyramid_limit_kernel(const __grid_constant__ PointParams p) {
  const std::int64_t i = std::int64_t(blockIdx.x) * kPointThreads + threadIdx.x;
  if (i >= p.count) return;
  const Point at = point_of(p.out, i);
  const float m = device::load_mask(p.mask, at.n, at.y, at.x);
  if (!(m > 0 && m < 1)) return;
  const float dst = device::load_value(p.dst, at.n, at.y, at.x, at.c);
  const bool whole = p.out.dtype == DType::kUInt8 || p.out.dtype == DType::kUInt16;
  float range = p.out.dtype == DType::kUInt8 ? 255.0f : 65535.0f;
  if (!whole) {
    const float src = device::load_value(p.src, at.n, at.y, at.x, at.c);
    range = fmaxf(fmaxf(1.0f, fabsf(src)), fmaxf(fabsf(dst), fabsf(src - dst)));
  }
  const float value = device::load_value(p.out, at.n, at.y, at.x, at.c);
  float low = dst - m * range, high = dst + m * range;
  if (whole) {
    low = rintf(low);
    high = rintf(high);
  }
  if (value < low) device::store_value(p.out, at.n, at.y, at.x, at.c, low);
  if (value > high) device::store_value(p.out, at.n, at.y, at.x, at.c, high);
}

__global__ void __launch_bounds__(kPointThreads)
    pyramid_hold_kernel(const __grid_constant__ PointParams p) {
  const std::int64_t i = std::int64_t(blockIdx.x) * kPointThreads + threadIdx.x;
  if (i >= p.count) return;
  const Point at = point_of(p.out, i);
  const float share = fminf(device::load_mask(p.mask, at.n, at.y, at.x), 0.999f);
  device::store_value(p.out, at.n, at.y, at.x, 0,
                      share > 0 ? 2.0f + 4.0f * share / (1.0f - share) : 0.0f);
}

__global__ void __launch_bounds__(kPointThreads)
    pyramid_lay_kernel(const __grid_constant__ PointParams p) {
  const std::int64_t i = std::int64_t(blockIdx.x) * kPointThreads + threadIdx.x;
  if (i >= p.count) return;
  const Point at = point_of(p.out, i);
  const int y = at.y - p.laid.top, x = at.x - p.laid.left;
  const int near_y = smaller(larger(y, 0), p.src.height - 1);
  const int near_x = smaller(larger(x, 0), p.src.width - 1);
  float value = device::load_value(p.src, at.n, near_y, near_x, at.c);
  if (near_y != y || near_x != x) {
    value -= device::load_value(p.dst, at.n, near_y + p.laid.top, near_x + p.laid.left, at.c);
    value += device::load_value(p.dst, at.n, at.y, at.x, at.c);
  }
  device::store_value(p.out, at.n, at.y, at.x, at.c, value);
}

// Returns value i of a line of n, or the value where the strip ends that it lies in.
template <typename Read>
__device__ __forceinline__ float closed_value(const Read& read, int i, int n, bool first,
                                              bool last) {
  constexpr int kStrip = 3;
  const float value = read(i);
  if (value > 0) return value;
  for (int side = 0; side < 2; ++side) {
    const int before = side == 0 ? i : n - 1 - i;
    if (!(side == 0 ? first : last) || before >= kStrip) continue;
    for (int j = 0; j <= kStrip && j < n; ++j) {
      const float end = read(side == 0 ? j : n - 1 - j);
      if (!(end > 0)) continue;
      if (j > before) return end;
      break;
    }
  }
  return 0.0f;
}

__global__ void __launch_bounds__(kPointThreads, 4)
    pyramid_lay_mask_kernel(const __grid_constant__ PointParams p) {
  const int first = static_cast<int>(blockIdx.x) * p.block_rows;
  const int end = smaller(first + p.block_rows, p.out.count * p.out.height);
  // A block tells of zeros once, as atomics at one address wait for each other; unless its rows are
  // those of several items.
  const int item = first / p.out.height;
  const bool tells = p.open != nullptr && !p.only_full, once = (end - 1) / p.out.height == item;
  bool zero = false;
  for (int row = first; row < end; ++row) {
    const int n = row / p.out.height, y = row - n * p.out.height;
    if (p.only_full && p.open[n] != 0) continue;
    auto share = [&](int at_y, int at_x) {
      const int from_y = at_y - p.laid.top, from_x = at_x - p.laid.left;
      if (from_y < 0 || from_y >= p.laid.height || from_x < 0 || from_x >= p.laid.width)
        return 0.0f;
      return p.mask.exists() ? device::load_mask(p.mask, n, from_y, from_x) : 1.0f;
    };
    auto closed = [&](int x) {
      return closed_value([&](int at_y) { return share(at_y, x); }, y, p.out.height,
                          p.sides & kTopSide, p.sides & kBottomSide);
    };
    for (int x = static_cast<int>(threadIdx.x); x < p.out.width; x += kPointThreads) {
      const float value =
          closed_value(closed, x, p.out.width, p.sides & kLeftSide, p.sides & kRightSide);
      if (tells && !(value > 0)) {
        zero = true;
        if (!once) atomicOr(p.open + n, 1);
      }
      device::store_value(p.out, n, y, x, 0, value);
    }
  }
  if (tells && once && HM_SYNC_OR(zero) && threadIdx.x == 0) atomicOr(p.open + item, 1);
}

// Returns the blocks for every sample of out.
dim3 points_of(PointParams& p) {
  p.count = std::int64_t(p.out.count) * p.out.height * p.out.width * p.out.channels;
  const std::int64_t blocks = (p.count + kPointThreads - 1) / kPointThreads;
  HM_CHECK(blocks <= kMaxBlocks, "out: ", p.count, " samples, expected fewer than 2^39");
  return dim3(static_cast<unsigned>(blocks));
}

void check_laid(const PointParams& p) {
  HM_CHECK(p.laid.top >= 0 && p.laid.left >= 0 && p.laid.height >= 0 && p.laid.width >= 0 &&
               p.laid.height <= p.out.height - p.laid.top &&
               p.laid.width <= p.out.width - p.laid.left,
           "src: ", p.laid.height, " x ", p.laid.width, " at row ", p.laid.top, ", column ",
           p.laid.left, ", expected inside ", p.out.height, " x ", p.out.width);
}

}  // namespace

void launch_pyramid_downsample(const ArrayView* images, const ArrayView* outs, int count,
                               double smooth_sigma, cudaStream_t stream) {
  constexpr int kSigmaOne = 5, kBox = 1;  // tap pairs of the two usual filters
  HM_CHECK(count >= 1 && count <= kMaxDownsampleImages, "image: ", count, " images, expected 1 to ",
           kMaxDownsampleImages);
  HM_CHECK(smooth_sigma >= 0 && smooth_sigma <= kMaxSmoothSigma, "smooth_sigma: ", smooth_sigma,
           ", expected 0 to ", kMaxSmoothSigma);
  ImageBatch in[kMaxDownsampleImages], out[kMaxDownsampleImages];
  for (int i = 0; i < count; ++i) {
    in[i] = picture_of(images[i], "image");
    out[i] = result_of(outs[i], "out");
    check_image_shape(in[i], "image", in[0].count, in[0].height, in[0].width, in[0].channels);
    check_image_shape(out[i], "out", in[0].count, divide_up(in[0].height, 2),
                      divide_up(in[0].width, 2), in[0].channels);
  }
  DownParams p{};
  p.batch = in[0].count;
  p.height = in[0].height;
  p.width = in[0].width;
  p.out_height = out[0].height;
  p.out_width = out[0].width;
  const std::vector<float> weights = downsample_weights(smooth_sigma);
  p.half = static_cast<int>(weights.size());
  std::copy(weights.begin(), weights.end(), p.weights);

  bool done[kMaxDownsampleImages] = {};
  for (int first = 0; first < count; ++first) {
    if (done[first]) continue;
    int together = 0;
    for (int i = first; i < count; ++i) {
      if (done[i] || in[i].dtype != in[first].dtype || packed(in[i]) != packed(in[first])) continue;
      done[i] = true;
      p.images[together++] = down_image(in[i], out[i]);
    }
    p.channels = packed(in[first]) ? in[first].channels : 1;
    p.chunks = in[first].channels / p.channels;
    const std::int64_t planes = std::int64_t(together) * p.batch * p.chunks;
    if (p.half == kSigmaOne) {
      downsample_usual<kSigmaOne>(p, planes, stream);
    } else if (p.half == kBox) {
      downsample_usual<kBox>(p, planes, stream);
    } else {
      downsample_any(p, planes, stream);
    }
  }
}

void launch_pyramid_downsample_mask(const ArrayView& mask, const ArrayView* known,
                                    const ArrayView& out, const ArrayView* known_out,
                                    cudaStream_t stream) {
  MaskParams p{};
  auto add = [&](int i, const ArrayView& view, const char* name) {
    p.in[i] = image_of(view, name, true);
    check_image_shape(p.in[i], name, p.in[0].count, p.in[0].height, p.in[0].width, 1);
    p.vector[i] = reads_eight(p.in[i]);
    p.scale[i] = 4 * device::mask_range(p.in[i].dtype);
  };
  add(0, mask, "mask");
  const int height = divide_up(p.in[0].height, 2), width = divide_up(p.in[0].width, 2);
  p.out[0] = result_of(out, "out", true);
  check_image_shape(p.out[0], "out", p.in[0].count, height, width, 1);
  p.scale[1] = 4;
  HM_CHECK(known == nullptr || known_out != nullptr, "known_out: missing beside known");
  if (known_out != nullptr) {
    p.out[1] = result_of(*known_out, "known_out", true);
    check_image_shape(p.out[1], "known_out", p.in[0].count, height, width, 1);
  }
  if (known != nullptr) add(1, *known, "known");
  p.tiles = {divide_up(width, 32 * kMaskCols), divide_up(height, kMaskRows)};
  HM_LAUNCH(pyramid_downsample_mask_kernel, grid_of(p.tiles, p.in[0].count), dim3(32, kMaskRows), 0,
            stream, p);
}

void launch_pyramid_upsample(const ArrayView& image, const ArrayView& out, cudaStream_t stream) {
  upsample_image<false>(up_params(image, out), stream);
}

void launch_pyramid_upsample_meet(const ArrayView& image, const ArrayView& dst,
                                  const ArrayView& known, const ArrayView& out, bool from_mask,
                                  cudaStream_t stream) {
  UpParams p = up_params(image, out);
  p.dst = picture_of(dst, "dst");
  p.known = image_of(known, "known", true);
  p.from_mask = from_mask;
  check_image_shape(p.dst, "dst", p.out.count, p.out.height, p.out.width, p.out.channels);
  check_image_shape(p.known, "known", p.out.count, p.out.height, p.out.width, 1);
  const std::vector<float> weights = meet_weights();
  std::copy(weights.begin(), weights.end(), p.weights);
  upsample_image<true>(p, stream);
}

void launch_pyramid_copy_paste(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                               const ArrayView& out, cudaStream_t stream) {
  PointParams p{};
  p.src = picture_of(src, "src");
  p.dst = picture_of(dst, "dst");
  p.mask = image_of(mask, "mask", true);
  p.out = result_of(out, "out");
  check_image_shape(p.src, "src", p.out.count, p.out.height, p.out.width, p.out.channels);
  check_image_shape(p.dst, "dst", p.out.count, p.out.height, p.out.width, p.out.channels);
  check_image_shape(p.mask, "mask", p.out.count, p.out.height, p.out.width, 1);
  const dim3 blocks = points_of(p);
  HM_LAUNCH(pyramid_copy_paste_kernel, blocks, dim3(kPointThreads), 0, stream, p);
}

void launch_pyramid_limit(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                          const ArrayView& out, cudaStream_t stream) {
  HM_CHECK(out.writable, "out: read-only");
  PointParams p{};
  p.src = picture_of(src, "src");
  p.dst = picture_of(dst, "dst");
  p.mask = image_of(mask, "mask", true);
  p.out = picture_of(out, "out");
  check_image_shape(p.src, "src", p.out.count, p.out.height, p.out.width, p.out.channels);
  check_image_shape(p.dst, "dst", p.out.count, p.out.height, p.out.width, p.out.channels);
  check_image_shape(p.mask, "mask", p.out.count, p.out.height, p.out.width, 1);
  const dim3 blocks = points_of(p);
  HM_LAUNCH(pyramid_limit_kernel, blocks, dim3(kPointThreads), 0, stream, p);
}

void launch_pyramid_lay(const ArrayView& src, const ArrayView& dst, int top, int left,
                        const ArrayView& out, cudaStream_t stream) {
  PointParams p{};
  p.src = picture_of(src, "src");
  p.dst = picture_of(dst, "dst");
  p.out = result_of(out, "out");
  p.laid = {top, left, p.src.height, p.src.width};
  check_image_shape(p.src, "src", p.out.count, p.src.height, p.src.width, p.out.channels);
  check_image_shape(p.dst, "dst", p.out.count, p.out.height, p.out.width, p.out.channels);
  check_laid(p);
  const dim3 blocks = points_of(p);
  HM_LAUNCH(pyramid_lay_kernel, blocks, dim3(kPointThreads), 0, stream, p);
}

void launch_pyramid_lay_mask(const ArrayView* mask, const LaidPlace& laid, const ArrayView& out,
                             int sides, int* open, cudaStream_t stream) {
  PointParams p{};
  p.out = result_of(out, "out", true);
  p.laid = laid;
  p.sides = sides;
  p.open = open;
  if (mask != nullptr) {
    p.mask = image_of(*mask, "mask", true);
    check_image_shape(p.mask, "mask", p.out.count, laid.height, laid.width, 1);
  }
  check_laid(p);
  constexpr std::int64_t kMostBlocks = 4096;  // more than any device has at once
  const std::int64_t rows = std::int64_t(p.out.count) * p.out.height;
  HM_CHECK(rows <= kMaxBlocks, "out: ", rows, " rows, expected fewer than 2^31");
  p.block_rows = static_cast<int>((rows + kMostBlocks - 1) / kMostBlocks);
  const dim3 blocks(static_cast<unsigned>((rows + p.block_rows - 1) / p.block_rows));
  if (open != nullptr)
    device::fill_zero(open, sizeof(int) * static_cast<std::size_t>(p.out.count), stream);
  HM_LAUNCH(pyramid_lay_mask_kernel, blocks, dim3(kPointThreads), 0, stream, p);
  if (open == nullptr) return;
  p.sides = 0;
  p.only_full = true;
  HM_LAUNCH(pyramid_lay_mask_kernel, blocks, dim3(kPointThreads), 0, stream, p);
}

void launch_pyramid_hold(const ArrayView& known, const ArrayView& out, cudaStream_t stream) {
  PointParams p{};
  p.mask = image_of(known, "known", true);
  p.out = result_of(out, "out", true);
  check_image_shape(p.mask, "known", p.out.count, p.out.height, p.out.width, 1);
  const dim3 blocks = points_of(p);
  HM_LAUNCH(pyramid_hold_kernel, blocks, dim3(kPointThreads), 0, stream, p);
}

}  // namespace pyharmony
