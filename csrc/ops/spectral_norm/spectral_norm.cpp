#include "ops/spectral_norm/spectral_norm.h"

#include <algorithm>
#include <cmath>

#include "core/buffer.h"
#include "core/checks.h"
#include "core/dispatch.h"
#include "core/parallel.h"

namespace pyharmony {
namespace {

// Layers are done in runs of at most this many bytes, so that all passes but the first find the
// weights in the last cache.
constexpr std::int64_t kRunBytes = std::int64_t(32) << 20;
// A tile of M^T u: its columns stay in the first cache while its rows go by.
constexpr std::int64_t kTileColumns = 1024, kTileRows = 128;
// A tile of M v and of the other passes that go by rows.
constexpr std::int64_t kRowTileBytes = 256 << 10;

struct Layer {
  ArrayView weight;
  std::int64_t outer = 0, rows = 0, inner = 0, cols = 0;
  bool is_double = false;
  void *u = nullptr, *v = nullptr;  // float or double
  void* partial = nullptr;          // [blocks of rows, cols] of M^T u
  std::int64_t blocks = 0;
  double sigma = 0;

  std::int64_t bytes() const { return rows * cols * dtype_size(weight.dtype); }
  std::int64_t real() const { return is_double ? 8 : 4; }
};

bool is_tensor(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat32 ||
         dtype == DType::kFloat64;
}

void check_weight(const ArrayView& w, std::size_t i) {
  HM_CHECK(w.ndim == 3 && w.size() > 0 && is_contiguous(w) && is_tensor(w.dtype), "weights[", i,
           "]: expected a dense [outer, rows, inner] of floats");
}

void check_like(const ArrayView& a, const ArrayView& weight, const char* name, std::size_t i) {
  HM_CHECK(a.ndim == 3 && a.shape[0] == weight.shape[0] && a.shape[1] == weight.shape[1] &&
               a.shape[2] == weight.shape[2] && a.dtype == weight.dtype && is_contiguous(a),
           name, "[", i, "]: expected the shape and dtype of weights[", i, "], dense");
}

void check_vector(const ArrayView& a, std::int64_t size, const char* name, std::size_t i) {
  HM_CHECK(a.ndim == 1 && a.shape[0] == size && is_contiguous(a) && is_tensor(a.dtype), name, "[",
           i, "]: expected ", size, " contiguous floats");
}

void check_flat(const ArrayView& a, std::int64_t size, const char* name) {
  HM_CHECK(a.ndim == 1 && a.shape[0] == size && is_contiguous(a) &&
               (a.dtype == DType::kFloat32 || a.dtype == DType::kFloat64),
           name, ": expected ", size, " contiguous float32 or float64");
}

// Calls fn with the tag of the layer's reals.
template <typename Fn>
void with_real(const Layer& layer, Fn&& fn) {
  layer.is_double ? fn(TypeTag<double>{}) : fn(TypeTag<float>{});
}

void load(const Layer& layer, void* to, const void* from, DType dtype, std::int64_t n) {
  with_real(layer, [&](auto real) {
    using Real = typename decltype(real)::type;
    dispatch_tensor(dtype, "vectors", [&](auto tag) {
      const auto* p = static_cast<const typename decltype(tag)::type*>(from);
      for (std::int64_t i = 0; i < n; ++i) static_cast<Real*>(to)[i] = to_real<Real>(p[i]);
    });
  });
}

void save(const Layer& layer, const void* from, void* to, DType dtype, std::int64_t n) {
  with_real(layer, [&](auto real) {
    using Real = typename decltype(real)::type;
    dispatch_tensor(dtype, "vectors", [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t i = 0; i < n; ++i) {
        static_cast<T*>(to)[i] = from_real<T>(static_cast<const Real*>(from)[i]);
      }
    });
  });
}

void* part(const ArrayView& flat, std::int64_t at) {
  return static_cast<char*>(flat.data) + at * dtype_size(flat.dtype);
}

double number(const ArrayView& flat, std::size_t i) {
  return flat.dtype == DType::kFloat32 ? static_cast<double>(flat.as<float>()[i])
                                       : flat.as<double>()[i];
}

// Sets x to x / max(|x|, eps); returns x . x / max(|x|, eps), which is sigma where x = M v.
double normalize(const Layer& layer, void* x, std::int64_t n, double eps) {
  double result = 0;
  with_real(layer, [&](auto real) {
    using Real = typename decltype(real)::type;
    Real* values = static_cast<Real*>(x);
    double square = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      square += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    const double norm = std::sqrt(square), length = norm < eps ? eps : norm;  // NaN stays NaN
    for (std::int64_t i = 0; i < n; ++i) {
      values[i] = static_cast<Real>(static_cast<double>(values[i]) / length);
    }
    result = norm * (norm / length);
  });
  return result;
}

// Computes v = M^T u from the partial sums of its tiles.
void add_partials(const Layer& layer) {
  with_real(layer, [&](auto real) {
    using Real = typename decltype(real)::type;
    const Real* partial = static_cast<const Real*>(layer.partial);
    Real* v = static_cast<Real*>(layer.v);
    std::copy(partial, partial + layer.cols, v);
    for (std::int64_t b = 1; b < layer.blocks; ++b) {
      partial += layer.cols;
      for (std::int64_t c = 0; c < layer.cols; ++c) v[c] += partial[c];
    }
  });
}

double dot(const Layer& layer, const void* a, const void* b, std::int64_t n) {
  double total = 0;
  with_real(layer, [&](auto real) {
    using Real = typename decltype(real)::type;
    for (std::int64_t i = 0; i < n; ++i) {
      total += static_cast<double>(static_cast<const Real*>(a)[i]) *
               static_cast<double>(static_cast<const Real*>(b)[i]);
    }
  });
  return total;
}

SpectralNormTile tile_of(const Layer& layer) {
  SpectralNormTile t;
  t.weight = layer.weight.data;
  t.dtype = layer.weight.dtype;
  t.outer = layer.outer;
  t.rows = layer.rows;
  t.inner = layer.inner;
  t.row_end = layer.rows;
  t.column_end = layer.cols;
  t.u = layer.u;
  t.v = layer.v;
  return t;
}

using Tiles = std::vector<SpectralNormTile>;

Tiles column_tiles(const Layer* first, const Layer* last) {
  Tiles tiles;
  for (const Layer* layer = first; layer != last; ++layer) {
    const std::int64_t unit = layer->outer > 1 ? layer->inner : 1;
    const std::int64_t width = std::max(kTileColumns / unit, std::int64_t(1)) * unit;
    for (std::int64_t b = 0; b < layer->blocks; ++b) {
      for (std::int64_t c = 0; c < layer->cols; c += width) {
        SpectralNormTile t = tile_of(*layer);
        t.row = b * kTileRows;
        t.row_end = std::min(t.row + kTileRows, layer->rows);
        t.column = c;
        t.column_end = std::min(c + width, layer->cols);
        t.result = static_cast<char*>(layer->partial) + (b * layer->cols + c) * layer->real();
        tiles.push_back(t);
      }
    }
  }
  return tiles;
}

Tiles row_tiles(const Layer* first, const Layer* last) {
  Tiles tiles;
  for (const Layer* layer = first; layer != last; ++layer) {
    const std::int64_t row_bytes = layer->cols * dtype_size(layer->weight.dtype);
    const std::int64_t height =
        std::max(kRowTileBytes / std::max(row_bytes, std::int64_t(1)) / 8 * 8, std::int64_t(8));
    for (std::int64_t r = 0; r < layer->rows; r += height) {
      SpectralNormTile t = tile_of(*layer);
      t.row = r;
      t.row_end = std::min(r + height, layer->rows);
      t.result = layer->u;
      tiles.push_back(t);
    }
  }
  return tiles;
}

void run(SpectralNormPass pass, const Tiles& tiles) {
  parallel_each(static_cast<std::int64_t>(tiles.size()), 1,
                [&](std::int64_t i) { HM_SIMD_CALL(spectral_norm_kernel, pass, tiles[i]); });
}

// Runs power iterations of a run of layers; afterwards u, v and sigma of each are set.
void iterate(Layer* first, Layer* last, const Tiles& rows, const SpectralNormOptions& options) {
  const std::size_t count = static_cast<std::size_t>(last - first);
  const Tiles columns = column_tiles(first, last);
  const auto find_v = [&] {
    run(SpectralNormPass::kColumns, columns);
    // This takes less time than waking a thread.
    for (std::size_t i = 0; i < count; ++i) {
      add_partials(first[i]);
      first[i].sigma = normalize(first[i], first[i].v, first[i].cols, options.eps);
    }
  };
  const auto find_u = [&] {
    run(SpectralNormPass::kRows, rows);
    for (std::size_t i = 0; i < count; ++i) {
      first[i].sigma = normalize(first[i], first[i].u, first[i].rows, options.eps);
    }
  };
  for (int i = 0; i < options.iterations; ++i) {
    if (options.order == PowerOrder::kLegacy) {
      find_v();
      find_u();
    } else {
      find_u();
      find_v();
    }
  }
}

// Computes sigma = u . M v from u and v as they are.
void measure(Layer* first, Layer* last, Tiles rows) {
  std::vector<Buffer<double>> products;
  for (Layer* layer = first; layer != last; ++layer) {
    products.emplace_back(static_cast<std::size_t>(layer->rows));
    for (SpectralNormTile& t : rows) {
      if (t.u == layer->u) t.result = products.back().data();
    }
  }
  run(SpectralNormPass::kRows, rows);
  parallel_each(last - first, 1, [&](std::int64_t i) {
    first[i].sigma = dot(first[i], first[i].u, products[i].data(), first[i].rows);
  });
}

// The layers, with their vectors and partial sums in one block of memory.
struct Work {
  std::vector<Layer> layers;
  Buffer<double> memory;

