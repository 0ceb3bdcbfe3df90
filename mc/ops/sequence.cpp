// Sequences of tensors.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/control.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/sequence.h"

namespace mc {
namespace {

// A position in a sequence of `length`: negative ones count from the end, and `extra` positions behind the
// last element exist too. Without a position it is the last that exists.
size_t sequence_position(const IntsInput& input, const KernelArgs& args, size_t length, int64_t extra) {
  const auto limit = static_cast<int64_t>(length) + extra;
  MC_CHECK(limit > 0, "the sequence is empty");
  const auto given = input.get(args);
  if (!given) return static_cast<size_t>(limit - 1);
  MC_CHECK(given->size() == 1, "a position holds {} elements where one is needed", given->size());
  const int64_t wanted = given->front();
  const int64_t position = wanted < 0 ? wanted + static_cast<int64_t>(length) : wanted;
  MC_CHECK(position >= 0 && position < limit, "position {} is outside of a sequence of {}", wanted, length);
  return static_cast<size_t>(position);
}

void check_element(DType sequence, const Slot& element) {
  MC_CHECK(element.defined() && !is_empty_optional(element), "an element of a sequence holds nothing");
  if (sequence == DType::kUndefined || is_sequence(element)) return;
  MC_CHECK(element.dtype() == sequence, "a tensor of {} does not fit into a sequence of {}",
           dtype_name(element.dtype()), dtype_name(sequence));
}

Kernel bind_sequence_construct(const BindContext&) {
  return [](const KernelArgs& args) {
    std::vector<Slot> elements;
    for (size_t i = 0; i < args.input_count(); ++i) {
      MC_CHECK(args.has(i), "input {} is missing", i);
      check_element(i == 0 ? DType::kUndefined : elements[0].dtype(), args.slot(i));
      elements.push_back(args.slot(i));
    }
    args.out(0, sequence_slot(std::move(elements)));
  };
}

DType sequence_dtype(const Node& node) {
  const int64_t number = node.get_int("dtype", static_cast<int64_t>(DType::kFloat));
  MC_CHECK(number > 0 && number < 1000 && dtype_known(static_cast<int32_t>(number)),
           "attribute 'dtype' is {}, which is no element type", number);
  return static_cast<DType>(number);
}

Kernel bind_sequence_empty(const BindContext& context) {
  return [empty = sequence_slot({}, sequence_dtype(context.node))](const KernelArgs& args) {
    args.out(0, empty);
  };
}

Kernel bind_sequence_at(const BindContext& context) {
  return [index = IntsInput(context, 1)](const KernelArgs& args) {
    const auto& elements = sequence_input(args, 0);
    MC_CHECK(args.has(1), "the position is missing");
    args.out(0, elements[sequence_position(index, args, elements.size(), 0)]);
  };
}

Kernel bind_sequence_insert(const BindContext& context) {
  return [index = IntsInput(context, 2)](const KernelArgs& args) {
    std::vector<Slot> elements = sequence_input(args, 0);
    MC_CHECK(args.has(1), "the tensor to insert is missing");
    const DType dtype = args.slot(0).dtype();
    check_element(dtype, args.slot(1));
    const size_t position = sequence_position(index, args, elements.size(), 1);
    elements.insert(elements.begin() + static_cast<std::ptrdiff_t>(position), args.slot(1));
    args.out(0, sequence_slot(std::move(elements), dtype));
  };
}

Kernel bind_sequence_erase(const BindContext& context) {
  return [index = IntsInput(context, 1)](const KernelArgs& args) {
    std::vector<Slot> elements = sequence_input(args, 0);
    const size_t position = sequence_position(index, args, elements.size(), 0);
    elements.erase(elements.begin() + static_cast<std::ptrdiff_t>(position));
    args.out(0, sequence_slot(std::move(elements), args.slot(0).dtype()));
  };
}

Kernel bind_sequence_length(const BindContext&) {
  return [](const KernelArgs& args) {
    args.out(0, at::scalar_tensor(static_cast<int64_t>(sequence_input(args, 0).size()), at::kLong));
  };
}

std::vector<at::Tensor> split_parts(const at::Tensor& x, const std::vector<int64_t>& sizes, bool one_for_all,
                                    int64_t axis) {
  if (one_for_all) {
    MC_CHECK(sizes.size() == 1 && sizes[0] > 0, "a split into parts of {} elements is none",
             fmt::join(sizes, ","));
    return x.split(sizes[0], axis);
  }
  int64_t total = 0;
  for (const int64_t size : sizes) {
    MC_CHECK(size >= 0 && size <= x.size(axis) - total,
             "parts of [{}] do not make up the {} elements of axis {}", fmt::join(sizes, ","), x.size(axis),
             axis);
    total += size;
  }
  MC_CHECK(total == x.size(axis), "parts of [{}] do not make up the {} elements of axis {}",
           fmt::join(sizes, ","), x.size(axis), axis);
  return x.split_with_sizes(sizes, axis);
}

Kernel bind_split_to_sequence(const BindContext& context) {
  const Node& node = context.node;
  return [axis = node.get_int("axis", 0), keep = node.get_int("keepdims", 1) != 0,
          sizes = IntsInput(context, 1)](const KernelArgs& args) {
    MC_CHECK(args.has(0) && args.in(0).defined(), "the input is no tensor of numbers");
    const at::Tensor& x = args.in(0);
    const int64_t along = normalize_axis(axis, x.dim());
    const auto given = sizes.get(args);
    std::vector<at::Tensor> parts;
    if (given) {
      parts = split_parts(x, *given, args.in(1).dim() == 0, along);
    } else {
      parts = keep ? x.split(1, along) : x.unbind(along);
    }
    std::vector<Slot> elements(parts.begin(), parts.end());
    for (Slot& element : elements) element.extra = args.slot(0).extra;
    args.out(0, sequence_slot(std::move(elements), args.slot(0).dtype()));
  };
}

Kernel bind_concat_from_sequence(const BindContext& context) {
  MC_CHECK(context.node.find("axis"), "attribute 'axis' is missing");
  const int64_t axis = context.node.get_int("axis", 0);
  if (context.node.get_int("new_axis", 0) != 0) {
    return [axis](const KernelArgs& args) { args.out(0, stack_slots(sequence_input(args, 0), axis)); };
  }
  return [axis](const KernelArgs& args) {
    const auto& elements = sequence_input(args, 0);
    MC_CHECK(!elements.empty(), "an empty sequence has nothing to concatenate");
    std::vector<at::Tensor> tensors;
    for (const Slot& element : elements) {
      MC_CHECK(element.tensor.defined(), "the sequence holds something else than tensors of numbers");
      tensors.push_back(element.tensor);
    }
    Slot result(at::cat(tensors, normalize_axis(axis, tensors[0].dim())));
    result.extra = elements[0].extra;
    args.out(0, std::move(result));
  };
}

// Runs the body once for each element of the first input; other sequences go along with it, tensors stay.
Kernel bind_sequence_map(const BindContext& context) {
  return [body = subgraph_of(context.node, "body")](const KernelArgs& args) {
    const size_t length = sequence_input(args, 0).size();
    for (size_t i = 1; i < args.input_count(); ++i) {
      MC_CHECK(args.has(i), "input {} is missing", i);
      if (!is_sequence(args.slot(i))) continue;
      MC_CHECK(args.slot(i).extra->sequence.size() == length,
               "sequences of {} and {} elements do not go together", length,
               args.slot(i).extra->sequence.size());
    }
    std::vector<std::vector<Slot>> results(body->outputs.size());
    for (size_t k = 0; k < length; ++k) {
      std::vector<Slot> inputs;
      for (size_t i = 0; i < args.input_count(); ++i) {
        inputs.push_back(is_sequence(args.slot(i)) ? args.slot(i).extra->sequence[k] : args.slot(i));
      }
      std::vector<Slot> outputs = run_body(args, *body, std::move(inputs));
      for (size_t o = 0; o < outputs.size(); ++o) results[o].push_back(std::move(outputs[o]));
    }
    for (size_t o = 0; o < results.size(); ++o) {
      args.out(o, sequence_slot(std::move(results[o]), body->outputs[o].type.dtype));
    }
  };
}

// The type of the elements of input i; unknown where it is not known to be a sequence.
Type sequence_element(const InferContext& context, size_t i) {
  const Type* type = context.input(i);
  return type && type->kind == Type::Kind::kSequence && type->element ? *type->element : Type();
}

void infer_sequence_construct(InferContext& context) {
  Type element = context.input(0) ? *context.input(0) : Type();
  for (size_t i = 1; i < context.node().inputs.size(); ++i) {
    element = common_type(element, context.input(i) ? *context.input(i) : Type());
  }
  context.output(0, sequence_type(std::move(element)));
}

void infer_sequence_empty(InferContext& context) {
  context.output(0, sequence_type(Type::tensor(sequence_dtype(context.node()))));
}

void infer_sequence_at(InferContext& context) {
  context.output(0, sequence_element(context, 0));
}

void infer_sequence_insert(InferContext& context) {
  const Type inserted = context.input(1) ? *context.input(1) : Type();
  context.output(0, sequence_type(common_type(sequence_element(context, 0), inserted)));
}

void infer_sequence_length(InferContext& context) {
  context.output(0, Type::tensor(DType::kInt64, Shape()));
}

void infer_split_to_sequence(InferContext& context) {
  const Node& node = context.node();
  Type element = Type::tensor(input_dtype(context, 0));
  if (const Shape* shape = input_shape(context, 0)) {
    const int64_t axis = normalize_axis(node.get_int("axis", 0), static_cast<int64_t>(shape->size()));
    element.shape = *shape;
    const Tensor* split = context.constant(1);
    if (node.input(1).empty()) {
      (*element.shape)[axis] = Dim(1);
      if (node.get_int("keepdims", 1) == 0) element.shape->erase(element.shape->begin() + axis);
    } else {
      const Dim whole = (*shape)[axis];
      const int64_t each = split && split->dims.empty() ? split->as_ints().at(0) : 0;
      const bool even = each > 0 && whole.known() && whole.value % each == 0;
      (*element.shape)[axis] = even ? Dim(each) : Dim();
    }
  }
  context.output(0, sequence_type(std::move(element)));
}

void infer_concat_from_sequence(InferContext& context) {
  Type type = sequence_element(context, 0);
  if (!type.is_tensor()) return;
  if (type.shape) {
    const bool fresh = context.node().get_int("new_axis", 0) != 0;
    const auto rank = static_cast<int64_t>(type.shape->size()) + (fresh ? 1 : 0);
    const int64_t axis = normalize_axis(context.node().get_int("axis", 0), rank);
    if (fresh) type.shape->insert(type.shape->begin() + axis, Dim());
    (*type.shape)[axis] = Dim();
  }
  context.output(0, std::move(type));
}

void infer_sequence_map(InferContext& context) {
  std::vector<Type> inputs;
  for (size_t i = 0; i < context.node().inputs.size(); ++i) {
    const Type* type = context.input(i);
    const bool sequence = type && type->kind == Type::Kind::kSequence;
    inputs.push_back(sequence ? sequence_element(context, i) : type ? *type : Type());
  }
  const std::vector<Type> outputs =
      context.infer_subgraph(*subgraph_of(context.node(), "body"), std::move(inputs));
  for (size_t i = 0; i < outputs.size(); ++i) context.output(i, sequence_type(outputs[i]));
}

}  // namespace

std::vector<Op> sequence_ops() {
  Op length = make_op("SequenceLength", 11, bind_sequence_length, infer_sequence_length);
  length.differentiable = false;
  std::vector<Op> ops = {
      make_op("SequenceConstruct", 11, bind_sequence_construct, infer_sequence_construct),
      make_op("SequenceEmpty", 11, bind_sequence_empty, infer_sequence_empty),
      make_op("SequenceAt", 11, bind_sequence_at, infer_sequence_at),
      make_op("SequenceInsert", 11, bind_sequence_insert, infer_sequence_insert),
      make_op("SequenceErase", 11, bind_sequence_erase, infer_same_as_input),
      length,
      make_op("SplitToSequence", 11, bind_split_to_sequence, infer_split_to_sequence),
      make_op("ConcatFromSequence", 11, bind_concat_from_sequence, infer_concat_from_sequence),
      make_op("SequenceMap", 17, bind_sequence_map, infer_sequence_map),
  };
  for (Op& op : ops) {
    if (op.name == "SequenceEmpty" || op.name == "SequenceLength") op.differentiable = false;
  }
  return ops;
}

}  // namespace mc
