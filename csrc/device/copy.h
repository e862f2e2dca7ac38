// Copies between layouts of images.
#pragma once

#include <driver_types.h>

#include <cstddef>

#include "core/array.h"

namespace pyharmony::device {

// Copies [N, H, W, C] to the same shape; any strides and dtypes but float64. Values are converted
// as results are. Memory without gaps is copied as it is.
void launch_copy(const ArrayView& from, const ArrayView& to, cudaStream_t stream);

// Writes bytes that the launches bring along: in a graph they are written at each replay, and
// nothing of the host has to stay. For some hundred kilobytes, a multiple of 4 bytes.
void launch_write(void* to, const void* host, std::size_t bytes, cudaStream_t stream);

// The kernel's address tells whether a device has code: all files of kernels are built alike.
const void* copy_kernel_address();

}  // namespace pyharmony::device
