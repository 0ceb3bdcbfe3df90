#include <algorithm>
#include <set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/impl.h"

namespace mc {
namespace {

// The mask of a parameter in this model, or null.
const Initializer* find_mask(const Model& model, const std::string& parameter) {
  for (const Initializer& initializer : model.graph.initializers()) {
    const std::string* masked = find_metadata(initializer.tensor.metadata, kMaskOf);
    if (masked && *masked == parameter) return &initializer;
  }
  return nullptr;
}

// Decides for every initializer of the edited model which tensor it goes on with, and keeps the account.
class Carrier {
 public:
  Carrier(const Edit& edit, const Compiled& old, const Model& before)
      : edit_(edit), old_(old), before_(before) {}

  EditReport report;
  std::vector<std::pair<at::Tensor, Tensor>> values;  // tensors that get other values when the edit is done

  at::Tensor operator()(const Initializer& initializer, Role role) {
    const std::string& name = initializer.name;
    const auto rename = edit_.renames.find(name);
    const std::string& from = rename == edit_.renames.end() ? name : rename->second;
    const auto found = old_.state.find(from);
    if (found == old_.state.end() || !carried_.insert(from).second) {
      report.added.push_back(name);
      return {};
    }
    if (from != name) report.renamed[name] = from;
    const at::Tensor& tensor = found->second;
    const Tensor& value = initializer.tensor;
    const bool fits = tensor.sizes() == at::IntArrayRef(value.dims) &&
                      tensor.scalar_type() == to_scalar_type(value.dtype) && old_.roles.of.at(from) == role;
    if (const auto cut = edit_.slices.find(name); cut != edit_.slices.end()) {
      report.sliced[name] = cut->second;
    } else if (!fits) {
      report.reset.push_back(name);
    } else {
      const Tensor& was = before_.graph.initializer(from)->tensor;
      if (was.data.bytes().data() != value.data.bytes().data()) values.emplace_back(tensor, value);
      return tensor;
    }
    if (role == Role::kWeight && old_.roles.of.at(from) == role && !tensor.requires_grad())
      frozen_.push_back(name);
    return {};
  }

  // New tensors of frozen parameters are frozen too; what no initializer took over is gone.
  void finish(Compiled& compiled) {
    for (const std::string& name : frozen_) compiled.state.at(name).set_requires_grad(false);
    for (const auto& [name, tensor] : old_.state) {
      if (!carried_.contains(name)) report.removed.push_back(name);
    }
    auto& untied = compiled.roles.untied;
    untied.insert(untied.begin(), old_.roles.untied.begin(), old_.roles.untied.end());
  }

 private:
  const Edit& edit_;
  const Compiled& old_;
  const Model& before_;
  std::set<std::string> carried_;  // old names
  std::vector<std::string> frozen_;
};

void check_records(const Edit& edit, const std::map<std::string, at::Tensor>& old) {
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
  if (const Initializer* mask = find_mask(model, initializer))
    slice(std::string(mask->name), axis, cut.indices);
}

void Edit::rename(const std::string& initializer, const std::string& fresh) {
  const Initializer* found = model.graph.initializer(initializer);
  MC_CHECK(found, "there is no initializer '{}' to rename{}", initializer,
           did_you_mean(initializer, initializer_names(model)));
  MC_CHECK(model.graph.unique_value_name(fresh) == fresh, "'{}' cannot become '{}': that name is taken",
           initializer, fresh);
  const Initializer* mask = find_mask(model, initializer);
  const std::string mask_before = mask ? mask->name : "";
  model.graph.add_initializer(fresh, Tensor(found->tensor));
  model.graph.erase_initializer(initializer);
  model.graph.replace_uses(initializer, fresh);
  for (ValueInfo& input : model.graph.inputs) {
    if (input.name == initializer) input.name = fresh;  // the default of an input
  }
  // Renamed twice, it still is the module's by the first name.
  const auto known = renames.extract(initializer);
  renames[fresh] = known ? known.mapped() : initializer;
  if (auto cut = slices.extract(initializer)) slices[fresh] = std::move(cut.mapped());
  if (mask_before.empty()) return;
  rename(mask_before, mask_name(fresh));
  set_metadata(model.graph.initializer(mask_name(fresh))->tensor.metadata, kMaskOf, fresh);
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
  check_records(edit, impl_->compiled.state);
  Carrier carrier(edit, impl_->compiled, before);
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
