// Checks the arguments of the kernels, on the CPU and on devices.
#include "ops/color_grid/color_grid.h"

#include "core/checks.h"

namespace pyharmony {
namespace {

PixelBatch batch_of(const ArrayView& a, const char* name, const ColorGridCall& call, int ndim) {
  HM_CHECK(a.ndim == ndim && a.shape[0] == call.images && a.shape[1] == call.height &&
               a.shape[2] == call.width && (ndim == 3 || a.shape[3] == 3),
           name, ": another shape than that of image");
  PixelBatch batch;
  batch.data = a.data;
  batch.dtype = a.dtype;
  for (int i = 0; i < ndim; ++i) batch.stride[i] = a.stride[i];
  return batch;
}

ColorGridPart part_of(const ArrayView& a, const char* name, const ColorGridCall& call, int ndim,
                      std::int64_t rows, DType real) {
  HM_CHECK(a.dtype == real && a.ndim == ndim, name, ": expected ", ndim, " axes of ",
           dtype_name(real));
  HM_CHECK(is_contiguous(a), name, ": expected a contiguous array");
  HM_CHECK(a.shape[0] == rows || a.shape[0] == rows * call.images, name, ": ", a.shape[0] / rows,
           " maps for ", call.images, " images");
  return {a.data, a.shape[0] == rows ? 0 : a.size() / call.images};
}

void* whole(const ArrayView* a, const char* name, std::int64_t size, DType real) {
  if (a == nullptr) return nullptr;
  HM_CHECK(is_contiguous(*a), name, ": expected a contiguous array");
  HM_CHECK(a->writable && a->dtype == real && a->size() == size, name, ": expected ", size,
           " writable ", dtype_name(real));
  return a->data;
}

}  // namespace

ColorGridGradient color_grid_gradient_of(const ColorGridCall& call, const ArrayView& grad,
                                         const ArrayView* image, const ArrayView* mask,
                                         const ArrayView* affine, const ArrayView* curves,
                                         const ArrayView* grid) {
  const DType dtype = call.image.dtype;
  HM_CHECK(dtype == DType::kFloat16 || dtype == DType::kFloat32 || dtype == DType::kFloat64,
           "image: ", dtype_name(dtype), " has no gradient");
  HM_CHECK(grad.dtype == dtype, "grad: ", dtype_name(grad.dtype), ", expected that of image");
  const DType real = dtype == DType::kFloat64 ? dtype : DType::kFloat32;
  ColorGridGradient gradient;
  gradient.grad = batch_of(grad, "grad", call, 4);
  if (image != nullptr) {
    HM_CHECK(image->writable && image->dtype == dtype, "dimage: expected an array like image");
    gradient.image = batch_of(*image, "dimage", call, 4);
  }
  HM_CHECK((affine == nullptr || call.affine.data != nullptr) &&
               (curves == nullptr || call.curves.data != nullptr) &&
               (grid == nullptr || call.grid.data != nullptr),
           "a gradient of a part that the map is without");
  gradient.mask = whole(mask, "dmask", call.images * call.height * call.width, real);
  gradient.affine = whole(affine, "daffine", call.images * 12, real);
  gradient.curves = whole(curves, "dcurves", call.images * 9 * call.knots, real);
  gradient.grid = whole(grid, "dgrid", call.images * call.grid_size(), real);
  return gradient;
}

ColorGridCall color_grid_call(const ArrayView& image, const ArrayView* mask,
                              const ArrayView* affine, const ArrayView* curves,
                              const ArrayView* grid, std::int64_t grid_rows,
                              const ColorGridFrame& frame, const ArrayView* out) {
  HM_CHECK(image.ndim == 4 && image.shape[3] == 3 && image.size() > 0,
           "image: expected [N, H, W, 3]");
  ColorGridCall call;
  call.images = image.shape[0];
  call.height = image.shape[1];
  call.width = image.shape[2];
  call.image = batch_of(image, "image", call, 4);
  if (mask != nullptr) call.mask = batch_of(*mask, "mask", call, 3);
  if (out != nullptr) {
    HM_CHECK(out->writable && out->dtype == image.dtype,
             "out: expected a writable array like image");
    call.out = batch_of(*out, "out", call, 4);
  }
  HM_CHECK(frame.x0 >= 0 && frame.y0 >= 0 && frame.x0 + call.width <= frame.width &&
               frame.y0 + call.height <= frame.height && frame.width < (1 << 24) &&
               frame.height < (1 << 24),
           "frame: the image does not lie in it");
  call.x0 = frame.x0;
  call.y0 = frame.y0;
  call.down.pixels = frame.height;
  call.across.pixels = frame.width;
  const DType real = image.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  if (affine != nullptr) {
    call.affine = part_of(*affine, "affine", call, 3, 1, real);
    HM_CHECK(affine->shape[1] == 3 && affine->shape[2] == 4, "affine: expected [M, 3, 4]");
  }
  if (curves != nullptr) {
    call.curves = part_of(*curves, "curves", call, 3, 1, real);
    call.knots = curves->shape[2];
    HM_CHECK(curves->shape[1] == 9 && call.knots >= 2 && call.knots <= kColorGridKnots,
             "curves: expected [M, 9, K], K from 2 to ", kColorGridKnots);
  }
  if (grid != nullptr) {
    HM_CHECK(grid_rows >= 1 && grid_rows <= kColorGridCells, "grid: ", grid_rows, " rows");
    call.grid = part_of(*grid, "grid", call, 4, grid_rows, real);
    call.down.cells = grid_rows;
    call.across.cells = grid->shape[1];
    call.depth = grid->shape[2];
    HM_CHECK(grid->shape[3] == 12 && call.across.cells >= 1 &&
                 call.across.cells <= kColorGridCells && call.depth >= 1 &&
                 call.depth <= kColorGridDepth,
             "grid: expected [M * Gh, Gw, D, 12] of at most ", kColorGridCells, " cells and depth ",
             kColorGridDepth);
  }
  return call;
}

}  // namespace pyharmony
