#include "mc/quantize/rounding_regions.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "mc/quantize/fake_quantize_node.h"

namespace mc {
namespace {

// Pointwise functions that stay with the layer before them: the error that they hide need not be mended.
constexpr std::array kTailActivations = {
    "Relu",  "Clip",    "LeakyRelu",   "PRelu",    "Elu",  "Selu", "Celu",     "Gelu",     "HardSwish",
    "Swish", "Sigmoid", "HardSigmoid", "Softplus", "Tanh", "Mish", "Softsign", "QuickGelu"};

class RegionFinder {
 public:
  explicit RegionFinder(const Model& model) : graph_(model.graph), uses_(model.graph) {
    for (const ValueInfo* input : graph_.real_inputs()) active_.insert(input->name);
    for (const Node& node : graph_.nodes) classify(node);
  }

  std::vector<RoundingRegion> layers() {
    std::vector<RoundingRegion> regions;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (is_layer_[i]) add(regions, with_tail({i}, graph_.nodes[i].outputs[0]));
    }
    return regions;
  }

  std::vector<RoundingRegion> blocks() {
    std::vector<RoundingRegion> regions;
    for (const Stretch& stretch : stretches()) {
      const auto count = std::count_if(stretch.nodes.begin(), stretch.nodes.end(),
                                       [&](size_t node) { return is_layer_[node]; });
      if (count == 0) continue;
      if (stretch.nodes.size() > 1 && !stretch.exit.empty() &&
          static_cast<size_t>(count) <= kMostLayersOfABlock) {
        add(regions, with_tail(stretch.nodes, stretch.exit));
        continue;
      }
      for (const size_t node : stretch.nodes) {
        if (is_layer_[node]) add(regions, with_tail({node}, graph_.nodes[node].outputs[0]));
      }
    }
    return regions;
  }

 private:
  struct Stretch {
    std::vector<size_t> nodes;
    std::string exit;  // empty: it has several
  };

  // Active: depends on an input of the model. Main: on a weight too.
  void classify(const Node& node) {
    bool active = false, main = false, layer = false;
    for (const std::string& read : reads(node)) {
      active = active || active_.count(read);
      layer = layer || weights_.count(read);
      main = main || main_.count(read) || weights_.count(read) || is_weight(read);
    }
    const bool quantizes_weight = node.is("FakeQuantize", "mc") && !quantizes_activation(node);
    if (quantizes_weight && !active) weights_.insert(node.outputs[0]);
    is_layer_.push_back(active && layer);
    is_main_.push_back(active && main);
    for (const std::string& output : node.outputs) {
      if (active) active_.insert(output);
      if (active && main) main_.insert(output);
    }
  }

  // A float constant of more than one number.
  bool is_weight(const std::string& value) const {
    const Initializer* initializer = graph_.initializer(value);
    return initializer && dtype_is_float(initializer->tensor.dtype) && initializer->tensor.count() > 1;
  }

  // The main part of the graph, cut wherever a single main value is still to be read.
  std::vector<Stretch> stretches() const {
    std::unordered_map<std::string, size_t> last_use;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      for (const std::string& read : reads(graph_.nodes[i])) {
        if (main_.count(read)) last_use[read] = i;
      }
    }
    std::vector<Stretch> found(1);
    std::set<std::string> live;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!is_main_[i]) continue;
      found.back().nodes.push_back(i);
      for (const std::string& output : graph_.nodes[i].outputs) {
        if (last_use.count(output)) live.insert(output);
      }
      std::erase_if(live, [&](const std::string& value) { return last_use.at(value) <= i; });
      if (live.size() != 1) continue;
      found.back().exit = *live.begin();
      found.emplace_back();
    }
    std::vector<std::string> ends;
    for (const size_t node : found.back().nodes) {
      for (const std::string& output : graph_.nodes[node].outputs) {
        if (uses_.is_output(output)) ends.push_back(output);
      }
    }
    if (ends.size() == 1) found.back().exit = ends.front();
    return found;
  }

  // The node behind `value` that may join its region, if nothing else reads the value.
  std::optional<size_t> tail_of(const std::string& value) const {
    const auto& consumers = uses_.consumers(value);
    if (consumers.size() != 1 || uses_.is_output(value) || consumers[0].input == Uses::npos) return {};
    const Node& node = graph_.nodes[consumers[0].node];
    if (!is_activation(node) && !shifts(node, value)) return {};
    return consumers[0].node;
  }

  bool is_activation(const Node& node) const {
    if (quantizes_activation(node)) return !node.get_string("activation", "").empty();
    const bool own = node.domain.empty() || node.domain == "com.microsoft";
    return own && std::find(kTailActivations.begin(), kTailActivations.end(), node.op_type) !=
                      kTailActivations.end();
  }

  bool shifts(const Node& node, const std::string& value) const {
    if (node.is("FoldedBatchNormalization", "mc")) return node.inputs[0] == value;
    return node.is("Add") && (graph_.initializer(node.inputs[0]) || graph_.initializer(node.inputs[1]));
  }

  RoundingRegion with_tail(std::vector<size_t> nodes, std::string exit) const {
    while (const auto tail = tail_of(exit)) {
      nodes.push_back(*tail);
      exit = graph_.nodes[*tail].outputs[0];
      if (is_activation(graph_.nodes[*tail])) break;
    }
    RoundingRegion region;
    region.exit = std::move(exit);
    region.nodes = std::move(nodes);
    return region;
  }

  // Fills in what the region reads. A weight that an earlier one has is not learned again.
  void add(std::vector<RoundingRegion>& regions, RoundingRegion region) {
    std::unordered_set<std::string> inside;
    for (const size_t i : region.nodes) {
      inside.insert(graph_.nodes[i].outputs.begin(), graph_.nodes[i].outputs.end());
    }
    for (const size_t i : region.nodes) {
      bool learns = false;
      for (const std::string& read : reads(graph_.nodes[i])) {
        if (weights_.count(read) && learned_.insert(read).second) {
          region.weights.push_back(read);
          learns = true;
        }
        const bool known = inside.count(read) || std::ranges::count(region.entries, read);
        if (active_.count(read) && !known) region.entries.push_back(read);
      }
      if (learns) region.layers.push_back(graph_.nodes[i].name);
    }
    if (!region.weights.empty()) regions.push_back(std::move(region));
  }

  const Graph& graph_;
  Uses uses_;
  std::unordered_set<std::string> active_, main_, weights_, learned_;
  std::vector<bool> is_layer_, is_main_;  // by node
};

}  // namespace

std::vector<RoundingRegion> layer_regions(const Model& prepared) {
  return RegionFinder(prepared).layers();
}

std::vector<RoundingRegion> block_regions(const Model& prepared) {
  return RegionFinder(prepared).blocks();
}

}  // namespace mc
