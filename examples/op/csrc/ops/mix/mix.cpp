#include "ops/mix/mix.h"

#include <algorithm>

#include "core/checks.h"
#include "core/parallel.h"

namespace pyharmony {

MixCall mix_call(const ArrayView& a, const ArrayView& b, const ArrayView& share,
                 const ArrayView& out) {
  for (const ArrayView* x : {&a, &b, &share, &out}) {
    HM_CHECK(x->dtype == DType::kFloat32 && is_contiguous(*x), "expected contiguous float32");
    HM_CHECK(x->ndim == a.ndim && std::equal(x->shape, x->shape + a.ndim, a.shape),
             "expected arrays of one shape");
  }
  HM_CHECK(out.writable, "out: read-only");
  return {a.as<float>(), b.as<float>(), share.as<float>(), out.as<float>(), a.size()};
}

void mix(const MixCall& call) {
  parallel_for(call.size, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      call.out[i] = call.b[i] + call.share[i] * (call.a[i] - call.b[i]);
  });
}

}  // namespace pyharmony
