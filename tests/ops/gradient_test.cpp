// Every differentiable operator's gradient against central finite differences in double.
#include <set>

#include "tests/ops/gradient_cases.h"
#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

class Gradient : public ::testing::TestWithParam<GradientCase> {};

TEST_P(Gradient, MatchesFiniteDifferences) {
  const GradientCase& gradient_case = GetParam();
  const Model model = case_model(gradient_case);
  std::vector<at::Tensor> inputs = case_values(gradient_case);
  std::vector<size_t> trained;
  for (size_t i = 0, at = 0; i < gradient_case.inputs.size(); ++i) {
    if (gradient_case.inputs[i].dtype != DType::kFloat) continue;
    if (gradient_case.inputs[i].trained) trained.push_back(at);
    inputs[at] = inputs[at].clone().set_requires_grad(gradient_case.inputs[i].trained);
    ++at;
  }
  ASSERT_FALSE(trained.empty());
  const std::vector<at::Tensor> outputs = run_case(model, gradient_case, inputs);
  ASSERT_TRUE(std::any_of(outputs.begin(), outputs.end(), [](const at::Tensor& output) {
    return output.defined() && output.requires_grad();
  })) << "no output depends on what is trained";
  projection(outputs).backward();

  std::vector<bool> depends;  // as in the run with gradients, so that both sum the same outputs
  for (const at::Tensor& output : outputs) depends.push_back(output.defined() && output.requires_grad());
  const auto value = [&] {
    std::vector<at::Tensor> again = run_case(model, gradient_case, inputs);
    for (size_t i = 0; i < again.size(); ++i) again[i] = depends[i] ? again[i].detach() : at::Tensor();
    for (at::Tensor& output : again) {
      if (output.defined() && output.is_floating_point()) output.set_requires_grad(true);
    }
    return projection(again).item<double>();
  };
  const double step = 1e-6;
  for (const size_t i : trained) {
    ASSERT_TRUE(inputs[i].grad().defined()) << "input " << i << " got no gradient";
    const at::Tensor gradient = inputs[i].grad().clone();
    at::Tensor numeric = at::zeros_like(gradient);
    double* element = inputs[i].data_ptr<double>();
    for (int64_t k = 0; k < inputs[i].numel(); ++k) {
      const double kept = element[k];
      element[k] = kept + step;
      const double above = value();
      element[k] = kept - step;
      const double below = value();
      element[k] = kept;
      numeric.view(-1)[k] = (above - below) / (2 * step);
    }
    EXPECT_TRUE(at::allclose(gradient, numeric, 1e-4, 1e-6))
        << gradient_case.text << ": input " << i << "\nautograd " << gradient << "\nnumeric " << numeric;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Gradient, ::testing::ValuesIn(gradient_cases()),
                         [](const auto& instance) { return instance.param.name(); });

std::set<std::string> covered_entries() {
  std::set<std::string> covered;
  for (const GradientCase& gradient_case : gradient_cases()) {
    const Model model = case_model(gradient_case);
    for_each_graph(model.graph, [&](const Graph& graph) {
      for (const Node& node : graph.nodes) {
        const Op* op = find_op(node.domain, node.op_type, model.opset(node.domain));
        if (op) covered.insert(entry_key(*op));
      }
    });
  }
  return covered;
}

TEST(GradientCases, CoverEveryDifferentiableOperator) {
  const std::set<std::string> covered = covered_entries();
  const auto& exceptions = gradient_exceptions();
  for (const Op& op : all_ops()) {
    if (!op.differentiable) continue;
    const std::string key = entry_key(op);
    EXPECT_TRUE(covered.count(key) || exceptions.count(key)) << key << " has no gradient case";
    EXPECT_FALSE(covered.count(key) && exceptions.count(key)) << key << " is no exception any more";
  }
}

TEST(GradientCases, ExceptNothingThatIsNotThere) {
  std::set<std::string> keys;
  for (const Op& op : all_ops()) {
    if (op.differentiable) keys.insert(entry_key(op));
  }
  for (const auto& [key, reason] : gradient_exceptions()) {
    EXPECT_TRUE(keys.count(key)) << key;
    EXPECT_FALSE(reason.empty()) << key;
  }
}

}  // namespace
}  // namespace mc::testing
