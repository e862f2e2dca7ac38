#include "ops/similarity/similarity.h"

#include "core/checks.h"

namespace pyharmony {
namespace {

constexpr double kLevels = 255;

SimilarityParams pair(const ArrayView& output, const ArrayView& target) {
  HM_CHECK(output.dtype == target.dtype, "target: dtype ", dtype_name(target.dtype), ", expected ",
           dtype_name(output.dtype));
  const SimilarityParams p{as_image(output, "output"), as_image(target, "target"),
                           kLevels / dtype_range(output.dtype)};
  check_same_image_shape(p.output, "output", p.target, "target");
  return p;
}

void check_doubles(const ImageView& image, const char* name, std::int64_t height,
                   std::int64_t width) {
  HM_CHECK(image.dtype == DType::kFloat64, name, ": dtype ", dtype_name(image.dtype),
           ", expected float64");
  check_image_shape(image, name, height, width, 1);
}

}  // namespace

void squared_errors(const ArrayView& output, const ArrayView& target, const ArrayView* weights,
                    const ArrayView& out) {
  const SimilarityParams p = pair(output, target);
  const ImageView sums = as_image(out, "out");
  check_doubles(sums, "out", p.output.height, 2);
  HM_CHECK(out.writable && sums.col_stride == 1 && sums.row_stride == 2,
           "out: expected a writable array in C order");
  ImageView plane;
  if (weights != nullptr) {
    plane = as_image(*weights, "weights");
    check_doubles(plane, "weights", p.output.height, p.output.width);
  }
  HM_SIMD_CALL(squared_errors_kernel, p, plane, sums.at<double>(0, 0, 0));
}

void similarity(const ArrayView& output, const ArrayView& target, const ArrayView& out) {
  const SimilarityParams p = pair(output, target);
  const std::int64_t least = 2 * kSimilarityRadius + 1;
  HM_CHECK(p.output.height >= least && p.output.width >= least, "output: ", p.output.width, " x ",
           p.output.height, " pixels, expected sides of at least ", least);
  const ImageView map = as_image(out, "out");
  check_doubles(map, "out", p.output.height, p.output.width);
  HM_CHECK(out.writable && map.col_stride == 1, "out: expected a writable array in C order");
  HM_SIMD_CALL(similarity_kernel, p, map);
}

}  // namespace pyharmony
