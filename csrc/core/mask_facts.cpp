#include "core/mask_facts.h"

namespace pyharmony {

MaskFacts mask_facts(const ArrayView& mask, double least) {
  HM_CHECK(mask.ndim == 2, "mask: ", mask.ndim, " dimensions, expected [H, W]");
  return HM_SIMD_CALL(mask_facts_kernel, as_image(mask, "mask"), least);
}

}  // namespace pyharmony
