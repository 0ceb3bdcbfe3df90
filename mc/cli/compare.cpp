#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/error.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/deploy/compare.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/model_data.h"
#include "mc/recipe/process.h"

namespace mc {
namespace {

struct CompareArguments {
  std::string reference;
  std::string other;
  std::string data;
  std::vector<std::string> engines = {"onnxruntime"};
  int64_t batch = 32;
  int64_t limit = 0;
  int threads = 0;
  bool per_layer = false;
  std::optional<double> min_snr;
  std::optional<double> min_agreement;
  bool json = false;
};

bool holds(const CompareArguments& arguments, const Comparison& comparison) {
  const bool snr = !arguments.min_snr || comparison.min_snr_db() >= *arguments.min_snr;
  return snr && (!arguments.min_agreement || comparison.top1_agreement >= *arguments.min_agreement);
}

void add_rows(std::vector<std::vector<std::string>>& table, const std::vector<OutputComparison>& outputs) {
  for (const OutputComparison& output : outputs) {
    table.push_back({output.name, fmt::format("{:.3e}", output.mse), fmt::format("{:.2f}", output.snr_db),
                     fmt::format("{:.6f}", output.cosine), fmt::format("{:.3e}", output.max_abs)});
  }
}

std::string steps_text(double steps) {
  return steps < 0 ? "-" : fmt::format("{:.0f}", steps);
}
std::string percent_text(double part) {
  return part < 0 ? "-" : fmt::format("{:.4f}", 100 * part);
}

void print_layers(const Comparison& comparison) {
  std::vector<std::vector<std::string>> table = {
      {"value", "SNR dB", "steps", "% differ", "own SNR dB", "own steps", "own % differ", "computed by"}};
  for (const LayerComparison& layer : comparison.layers) {
    const LayerDifference& own = layer.local;
    table.push_back({layer.name, fmt::format("{:.2f}", layer.snr_db), steps_text(layer.steps),
                     percent_text(layer.differing), fmt::format("{:.2f}", own.snr_db), steps_text(own.steps),
                     percent_text(own.differing), layer.node + (layer.parts ? "  <- parts" : "")});
  }
  print(align(table));
  const LayerComparison* first = comparison.first_that_parts();
  print(first ? fmt::format("\nfirst to part: {}, value '{}'\n\n", first->node, first->name)
              : std::string("\nno layer parts from the reference by itself\n\n"));
}

void print_comparison(const CompareArguments& arguments, const Comparison& comparison,
                      const std::string& data) {
  print(fmt::format("{} on {} against {} on {}, {} samples: {}\n\n", comparison.other.string(),
                    comparison.other_engine, comparison.reference.string(), comparison.engine,
                    comparison.samples, data));
  if (!comparison.layers.empty()) print_layers(comparison);
  std::vector<std::vector<std::string>> table = {{"output", "MSE", "SNR dB", "cosine", "largest difference"}};
  add_rows(table, comparison.outputs);
  print(align(table));
  print(fmt::format("\ntop-1 agreement {:.4f}\n", comparison.top1_agreement));
  if (arguments.min_snr && comparison.min_snr_db() < *arguments.min_snr) {
    print(fmt::format("FAILED: SNR {:.2f} dB, at least {} required\n", comparison.min_snr_db(),
                      *arguments.min_snr));
  }
  if (arguments.min_agreement && comparison.top1_agreement < *arguments.min_agreement) {
    print(fmt::format("FAILED: agreement {:.4f}, at least {} required\n", comparison.top1_agreement,
                      *arguments.min_agreement));
  }
}

int execute(const CompareArguments& arguments) {
  MC_CHECK(arguments.engines.size() <= 2, "--engine takes one engine, or one for each model; got {}",
           arguments.engines.size());
  use_threads(arguments.threads);
  CompareOptions options;
  options.engine = arguments.engines.front();
  options.other_engine = arguments.engines.back();
  options.batch_size = arguments.batch;
  options.per_layer = arguments.per_layer;
  const ModelData data = with_context(
      [&] { return arguments.reference; },
      [&] { return open_model_data(read_onnx(arguments.reference), arguments.data, arguments.limit); });
  std::unique_ptr<Loader> loader = make_loader(data, arguments.batch);
  const Comparison comparison = compare(arguments.reference, arguments.other, *loader, options);
  const bool passed = holds(arguments, comparison);
  const auto document = [&] {
    Json result = to_json(std::vector<Comparison>{comparison}, passed);
    result["data"] = data.dataset->description();
    result["random_data"] = data.dataset->random();
    return result;
  };
  present(arguments.json, document,
          [&] { print_comparison(arguments, comparison, data.dataset->description()); });
  return passed ? kDone : kCheckFailed;
}

}  // namespace

void add_compare(CLI::App& program, Action& action) {
  auto options = std::make_shared<CompareArguments>();
  CLI::App* command = add_command(program, action, "compare",
                                  "Compare two models, or one model on two engines", options, execute);
  command->add_option("reference", options->reference, "ONNX file")->required();
  command->add_option("other", options->other, "ONNX file; may be the same")->required();
  command->add_option("--data", options->data, "Samples, as `evaluate` takes them, or random:N")
      ->required()
      ->type_name("DATA");
  command->add_option("--engine", options->engines, "Engine of both, or one for each: onnxruntime,torch")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_flag("--per-layer", options->per_layer,
                    "Compare the values inside too, name the first node that parts");
  command->add_option("--min-snr", options->min_snr, "Exit with 1 when an output's SNR is below")
      ->type_name("DB");
  command->add_option("--min-agreement", options->min_agreement, "Exit with 1 when top-1 agreement is below")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--batch", options->batch, "Samples at once")->check(CLI::PositiveNumber);
  command->add_option("--limit", options->limit, "Use only the first samples; 0: all")
      ->check(CLI::NonNegativeNumber);
  add_threads_and_json(*command, options->threads, options->json);
  command->footer(
      "SNR in dB is 10 log10(sum of reference squared / sum of difference squared), 200 when equal.\n"
      "Example:\n"
      "  model-compression compare fp32.onnx int8.onnx --data test.npz --min-snr 20 --min-agreement 0.99");
}

}  // namespace mc
