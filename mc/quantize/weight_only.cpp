#include "mc/quantize/weight_only.h"

#include <algorithm>
#include <map>
#include <set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/calibration/input_statistics.h"
#include "mc/calibration/samples.h"
#include "mc/ops/slot.h"
#include "mc/quantize/awq_absorb.h"
#include "mc/quantize/block_format.h"
#include "mc/quantize/check_float.h"
#include "mc/rewrite/convert_opset.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

constexpr int64_t kBlockedOpset = 21;  // DequantizeLinear has blocks and 4 bits from here

void check_choice(const char* what, const std::string& value, const std::vector<std::string>& known) {
  MC_CHECK(std::ranges::find(known, value) != known.end(), "unknown {} '{}'{}; known: {}", what, value,
           did_you_mean(value, known), join(known, ", "));
}

class WeightOnlyQuantizer {
 public:
  WeightOnlyQuantizer(const Model& model, const WeightOnlyOptions& options)
      : options_(options), model_(model) {
    check_weight_only(options);
    check_float(model_.graph);
    grid_ = {options.bits, options.block,
             options.symmetric || find_target(options.target).activation_symmetric};
    nbits_ = options.format == "auto" ? options.target == "onnxruntime" : options.format == "matmul_nbits";
    if (!nbits_ && model_.opset() < kBlockedOpset) convert_opset(model_, kBlockedOpset);
    apply_passes(model_, inference_passes());
    found_ = find_matrix_layers(model_, options.keep_float, options.embeddings);
    for (size_t i = 0; i < found_.layers.size(); ++i) {
      const MatrixLayer& layer = found_.layers[i];
      if (!layer.gather) readers_[graph().nodes[layer.node].inputs[0]].push_back(i);
    }
  }

  WeightOnlyModel run(std::shared_ptr<const Dataset> dataset, const Normalization& normalization) {
    const at::NoGradGuard no_grad;
    if (weight_method_needs_data(options_.method)) {
      MC_CHECK(dataset, "{} needs samples to weigh errors by; give data, or take rtn or hqq",
               options_.method);
      collect(std::move(dataset), normalization);
    }
    if (options_.method == "awq") scale_inputs();
    quantize_layers();
    if (nbits_ && model_.opset("com.microsoft") == 0) model_.set_opset("com.microsoft", 1);
    graph().drop_unused();
    return {std::move(model_), std::move(found_.report), inputs_.samples};
  }

 private:
  Graph& graph() { return model_.graph; }

  void collect(std::shared_ptr<const Dataset> dataset, const Normalization& normalization) {
    std::map<std::string, InputView> views;
    for (const auto& [value, layers] : readers_) {
      views[value] = last_axis(value, matrix_of(graph(), found_.layers[layers[0]]).size(1));
    }
    GraphModule module(model_);
    const Samples samples =
        calibration_samples(std::move(dataset), normalization, options_.samples, model_.graph);
    inputs_ = collect_inputs(module, views, samples, {.bytes = options_.hessian_bytes});
  }

  // Layers that read one value share its factors.
  void scale_inputs() {
    for (const auto& [value, layers] : readers_) {
      std::vector<at::Tensor> weights;
      std::set<size_t> nodes;
      for (size_t i : layers) {
        weights.push_back(matrix_of(graph(), found_.layers[i]));
        nodes.insert(found_.layers[i].node);
      }
      const at::Tensor factors = awq_factors(weights, inputs_.values.at(value), grid_);
      if (factors.eq(1).all().item<bool>()) continue;
      for (size_t i = 0; i < layers.size(); ++i) {
        const MatrixLayer& layer = found_.layers[layers[i]];
        const at::Tensor scaled = (weights[i] * factors).to(at::kFloat);
        const std::string& name = graph().nodes[layer.node].inputs[1];
        graph().set_initializer(name, to_constant((layer.rows_first ? scaled : scaled.t()).contiguous()));
      }
      if (!absorb_division(graph(), value, factors, nodes)) divide_explicitly(value, factors, nodes);
    }
  }

