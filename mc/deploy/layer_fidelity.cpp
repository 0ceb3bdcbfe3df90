#include "mc/deploy/layer_fidelity.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/deploy/layer_match.h"
#include "mc/deploy/layer_models.h"
#include "mc/graph/fixed_batch.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/op.h"

namespace mc {
namespace {

using Values = std::map<std::string, at::Tensor>;

Values run_by_name(Session& session, const Values& given) {
  std::vector<at::Tensor> inputs;
  for (const PortInfo& port : session.inputs()) inputs.push_back(given.at(port.name));
  std::vector<at::Tensor> outputs = session.infer(inputs);
  Values values;
  for (size_t i = 0; i < outputs.size(); ++i) values[session.outputs()[i].name] = std::move(outputs[i]);
  return values;
}

at::Tensor as_float(const TapPoint& tap, const at::Tensor& tensor) {
  return tap.grid ? tap.grid->dequantize(tensor) : tensor;
}

bool is_integer(const at::Tensor& tensor) {
  return at::isIntegralType(tensor.scalar_type(), false);
}

// The reference's value as the other model stores it.
at::Tensor on_other_grid(const TapPair& pair, const at::Tensor& tensor) {
  const auto& from = pair.reference.grid;
  const auto& to = pair.other.grid;
  if (from == to) return tensor;
  const at::Tensor values = as_float(pair.reference, tensor);
  return to ? to->quantize(values) : values;
}

// Sums over batches of one value's differences.
class DifferenceSum {
 public:
  // `expected` and `got` are as the other model stores the value.
  void add(const TapPair& pair, const at::Tensor& reference, const at::Tensor& expected,
           const at::Tensor& got) {
    fidelity_.add(reference, as_float(pair.other, got));
    if (!is_integer(got) || got.numel() == 0) return;
    const at::Tensor steps = (expected.to(at::kInt) - got.to(at::kInt)).abs();
    largest_ = std::max(largest_, steps.max().item<int64_t>());
    differing_ += steps.count_nonzero().item<int64_t>();
    elements_ += steps.numel();
  }

  const Fidelity& fidelity() const { return fidelity_; }
  double steps() const { return elements_ > 0 ? static_cast<double>(largest_) : -1; }
  double differing() const {
    return elements_ > 0 ? static_cast<double>(differing_) / static_cast<double>(elements_) : -1;
  }

 private:
  Fidelity fidelity_;
  int64_t largest_ = 0, differing_ = 0, elements_ = 0;
};

struct WatchedLayer {
  TapPair pair;
  double least_db = 0;  // of its own SNR, where steps do not tell
  bool compared = false;
  DifferenceSum running, local;

  void add(const at::Tensor& reference, const at::Tensor& other, const at::Tensor& fed) {
    if (reference.sizes() != other.sizes()) return;
    const at::Tensor expected = on_other_grid(pair, reference);
    if (is_integer(expected) != is_integer(other)) return;
    const at::Tensor value = as_float(pair.reference, reference);
    running.add(pair, value, expected, other);
    local.add(pair, value, expected, fed);
    compared = true;
  }

  LayerComparison result() const {
    LayerComparison layer;
    static_cast<OutputComparison&>(layer) = summarize(pair.other.value, running.fidelity());
    layer.node = pair.other.node;
    layer.steps = running.steps();
    layer.differing = running.differing();
    layer.local = {local.fidelity().snr_db(), local.fidelity().max_abs(), local.steps(), local.differing()};
    layer.parts = parts(layer.local);
    return layer;
  }

 private:
  bool parts(const LayerDifference& difference) const {
    const bool alike = pair.reference.grid.has_value() || !pair.other.grid;
    if (difference.steps >= 0 && alike) return difference.steps > 1;
    return !(difference.snr_db >= least_db);  // NaN parts
  }
};

// One share of the layers: the three models that show them, loaded.
class LayerShare {
 public:
  LayerShare(const Model& reference, const Model& other, std::vector<WatchedLayer*> layers,
             const std::vector<WatchedLayer>& all, const CompareOptions& options)
      : layers_(std::move(layers)) {
    Engine& engine = find_engine(options.engine);
    Engine& other_engine = find_engine(options.other_engine.empty() ? options.engine : options.other_engine);
    std::vector<std::string> wanted, shown;
    std::set<std::string> cuts;
    for (const WatchedLayer* layer : layers_) wanted.push_back(layer->pair.other.tensor);
    for (const WatchedLayer* layer : layers_) shown.push_back(layer->pair.reference.tensor);
    for (const WatchedLayer& layer : all) cuts.insert(layer.pair.other.tensor);
    const Model cut = cut_into_layers(other, cuts, wanted);
    for (const ValueInfo* input : cut.graph.real_inputs()) {
      for (const WatchedLayer& layer : all) {
        if (fed_name(layer.pair.other.tensor) != input->name) continue;
        fed_.push_back(&layer.pair);
        shown.push_back(layer.pair.reference.tensor);
      }
    }
    std::sort(shown.begin(), shown.end());
    shown.erase(std::unique(shown.begin(), shown.end()), shown.end());
    reference_ = load_model(engine, with_outputs(reference, shown), options.options);
    other_ = load_model(other_engine, with_outputs(other, wanted), options.options);
    cut_ = load_model(other_engine, cut, options.options);
  }

