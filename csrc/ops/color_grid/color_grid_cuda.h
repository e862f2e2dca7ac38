// color_grid.h on a device. Arrays are in the memory of the current device, images of any image
// dtype but float64. A launcher allocates nothing, waits for nothing and can be captured. Results
// have the same bits every time, also for tiles of an image with their place in it.
#pragma once

#include <driver_types.h>

#include <cstddef>

#include "ops/color_grid/color_grid.h"

namespace pyharmony {

void launch_color_grid(const ColorGridCall& call, cudaStream_t stream);

// Returns bytes of workspace for a call's gradients; those of image and mask alone need none.
std::size_t color_grid_gradient_workspace(const ColorGridCall& call);
void launch_color_grid_gradient(const ColorGridCall& call, const ColorGridGradient& gradient,
                                void* workspace, std::size_t workspace_bytes, cudaStream_t stream);

}  // namespace pyharmony
