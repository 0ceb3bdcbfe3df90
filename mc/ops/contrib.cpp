#include "mc/ops/contrib.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

const Op& entry_at(const std::vector<Op>& family, std::string_view name, int64_t opset) {
  const Op* newest = nullptr;
  for (const Op& op : family) {
    if (op.name == name && op.since <= opset && (!newest || op.since > newest->since)) newest = &op;
  }
  MC_CHECK(newest, "the family has no operator {}", name);
  return *newest;
}

}  // namespace

Op microsoft_twin(const std::vector<Op>& family, std::string_view name) {
  Op op = entry_at(family, name, INT64_MAX);
  op.domain = "com.microsoft";
  op.since = 1;
  op.bind = [bind = std::move(op.bind)](const BindContext& context) {
    return bind(BindContext{context.node, INT64_MAX, context.constant});
  };
  return op;
}

Op microsoft_op(std::string name, std::function<Kernel(const BindContext&)> bind,
                std::function<void(InferContext&)> infer, std::vector<Role> roles) {
  Op op = make_op(std::move(name), 1, std::move(bind), std::move(infer));
  op.domain = "com.microsoft";
  op.roles = std::move(roles);
  return op;
}

TensorFunction operator_function(const std::vector<Op>& family, std::string_view name,
                                 std::vector<Attribute> attributes, int64_t opset) {
  Node node;
  node.op_type = name;
  node.outputs = {"y"};
  node.attributes = std::move(attributes);
  const BindContext context{node, opset, [](size_t) -> const Tensor* { return nullptr; }};
  return [kernel = entry_at(family, name, opset).bind(context)](const std::vector<at::Tensor>& inputs) {
    RunContext run;
    std::vector<Slot> slots(inputs.begin(), inputs.end());
    std::vector<int> positions(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) positions[i] = inputs[i].defined() ? static_cast<int>(i) : -1;
    const int output = static_cast<int>(slots.size());
    slots.emplace_back();
    kernel(KernelArgs(run, slots.data(), positions, {&output, 1}, 0));
    return slots.back().tensor;
  };
}

std::function<at::Tensor(const at::Tensor&)> named_activation(const std::string& name,
                                                              std::vector<Attribute> attributes) {
  if (name.empty() || name == "Identity") return [](const at::Tensor& x) { return x; };
  const std::vector<Op> family = activation_ops();
  const bool known = std::any_of(family.begin(), family.end(), [&](const Op& op) { return op.name == name; });
  MC_CHECK(known && name != "PRelu", "activation is '{}', which is no activation of one input", name);
  // Clip has its bounds as attributes before opset 11.
  return [function = operator_function(family, name, std::move(attributes), name == "Clip" ? 6 : INT64_MAX)](
             const at::Tensor& x) { return function({x}); };
}

}  // namespace mc
