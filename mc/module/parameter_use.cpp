#include "mc/module/parameter_use.h"

#include <algorithm>
#include <numeric>

#include "mc/ops/op.h"

namespace mc {
namespace {

bool one_of_names(const std::string& name, std::initializer_list<const char*> names) {
  return std::ranges::any_of(names, [&](const char* other) { return name == other; });
}

bool spans_one_axis(const Tensor& tensor) {
  return std::ranges::count_if(tensor.dims, [](int64_t dim) { return dim != 1; }) <= 1;
}

ParameterKind kind_at(const Node& node, size_t input, const Tensor& tensor) {
  const std::string& type = node.op_type;
  if (one_of_names(type, {"Conv", "ConvTranspose"}))
    return input == 1 ? ParameterKind::kConv : ParameterKind::kBias;
  if (type == "Gemm") return input < 2 ? ParameterKind::kLinear : ParameterKind::kBias;
  if (one_of_names(type, {"MatMul", "Einsum"})) return ParameterKind::kLinear;
  if (type == "Gather") return ParameterKind::kEmbedding;
  if (one_of_names(type, {"LSTM", "GRU", "RNN"})) {
    return input == 1 || input == 2 ? ParameterKind::kRecurrent : ParameterKind::kBias;
  }
  if (type.ends_with("Normalization") || type == "Mul") return ParameterKind::kNorm;
  if (type == "Add" && spans_one_axis(tensor)) return ParameterKind::kBias;
  return ParameterKind::kOther;
}

}  // namespace

ParameterUse parameter_use(const Model& model, const std::string& initializer) {
  const Uses uses(model.graph);
  const Tensor& tensor = model.graph.initializer(initializer)->tensor;
  const auto rank = static_cast<int64_t>(tensor.dims.size());
  std::vector<int64_t> axes(tensor.dims.size());  // of the value, as axes of the initializer
  std::iota(axes.begin(), axes.end(), 0);
  std::string value = initializer;
  for (size_t hops = 0; hops <= model.graph.nodes.size(); ++hops) {
    const auto& readers = uses.consumers(value);
    const auto reader =
        std::ranges::find_if(readers, [](const Uses::Use& use) { return use.input != Uses::npos; });
    if (reader == readers.end()) return {};
    const Node& node = model.graph.nodes[reader->node];
    const Op* op = find_op(node.domain, node.op_type, model.opset(node.domain));
    const bool view = op && op->passes_roles && reader->input == 0 && op->role(0) == Role::kConstant;
    if (!view || node.outputs.empty()) {
      ParameterUse use{kind_at(node, reader->input, tensor), 0};
      if (op && op->channel_axis && op->role(reader->input) == Role::kWeight && rank > 0) {
        const int64_t axis = op->channel_axis(node, reader->input, rank);
        if (axis >= 0 && axis < static_cast<int64_t>(axes.size())) use.channel_axis = axes[axis];
      }
      return use;
    }
    if (node.is("Transpose")) {
      std::vector<int64_t> perm = node.get_ints("perm");
      if (perm.empty()) {
        for (int64_t axis = rank; axis-- > 0;) perm.push_back(axis);
      }
      if (perm.size() == axes.size()) {
        std::vector<int64_t> moved;
        for (const int64_t axis : perm) moved.push_back(axes.at(axis));
        axes = std::move(moved);
      }
    }
    value = node.outputs[0];
  }
  return {};
}

}  // namespace mc
