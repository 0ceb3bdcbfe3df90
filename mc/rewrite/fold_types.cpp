#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "mc/rewrite/pass.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

// The dims that a Shape node reads out of its input, where all of them are known.
std::optional<std::vector<int64_t>> known_dims(const Node& node, const Type& type) {
  if (!type.is_tensor() || !type.shape) return std::nullopt;
  const auto rank = static_cast<int64_t>(type.shape->size());
  const auto place = [&](const char* attribute, int64_t otherwise) {
    int64_t at = node.get_int(attribute, otherwise);
    if (at < 0) at += rank;
    return std::clamp<int64_t>(at, 0, rank);
  };
  std::vector<int64_t> dims;
  for (int64_t axis = place("start", 0); axis < place("end", rank); ++axis) {
    const Dim& dim = (*type.shape)[static_cast<size_t>(axis)];
    if (!dim.known()) return std::nullopt;
    dims.push_back(dim.value);
  }
  return dims;
}

bool fold_shape(Node& node, const Type& type) {
  const std::optional<std::vector<int64_t>> dims = known_dims(node, type);
  if (!dims) return false;
  node.op_type = "Constant";
  node.inputs.clear();
  node.attributes.clear();
  node.attributes.emplace_back("value", Tensor::int64s({static_cast<int64_t>(dims->size())}, *dims));
  return true;
}

bool fold_cast_like(Node& node, const Type& type) {
  if (!type.is_tensor() || type.dtype == DType::kUndefined) return false;
  node.op_type = "Cast";
  node.inputs.resize(1);
  node.set({"to", static_cast<int64_t>(type.dtype)});
  return true;
}

}  // namespace

int fold_types(Model& model) {
  int changes = 0;
  for (Node& node : model.graph.nodes) {
    const bool shape = node.is("Shape");
    if (!shape && !node.is("CastLike")) continue;
    const std::optional<Type> type = model.graph.type_of(node.input(shape ? 0 : 1));
    if (type && (shape ? fold_shape(node, *type) : fold_cast_like(node, *type))) ++changes;
  }
  return changes;
}

}  // namespace mc
