#include "mc/prune/residual_blocks.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/graph_module.h"
#include "mc/ops/infer_node.h"

namespace mc {
namespace {

std::string block_name(const Node& node) {
  return node.name.empty() ? node.outputs[0] : node.name;
}

bool adds_two(const Node& node) {
  return (node.is("Add") || node.is("Sum")) && node.inputs.size() == 2 && node.outputs.size() == 1 &&
         !node.inputs[0].empty() && !node.inputs[1].empty() && node.inputs[0] != node.inputs[1];
}

class BlockFinder {
 public:
  explicit BlockFinder(const Model& model) : graph_(model.graph), uses_(model.graph) {
    for (const auto* infos : {&graph_.inputs, &graph_.outputs, &graph_.value_infos}) {
      for (const ValueInfo& info : *infos) types_.emplace(info.name, &info.type);
    }
  }

  std::vector<ResidualBlock> find() const {
    std::vector<ResidualBlock> blocks;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      if (!adds_two(node)) continue;
      for (size_t skip = 0; skip < 2; ++skip) {
        const std::string &kept = node.inputs[skip], &branch = node.inputs[1 - skip];
        if (!same_type(kept, node.outputs[0]) || !same_type(branch, kept) || !computed_from(branch, kept))
          continue;
        blocks.push_back(describe(n, kept, branch));
        break;
      }
    }
    return blocks;
  }

 private:
  // Known dims alike, unknown ones by the same symbol.
  bool same_type(const std::string& a, const std::string& b) const {
    const auto found_a = types_.find(a), found_b = types_.find(b);
    if (found_a == types_.end() || found_b == types_.end()) return false;
    const Type &x = *found_a->second, &y = *found_b->second;
    if (!x.is_tensor() || !y.is_tensor() || x.dtype != y.dtype || !x.shape || !y.shape) return false;
    if (x.shape->size() != y.shape->size()) return false;
    for (size_t k = 0; k < x.shape->size(); ++k) {
      const Dim &p = (*x.shape)[k], &q = (*y.shape)[k];
      if (p.known() ? p.value != q.value : p.symbol.empty() || p.symbol != q.symbol) return false;
    }
    return true;
  }

  // Whether `value` depends on `from`; nodes stand in topological order, so nothing before from's maker does.
  bool computed_from(const std::string& value, const std::string& from) const {
    const auto first = uses_.producer(from);
    std::vector<std::string> pending = {value};
    std::set<std::string> seen;
    while (!pending.empty()) {
      const std::string name = std::move(pending.back());
      pending.pop_back();
      if (name == from) return true;
      if (!seen.insert(name).second) continue;
      const auto maker = uses_.producer(name);
      if (!maker || (first && *maker <= *first)) continue;
      for (std::string& input : reads(graph_.nodes[*maker])) pending.push_back(std::move(input));
    }
    return false;
  }

  // What only the branch needs: nodes all of whose readers go.
  ResidualBlock describe(size_t sum, const std::string& kept, const std::string& branch) const {
    ResidualBlock block{block_name(graph_.nodes[sum]), kept, graph_.nodes[sum].outputs[0], {}, {}, 0};
    std::vector<bool> goes(graph_.nodes.size(), false);
    const auto unread = [&](const std::string& value) {
      if (value.empty()) return true;
      if (value == kept || uses_.is_output(value)) return false;
      return std::ranges::all_of(uses_.consumers(value), [&](const Uses::Use& use) {
        return goes[use.node] || (use.node == sum && value == branch);
      });
    };
    std::set<std::string> constants;
    for (size_t n = sum; n-- > 0;) {
      const Node& node = graph_.nodes[n];
      const bool read = std::ranges::any_of(
          node.outputs, [&](const std::string& value) { return !uses_.consumers(value).empty(); });
      if (!read || !std::ranges::all_of(node.outputs, unread)) continue;
      goes[n] = true;
      block.nodes.push_back(node.label());
      for (const std::string& input : reads(node)) {
        if (graph_.initializer(input)) constants.insert(input);
      }
    }
    std::ranges::reverse(block.nodes);
    for (const std::string& name : constants) {
      if (!unread(name)) continue;
      block.initializers.push_back(name);
      const Tensor& tensor = graph_.initializer(name)->tensor;
      if (dtype_is_float(tensor.dtype)) block.parameters += tensor.count();
    }
    return block;
  }

  const Graph& graph_;
  Uses uses_;
  std::unordered_map<std::string, const Type*> types_;
};

void take_out(Graph& graph, const ResidualBlock& block) {
  const auto node = std::ranges::find_if(
      graph.nodes, [&](const Node& n) { return n.outputs.size() == 1 && n.outputs[0] == block.output; });
  const bool is_output = std::ranges::any_of(
      graph.outputs, [&](const ValueInfo& output) { return output.name == block.output; });
  // An earlier removal may have given the other term another name.
  const size_t branch = node->inputs[0] == block.skip ? 1 : 0;
  const std::string kept = node->inputs[1 - branch];
  if (is_output) {
    node->op_type = "Identity";
    node->inputs = {kept};
    return;
  }
  const std::string output = block.output;
  graph.nodes.erase(node);
  graph.replace_uses(output, kept);
}

void remove_from(Model& model, const std::vector<std::string>& names) {
  const std::vector<ResidualBlock> blocks = residual_blocks(model);
  std::vector<std::string> known;
  for (const ResidualBlock& block : blocks) known.push_back(block.name);
  std::set<size_t> chosen;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(known, name);
    MC_CHECK(found != known.end(), "there is no residual block '{}'{}", name, did_you_mean(name, known));
    MC_CHECK(chosen.insert(static_cast<size_t>(found - known.begin())).second,
             "residual block '{}' is named twice", name);
  }
  // From the last to the first, so that the names of what remains hold until they are needed.
  for (auto at = chosen.rbegin(); at != chosen.rend(); ++at) take_out(model.graph, blocks[*at]);
  if (!chosen.empty()) model.graph.drop_unused();
}

}  // namespace

std::vector<ResidualBlock> residual_blocks(const Model& model) {
  Model typed = model;
  infer_named_shapes(typed);
  return BlockFinder(typed).find();
}

Model remove_blocks(const Model& model, const std::vector<std::string>& blocks) {
  Model result = model;
  remove_from(result, blocks);
  return result;
}

EditReport remove_blocks(GraphModule& module, const std::vector<std::string>& blocks) {
  return module.edit([&](Edit& edit) { remove_from(edit.model, blocks); });
}

}  // namespace mc
