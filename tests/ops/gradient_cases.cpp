#include "tests/ops/gradient_cases.h"

#include <algorithm>
#include <cmath>
#include <ostream>
#include <set>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mc/base/error.h"
#include "tests/ops/interpreter.h"

namespace mc::testing {
namespace {

std::vector<Node> case_nodes(const GradientCase& gradient_case) {
  return parse_model(
             fmt::format("<ir_version: 10, opset_import: [\"\" : {}, \"mc\" : 1, \"com.microsoft\" : 1]> "
                         "g () => () {{ {} }}",
                         gradient_case.opset, gradient_case.text))
      .graph.nodes;
}

// What the nodes read and do not make, in order.
std::vector<std::string> free_names(const std::vector<Node>& nodes) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const Node& node : nodes) {
    for (const std::string& name : reads(node)) {
      if (seen.insert(name).second) names.push_back(name);
    }
    seen.insert(node.outputs.begin(), node.outputs.end());
  }
  return names;
}

at::Tensor spread_values(const CaseInput& input, size_t index) {
  const int64_t count = c10::multiply_integers(input.dims);
  if (!input.values.empty()) return at::tensor(input.values, at::kDouble).reshape(input.dims);
  at::manual_seed(31 + index);
  const double shift = std::fmod(0.37 + 0.113 * static_cast<double>(index), 1.0);
  const at::Tensor even = (at::randperm(count).to(at::kDouble) + shift) / static_cast<double>(count);
  const at::Tensor values = input.low + (input.high - input.low) * even;
  return values.to(at::kFloat).to(at::kDouble).reshape(input.dims);
}

std::vector<GradientCase> all_cases() {
  std::vector<GradientCase> cases;
  for (auto part : {elementwise_gradient_cases, layer_gradient_cases, shape_gradient_cases,
                    control_gradient_cases, signal_gradient_cases, contrib_gradient_cases}) {
    for (GradientCase& gradient_case : part()) cases.push_back(std::move(gradient_case));
  }
  std::map<std::string, int> times;
  for (GradientCase& gradient_case : cases) gradient_case.number = times[gradient_case.name()]++;
  return cases;
}

}  // namespace

CaseInput real(std::vector<int64_t> dims, double low, double high) {
  return {.dims = std::move(dims), .low = low, .high = high, .trained = true};
}

CaseInput held(std::vector<int64_t> dims, double low, double high) {
  return {.dims = std::move(dims), .low = low, .high = high};
}

CaseInput numbers(std::vector<double> values, std::vector<int64_t> dims, DType dtype) {
  return {.dims = std::move(dims), .values = std::move(values), .dtype = dtype};
}

CaseInput list(std::vector<double> values) {
  const auto count = static_cast<int64_t>(values.size());
  return numbers(std::move(values), {count});
}

CaseInput flags(std::vector<double> values, std::vector<int64_t> dims) {
  return numbers(std::move(values), std::move(dims), DType::kBool);
}

std::string GradientCase::name() const {
  const Node first = case_nodes(*this).front();
  std::string domain = first.domain.empty() ? "" : first.domain + "_";
  std::replace(domain.begin(), domain.end(), '.', '_');
  return fmt::format("{}{}_{}{}", domain, first.op_type, opset, number ? fmt::format("_{}", number) : "");
}

void PrintTo(const GradientCase& gradient_case, std::ostream* stream) {
  *stream << gradient_case.text;
}

const std::vector<GradientCase>& gradient_cases() {
  static const std::vector<GradientCase> cases = all_cases();
  return cases;
}

std::string entry_key(const Op& op) {
  return fmt::format("{}{}{}-{}", op.domain, op.domain.empty() ? "" : ".", op.name, op.since);
}

const std::map<std::string, std::string>& gradient_exceptions() {
  static const std::map<std::string, std::string> exceptions = {
      {"mc.FakeQuantize-1", "its gradient passes straight through the rounding, which is not its derivative"},
      {"mc.LearnedFakeQuantize-1", "the same; fake_quantize_learned_test.cpp holds it to ATen's"},
  };
  return exceptions;
}

Model case_model(const GradientCase& gradient_case) {
  Model model;
  model.ir_version = 10;
  model.set_opset("", gradient_case.opset);
  Graph& graph = model.graph;
  graph.name = gradient_case.name();
  graph.nodes = case_nodes(gradient_case);
  for (const Node& node : graph.nodes) {
    if (!node.domain.empty()) model.set_opset(node.domain, 1);
  }
  const std::vector<std::string> names = free_names(graph.nodes);
  MC_CHECK(names.size() == gradient_case.inputs.size(), "'{}' reads {} values and the case gives {}",
           gradient_case.text, names.size(), gradient_case.inputs.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const CaseInput& input = gradient_case.inputs[i];
    if (input.dtype == DType::kFloat) {
      const Type type = Type::tensor(DType::kFloat, Shape(input.dims.begin(), input.dims.end()));
      graph.inputs.emplace_back();
      graph.inputs.back().name = names[i];
      graph.inputs.back().type = type;
    } else {
      graph.add_initializer(names[i], to_constant(spread_values(input, i).to(to_scalar_type(input.dtype))));
    }
  }
  for (const std::string& name : graph.nodes.back().outputs) {
    if (name.empty()) continue;
    graph.outputs.emplace_back();
    graph.outputs.back().name = name;
  }
  return model;
}

std::vector<at::Tensor> case_values(const GradientCase& gradient_case) {
  std::vector<at::Tensor> values;
  for (size_t i = 0; i < gradient_case.inputs.size(); ++i) {
    const CaseInput& input = gradient_case.inputs[i];
    if (input.dtype == DType::kFloat) values.push_back(spread_values(input, i));
  }
  return values;
}

std::vector<at::Tensor> run_case(const Model& model, const GradientCase& gradient_case,
                                 const std::vector<at::Tensor>& inputs) {
  RunContext context;
  context.training = gradient_case.training;
  std::vector<at::Tensor> outputs;
  for (const Slot& output : Interpreter(model, context).run({inputs.begin(), inputs.end()})) {
    outputs.push_back(output.tensor);
  }
  return outputs;
}

at::Tensor projection(const std::vector<at::Tensor>& outputs) {
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (const at::Tensor& output : outputs) {
    if (!output.defined() || !output.is_floating_point() || !output.requires_grad()) continue;
    const at::Tensor weights = at::arange(1, output.numel() + 1, at::kDouble).sin().reshape(output.sizes());
    sum = sum + (output * weights).sum();
  }
  return sum;
}

}  // namespace mc::testing
