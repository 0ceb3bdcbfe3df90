// Concat and Split.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

Kernel bind_concat(const BindContext& context) {
  const Attribute* attribute = context.node.find("axis");
  MC_CHECK(attribute, "attribute 'axis' is missing");
  return [axis = context.node.get_int("axis", 0)](const KernelArgs& args) {
    std::vector<at::Tensor> parts;
    parts.reserve(args.input_count());
    const at::Tensor* data = nullptr;  // what stands on a device draws the others there
    for (size_t i = 0; i < args.input_count(); ++i) {
      parts.push_back(args.in(i));
      if (!args.in(i).is_cpu()) data = &args.in(i);
    }
    if (data) {
      for (at::Tensor& part : parts) part = on_device_of(part, *data);
    }
    args.out(0, at::cat(parts, axis));
  };
}

// Concatenation of shapes, where every part is one.
void infer_joined_values(InferContext& context) {
  Shape joined;
  for (size_t i = 0; i < context.node().inputs.size(); ++i) {
    const auto part = context.shape_value(i);
    if (!part) return;
    joined.insert(joined.end(), part->begin(), part->end());
  }
  context.output_shape_value(0, joined);
}

void infer_concat(InferContext& context) {
  std::optional<Shape> result;
  for (size_t i = 0; i < context.node().inputs.size(); ++i) {
    if (const Shape* shape = input_shape(context, i)) {
      if (!result) result = Shape(shape->size());
      MC_CHECK(result->size() == shape->size(), "inputs have {} and {} dims", result->size(), shape->size());
    }
  }
  if (result) {
    const auto rank = static_cast<int64_t>(result->size());
    const int64_t axis = normalize_axis(context.node().get_int("axis", 0), rank);
    Dim total(0);
    for (size_t i = 0; i < context.node().inputs.size(); ++i) {
      const Shape* shape = input_shape(context, i);
      total = shape ? add_dims(total, (*shape)[axis]) : Dim();
      if (!shape) break;  // unknown from here on
    }
    for (size_t i = 0; i < context.node().inputs.size(); ++i) {
      const Shape* shape = input_shape(context, i);
      for (int64_t d = 0; shape && d < rank; ++d) {
        if (d != axis) (*result)[d] = merge_dims((*result)[d], (*shape)[d]);
      }
    }
    (*result)[axis] = total;
    if (rank == 1) infer_joined_values(context);
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

// Sizes of `parts` equal parts; the last is smaller where they do not divide (opset 18).
std::vector<int64_t> equal_parts(int64_t size, int64_t parts) {
  MC_CHECK(parts >= 1, "a split needs at least one output");
  const int64_t each = (size + parts - 1) / parts;
  std::vector<int64_t> sizes(parts, each);
  sizes.back() = size - each * (parts - 1);
  MC_CHECK(sizes.back() >= 0, "{} elements do not split into {} parts", size, parts);
  return sizes;
}

Kernel bind_split(const BindContext& context) {
  const auto parts = static_cast<int64_t>(context.node.outputs.size());
  return [axis = context.node.get_int("axis", 0), parts,
          sizes = IntsInput(context, 1, "split")](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const auto given = sizes.get(args);
    const auto chosen = given ? *given : equal_parts(x.size(axis), parts);
    MC_CHECK(static_cast<int64_t>(chosen.size()) == parts, "split names {} sizes for {} outputs",
             chosen.size(), parts);
    const auto pieces = x.split_with_sizes(chosen, axis);
    for (size_t i = 0; i < pieces.size(); ++i) args.out(i, pieces[i]);
  };
}

void infer_split(InferContext& context) {
  const size_t parts = context.node().outputs.size();
  const Shape* shape = input_shape(context, 0);
  const IntsArgument sizes = ints_argument(context, 1, "split");
  int64_t axis = 0;
  std::optional<std::vector<int64_t>> known = sizes.values;
  if (shape) {
    axis = normalize_axis(context.node().get_int("axis", 0), static_cast<int64_t>(shape->size()));
    const Dim& whole = (*shape)[axis];
    if (!sizes.present && whole.known()) known = equal_parts(whole.value, static_cast<int64_t>(parts));
  }
  const auto elements = context.shape_value(0);
  size_t begin = 0;
  for (size_t i = 0; i < parts; ++i) {
    std::optional<Shape> result;
    if (shape) {
      result = *shape;
      (*result)[axis] = known && i < known->size() ? Dim((*known)[i]) : Dim();
    }
    context.output(i, Type::tensor(input_dtype(context, 0), result));
    if (!elements || !known || i >= known->size()) continue;
    const size_t end = begin + static_cast<size_t>(std::max<int64_t>((*known)[i], 0));
    if (end <= elements->size()) {
      context.output_shape_value(i, Shape(elements->begin() + begin, elements->begin() + end));
    }
    begin = end;
  }
}

}  // namespace

std::vector<Op> join_ops() {
  Op concat = make_op("Concat", 4, bind_concat, infer_concat);
  concat.quant = QuantPart::kAdd;
  Op split = make_op("Split", 2, bind_split, infer_split);
  split.quant = QuantPart::kSameRange;
  return {concat, split};
}

}  // namespace mc
