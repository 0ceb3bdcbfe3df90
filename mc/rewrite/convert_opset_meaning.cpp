// Rules for what changed its meaning, and for operators that are made of older ones.
#include <algorithm>
#include <limits>

#include "mc/rewrite/convert_opset_rules.h"

namespace mc::opset_rules {
namespace {

// The attribute as an axis of input 0, counted from the front where the rank is known.
std::optional<int64_t> known_axis(const OpsetStep& step, int64_t axis) {
  if (axis >= 0) return axis;
  const auto rank = step.rank(0);
  return rank ? std::optional(axis + *rank) : std::nullopt;
}

bool is_last_axis(const OpsetStep& step, int64_t axis) {
  const auto rank = step.rank(0);
  return axis == -1 || (rank && axis == *rank - 1);
}

}  // namespace

// Until 12 the input was a matrix, split before `axis`, whose rows were normalized.
void softmax_of_matrix_to_axis(OpsetStep& step) {
  const int64_t axis = step.node.get_int("axis", 1);
  step.node.set({"axis", -1});
  if (is_last_axis(step, axis)) return;
  const std::string input = step.node.inputs.at(0);
  const std::string output = step.node.outputs.at(0);
  step.node.inputs[0] = step.before("Flatten", {input}, {{"axis", axis}});
  const std::string shape = step.before("Shape", {input});
  step.after("Reshape", {step.rename_output(0), shape}, output);
}

void softmax_of_axis_to_matrix(OpsetStep& step) {
  const int64_t axis = step.node.get_int("axis", -1);
  if (is_last_axis(step, axis)) {
    step.node.set({"axis", -1});
    return;
  }
  const int64_t rank = step.need_rank(0);
  const int64_t from = *known_axis(step, axis);
  if (from < 0 || from >= rank) step.refuse("axis {} is not in a tensor of {} axes", axis, rank);
  std::vector<int64_t> swap;
  for (int64_t i = 0; i < rank; ++i) swap.push_back(i);
  std::swap(swap[static_cast<size_t>(from)], swap.back());
  const std::string output = step.node.outputs.at(0);
  step.node.inputs[0] = step.before("Transpose", {step.node.inputs.at(0)}, {{"perm", swap}});
  step.node.set({"axis", rank - 1});
  step.after("Transpose", {step.rename_output(0)}, output, {{"perm", swap}});
}

// The mask had the data's type in opset 7.
void dropout_mask_to_bool(OpsetStep& step) {
  if (!step.is_read(1)) return step.drop_outputs(1);
  const DType type = step.need_dtype(0);
  const std::string mask = step.node.outputs[1];
  step.after("Cast", {step.rename_output(1)}, mask, {{"to", static_cast<int64_t>(type)}});
}

void dropout_mask_to_float(OpsetStep& step) {
  if (!step.is_read(1)) return step.drop_outputs(1);
  const std::string mask = step.node.outputs[1];
  step.after("Cast", {step.rename_output(1)}, mask, {{"to", static_cast<int64_t>(DType::kBool)}});
}

// Scale and bias were one a group and became one a channel: each is repeated for the channels of its group.
void group_norm_per_channel(OpsetStep& step) {
  const int64_t groups = step.node.get_int("num_groups", 0);
  const Shape* shape = step.shape(step.node.input(0));
  if (!shape || shape->size() < 2 || !(*shape)[1].known()) step.refuse("its number of channels is not known");
  if (groups < 1 || (*shape)[1].value % groups != 0) {
    step.refuse("{} groups do not divide {} channels", groups, (*shape)[1].value);
  }
  const std::string wide = step.ints_before({groups, (*shape)[1].value / groups});
  const std::string column = step.ints_before({groups, 1});
  const std::string flat = step.ints_before({-1});
  for (const size_t input : {1, 2}) {
    const std::string one = step.before("Reshape", {step.node.input(input), column});
    step.set_input(input, step.before("Reshape", {step.before("Expand", {one, wide}), flat}));
  }
}

// spatial = 0 kept statistics of each element: then every element is a channel.
void batch_norm_per_channel(OpsetStep& step) {
  const bool spatial = step.node.get_int("spatial", 1) != 0;
  step.node.erase("spatial");
  if (spatial) return;
  for (size_t i = 1; i < step.node.outputs.size(); ++i) {
    if (step.is_read(i)) step.refuse("it trains with statistics of each element (spatial = 0)");
  }
  step.drop_outputs(1);
  const std::string input = step.node.inputs.at(0);
  const std::string output = step.node.outputs.at(0);
  const std::string flat = step.ints_before({-1});
  const std::string shape = step.before("Shape", {input});
  step.set_input(0, step.before("Flatten", {input}, {{"axis", 1}}));
  for (size_t i = 1; i < step.node.inputs.size(); ++i) {
    step.set_input(i, step.before("Reshape", {step.node.inputs[i], flat}));
  }
  step.after("Reshape", {step.rename_output(0), shape}, output);
}

// Until 13 further outputs said that it trains.
void batch_norm_training_mode(OpsetStep& step) {
  const bool trains = std::ranges::any_of(step.node.outputs.begin() + 1, step.node.outputs.end(),
                                          [](const std::string& output) { return !output.empty(); });
  for (size_t i = 3; i < step.node.outputs.size(); ++i) {
    if (step.is_read(i)) step.refuse("opset {} does not give the statistics of the batch", step.to);
  }
  step.drop_outputs(trains ? 3 : 1);
  if (trains) step.node.set({"training_mode", 1});
}

void batch_norm_by_outputs(OpsetStep& step) {
  batch_norm_one_type(step);
  const bool trains = step.node.get_int("training_mode", 0) != 0;
  step.node.erase("training_mode");
  if (!trains) {
    if (step.is_read(1) || step.is_read(2)) step.refuse("in opset {} further outputs make it train", step.to);
    return step.drop_outputs(1);
  }
  step.node.outputs.resize(5);
  for (size_t i = 1; i < 5; ++i) {
    if (step.node.outputs[i].empty()) step.rename_output(i);
  }
}

void batch_norm_one_type(OpsetStep& step) {
  const DType first = step.dtype(step.node.input(0));
  for (const std::string& input : step.node.inputs) {
    const DType type = step.dtype(input);
    if (first != DType::kUndefined && type != DType::kUndefined && type != first) {
      step.refuse("opset {} takes one element type, not {} and {}", step.to, dtype_name(first),
                  dtype_name(type));
    }
  }
}

// Scan of opset 8 ran over a batch (axis 0) of sequences (axis 1): a Scan over the batch of Scans over
// sequences.
void scan_of_batch(OpsetStep& step) {
  if (!step.node.input(0).empty())
    step.refuse("it has sequence_lens, which opset {} cannot express", step.to);
  Node inner = step.node;
  inner.inputs.erase(inner.inputs.begin());
  inner.metadata.clear();
  if (const Attribute* directions = inner.find("directions")) {
    inner.set({"scan_input_directions", std::get<std::vector<int64_t>>(directions->value)});
    inner.erase("directions");
  }
  Graph batch;
  batch.name = step.node.outputs.at(0) + "_batch";
  const auto info = [&](const std::string& outer, size_t lost_axes) {
    ValueInfo value;
    const Type* type = step.type(outer);
    value.type = Type::tensor(step.dtype(outer));
    if (type && type->is_tensor() && type->shape && type->shape->size() >= lost_axes) {
      value.type.shape =
          Shape(type->shape->begin() + static_cast<std::ptrdiff_t>(lost_axes), type->shape->end());
    }
    return value;
  };
  for (std::string& input : inner.inputs) {
    ValueInfo one = info(input, 1);
    if (one.type.dtype == DType::kUndefined) step.refuse("the element type of '{}' is not known", input);
    one.name = input = step.fresh(input + "_of_batch");
    batch.inputs.push_back(std::move(one));
  }
  const std::vector<const Graph*> bodies = std::as_const(inner).find("body")->graphs();
  for (size_t i = 0; i < inner.outputs.size(); ++i) {
    std::string& output = inner.outputs[i];
    ValueInfo one = info(output, 1);
    if (one.type.dtype == DType::kUndefined && bodies.at(0)->outputs.size() > i) {
      one.type = Type::tensor(bodies[0]->outputs[i].type.dtype);
    }
    one.name = output = step.fresh(output + "_of_batch");
    batch.outputs.push_back(std::move(one));
  }
  const auto scanned = static_cast<int64_t>(inner.inputs.size());
  batch.nodes.push_back(std::move(inner));
  step.node.inputs.erase(step.node.inputs.begin());
  step.node.attributes = {Attribute("body", std::move(batch)), Attribute("num_scan_inputs", scanned)};
}

void grid_sample_modes(OpsetStep& step) {
  const std::string mode = step.node.get_string("mode", "bilinear");
  step.node.set({"mode", mode == "bilinear" ? "linear" : mode == "bicubic" ? "cubic" : mode.c_str()});
}

void grid_sample_old_modes(OpsetStep& step) {
  if (step.need_rank(0) != 4) step.refuse("opset {} samples images only", step.to);
  const std::string mode = step.node.get_string("mode", "linear");
  step.node.set({"mode", mode == "linear" ? "bilinear" : mode == "cubic" ? "bicubic" : mode.c_str()});
}

void roi_align_old_corners(OpsetStep& step) {
  step.node.set({"coordinate_transformation_mode", "output_half_pixel"});
}

void roi_align_without_mode(OpsetStep& step) {
  if (step.node.get_string("coordinate_transformation_mode", "half_pixel") != "output_half_pixel") {
    step.refuse("opset {} knows coordinates of output_half_pixel only", step.to);
  }
  step.node.erase("coordinate_transformation_mode");
}

// Sum, Mean, Max and Min broadcast since opset 8.
void same_shapes(OpsetStep& step) {
  const Shape* first = step.shape(step.node.input(0));
  for (size_t i = 1; i < step.node.inputs.size(); ++i) {
    const Shape* other = step.shape(step.node.inputs[i]);
    const auto certain = [](const Dim& dim) { return dim.known() || !dim.symbol.empty(); };
    if (!first || !other || *first != *other || !std::ranges::all_of(*first, certain)) {
      step.refuse("opset {} does not broadcast, and its inputs are not known to have one shape", step.to);
    }
  }
}

void same_types(OpsetStep& step) {
  if (step.need_dtype(0) != step.need_dtype(1)) step.refuse("opset {} takes one element type", step.to);
}

void gemm_with_zeros(OpsetStep& step) {
  if (step.node.input(2).empty()) step.set_input(2, step.scalar_before(step.need_dtype(0), 0));
}

void shape_slice(OpsetStep& step) {
  const int64_t start = step.node.get_int("start", 0);
  const int64_t end = step.node.get_int("end", std::numeric_limits<int64_t>::max());
  step.node.erase("start");
  step.node.erase("end");
  if (start == 0 && end == std::numeric_limits<int64_t>::max()) return;
  const std::string output = step.node.outputs.at(0);
  const std::string first = step.ints_before({start});
  const std::string last = step.ints_before({end});
  step.after("Slice", {step.rename_output(0), first, last}, output);
}

// With ceil_mode, windows that start behind the data and its padding at the front count no more since
// opset 22.
void pool_windows_inside(OpsetStep& step) {
  if (step.node.get_int("ceil_mode", 0) == 0 || step.node.get_string("auto_pad", "NOTSET") != "NOTSET")
    return;
  const std::vector<int64_t> kernel = step.node.get_ints("kernel_shape");
  const std::vector<int64_t> strides = step.node.get_ints("strides", std::vector<int64_t>(kernel.size(), 1));
  const std::vector<int64_t> dilations =
      step.node.get_ints("dilations", std::vector<int64_t>(kernel.size(), 1));
  const std::vector<int64_t> pads = step.node.get_ints("pads", std::vector<int64_t>(2 * kernel.size(), 0));
  const Shape* shape = step.shape(step.node.input(0));
  for (size_t i = 0; i < kernel.size(); ++i) {
    const int64_t front = pads.at(i), back = pads.at(i + kernel.size()), stride = strides.at(i);
    const int64_t window = (kernel[i] - 1) * dilations.at(i) + 1;
    if (back + stride <= window) continue;  // whatever the size
    const Dim size = shape && shape->size() == kernel.size() + 2 ? (*shape)[i + 2] : Dim();
    if (!size.known()) step.refuse("with ceil_mode its windows differ where sizes are not known");
    const int64_t steps = (size.value + front + back - window + stride - 1) / std::max<int64_t>(stride, 1);
    if (steps * stride >= size.value + front)
      step.refuse("with ceil_mode it has a window more before opset 22");
  }
}

void max_pool_one_output(OpsetStep& step) {
  if (step.is_read(1)) step.refuse("opset {} does not give the indices", step.to);
  step.drop_outputs(1);
  step.node.erase("storage_order");
}

void top_k_largest(OpsetStep& step) {
  if (step.dtype(step.node.input(0)) == DType::kInt64) step.refuse("opset {} does not take int64", step.to);
  without_attributes({{"largest", 1}})(step);
  step.node.erase("sorted");
}

void quantize_per_tensor(OpsetStep& step) {
  if (step.need_rank(1) != 0) step.refuse("opset {} takes one scale for the whole tensor", step.to);
  step.node.erase("axis");
}

// The zero point alone said which type comes out.
void quantize_with_zero_point(OpsetStep& step) {
  without_attributes({{"block_size", 0}})(step);
  const auto type = static_cast<DType>(step.node.get_int("output_dtype", 0));
  step.node.erase("output_dtype");
  if (type == DType::kUndefined || type == DType::kUInt8 || !step.node.input(2).empty()) return;
  if (step.need_rank(1) != 0)
    step.refuse("opset {} needs a zero point to say the type {}", step.to, dtype_name(type));
  step.set_input(2, step.scalar_before(type, 0));
}

void scatter_plain_sums(OpsetStep& step) {
  const std::string reduction = step.node.get_string("reduction", "none");
  if (reduction == "min" || reduction == "max")
    step.refuse("opset {} has no reduction '{}'", step.to, reduction);
}

void reshape_without_zero(OpsetStep& step) {
  if (step.node.get_int("allowzero", 0) != 0) {
    const std::vector<int64_t> shape = step.need_constant(1).as_ints();
    if (std::ranges::find(shape, 0) != shape.end())
      step.refuse("opset {} cannot reshape to a size of 0", step.to);
  }
  step.node.erase("allowzero");
}

void optional_input_only(OpsetStep& step) {
  const Type* type = step.node.input(0).empty() ? nullptr : step.type(step.node.inputs[0]);
  if (!type || type->kind != Type::Kind::kOptional) step.refuse("opset {} takes an optional only", step.to);
}

void mod_of_integers(OpsetStep& step) {
  if (step.node.get_int("fmod", 0) == 0 && dtype_is_float(step.need_dtype(0))) {
    step.refuse("opset {} needs fmod = 1 for floating point", step.to);
  }
}

void compare_or_equal(OpsetStep& step) {
  const std::string strict = step.node.op_type == "GreaterOrEqual" ? "Greater" : "Less";
  const std::vector<std::string> inputs = step.node.inputs;
  step.become("Or", {step.before(strict, inputs), step.before("Equal", inputs)});
}

void hard_swish_of_older(OpsetStep& step) {
  const std::string input = step.node.inputs.at(0);
  step.become("Mul", {input, step.before("HardSigmoid", {input}, {{"alpha", 1.0f / 6}, {"beta", 0.5f}})});
}

void mish_of_older(OpsetStep& step) {
  const std::string input = step.node.inputs.at(0);
  step.become("Mul", {input, step.before("Tanh", {step.before("Softplus", {input})})});
}

void swish_of_older(OpsetStep& step) {
  const std::string input = step.node.inputs.at(0);
  const float alpha = step.node.get_float("alpha", 1);
  std::string scaled = input;
  if (alpha != 1) scaled = step.before("Mul", {input, step.scalar_before(step.need_dtype(0), alpha)});
  step.become("Mul", {input, step.before("Sigmoid", {scaled})});
}

}  // namespace mc::opset_rules
