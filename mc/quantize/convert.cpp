// From the trained graph to plain QuantizeLinear/DequantizeLinear pairs around float operators, as
// engines fuse them into integer kernels.
#include <algorithm>
#include <map>
#include <set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/calibration/linear_layer.h"
#include "mc/graph/graph.h"
#include "mc/ops/fake_quantize.h"
#include "mc/ops/fake_quantize_composed.h"
#include "mc/ops/folded_batch_norm.h"
#include "mc/ops/op.h"
#include "mc/ops/slot.h"
#include "mc/quantize/block_format.h"
#include "mc/quantize/functions.h"
#include "mc/quantize/onnxruntime_form.h"
#include "mc/quantize/quantize.h"
#include "mc/quantize/settle_biases.h"
#include "mc/quantize/settle_learned.h"
#include "mc/quantize/transposed_weights.h"
#include "mc/rewrite/convert_opset.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

// Scale and zero point of a dequantized value, by initializer name.
struct Quantized {
  std::string scale;
  std::string zero_point;
  int64_t axis = -1;
  int64_t block = 0;  // neighbours along the axis that share a scale
  bool in_int4 = false;
  std::vector<int64_t> dims = {};  // of a weight
};

class Converter {
 public:
  Converter(Model& model, const QuantizeOptions& options)
      : model_(model),
        graph_(model.graph),
        target_(find_target(options.target)),
        packs_(options.weight_storage == "int4") {}

