// What one node costs in a GraphModule, forward and backward, for every gradient case of tests/ops: one line
// a case, "NAME FORWARD STEP" in microseconds, the least of many runs. benchmarks/operators.py sets PyTorch
// beside it. The tensors of these cases are small, so it is calls that are measured, not arithmetic.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/module/graph_module.h"
#include "tests/ops/gradient_cases.h"

namespace {

double least_microseconds(const std::function<void()>& body) {
  using Clock = std::chrono::steady_clock;
  double least = std::numeric_limits<double>::infinity();
  const auto end = Clock::now() + std::chrono::milliseconds(20);
  for (int run = 0; run < 5 || Clock::now() < end; ++run) {
    const auto start = Clock::now();
    body();
    least = std::min(least, std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  return least;
}

std::vector<at::Tensor> float_inputs(const mc::testing::GradientCase& gradient_case) {
  std::vector<at::Tensor> values = mc::testing::case_values(gradient_case);
  size_t index = 0;
  for (const mc::testing::CaseInput& input : gradient_case.inputs) {
    if (input.dtype != mc::DType::kFloat) continue;
    values[index] = values[index].to(at::kFloat).set_requires_grad(input.trained);
    ++index;
  }
  return values;
}

at::Tensor sum_of(const std::vector<at::Tensor>& outputs) {
  at::Tensor total = at::zeros({});
  for (const at::Tensor& output : outputs) {
    if (output.defined() && output.requires_grad()) total = total + output.sum();
  }
  return total;
}

void measure(const mc::testing::GradientCase& gradient_case) {
  mc::GraphModule module(mc::testing::case_model(gradient_case));
  module.train(gradient_case.training);
  const std::vector<at::Tensor> inputs = float_inputs(gradient_case);
  const double forward = least_microseconds([&] { module.forward(inputs); });
  const double step = least_microseconds([&] { sum_of(module.forward(inputs)).backward(); });
  std::printf("%s %.2f %.2f\n", gradient_case.name().c_str(), forward, step);
  std::fflush(stdout);
}

}  // namespace

int main() {
  at::set_num_threads(1);
  for (const mc::testing::GradientCase& gradient_case : mc::testing::gradient_cases()) {
    try {
      measure(gradient_case);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", gradient_case.name().c_str(), error.what());
    }
  }
}
