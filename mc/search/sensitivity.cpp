#include "mc/search/sensitivity.h"

#include <algorithm>
#include <map>
#include <set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/calibration/samples.h"
#include "mc/deploy/compare.h"
#include "mc/module/mode_guard.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/op.h"
#include "mc/quantize/fake_quantize_node.h"
#include "mc/quantize/quantizer_lookup.h"
#include "mc/quantize/weight_range.h"

namespace mc {
namespace {

// A layer and the flags of the quantizers that are its own.
struct LayerQuantizers {
  const Node* node;
  const Node* weight;
  std::vector<const Node*> activations;  // of its inputs
};

class SensitivityMeter {
 public:
  SensitivityMeter(GraphModule& module, const std::vector<Batch>& batches)
      : module_(module), graph_(module.structure().graph), uses_(graph_), batches_(batches) {
    for (const Node& node : graph_.nodes) {
      if (node.is("FakeQuantize", "mc")) was_[&node] = flag(node).item<int64_t>();
    }
    find_layers();
    MC_CHECK(!layers_.empty(),
             "sensitivity: the model has no quantized layer; prepare and calibrate it first");
    MC_CHECK(!batches_.empty(), "sensitivity: there are no samples");
  }
  ~SensitivityMeter() {
    for (const auto& [node, value] : was_) flag(*node).fill_(value);
  }
  SensitivityMeter(const SensitivityMeter&) = delete;
  SensitivityMeter& operator=(const SensitivityMeter&) = delete;

  std::vector<LayerSensitivity> run() {
    const at::NoGradGuard no_grad;
    run_float();
    const std::map<std::string, double> macs = macs_of_layers();
    std::vector<LayerSensitivity> result;
    Progress progress("sensitivity", static_cast<int64_t>(layers_.size()));
    for (const LayerQuantizers& layer : layers_) {
      LayerSensitivity row{layer.node->name, layer.node->op_type};
      row.snr_alone_db = alone(layer);
      set_all(1);
      set(layer, 0, /*shared=*/false);
      row.snr_without_db = snr();
      row.weights = module_.tensor(root_of(layer.weight->inputs[0])).numel();
      if (const auto known = macs.find(row.node); known != macs.end()) row.macs = known->second;
      result.push_back(std::move(row));
      progress.update(static_cast<int64_t>(result.size()), result.back().node);
    }
    return result;
  }

  std::vector<double> each_alone(const std::string& title) {
    const at::NoGradGuard no_grad;
    run_float();
    std::vector<double> result;
    Progress progress(title, static_cast<int64_t>(layers_.size()));
    for (const LayerQuantizers& layer : layers_) {
      result.push_back(alone(layer));
      progress.update(static_cast<int64_t>(result.size()), layer.node->name);
    }
    return result;
  }

 private:
  void run_float() {
    set_all(0);
    for (const Batch& batch : batches_) reference_.push_back(module_.forward(batch.inputs));
  }

  double alone(const LayerQuantizers& layer) {
    set_all(0);
    set(layer, 1, /*shared=*/true);
    return snr();
  }

  // Of one sample, by node; empty where shapes cannot be inferred.
  std::map<std::string, double> macs_of_layers() const {
    std::map<std::string, double> macs;
    Model model = module_.graph();
    const Batch& batch = batches_.front();
    std::vector<std::pair<std::string, Type>> feeds;
    for (const ValueInfo* input : model.graph.real_inputs()) {
      if (feeds.size() == batch.inputs.size()) break;
      feeds.emplace_back(input->name,
                         Type::tensor(input->type.dtype, to_shape(batch.inputs[feeds.size()].sizes().vec())));
    }
    try {
      infer_shapes(model, feeds);
    } catch (const Error&) {
      return macs;
    }
    for (const NodeCost& cost : model_costs(model)) {
      macs[cost.node] = cost.macs / static_cast<double>(std::max<int64_t>(batch.size(), 1));
    }
    return macs;
  }

  at::Tensor flag(const Node& node) const { return module_.tensor(node.inputs[5])[1]; }

  void set_all(int64_t value) {
    for (const auto& [node, was] : was_) flag(*node).fill_(value);
  }

  // A quantizer that other layers read too goes on only with `shared`, and is never turned off for one.
  void set(const LayerQuantizers& layer, int64_t value, bool shared) {
    flag(*layer.weight).fill_(value);
    for (const Node* node : layer.activations) {
      if (shared || uses_.consumers(node->outputs[0]).size() == 1) flag(*node).fill_(value);
    }
  }

  const Node* producer_of(const std::string& value) const {
    const auto index = uses_.producer(value);
    return index ? &graph_.nodes[*index] : nullptr;
  }

