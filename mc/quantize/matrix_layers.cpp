#include "mc/quantize/matrix_layers.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/slot.h"
#include "mc/quantize/name_patterns.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

// The input that holds the matrix.
size_t matrix_port(const Node& node) {
  return node.op_type == "Gather" ? 0 : 1;
}

// Why the layer stays float; empty when it does not.
std::string matrix_obstacle(const Graph& graph, const Uses& uses, const Node& node,
                            const std::vector<std::string>& keep_float) {
  if (matches(node, keep_float)) return "named in keep_float";
  const std::string name = node.input(matrix_port(node));
  const Tensor* weight = graph.initializer(name) ? constant_value(graph, uses, name) : nullptr;
  if (!weight) return "its weight is not a constant";
  if (weight->dtype != DType::kFloat) return "its weight is not float32";
  if (weight->dims.size() != 2) return "its weight is not a matrix";
  if (weight->count() == 0) return "its weight is empty";
  if (uses.consumers(name).size() > 1 || uses.is_output(name))
    return "its weight is shared with another node";
  if (node.op_type == "Gather" && node.get_int("axis", 0) != 0) return "it does not gather rows";
  if (node.op_type != "Gather" && graph.initializer(node.input(0))) return "its input is a constant";
  if (node.op_type == "Gemm") {
    if (node.get_float("alpha", 1) != 1 || node.get_float("beta", 1) != 1) return "alpha or beta is not 1";
    if (node.get_int("transA", 0) != 0) return "its input is transposed";
    const Tensor* bias = constant_value(graph, uses, node.input(2));
    const int64_t rows = weight->dims[node.get_int("transB", 0) != 0 ? 0 : 1];
    if (!node.input(2).empty() && !(bias && bias->dims == std::vector<int64_t>{rows})) {
      return "its bias is not a constant of one number for each output";
    }
  }
  return "";
}

}  // namespace

MatrixLayers find_matrix_layers(const Model& model, const std::vector<std::string>& keep_float,
                                bool embeddings) {
  const Graph& graph = model.graph;
  check_patterns("keep_float", keep_float, node_names(graph));
  const Uses uses(graph);
  MatrixLayers result;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const bool gather = embeddings && node.is("Gather");
    if (!node.is("MatMul") && !node.is("Gemm") && !gather) continue;
    // Most Gathers pick from shapes and activations; those are no embeddings.
    if (gather && !graph.initializer(node.input(0))) continue;
    const std::string reason = matrix_obstacle(graph, uses, node, keep_float);
    result.report.push_back({node.name, node.op_type, reason.empty(), reason});
    if (!reason.empty()) continue;
    result.layers.push_back({i, gather || node.get_int("transB", 0) != 0, gather});
  }
  MC_CHECK(!result.layers.empty(), "quantize: no layer can be quantized: {}",
           result.report.empty() ? "the model has no matrix product"
                                 : result.report[0].node + ": " + result.report[0].reason);
  return result;
}

at::Tensor matrix_of(const Graph& graph, const MatrixLayer& layer) {
  const Node& node = graph.nodes[layer.node];
  const at::Tensor stored = to_aten(graph.initializer(node.inputs[matrix_port(node)])->tensor, false);
  return layer.rows_first ? stored : stored.t().contiguous();
}

}  // namespace mc
