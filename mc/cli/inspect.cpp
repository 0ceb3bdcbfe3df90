#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/recipe/inspect.h"

namespace mc {
namespace {

struct InspectArguments {
  std::string model;
  std::vector<std::string> shapes;
  bool nodes = false;
  bool json = false;
};

std::string yes_or(bool yes, const std::string& obstacle) {
  if (yes) return "yes";
  return obstacle.empty() ? "no" : "no: " + obstacle;
}

void print_layers(const Inspection& inspection) {
  std::vector<std::vector<std::string>> rows = {{"layer", "operator", "weight", "parameters", "MACs",
                                                 "output", "zeros", "pattern", "prune", "quantize"}};
  for (const InspectedLayer& layer : inspection.layers) {
    rows.push_back({layer.name, layer.op, fmt::format("[{}]", fmt::join(layer.shape, ",")),
                    human_count(static_cast<double>(layer.parameters)), human_count(layer.macs),
                    human_bytes(layer.activation_bytes),
                    layer.sparsity ? fmt::format("{:.1f} %", 100 * *layer.sparsity) : "",
                    layer.pattern == "dense" ? "" : layer.pattern,
                    yes_or(layer.prunable, layer.prune_obstacle),
                    yes_or(layer.quantizable, layer.quantize_obstacle)});
  }
  print("\n" + align(rows));
}

void print_groups(const Inspection& inspection) {
  std::vector<std::vector<std::string>> rows = {
      {"channels of", "number", "each saves", "MACs", "MACs by half", "cut"}};
  for (const InspectedGroup& group : inspection.groups) {
    const double half = group.macs_saved * std::floor(static_cast<double>(group.channels) / 2);
    const std::string obstacle = group.obstacle.empty() ? "" : "no: " + group.obstacle;
    const std::string cut = group.inexact.empty() ? "yes" : "yes, but " + group.inexact;
    rows.push_back({group.name, std::to_string(group.channels),
                    human_count(group.parameters_saved) + " parameters", human_count(group.macs_saved),
                    inspection.macs > 0 ? fmt::format("{:.1f} %", 100 * half / inspection.macs) : "",
                    obstacle.empty() ? cut : obstacle});
  }
  if (rows.size() > 1) print("\nChannels that can only be cut together:\n" + align(rows));
}

void print_blocks(const Inspection& inspection) {
  std::vector<std::vector<std::string>> rows = {{"block that can go", "nodes", "saves", "MACs"}};
  for (const InspectedBlock& block : inspection.blocks) {
    rows.push_back({block.name, std::to_string(block.nodes.size()),
                    human_count(block.parameters_saved) + " parameters", human_count(block.macs_saved)});
  }
  if (rows.size() > 1) print("\n" + align(rows));
}

void print_nodes(const Inspection& inspection) {
  std::vector<std::vector<std::string>> rows = {{"node", "operator", "parameters", "MACs", "output"}};
  for (const NodeCost& cost : inspection.costs) {
    rows.push_back({cost.node, cost.op_type, human_count(cost.parameters), human_count(cost.macs),
                    human_bytes(cost.activation_bytes)});
  }
  print("\n" + align(rows));
}

void print_inspection(const Inspection& inspection, bool nodes) {
  std::vector<std::string> operators;
  for (const auto& [name, count] : inspection.operators)
    operators.push_back(fmt::format("{} {}", count, name));
  print(fmt::format("{}: opset {}{}\n", inspection.file.string(), inspection.opset,
                    inspection.producer.empty() ? "" : ", made by " + inspection.producer));
  for (const std::string& input : inspection.inputs) print(fmt::format("input       {}\n", input));
  for (const std::string& output : inspection.outputs) print(fmt::format("output      {}\n", output));
  print(fmt::format("nodes       {} ({})\n", inspection.nodes, join(operators, ", ")));
  print(fmt::format("parameters  {}\n", human_count(static_cast<double>(inspection.parameters))));
  print(fmt::format("MACs        {} for one sample\n", human_count(inspection.macs)));
  print(fmt::format("activations {} for one sample, all kept as in training\n",
                    human_bytes(inspection.activation_bytes)));
  print(fmt::format("zeros       {:.1f} % of the layers' weights\n", 100 * inspection.sparsity));
  if (!inspection.layers.empty()) print_layers(inspection);
  print_groups(inspection);
  print_blocks(inspection);
  if (nodes) print_nodes(inspection);
  if (!inspection.unsupported.empty()) print("\nnot supported:\n");
  for (const std::string& node : inspection.unsupported) print(fmt::format("  {}\n", node));
  if (!inspection.notes.empty()) print("\nnotes:\n");
  for (const std::string& note : inspection.notes) print(fmt::format("  - {}\n", note));
}

// "image=1,3,224,224"
std::pair<std::string, std::vector<int64_t>> read_shape(const std::string& text) {
  const size_t equals = text.rfind('=');
  MC_CHECK(equals != std::string::npos && equals > 0,
           "--shape {}: expected INPUT=SIZES, as in image=1,3,224,224", text);
  std::vector<int64_t> shape;
  for (const std::string& part : split(text.substr(equals + 1), ',')) {
    const bool digits = !part.empty() && part.size() < 10 &&
                        std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    MC_CHECK(digits, "--shape {}: '{}' is no size", text, part);
    shape.push_back(std::stoll(part));
  }
  return {text.substr(0, equals), shape};
}

int execute(const InspectArguments& arguments) {
  InputShapes shapes;
  for (const std::string& text : arguments.shapes) shapes.insert(read_shape(text));
  const Inspection inspection = inspect_model(arguments.model, shapes);
  arguments.json ? print_json(to_json(inspection)) : print_inspection(inspection, arguments.nodes);
  return kDone;
}

}  // namespace

void add_inspect(CLI::App& program, Action& action) {
  auto options = std::make_shared<InspectArguments>();
  CLI::App* command = add_command(
      program, action, "inspect",
      "Show a model: layers, cost, sparsity, and what stands in the way of compressing it", options, execute);
  command->add_option("model", options->model, "ONNX file")->required();
  command
      ->add_option("--shape", options->shapes,
                   "Sizes of an input to count costs for, as in image=1,3,224,224; may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  command->add_flag("--nodes", options->nodes, "Print parameters, MACs and memory of every node");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Example:\n  model-compression inspect model.onnx");
}

}  // namespace mc
