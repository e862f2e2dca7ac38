// Maps of colours as a list of stages, and the runs of pixels that they work on.
//
// Pixels of a row come in runs of at most kRun, in three planes of floats where 1 is white, and
// each stage goes over a whole run. Formulae: pyharmony/reference/color_map.py.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/array.h"
#include "core/simd.h"

namespace pyharmony {

constexpr std::int64_t kRun = 512;

enum class StageKind { kAffine, kLog, kExp, kCurves, kLut, kLight };

struct Stage {
  StageKind kind;
  // Affine: [3, 4]. Curves: [3, 2 + n], for each channel the two ends of the table, then the table,
  // or [1, 2 + n] for all channels. Lut: [n, n, n, 4], red slowest, the last of four unused. Light:
  // [6].
  const float* values = nullptr;
  std::int64_t n = 0;
  std::int64_t channel_stride = 0;  // for curves
};

// Stages by name; each view is contiguous float32 and outlives the stages.
using NamedStages = std::vector<std::pair<std::string, ArrayView>>;

// Checks names and shapes.
std::vector<Stage> make_stages(const NamedStages& given);

// A run of pixels as planes, and the weight of each pixel in [0, 1].
struct alignas(64) Run {
  float value[3][kRun];
  float weight[kRun];
};

// The place of a run in an image.
struct RunPlace {
  std::int64_t y, x, n, height, width;
};

// Loads pixels from image [H, W, 3] of any image dtype, divided by its range.
HM_SIMD_DECLARE(void load_pixels(const ImageView& image, const RunPlace& at, Run& run))
// Loads weights from mask [H, W] of any dtype, divided by its range; ones if mask.data is null.
HM_SIMD_DECLARE(void load_weights(const ImageView& mask, const RunPlace& at, Run& run))
// Shortens a run to the part between its first and its last pixel with mask above zero; returns
// false where there is none.
HM_SIMD_DECLARE(bool trim(const ImageView& mask, RunPlace& at))
// Maps run.value. The values behind the n pixels, up to a multiple of the vectors' length, are
// mapped too and mean nothing.
HM_SIMD_DECLARE(void run_stages(const std::vector<Stage>& stages, const RunPlace& at, Run& run))

// Calls fn(place) on the runs of the pixels [begin, end) in reading order.
template <typename Fn>
void for_each_run(std::int64_t height, std::int64_t width, std::int64_t begin, std::int64_t end,
                  Fn&& fn) {
  while (begin < end) {
    const std::int64_t y = begin / width, x = begin % width;
    std::int64_t n = width - x;
    if (n > kRun) n = kRun;
    if (n > end - begin) n = end - begin;
    fn(RunPlace{y, x, n, height, width});
    begin += n;
  }
}

}  // namespace pyharmony
