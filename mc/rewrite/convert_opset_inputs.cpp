// Rules for what moved between attributes and inputs.
#include <algorithm>

#include "mc/rewrite/convert_opset_rules.h"

namespace mc::opset_rules {
namespace {

constexpr int64_t kFirstWithListConstants = 12;  // Constant takes value_ints

std::vector<int64_t> ints_of(const Attribute& attribute) {
  if (const auto* one = std::get_if<int64_t>(&attribute.value)) return {*one};
  if (const auto* many = std::get_if<std::vector<int64_t>>(&attribute.value)) return *many;
  fail("attribute '{}' must hold integers", attribute.name);
}

bool holds(const Attribute& attribute, const NewAttribute& expected) {
  if (const auto* text = std::get_if<std::string>(&expected.old_meaning)) {
    const auto* held = std::get_if<std::string>(&attribute.value);
    return held && *held == *text;
  }
  const int64_t number = std::get<int64_t>(expected.old_meaning);
  if (const auto* one = std::get_if<int64_t>(&attribute.value)) return *one == number;
  const auto* many = std::get_if<std::vector<int64_t>>(&attribute.value);
  return many && std::ranges::all_of(*many, [&](int64_t held) { return held == number; });
}

// A float attribute as a scalar input of the data's type, where it is there.
void float_to_input(OpsetStep& step, const char* attribute, size_t index) {
  if (!step.node.find(attribute)) return;
  const double value = step.node.get_float(attribute, 0);
  step.set_input(index, step.scalar_before(step.need_dtype(0), value));
  step.node.erase(attribute);
}

void scalar_to_attribute(OpsetStep& step, const char* attribute, size_t index) {
  if (step.node.input(index).empty()) return;
  const Tensor& value = step.need_constant(index);
  if (value.count() != 1) step.refuse("its input {} is no scalar", index);
  step.node.set({attribute, static_cast<float>(value.as_doubles()[0])});
  step.consume(index);
}

}  // namespace

OpsetRule to_input(std::string attribute, size_t index, bool scalar) {
  return [=](OpsetStep& step) {
    const Attribute* held = step.node.find(attribute);
    if (!held) return;
    if (!held->ref.empty() && step.to >= kFirstWithListConstants) {
      // In a function the value comes with the call: a Constant can take it from there.
      Attribute value(scalar ? "value_int" : "value_ints", std::vector<int64_t>());
      value.kind = held->kind;
      value.value = std::monostate();
      value.ref = held->ref;
      step.set_input(index, step.before("Constant", {}, {value}));
    } else {
      if (!held->ref.empty())
        step.refuse("attribute '{}' comes from a call and must become a constant", attribute);
      const std::vector<int64_t> values = ints_of(*held);
      step.set_input(index,
                     scalar ? step.constant_before(Tensor::int64s({}, values)) : step.ints_before(values));
    }
    step.node.erase(attribute);
  };
}

OpsetRule to_attribute(std::string attribute, size_t index, bool scalar) {
  return [=](OpsetStep& step) {
    if (step.node.input(index).empty()) return;
    const std::vector<int64_t> values = step.need_constant(index).as_ints();
    if (scalar && values.size() != 1)
      step.refuse("its input {} holds {} values, not one", index, values.size());
    step.node.set(scalar ? Attribute(attribute, values.at(0)) : Attribute(attribute, values));
    step.consume(index);
  };
}

OpsetRule all_of(std::vector<OpsetRule> rules) {
  return [rules = std::move(rules)](OpsetStep& step) {
    for (const OpsetRule& rule : rules) rule(step);
  };
}

OpsetRule without_attributes(std::vector<NewAttribute> attributes) {
  return [attributes = std::move(attributes)](OpsetStep& step) {
    for (const NewAttribute& expected : attributes) {
      const Attribute* held = step.node.find(expected.name);
      if (!held) continue;
      if (!held->ref.empty() || !holds(*held, expected)) {
        step.refuse("opset {} has no attribute '{}' and does what it says by default otherwise", step.to,
                    expected.name);
      }
      step.node.erase(expected.name);
    }
  };
}

OpsetRule without_input(size_t index) {
  return [=](OpsetStep& step) {
    if (!step.node.input(index).empty()) step.refuse("in opset {} it has no input {}", step.to, index);
    if (step.node.inputs.size() > index) step.node.inputs.resize(index);
  };
}

OpsetRule without_negative(std::string attribute, int64_t more_axes) {
  return [=](OpsetStep& step) {
    Attribute* held = step.node.find(attribute);
    if (!held) return;
    if (!held->ref.empty()) step.refuse("attribute '{}' comes from a call and may be negative", attribute);
    std::vector<int64_t> axes = ints_of(*held);
    if (std::ranges::none_of(axes, [](int64_t axis) { return axis < 0; })) return;
    const int64_t rank = step.need_rank(0) + more_axes * static_cast<int64_t>(axes.size());
    for (int64_t& axis : axes) axis += axis < 0 ? rank : 0;
    if (held->kind == Attribute::Kind::kInt) {
      held->value = axes.at(0);
    } else {
      held->value = std::move(axes);
    }
  };
}

OpsetRule rename_to(std::string op) {
  return [op = std::move(op)](OpsetStep& step) { step.node.op_type = op; };
}

OpsetRule refused(std::string reason) {
  return [reason = std::move(reason)](OpsetStep& step) { step.refuse("{}", reason); };
}

OpsetRule without_types(uint64_t types) {
  return [=](OpsetStep& step) {
    const DType type = step.dtype(step.node.input(0));
    if (types >> static_cast<int>(type) & 1)
      step.refuse("opset {} has no form for {}", step.to, dtype_name(type));
  };
}

void clip_to_inputs(OpsetStep& step) {
  float_to_input(step, "min", 1);
  float_to_input(step, "max", 2);
}

void clip_to_attributes(OpsetStep& step) {
  scalar_to_attribute(step, "max", 2);
  scalar_to_attribute(step, "min", 1);
}

void pad_to_inputs(OpsetStep& step) {
  to_input("pads", 1)(step);
  if (step.node.get_float("value", 0) == 0) step.node.erase("value");
  float_to_input(step, "value", 2);
}

void pad_to_attributes(OpsetStep& step) {
  if (step.dtype(step.node.input(0)) == DType::kInt64) step.refuse("opset {} does not take int64", step.to);
  scalar_to_attribute(step, "value", 2);
  to_attribute("pads", 1)(step);
}

void pad_all_axes(OpsetStep& step) {
  if (step.node.input(3).empty()) return without_input(3)(step);
  const std::vector<int64_t> axes = step.need_constant(3).as_ints();
  const std::vector<int64_t> some = step.need_constant(1).as_ints();
  const int64_t rank = step.need_rank(0);
  if (some.size() != 2 * axes.size()) step.refuse("it has {} pads for {} axes", some.size(), axes.size());
  std::vector<int64_t> all(2 * static_cast<size_t>(rank), 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
    if (axis < 0 || axis >= rank) step.refuse("it pads axis {} of {}", axes[i], rank);
    all[static_cast<size_t>(axis)] = some[i];
    all[static_cast<size_t>(axis + rank)] = some[i + axes.size()];
  }
  step.consume(3);
  step.consume(1);
  step.set_input(1, step.ints_before(all));
}

void pad_without_wrap(OpsetStep& step) {
  if (step.node.get_string("mode", "constant") == "wrap") step.refuse("opset {} has no mode 'wrap'", step.to);
}

void slice_to_inputs(OpsetStep& step) {
  to_input("starts", 1)(step);
  to_input("ends", 2)(step);
  to_input("axes", 3)(step);
}

void slice_to_attributes(OpsetStep& step) {
  if (!step.node.input(4).empty()) {
    const std::vector<int64_t> steps = step.need_constant(4).as_ints();
    if (std::ranges::any_of(steps, [](int64_t s) { return s != 1; }))
      step.refuse("it has steps other than 1");
    step.consume(4);
  }
  to_attribute("axes", 3)(step);
  to_attribute("ends", 2)(step);
  to_attribute("starts", 1)(step);
  without_negative("axes")(step);
}

void dropout_to_inputs(OpsetStep& step) {
  if (!step.node.find("ratio")) return;
  step.set_input(1, step.scalar_before(DType::kFloat, step.node.get_float("ratio", 0.5f)));
  step.node.erase("ratio");
}

void dropout_to_attributes(OpsetStep& step) {
  if (!step.node.input(2).empty()) {
    const Tensor& training = step.need_constant(2);
    if (training.as_ints() != std::vector<int64_t>{0})
      step.refuse("opset {} cannot say that it drops", step.to);
    step.consume(2);
  }
  scalar_to_attribute(step, "ratio", 1);
  step.node.erase("seed");
}

// The default was axis 1 and became the last but one.
void dft_to_input(OpsetStep& step) {
  if (!step.node.find("axis")) step.node.set({"axis", 1});
  to_input("axis", 2, /*scalar=*/true)(step);
}

void reduce_to_attributes(OpsetStep& step) {
  const bool stays = step.node.get_int("noop_with_empty_axes", 0) != 0;
  const bool given = !step.node.input(1).empty();
  if (stays && (!given || step.need_constant(1).count() == 0)) {
    step.refuse("opset {} cannot say that it reduces no axis", step.to);
  }
  step.node.erase("noop_with_empty_axes");
  if (given && step.need_constant(1).count() == 0) return step.consume(1);
  to_attribute("axes", 1)(step);
}

void upsample_to_input(OpsetStep& step) {
  const std::vector<float> scales = step.node.get_floats("scales");
  step.set_input(1, step.constant_before(Tensor::floats({static_cast<int64_t>(scales.size())}, scales)));
  step.node.erase("scales");
}

void upsample_to_attribute(OpsetStep& step) {
  const std::vector<double> scales = step.need_constant(1).as_doubles();
  step.node.set({"scales", std::vector<float>(scales.begin(), scales.end())});
  step.consume(1);
}

void constant_to_tensor(OpsetStep& step) {
  const auto set = [&](const char* attribute, Tensor value) {
    step.node.erase(attribute);
    step.node.set({"value", std::move(value)});
  };
  const auto count = [](const auto& values) { return std::vector{static_cast<int64_t>(values.size())}; };
  for (const Attribute& held : std::vector<Attribute>(step.node.attributes)) {
    if (!held.ref.empty()) step.refuse("attribute '{}' comes from a call", held.name);
    if (held.name == "value_float") set("value_float", Tensor::scalar(std::get<float>(held.value)));
    if (held.name == "value_int") {
      set("value_int", Tensor::int64s({}, std::span(&std::get<int64_t>(held.value), 1)));
    }
    if (held.name == "value_floats") {
      const auto& values = std::get<std::vector<float>>(held.value);
      set("value_floats", Tensor::floats(count(values), values));
    }
    if (held.name == "value_ints") {
      const auto& values = std::get<std::vector<int64_t>>(held.value);
      set("value_ints", Tensor::int64s(count(values), values));
    }
    if (held.name == "value_string" || held.name == "value_strings") {
      Tensor text;
      text.dtype = DType::kString;
      if (const auto* one = std::get_if<std::string>(&held.value)) text.strings = {*one};
      if (const auto* many = std::get_if<std::vector<std::string>>(&held.value)) {
        text.strings = *many;
        text.dims = count(*many);
      }
      set(held.name.c_str(), std::move(text));
    }
  }
}

void split_count(OpsetStep& step) {
  if (!step.node.input(1).empty()) return;
  step.trim_inputs();
  step.node.set({"num_outputs", static_cast<int64_t>(step.node.outputs.size())});
}

// Before, equal parts had to be equal.
void split_without_count(OpsetStep& step) {
  if (!step.node.find("num_outputs")) return;
  const auto parts = static_cast<int64_t>(step.node.outputs.size());
  int64_t axis = step.node.get_int("axis", 0);
  const Shape* known = step.shape(step.node.input(0));
  if (known && axis < 0) axis += static_cast<int64_t>(known->size());
  const bool fits = known && axis >= 0 && axis < static_cast<int64_t>(known->size());
  const Dim size = fits ? (*known)[static_cast<size_t>(axis)] : Dim();
  if (!size.known()) step.refuse("it splits a size that is not known, and may do so unevenly");
  step.node.erase("num_outputs");
  if (size.value % parts == 0) return;
  const int64_t part = (size.value + parts - 1) / parts;
  std::vector<int64_t> sizes(static_cast<size_t>(parts), part);
  sizes.back() = size.value - part * (parts - 1);
  step.set_input(1, step.ints_before(sizes));
}

}  // namespace mc::opset_rules
