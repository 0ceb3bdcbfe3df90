#include "mc/recipe/imported.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "mc/graph/fixed_batch.h"
#include "mc/module/state.h"
#include "mc/recipe/weight_masks.h"
#include "mc/rewrite/pass.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr const char* kBatchDimension = "batch";

// The batch that all inputs are fixed to, or -1.
int64_t common_batch(const Graph& graph) {
  int64_t size = -1;
  for (const ValueInfo* input : graph.real_inputs()) {
    const int64_t dim = fixed_batch(input->type);
    if (dim < 0 || (size >= 0 && dim != size)) return -1;
    size = dim;
  }
  return size;
}

void free_first_dim(Type& type, int64_t size) {
  if (!type.is_tensor() || !type.shape || type.shape->empty()) return;
  Dim& first = type.shape->front();
  if (first.value == size) first = Dim(kBatchDimension);
}

// [N, ...] becomes [-1, ...], or [0, ...] (the size of the input's first axis) where -1 is taken.
void free_reshapes(Graph& graph, int64_t size) {
  const Uses uses(graph);
  std::vector<std::pair<size_t, std::vector<int64_t>>> changes;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!node.is("Reshape") || constant_value(graph, uses, node.input(0))) continue;
    const Tensor* shape = constant_value(graph, uses, node.input(1));
    if (!shape || shape->dims.size() != 1) continue;
    std::vector<int64_t> dims = shape->as_ints();
    if (dims.empty() || dims[0] != size) continue;
    const bool taken = std::find(dims.begin(), dims.end(), -1) != dims.end();
    if (taken && node.get_int("allowzero", 0) != 0) continue;
    dims[0] = taken ? 0 : -1;
    changes.emplace_back(i, std::move(dims));
  }
  for (auto& [index, dims] : changes) {
    const std::string name = graph.unique_value_name(graph.nodes[index].inputs[1] + "_free_batch");
    graph.add_initializer(name, Tensor::int64s({static_cast<int64_t>(dims.size())}, dims));
    graph.nodes[index].inputs[1] = name;
  }
}

// Returns the size that was fixed, or -1.
int64_t free_inputs(Graph& graph) {
  const int64_t size = common_batch(graph);
  if (size < 0) return -1;
  std::set<std::string> fed;
  for (const ValueInfo* input : graph.real_inputs()) fed.insert(input->name);
  for (ValueInfo& input : graph.inputs) {
    if (fed.count(input.name)) free_first_dim(input.type, size);
  }
  graph.value_infos.clear();  // inference writes them anew
  return size;
}

bool is_zero(const Tensor& tensor) {
  const std::vector<double> values = tensor.as_doubles();
  return std::all_of(values.begin(), values.end(), [](double value) { return value == 0; });
}

// A bias that is no initializer and adds nothing.
void drop_zero_biases(Graph& graph) {
  const Uses uses(graph);
  for (Node& node : graph.nodes) {
    if (!node.is("Conv") || node.inputs.size() != 3 || graph.initializer(node.inputs[2])) continue;
    const Tensor* bias = constant_value(graph, uses, node.inputs[2]);
    if (bias && is_zero(*bias)) node.inputs.resize(2);
  }
}

}  // namespace

int64_t tidy_import(Model& model) {
  lift_constants(model);
  const int64_t size = free_inputs(model.graph);
  apply_passes(model, {"infer_shapes", "fold_types", "fold_constants"});
  take_weight_masks(model);  // when nothing asks for the shapes of weights any more
  if (size >= 0) {
    free_reshapes(model.graph, size);
    for (ValueInfo& output : model.graph.outputs) free_first_dim(output.type, size);
    model.graph.value_infos.clear();
  }
  drop_zero_biases(model.graph);
  model.graph.drop_unused();
  return size;
}

}  // namespace mc
