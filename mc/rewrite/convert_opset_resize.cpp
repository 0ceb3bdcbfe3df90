// Rules for Upsample and Resize, whose coordinates were fixed until opset 10: x / scale ("asymmetric"),
// rounded down where nearest elements are repeated and up where some are left out.
#include <algorithm>

#include "mc/rewrite/convert_opset_rules.h"

namespace mc::opset_rules {
namespace {

bool is_empty_constant(const OpsetStep& step, size_t input) {
  const Tensor* value = step.constant(input);
  return value && value->count() == 0;
}

std::string no_floats(OpsetStep& step) {
  return step.constant_before(Tensor::floats({0}, {}));
}

// "floor" where all scales enlarge, "ceil" where all reduce; scales that are computed enlarge, as Upsample's.
std::string old_rounding(OpsetStep& step, size_t scales_input) {
  const Tensor* known = step.constant(scales_input);
  if (!known) return "floor";
  const std::vector<double> scales = known->as_doubles();
  const bool enlarges = std::ranges::any_of(scales, [](double s) { return s > 1; });
  const bool reduces = std::ranges::any_of(scales, [](double s) { return s < 1; });
  if (enlarges && reduces)
    step.refuse("it enlarges one axis and reduces another, for which roundings differ");
  return reduces ? "ceil" : "floor";
}

}  // namespace

void resize_coordinates(OpsetStep& step) {
  if (step.node.get_string("mode", "nearest") == "nearest") {
    step.node.set({"nearest_mode", old_rounding(step, 1)});
  }
  step.node.set({"coordinate_transformation_mode", "asymmetric"});
  step.node.inputs = {step.node.input(0), no_floats(step), step.node.input(1)};
}

void resize_asymmetric(OpsetStep& step) {
  const std::string mode = step.node.get_string("mode", "nearest");
  if (mode == "cubic") step.refuse("opset {} has no mode 'cubic'", step.to);
  if (step.node.get_string("coordinate_transformation_mode", "half_pixel") != "asymmetric") {
    step.refuse("opset {} knows asymmetric coordinates only", step.to);
  }
  if (!step.node.input(3).empty()) step.refuse("opset {} takes scales only, no sizes", step.to);
  if (step.node.get_int("exclude_outside", 0) != 0) step.refuse("opset {} has no exclude_outside", step.to);
  if (mode == "nearest" &&
      step.node.get_string("nearest_mode", "round_prefer_floor") != old_rounding(step, 2)) {
    step.refuse("opset {} rounds otherwise", step.to);
  }
  for (const char* name : {"coordinate_transformation_mode", "nearest_mode", "exclude_outside",
                           "extrapolation_value", "cubic_coeff_a"}) {
    step.node.erase(name);
  }
  step.node.inputs = {step.node.input(0), step.node.input(2)};
}

// floor((x + 0.5) / s) is what rounding (x + 0.5) / s - 0.5 to the nearest, halves up, gives.
void resize_without_tf_half_pixel(OpsetStep& step) {
  for (const size_t input : {1, 2}) {
    if (is_empty_constant(step, input)) step.consume(input);
  }
  if (step.node.get_string("coordinate_transformation_mode", "half_pixel") != "tf_half_pixel_for_nn") return;
  if (step.node.get_string("mode", "nearest") != "nearest" ||
      step.node.get_string("nearest_mode", "round_prefer_floor") != "floor") {
    step.refuse("opset {} has no coordinates 'tf_half_pixel_for_nn'", step.to);
  }
  step.node.set({"coordinate_transformation_mode", "half_pixel"});
  step.node.set({"nearest_mode", "round_prefer_ceil"});
}

void resize_all_inputs(OpsetStep& step) {
  for (const size_t input : {1, 2}) {
    if (step.node.input(input).empty()) step.set_input(input, no_floats(step));
  }
}

void resize_all_axes(OpsetStep& step) {
  without_attributes({{"antialias", 0}, {"keep_aspect_ratio_policy", "stretch"}})(step);
  if (!step.node.find("axes")) return;
  const std::vector<int64_t> axes = step.node.get_ints("axes");
  const int64_t rank = step.need_rank(0);
  if (!step.node.input(1).empty() || !step.node.input(3).empty()) {
    step.refuse("opset {} takes a region and sizes of all axes only", step.to);
  }
  const std::vector<double> some = step.need_constant(2).as_doubles();
  std::vector<float> all(static_cast<size_t>(rank), 1);
  for (size_t i = 0; i < axes.size() && i < some.size(); ++i) {
    const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
    if (axis < 0 || axis >= rank) step.refuse("it resizes axis {} of {}", axes[i], rank);
    all[static_cast<size_t>(axis)] = static_cast<float>(some[i]);
  }
  step.node.erase("axes");
  step.consume(2);
  step.set_input(2, step.constant_before(Tensor::floats({rank}, all)));
}

void resize_without_symmetric(OpsetStep& step) {
  if (step.node.get_string("coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric") {
    step.refuse("opset {} has no coordinates 'half_pixel_symmetric'", step.to);
  }
}

void resize_to_upsample(OpsetStep& step) {
  const std::vector<double> scales = step.need_constant(1).as_doubles();
  if (std::ranges::any_of(scales, [](double s) { return s < 1; })) {
    step.refuse("in opset {} only Upsample is left, which cannot reduce", step.to);
  }
  step.node.op_type = "Upsample";
}

}  // namespace mc::opset_rules