  explicit Work(const std::vector<ArrayView>& weights, bool partials) {
    std::int64_t reals = 0;
    layers.resize(weights.size());
    // Every vector begins a cache line of its own.
    const auto padded = [](std::int64_t n) { return (n + 7) / 8 * 8; };
    for (std::size_t i = 0; i < weights.size(); ++i) {
      check_weight(weights[i], i);
      Layer& layer = layers[i];
      layer.weight = weights[i];
      layer.outer = weights[i].shape[0];
      layer.rows = weights[i].shape[1];
      layer.inner = weights[i].shape[2];
      layer.cols = layer.outer * layer.inner;
      layer.is_double = weights[i].dtype == DType::kFloat64;
      layer.blocks = (layer.rows + kTileRows - 1) / kTileRows;
      reals += padded(layer.rows) + padded(layer.cols);
      if (partials) reals += padded(layer.blocks * layer.cols);
    }
    memory = Buffer<double>(static_cast<std::size_t>(reals));
    double* at = memory.data();
    for (Layer& layer : layers) {
      layer.u = at;
      at += padded(layer.rows);
      layer.v = at;
      at += padded(layer.cols);
      if (partials) {
        layer.partial = at;
        at += padded(layer.blocks * layer.cols);
      }
    }
  }

  // Calls fn(first, last) for runs of layers that fit the last cache together.
  template <typename Fn>
  void runs(Fn&& fn) {
    Layer* end = layers.data() + layers.size();
    for (Layer* first = layers.data(); first != end;) {
      Layer* last = first;
      std::int64_t bytes = 0;
      do bytes += (last++)->bytes();
      while (last != end && bytes + last->bytes() <= kRunBytes);
      fn(first, last);
      first = last;
    }
  }

