// The streams of the emulator, which tests make and destroy.
#pragma once

#include <driver_types.h>

namespace pyharmony::emulator {

// Returns a new stream; its handle is never used again for another one.
cudaStream_t create_stream();
void destroy_stream(cudaStream_t stream);
// Throws DeviceFailure for a stream that was destroyed. Handles that were never made are valid.
void check_stream(cudaStream_t stream);

}  // namespace pyharmony::emulator
