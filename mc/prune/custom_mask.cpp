#include "mc/prune/custom_mask.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/prune/mask_holder.h"

namespace mc {
namespace {

std::vector<std::string> keys_of(const std::map<std::string, at::Tensor>& masks) {
  std::vector<std::string> names;
  for (const auto& [name, mask] : masks) names.push_back(name);
  return names;
}

}  // namespace

struct CustomMaskPruning::Impl {
  MaskHolder holder;
};

CustomMaskPruning::CustomMaskPruning(torch::nn::Module& module,
                                     const std::map<std::string, at::Tensor>& masks)
    : impl_(std::make_unique<Impl>(Impl{MaskHolder(module, keys_of(masks))})) {
  MaskHolder& holder = impl_->holder;
  size_t i = 0;
  for (const auto& [name, mask] : masks) {
    MC_CHECK(mask.defined() && mask.sizes() == holder.weight(i).sizes(),
             "the mask of '{}' is not shaped like it", name);
    ++i;
  }
  i = 0;
  for (const auto& [name, mask] : masks) {
    const at::Tensor weight = holder.weight(i);
    const auto options = weight.options().dtype(at::kBool).requires_grad(false);
    holder.set_mask(i++, at::empty_like(weight, options).copy_(mask.ne(0)));
  }
  holder.apply();
}
CustomMaskPruning::~CustomMaskPruning() = default;

void CustomMaskPruning::step() {
  impl_->holder.apply();
}

void CustomMaskPruning::remove_pruning() {
  impl_->holder.apply();
  impl_->holder.drop();
}

std::unique_ptr<CustomMaskPruning> custom_mask_pruning(torch::nn::Module& module, const std::string& name,
                                                       const at::Tensor& mask) {
  return std::make_unique<CustomMaskPruning>(module, std::map<std::string, at::Tensor>{{name, mask}});
}

std::unique_ptr<CustomMaskPruning> lock_tensor_sparsity_pattern(torch::nn::Module& module,
                                                                const std::string& name) {
  const MaskHolder holder(module, {name});
  return custom_mask_pruning(module, name, holder.weight(0).detach().ne(0));
}

}  // namespace mc
