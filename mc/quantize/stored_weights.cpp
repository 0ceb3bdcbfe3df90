#include "mc/quantize/stored_weights.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mc/rewrite/pass.h"

namespace mc {
namespace {

constexpr int64_t kLeastOpset = 15;  // Shape of a part of the dims

class StoredWeights {
 public:
  explicit StoredWeights(Graph& graph) : graph_(graph), uses_(graph) {
    for (const Node& node : graph_.nodes) {
      if (turns_weight(node)) stored_[node.outputs[0]] = node.inputs[0];
    }
  }

  int run() {
    if (stored_.empty()) return 0;
    const std::vector<Node> old = graph_.nodes;  // which stay until the end, so that their names are taken
    for (const Node& node : old) {
      if (!node.outputs.empty() && taken_.contains(node.outputs[0])) continue;
      if (node.is("MatMul") && stored_.contains(node.inputs[1])) {
        emit_layer(node, bias_behind(node, old));
      } else {
        graph_.nodes.push_back(node);
      }
    }
    graph_.nodes.erase(graph_.nodes.begin(), graph_.nodes.begin() + static_cast<std::ptrdiff_t>(old.size()));
    graph_.drop_unused();
    return changed_;
  }

 private:
  // A Transpose of a matrix that is an initializer, which matrix products alone read.
  bool turns_weight(const Node& node) const {
    if (!node.is("Transpose") || node.inputs.size() != 1) return false;
    const Initializer* weight = graph_.initializer(node.inputs[0]);
    if (!weight || weight->tensor.dims.size() != 2 || uses_.is_output(node.outputs[0])) return false;
    const std::vector<int64_t> order = node.get_ints("perm", {1, 0});
    return order == std::vector<int64_t>{1, 0} &&
           std::ranges::all_of(uses_.consumers(node.outputs[0]), [&](const Uses::Use& use) {
             return use.input == 1 && graph_.nodes[use.node].is("MatMul");
           });
  }

  // The Add of one number for each output behind the product, if that is all that reads it.
  const Node* bias_behind(const Node& product, const std::vector<Node>& nodes) const {
    const auto& readers = uses_.consumers(product.outputs[0]);
    if (readers.size() != 1 || readers[0].input > 1 || uses_.is_output(product.outputs[0])) return nullptr;
    const Node& add = nodes[readers[0].node];
    if (!add.is("Add")) return nullptr;
    const Initializer* bias = graph_.initializer(add.inputs[1 - readers[0].input]);
    const int64_t outputs = graph_.initializer(stored_.at(product.inputs[1]))->tensor.dims[0];
    return bias && bias->tensor.dims == std::vector<int64_t>{outputs} ? &add : nullptr;
  }

  void emit_layer(const Node& product, const Node* add) {
    const std::string& weight = stored_.at(product.inputs[1]);
    const std::string& output = add ? add->outputs[0] : product.outputs[0];
    const auto type = graph_.type_of(product.inputs[0]);
    const bool matrix = type && type->shape && type->shape->size() == 2;
    Node gemm = product;
    gemm.op_type = "Gemm";
    gemm.inputs = {matrix ? product.inputs[0] : rows_of(product.inputs[0], weight), weight};
    gemm.set({"transB", 1});
    if (add) {
      gemm.inputs.push_back(add->inputs[add->inputs[0] == product.outputs[0] ? 1 : 0]);
      taken_.insert(output);
    }
    gemm.outputs = {matrix ? output : graph_.unique_value_name(output + "_rows")};
    Node last = matrix ? std::move(gemm) : reshape(gemm.outputs[0], shape_behind(product, weight), output);
    if (!matrix) {
      graph_.nodes.push_back(std::move(gemm));
      add_source(last, product);
    }
    if (add) add_source(last, *add);
    graph_.nodes.push_back(std::move(last));
    ++changed_;
  }

  Node make(const std::string& type, std::vector<std::string> inputs, const std::string& output) const {
    Node node;
    node.op_type = type;
    node.name = graph_.unique_node_name(output + "/" + type);
    node.inputs = std::move(inputs);
    node.outputs = {output};
    return node;
  }
  Node reshape(const std::string& value, const std::string& shape, const std::string& output) const {
    return make("Reshape", {value, shape}, output);
  }

  std::string constant(const std::string& wanted, const std::vector<int64_t>& values) {
    const std::string name = graph_.unique_value_name(wanted);
    graph_.add_initializer(name, Tensor::int64s({static_cast<int64_t>(values.size())}, values));
    return name;
  }

  std::string rows_of(const std::string& input, const std::string& weight) {
    std::string& rows = rows_[input];
    if (!rows.empty()) return rows;
    rows = graph_.unique_value_name(input + "_rows");
    const int64_t width = graph_.initializer(weight)->tensor.dims[1];
    graph_.nodes.push_back(reshape(input, constant(rows + "_shape", {-1, width}), rows));
    return rows;
  }

  // The input's dims, and the outputs of the layer in place of the last: fixed where one is open at most.
  std::string shape_behind(const Node& product, const std::string& weight) {
    const std::string& input = product.inputs[0];
    const int64_t outputs = graph_.initializer(weight)->tensor.dims[0];
    std::string& shape = shapes_[{input, outputs}];
    if (!shape.empty()) return shape;
    const std::string wanted = product.outputs[0] + "_shape";
    const auto type = graph_.type_of(input);
    if (type && type->shape && !type->shape->empty() && open_dims(*type->shape) <= 1) {
      std::vector<int64_t> dims;
      for (const Dim& dim : *type->shape) dims.push_back(dim.value);
      dims.back() = outputs;
      return shape = constant(wanted, dims);
    }
    std::string& leading = leading_[input];
    if (leading.empty()) {
      leading = graph_.unique_value_name(input + "_leading");
      Node sizes = make("Shape", {input}, leading);
      sizes.set({"end", -1});
      graph_.nodes.push_back(std::move(sizes));
    }
    Node join =
        make("Concat", {leading, constant(wanted + "_end", {outputs})}, graph_.unique_value_name(wanted));
    join.set({"axis", 0});
    shape = join.outputs[0];
    graph_.nodes.push_back(std::move(join));
    return shape;
  }

  // Of all but the last; a dim of zero would be taken for "as the input has it".
  static int64_t open_dims(const Shape& shape) {
    return std::count_if(shape.begin(), shape.end() - 1, [](const Dim& dim) { return dim.value <= 0; });
  }

  Graph& graph_;
  const Uses uses_;
  std::map<std::string, std::string> stored_;  // weights, by their transposed values
  std::map<std::string, std::string> rows_;    // by input
  std::map<std::string, std::string> leading_;
  std::map<std::pair<std::string, int64_t>, std::string> shapes_;
  std::set<std::string> taken_;  // sums that a Gemm makes
  int changed_ = 0;
};

}  // namespace

int use_stored_weights(Model& model) {
  return model.opset() < kLeastOpset ? 0 : StoredWeights(model.graph).run();
}

}  // namespace mc
