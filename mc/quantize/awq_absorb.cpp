#include "mc/quantize/awq_absorb.h"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>

#include "mc/ops/slot.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

class Absorber {
 public:
  Absorber(Graph& graph, const at::Tensor& factors)
      : graph_(graph), uses_(graph), inverse_(factors.to(at::kDouble).reciprocal()) {}

  // Plans the changes; nothing happens before apply().
  bool divide(const std::string& value, const std::set<size_t>& readers) {
    const auto producer = uses_.producer(value);
    if (!producer || uses_.is_output(value) || graph_.nodes[*producer].outputs[0] != value) return false;
    const auto& consumers = uses_.consumers(value);
    const bool alone = std::ranges::all_of(consumers, [&](const Uses::Use& use) {
      return use.input != Uses::npos && readers.contains(use.node);
    });
    return alone && divide_output(*producer);
  }

  void apply() {
    for (const Change& change : changes_) {
      std::string& port = graph_.nodes[change.node].inputs[change.port];
      const std::string name = graph_.unique_value_name(port + "_scaled");
      graph_.add_initializer(name, to_constant(change.values));
      port = name;
    }
  }

 private:
  struct Change {
    size_t node;
    size_t port;
    at::Tensor values;
  };

  bool divide_output(size_t index) {
    const Node& node = graph_.nodes[index];
    if (node.is("LayerNormalization") || node.is("RMSNormalization") ||
        node.is("SimplifiedLayerNormalization")) {
      return node.get_int("axis", -1) == -1 && scale_vector(index, 1) &&
             (node.input(2).empty() || scale_vector(index, 2));
    }
    if (node.is("Relu")) return divide(node.inputs[0], {index});
    if (node.is("Mul")) return scale_vector(index, 1) || scale_vector(index, 0);
    if (node.is("Add")) {
      if (scale_vector(index, 1)) return divide(node.inputs[0], {index});
      return scale_vector(index, 0) && divide(node.inputs[1], {index});
    }
    if (node.is("MatMul")) return scale_matrix(index, false);
    if (!node.is("Gemm") || node.get_float("alpha", 1) != 1 || node.get_float("beta", 1) != 1) return false;
    return scale_matrix(index, node.get_int("transB", 0) != 0) &&
           (node.input(2).empty() || scale_vector(index, 2));
  }

  const Tensor* constant(size_t node, size_t port) const {
    const Tensor* tensor = constant_value(graph_, uses_, graph_.nodes[node].input(port));
    return tensor && tensor->dtype == DType::kFloat ? tensor : nullptr;
  }

  void change(size_t node, size_t port, const Tensor& old, const at::Tensor& inverse) {
    changes_.push_back({node, port, (to_aten(old, false) * inverse).to(at::kFloat).contiguous()});
  }

  // A constant with one number for each factor.
  bool scale_vector(size_t node, size_t port) {
    const Tensor* old = constant(node, port);
    const int64_t count = inverse_.size(0);
    if (!old || old->dims.empty() || old->dims.back() != count || old->count() != count) return false;
    change(node, port, *old, inverse_);
    return true;
  }

  bool scale_matrix(size_t node, bool rows_first) {
    const Tensor* old = constant(node, 1);
    if (!old || old->dims.size() != 2 || old->dims[rows_first ? 0 : 1] != inverse_.size(0)) return false;
    change(node, 1, *old, rows_first ? inverse_.unsqueeze(1) : inverse_);
    return true;
  }

  Graph& graph_;
  Uses uses_;
  at::Tensor inverse_;
  std::vector<Change> changes_;
};

}  // namespace

bool absorb_division(Graph& graph, const std::string& value, const at::Tensor& factors,
                     const std::set<size_t>& readers) {
  Absorber absorber(graph, factors);
  if (!absorber.divide(value, readers)) return false;
  absorber.apply();
  return true;
}

}  // namespace mc
