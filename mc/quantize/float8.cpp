#include "mc/quantize/float8.h"

#include <cmath>
#include <map>
#include <set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/calibration/samples.h"
#include "mc/ops/op.h"
#include "mc/ops/slot.h"
#include "mc/quantize/placement.h"
#include "mc/rewrite/convert_opset.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

constexpr double kLargestFloat8 = 448;
constexpr int64_t kFloat8Opset = 19;

class Float8Quantizer {
 public:
  Float8Quantizer(const Model& model, const QuantizeOptions& options)
      : model_(model), options_(options), calibrator_(find_calibrator(options.calibrator)) {
    MC_CHECK(
        calibrator_.name != "entropy" && calibrator_.name != "mse",
        "float8: the calibrator '{}' fits grids of equal steps; take min_max, moving_average or percentile",
        calibrator_.name);
    if (model_.opset() < kFloat8Opset) convert_opset(model_, kFloat8Opset);
    apply_passes(model_, inference_passes());
    QuantizeOptions plain = options;
    plain.target = "tensorrt";
    plain.fold_batch_norm = false;  // what could be folded is
    Placement placement = place(model_, plain);
    report_ = std::move(placement.report);
    for (const QuantizedLayer& layer : placement.layers) axes_[layer.node] = layer.channel_axis;
    MC_CHECK(!axes_.empty(), "quantize: no layer can be quantized");
    for (const Node& node : model_.graph.nodes) {
      if (is_layer(node)) statistics_[node.inputs[0]];
    }
  }

  QuantizedModel run(std::shared_ptr<const Dataset> dataset, const Normalization& normalization) {
    const at::NoGradGuard no_grad;
    const int64_t samples = calibrate(std::move(dataset), normalization);
    rewrite();
    return {std::move(model_), std::move(report_), {}, samples};
  }

 private:
  bool is_layer(const Node& node) const { return !node.outputs.empty() && axes_.contains(node.outputs[0]); }

  int64_t calibrate(std::shared_ptr<const Dataset> dataset, const Normalization& normalization) {
    GraphModule module(model_);
    module.eval();
    const Samples samples =
        calibration_samples(std::move(dataset), normalization, options_.samples, model_.graph);
    for_each_batch(samples, "calibrate", [&](const Batch& batch) {
      module.forward_visiting(batch.inputs, [&](const std::string& name, const at::Tensor& x) {
        const auto found = statistics_.find(name);
        if (found == statistics_.end()) return;
        with_context([&] { return fmt::format("calibrate: value '{}'", name); },
                     [&] { found->second.add(x, calibrator_.needs_histogram, options_.averaging_constant); });
      });
    });
    return samples.count;
  }

  std::string constant(const std::string& wanted, const at::Tensor& values) {
    const std::string name = model_.graph.unique_value_name(wanted);
    model_.graph.add_initializer(name, to_constant(values.contiguous()));
    return name;
  }

  static Node node_of(const char* type, std::vector<std::string> inputs, const std::string& output) {
    Node node;
    node.op_type = type;
    node.name = output + "/" + type;
    node.inputs = std::move(inputs);
    node.outputs = {output};
    return node;
  }

  // The value behind its pair, which is made when first asked for.
  std::string quantized_input(const std::string& value, std::vector<Node>& made) {
    std::string& output = pairs_[value];
    if (!output.empty()) return output;
    const ValueStatistics& seen = statistics_.at(value);
    MC_CHECK(seen.batches > 0, "calibrate: value '{}' held no element in any sample", value);
    const ValueRange range = calibrator_.range(seen, {-127, 127, true}, {.percentile = options_.percentile});
    const double largest = std::max(std::abs(range.min), std::abs(range.max));
    const at::Tensor scale = at::scalar_tensor(largest > 0 ? largest / kLargestFloat8 : 1, at::kFloat);
    const std::string scales = constant(value + "_scale", scale);
    const std::string zero = constant(value + "_zero_point", at::zeros({}).to(at::kFloat8_e4m3fn));
    const std::string codes = model_.graph.unique_value_name(value + "_float8");
    output = model_.graph.unique_value_name(value + "_dequantized");
    made.push_back(node_of("QuantizeLinear", {value, scales, zero}, codes));
    made.push_back(node_of("DequantizeLinear", {codes, scales, zero}, output));
    return output;
  }

  Node quantized_weight(const std::string& name, int64_t axis) {
    const at::Tensor weight = to_aten(model_.graph.initializer(name)->tensor, false);
    MC_CHECK(at::isfinite(weight).all().item<bool>(), "weight '{}' holds NaN or infinity", name);
    at::Tensor scale = weight.abs().transpose(0, axis).flatten(1).amax(1) / kLargestFloat8;
    scale = at::where(scale > 0, scale, at::ones_like(scale));
    std::vector<int64_t> shape(weight.dim(), 1);
    shape[axis] = -1;
    const at::Tensor codes =
        (weight / scale.reshape(shape)).clamp(-kLargestFloat8, kLargestFloat8).to(at::kFloat8_e4m3fn);
    Node node = node_of("DequantizeLinear",
                        {constant(name + "_float8", codes), constant(name + "_scale", scale),
                         constant(name + "_zero_point", at::zeros_like(scale).to(at::kFloat8_e4m3fn))},
                        model_.graph.unique_value_name(name + "_dequantized"));
    node.set({"axis", axis});
    return node;
  }

  void rewrite() {
    const std::vector<Node> old = model_.graph.nodes;
    std::vector<Node> made;
    for (Node node : old) {
      if (is_layer(node)) {
        node.inputs[0] = quantized_input(node.inputs[0], made);
        made.push_back(quantized_weight(node.inputs[1], axes_.at(node.outputs[0])));
        node.inputs[1] = made.back().outputs[0];
      }
      made.push_back(std::move(node));
    }
    model_.graph.nodes = std::move(made);
    model_.graph.drop_unused();
  }

  Model model_;
  const QuantizeOptions& options_;
  const Calibrator& calibrator_;
  std::vector<LayerQuantization> report_;
  std::map<std::string, int64_t> axes_;                // channel axis of the weight, by the layer's output
  std::map<std::string, ValueStatistics> statistics_;  // of the layers' inputs
  std::map<std::string, std::string> pairs_;           // value -> the same behind its pair
};

}  // namespace

QuantizedModel quantize_float8(const Model& model, std::shared_ptr<const Dataset> dataset,
                               const Normalization& normalization, const QuantizeOptions& options) {
  return Float8Quantizer(model, options).run(std::move(dataset), normalization);
}

}  // namespace mc
