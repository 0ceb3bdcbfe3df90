// Optionals: values that may be absent.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/sequence.h"

namespace mc {
namespace {

Kernel bind_optional(const BindContext&) {
  return [](const KernelArgs& args) { args.out(0, args.has(0) ? args.slot(0) : empty_optional()); };
}

bool has_element(const KernelArgs& args) {
  return args.has(0) && args.slot(0).defined() && !is_empty_optional(args.slot(0));
}

Kernel bind_optional_has_element(const BindContext&) {
  return [](const KernelArgs& args) { args.out(0, at::scalar_tensor(has_element(args), at::kBool)); };
}

Kernel bind_optional_get_element(const BindContext&) {
  return [](const KernelArgs& args) {
    MC_CHECK(has_element(args), "the optional holds nothing");
    args.out(0, args.slot(0));
  };
}

void infer_optional(InferContext& context) {
  const Attribute* attribute = context.node().find("type");
  const auto* declared = attribute ? std::get_if<Type>(&attribute->value) : nullptr;
  if (context.input(0)) return context.output(0, optional_type(*context.input(0)));
  if (declared) context.output(0, optional_type(*declared));
}

void infer_optional_has_element(InferContext& context) {
  context.output(0, Type::tensor(DType::kBool, Shape()));
}

void infer_optional_get_element(InferContext& context) {
  const Type* type = context.input(0);
  if (!type) return;
  const bool optional = type->kind == Type::Kind::kOptional;
  if (!optional || type->element) context.output(0, optional ? *type->element : *type);
}

}  // namespace

std::vector<Op> optional_ops() {
  Op has_element = make_op("OptionalHasElement", 15, bind_optional_has_element, infer_optional_has_element);
  has_element.differentiable = false;
  return {
      make_op("Optional", 15, bind_optional, infer_optional),
      has_element,
      make_op("OptionalGetElement", 15, bind_optional_get_element, infer_optional_get_element),
  };
}

}  // namespace mc
