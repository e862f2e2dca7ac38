// Computes the residual b - A x in float64: the certificate of every method.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/buffer.h"
#include "core/parallel.h"
#include "ops/gaussian_poisson/rows.h"

namespace pyharmony::HM_SIMD_NS {
namespace {

using gaussian_poisson::Problem;
using gaussian_poisson::ResidualParams;

constexpr std::int64_t kBlockRows = 16;

class BlockResidual {
 public:
  explicit BlockResidual(const ResidualParams& params)
      : params_(params),
        problem_(params.problem),
        height_(problem_.height()),
        width_(problem_.width()),
        channels_(problem_.channels()),
        count_(width_ * channels_),
        src_(width_, channels_),
        dst_(width_, channels_),
        mask_(width_, channels_),
        x_(width_, channels_),
        weight_(width_, channels_),
        base_(static_cast<std::size_t>(count_)),
        horizontal_(static_cast<std::size_t>(count_ + channels_)),
        up_(static_cast<std::size_t>(count_)),
        down_(static_cast<std::size_t>(count_)),
        field_(static_cast<std::size_t>(count_)),
        residual_(static_cast<std::size_t>(count_)) {}

  // Returns the largest residual of rows [y0, y1).
  double run(std::int64_t y0, std::int64_t y1) {
    for (int i = 0; i < 3; ++i) load(y0 - 1 + i, i);
    if (!has_field()) vertical_edges(0, up_);
    double largest = 0;
    for (std::int64_t y = y0; y < y1; ++y) {
      if (y > y0) {
        for (RowWindow<double>* window : {&src_, &dst_, &mask_, &x_, &weight_}) window->advance();
        load(y + 1, 2);
        up_.swap(down_);
      }
      if (has_field()) {
        load_row(params_.field, y, field_.data());
      } else {
        vertical_edges(1, down_);
        form_field();
      }
      load_row(problem_.base, y, base_.data());
      residual_row();
      for (std::int64_t i = 0; i < count_; ++i) {
        const double r = std::abs(residual_[i]);
        if (r > largest || r != r) largest = r;
      }
      if (params_.out.data != nullptr) store(y);
    }
    return largest;
  }

 private:
  bool has_field() const { return params_.field.data != nullptr; }

  void load(std::int64_t y, int slot) {
    y = std::clamp<std::int64_t>(y, 0, height_ - 1);
    load_row(problem_.src, y, src_.row[slot]);
    load_row(problem_.dst, y, dst_.row[slot]);
    load_row(params_.x, y, x_.row[slot]);
    load_mask_row(problem_.mask, y, channels_, mask_.row[slot]);
    if (problem_.preserve_background) {
      const double* mask = mask_.row[slot];
      const double* dst = dst_.row[slot];
      double* x = x_.row[slot];
      for (std::int64_t i = 0; i < count_; ++i) x[i] = mask[i] > 0 ? x[i] : dst[i];
    }
    if (problem_.has_map()) {
      load_mask_row(problem_.weight_map, y, channels_, weight_.row[slot]);
      mirror_row(weight_.row[slot], width_, channels_);
    }
    for (RowWindow<double>* window : {&src_, &dst_, &mask_, &x_}) {
      mirror_row(window->row[slot], width_, channels_);
    }
  }

  void vertical_edges(int upper, Buffer<double>& out) {
    edge_row(params_.gradients, src_.row[upper], src_.row[upper + 1], dst_.row[upper],
             dst_.row[upper + 1], mask_.row[upper], mask_.row[upper + 1], width_, channels_,
             out.data());
  }

  void form_field() {
    const std::int64_t c = channels_;
    const double* s = src_.row[1] - c;
    const double* d = dst_.row[1] - c;
    const double* m = mask_.row[1] - c;
    edge_row(params_.gradients, s, s + c, d, d + c, m, m + c, width_ + 1, c, horizontal_.data());

    const double* __restrict h = horizontal_.data();
    const double* __restrict up = up_.data();
    const double* __restrict down = down_.data();
    double* __restrict field = field_.data();
    for (std::int64_t i = 0; i < count_; ++i) field[i] = h[i] - h[i + c] + up[i] - down[i];
  }

