// Checks the arguments and chooses the instruction set.
#include "ops/partial_conv/partial_conv.h"

#include "core/checks.h"

namespace pyharmony {
namespace {

using partial_conv::Layout;
using partial_conv::layout_of;

DType real_of(DType tensor) {
  return tensor == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}

DType product_of(DType tensor) { return tensor == DType::kFloat16 ? DType::kFloat32 : tensor; }

void check_dtype(const ArrayView& a, DType expected, const char* name) {
  HM_CHECK(a.dtype == expected, name, ": dtype ", dtype_name(a.dtype), ", expected ",
           dtype_name(expected));
}

void check_matrix(const ArrayView& a, std::int64_t rows, std::int64_t columns, DType tensor,
                  const char* name) {
  HM_CHECK(a.ndim == 2 && a.shape[0] == rows && a.shape[1] == columns &&
               (columns <= 1 || a.stride[1] == 1 || rows == 0) &&
               (rows <= 1 || a.stride[0] == columns),
           name, ": expected a contiguous matrix [", rows, ", ", columns, "]");
  check_dtype(a, product_of(tensor), name);
}

void check_rows(const std::int32_t* rows, std::int64_t count, std::int64_t positions) {
  // Rows are in order, so the ends bound all of them.
  HM_CHECK(count == 0 || (rows[0] >= 0 && rows[count - 1] < positions && count <= positions),
           "rows: not below ", positions);
}

void check_flat(const ArrayView* a, std::int64_t size, DType expected, const char* name) {
  if (a == nullptr) return;
  HM_CHECK(a->size() == size, name, ": ", a->size(), " values, expected ", size);
  HM_CHECK(is_contiguous(*a), name, ": not contiguous");
  check_dtype(*a, expected, name);
}

void check_plane_mask(const ArrayView* mask, const ArrayView& x) {
  if (mask == nullptr) return;
  HM_CHECK(mask->ndim == 4 && mask->shape[0] == x.shape[0] && mask->shape[1] == 1 &&
               mask->shape[2] == x.shape[2] && mask->shape[3] == x.shape[3],
           "mask: expected one plane for each image of x");
  if (mask->dtype != DType::kBool) check_dtype(*mask, real_of(x.dtype), "mask");
}

void check_windows(const ConvWindow& window, const ArrayView& x, std::int64_t out_height,
                   std::int64_t out_width) {
  HM_CHECK(x.ndim == 4 && window.out_size(0, x.shape[2]) == out_height &&
               window.out_size(1, x.shape[3]) == out_width,
           "window: does not make [", out_height, ", ", out_width, "] of x");
}

}  // namespace

Layout partial_conv::layout_of(const ArrayView& a, const char* name) {
  HM_CHECK(a.ndim == 4, name, ": ", a.ndim, " dimensions, expected [N, C, H, W]");
  const std::int64_t n = a.shape[0], c = a.shape[1], h = a.shape[2], w = a.shape[3];
  if (w == 1 || a.stride[3] == 1) {
    if (h == 1 || a.stride[2] == w) {
      // With one position, channels beside each other are the faster reading of it.
      const bool single = h * w == 1 && (c == 1 || a.stride[1] == 1);
      if (!single) return {false, 1, a.stride[1], a.stride[0]};
    }
  }
  const std::int64_t step = w > 1 ? a.stride[3] : h > 1 ? a.stride[2] : n > 1 ? a.stride[0] : c;
  HM_CHECK((c == 1 || a.stride[1] == 1) && (h == 1 || a.stride[2] == w * step) &&
               (n == 1 || a.stride[0] == h * w * step),
           name, ": neither channels-last nor planar");
  return {true, step, 1, h * w * step};
}

void partial_conv_gather(const GatherParams& p) {
  check_windows(p.window, p.x, p.out_height, p.out_width);
  check_plane_mask(p.mask, p.x);
  check_rows(p.rows, p.count, p.x.shape[0] * p.out_height * p.out_width);
  check_matrix(p.columns, p.count, p.window.taps() * p.x.shape[1], p.x.dtype, "columns");
  HM_SIMD_CALL(partial_conv_gather_kernel, p);
}

void partial_conv_fold(const FoldParams& p) {
  check_windows(p.window, p.dx, p.out_height, p.out_width);
  check_plane_mask(p.mask, p.dx);
  check_matrix(p.columns, p.columns.shape[0], p.window.taps() * p.dx.shape[1], p.dx.dtype,
               "columns");
  HM_SIMD_CALL(partial_conv_fold_kernel, p);
}

void partial_conv_epilogue(const EpilogueParams& p) {
  HM_CHECK(p.y.ndim == 4, "y: expected [N, C, H, W]");
  const DType real = real_of(p.y.dtype);
  const std::int64_t positions = p.y.shape[0] * p.y.shape[2] * p.y.shape[3];
  check_flat(p.ratio, positions, real, "ratio");
  check_flat(p.cover, positions, real, "cover");
  check_flat(p.bias, p.y.shape[1], real, "bias");
  if (p.rows != nullptr) {
    HM_CHECK(p.acc != nullptr && p.ratio != nullptr, "acc, ratio: missing beside rows");
    check_matrix(*p.acc, p.count, p.y.shape[1], p.y.dtype, "acc");
    check_rows(p.rows, p.count, positions);
  }
  const partial_conv::Epilogue epilogue{p, layout_of(p.y, "y")};
  HM_SIMD_CALL(partial_conv_epilogue_kernel, epilogue);
}

void partial_conv_epilogue_grad(const EpilogueGradParams& p) {
  const Layout layout = layout_of(p.grad, "grad");
  const DType real = real_of(p.grad.dtype);
  const std::int64_t positions = p.grad.shape[0] * p.grad.shape[2] * p.grad.shape[3];
  check_flat(p.ratio, positions, real, "ratio");
  check_flat(p.cover, positions, real, "cover");
  check_flat(p.bias_grad, p.grad.shape[1], real, "bias_grad");
  HM_CHECK(p.y != nullptr || p.negative_slope == 1, "y: missing beside an activation");
  const auto same = [&](const ArrayView& a, const char* name) {
    const Layout other = layout_of(a, name);
    bool equal = a.dtype == p.grad.dtype && other.channels_last == layout.channels_last;
    for (int i = 0; i < 4; ++i) {
      equal &= a.shape[i] == p.grad.shape[i];
      equal &= a.shape[i] == 1 || a.stride[i] == p.grad.stride[i];
    }
    HM_CHECK(equal, name, ": not of the shape, dtype and layout of grad");
  };
  if (p.y != nullptr) same(*p.y, "y");
  if (p.rows != nullptr) {
    HM_CHECK(p.ratio != nullptr, "ratio: missing beside rows");
    check_matrix(p.h, p.count, p.grad.shape[1], p.grad.dtype, "h");
    check_rows(p.rows, p.count, positions);
  } else {
    same(p.h, "h");
  }
  const partial_conv::EpilogueGrad epilogue{p, layout};
  HM_SIMD_CALL(partial_conv_epilogue_grad_kernel, epilogue);
}

void partial_conv_premask(const ArrayView& x, const ArrayView& mask, const ArrayView& out) {
  const Layout layout = layout_of(x, "x");
  const Layout other = layout_of(out, "out");
  HM_CHECK(x.dtype == out.dtype && layout.channels_last == other.channels_last,
           "out: not of the dtype and layout of x");
  HM_CHECK(mask.ndim == 4 && (mask.shape[1] == 1 || mask.shape[1] == x.shape[1]),
           "mask: one plane, or one for each channel");
  for (int i = 0; i < 4; ++i) {
    HM_CHECK(x.shape[i] == out.shape[i] && (i == 1 || x.shape[i] == mask.shape[i]),
             "out, mask: not of the shape of x");
    HM_CHECK(x.shape[i] == 1 || x.stride[i] == out.stride[i], "out: not of the strides of x");
  }
  if (mask.dtype != DType::kBool) check_dtype(mask, real_of(x.dtype), "mask");
  const partial_conv::Premask premask{&x, &mask, &out, layout};
  HM_SIMD_CALL(partial_conv_premask_kernel, premask);
}

}  // namespace pyharmony
