// Control flow: If and Loop run their subgraphs through the run's context.
#include <limits>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/control.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/sequence.h"

namespace mc {

std::shared_ptr<Graph> subgraph_of(const Node& node, const char* attribute) {
  const Attribute* found = node.find(attribute);
  const auto* graph = found ? std::get_if<std::shared_ptr<Graph>>(&found->value) : nullptr;
  MC_CHECK(graph && *graph, "attribute '{}' holds no graph", attribute);
  return *graph;
}

std::vector<Slot> run_body(const KernelArgs& args, const Graph& graph, std::vector<Slot> inputs) {
  MC_CHECK(args.run.run_subgraph, "this run cannot run subgraphs");
  const size_t wanted = graph.outputs.size();
  std::vector<Slot> outputs = args.run.run_subgraph(graph, std::move(inputs));
  MC_CHECK(outputs.size() == wanted, "a subgraph gave {} outputs of {}", outputs.size(), wanted);
  return outputs;
}

Slot stack_scan(const std::vector<Slot>& slices, const ValueInfo& declared, int64_t axis) {
  if (!slices.empty()) {
    return with_context([&] { return fmt::format("scan output '{}'", declared.name); },
                        [&] { return stack_slots(slices, axis); });
  }
  const Type& type = declared.type;
  std::vector<int64_t> dims;
  for (const Dim& dim : type.shape.value_or(Shape())) dims.push_back(dim.known() ? dim.value : 0);
  dims.insert(dims.begin() + normalize_axis(axis, static_cast<int64_t>(dims.size()) + 1), 0);
  const DType dtype = type.is_tensor() && type.dtype != DType::kUndefined ? type.dtype : DType::kFloat;
  if (dtype == DType::kString) return string_slot({}, std::move(dims));
  return at::empty(dims, to_scalar_type(dtype));
}

namespace {

bool truth(const at::Tensor& condition) {
  MC_CHECK(condition.numel() == 1, "a condition holds {} elements where one is needed", condition.numel());
  return condition.item<bool>();
}

Kernel bind_if(const BindContext& context) {
  return [yes = subgraph_of(context.node, "then_branch"),
          no = subgraph_of(context.node, "else_branch")](const KernelArgs& args) {
    MC_CHECK(args.has(0), "the condition is missing");
    std::vector<Slot> outputs = run_body(args, truth(args.in(0)) ? *yes : *no, {});
    for (size_t i = 0; i < outputs.size(); ++i) args.out(i, std::move(outputs[i]));
  };
}

// A branch for another rank than the input's contradicts itself, and is never taken: its types are unknown.
std::vector<Type> branch_types(InferContext& context, const char* attribute) {
  const auto graph = subgraph_of(context.node(), attribute);
  try {
    return context.infer_subgraph(*graph, {});
  } catch (const Error&) {
    return std::vector<Type>(graph->outputs.size());
  }
}

void infer_if(InferContext& context) {
  const Tensor* condition = context.constant(0);
  if (condition && condition->count() == 1) {
    const bool taken = condition->as_ints()[0] != 0;
    const auto types =
        context.infer_subgraph(*subgraph_of(context.node(), taken ? "then_branch" : "else_branch"), {});
    for (size_t i = 0; i < types.size(); ++i) context.output(i, types[i]);
    return;
  }
  const auto yes = branch_types(context, "then_branch");
  const auto no = branch_types(context, "else_branch");
  MC_CHECK(yes.size() == no.size(), "the branches have {} and {} outputs", yes.size(), no.size());
  for (size_t i = 0; i < yes.size() && i < context.node().outputs.size(); ++i) {
    context.output(i, common_type(yes[i], no[i]));
  }
}

// Inputs: trip count, condition, carried values. The body takes (iteration, condition, carried) and gives
// (condition, carried, one slice of each scan output).
Kernel bind_loop(const BindContext& context) {
  return [body = subgraph_of(context.node, "body"), trips = IntsInput(context, 0)](const KernelArgs& args) {
    const auto limit = trips.get(args);
    const int64_t count = limit && !limit->empty() ? limit->front() : std::numeric_limits<int64_t>::max();
    std::vector<Slot> carried;
    for (size_t i = 2; i < args.input_count(); ++i) carried.push_back(args.has(i) ? args.slot(i) : Slot());
    MC_CHECK(body->outputs.size() > carried.size(), "the body gives {} outputs for {} carried values",
             body->outputs.size(), carried.size());
    std::vector<std::vector<Slot>> scans(body->outputs.size() - 1 - carried.size());
    bool go_on = !args.has(1) || truth(args.in(1));
    for (int64_t i = 0; i < count && go_on; ++i) {
      std::vector<Slot> inputs = {Slot(at::scalar_tensor(i, at::kLong)),
                                  Slot(at::scalar_tensor(go_on, at::kBool))};
      inputs.insert(inputs.end(), carried.begin(), carried.end());
      std::vector<Slot> outputs = run_body(args, *body, std::move(inputs));
      go_on = truth(outputs[0].tensor);
      for (size_t k = 0; k < carried.size(); ++k) carried[k] = std::move(outputs[1 + k]);
      for (size_t k = 0; k < scans.size(); ++k) scans[k].push_back(outputs[1 + carried.size() + k]);
    }
    for (size_t k = 0; k < carried.size(); ++k) args.out(k, carried[k]);
    for (size_t k = 0; k < scans.size(); ++k) {
      const size_t output = carried.size() + k;
      if (args.wants(output)) args.out(output, stack_scan(scans[k], body->outputs[1 + output], 0));
    }
  };
}

void infer_loop(InferContext& context) {
  const auto body = subgraph_of(context.node(), "body");
  const size_t carried = context.node().inputs.size() < 2 ? 0 : context.node().inputs.size() - 2;
  std::vector<Type> inputs = {Type::tensor(DType::kInt64, Shape()), Type::tensor(DType::kBool, Shape())};
  for (size_t i = 0; i < carried; ++i) {
    const Type* type = context.input(i + 2);
    inputs.push_back(type ? without_shapes(*type) : Type());
  }
  const auto outputs = context.infer_subgraph(*body, inputs);
  for (size_t i = 1; i < outputs.size() && i <= context.node().outputs.size(); ++i) {
    Type type = outputs[i];
    // After no iteration at all a carried value is what it was at first.
    const Type* initial = i <= carried ? context.input(i + 1) : nullptr;
    if (initial && initial->kind == type.kind) type = common_type(*initial, type);
    if (i > carried && type.is_tensor() && type.shape) type.shape->insert(type.shape->begin(), Dim());
    context.output(i - 1, type);
  }
}

}  // namespace

std::vector<Op> control_ops() {
  return {make_op("If", 1, bind_if, infer_if), make_op("Loop", 1, bind_loop, infer_loop)};
}

}  // namespace mc
