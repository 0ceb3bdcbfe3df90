// What the plan itself costs a node: a chain of Relus on one number, run by a GraphModule and called by
// hand, in turns. Prints nanoseconds a node of both and of their difference.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

#include <ATen/ATen.h>

#include "mc/module/graph_module.h"

namespace {

constexpr int kNodes = 1000;
constexpr int kRounds = 50;

mc::Model chain() {
  mc::Model model;
  model.set_opset("", 17);
  const mc::Type type = mc::Type::tensor(mc::DType::kFloat, mc::Shape{1});
  model.graph.inputs.push_back({"v0", type, "", {}, ""});
  model.graph.outputs.push_back({fmt::format("v{}", kNodes), type, "", {}, ""});
  for (int i = 0; i < kNodes; ++i) {
    mc::Node node;
    node.op_type = "Relu";
    node.inputs = {fmt::format("v{}", i)};
    node.outputs = {fmt::format("v{}", i + 1)};
    model.graph.nodes.push_back(std::move(node));
  }
  return model;
}

double nanoseconds_a_node(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / kNodes;
}

}  // namespace

int main() {
  const at::NoGradGuard no_grad;
  mc::GraphModule module(chain());
  module.train();
  const at::Tensor input = at::ones({1});
  double plan = 1e9, by_hand = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    plan = std::min(plan, nanoseconds_a_node([&] { module.forward(input); }));
    by_hand = std::min(by_hand, nanoseconds_a_node([&] {
                         at::Tensor value = input;
                         for (int i = 0; i < kNodes; ++i) value = at::relu(value);
                       }));
  }
  std::printf("plan %.0f ns a node, by hand %.0f, difference %.0f\n", plan, by_hand, plan - by_hand);
}
