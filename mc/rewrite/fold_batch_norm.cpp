#include <cmath>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/slot.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

// y = scale * x + shift for each channel, in double.
struct Affine {
  at::Tensor scale;
  at::Tensor shift;
};

at::Tensor as_double(const Tensor& tensor) {
  return to_aten(tensor, false).to(at::kDouble);
}

std::optional<Affine> affine_of(const Graph& graph, const Uses& uses, const Node& norm) {
  const Tensor* parts[4];
  for (size_t i = 0; i < 4; ++i) {
    parts[i] = constant_value(graph, uses, norm.input(i + 1));
    if (!parts[i] || !dtype_is_float(parts[i]->dtype) || parts[i]->dims.size() != 1) return std::nullopt;
  }
  const double epsilon = norm.get_float("epsilon", 1e-5f);
  Affine affine;
  affine.scale = as_double(*parts[0]) / (as_double(*parts[3]) + epsilon).sqrt();
  affine.shift = as_double(*parts[1]) - as_double(*parts[2]) * affine.scale;
  return affine;
}

// A weight whose output channels are scaled, and the bias that goes with it.
struct Folded {
  at::Tensor weight;
  at::Tensor bias;
};

at::Tensor scaled(const at::Tensor& weight, const at::Tensor& scale, int64_t axis) {
  std::vector<int64_t> shape(weight.dim(), 1);
  shape[axis] = scale.numel();
  return weight * scale.view(shape);
}

at::Tensor moved(const Tensor* bias, double factor, const Affine& affine) {
  if (!bias) return affine.shift;
  return as_double(*bias) * factor * affine.scale + affine.shift;
}

std::optional<Folded> fold_conv(const Node& node, const Tensor& weight, const Tensor* bias,
                                const Affine& affine) {
  const at::Tensor w = as_double(weight);
  const int64_t channels = affine.scale.numel();
  if (w.dim() < 3) return std::nullopt;
  if (node.op_type == "Conv") {
    if (w.size(0) != channels) return std::nullopt;
    return Folded{scaled(w, affine.scale, 0), moved(bias, 1, affine)};
  }
  // ConvTranspose: [in, out / group, ...]; the inputs of a group see its outputs only.
  const int64_t group = node.get_int("group", 1);
  if (group < 1 || w.size(0) % group != 0 || w.size(1) * group != channels) return std::nullopt;
  const at::Tensor by_group = w.reshape({group, w.size(0) / group, w.size(1), -1});
  const at::Tensor folded = by_group * affine.scale.view({group, 1, w.size(1), 1});
  return Folded{folded.reshape(w.sizes()), moved(bias, 1, affine)};
}

std::optional<Folded> fold_gemm(const Node& node, const Tensor& weight, const Tensor* bias,
                                const Affine& affine) {
  const at::Tensor w = as_double(weight);
  const int64_t axis = node.op_type == "Gemm" && node.get_int("transB", 0) ? 0 : 1;
  if (w.dim() != 2 || w.size(axis) != affine.scale.numel()) return std::nullopt;
  if (bias && bias->dims.size() > 1) return std::nullopt;
  return Folded{scaled(w, affine.scale, axis), moved(bias, node.get_float("beta", 1), affine)};
}

// BatchNormalization counts channels on axis 1, a product on its last: one and the same for matrices only.
bool makes_matrix(const Graph& graph, const Node& node) {
  if (node.op_type == "Gemm") return true;
  const auto type = graph.type_of(node.outputs[0]);
  return type && type->shape && type->shape->size() == 2;
}

// Gives the node's input `port` the value: in place where nothing else reads it, else as a new initializer.
void set_input(Graph& graph, const Uses& uses, Node& node, size_t port, const std::string& wanted,
               const at::Tensor& value, DType dtype) {
  node.inputs.resize(std::max(node.inputs.size(), port + 1));
  std::string& input = node.inputs[port];
  Tensor constant = to_constant(value.to(to_scalar_type(dtype)));
  Initializer* own = input.empty() ? nullptr : graph.initializer(input);
  if (own && uses.consumers(input).size() == 1 && !uses.is_output(input)) {
    constant.metadata = own->tensor.metadata;
    constant.doc = own->tensor.doc;
    own->tensor = std::move(constant);
    return;
  }
  input = graph.unique_value_name(wanted);
  graph.add_initializer(input, std::move(constant));
}

std::string bias_name(const std::string& weight) {
  static constexpr std::string_view kWeight = "weight";
  const bool named = weight.ends_with(kWeight);
  return named ? weight.substr(0, weight.size() - kWeight.size()) + "bias" : weight + ".bias";
}

bool fold_into(Graph& graph, const Uses& uses, Node& node, const Node& norm) {
  const bool conv = node.is("Conv") || node.is("ConvTranspose");
  if (!conv && !((node.is("Gemm") || node.is("MatMul")) && makes_matrix(graph, node))) return false;
  const Tensor* weight = constant_value(graph, uses, node.input(1));
  const Tensor* bias = constant_value(graph, uses, node.input(2));
  if (!weight || !dtype_is_float(weight->dtype) || (!bias && !node.input(2).empty())) return false;
  const auto affine = affine_of(graph, uses, norm);
  if (!affine) return false;
  const auto folded =
      conv ? fold_conv(node, *weight, bias, *affine) : fold_gemm(node, *weight, bias, *affine);
  if (!folded) return false;
  const DType dtype = weight->dtype;
  const std::string bias_wanted = bias_name(node.input(1));
  set_input(graph, uses, node, 1, node.input(1) + ".folded", folded->weight, dtype);
  set_input(graph, uses, node, 2, bias_wanted, folded->bias, dtype);
  if (node.op_type == "MatMul") node.op_type = "Gemm";
  node.erase("beta");
  std::erase_if(graph.value_infos, [&](const ValueInfo& info) { return info.name == node.outputs[0]; });
  node.outputs[0] = norm.outputs[0];
  absorb(node, norm);
  return true;
}

bool unread(const Uses& uses, const std::string& value) {
  return value.empty() || (uses.consumers(value).empty() && !uses.is_output(value));
}

// Folds node `i` into the one before it, if it is a batch norm and that is possible.
bool fold_one(Graph& graph, size_t i) {
  const Node& norm = graph.nodes[i];
  if (!norm.is("BatchNormalization") || norm.inputs.size() != 5 || norm.get_int("spatial", 1) != 1)
    return false;
  const Uses uses(graph);
  // In training form it gives its running statistics too.
  for (size_t k = 1; k < norm.outputs.size(); ++k) {
    if (!unread(uses, norm.outputs[k])) return false;
  }
  const std::string& between = norm.inputs[0];
  const auto producer = uses.producer(between);
  if (!producer || uses.consumers(between).size() != 1 || uses.is_output(between)) return false;
  return fold_into(graph, uses, graph.nodes[*producer], norm);
}

}  // namespace

int fold_batch_norm(Model& model) {
  Graph& graph = model.graph;
  int folded = 0;
  for (size_t i = 0; i < graph.nodes.size();) {
    if (fold_one(graph, i)) {
      graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(i));
      ++folded;
    } else {
      ++i;
    }
  }
  return folded;
}

}  // namespace mc