  void residual_row() {
    const std::int64_t c = channels_;
    const double* __restrict field = field_.data();
    const double* __restrict base = base_.data();
    const double* __restrict x0 = x_.row[0];
    const double* __restrict x1 = x_.row[1];
    const double* __restrict x2 = x_.row[2];
    double* __restrict r = residual_.data();
    const double side = problem_.w0 * problem_.w1, corner = problem_.w1 * problem_.w1;
    const double sum = (problem_.w0 + 2 * problem_.w1) * (problem_.w0 + 2 * problem_.w1);
    if (problem_.has_map()) {
      const double* __restrict c0 = weight_.row[0];
      const double* __restrict c1 = weight_.row[1];
      const double* __restrict c2 = weight_.row[2];
      for (std::int64_t i = 0; i < count_; ++i) {
        const double x = x1[i], w = c1[i];
        auto link = [&](double neighbour, double weight, double g) {
          return std::min(w, weight) * g * (x - neighbour);
        };
        const double laplace = 4 * x - x0[i] - x2[i] - x1[i - c] - x1[i + c];
        const double gauss =
            link(x0[i], c0[i], side) + link(x2[i], c2[i], side) + link(x1[i - c], c1[i - c], side) +
            link(x1[i + c], c1[i + c], side) + link(x0[i - c], c0[i - c], corner) +
            link(x0[i + c], c0[i + c], corner) + link(x2[i - c], c2[i - c], corner) +
            link(x2[i + c], c2[i + c], corner);
        const double b = field[i] + w * base[i];
        r[i] = b - (laplace + sum * w * x - gauss);
      }
    } else {
      const double w = problem_.weight, diagonal = sum * w;
      const double edge_link = 1 - w * side, corner_link = -w * corner;
      for (std::int64_t i = 0; i < count_; ++i) {
        const double x = x1[i];
        const double edges = 4 * x - x0[i] - x2[i] - x1[i - c] - x1[i + c];
        const double corners = 4 * x - x0[i - c] - x0[i + c] - x2[i - c] - x2[i + c];
        const double b = field[i] + w * base[i];
        r[i] = b - (diagonal * x + edge_link * edges + corner_link * corners);
      }
    }
    if (problem_.preserve_background) {
      const double* mask = mask_.row[1];
      for (std::int64_t i = 0; i < count_; ++i) r[i] = mask[i] > 0 ? r[i] : 0.0;
    }
  }

  void store(std::int64_t y) {
    const ImageView& out = params_.out;
    auto write = [&](auto* row) {
      using T = std::remove_pointer_t<decltype(row)>;
      for (std::int64_t x = 0; x < width_; ++x) {
        for (std::int64_t k = 0; k < channels_; ++k) {
          row[x * out.col_stride + k * out.channel_stride] =
              static_cast<T>(residual_[x * channels_ + k]);
        }
      }
    };
    if (out.dtype == DType::kFloat32) {
      write(out.at<float>(y, 0, 0));
    } else {
      write(out.at<double>(y, 0, 0));
    }
  }

  const ResidualParams& params_;
  const Problem& problem_;
  const std::int64_t height_, width_, channels_, count_;
  RowWindow<double> src_, dst_, mask_, x_, weight_;
  Buffer<double> base_, horizontal_, up_, down_, field_, residual_;
};

}  // namespace

double gaussian_poisson_residual(const ResidualParams& params) {
  const std::int64_t height = params.problem.height();
  const std::int64_t blocks = (height + kBlockRows - 1) / kBlockRows;
  std::vector<double> largest(static_cast<std::size_t>(blocks));
  parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    BlockResidual block(params);
    for (std::int64_t i = begin; i < end; ++i) {
      largest[i] = block.run(i * kBlockRows, std::min(height, (i + 1) * kBlockRows));
    }
  });
  double result = 0;
  for (double r : largest) {
    if (r > result || r != r) result = r;
  }
  return result;
}

}  // namespace pyharmony::HM_SIMD_NS
