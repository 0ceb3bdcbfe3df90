#include <algorithm>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/impl.h"

namespace mc {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

// A parameter that the pass renamed takes its mask along.
void rename_masks(Edit& edit) {
  std::map<std::string, std::string> masks;
  for (const auto& [fresh, old] : edit.renames) {
    const Initializer* mask = edit.model.graph.initializer(mask_name(old));
    if (mask && !edit.model.graph.initializer(old)) masks[fresh] = old;
  }
  for (const auto& [fresh, old] : masks) {
    Tensor tensor = edit.model.graph.initializer(mask_name(old))->tensor;
    set_metadata(tensor.metadata, kMaskOf, fresh);
    edit.model.graph.erase_initializer(mask_name(old));
    edit.model.graph.add_initializer(mask_name(fresh), std::move(tensor));
    edit.renames[mask_name(fresh)] = mask_name(old);
    if (const auto cut = edit.slices.extract(mask_name(old))) edit.slices[mask_name(fresh)] = cut.mapped();
  }
}

// Decides for every initializer of the edited model which tensor it goes on with, and keeps the account.
class Carrier {
 public:
  Carrier(const Edit& edit, const Tensors& old, const Model& before)
      : edit_(edit), old_(old), before_(before) {}

  EditReport report;
  std::vector<std::pair<at::Tensor, Tensor>> values;  // tensors that get other values when the edit is done

  at::Tensor operator()(const Initializer& initializer, Role role) {
    const std::string& name = initializer.name;
    const auto rename = edit_.renames.find(name);
    const std::string& from = rename == edit_.renames.end() ? name : rename->second;
    const auto found = old_.find(from);
    if (found == old_.end()) {
      report.added.push_back(name);
      return {};
    }
    carried_.push_back(from);
    if (from != name) report.renamed[name] = from;
    const at::Tensor& tensor = found->second;
    const auto cut = edit_.slices.find(name);
    const bool same_type = tensor.sizes() == at::IntArrayRef(initializer.tensor.dims) &&
                           tensor.scalar_type() == to_scalar_type(initializer.tensor.dtype);
    if (cut != edit_.slices.end()) {
      report.sliced[name] = cut->second;
    } else if (!same_type) {
      report.reset.push_back(name);
    } else if (tensor.requires_grad() == false || role == Role::kWeight) {
      const Tensor& was = before_.graph.initializer(from)->tensor;
      if (was.data.bytes().data() != initializer.tensor.data.bytes().data())
        values.emplace_back(tensor, initializer.tensor);
      return tensor;
    }
    frozen_.push_back({name, role == Role::kWeight && !tensor.requires_grad()});
    return {};
  }

  // New tensors of frozen parameters are frozen too; what no initializer took over is gone.
  void finish(Compiled& compiled) {
    for (const auto& [name, frozen] : frozen_) {
      if (frozen) compiled.state.at(name).set_requires_grad(false);
    }
    for (const auto& [name, tensor] : old_) {
      if (std::ranges::find(carried_, name) == carried_.end()) report.removed.push_back(name);
    }
  }

 private:
  const Edit& edit_;
  const Tensors& old_;
  const Model& before_;
  std::vector<std::string> carried_;
  std::vector<std::pair<std::string, bool>> frozen_;
};

void check_records(const Edit& edit, const Tensors& old) {
  for (const auto& [fresh, from] : edit.renames) {
    MC_CHECK(edit.model.graph.initializer(fresh),
             "the edit renames '{}' to '{}', which the edited model lacks", from, fresh);
    MC_CHECK(old.contains(from), "the edit renames '{}', which the module lacks", from);
  }
}

}  // namespace

void Edit::slice(const std::string& initializer, int64_t axis, std::vector<int64_t> indices) {
  Initializer* found = model.graph.initializer(initializer);
  MC_CHECK(found, "there is no initializer '{}' to cut{}", initializer,
           did_you_mean(initializer, initializer_names(model)));
  const auto rank = static_cast<int64_t>(found->tensor.dims.size());
  MC_CHECK(axis >= -rank && axis < rank, "'{}' has {} dims; it cannot be cut along axis {}", initializer,
           rank, axis);
  if (axis < 0) axis += rank;
  const int64_t size = found->tensor.dims[axis];
  for (const int64_t index : indices) {
    MC_CHECK(index >= 0 && index < size, "'{}' has {} channels on axis {}; there is no {}", initializer, size,
             axis, index);
  }
  const Slice cut{axis, std::move(indices)};
  Tensor sliced = to_constant(apply_slices(to_aten(found->tensor, false), {cut}));
  sliced.metadata = found->tensor.metadata;
  sliced.doc = found->tensor.doc;
  found->tensor = std::move(sliced);
  slices[initializer].push_back(cut);
  for (const Initializer& other : model.graph.initializers()) {
    const std::string* masked = find_metadata(other.tensor.metadata, kMaskOf);
    if (masked && *masked == initializer) {
      slice(std::string(other.name), axis, cut.indices);
      return;
    }
  }
}

at::Tensor apply_slices(const at::Tensor& tensor, const std::vector<Slice>& slices) {
  const at::NoGradGuard no_grad;
  at::Tensor result = tensor;
  for (const Slice& slice : slices) {
    const auto options = at::TensorOptions().dtype(at::kLong);
    result = result.index_select(slice.axis, at::tensor(slice.indices, options).to(result.device()));
  }
  return result;
}

EditReport GraphModule::edit(const std::function<void(Edit&)>& pass) {
  const Model before = graph();
  Model model = before;
  Edit edit{model, {}, {}};
  pass(edit);
  rename_masks(edit);
  check_records(edit, impl_->compiled.state);
  Carrier carrier(edit, impl_->compiled.state, before);
  Compiled compiled = compile_model(std::move(model), impl_->options,
                                    [&](const Initializer& i, Role role) { return carrier(i, role); });
  carrier.finish(compiled);

  // From here on nothing throws but for want of memory.
  const at::NoGradGuard no_grad;
  for (auto& [tensor, value] : carrier.values) tensor.copy_(to_aten(value, false));
  impl_->compiled = std::move(compiled);
  impl_->drop_inference();
  register_state();
  for (StateCarrier* follower : impl_->carriers) follower->on_edit(carrier.report);
  return carrier.report;
}

void GraphModule::attach(StateCarrier* carrier) {
  if (std::ranges::find(impl_->carriers, carrier) == impl_->carriers.end())
    impl_->carriers.push_back(carrier);
}

void GraphModule::detach(StateCarrier* carrier) {
  std::erase(impl_->carriers, carrier);
}

}  // namespace mc
