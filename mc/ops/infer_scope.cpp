#include "mc/ops/infer_scope.h"

#include <algorithm>

#include "mc/ops/infer_helpers.h"
#include "mc/ops/op.h"

namespace mc {
namespace {

constexpr int64_t kFoldLimit = 1024;  // elements: shapes and the arithmetic on them, not weights

bool small(const Type& type) {
  if (!type.is_tensor() || !type.shape || !all_known(*type.shape)) return false;
  return element_count(*type.shape) <= kFoldLimit;
}

bool foldable(const Op& op, const Node& node) {
  const bool random = op.name.starts_with("Random") || op.name == "Bernoulli" || op.name == "Multinomial" ||
                      op.name == "Dropout";
  const bool subgraphs = std::any_of(node.attributes.begin(), node.attributes.end(),
                                     [](const Attribute& attribute) { return !attribute.graphs().empty(); });
  return op.bind && op.domain.empty() && !random && !subgraphs;
}

}  // namespace

Type refine(Type inferred, const Type& declared) {
  if (inferred.kind == Type::Kind::kUnknown) return declared;
  if (!inferred.is_tensor() || !declared.is_tensor()) return inferred;
  if (inferred.denotation.empty()) inferred.denotation = declared.denotation;
  if (inferred.dtype == DType::kUndefined) inferred.dtype = declared.dtype;
  if (!declared.shape) return inferred;
  if (!inferred.shape) {
    inferred.shape = declared.shape;
  } else if (inferred.shape->size() == declared.shape->size()) {
    for (size_t i = 0; i < inferred.shape->size(); ++i) {
      Dim& dim = (*inferred.shape)[i];
      const Dim& other = (*declared.shape)[i];
      const std::string denotation = other.denotation;
      if (!dim.known() && dim.symbol.empty()) dim = other;
      dim.denotation = denotation;
    }
  }
  return inferred;
}

std::optional<std::vector<Tensor>> fold_node(const Op& op, const Node& node, int64_t opset,
                                             const Scope& scope, const std::vector<Type>& outputs) {
  if (!foldable(op, node)) return std::nullopt;
  const bool literal = node.op_type == "Constant";  // any size: nothing is computed
  if (!literal && !std::all_of(outputs.begin(), outputs.end(), small)) return std::nullopt;
  std::vector<const Tensor*> constants(node.inputs.size());
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i].empty()) continue;
    const Value* value = scope.find(node.inputs[i]);
    if (!value || !value->constant || value->constant->count() > kFoldLimit) return std::nullopt;
    constants[i] = &*value->constant;
  }
  try {
    std::vector<Slot> slots;
    std::vector<int> inputs;
    std::vector<int> results;
    for (const Tensor* constant : constants) {
      inputs.push_back(constant ? static_cast<int>(slots.size()) : -1);
      if (constant) slots.push_back(to_slot(*constant));
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      results.push_back(static_cast<int>(slots.size()));
      slots.emplace_back();
    }
    RunContext run;
    const auto constant = [&](size_t i) { return i < constants.size() ? constants[i] : nullptr; };
    op.bind(BindContext{node, opset, constant})(KernelArgs(run, slots.data(), inputs, results, 0));
    std::vector<Tensor> values;
    for (int slot : results) {
      if (!slots[slot].tensor.defined() || slots[slot].extra) return std::nullopt;
      values.push_back(to_constant(slots[slot].tensor));
    }
    return values;
  } catch (const std::exception&) {
    return std::nullopt;  // running the model will say what is wrong with it; its shapes are just not known
  }
}

}  // namespace mc