  std::int64_t state_size() const {
    std::int64_t n = 0;
    for (const Layer& layer : layers) n += layer.rows + layer.cols;
    return n;
  }
};

}  // namespace

std::int64_t spectral_norm(const std::vector<ArrayView>& weights, const std::vector<ArrayView>& us,
                           const std::vector<ArrayView>& vs, const std::vector<ArrayView>& outs,
                           const ArrayView& sigmas, const ArrayView& state,
                           const SpectralNormOptions& options) {
  HM_CHECK(us.size() == weights.size() && vs.size() == weights.size() &&
               (outs.empty() || outs.size() == weights.size()),
           "us, vs, outs: expected one for each of ", weights.size(), " weights");
  HM_CHECK(options.iterations >= 0 && options.eps > 0, "n_power_iterations, eps: out of range");
  Work work(weights, options.iterations > 0);
  std::vector<Layer>& layers = work.layers;
  check_flat(sigmas, static_cast<std::int64_t>(layers.size()), "sigmas");
  check_flat(state, work.state_size(), "state");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    check_vector(us[i], layers[i].rows, "us", i);
    check_vector(vs[i], layers[i].cols, "vs", i);
    if (!outs.empty()) check_like(outs[i], weights[i], "outs", i);
    load(layers[i], layers[i].u, us[i].data, us[i].dtype, layers[i].rows);
    load(layers[i], layers[i].v, vs[i].data, vs[i].dtype, layers[i].cols);
  }
  std::int64_t zero = -1;
  work.runs([&](Layer* first, Layer* last) {
    if (zero >= 0) return;
    Tiles rows = row_tiles(first, last);
    options.iterations > 0 ? iterate(first, last, rows, options) : measure(first, last, rows);
    for (Layer* layer = first; layer != last && zero < 0; ++layer) {
      if (layer->sigma == 0) zero = layer - layers.data();
    }
    if (outs.empty() || zero >= 0) return;
    std::size_t next = 0;
    for (Layer* layer = first; layer != last; ++layer) {
      const ArrayView& out = outs[static_cast<std::size_t>(layer - layers.data())];
      for (; next < rows.size() && rows[next].u == layer->u; ++next) {
        rows[next].out = out.data;
        rows[next].scale = 1 / layer->sigma;
      }
    }
    run(SpectralNormPass::kScale, rows);
  });
  if (zero >= 0) return zero;
  std::int64_t at = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    if (sigmas.dtype == DType::kFloat32) {
      sigmas.as<float>()[i] = static_cast<float>(layer.sigma);
    } else {
      sigmas.as<double>()[i] = layer.sigma;
    }
    save(layer, layer.u, part(state, at), state.dtype, layer.rows);
    save(layer, layer.v, part(state, at + layer.rows), state.dtype, layer.cols);
    at += layer.rows + layer.cols;
    if (options.write && options.iterations > 0) {
      save(layer, layer.u, us[i].data, us[i].dtype, layer.rows);
      save(layer, layer.v, vs[i].data, vs[i].dtype, layer.cols);
    }
  }
  return -1;
}

