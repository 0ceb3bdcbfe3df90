#include <memory>
#include <string>
#include <vector>

#include "mc/base/text.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/recipe/process.h"
#include "mc/recipe/quantize_file.h"

namespace mc {
namespace {

struct QuantizeArguments {
  QuantizeFileOptions options;
  int threads = 0;
  bool json = false;
};

// Of conversions to 16 bits only what stays float: there is a row for every node.
void print_layers_quantized(const QuantizeFileReport& report) {
  const QuantizeModeOptions& how = report.options.how;
  const bool half = how.mode == "fp16" || how.mode == "bf16";
  std::vector<std::vector<std::string>> rows = {{"layer", "operator", "type", "reason"}};
  for (const LayerQuantization& layer : report.layers) {
    if (half && layer.quantized) continue;
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

void print_quantized(const QuantizeFileReport& report) {
  print_layers_quantized(report);
  const auto before = static_cast<double>(report.bytes_before),
             after = static_cast<double>(report.bytes_after);
  print(fmt::format("\n{}: {}, of {} before ({:.2f} x smaller)\n", report.options.output.string(),
                    human_bytes(after), human_bytes(before), before / after));
  if (report.calibration_samples > 0) {
    print(fmt::format("calibrated by {} with {} samples in {}\n", mode_method(report.options.how),
                      report.calibration_samples, human_seconds(report.seconds)));
  }
  if (report.comparison) print_compared(report);
}

int execute(const QuantizeArguments& arguments) {
  use_threads(arguments.threads);
  const QuantizeFileReport report = quantize_file(arguments.options);
  arguments.json ? print_json(to_json(report)) : print_quantized(report);
  return kDone;
}

std::vector<std::string> target_names() {
  std::vector<std::string> names;
  for (const QuantizeTarget& target : quantize_targets()) names.push_back(target.name);
  return names;
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
                  "Nodes left float, by name or pattern; may be repeated")
      ->type_name("PATTERN")
      ->take_all()
      ->allow_extra_args(false);
}

}  // namespace

void add_quantize(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<QuantizeArguments>();
  QuantizeFileOptions& options = arguments->options;
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
  add_ways(*command, options.how);
  command->add_option("--metric", options.metric,
                      "Measured before and after where the data has labels; default top1, mse for numbers");
  command->add_option("--batch", options.batch, "Samples at once when comparing")->check(CLI::PositiveNumber);
  command->add_option("--limit", options.limit, "Compare on only the first samples; 0: all")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--threads", arguments->threads, "CPU threads; 0: all cores")
      ->check(CLI::Range(0, 4096));
  command->add_flag("--json", arguments->json, "Print JSON");
  command->footer(
      "Example:\n"
      "  model-compression quantize model.onnx --data samples.npz -o model.int8.onnx --method mse");
}

}  // namespace mc
