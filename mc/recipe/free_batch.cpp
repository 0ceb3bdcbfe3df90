#include "mc/recipe/free_batch.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr const char* kBatch = "batch";

int64_t fixed_batch(const Graph& graph) {
  int64_t size = -1;
  for (const ValueInfo* input : graph.real_inputs()) {
    const Type& type = input->type;
    if (!type.is_tensor() || !type.shape || type.shape->empty() || !type.shape->front().known()) return -1;
    int64_t dim = type.shape->front().value;
    if (size >= 0 && dim != size) return -1;
    size = dim;
  }
  return size;
}

void free_first_dim(Type& type, int64_t size) {
  if (!type.is_tensor() || !type.shape || type.shape->empty()) return;
  Dim& first = type.shape->front();
  if (first.value == size) first = Dim(kBatch);
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

}  // namespace

int64_t free_batch(Model& model) {
  Graph& graph = model.graph;
  const int64_t size = fixed_batch(graph);
  if (size < 0) return -1;
  std::set<std::string> fed;
  for (const ValueInfo* input : graph.real_inputs()) fed.insert(input->name);
  for (ValueInfo& input : graph.inputs) {
    if (fed.count(input.name)) free_first_dim(input.type, size);
  }
  for (ValueInfo& output : graph.outputs) free_first_dim(output.type, size);
  graph.value_infos.clear();  // inference writes them anew
  free_reshapes(graph, size);
  graph.drop_unused();
  return size;
}

}  // namespace mc
