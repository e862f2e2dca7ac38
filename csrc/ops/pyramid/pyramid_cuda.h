// The resampling of pyramid.h on a device.
//
// Images are [N, H, W, C], masks and planes [N, H, W], in the memory of the current device; any
// strides, a batch stride of zero repeats one for all. Results are float32 or float16 in the unit
// of their inputs. A launcher allocates nothing, waits for nothing and can be captured; results
// have the same bits every time.
#pragma once

#include <driver_types.h>

#include "core/array.h"

namespace pyharmony {

constexpr int kMaxDownsampleImages = 4;

// Halves images [N, H, W, C] of any image dtype to outs [N, ceil(H / 2), ceil(W / 2), C]; count
// images of one shape, in one launch where they have one dtype and are interleaved alike.
void launch_pyramid_downsample(const ArrayView* images, const ArrayView* outs, int count,
                               double smooth_sigma, cudaStream_t stream);

// Halves mask [N, H, W] of any mask dtype to out [N, ceil(H / 2), ceil(W / 2)], the share inside.
// known_out, if any: the mean of known [N, H, W] or, if that is null, of mask == 0.
void launch_pyramid_downsample_mask(const ArrayView& mask, const ArrayView* known,
                                    const ArrayView& out, const ArrayView* known_out,
                                    cudaStream_t stream);

// Doubles image [N, ceil(H / 2), ceil(W / 2), C] of any image dtype to out [N, H, W, C].
void launch_pyramid_upsample(const ArrayView& image, const ArrayView& out, cudaStream_t stream);

// Doubles an image and makes the colours meet dst [N, H, W, C] near the contour of known [N, H, W]
// (`meet_known` of pyharmony/reference/pyramid.py). known is the known share or, if from_mask, a
// mask that is zero where a pixel is known.
void launch_pyramid_upsample_meet(const ArrayView& image, const ArrayView& dst,
                                  const ArrayView& known, const ArrayView& out, bool from_mask,
                                  cudaStream_t stream);

// Computes out = mask * src + (1 - mask) * dst, all [N, H, W, C] but mask [N, H, W].
void launch_pyramid_copy_paste(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                               const ArrayView& out, cudaStream_t stream);

// Where mask [N, H, W] is above 0 and below 1, brings out to at most mask * range from dst, as
// `limit_change` of core/limit.h does; src, dst, out [N, H, W, C] of any image dtypes.
void launch_pyramid_limit(const ArrayView& src, const ArrayView& dst, const ArrayView& mask,
                          const ArrayView& out, cudaStream_t stream);

// The place of a source in dst: its first pixel and its size.
struct LaidPlace {
  int top, left, height, width;
};

// Lays src [N, h, w, C] over dst [N, H, W, C] with its first pixel at (top, left), inside, and
// writes out [N, H, W, C]. Around it, out is dst plus the difference of the two at the nearest
// pixel of src.
void launch_pyramid_lay(const ArrayView& src, const ArrayView& dst, int top, int left,
                        const ArrayView& out, cudaStream_t stream);

// The sides of a part of an image that lie on the image's border.
enum Sides : int { kTopSide = 1, kBottomSide = 2, kLeftSide = 4, kRightSide = 8 };

// Lays its mask [N, h, w], null for ones, into out [N, H, W], 0 around it. A place may be empty.
// At `sides` of out, strips of at most three zeros before the mask take its value
// (pyharmony/_images/region.py). open int32[N], if any: items that this leaves without a zero get
// the mask as it is.
void launch_pyramid_lay_mask(const ArrayView* mask, const LaidPlace& laid, const ArrayView& out,
                             int sides, int* open, cudaStream_t stream);

// Computes weights that hold the membrane of a coarse level near dst: 2 + 4 known / (1 - known),
// known held to 0.999; 0 where nothing is known. known, out [N, H, W].
void launch_pyramid_hold(const ArrayView& known, const ArrayView& out, cudaStream_t stream);

}  // namespace pyharmony
