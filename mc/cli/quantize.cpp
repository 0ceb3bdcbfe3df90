#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/recipe/climb_file.h"
#include "mc/recipe/process.h"
#include "mc/recipe/quantize_file.h"

namespace mc {
namespace {

struct QuantizeArguments {
  QuantizeFileOptions options;
  Goal goal;
  bool train = false;
  bool anew = false;
  double time_budget = 0;
  std::string size_budget, bops_budget, latency_budget;  // empty: none
  int threads = 0;
  bool json = false;
};

// Of conversions to 16 bits only what stays float: there is a row for every node. A budget has a table of its
// own.
void print_layers_quantized(const QuantizeFileReport& report) {
  const QuantizeModeOptions& how = report.options.how;
  const bool half = how.mode == "fp16" || how.mode == "bf16";
  std::vector<std::vector<std::string>> rows = {{"layer", "operator", "type", "reason"}};
  for (const LayerQuantization& layer : report.layers) {
    if ((half || report.budget) && layer.quantized) continue;
    rows.push_back({layer.node, layer.op_type, layer.quantized ? mode_type(how) : "float", layer.reason});
  }
  if (rows.size() > 1) print(align(rows));
  for (const ClampedConstant& constant : report.clamped) {
    print(fmt::format("{}: {} values beyond the range of {} were clamped\n", constant.name, constant.elements,
                      mode_type(how)));
  }
}

void print_compared(const QuantizeFileReport& report) {
  const Comparison& comparison = *report.comparison;
  print(fmt::format("against the float model on {}, {} samples: {}\n", comparison.engine, comparison.samples,
                    report.data));
  for (const OutputComparison& output : comparison.outputs) {
    print(fmt::format("  {}: SNR {:.2f} dB, cosine {:.6f}\n", output.name, output.snr_db, output.cosine));
  }
  print(fmt::format("  top-1 agreement {:.4f}\n", comparison.top1_agreement));
  if (report.metric) {
    print(fmt::format("  {} {:.4f}, before {:.4f}\n", report.metric->metric, report.metric->after,
                      report.metric->before));
  }
  if (!report.engine_note.empty()) {
    print(fmt::format("not compared on {}: {}\n", report.options.how.quantize.target, report.engine_note));
  }
}

void print_kernels(const KernelCheck& kernels, const std::string& engine) {
  std::string names = join(kernels.floating, ", ");
  if (!names.empty()) names = ": " + names;
  print(fmt::format("convolutions and matrix products on {}: {} in integer kernels, {} in float{}\n", engine,
                    kernels.integer.size(), kernels.floating.size(), names));
}

void print_latency(const LatencyResult& latency, const std::string& engine) {
  std::vector<std::vector<std::string>> rows = {{"kind", "layers", "quantized ms", "float ms", "left"}};
  for (const LatencyChoice& choice : latency.choices) {
    rows.push_back({choice.kind, std::to_string(choice.nodes.size()),
                    fmt::format("{:.3f}", choice.integer_ms), fmt::format("{:.3f}", choice.float_ms),
                    choice.kept_float ? "float" : "quantized"});
  }
  print(fmt::format("\nMeasured on {}: the model with one kind of layer quantized, and left float\n{}",
                    engine, align(rows)));
  print(fmt::format("float {:.3f} ms, quantized {:.3f} ms ({:.2f} x){}\n", latency.float_ms,
                    latency.quantized_ms, latency.float_ms / latency.quantized_ms,
                    latency.pays ? "" : ": quantizing does not pay, the output is the model as it was"));
}

void print_budget(const BudgetResult& budget) {
  std::vector<std::vector<std::string>> rows = {{"layer", "operator", "weight", "SNR alone dB"}};
  for (const BitChoice& layer : budget.layers) {
    const bool stays = layer.bits == kFloatBits;
    rows.push_back({layer.node, layer.op_type, stays ? "float" : fmt::format("{} bits", layer.bits),
                    stays ? "" : fmt::format("{:.2f}", layer.snr_db)});
  }
  const auto amount = [&](double cost) {
    if (budget.budget.kind == Budget::Kind::kSize) return human_bytes(cost);
    return budget.budget.kind == Budget::Kind::kBops ? human_count(cost) : fmt::format("{:.3f} ms", cost);
  };
  print(fmt::format("\n{} budget {}: {}, of {} in float; SNR expected {:.2f} dB\n{}",
                    name_of(budget.budget.kind), amount(budget.limit), amount(budget.cost),
                    amount(budget.float_cost), budget.expected_snr_db, align(rows)));
  if (budget.options.weight_storage == "int4") {
    print("weights of 4 bits are int4 in the file; engines compute those layers in float\n");
  }
}

void print_quantized(const QuantizeFileReport& report) {
  if (report.budget) print_budget(*report.budget);
  print_layers_quantized(report);
  const auto before = static_cast<double>(report.bytes_before),
             after = static_cast<double>(report.bytes_after);
  print(fmt::format("\n{}: {}, of {} before ({:.2f} x smaller)\n", report.options.output.string(),
                    human_bytes(after), human_bytes(before), before / after));
  for (const QuantizeStep& step : report.steps) print(fmt::format("{}: {} places\n", step.name, step.places));
  if (report.calibration_samples > 0) {
    print(fmt::format("calibrated by {} with {} samples in {}\n", mode_method(report.options.how),
                      report.calibration_samples, human_seconds(report.seconds)));
  }
  if (report.kernels) print_kernels(*report.kernels, report.options.how.quantize.target);
  if (report.comparison) print_compared(report);
  if (report.latency) print_latency(*report.latency, report.options.how.quantize.target);
  print(fmt::format("as a page: {}\n", page_of(report.options.output).string()));
}

std::string metric_cell(const std::optional<Judgement>& judgement) {
  return judgement && judgement->metric ? fmt::format("{:.4f}", *judgement->metric) : "-";
}

void print_climbed(const ClimbFileReport& report) {
  if (report.latency) print_latency(*report.latency, report.engine);
  if (report.latency && !report.latency->pays) return;
  const LadderResult& ladder = report.ladder;
  std::vector<std::vector<std::string>> rows = {
      {"rung", "what", ladder.metric.empty() ? "metric" : ladder.metric, "SNR dB", "time", ""}};
  rows.push_back({"float", "", metric_cell(ladder.reference), "", "", ""});
  for (const LadderStep& step : ladder.steps) {
    rows.push_back({step.rung, step.what, metric_cell(step.judgement),
                    step.judgement ? fmt::format("{:.2f}", step.judgement->snr_db) : "-",
                    human_seconds(step.seconds),
                    step.judgement ? (step.kept ? "kept" : "") : "failed: " + step.reason});
  }
  print("\n" + align(rows));
  const LadderStep& best = ladder.steps[*ladder.best];
  print(fmt::format("\n{}: {} ({}), {}, of {} before; judged on {}, {}\n", report.options.output.string(),
                    best.what, best.rung, human_bytes(static_cast<double>(best.judgement->bytes)),
                    human_bytes(static_cast<double>(ladder.reference.bytes)), report.engine, report.data));
  if (!report.engine_note.empty()) {
    print(fmt::format("not judged on {}: {}\n", report.options.quantize.target, report.engine_note));
  }
  print(fmt::format("as a page: {}\n", page_of(report.options.output).string()));
  print(ladder.holds         ? "the goal is reached\n"
        : ladder.out_of_time ? "the goal is not reached: the time is over; the same command goes on\n"
                             : "the goal is not reached: no rung is left\n");
}

int climb(const QuantizeArguments& arguments) {
  const QuantizeFileOptions& options = arguments.options;
  MC_CHECK(options.how.mode == "ptq", "--accuracy-drop and --min-snr are of --mode ptq");
  MC_CHECK(!options.data.empty(), "--accuracy-drop and --min-snr need samples; give --data");
  ClimbFileOptions climb;
  climb.model = options.model;
  climb.output = options.output;
  climb.data = options.data;
  climb.quantize = options.how.quantize;
  climb.quantize.mode = "ptq";
  if (options.how.weight_bits) climb.quantize.weight_bits = *options.how.weight_bits;
  climb.goal = arguments.goal;
  climb.goal.metric = options.metric;
  climb.train = arguments.train;
  climb.latency = options.latency;
  climb.time_budget_seconds = arguments.time_budget;
  climb.resume = !arguments.anew;
  climb.batch = options.batch;
  climb.limit = options.limit;
  const ClimbFileReport report = climb_file(climb);
  present(arguments.json, [&] { return to_json(report); }, [&] { print_climbed(report); });
  return report.ladder.holds || (report.latency && !report.latency->pays) ? kDone : kCheckFailed;
}

std::optional<Budget> budget_of(const QuantizeArguments& arguments) {
  std::optional<Budget> budget;
  for (const auto& [kind, text] : {std::pair{Budget::Kind::kSize, arguments.size_budget},
                                   std::pair{Budget::Kind::kBops, arguments.bops_budget},
                                   std::pair{Budget::Kind::kLatency, arguments.latency_budget}}) {
    if (text.empty()) continue;
    MC_CHECK(!budget, "--{}-budget and --{}-budget: one at a time", name_of(budget->kind), name_of(kind));
    budget = parse_budget(kind, text);
  }
  return budget;
}

int execute(const QuantizeArguments& arguments) {
  use_threads(arguments.threads);
  QuantizeFileOptions options = arguments.options;
  options.budget = budget_of(arguments);
  if (arguments.goal.accuracy_drop || arguments.goal.min_snr_db) {
    MC_CHECK(!options.budget, "give a budget or a goal (--accuracy-drop, --min-snr), not both");
    return climb(arguments);
  }
  const QuantizeFileReport report = quantize_file(options);
  present(arguments.json, [&] { return to_json(report); }, [&] { print_quantized(report); });
  return kDone;
}

std::vector<std::string> target_names() {
  std::vector<std::string> names;
  for (const QuantizeTarget& target : quantize_targets()) names.push_back(target.name);
  return names;
}

// Of ptq.
void add_calibration(CLI::App& command, QuantizeOptions& options) {
  command.add_option("--activation-bits", options.activation_bits, "ptq: bits of activations")
      ->check(CLI::Range(2, 8));
  command
      .add_option("--weight-range", options.weight_range,
                  "ptq: range of a weight: its largest magnitude, or least squared error; auto: mse below 8 "
                  "bits with learned rounding")
      ->check(CLI::IsMember({"auto", "max", "mse"}));
  command.add_flag("--equalize", options.equalize,
                   "ptq: move factors between layers so that the channels of their weights have like ranges");
  command
      .add_option("--smooth", options.smooth,
                  "ptq: move this part of the activations' differences between channels into the weights of "
                  "matrix products, 0.5 is usual; 0: off")
      ->type_name("ALPHA")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--bias-correction", options.bias_correction,
                  "ptq: take the mean error of each layer's outputs back in its bias")
      ->check(CLI::IsMember({"none", "fast", "full"}));
  command
      .add_option("--rounding", options.rounding,
                  "ptq: weights to the nearest level, or as learned by layer (adaround) or block (brecq)")
      ->check(CLI::IsMember({"nearest", "adaround", "brecq"}));
  command
      .add_option("--rounding-iterations", options.rounding_iterations,
                  "Steps that learn the rounding of a layer or block")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--rounding-samples", options.rounding_samples,
                  "Of those that calibrate, to learn rounding from; 0: all")
      ->check(CLI::NonNegativeNumber);
}

