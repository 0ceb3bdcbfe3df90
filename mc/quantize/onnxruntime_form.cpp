#include "mc/quantize/onnxruntime_form.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mc/rewrite/passes.h"

namespace mc {
namespace {

// Where a node stands that makes a value which only one node reads.
class SoleMakers {
 public:
  explicit SoleMakers(const Graph& graph) : graph_(graph), uses_(graph) {}

  std::optional<size_t> of(const std::string& value, const char* type) const {
    const auto index = uses_.producer(value);
    if (!index || !graph_.nodes[*index].is(type)) return {};
    return uses_.consumers(value).size() == 1 && !uses_.is_output(value) ? index : std::nullopt;
  }

  bool is_made_by(const std::string& value, const char* type) const {
    const auto index = uses_.producer(value);
    return index && graph_.nodes[*index].is(type);
  }

  bool is_scalar(const std::string& value, double number) const {
    const Tensor* tensor = constant_value(graph_, uses_, value);
    return tensor && tensor->count() == 1 && dtype_is_float(tensor->dtype) &&
           tensor->as_doubles()[0] == number;
  }

 private:
  const Graph& graph_;
  const Uses uses_;
};

}  // namespace

int order_gelu(Graph& graph) {
  const SoleMakers makers(graph);
  const auto erf_plus_one = [&](const std::string& value) {
    const auto sum = makers.of(value, "Add");
    if (!sum) return false;
    const Node& add = graph.nodes[*sum];
    return (makers.of(add.inputs[0], "Erf") && makers.is_scalar(add.inputs[1], 1)) ||
           (makers.of(add.inputs[1], "Erf") && makers.is_scalar(add.inputs[0], 1));
  };
  int changed = 0;
  for (Node& product : graph.nodes) {
    if (!product.is("Mul")) continue;
    for (size_t i = 0; i < 2; ++i) {
      const auto inner = makers.of(product.inputs[i], "Mul");
      if (!inner) continue;
      Node& half = graph.nodes[*inner];
      const size_t constant = makers.is_scalar(half.inputs[0], 0.5) ? 0 : 1;
      if (!makers.is_scalar(half.inputs[constant], 0.5) || !erf_plus_one(half.inputs[1 - constant])) continue;
      std::swap(product.inputs[1 - i], half.inputs[constant]);
      // It is another value now.
      product.inputs[i] = half.outputs[0] = graph.unique_value_name(half.outputs[0] + "_doubled");
      ++changed;
      break;
    }
  }
  return changed;
}

int keep_sums_apart(Graph& graph) {
  const SoleMakers makers(graph);
  const Uses uses(graph);
  int changed = 0;
  for (Node& sum : graph.nodes) {
    const bool embeds = std::ranges::any_of(
        sum.inputs, [&](const std::string& input) { return makers.is_made_by(input, "Gather"); });
    if (!sum.is("Add") || embeds) continue;
    const bool is_normalized = std::ranges::any_of(uses.consumers(sum.outputs[0]), [&](const Uses::Use& use) {
      return use.input == 0 && graph.nodes[use.node].is("LayerNormalization");
    });
    if (!is_normalized) continue;
    sum.op_type = "Sum";
    ++changed;
  }
  return changed;
}

}  // namespace mc
