#include "mc/recipe/fields.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

std::vector<std::string> names_of(const std::vector<FieldInfo>& fields) {
  std::vector<std::string> names;
  for (const FieldInfo& field : fields) names.push_back(field.name);
  return names;
}

size_t index_of(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

bool is_wider_integer(at::ScalarType to, at::ScalarType from) {
  return c10::isIntegralType(to, false) && c10::isIntegralType(from, false) &&
         c10::elementSize(to) > c10::elementSize(from);
}

class SelectedFields : public Dataset {
 public:
  SelectedFields(std::shared_ptr<const Dataset> base, std::vector<size_t> order,
                 const std::vector<std::string>& inputs, const std::vector<at::ScalarType>& types)
      : base_(std::move(base)), order_(std::move(order)) {
    std::vector<FieldInfo> fields = base_->fields();
    for (size_t i = 0; i < order_.size(); ++i) {
      fields_.push_back(fields[order_[i]]);
      fields_.back().name = inputs[i];
      widened_.push_back(!types.empty() && is_wider_integer(types[i], fields_.back().dtype));
      if (widened_.back()) fields_.back().dtype = types[i];
    }
  }

  int64_t size() const override { return base_->size(); }
  std::vector<FieldInfo> fields() const override { return fields_; }
  bool labelled() const override { return base_->labelled(); }
  int64_t classes() const override { return base_->classes(); }
  std::string description() const override { return base_->description(); }
  bool random() const override { return base_->random(); }
  const RawImages* raw_images() const override { return base_->raw_images(); }

  Batch get(std::span<const int64_t> indices) const override {
    Batch batch = base_->get(indices);
    std::vector<at::Tensor> inputs;
    for (size_t i = 0; i < order_.size(); ++i) {
      const at::Tensor& array = batch.inputs[order_[i]];
      inputs.push_back(widened_[i] ? array.to(fields_[i].dtype) : array);
    }
    batch.inputs = std::move(inputs);
    return batch;
  }

 private:
  std::shared_ptr<const Dataset> base_;
  std::vector<size_t> order_;
  std::vector<FieldInfo> fields_;
  std::vector<bool> widened_;
};

}  // namespace

std::vector<size_t> match_fields(const std::vector<FieldInfo>& fields, const std::vector<std::string>& inputs,
                                 const std::map<std::string, std::string>& given) {
  const std::vector<std::string> names = names_of(fields);
  std::vector<std::optional<size_t>> found(inputs.size());
  for (const auto& [field, input] : given) {
    const size_t from = index_of(names, field);
    MC_CHECK(from < names.size(), "`inputs` names the field '{}', which the data lacks{}; it has {}", field,
             did_you_mean(field, names), join(names, ", "));
    const size_t to = index_of(inputs, input);
    MC_CHECK(to < inputs.size(), "`inputs` names '{}', which is no input of the graph{}; it has {}", input,
             did_you_mean(input, inputs), join(inputs, ", "));
    found[to] = from;
  }
  std::vector<size_t> order;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!found[i] && index_of(names, inputs[i]) < names.size()) found[i] = index_of(names, inputs[i]);
    if (!found[i] && inputs.size() == 1 && names.size() == 1) found[i] = 0;
    MC_CHECK(
        found[i].has_value(),
        "no field of the data feeds the graph's input '{}'{}; say which with `inputs: {{FIELD: {}}}`; the "
        "data has {}",
        inputs[i], did_you_mean(inputs[i], names), inputs[i], join(names, ", "));
    order.push_back(*found[i]);
  }
  return order;
}

std::shared_ptr<const Dataset> select_fields(std::shared_ptr<const Dataset> dataset,
                                             const std::vector<std::string>& inputs,
                                             const std::map<std::string, std::string>& given) {
  std::vector<size_t> order = match_fields(dataset->fields(), inputs, given);
  return std::make_shared<SelectedFields>(std::move(dataset), std::move(order), inputs,
                                          std::vector<at::ScalarType>());
}

std::shared_ptr<const Dataset> select_fields(std::shared_ptr<const Dataset> dataset, const Model& model,
                                             const std::map<std::string, std::string>& given) {
  const std::vector<std::string> inputs = input_names(model);
  std::vector<at::ScalarType> types;
  for (const ValueInfo* input : model.graph.real_inputs()) {
    types.push_back(input->type.is_tensor() ? to_scalar_type(input->type.dtype) : at::kFloat);
  }
  std::vector<size_t> order = match_fields(dataset->fields(), inputs, given);
  return std::make_shared<SelectedFields>(std::move(dataset), std::move(order), inputs, types);
}

std::vector<std::string> input_names(const Model& model) {
  std::vector<std::string> names;
  for (const ValueInfo* input : model.graph.real_inputs()) names.push_back(input->name);
  return names;
}

std::vector<FieldInfo> fields_of(const Model& model) {
  std::vector<FieldInfo> fields;
  for (const ValueInfo* input : model.graph.real_inputs()) {
    const Type& type = input->type;
    MC_CHECK(type.is_tensor() && type.shape && !type.shape->empty(),
             "input '{}' is {}; data can feed only tensors whose first axis is the sample", input->name,
             to_string(type));
    FieldInfo field{input->name, to_scalar_type(type.dtype), {}};
    for (auto dim = type.shape->begin() + 1; dim != type.shape->end(); ++dim)
      field.shape.push_back(dim->value);
    fields.push_back(std::move(field));
  }
  return fields;
}

}  // namespace mc
