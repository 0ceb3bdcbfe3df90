#include "mc/search/latency.h"

#include <algorithm>
#include <map>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/deploy/benchmark.h"
#include "mc/onnx/onnx.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

// Layers that engines run by the same kernels.
std::string kind_of(const Graph& graph, const Node& node) {
  const Initializer* weight = graph.initializer(node.input(1));
  if (node.op_type != "Conv" || !weight || weight->tensor.dims.size() < 3) return node.op_type;
  const std::vector<int64_t>& dims = weight->tensor.dims;
  const int64_t groups = node.get_int("group", 1);
  if (groups > 1) return dims[1] == 1 ? "depthwise Conv" : "grouped Conv";
  const bool pointwise = std::all_of(dims.begin() + 2, dims.end(), [](int64_t size) { return size == 1; });
  return pointwise ? "1x1 Conv" : "Conv";
}

class LatencyChooser {
 public:
  LatencyChooser(const std::filesystem::path& float_model, const QuantizeOptions& options,
                 const QuantizeForTiming& quantize, const std::filesystem::path& folder,
                 const LatencyOptions& latency)
      : float_model_(float_model),
        quantize_(quantize),
        current_(folder / "current.onnx"),
        candidate_(folder / "candidate.onnx"),
        latency_(latency) {
    result_.options = options;
  }
  ~LatencyChooser() {
    std::error_code error;
    for (const auto& file : {current_, candidate_}) std::filesystem::remove(file, error);
  }
  LatencyChooser(const LatencyChooser&) = delete;
  LatencyChooser& operator=(const LatencyChooser&) = delete;

  LatencyResult run() {
    auto kinds = find_kinds();
    write_onnx(quantize_(result_.options), current_);
    Progress progress("latency", static_cast<int64_t>(kinds.size()) + 1);
    int64_t done = 0;
    for (auto& [kind, nodes] : kinds) {
      if (kinds.size() > 1) try_float(kind, nodes);
      progress.update(++done, kind);
    }
    const auto [float_ms, quantized_ms] = medians(float_model_, current_);
    progress.update(done + 1);
    result_.float_ms = float_ms;
    result_.quantized_ms = quantized_ms;
    result_.pays = quantized_ms <= float_ms * (1 + latency_.slack);
    return std::move(result_);
  }

 private:
  // What would be quantized, by kind.
  std::map<std::string, std::vector<std::string>> find_kinds() const {
    Model model = read_onnx(float_model_);
    apply_passes(model, inference_passes());
    const Model before = model;
    std::map<std::string, std::vector<std::string>> kinds;
    for (const LayerQuantization& layer : prepare_qat(model, result_.options)) {
      if (!layer.quantized) continue;
      for (const Node& node : before.graph.nodes) {
        if (node.name == layer.node) kinds[kind_of(before.graph, node)].push_back(node.name);
      }
    }
    return kinds;
  }

  void try_float(const std::string& kind, const std::vector<std::string>& nodes) {
    QuantizeOptions options = result_.options;
    options.keep_float.insert(options.keep_float.end(), nodes.begin(), nodes.end());
    LatencyChoice choice{kind, nodes};
    try {
      write_onnx(quantize_(options), candidate_);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInterrupted) throw;
      return;  // nothing else is left to quantize
    }
    std::tie(choice.integer_ms, choice.float_ms) = medians(current_, candidate_);
    choice.kept_float = choice.float_ms < choice.integer_ms * (1 - latency_.gain);
    if (choice.kept_float) {
      result_.options = std::move(options);
      std::filesystem::rename(candidate_, current_);
    }
    result_.choices.push_back(std::move(choice));
  }

  std::pair<double, double> medians(const std::filesystem::path& one,
                                    const std::filesystem::path& other) const {
    return median_ms(one, other, latency_);
  }

  const std::filesystem::path float_model_;
  const QuantizeForTiming& quantize_;
  const std::filesystem::path current_, candidate_;
  const LatencyOptions& latency_;
  LatencyResult result_;
};

}  // namespace

std::pair<double, double> median_ms(const std::filesystem::path& one, const std::filesystem::path& other,
                                    const LatencyOptions& options) {
  BenchmarkOptions timing;
  timing.engines = {options.engine};
  timing.batch_sizes = {options.batch};
  timing.seconds = options.seconds;
  const std::vector<BenchmarkRow> rows = benchmark({one, other}, nullptr, timing);
  for (const BenchmarkRow& row : rows) {
    MC_CHECK(row.skipped.empty(), "latency of {} on {}: {}", row.model.string(), row.engine, row.skipped);
  }
  return {rows.at(0).median_ms, rows.at(1).median_ms};
}

LatencyResult choose_by_latency(const std::filesystem::path& float_model, const QuantizeOptions& options,
                                const QuantizeForTiming& quantize, const std::filesystem::path& folder,
                                const LatencyOptions& latency) {
  return LatencyChooser(float_model, options, quantize, folder, latency).run();
}

Json to_json(const LatencyResult& result) {
  Json choices = Json::array();
  for (const LatencyChoice& choice : result.choices) {
    choices.push_back({{"kind", choice.kind},
                       {"nodes", choice.nodes},
                       {"integer_ms", choice.integer_ms},
                       {"float_ms", choice.float_ms},
                       {"kept_float", choice.kept_float}});
  }
  return {{"choices", choices},
          {"float_ms", result.float_ms},
          {"quantized_ms", result.quantized_ms},
          {"pays", result.pays}};
}

}  // namespace mc
