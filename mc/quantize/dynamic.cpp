#include "mc/quantize/dynamic.h"

#include <map>
#include <set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/slot.h"
#include "mc/quantize/check_float.h"
#include "mc/quantize/matrix_layers.h"
#include "mc/rewrite/convert_opset.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

constexpr int64_t kDynamicOpset = 11;  // DynamicQuantizeLinear

class DynamicQuantizer {
 public:
  DynamicQuantizer(const Model& model, const DynamicOptions& options)
      : model_(model), limit_(options.reduce_range ? 63 : 127) {
    check_float(model_.graph);
    if (model_.opset() < kDynamicOpset) convert_opset(model_, kDynamicOpset);
    apply_passes(model_, inference_passes());
    found_ = find_matrix_layers(model_, options.keep_float, false);
    for (const Node& node : graph().nodes) {
      if (node.is("LSTM") || node.is("GRU") || node.is("RNN")) {
        found_.report.push_back({node.name, node.op_type, false, "recurrent layers stay float"});
      }
    }
  }

  DynamicModel run() {
    const at::NoGradGuard no_grad;
    std::map<size_t, MatrixLayer> layers;
    for (const MatrixLayer& layer : found_.layers) layers[layer.node] = layer;
    std::vector<Node> old = graph().nodes;  // matrix_of reads the graph's
    for (size_t i = 0; i < old.size(); ++i) {
      const auto layer = layers.find(i);
      if (layer == layers.end()) {
        made_.push_back(std::move(old[i]));
      } else {
        with_context([&] { return old[i].label(); }, [&] { replace(old[i], layer->second); });
      }
    }
    graph().nodes = std::move(made_);
    graph().drop_unused();
    return {std::move(model_), std::move(found_.report)};
  }

 private:
  struct Codes {
    std::string values, scale, zero_point;
  };

  Graph& graph() { return model_.graph; }

  // A name that neither the graph nor a node made so far has.
  std::string new_value(const std::string& wanted) {
    std::string name = graph().unique_value_name(wanted);
    for (int i = 2; !names_.insert(name).second; ++i) {
      name = graph().unique_value_name(wanted + "_" + std::to_string(i));
    }
    return name;
  }

  // Adds a node that stands for `source`; gives its output, `output` or a new name made of the source's.
  std::string emit(const Node& source, const char* type, std::vector<std::string> inputs,
                   std::string output = "") {
    Node node;
    node.op_type = type;
    node.inputs = std::move(inputs);
    if (output.empty()) output = new_value(source.outputs[0] + "_" + type);
    node.outputs = {output};
    node.name = graph().unique_node_name(output + "/" + type);
    add_source(node, source);
    made_.push_back(std::move(node));
    return output;
  }

  const Codes& codes_of(const std::string& value) {
    Codes& codes = codes_[value];
    if (!codes.values.empty()) return codes;
    codes = {new_value(value + "_quantized"), new_value(value + "_scale"), new_value(value + "_zero_point")};
    Node node;
    node.op_type = "DynamicQuantizeLinear";
    node.name = graph().unique_node_name(value + "/DynamicQuantizeLinear");
    node.inputs = {value};
    node.outputs = {codes.values, codes.scale, codes.zero_point};
    made_.push_back(std::move(node));
    return codes;
  }

  std::string constant(const std::string& wanted, const at::Tensor& values) {
    const std::string name = graph().unique_value_name(wanted);
    graph().add_initializer(name, to_constant(values.contiguous()));
    return name;
  }

  void replace(const Node& node, const MatrixLayer& layer) {
    const at::Tensor weight = matrix_of(graph(), layer);
    MC_CHECK(at::isfinite(weight).all().item<bool>(), "the weight holds NaN or infinity");
    at::Tensor scale = weight.abs().amax(1) / limit_;
    scale = at::where(scale > 0, scale, at::ones_like(scale));
    const at::Tensor integers = at::round(weight / scale.unsqueeze(1)).clamp(-limit_, limit_).to(at::kChar);
    const std::string base = node.inputs[1];
    const std::string codes = constant(base + "_int8", integers.t());
    const std::string zero = constant(base + "_zero_point", at::zeros_like(scale, at::kChar));
    const std::string scales = constant(base + "_scale", scale);
    const Codes& input = codes_of(node.inputs[0]);
    const std::string sum = emit(node, "MatMulInteger", {input.values, codes, input.zero_point, zero});
    const std::string factors = emit(node, "Mul", {input.scale, scales});
    const std::string wide = emit(node, "Cast", {sum});
    made_.back().set({"to", static_cast<int64_t>(DType::kFloat)});
    if (node.input(2).empty()) {
      emit(node, "Mul", {wide, factors}, node.outputs[0]);
    } else {
      emit(node, "Add", {emit(node, "Mul", {wide, factors}), node.inputs[2]}, node.outputs[0]);
    }
  }

  Model model_;
  double limit_;
  MatrixLayers found_;
  std::vector<Node> made_;
  std::set<std::string> names_;         // values that they make
  std::map<std::string, Codes> codes_;  // by the value that was quantized
};

}  // namespace

DynamicModel quantize_dynamic(const Model& model, const DynamicOptions& options) {
  return DynamicQuantizer(model, options).run();
}

}  // namespace mc
