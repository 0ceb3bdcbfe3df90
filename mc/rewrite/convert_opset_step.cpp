#include "mc/rewrite/convert_opset_step.h"

#include <algorithm>

#include "mc/graph/element.h"
#include "mc/rewrite/pass.h"

namespace mc {

const Type* OpsetScope::type(const std::string& value) const {
  for (const OpsetScope* scope = this; scope; scope = scope->outer) {
    const auto found = scope->types.find(value);
    if (found != scope->types.end()) return &found->second;
  }
  return nullptr;
}

const Tensor* OpsetScope::constant(const std::string& value) const {
  for (const OpsetScope* scope = this; scope; scope = scope->outer) {
    const auto found = scope->constants.find(value);
    if (found != scope->constants.end()) return &found->second;
  }
  return nullptr;
}

std::string OpsetNames::fresh(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; !taken.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

const Shape* OpsetStep::shape(const std::string& value) const {
  const Type* known = type(value);
  return known && known->is_tensor() && known->shape ? &*known->shape : nullptr;
}

DType OpsetStep::dtype(const std::string& value) const {
  if (const Tensor* tensor = scope_.constant(value)) return tensor->dtype;
  const Type* known = type(value);
  return known && known->is_tensor() ? known->dtype : DType::kUndefined;
}

std::optional<int64_t> OpsetStep::rank(size_t input) const {
  if (const Tensor* tensor = constant(input)) return static_cast<int64_t>(tensor->dims.size());
  const Shape* known = shape(node.input(input));
  return known ? std::optional<int64_t>(known->size()) : std::nullopt;
}

const Tensor* OpsetStep::constant(size_t input) const {
  return node.input(input).empty() ? nullptr : scope_.constant(node.inputs[input]);
}

bool OpsetStep::is_read(size_t output) const {
  return output < node.outputs.size() && !node.outputs[output].empty() &&
         names_.read.contains(node.outputs[output]);
}

DType OpsetStep::need_dtype(size_t input) const {
  const DType known = dtype(node.input(input));
  if (known == DType::kUndefined) refuse("the element type of '{}' is not known", node.input(input));
  return known;
}

int64_t OpsetStep::need_rank(size_t input) const {
  const auto known = rank(input);
  if (!known) refuse("the rank of '{}' is not known", node.input(input));
  return *known;
}

const Tensor& OpsetStep::need_constant(size_t input) const {
  const Tensor* tensor = constant(input);
  if (!tensor) refuse("opset {} takes its input {} as an attribute, but it is no constant", to, input);
  return *tensor;
}

Node OpsetStep::make(const std::string& op, std::vector<std::string> inputs, std::string output,
                     std::vector<Attribute> attributes) {
  Node made;
  made.op_type = op;
  if (!node.name.empty()) made.name = names_.fresh(node.name + "_" + op);
  made.inputs = std::move(inputs);
  made.outputs = {std::move(output)};
  made.attributes = std::move(attributes);
  if (op != "Constant") add_source(made, node);
  return made;
}

std::string OpsetStep::before(const std::string& op, std::vector<std::string> inputs,
                              std::vector<Attribute> attributes) {
  const std::string output = names_.fresh(node.outputs.at(0) + "_" + op);
  nodes_before.push_back(make(op, std::move(inputs), output, std::move(attributes)));
  return output;
}

std::string OpsetStep::constant_before(Tensor value) {
  std::string output = before("Constant", {}, {Attribute("value", value)});
  scope_.types[output] = Type::tensor(value.dtype, Shape(value.dims.begin(), value.dims.end()));
  scope_.constants[output] = std::move(value);
  return output;
}

std::string OpsetStep::ints_before(const std::vector<int64_t>& values) {
  return constant_before(Tensor::int64s({static_cast<int64_t>(values.size())}, values));
}

std::string OpsetStep::scalar_before(DType type, double value) {
  const auto scalar = [&]<class T>(T typed) {
    return Tensor::of<T>(type, {}, std::span<const T>(&typed, 1));
  };
  switch (type) {
    case DType::kFloat:
      return constant_before(scalar(static_cast<float>(value)));
    case DType::kDouble:
      return constant_before(scalar(value));
    case DType::kFloat16:
      return constant_before(scalar(encode_float16(value)));
    case DType::kBFloat16:
      return constant_before(scalar(encode_bfloat16(value)));
    case DType::kInt32:
      return constant_before(scalar(static_cast<int32_t>(value)));
    case DType::kInt64:
      return constant_before(scalar(static_cast<int64_t>(value)));
    case DType::kUInt8:
      return constant_before(scalar(static_cast<uint8_t>(value)));
    case DType::kInt8:
      return constant_before(scalar(static_cast<int8_t>(value)));
    default:
      refuse("a constant of {} is needed, for which there is no rule", dtype_name(type));
  }
}

std::string OpsetStep::rename_output(size_t i) {
  std::string fresh = names_.fresh(node.outputs.at(i) + "_" + node.op_type);
  if (const Type* known = type(node.outputs[i])) scope_.types[fresh] = *known;
  node.outputs[i] = fresh;
  return fresh;
}

void OpsetStep::after(const std::string& op, std::vector<std::string> inputs, std::string output,
                      std::vector<Attribute> attributes) {
  nodes_after.push_back(make(op, std::move(inputs), std::move(output), std::move(attributes)));
}

void OpsetStep::become(const std::string& op, std::vector<std::string> inputs,
                       std::vector<Attribute> attributes) {
  add_source(node, node);
  node.op_type = op;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
}

void OpsetStep::set_input(size_t i, std::string value) {
  if (node.inputs.size() <= i) node.inputs.resize(i + 1);
  node.inputs[i] = std::move(value);
}

void OpsetStep::trim_inputs() {
  while (!node.inputs.empty() && node.inputs.back().empty()) node.inputs.pop_back();
}

void OpsetStep::consume(size_t input) {
  if (node.input(input).empty()) return;
  names_.consumed.insert(node.inputs[input]);
  node.inputs[input].clear();
  trim_inputs();
}

void OpsetStep::drop_outputs(size_t first) {
  for (size_t i = first; i < node.outputs.size(); ++i) names_.dropped.insert(node.outputs[i]);
  if (node.outputs.size() > first) node.outputs.resize(first);
}

}  // namespace mc