  void divide_explicitly(const std::string& value, const at::Tensor& factors, const std::set<size_t>& nodes) {
    Node divide;
    divide.op_type = "Mul";
    divide.outputs = {graph().unique_value_name(value + "_scaled")};
    divide.name = graph().unique_node_name(divide.outputs[0] + "/Mul");
    const std::string inverse = graph().unique_value_name(value + "_inverse_scale");
    graph().add_initializer(inverse, to_constant(factors.reciprocal().to(at::kFloat)));
    divide.inputs = {value, inverse};
    for (size_t node : nodes) graph().nodes[node].inputs[0] = divide.outputs[0];
    const size_t first = *nodes.begin();
    graph().nodes.insert(graph().nodes.begin() + static_cast<std::ptrdiff_t>(first), std::move(divide));
    for (MatrixLayer& layer : found_.layers) layer.node += layer.node >= first;
  }

  BlockWeight quantize(const MatrixLayer& layer, const std::string& value) const {
    const at::Tensor weight = matrix_of(model_.graph, layer);
    if (layer.gather || options_.method == "rtn" || options_.method == "awq")
      return quantize_rtn(weight, grid_);
    if (options_.method == "hqq") return quantize_hqq(weight, grid_);
    return quantize_gptq(weight, inputs_.values.at(value).hessian, grid_,
                         {.damping = options_.damping, .act_order = options_.act_order});
  }

  void quantize_layers() {
    Progress progress("quantize weights", static_cast<int64_t>(found_.layers.size()));
    int64_t done = 0;
    std::map<size_t, Node> before;  // by the index of the node that they precede
    for (const MatrixLayer& layer : found_.layers) {
      const Node& node = graph().nodes[layer.node];
      const BlockWeight weight =
          with_context([&] { return node.label(); }, [&] { return quantize(layer, node.inputs[0]); });
      if (nbits_) {
        to_matmul_nbits(graph(), layer, weight, grid_);
      } else {
        before[layer.node] = to_dequantize(graph(), layer, weight, grid_);
      }
      progress.update(++done);
    }
    std::vector<Node> old = std::move(graph().nodes);
    graph().nodes.clear();
    for (size_t i = 0; i < old.size(); ++i) {
      if (const auto found = before.find(i); found != before.end()) {
        graph().nodes.push_back(std::move(found->second));
      }
      graph().nodes.push_back(std::move(old[i]));
    }
  }

  const WeightOnlyOptions& options_;
  Model model_;
  BlockGrid grid_;
  bool nbits_ = false;
  MatrixLayers found_;
  std::map<std::string, std::vector<size_t>> readers_;  // value -> layers that multiply it
  CollectedInputs inputs_;
};

}  // namespace

const std::vector<std::string>& weight_methods() {
  static const std::vector<std::string> methods = {"rtn", "gptq", "awq", "hqq"};
  return methods;
}

bool weight_method_needs_data(const std::string& method) {
  return method == "gptq" || method == "awq";
}

const std::vector<std::string>& weight_formats() {
  static const std::vector<std::string> formats = {"auto", "dequantize", "matmul_nbits"};
  return formats;
}

void check_weight_only(const WeightOnlyOptions& options) {
  check_choice("weight method", options.method, weight_methods());
  check_choice("format", options.format, weight_formats());
  MC_CHECK(options.bits == 4 || options.bits == 8, "weights of {} bits are not supported; 4 and 8 are",
           options.bits);
  const int64_t block = options.block;
  MC_CHECK(block >= 16 && block <= 256 && (block & (block - 1)) == 0,
           "a block of {} is not supported; it must be 16, 32, 64, 128 or 256", block);
  MC_CHECK(options.damping > 0 && options.damping <= 1, "damping is {}; it must be above 0, at most 1",
           options.damping);
}

WeightOnlyModel quantize_weights(const Model& model, std::shared_ptr<const Dataset> dataset,
                                 const Normalization& normalization, const WeightOnlyOptions& options) {
  return WeightOnlyQuantizer(model, options).run(std::move(dataset), normalization);
}

}  // namespace mc