// What says how the result is made.
void add_ways(CLI::App& command, QuantizeModeOptions& how) {
  command.add_option("--mode", how.mode, "What is made of the model")->check(CLI::IsMember(quantize_modes()));
  command.add_option("--target", how.quantize.target, "Engine that the result is for")
      ->check(CLI::IsMember(target_names()));
  command.add_option("--method", how.method,
                     "How ranges of activations are found (ptq, float8), or integers of weights (weights)");
  command.add_option("--samples", how.quantize.samples, "Samples to calibrate with; 0: all")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--percentile", how.quantize.percentile, "Of the method percentile")
      ->check(CLI::Range(50.0, 100.0));
  command.add_option("--weight-bits", how.weight_bits, "Bits of weights: 2 to 8 for ptq, 4 or 8 for weights")
      ->check(CLI::Range(2, 8));
  command.add_option("--block", how.weights.block, "weights: inputs that share a scale");
  command.add_option("--format", how.weights.format, "weights: how they stand in the file")
      ->check(CLI::IsMember(weight_formats()));
  command.add_flag("--symmetric", how.weights.symmetric, "weights: no zero points");
  command.add_flag("--embeddings", how.weights.embeddings, "weights: tables of embeddings too");
  command.add_flag("--act-order", how.weights.act_order, "gptq: columns with large inputs first");
  command.add_option("--damping", how.weights.damping, "gptq: part of the mean of the Hessian's diagonal");
  command.add_flag("--reduce-range", how.reduce_range, "dynamic: 7-bit weights, for processors without VNNI");
  command.add_flag("--convert-io", how.convert_io, "fp16, bf16: inputs and outputs of the model too");
  command
      .add_option("--keep-float", how.quantize.keep_float,
                  "Nodes left float, by name, pattern or type:OPERATOR; may be repeated")
      ->type_name("PATTERN")
      ->take_all()
      ->allow_extra_args(false);
}

