// Rows of images as planes of reals. Included by SIMD sources only.
#pragma once

#include <cstdint>

#include "core/array.h"

namespace pyharmony::HM_SIMD_NS {

// Reads n values of row y of a plane from column x on, as read_plane of dispatch.h does.
void read_plane(const ImageView& plane, std::int64_t y, std::int64_t x, std::int64_t n, float* out);
void read_plane(const ImageView& plane, std::int64_t y, std::int64_t x, std::int64_t n,
                double* out);
void read_plane(const ImageView& plane, std::int64_t y, std::int64_t x, std::int64_t n,
                long double* out);

// Reads columns [x0, x1) of row y of every channel in the image's own unit: out[k][x - x0].
void read_channels(const ImageView& image, std::int64_t y, std::int64_t x0, std::int64_t x1,
                   float* const* out);
void read_channels(const ImageView& image, std::int64_t y, std::int64_t x0, std::int64_t x1,
                   double* const* out);
void read_channels(const ImageView& image, std::int64_t y, std::int64_t x0, std::int64_t x1,
                   long double* const* out);

}  // namespace pyharmony::HM_SIMD_NS