  void run() {
    std::vector<Node> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : old) {
      if (node.is("FoldedWeight", "mc")) {
        fold_weight(node);
      } else if (node.is("FoldedBatchNormalization", "mc")) {
        fold_norm(node);
      } else if (node.is("FakeQuantize", "mc")) {
        quantize(node);
      } else {
        emit(std::move(node));
      }
    }
    MC_CHECK(found_, "convert: the model has no FakeQuantize node; prepare it with prepare_qat first");
    share_ranges();
    quantize_biases();
    remove_qat_functions(model_);
    graph_.drop_unused();
    if (model_.opset() < least_opset_) convert_opset(model_, least_opset_);
    if (target_.onnxruntime_form) {
      order_gelu(graph_);
      keep_sums_apart(graph_);
    }
  }

  // What rounding did to biases that are parameters of the trained model, by their names there.
  std::vector<RoundedBias> take_rounded_biases() { return std::move(rounded_); }

 private:
  at::Tensor values(const std::string& name) const {
    const Initializer* initializer = graph_.initializer(name);
    MC_CHECK(initializer, "convert: '{}' is not an initializer", name);
    return to_aten(initializer->tensor, false);
  }

  void emit(Node node) { graph_.nodes.push_back(std::move(node)); }

  at::Tensor factor(const Node& node, size_t gamma, size_t var) const {
    return folded_scale(values(node.inputs[gamma]), values(node.inputs[var]),
                        node.get_float("epsilon", 1e-5F));
  }

  void fold_weight(const Node& node) {
    const at::Tensor weight = values(node.inputs[0]);
    std::vector<int64_t> shape(weight.dim(), 1);
    shape[node.get_int("axis", 0)] = -1;
    const at::Tensor folded = weight * factor(node, 1, 2).reshape(shape);
    graph_.add_initializer(node.outputs[0], to_constant(folded.contiguous()));
  }

  // The shift becomes the bias of the convolution, which takes over the value's name.
  void fold_norm(const Node& node) {
    const at::Tensor bias = values(node.inputs[2]) - values(node.inputs[3]) * factor(node, 1, 4);
    for (size_t i = graph_.nodes.size(); i-- > 0;) {
      Node& conv = graph_.nodes[i];
      if (conv.outputs[0] != node.inputs[0]) continue;
      const std::string name = graph_.unique_value_name(node.inputs[2] + "_folded");
      graph_.add_initializer(name, to_constant(bias.contiguous()));
      shifts_[name] = node.inputs[2];
      conv.inputs.resize(3);
      conv.inputs[2] = name;
      conv.outputs[0] = node.outputs[0];
      add_source(conv, node);
      return;
    }
    fail("convert: {} has no convolution before it", node.label());
  }

  void quantize(const Node& node) {
    found_ = true;
    if (graph_.initializer(node.inputs[0])) return quantize_weight(node);
    std::string input = node.inputs[0];
    const std::string activation = node.get_string("activation", "");
    if (!activation.empty()) input = emit_activation(node, activation);
    const bool is_signed = node.get_int("quant_min", 0) < 0;
    const at::Tensor zero_point = values(node.inputs[2]).to(is_signed ? at::kChar : at::kByte);
    MC_CHECK(at::isfinite(values(node.inputs[3])).all().item<bool>(),
             "convert: '{}' has no observed range; run training batches through the model first",
             node.outputs[0]);
    Quantized q{base(node) + "_scale", base(node) + "_zero_point"};
    graph_.set_initializer(q.scale, to_constant(values(node.inputs[1]).reshape({}).contiguous()));
    graph_.set_initializer(q.zero_point, to_constant(zero_point.reshape({}).contiguous()));
    emit_pair(narrowed(node, input), node.outputs[0], q, &node);
  }

  // A type of 8 bits saturates beyond the levels of fewer bits: a Clip before it does that for them.
  std::string narrowed(const Node& node, const std::string& input) {
    const int64_t low = node.get_int("quant_min", 0), high = node.get_int("quant_max", 255);
    if (high - low >= 255) return input;
    const double scale = values(node.inputs[1]).item<double>();
    const auto zero = values(node.inputs[2]).item<int64_t>();
    Node clip;
    clip.op_type = "Clip";
    clip.name = graph_.unique_node_name(node.outputs[0] + "/Clip");
    clip.inputs = {input};
    clip.outputs = {graph_.unique_value_name(node.outputs[0] + "_clipped")};
    for (const int64_t level : {low, high}) {
      const std::string name = graph_.unique_value_name(clip.outputs[0] + (level == low ? "_min" : "_max"));
      graph_.add_initializer(name, Tensor::scalar(static_cast<float>((level - zero) * scale)));
      clip.inputs.push_back(name);
    }
    emit(clip);
    return clip.outputs[0];
  }

  // "VALUE_quantizer.scale" -> "VALUE"
  static std::string base(const Node& node) {
    return node.inputs[1].substr(0, node.inputs[1].rfind("_quantizer.scale"));
  }

  std::string emit_activation(const Node& node, const std::string& type) {
    Node activation;
    activation.op_type = type;
    const auto names = sources(node);
    activation.name = names.empty() ? node.name + "/" + type : names.front();
    activation.inputs = {node.inputs[0]};
    activation.outputs = {graph_.unique_value_name(node.outputs[0] + "_activated")};
    if (type == "Clip") {
      for (const char* bound : {"clip_min", "clip_max"}) {
        const std::string name = graph_.unique_value_name(activation.outputs[0] + "_" + bound);
        graph_.add_initializer(name, Tensor::scalar(node.get_float(bound, 0)));
        activation.inputs.push_back(name);
      }
    }
    emit(activation);
    return activation.outputs[0];
  }

  void emit_pair(const std::string& input, const std::string& output, const Quantized& q,
                 const Node* source) {
    Node quantize;
    quantize.op_type = "QuantizeLinear";
    quantize.name = graph_.unique_node_name(output + "/QuantizeLinear");
    quantize.inputs = {input, q.scale, q.zero_point};
    quantize.outputs = {graph_.unique_value_name(output + "_quantized")};
    Node dequantize = dequantize_node(quantize.outputs[0], output, q);
    if (source) add_source(dequantize, *source);
    emit(std::move(quantize));
    emit(std::move(dequantize));
  }

  Node dequantize_node(const std::string& input, const std::string& output, const Quantized& q) {
    Node node;
    node.op_type = "DequantizeLinear";
    node.name = graph_.unique_node_name(output + "/DequantizeLinear");
    node.inputs = {input, q.scale, q.zero_point};
    node.outputs = {output};
    if (q.axis >= 0) node.set({"axis", q.axis});
    if (q.block > 0) node.set({"block_size", q.block});
    dequantized_[output] = q;
    return node;
  }

  void quantize_weight(const Node& node) {
    const at::Tensor weight = values(node.inputs[0]);
    const at::Tensor scale = values(node.inputs[1]);
    const int64_t low = node.get_int("quant_min", -127), high = node.get_int("quant_max", 127);
    const FakeQuantizeOptions grid = fake_quantize_options(node);
    Quantized q{base(node) + "_scale",
                base(node) + "_zero_point",
                grid.axis,
                grid.block,
                packs_ && low >= -8 && high <= 7,
                weight.sizes().vec()};
    const at::Tensor zero = values(node.inputs[2]);
    const at::Tensor steps = weight * spread_scales(scale, weight, grid).reciprocal();
    const at::Tensor integers =
        (steps.round() + spread_scales(zero, weight, grid)).clamp(low, high).to(at::kChar);
    std::vector<int64_t> shape;
    if (q.axis >= 0) shape = {-1};
    if (q.block > 0) {
      shape = weight.sizes().vec();
      shape[q.axis] /= q.block;
    }
    if (q.block > 0 || q.in_int4) least_opset_ = 21;
    const at::Tensor stored_scale = scale.reshape(shape);
    const std::string name = graph_.unique_value_name(base(node) + (q.in_int4 ? "_int4" : "_int8"));
    graph_.add_initializer(name, integer_constant(integers, q.in_int4));
    graph_.set_initializer(q.scale, to_constant(stored_scale.contiguous()));
    graph_.set_initializer(q.zero_point, integer_constant(zero.reshape(shape).to(at::kChar), q.in_int4));
    Node dequantize = dequantize_node(name, node.outputs[0], q);
    add_source(dequantize, node);
    emit(std::move(dequantize));
  }

  // Of signed bytes; two in a byte where they have four bits.
  static Tensor integer_constant(const at::Tensor& integers, bool in_int4) {
    Tensor tensor = to_constant(integers.contiguous());
    if (!in_int4) return tensor;
    const at::Tensor codes = integers.view(at::kByte).bitwise_and(15);
    tensor.data = to_constant(pack_codes(codes.flatten(), 4)).data;
    tensor.dtype = DType::kInt4;
    return tensor;
  }

  // Operators that only move values keep the grid of their input; a pair with the same scale behind them
  // lets the engine run them on integers.
  void share_ranges() {
    const Uses uses(graph_);
    std::vector<Node> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : old) {
      const Op* op = find_op(node.domain, node.op_type, model_.opset(node.domain));
      const bool moves = op && op->quant == QuantPart::kSameRange && !node.inputs.empty() &&
                         (node.outputs.size() == 1 || node.is("Split"));
      const auto found = moves ? dequantized_.find(node.inputs[0]) : dequantized_.end();
      if (found == dequantized_.end() || found->second.axis >= 0) {
        emit(std::move(node));
      } else {
        carry(std::move(node), found->second, uses);
      }
    }
  }

  void carry(Node node, const Quantized& q, const Uses& uses) {
    const bool alone = std::ranges::find(target_.carriers, node.op_type) != target_.carriers.end();
    std::vector<std::pair<std::string, std::string>> pairs;
    for (std::string& output : node.outputs) {
      if (output.empty() || uses.is_output(output)) continue;
      dequantized_[output] = q;
      if (alone) continue;
      pairs.emplace_back(graph_.unique_value_name(output + "_moved"), output);
      output = pairs.back().first;
    }
    emit(std::move(node));
    for (const auto& [moved, output] : pairs) emit_pair(moved, output, q, nullptr);
  }

  // int32 with the scale of the accumulator, input scale times weight scale (Jacob et al. 2018, eq. 11).
  void quantize_biases() {
    if (!target_.quantize_bias) return;
    std::map<std::string, Node> products;  // that only one node reads, by output
    const Uses uses(graph_);
    for (const Node& node : graph_.nodes) {
      const bool alone = node.is("MatMul") && uses.consumers(node.outputs[0]).size() == 1;
      if (alone && !uses.is_output(node.outputs[0])) products[node.outputs[0]] = node;
    }
    std::vector<Node> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : old) {
      if (node.is("Conv") || node.is("ConvTranspose") || node.is("Gemm")) {
        if (node.inputs.size() > 2) quantize_bias(node, 2, node);
      } else if (node.is("Add")) {
        quantize_sum(node, products);
      }
      emit(std::move(node));
    }
  }

  // Engines make one Gemm of a MatMul and the Add behind it, which then needs an integer bias.
  void quantize_sum(Node& add, const std::map<std::string, Node>& products) {
    for (size_t i = 0; i < 2; ++i) {
      const auto product = products.find(add.inputs[i]);
      const Initializer* bias = graph_.initializer(add.inputs[1 - i]);
      if (product == products.end() || !bias || bias->tensor.dims.size() != 1) continue;
      if (target_.onnxruntime_form && has_open_rows(add.outputs[0])) return;
      return quantize_bias(product->second, 1 - i, add);
    }
  }

  // ONNX Runtime makes no Gemm of a product with more than two dims, one of them open: what follows it, a
  // Gelu say, then takes in a bias that is float.
  bool has_open_rows(const std::string& product) const {
    const auto type = graph_.type_of(product);
    return type && type->shape && type->shape->size() > 2 &&
           std::ranges::any_of(*type->shape, [](const Dim& dim) { return !dim.known(); });
  }

  // The layer's bias is that input of `holder`.
  void quantize_bias(const Node& layer, size_t port, Node& holder) {
    const std::string name = holder.inputs[port];
    const auto input = dequantized_.find(layer.inputs[0]);
    const auto weight = dequantized_.find(layer.inputs[1]);
    if (input == dequantized_.end() || weight == dequantized_.end() || !graph_.initializer(name)) return;
    // No integer kernel adds it.
    if (weight->second.block > 0 || weight->second.in_int4 || weight->second.dims.empty()) return;
    const int64_t count = output_channels(layer, weight->second.dims);
    const at::Tensor scale = values(input->second.scale) * values(weight->second.scale);
    at::Tensor bias = values(name);
    if ((scale.dim() == 1 && scale.size(0) != count) || (bias.numel() != 1 && bias.numel() != count)) return;
    const bool whole = bias.numel() == count;
    bias = bias.reshape({-1}).expand({count});
    constexpr double kLimit = 2147483647.0;
    const at::Tensor integers =
        (bias.to(at::kDouble) / scale.to(at::kDouble)).round().clamp(-kLimit, kLimit).to(at::kInt);
    if (whole) {
      const auto shift = shifts_.find(name);
      rounded_.push_back({shift == shifts_.end() ? name : shift->second,
                          (integers.to(at::kDouble) * scale.to(at::kDouble) - bias).to(at::kFloat)});
    }
    const std::string stem = graph_.unique_value_name(name + "_int32");
    Quantized q{stem + "_scale", stem + "_zero_point", scale.dim() == 1 ? 0 : -1};
    graph_.add_initializer(stem, to_constant(integers.contiguous()));
    graph_.add_initializer(q.scale, to_constant(scale.contiguous()));
    graph_.add_initializer(q.zero_point, to_constant(at::zeros_like(scale, at::kInt)));
    holder.inputs[port] = graph_.unique_value_name(name + "_dequantized");
    emit(dequantize_node(stem, holder.inputs[port], q));
  }

  Model& model_;
  Graph& graph_;
  const QuantizeTarget& target_;
  const bool packs_;  // weights of at most 4 bits are stored as int4
  std::map<std::string, Quantized> dequantized_;
  std::map<std::string, std::string> shifts_;  // of folded batch norms, by the bias that they became
  std::vector<RoundedBias> rounded_;
  int64_t least_opset_ = 13;
  bool found_ = false;
};

