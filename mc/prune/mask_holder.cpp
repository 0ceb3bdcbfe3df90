#include "mc/prune/mask_holder.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/apply_mask.h"
#include "mc/module/parameter_view.h"

namespace mc {

MaskHolder::MaskHolder(torch::nn::Module& module, const std::vector<std::string>& names)
    : graph_(dynamic_cast<GraphModule*>(&module)) {
  const std::vector<ParameterView> views = parameter_views(module);
  std::vector<std::string> known;
  for (const ParameterView& view : views) known.push_back(view.name);
  for (const std::string& name : names) {
    const auto found = std::ranges::find(known, name);
    MC_CHECK(found != known.end(), "pruning: the module has no parameter '{}'{}", name,
             did_you_mean(name, known));
    const at::Tensor& tensor = views[static_cast<size_t>(found - known.begin())].tensor;
    places_.push_back({name, graph_ ? at::Tensor() : tensor, {}});
  }
}

at::Tensor MaskHolder::weight(size_t i) const {
  return graph_ ? graph_->tensor(places_[i].name) : places_[i].parameter;
}

at::Tensor MaskHolder::mask(size_t i) const {
  return graph_ ? graph_->mask(places_[i].name) : places_[i].mask;
}

void MaskHolder::set_mask(size_t i, at::Tensor mask) {
  if (graph_) return graph_->set_mask(places_[i].name, std::move(mask), /*latent=*/true);
  const at::Tensor& parameter = places_[i].parameter;
  MC_CHECK(mask.scalar_type() == at::kBool && mask.sizes() == parameter.sizes(),
           "the mask of '{}' must be bool and shaped like it", places_[i].name);
  places_[i].mask = std::move(mask);
}

size_t MaskHolder::masks() const {
  if (graph_) return graph_->masked().size();
  return static_cast<size_t>(
      std::ranges::count_if(places_, [](const Place& place) { return place.mask.defined(); }));
}

void MaskHolder::apply() {
  if (graph_) return graph_->apply_masks();
  std::vector<MaskedTensor> masked;
  for (const Place& place : places_) {
    if (place.mask.defined()) masked.push_back({place.parameter, place.mask});
  }
  apply_masks(masked);
}

void MaskHolder::drop() {
  for (Place& place : places_) {
    if (graph_) graph_->set_mask(place.name, at::Tensor());
    place.mask = at::Tensor();
  }
}

}  // namespace mc