  // The initializer behind a folded weight.
  std::string root_of(std::string value) const {
    while (const Node* node = producer_of(value)) value = node->inputs.at(0);
    return value;
  }

  void find_layers() {
    for (const Node& node : graph_.nodes) {
      const Node* weight = weight_quantizer_of(graph_, uses_, node);
      if (!weight) continue;
      LayerQuantizers layer{&node, weight, {}};
      const Node* input = activation_quantizer_of(module_.structure(), uses_, node.inputs[0]);
      if (input) layer.activations.push_back(input);
      layers_.push_back(std::move(layer));
    }
  }

  double snr() const {
    if (interrupted()) throw Error("interrupted while measuring sensitivity", ErrorKind::kInterrupted);
    std::vector<Fidelity> outputs(reference_.front().size());
    for (size_t i = 0; i < batches_.size(); ++i) {
      const std::vector<at::Tensor> values = module_.forward(batches_[i].inputs);
      for (size_t k = 0; k < values.size(); ++k) {
        if (values[k].is_floating_point()) outputs[k].add(reference_[i][k], values[k]);
      }
    }
    double least = 200;
    for (size_t k = 0; k < outputs.size(); ++k) {
      if (reference_.front()[k].is_floating_point()) least = std::min(least, outputs[k].snr_db());
    }
    return least;
  }

  GraphModule& module_;
  const Graph& graph_;
  Uses uses_;
  const std::vector<Batch>& batches_;
  std::map<const Node*, int64_t> was_;  // each quantizer's flag before
  std::vector<LayerQuantizers> layers_;
  std::vector<std::vector<at::Tensor>> reference_;
};

// A copy whose weights have so many bits.
std::unique_ptr<GraphModule> narrowed(const GraphModule& module, int64_t bits) {
  Model model = module.graph();
  for (Node& node : model.graph.nodes) {
    if (!node.is("FakeQuantize", "mc") || quantizes_activation(node)) continue;
    const int64_t high = (int64_t{1} << (bits - 1)) - 1;
    node.set({"quant_max", high});
    node.set({"quant_min", node.get_int("symmetric", 1) != 0 ? -high : -high - 1});
  }
  ModuleOptions device;
  device.device = module.device();
  auto result = std::make_unique<GraphModule>(std::move(model), device);
  result->eval();
  QuantizeOptions ranges;
  ranges.weight_range = "mse";
  set_weight_ranges(*result, ranges);
  return result;
}

}  // namespace

void measure_bits(const GraphModule& quantized, const std::vector<Batch>& batches,
                  const std::vector<int64_t>& bits, std::vector<LayerSensitivity>& layers) {
  for (const int64_t count : bits) {
    const auto module = narrowed(quantized, count);
    const std::vector<double> snr =
        SensitivityMeter(*module, batches).each_alone(fmt::format("sensitivity, {} bits", count));
    MC_CHECK(snr.size() == layers.size(), "sensitivity: {} layers were measured before, {} now",
             layers.size(), snr.size());
    for (size_t i = 0; i < snr.size(); ++i) layers[i].snr_by_bits_db[count] = snr[i];
  }
}

std::vector<LayerSensitivity> sensitivity(GraphModule& quantized, const std::vector<Batch>& batches) {
  const ModeGuard mode(quantized, /*training=*/false);
  return SensitivityMeter(quantized, batches).run();
}

std::vector<Batch> some_batches(std::shared_ptr<const Dataset> dataset, const Normalization& normalization,
                                int64_t samples, const Graph& graph) {
  std::vector<Batch> batches;
  const NextBatch next = calibration_samples(std::move(dataset), normalization, samples, graph).pass();
  while (auto batch = next()) batches.push_back(std::move(*batch));
  return batches;
}

std::vector<std::string> most_sensitive_first(std::vector<LayerSensitivity> layers) {
  std::ranges::stable_sort(layers, {}, &LayerSensitivity::snr_alone_db);
  std::vector<std::string> names;
  names.reserve(layers.size());
  for (LayerSensitivity& layer : layers) names.push_back(std::move(layer.node));
  return names;
}

Json to_json(const std::vector<LayerSensitivity>& layers) {
  Json json = Json::array();
  for (const LayerSensitivity& layer : layers) {
    Json by_bits = Json::object();
    for (const auto& [bits, snr] : layer.snr_by_bits_db) by_bits[std::to_string(bits)] = snr;
    json.push_back({{"name", layer.node},
                    {"op", layer.op_type},
                    {"snr_alone_db", layer.snr_alone_db},
                    {"snr_without_db", layer.snr_without_db},
                    {"snr_by_bits_db", by_bits},
                    {"weights", layer.weights},
                    {"macs", layer.macs}});
  }
  return json;
}

}  // namespace mc
