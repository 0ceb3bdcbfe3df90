#include <memory>
#include <string>
#include <vector>

#include "mc/base/text.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/recipe/process.h"
#include "mc/recipe/sensitivity_file.h"

namespace mc {
namespace {

struct SensitivityArguments {
  SensitivityFileOptions options;
  int threads = 0;
  bool json = false;
};

void print_sensitivity(const SensitivityFileReport& report) {
  std::vector<std::string> head = {"layer", "operator", "weights", "MACs", "alone dB", "without dB"};
  for (const int64_t bits : report.options.bits) head.push_back(fmt::format("{} bits", bits));
  std::vector<std::vector<std::string>> rows = {head};
  for (const LayerSensitivity& layer : report.layers) {
    rows.push_back({layer.node, layer.op_type, human_count(static_cast<double>(layer.weights)),
                    human_count(layer.macs), fmt::format("{:.2f}", layer.snr_alone_db),
                    fmt::format("{:.2f}", layer.snr_without_db)});
    for (const int64_t bits : report.options.bits) {
      rows.back().push_back(fmt::format("{:.2f}", layer.snr_by_bits_db.at(bits)));
    }
  }
  print(align(rows));
  print(fmt::format("\nSNR at the outputs against the float model, on {}\n", report.data));
  print(
      "alone: only this layer quantized; without: all but this layer; bits: alone, the weight in so many\n");
  if (!report.options.page.empty()) print(fmt::format("{}\n", report.options.page.string()));
}

int execute(const SensitivityArguments& arguments) {
  use_threads(arguments.threads);
  const SensitivityFileReport report = sensitivity_of_file(arguments.options);
  present(arguments.json, [&] { return to_json(report); }, [&] { print_sensitivity(report); });
  return kDone;
}

}  // namespace

void add_sensitivity(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<SensitivityArguments>();
  SensitivityFileOptions& options = arguments->options;
  options.quantize.mode = "ptq";
  CLI::App* command = add_command(
      program, action, "sensitivity",
      "Show what quantizing each layer alone costs, and what leaving it float gains", arguments, execute);
  command->add_option("model", options.model, "ONNX file")->required();
  command->add_option("--data", options.data, "Samples, as `quantize` takes them")
      ->required()
      ->type_name("DATA");
  command->add_option("-o,--output", options.page, "HTML page with charts to write")->type_name("FILE");
  command->add_option("--bits", options.bits, "Bits of weights to measure too, as in 2,4,6")
      ->delimiter(',')
      ->check(CLI::Range(2, 8));
  command->add_option("--target", options.quantize.target, "Engine that the model is for")
      ->check(CLI::IsMember({"onnxruntime", "openvino", "tensorrt"}));
  command->add_option("--method", options.quantize.calibrator, "How ranges of activations are found")
      ->check(CLI::IsMember(calibrator_names()));
  command->add_option("--weight-bits", options.quantize.weight_bits, "Bits of weights")
      ->check(CLI::Range(2, 8));
  command->add_option("--activation-bits", options.quantize.activation_bits, "Bits of activations")
      ->check(CLI::Range(2, 8));
  command
      ->add_option("--keep-float", options.quantize.keep_float,
                   "Nodes left float, by name, pattern or type:OPERATOR; may be repeated")
      ->type_name("PATTERN")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--samples", options.quantize.samples, "Samples to calibrate with; 0: all")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--measured-samples", options.measured_samples, "Samples to measure on; 0: all")
      ->check(CLI::NonNegativeNumber);
  add_threads_and_json(*command, arguments->threads, arguments->json);
  command->footer(
      "Example:\n"
      "  model-compression sensitivity model.onnx --data samples.npz --bits 2,4 -o sensitivity.html");
}

}  // namespace mc
