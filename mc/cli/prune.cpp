#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/recipe/process.h"
#include "mc/recipe/prune_file.h"
#include "mc/search/budget.h"

namespace mc {
namespace {

struct PruneArguments {
  PruneFileOptions options;
  std::optional<double> sparsity, macs, params, speedup;
  std::string size;  // empty: none
  std::string ranking;
  std::vector<std::string> limits;
  int threads = 0;
  bool json = false;
};

PruneFileTarget target_of(const PruneArguments& arguments) {
  using Kind = PruneFileTarget::Kind;
  std::vector<PruneFileTarget> given;
  const auto add = [&](Kind kind, const std::optional<double>& value) {
    if (value) given.push_back({kind, *value, false});
  };
  add(Kind::kSparsity, arguments.sparsity);
  add(Kind::kMacs, arguments.macs);
  add(Kind::kParameters, arguments.params);
  add(Kind::kSpeedup, arguments.speedup);
  if (!arguments.size.empty()) {
    const Budget budget = parse_budget(Budget::Kind::kSize, arguments.size);
    given.push_back({Kind::kSize, budget.limit, budget.relative});
  }
  MC_CHECK(given.size() == 1, "give one target: --sparsity, --macs, --params, --size or --speedup{}",
           given.empty() ? "" : fmt::format(" (not {})", given.size()));
  return given.front();
}

// "conv*=0.3"
std::pair<std::string, double> read_limit(const std::string& text) {
  const size_t equals = text.rfind('=');
  double part = 0;
  size_t used = 0;
  try {
    part = std::stod(text.substr(equals + 1), &used);
  } catch (const std::exception&) {
    used = 0;
  }
  MC_CHECK(equals != std::string::npos && equals > 0 && used > 0 && used == text.size() - equals - 1,
           "--limit {}: expected PATTERN=PART, as in layer3*=0.25", text);
  return {text.substr(0, equals), part};
}

std::string shape_cell(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ","));
}

void print_sizes(const PruneFileReport& report) {
  std::vector<std::vector<std::string>> rows = {{"model", "parameters", "zeros", "MACs", "file", "zstd"}};
  for (const PrunedSize& size : report.sizes) {
    rows.push_back({size.what, human_count(size.parameters), fmt::format("{:.1f} %", 100 * size.sparsity),
                    human_count(size.macs), human_bytes(static_cast<double>(size.bytes)),
                    human_bytes(static_cast<double>(size.compressed_bytes))});
  }
  print("\n" + align(rows));
}

void print_blocks(const PruneFileReport& report) {
  std::vector<std::vector<std::string>> rows = {{"block gone", "score", "parameters", "nodes"}};
  for (const RemovedBlock& removed : report.blocks) {
    rows.push_back({removed.block.name, fmt::format("{:.4g}", removed.score),
                    human_count(static_cast<double>(removed.block.parameters)),
                    std::to_string(removed.block.nodes.size())});
  }
  if (rows.size() > 1) print(align(rows));
}

void print_weights(const PruneFileReport& report) {
  std::vector<std::vector<std::string>> rows = {{"weight", "before", "now", "zeros", "pattern"}};
  for (const WeightChange& weight : report.weights) {
    rows.push_back({weight.name, shape_cell(weight.before),
                    weight.before == weight.after ? "" : shape_cell(weight.after),
                    fmt::format("{:.1f} %", 100 * weight.sparsity), weight.pattern});
  }
  if (rows.size() > 1) print(align(rows));
  if (report.left.empty()) return;
  rows = {{"left alone", "why"}};
  for (const LayerLeft& layer : report.left) rows.push_back({layer.name, layer.reason});
  print("\n" + align(rows));
}

void print_fidelity(const PruneFileReport& report) {
  if (report.cut_error) {
    print(fmt::format("cut and masked model differ by {:.2g} of the largest output\n", *report.cut_error));
  }
  if (!report.cut_note.empty()) print(fmt::format("cut and masked need not be equal: {}\n", report.cut_note));
  if (report.comparison) {
    const Comparison& comparison = *report.comparison;
    print(fmt::format("against the dense model on {}, {} samples: {}\n", comparison.engine,
                      comparison.samples, report.data));
    for (const OutputComparison& output : comparison.outputs)
      print(fmt::format("  {}: SNR {:.2f} dB, cosine {:.6f}\n", output.name, output.snr_db, output.cosine));
    print(fmt::format("  top-1 agreement {:.4f}\n", comparison.top1_agreement));
  }
  if (!report.metric.empty()) {
    print(fmt::format("  {} {:.4f}, before {:.4f}\n", report.metric, report.metric_after,
                      report.metric_before));
  }
}

void print_pruned(const PruneFileReport& report) {
  print_blocks(report);
  print_weights(report);
  print_sizes(report);
  if (report.latency) {
    const PruneLatency& latency = *report.latency;
    print(fmt::format("\n{} at batch {}: {:.3f} ms, {:.3f} ms before ({:.2f} x)\n", latency.engine,
                      latency.batch, latency.after_ms, latency.before_ms,
                      latency.before_ms / latency.after_ms));
  }
  if (!report.engine_note.empty()) {
    print(fmt::format("\nnot timed on {}: {}\n", report.options.engine, report.engine_note));
  }
  print_fidelity(report);
  std::vector<std::vector<std::string>> rows = {{"engine", "faster by " + report.pattern, "why"}};
  for (const EngineGain& gain : report.gains)
    rows.push_back({gain.engine, gain.faster ? "yes" : "no", gain.why});
  if (rows.size() > 1) print("\n" + align(rows));
  const std::string widths =
      report.round_to > 1 ? fmt::format(", widths in multiples of {},", report.round_to) : "";
  print(fmt::format("\n{}: pruned by {}{} in {}\n", report.options.output.string(), report.options.method,
                    widths, human_seconds(report.seconds)));
}