void spectral_norm_gradient(const std::vector<ArrayView>& weights,
                            const std::vector<ArrayView>& grads, const ArrayView& sigmas,
                            const ArrayView& grad_sigmas, const ArrayView& state,
                            const std::vector<ArrayView>& outs) {
  HM_CHECK(grads.size() == weights.size() && outs.size() == weights.size(),
           "grads, outs: expected one for each of ", weights.size(), " weights");
  Work work(weights, false);
  std::vector<Layer>& layers = work.layers;
  const std::int64_t count = static_cast<std::int64_t>(layers.size());
  check_flat(sigmas, count, "sigmas");
  if (grad_sigmas.data != nullptr) check_flat(grad_sigmas, count, "grad_sigmas");
  check_flat(state, work.state_size(), "state");
  std::int64_t at = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (grads[i].data != nullptr) check_like(grads[i], weights[i], "grads", i);
    check_like(outs[i], weights[i], "outs", i);
    load(layers[i], layers[i].u, part(state, at), state.dtype, layers[i].rows);
    load(layers[i], layers[i].v, part(state, at + layers[i].rows), state.dtype, layers[i].cols);
    at += layers[i].rows + layers[i].cols;
  }
  work.runs([&](Layer* first, Layer* last) {
    Tiles tiles = row_tiles(first, last);
    std::vector<double> products(tiles.size());
    std::vector<std::size_t> owner(tiles.size());
    for (std::size_t i = 0, layer = static_cast<std::size_t>(first - layers.data());
         i < tiles.size(); ++i) {
      while (tiles[i].u != layers[layer].u) ++layer;
      owner[i] = layer;
      tiles[i].grad = grads[layer].data;
      tiles[i].out = outs[layer].data;
      tiles[i].result = &products[i];
    }
    run(SpectralNormPass::kDot, tiles);
    std::vector<double> inner(static_cast<std::size_t>(last - first));
    const std::size_t base = static_cast<std::size_t>(first - layers.data());
    for (std::size_t i = 0; i < tiles.size(); ++i) inner[owner[i] - base] += products[i];
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      const double sigma = number(sigmas, owner[i]);
      tiles[i].scale = 1 / sigma;
      tiles[i].rank_one = -inner[owner[i] - base] / (sigma * sigma);
      if (grad_sigmas.data != nullptr) tiles[i].rank_one += number(grad_sigmas, owner[i]);
    }
    run(SpectralNormPass::kGradient, tiles);
  });
}

}  // namespace pyharmony
