// Scan: a body over the slices of some inputs, with state carried from one to the next.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/control.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/sequence.h"

namespace mc {
namespace {

struct ScanSpec {
  std::shared_ptr<Graph> body;
  size_t states = 0;   // of the body's first inputs and outputs
  size_t inputs = 0;   // scanned
  size_t outputs = 0;  // accumulated
  std::vector<int64_t> input_axes, output_axes;
  std::vector<bool> input_reversed, output_reversed;
};

std::vector<int64_t> scan_list(const Node& node, const char* attribute, size_t count) {
  std::vector<int64_t> values = node.get_ints(attribute);
  if (values.empty()) values.resize(count);
  MC_CHECK(values.size() == count, "attribute '{}' holds {} numbers; {} are needed", attribute, values.size(),
           count);
  return values;
}

std::vector<bool> scan_directions(const Node& node, const char* attribute, size_t count) {
  std::vector<bool> reversed;
  for (const int64_t direction : scan_list(node, attribute, count)) {
    MC_CHECK(direction == 0 || direction == 1, "attribute '{}' holds {}; 0 and 1 exist", attribute,
             direction);
    reversed.push_back(direction == 1);
  }
  return reversed;
}

// `first`: the node's inputs before the states (opset 8 has the lengths there).
ScanSpec parse_scan(const Node& node, size_t first) {
  ScanSpec spec;
  spec.body = subgraph_of(node, "body");
  const int64_t count = node.get_int("num_scan_inputs", 0);
  const auto values = static_cast<int64_t>(node.inputs.size()) - static_cast<int64_t>(first);
  MC_CHECK(count >= 1 && count <= values, "num_scan_inputs is {} of {} inputs", count, values);
  spec.inputs = static_cast<size_t>(count);
  spec.states = static_cast<size_t>(values) - spec.inputs;
  MC_CHECK(spec.body->inputs.size() == spec.states + spec.inputs, "the body takes {} inputs; the node has {}",
           spec.body->inputs.size(), values);
  MC_CHECK(spec.body->outputs.size() >= spec.states, "the body gives {} outputs for {} states",
           spec.body->outputs.size(), spec.states);
  spec.outputs = spec.body->outputs.size() - spec.states;
  const bool batched = first == 1;
  spec.input_axes = scan_list(node, "scan_input_axes", spec.inputs);
  spec.output_axes = scan_list(node, "scan_output_axes", spec.outputs);
  spec.input_reversed = scan_directions(node, batched ? "directions" : "scan_input_directions", spec.inputs);
  spec.output_reversed = scan_directions(node, "scan_output_directions", spec.outputs);
  return spec;
}

// Runs the body `steps` times (-1: as often as the scanned inputs are long). The states' last values come
// first, then the accumulated outputs.
std::vector<Slot> run_scan(const ScanSpec& spec, const KernelArgs& args, std::vector<Slot> states,
                           const std::vector<at::Tensor>& scanned, int64_t steps) {
  std::vector<std::vector<at::Tensor>> slices;
  for (size_t i = 0; i < spec.inputs; ++i) {
    MC_CHECK(scanned[i].defined() && scanned[i].dim() > 0, "scan input {} is no tensor with an axis", i);
    const int64_t axis = normalize_axis(spec.input_axes[i], scanned[i].dim());
    const int64_t length = scanned[i].size(axis);
    if (steps < 0) steps = length;
    MC_CHECK(length >= steps && (i == 0 || length == static_cast<int64_t>(slices[0].size())),
             "scan inputs of {} and {} steps do not go together", steps, length);
    slices.push_back(scanned[i].unbind(axis));
  }
  std::vector<std::vector<Slot>> collected(spec.outputs);
  for (int64_t t = 0; t < steps; ++t) {
    std::vector<Slot> inputs = std::move(states);
    for (size_t i = 0; i < spec.inputs; ++i) {
      inputs.emplace_back(slices[i][spec.input_reversed[i] ? steps - 1 - t : t]);
    }
    std::vector<Slot> outputs = run_body(args, *spec.body, std::move(inputs));
    states.assign(outputs.begin(), outputs.begin() + static_cast<std::ptrdiff_t>(spec.states));
    for (size_t o = 0; o < spec.outputs; ++o) collected[o].push_back(std::move(outputs[spec.states + o]));
  }
  for (size_t o = 0; o < spec.outputs; ++o) {
    if (spec.output_reversed[o]) std::reverse(collected[o].begin(), collected[o].end());
    states.push_back(stack_scan(collected[o], spec.body->outputs[spec.states + o], spec.output_axes[o]));
  }
  return states;
}

Kernel bind_scan(const BindContext& context) {
  return [spec = parse_scan(context.node, 0)](const KernelArgs& args) {
    std::vector<Slot> states;
    std::vector<at::Tensor> scanned;
    for (size_t i = 0; i < args.input_count(); ++i) {
      MC_CHECK(args.has(i), "input {} is missing", i);
      if (i < spec.states)
        states.push_back(args.slot(i));
      else
        scanned.push_back(args.in(i));
    }
    std::vector<Slot> results = run_scan(spec, args, std::move(states), scanned, -1);
    for (size_t i = 0; i < results.size(); ++i) args.out(i, std::move(results[i]));
  };
}

// The lengths of the sequences of a batch; the scanned length for all where they are not given.
std::vector<int64_t> batch_lengths(const KernelArgs& args, int64_t batch, int64_t longest) {
  if (!args.has(0)) return std::vector<int64_t>(batch, longest);
  std::vector<int64_t> lengths = tensor_ints(args.in(0));
  MC_CHECK(static_cast<int64_t>(lengths.size()) == batch, "{} sequence lengths are given for a batch of {}",
           lengths.size(), batch);
  for (const int64_t length : lengths) {
    MC_CHECK(length >= 0 && length <= longest, "sequence length {} is outside of 0 to {}", length, longest);
  }
  return lengths;
}

// Opset 8: all values have a leading batch axis, each of whose elements is a scan of its own length; shorter
// outputs end in zeros.
Kernel bind_batched_scan(const BindContext& context) {
  return [spec = parse_scan(context.node, 1)](const KernelArgs& args) {
    for (size_t i = 1; i < args.input_count(); ++i) {
      MC_CHECK(args.has(i) && args.in(i).defined() && args.in(i).dim() >= 1, "input {} is no batch", i);
      MC_CHECK(args.in(i).size(0) == args.in(1).size(0), "input {} is a batch of {}, input 1 of {}", i,
               args.in(i).size(0), args.in(1).size(0));
    }
    const at::Tensor& first = args.in(1 + spec.states);
    MC_CHECK(first.dim() >= 2, "a scan input has {} dims; batch and time are needed", first.dim());
    const int64_t batch = first.size(0), longest = first.size(1);
    MC_CHECK(batch > 0, "the batch is empty");
    const std::vector<int64_t> lengths = batch_lengths(args, batch, longest);
    std::vector<std::vector<Slot>> results(spec.states + spec.outputs);
    for (int64_t b = 0; b < batch; ++b) {
      std::vector<Slot> states;
      std::vector<at::Tensor> scanned;
      for (size_t i = 1; i < args.input_count(); ++i) {
        if (i <= spec.states)
          states.emplace_back(args.in(i).select(0, b));
        else
          scanned.push_back(args.in(i).select(0, b));
      }
      std::vector<Slot> item = run_scan(spec, args, std::move(states), scanned, lengths[b]);
      for (size_t i = 0; i < item.size(); ++i) {
        const at::Tensor& y = item[i].tensor;
        MC_CHECK(y.defined(), "output {} of the body is no tensor of numbers", i);
        if (i < spec.states || y.size(0) == longest) {
          results[i].push_back(std::move(item[i]));
          continue;
        }
        std::vector<int64_t> rest = y.sizes().vec();
        rest[0] = longest - y.size(0);
        results[i].emplace_back(at::cat({y, at::zeros(rest, y.options())}));
      }
    }
    for (size_t i = 0; i < results.size(); ++i) {
      if (args.wants(i)) args.out(i, stack_slots(results[i], 0));
    }
  };
}

// Takes `axis` out of the type's shape, where it is known.
Type without_axis(const Type* type, int64_t axis, Dim& dim) {
  if (!type || !type->is_tensor() || !type->shape)
    return type && type->is_tensor() ? Type::tensor(type->dtype) : Type();
  Type result = *type;
  const int64_t place = normalize_axis(axis, static_cast<int64_t>(result.shape->size()));
  dim = merge_dims(dim, (*result.shape)[place]);
  result.shape->erase(result.shape->begin() + place);
  return result;
}

void with_axis(Type& type, int64_t axis, const Dim& dim) {
  if (!type.is_tensor() || !type.shape) return;
  const auto rank = static_cast<int64_t>(type.shape->size());
  type.shape->insert(type.shape->begin() + normalize_axis(axis, rank + 1), dim);
}

void infer_scan_from(InferContext& context, size_t first) {
  const ScanSpec spec = parse_scan(context.node(), first);
  const bool batched = first == 1;
  Dim batch, length;
  std::vector<Type> inputs;
  for (size_t i = 0; i < spec.states + spec.inputs; ++i) {
    const Type* given = context.input(first + i);
    Type type = given ? *given : Type();
    if (batched) type = without_axis(&type, 0, batch);
    if (i >= spec.states) type = without_axis(&type, spec.input_axes[i - spec.states], length);
    inputs.push_back(std::move(type));
  }
  std::vector<Type> outputs = context.infer_subgraph(*spec.body, inputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    // After no step at all a state is what it was at first.
    if (i >= spec.states) {
      with_axis(outputs[i], spec.output_axes[i - spec.states], length);
    } else if (inputs[i].kind == outputs[i].kind) {
      outputs[i] = common_type(inputs[i], outputs[i]);
    }
    if (batched) with_axis(outputs[i], 0, batch);
    context.output(i, std::move(outputs[i]));
  }
}

}  // namespace

std::vector<Op> scan_ops() {
  return {make_op("Scan", 8, bind_batched_scan, [](InferContext& context) { infer_scan_from(context, 1); }),
          make_op("Scan", 9, bind_scan, [](InferContext& context) { infer_scan_from(context, 0); })};
}

}  // namespace mc