int execute(const PruneArguments& arguments) {
  use_threads(arguments.threads);
  PruneFileOptions options = arguments.options;
  options.target = target_of(arguments);
  if (!arguments.ranking.empty()) options.global = arguments.ranking == "global";
  for (const std::string& text : arguments.limits) options.channels.limits.insert(read_limit(text));
  const PruneFileReport report = prune_file(options);
  arguments.json ? print_json(to_json(report)) : print_pruned(report);
  return kDone;
}

void add_targets(CLI::App& command, PruneArguments& arguments) {
  command
      .add_option("--sparsity", arguments.sparsity,
                  "Part of the weights that become zero, or of the channels or blocks that go, in [0, 1)")
      ->type_name("S");
  command
      .add_option("--macs", arguments.macs,
                  "channels_*, blocks_*: part of the multiply-accumulates that stays")
      ->type_name("R");
  command.add_option("--params", arguments.params, "channels_*, blocks_*: part of the parameters that stays")
      ->type_name("R");
  command
      .add_option(
          "--size", arguments.size,
          "channels_*, blocks_*: largest size of the file (500k, 1.5M), or part of the model's (0.5x)")
      ->type_name("SIZE");
  command
      .add_option("--speedup", arguments.speedup,
                  "channels_*, blocks_*: how many times faster on the engine, measured, as in 2.0")
      ->type_name("X");
}

void add_choices(CLI::App& command, PruneArguments& arguments) {
  PruneFileOptions& options = arguments.options;
  command.add_option("--structure", options.structure,
                     "Masks: unstructured, N:M (2:4), block:INPUTSxOUTPUTS (block:8x4), uniform:SIZE");
  command
      .add_option("--ranking", arguments.ranking,
                  "All layers together (global; the default for channels) or each by itself (layer)")
      ->check(CLI::IsMember({"global", "layer"}));
  command
      .add_option("--ignore", options.ignore,
                  "Layers left alone, by parameter or pattern, for channels also by node or type:OPERATOR, "
                  "for blocks "
                  "by their sum; may be repeated")
      ->type_name("PATTERN")
      ->take_all()
      ->allow_extra_args(false);
  command
      .add_option(
          "--limit-layer", arguments.limits,
          "channels_*: largest part of a layer's channels that may go, as in layer3*=0.25; may be repeated")
      ->type_name("PATTERN=PART")
      ->take_all()
      ->allow_extra_args(false);
  command
      .add_option("--blocks", options.blocks,
                  "channels_*: residual blocks go first, by this method, half of the way to the target")
      ->check(CLI::IsMember(block_method_names()));
  command
      .add_option("--round-to", options.channels.round_to,
                  "channels_*: widths that stay are multiples of it; 0: of what the engine's kernels compute "
                  "at once, or less where "
                  "the target needs it")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--min-channels", options.channels.min_channels, "channels_*: that stay in each layer")
      ->check(CLI::PositiveNumber);
  command.add_option("--max-part", options.channels.max_part,
                     "channels_*: part of each layer's channels that may go, (0, 1]");
}

}  // namespace

void add_prune(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<PruneArguments>();
  PruneFileOptions& options = arguments->options;
  options.channels.round_to = 0;
  CLI::App* command = add_command(
      program, action, "prune",
      "Prune a trained model without training: zeros in its weights, or channels or residual blocks cut out",
      arguments, execute);
  command->add_option("model", options.model, "ONNX file")->required();
  command->add_option("-o,--output", options.output, "ONNX file to write")->required()->type_name("FILE");
  command
      ->add_option("--method", options.method,
                   "By what is judged; names: " + join(prune_file_methods(), ", "))
      ->required();
  add_targets(*command, *arguments);
  command
      ->add_option(
          "--data", options.data,
          "Samples, as `evaluate` takes them, or random:N; training samples for methods that look at data, "
          "test samples to compare, where the data has both")
      ->type_name("DATA");
  command->add_option("--samples", options.samples, "That methods look at; 0: all")
      ->check(CLI::NonNegativeNumber);
  add_choices(*command, *arguments);
  command->add_option("--engine", options.engine, "Where both models are timed and compared");
  command->add_option("--latency-batch", options.latency_batch, "Batch size when timing")
      ->check(CLI::PositiveNumber);
  command->add_option("--seconds", options.seconds, "Measuring time of each model; 0: no latency")
      ->check(CLI::NonNegativeNumber);
  add_comparison(*command, options.metric, options.batch, options.limit);
  add_threads_and_json(*command, arguments->threads, arguments->json);
  command->footer(
      "Examples:\n"
      "  model-compression prune model.onnx -o small.onnx --method channels_l1 --speedup 2 --engine "
      "onnxruntime\n"
      "  model-compression prune model.onnx -o sparse.onnx --method magnitude --sparsity 0.5 --structure "
      "2:4");
}

}  // namespace mc
