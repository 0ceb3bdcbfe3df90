#include "mc/search/latency.h"

#include <algorithm>
#include <map>
#include <set>

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

// How many layers next to the input may stay float without all of their kind.
constexpr size_t kMostFirst = 3;

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
    const auto choices = find_choices();
    write_onnx(quantize_(result_.options), current_);
    Progress progress("latency", static_cast<int64_t>(choices.size()) + 1);
    int64_t done = 0;
    for (const auto& [kind, nodes] : choices) {
      try_float(kind, nodes);
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
  using Choice = std::pair<std::string, std::vector<std::string>>;

  // What may be left float: all of a kind, if there are several, then what comes first.
  std::vector<Choice> find_choices() const {
    Model model = read_onnx(float_model_);
    apply_passes(model, inference_passes());
    const Model before = model;
    std::set<std::string> quantized;
    for (const LayerQuantization& layer : prepare_qat(model, result_.options)) {
      if (layer.quantized) quantized.insert(layer.node);
    }
    std::vector<std::string> nodes;
    std::map<std::string, std::vector<std::string>> kinds;
    for (const Node& node : before.graph.nodes) {
      if (!quantized.contains(node.name)) continue;
      nodes.push_back(node.name);
      kinds[kind_of(before.graph, node)].push_back(node.name);
    }
    std::vector<Choice> choices;
    if (kinds.size() > 1) choices.assign(kinds.begin(), kinds.end());
    for (size_t count = 1; count <= std::min(kMostFirst, nodes.size() / 4); ++count) {
      const std::vector<std::string> first(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(count));
      if (std::ranges::count(choices, first, &Choice::second)) continue;  // is a kind of its own
      choices.emplace_back(fmt::format("first {} layer{}", count, count == 1 ? "" : "s"), first);
    }
    return choices;
  }

  void try_float(const std::string& kind, const std::vector<std::string>& nodes) {
    QuantizeOptions options = result_.options;
    LatencyChoice choice;
    choice.kind = kind;
    for (const std::string& node : nodes) {
      if (std::ranges::count(options.keep_float, node) == 0) choice.nodes.push_back(node);
    }
    if (choice.nodes.empty()) return;
    options.keep_float.insert(options.keep_float.end(), choice.nodes.begin(), choice.nodes.end());
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
