// Copies between layouts of images.
#pragma once

#include <driver_types.h>

#include "core/array.h"

namespace pyharmony::device {

// Copies [N, H, W, C] to the same shape; any strides and dtypes but float64. Values are converted
// as results are. Memory without gaps is copied as it is.
void launch_copy(const ArrayView& from, const ArrayView& to, cudaStream_t stream);

// The kernel's address tells whether a device has code: all files of kernels are built alike.
const void* copy_kernel_address();

}  // namespace pyharmony::device