// What the result may cost.
void add_budgets(CLI::App& command, QuantizeArguments& arguments) {
  command
      .add_option(
          "--size-budget", arguments.size_budget,
          "ptq: bits by layer so that the file has at most so many bytes (500k, 1.5M), or such a part of "
          "the float model's (0.2x)")
      ->type_name("SIZE");
  command
      .add_option("--bops-budget", arguments.bops_budget,
                  "Likewise for bit operations: multiply-accumulates times bits of weight and activation")
      ->type_name("N");
  command
      .add_option(
          "--latency-budget", arguments.latency_budget,
          "Likewise for milliseconds at batch 1 on the target's engine: the most sensitive layers stay float")
      ->type_name("MS");
}

// What the result must keep, and how far to go for it.
void add_goal(CLI::App& command, QuantizeArguments& arguments) {
  command
      .add_option("--accuracy-drop", arguments.goal.accuracy_drop,
                  "Largest drop of the metric: climbs from cheap to costly ways until it holds")
      ->type_name("X")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--min-snr", arguments.goal.min_snr_db,
                  "Least SNR of the outputs against the float model's, likewise")
      ->type_name("DB");
  command.add_flag("--train", arguments.train, "With a goal: the last way may train on the training samples");
  command
      .add_option("--time-budget", arguments.time_budget,
                  "With a goal: no further way is begun after so many seconds; 0: none")
      ->type_name("S")
      ->check(CLI::NonNegativeNumber);
  command.add_flag("--anew", arguments.anew, "With a goal: forget what an earlier run tried");
  command.add_flag("--latency,!--no-latency", arguments.options.latency,
                   "ptq: time the result, and leave float what is faster so (on unless turned off)");
}

}  // namespace

void add_quantize(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<QuantizeArguments>();
  QuantizeFileOptions& options = arguments->options;
  options.latency = true;
  CLI::App* command = add_command(program, action, "quantize",
                                  "Make a trained model smaller: integers or short floats, without training",
                                  arguments, execute);
  command->add_option("model", options.model, "ONNX file")->required();
  command->add_option("-o,--output", options.output, "ONNX file to write")->required()->type_name("FILE");
  command
      ->add_option("--data", options.data,
                   "Samples, as `evaluate` takes them, or random:N; training samples calibrate, test samples "
                   "compare, where the data has both. Needed where ranges or errors are measured")
      ->type_name("DATA");
  add_goal(*command, *arguments);
  add_budgets(*command, *arguments);
  add_ways(*command, options.how);
  add_calibration(*command, options.how.quantize);
  add_comparison(*command, options.metric, options.batch, options.limit);
  add_threads_and_json(*command, arguments->threads, arguments->json);
  command->footer(
      "Example:\n"
      "  model-compression quantize model.onnx --data samples.npz -o model.int8.onnx --method mse");
}

}  // namespace mc
