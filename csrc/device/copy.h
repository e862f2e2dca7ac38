// Copies between layouts of images.
#pragma once

#include <driver_types.h>

#include "core/array.h"

namespace pyharmony::device {

// from and to [N, H, W, C] of one shape, any strides and dtypes but float64; values are converted
// as results are. Memory without gaps is copied as it is.
void launch_copy(const ArrayView& from, const ArrayView& to, cudaStream_t stream);

// Of its kernel, which tells whether a device has code: each file of kernels is compiled alike.
const void* copy_kernel_address();

}  // namespace pyharmony::device
