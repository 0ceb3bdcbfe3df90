#include <algorithm>
#include <array>
#include <unordered_map>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/op.h"

namespace mc {
namespace {

constexpr std::array kFamilies = {
    conv_ops,
    fused_conv_ops,
    gemm_ops,
    norm_ops,
    pool_ops,
    activation_ops,
    softmax_ops,
    dropout_ops,
    attention_ops,
    quantize_ops,
    fake_quantize_ops,
    learned_fake_quantize_ops,
    integer_ops,
    folded_batch_norm_ops,
    elementwise_ops,
    logic_ops,
    cast_ops,
    shape_ops,
    layout_ops,
    join_ops,
    slice_ops,
    gather_ops,
    scatter_ops,
    pad_ops,
    reduce_ops,
    order_ops,
    constant_ops,
    random_ops,
    resize_ops,
    control_ops,
    recurrent_ops,
    sequence_ops,
    optional_ops,
    string_ops,
    scan_ops,
    loss_ops,
    sampling_ops,
    detection_ops,
    signal_ops,
    unpool_ops,
    linear_attention_ops,
    matrix_ops,
    contrib_activation_ops,
    contrib_attention_ops,
    contrib_block_ops,
    contrib_gqa_ops,
    contrib_integer_ops,
    contrib_matmul_ops,
    contrib_norm_ops,
    contrib_quant_ops,
    contrib_tensor_ops,
};

std::string_view canonical(std::string_view domain) {
  return domain == "ai.onnx" ? "" : domain;
}

std::string key_of(std::string_view domain, std::string_view op_type) {
  return std::string(canonical(domain)).append("\n").append(op_type);
}

struct Table {
  std::vector<Op> ops;
  std::unordered_map<std::string, std::vector<const Op*>> by_name;  // newest first

  Table() {
    for (auto family : kFamilies) {
      for (Op& op : family()) ops.push_back(std::move(op));
    }
    for (const Op& op : ops) by_name[key_of(op.domain, op.name)].push_back(&op);
    for (auto& [name, versions] : by_name) {
      std::sort(versions.begin(), versions.end(),
                [](const Op* a, const Op* b) { return a->since > b->since; });
    }
  }
};

const Table& table() {
  static const Table instance;
  return instance;
}

// Adds the nodes without a kernel, subgraphs included. A call of a model-local function is no operator.
void find_unsupported(const Model& model, const std::vector<Node>& nodes,
                      const std::function<int64_t(std::string_view)>& opset,
                      std::vector<std::string>& found) {
  for (const Node& node : nodes) {
    const bool is_function =
        std::any_of(model.functions.begin(), model.functions.end(), [&](const Function& f) {
          return f.name == node.op_type && canonical(f.domain) == canonical(node.domain) &&
                 f.overload == node.overload;
        });
    const int64_t version = opset(canonical(node.domain));
    if (!is_function && !find_op(node.domain, node.op_type, version)) {
      const std::string domain(canonical(node.domain).empty() ? "ai.onnx" : canonical(node.domain));
      const std::string name = node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
      found.push_back(fmt::format("node '{}' ({}.{}-{})", name, domain, node.op_type, version));
    }
    for (const Attribute& attribute : node.attributes) {
      for (const Graph* graph : attribute.graphs()) find_unsupported(model, graph->nodes, opset, found);
    }
  }
}

}  // namespace

const char* role_name(Role role) {
  switch (role) {
    case Role::kConstant:
      return "constant";
    case Role::kWeight:
      return "weight";
    case Role::kStatistic:
      return "statistic";
    case Role::kState:
      return "state";
    case Role::kMask:
      return "mask";
  }
  return "constant";
}

std::span<const Op> all_ops() {
  return table().ops;
}

const Op* find_op(std::string_view domain, std::string_view op_type, int64_t opset) {
  const auto& by_name = table().by_name;
  auto it = by_name.find(key_of(domain, op_type));
  if (it == by_name.end()) return nullptr;
  for (const Op* op : it->second) {
    if (op->since <= opset) return op;
  }
  return nullptr;
}

std::vector<std::string> unsupported_ops(const Model& model) {
  std::vector<std::string> found;
  find_unsupported(
      model, model.graph.nodes, [&](std::string_view domain) { return model.opset(domain); }, found);
  for (const Function& function : model.functions) {
    // Functions of our own domain stand for operators that have kernels; their bodies are for other readers.
    auto opset = [&](std::string_view domain) -> int64_t {
      for (const auto& [name, version] : function.opset_imports) {
        if (canonical(name) == domain) return version;
      }
      return model.opset(domain);
    };
    if (find_op(function.domain, function.name, model.opset(function.domain))) continue;
    find_unsupported(model, function.nodes, opset, found);
  }
  return found;
}

}  // namespace mc