// Of scales that stay, ready to be converted.
Model settled_model(const Model& trained) {
  Model model = trained;
  apply_passes(model, {"inference_form", "drop_identity"});
  settle_learned(model);
  fold_quantized_transposes(model.graph);
  return model;
}

}  // namespace

Model convert(const Model& trained, const QuantizeOptions& options) {
  Model model = settled_model(trained);
  Converter(model, options).run();
  return model;
}

std::vector<RoundedBias> rounded_biases(const Model& trained, const QuantizeOptions& options) {
  Model model = settled_model(trained);
  Converter converter(model, options);
  converter.run();
  std::vector<RoundedBias> biases = converter.take_rounded_biases();
  const Uses uses(trained.graph);
  std::erase_if(biases, [&](const RoundedBias& bias) {
    return uses.consumers(bias.initializer).size() != 1 || !trained.graph.initializer(bias.initializer);
  });
  return biases;
}

Model convert(const GraphModule& module, const QuantizeOptions& options) {
  return convert(module.graph(), options);
}

Model convert_fx(const GraphModule& qat_module, const QuantizeOptions& options) {
  return convert(qat_module.graph(), options);
}

std::shared_ptr<GraphModule> qat_version_model(const GraphModule& module, const QuantizeOptions& options) {
  Model model = module.graph();
  prepare_qat(model, options);
  ModuleOptions module_options;
  module_options.device = module.device();
  return std::make_shared<GraphModule>(std::move(model), module_options);
}

}  // namespace mc