  // Inputs by name, as each of the two models calls them.
  void add(const Values& reference_inputs, Values inputs) {
    const Values expected = run_by_name(*reference_, reference_inputs);
    const Values running = run_by_name(*other_, inputs);
    for (const TapPair* pair : fed_) {
      inputs[fed_name(pair->other.tensor)] = on_other_grid(*pair, expected.at(pair->reference.tensor));
    }
    const Values local = run_by_name(*cut_, inputs);
    for (WatchedLayer* layer : layers_) {
      const std::string& tensor = layer->pair.other.tensor;
      layer->add(expected.at(layer->pair.reference.tensor), running.at(tensor), local.at(tensor));
    }
  }

 private:
  std::vector<WatchedLayer*> layers_;
  std::vector<const TapPair*> fed_;
  std::unique_ptr<Session> reference_, other_, cut_;
};

// What a batch is fed as: whole, or where the batch is fixed in pieces of its size, the last filled up with
// copies of its last sample.
std::vector<std::vector<at::Tensor>> pieces(const std::vector<at::Tensor>& inputs, int64_t size) {
  const int64_t samples = inputs[0].dim() > 0 ? inputs[0].size(0) : 0;
  if (size < 1 || samples == size) return {inputs};
  std::vector<std::vector<at::Tensor>> result;
  for (int64_t from = 0; from < samples; from += size) {
    const at::Tensor index = at::arange(from, from + size).clamp_max(samples - 1);
    result.emplace_back();
    for (const at::Tensor& input : inputs) result.back().push_back(input.index_select(0, index));
  }
  return result;
}

Values named(const Graph& graph, const std::vector<at::Tensor>& inputs) {
  const auto ports = graph.real_inputs();
  MC_CHECK(ports.size() == inputs.size(), "the model takes {} inputs, got {}", ports.size(), inputs.size());
  Values values;
  for (size_t i = 0; i < inputs.size(); ++i) values[ports[i]->name] = inputs[i];
  return values;
}

class LayerPasses {
 public:
  LayerPasses(const std::filesystem::path& reference, const std::filesystem::path& other, Loader& loader,
              const CompareOptions& options)
      : reference_(read_typed(reference)), other_(read_typed(other)), loader_(loader), options_(options) {
    constexpr double kQuantizedDb = 20, kFloatDb = 60, kShortFloatDb = 30;
    const bool alike = has_quantizers(reference_.graph) == has_quantizers(other_.graph);
    for (TapPair& pair : match_taps(reference_, other_)) {
      const auto type = other_.graph.type_of(pair.other.tensor);
      const bool is_short = type && (type->dtype == DType::kFloat16 || type->dtype == DType::kBFloat16);
      const double least = alike ? (is_short ? kShortFloatDb : kFloatDb) : kQuantizedDb;
      layers_.push_back({std::move(pair), least, false, {}, {}});
    }
    MC_CHECK(!layers_.empty(),
             "no value inside {} has a counterpart in {}: their values' names have nothing in "
             "common and no node records what it stands for",
             reference.string(), other.string());
    size_ = std::max(fixed_batch(reference_.graph), fixed_batch(other_.graph));
  }

  std::vector<LayerComparison> run() {
    const auto shares = split();
    Progress progress("compare layers", loader_.samples() * static_cast<int64_t>(shares.size()));
    int64_t done = 0;
    for (const auto& layers : shares) {
      LayerShare share(reference_, other_, layers, layers_, options_);
      loader_.start(0);
      while (std::optional<Batch> batch = loader_.next()) {
        if (interrupted()) throw Error("interrupted while comparing", ErrorKind::kInterrupted);
        for (const auto& inputs : pieces(batch->inputs, size_)) {
          share.add(named(reference_.graph, inputs), named(other_.graph, inputs));
        }
        progress.update(done += batch->size());
      }
    }
    std::vector<LayerComparison> results;
    for (const WatchedLayer& layer : layers_) {
      if (layer.compared) results.push_back(layer.result());
    }
    return results;
  }

 private:
  static Model read_typed(const std::filesystem::path& file) {
    Model model = read_onnx(file);
    with_context([&] { return file.string(); }, [&] { infer_shapes(model); });
    return model;
  }

  // Layers in order, in shares whose values fit into the memory allowed for a batch.
  std::vector<std::vector<WatchedLayer*>> split() {
    loader_.start(0);
    const std::optional<Batch> batch = loader_.next();
    MC_CHECK(batch && !batch->inputs.empty(), "nothing to compare on: the data has no samples");
    const std::vector<at::Tensor> inputs = pieces(batch->inputs, size_).front();
    Model sized = other_;
    std::vector<std::pair<std::string, Type>> feeds;
    for (const auto& [name, tensor] : named(other_.graph, inputs)) {
      feeds.emplace_back(name, Type::tensor(to_dtype(tensor.scalar_type()),
                                            Shape(tensor.sizes().begin(), tensor.sizes().end())));
    }
    infer_shapes(sized, feeds);
    std::vector<std::vector<WatchedLayer*>> shares(1);
    int64_t bytes = 0;
    for (WatchedLayer& layer : layers_) {
      const int64_t more = bytes_of(sized.graph, layer.pair.other.tensor);
      if (!shares.back().empty() && bytes + more > options_.layer_bytes) {
        shares.emplace_back();
        bytes = 0;
      }
      shares.back().push_back(&layer);
      bytes += more;
    }
    return shares;
  }

  const Model reference_, other_;
  Loader& loader_;
  const CompareOptions& options_;
  std::vector<WatchedLayer> layers_;
  int64_t size_ = -1;
};

}  // namespace

std::vector<LayerComparison> compare_layers(const std::filesystem::path& reference,
                                            const std::filesystem::path& other, Loader& loader,
                                            const CompareOptions& options) {
  return LayerPasses(reference, other, loader, options).run();
}

}  // namespace mc
