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

void print_layers_quantized(const QuantizeFileReport& report) {
  std::vector<std::vector<std::string>> rows = {{"layer", "operator", "type", "reason"}};
  for (const LayerQuantization& layer : report.layers) {
    rows.push_back({layer.node, layer.op_type, layer.quantized ? "int8" : "float", layer.reason});
  }
  print(align(rows));
}

void print_quantized(const QuantizeFileReport& report) {
  print_layers_quantized(report);
  const auto before = static_cast<double>(report.bytes_before),
             after = static_cast<double>(report.bytes_after);
  print(fmt::format("\n{}: {}, of {} before ({:.2f} x smaller)\n", report.options.output.string(),
                    human_bytes(after), human_bytes(before), before / after));
  for (const QuantizeStep& step : report.steps) {
    print(fmt::format("{}: {} places\n", step.name, step.places));
  }
  print(fmt::format("calibrated by {} with {} samples in {}\n", report.options.quantize.calibrator,
                    report.calibration_samples, human_seconds(report.seconds)));
  print(fmt::format("against the float model on {}, {} samples: {}\n", report.comparison.engine,
                    report.comparison.samples, report.data));
  for (const OutputComparison& output : report.comparison.outputs) {
    print(fmt::format("  {}: SNR {:.2f} dB, cosine {:.6f}\n", output.name, output.snr_db, output.cosine));
  }
  print(fmt::format("  top-1 agreement {:.4f}\n", report.comparison.top1_agreement));
  if (report.metric) {
    print(fmt::format("  {} {:.4f}, before {:.4f}\n", report.metric->metric, report.metric->after,
                      report.metric->before));
  }
  if (!report.engine_note.empty()) {
    print(fmt::format("not compared on {}: {}\n", report.options.quantize.target, report.engine_note));
  }
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

}  // namespace

void add_quantize(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<QuantizeArguments>();
  QuantizeFileOptions& options = arguments->options;
  options.quantize.mode = "ptq";
  CLI::App* command = add_command(program, action, "quantize",
                                  "Quantize a trained model to 8 bits, with samples and without training",
                                  arguments, execute);
  command->add_option("model", options.model, "ONNX file")->required();
  command->add_option("-o,--output", options.output, "ONNX file to write")->required()->type_name("FILE");
  command
      ->add_option("--data", options.data,
                   "Samples, as `evaluate` takes them, or random:N; training samples calibrate, test samples "
                   "compare, where the data has both")
      ->required()
      ->type_name("DATA");
  command->add_option("--target", options.quantize.target, "Engine that the result is for")
      ->check(CLI::IsMember(target_names()));
  command->add_option("--method", options.quantize.calibrator, "How ranges of activations are found")
      ->check(CLI::IsMember(calibrator_names()));
  command->add_option("--samples", options.quantize.samples, "Samples to calibrate with; 0: all")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--percentile", options.quantize.percentile, "Of the method percentile")
      ->check(CLI::Range(50.0, 100.0));
  command->add_flag("--equalize", options.quantize.equalize,
                    "Move factors between layers so that the channels of their weights have like ranges");
  command
      ->add_option(
          "--smooth", options.quantize.smooth,
          "Move this part of the activations' differences between channels into the weights of matrix "
          "products, 0.5 is usual; 0: off")
      ->type_name("ALPHA")
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--bias-correction", options.quantize.bias_correction,
                   "Take the mean error of each layer's outputs back in its bias")
      ->check(CLI::IsMember({"none", "fast", "full"}));
  QuantizeOptions& quantize = options.quantize;
  command->add_option("--weight-bits", quantize.weight_bits, "Bits of weights")->check(CLI::Range(2, 8));
  command->add_option("--activation-bits", quantize.activation_bits, "Bits of activations")
      ->check(CLI::Range(2, 8));
  command
      ->add_option("--weight-range", quantize.weight_range,
                   "Range of a weight: its largest magnitude, or least squared error; auto: mse below 8 bits")
      ->check(CLI::IsMember({"auto", "max", "mse"}));
  command
      ->add_option("--rounding", quantize.rounding,
                   "Weights to the nearest level, or as learned by layer (adaround) or block (brecq)")
      ->check(CLI::IsMember({"nearest", "adaround", "brecq"}));
  command
      ->add_option("--rounding-iterations", quantize.rounding_iterations,
                   "Steps that learn the rounding of a layer or block")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--rounding-samples", quantize.rounding_samples,
                   "Of those that calibrate, to learn rounding from; 0: all")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--keep-float", options.quantize.keep_float,
                   "Nodes left float, by name or pattern; may be "
                   "repeated")
      ->type_name("PATTERN")
      ->take_all()
      ->allow_extra_args(false);
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
