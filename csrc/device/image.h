// Images in the memory of a device, in the form that kernels read and write.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "device/launch.h"

#if HM_KERNELS
#include <cuda_fp16.h>
#endif

namespace pyharmony::device {

// A batch of images [N, H, W, C], or of planes [N, H, W] with one channel; strides are in elements.
// A batch stride of zero repeats one image for all.
struct ImageBatch {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int count = 0, height = 0, width = 0, channels = 0;
  std::int64_t batch_stride = 0, row_stride = 0, col_stride = 0, channel_stride = 0;

  HM_HOST_DEVICE bool exists() const { return data != nullptr; }
};

// Checks a view [N, H, W, C], or planes [N, H, W]; `name` is for the message about a wrong one.
inline ImageBatch as_image_batch(const ArrayView& a, const char* name, bool plane = false) {
  const int dims = plane ? 3 : 4;
  HM_CHECK(a.ndim == dims, name, ": ", a.ndim, " dimensions, expected ",
           plane ? "[N, H, W]" : "[N, H, W, C]");
  for (int i = 0; i < dims; ++i) {
    HM_CHECK(a.shape[i] >= 1 && a.shape[i] < (std::int64_t(1) << 31), name, ": size ", a.shape[i],
             " of dimension ", i, ", expected 1 to 2^31 - 1");
  }
  ImageBatch image;
  image.data = a.data;
  image.dtype = a.dtype;
  image.count = static_cast<int>(a.shape[0]);
  image.height = static_cast<int>(a.shape[1]);
  image.width = static_cast<int>(a.shape[2]);
  image.channels = plane ? 1 : static_cast<int>(a.shape[3]);
  image.batch_stride = a.stride[0];
  image.row_stride = a.stride[1];
  image.col_stride = a.stride[2];
  image.channel_stride = plane ? 1 : a.stride[3];
  return image;
}

inline void check_image_shape(const ImageBatch& image, const char* name, int count, int height,
                              int width, int channels) {
  HM_CHECK(image.count == count && image.height == height && image.width == width &&
               image.channels == channels,
           name, ": shape [", image.count, ", ", image.height, ", ", image.width, ", ",
           image.channels, "], expected [", count, ", ", height, ", ", width, ", ", channels, "]");
}

#if HM_KERNELS

__device__ __forceinline__ std::int64_t offset(const ImageBatch& image, int n, int y, int x,
                                               int c = 0) {
  return n * image.batch_stride + y * image.row_stride + x * image.col_stride +
         c * image.channel_stride;
}

// Returns the value at an offset, in the image's native unit (uint8: 0 to 255; bool: 0 or 1).
__device__ __forceinline__ float load_value(const void* data, DType dtype, std::int64_t at) {
  switch (dtype) {
    case DType::kBool: return static_cast<const std::uint8_t*>(data)[at] != 0 ? 1.0f : 0.0f;
    case DType::kUInt8: return static_cast<float>(static_cast<const std::uint8_t*>(data)[at]);
    case DType::kUInt16: return static_cast<float>(static_cast<const std::uint16_t*>(data)[at]);
    case DType::kFloat16: return __half2float(static_cast<const __half*>(data)[at]);
    case DType::kFloat32: return static_cast<const float*>(data)[at];
    case DType::kFloat64: return static_cast<float>(static_cast<const double*>(data)[at]);
    case DType::kBFloat16: break;  // never in images
  }
  return 0.0f;
}

__device__ __forceinline__ float load_value(const ImageBatch& image, int n, int y, int x,
                                            int c = 0) {
  return load_value(image.data, image.dtype, offset(image, n, y, x, c));
}

// Returns the value that stands for 1.0 in a mask of this type.
__host__ __device__ __forceinline__ float mask_range(DType dtype) {
  return dtype == DType::kUInt8 ? 255.0f : dtype == DType::kUInt16 ? 65535.0f : 1.0f;
}

// Returns a mask's value in [0, 1]. A value above zero stays above zero, even when it is halved.
__device__ __forceinline__ float load_mask(const ImageBatch& mask, int n, int y, int x) {
  const float value = load_value(mask, n, y, x);
  if (mask.dtype == DType::kFloat64 || mask.dtype == DType::kFloat32) {
    constexpr float kLeast = 1.17549435e-38f;
    const bool inside = mask.dtype == DType::kFloat64
                            ? static_cast<const double*>(mask.data)[offset(mask, n, y, x)] > 0
                            : value > 0;
    return inside && value < kLeast ? kLeast : value;
  }
  if (mask.dtype != DType::kUInt8 && mask.dtype != DType::kUInt16) return value;
  // The rounded quotient of every such integer, without the call that a division is.
  const float range = mask_range(mask.dtype);
  const float inverse = mask.dtype == DType::kUInt8 ? 1.0f / 255.0f : 1.0f / 65535.0f;
  const float quotient = value * inverse;
  return fmaf(fmaf(-quotient, range, value), inverse, quotient);
}

// Stores: integers rounded half to even and held in the type's range; floats never clipped.
__device__ __forceinline__ void store_value(void* data, DType dtype, std::int64_t at, float value) {
  switch (dtype) {
    case DType::kBool:
    case DType::kBFloat16: break;
    case DType::kUInt8:
      static_cast<std::uint8_t*>(data)[at] =
          static_cast<std::uint8_t>(rintf(fminf(fmaxf(value, 0.0f), 255.0f)));
      break;
    case DType::kUInt16:
      static_cast<std::uint16_t*>(data)[at] =
          static_cast<std::uint16_t>(rintf(fminf(fmaxf(value, 0.0f), 65535.0f)));
      break;
    case DType::kFloat16: static_cast<__half*>(data)[at] = __float2half_rn(value); break;
    case DType::kFloat32: static_cast<float*>(data)[at] = value; break;
    case DType::kFloat64: static_cast<double*>(data)[at] = value; break;
  }
}

__device__ __forceinline__ void store_value(const ImageBatch& image, int n, int y, int x, int c,
                                            float value) {
  store_value(image.data, image.dtype, offset(image, n, y, x, c), value);
}

#endif

// Mirrors an index that is at most n beyond either border, half-sample.
HM_HOST_DEVICE inline int mirror_once(int i, int n) {
  if (i < 0) i = -1 - i;
  return i < n ? i : 2 * n - 1 - i;
}

// Mirrors any index, half-sample.
HM_HOST_DEVICE inline int mirror(int i, int n) {
  const int period = 2 * n;
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - 1 - i;
}

}  // namespace pyharmony::device
