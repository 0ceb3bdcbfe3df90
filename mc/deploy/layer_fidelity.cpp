#include "mc/deploy/layer_fidelity.h"

#include <set>

#include <ATen/core/grad_mode.h>

#include "mc/base/error.h"
#include "mc/onnx/onnx.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

ModuleOptions on(const std::string& device) {
  ModuleOptions options;
  options.device = at::Device(device);
  return options;
}

// What depends on the graph's inputs: the rest is the same for every sample.
std::set<std::string> live_values(const Graph& graph) {
  std::set<std::string> live;
  for (const ValueInfo* input : graph.real_inputs()) live.insert(input->name);
  for (const Node& node : graph.nodes) {
    for (const std::string& read : reads(node)) {
      if (!live.count(read)) continue;
      live.insert(node.outputs.begin(), node.outputs.end());
      break;
    }
  }
  return live;
}

std::map<std::string, std::string> first_output_by_node(const Graph& graph) {
  std::map<std::string, std::string> result;
  for (const Node& node : graph.nodes) {
    if (!node.name.empty() && !node.outputs.empty()) result[node.name] = node.outputs[0];
  }
  return result;
}

}  // namespace

LayerFidelity::LayerFidelity(const std::filesystem::path& reference, const std::filesystem::path& other,
                             const std::string& device)
    : reference_(read_onnx(reference), on(device)), other_(read_onnx(other), on(device)) {
  reference_.eval();
  other_.eval();
  const Graph& graph = reference_.structure().graph;
  const std::set<std::string> live = live_values(graph);
  const auto by_node = first_output_by_node(graph);
  std::set<std::string> taken;
  auto pair = [&](const std::string& theirs, const std::string& ours) {
    if (live.count(ours) && taken.insert(ours).second) counterpart_[theirs] = ours;
  };
  for (const Node& node : other_.structure().graph.nodes) {
    for (const std::string& output : node.outputs) {
      if (live.count(output)) pair(output, output);
    }
  }
  for (const Node& node : other_.structure().graph.nodes) {
    const std::vector<std::string> stands_for = sources(node);
    if (stands_for.empty() || node.outputs.empty() || counterpart_.count(node.outputs[0])) continue;
    // The last of the nodes replaced made the value that the rewrite kept.
    auto replaced = by_node.find(stands_for.back());
    if (replaced != by_node.end()) pair(node.outputs[0], replaced->second);
  }
  MC_CHECK(!counterpart_.empty(),
           "no value inside {} has a counterpart in {}: their values' names have nothing in "
           "common and no node records what it stands for",
           reference.string(), other.string());
  for (const Node& node : graph.nodes) {
    for (const std::string& output : node.outputs) {
      if (taken.count(output)) order_.push_back(output);
    }
  }
}

void LayerFidelity::add(const std::vector<at::Tensor>& inputs) {
  at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> theirs;
  other_.forward_visiting(inputs, [&](const std::string& value, const at::Tensor& tensor) {
    auto found = counterpart_.find(value);
    if (found != counterpart_.end() && tensor.is_floating_point()) theirs[found->second] = tensor;
  });
  reference_.forward_visiting(inputs, [&](const std::string& value, const at::Tensor& tensor) {
    auto found = theirs.find(value);
    if (found == theirs.end() || !tensor.is_floating_point() || tensor.sizes() != found->second.sizes())
      return;
    fidelities_[value].add(tensor, found->second);
    theirs.erase(found);
  });
}

std::vector<OutputComparison> LayerFidelity::results() const {
  std::vector<OutputComparison> results;
  for (const std::string& value : order_) {
    auto found = fidelities_.find(value);
    if (found != fidelities_.end()) results.push_back(summarize(value, found->second));
  }
  return results;
}

}  // namespace mc
