// Checks the arguments, on the CPU and on devices.
#include "ops/adam/adam.h"

#include "core/checks.h"

namespace pyharmony {
namespace {

float* values_of(const ArrayView& a, std::int64_t size, const char* name, bool written = true) {
  HM_CHECK(a.dtype == DType::kFloat32, name, ": dtype ", dtype_name(a.dtype), ", expected float32");
  HM_CHECK(a.size() == size && is_contiguous(a), name, ": ", a.size(), " values, expected ", size,
           " side by side");
  HM_CHECK(a.writable || !written, name, ": read-only");
  return a.as<float>();
}

const float* value_of(const ArrayView* a, const char* name) {
  return a == nullptr ? nullptr : values_of(*a, 1, name, false);
}

}  // namespace

AdamCall adam_call(const std::vector<ArrayView>& parameters,
                   const std::vector<ArrayView>& gradients, const std::vector<ArrayView>& means,
                   const std::vector<ArrayView>& squares, const std::vector<ArrayView>& steps,
                   double lr, const ArrayView* lr_at, double beta1, double beta2, double eps,
                   double weight_decay, bool decoupled, const ArrayView* skip, double clip) {
  for (const std::vector<ArrayView>* arrays : {&gradients, &means, &squares, &steps}) {
    HM_CHECK(arrays->size() == parameters.size(),
             "gradients, means, squares, steps: ", arrays->size(), ", expected one for each of ",
             parameters.size(), " parameters");
  }
  HM_CHECK(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "betas: ", beta1, " and ", beta2,
           ", expected 0 to 1, 1 not included");
  HM_CHECK(clip > 0, "clip: ", clip, ", expected more than 0");
  AdamCall call;
  call.tensors.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::int64_t size = parameters[i].size();
    call.tensors.push_back(
        {values_of(parameters[i], size, "parameters"),
         values_of(gradients[i], size, "gradients", false), values_of(means[i], size, "means"),
         values_of(squares[i], size, "squares"), values_of(steps[i], 1, "steps"), size});
  }
  AdamRule& rule = call.rule;
  rule.log_beta1 = std::log(beta1);
  rule.log_beta2 = std::log(beta2);
  rule.beta1 = static_cast<float>(beta1);
  rule.beta2 = static_cast<float>(beta2);
  rule.rest1 = static_cast<float>(1 - beta1);
  rule.rest2 = static_cast<float>(1 - beta2);
  rule.lr = lr;
  rule.weight_decay = weight_decay;
  rule.lr_at = value_of(lr_at, "lr_at");
  rule.skip = value_of(skip, "skip");
  rule.eps = static_cast<float>(eps);
  rule.clip = static_cast<float>(clip);
  rule.decoupled = decoupled;
  return call;
}

}  // namespace pyharmony
