#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/sequence.h"

namespace mc {
namespace {

Slot slot_of(Slot::Extra extra) {
  Slot slot;
  slot.extra = std::make_shared<const Slot::Extra>(std::move(extra));
  return slot;
}

const char* kind_name(const Slot& slot) {
  if (!slot.defined()) return "nothing";
  if (is_sequence(slot)) return "a sequence";
  if (is_strings(slot)) return "a tensor of strings";
  return is_empty_optional(slot) ? "an empty optional" : "a tensor of numbers";
}

// Strings in blocks: those behind `axis` of each element stay together.
Slot stack_strings(const std::vector<Slot>& elements, int64_t axis) {
  const std::vector<int64_t> dims = elements[0].extra->string_dims;
  const auto outer = static_cast<size_t>(c10::multiply_integers(dims.begin(), dims.begin() + axis));
  const auto inner = static_cast<size_t>(c10::multiply_integers(dims.begin() + axis, dims.end()));
  std::vector<std::string> strings;
  for (size_t block = 0; block < outer; ++block) {
    for (const Slot& element : elements) {
      MC_CHECK(is_strings(element) && element.extra->string_dims == dims,
               "tensors of strings of several shapes do not stack");
      const auto begin = element.extra->strings.begin() + static_cast<std::ptrdiff_t>(block * inner);
      strings.insert(strings.end(), begin, begin + static_cast<std::ptrdiff_t>(inner));
    }
  }
  std::vector<int64_t> stacked = dims;
  stacked.insert(stacked.begin() + axis, static_cast<int64_t>(elements.size()));
  return string_slot(std::move(strings), std::move(stacked));
}

Type wrapped(Type::Kind kind, Type element) {
  Type type;
  type.kind = kind;
  type.element = std::make_shared<const Type>(std::move(element));
  return type;
}

}  // namespace

Slot sequence_slot(std::vector<Slot> elements, DType dtype) {
  Slot::Extra extra;
  extra.is_sequence = true;
  extra.dtype = dtype;
  if (!elements.empty() && !is_sequence(elements[0])) extra.dtype = elements[0].dtype();
  extra.sequence = std::move(elements);
  return slot_of(std::move(extra));
}

Slot empty_optional() {
  return slot_of({});
}

Slot string_slot(std::vector<std::string> strings, std::vector<int64_t> dims) {
  Slot::Extra extra;
  extra.is_strings = true;
  extra.strings = std::move(strings);
  extra.string_dims = std::move(dims);
  return slot_of(std::move(extra));
}

bool is_sequence(const Slot& slot) {
  return slot.extra && slot.extra->is_sequence;
}

bool is_empty_optional(const Slot& slot) {
  return slot.extra && !slot.tensor.defined() && !slot.extra->is_sequence && !slot.extra->is_strings;
}

bool is_strings(const Slot& slot) {
  return slot.extra && slot.extra->is_strings;
}

const std::vector<Slot>& sequence_input(const KernelArgs& args, size_t i) {
  MC_CHECK(args.has(i), "input {} is missing", i);
  MC_CHECK(is_sequence(args.slot(i)), "input {} holds {} where a sequence is needed", i,
           kind_name(args.slot(i)));
  return args.slot(i).extra->sequence;
}

const Slot::Extra& string_input(const KernelArgs& args, size_t i) {
  MC_CHECK(args.has(i), "input {} is missing", i);
  MC_CHECK(is_strings(args.slot(i)), "input {} holds {} where strings are needed", i,
           kind_name(args.slot(i)));
  return *args.slot(i).extra;
}

std::vector<int64_t> slot_dims(const Slot& slot) {
  MC_CHECK(is_strings(slot) || slot.tensor.defined(), "{} has no shape", kind_name(slot));
  return is_strings(slot) ? slot.extra->string_dims : slot.tensor.sizes().vec();
}

Slot stack_slots(const std::vector<Slot>& elements, int64_t axis) {
  MC_CHECK(!elements.empty(), "there is nothing to stack");
  const auto rank = static_cast<int64_t>(slot_dims(elements[0]).size());
  const int64_t place = normalize_axis(axis, rank + 1);
  if (is_strings(elements[0])) return stack_strings(elements, place);
  std::vector<at::Tensor> tensors;
  tensors.reserve(elements.size());
  for (const Slot& element : elements) {
    MC_CHECK(element.tensor.defined(), "{} and {} do not stack", kind_name(elements[0]), kind_name(element));
    MC_CHECK(element.tensor.sizes() == elements[0].tensor.sizes(), "tensors [{}] and [{}] do not stack",
             fmt::join(elements[0].tensor.sizes(), ","), fmt::join(element.tensor.sizes(), ","));
    tensors.push_back(element.tensor);
  }
  Slot result(at::stack(tensors, place));
  result.extra = elements[0].extra;  // an element type that LibTorch lacks
  return result;
}

Type sequence_type(Type element) {
  return wrapped(Type::Kind::kSequence, std::move(element));
}

Type optional_type(Type element) {
  return wrapped(Type::Kind::kOptional, std::move(element));
}

Type common_type(const Type& a, const Type& b) {
  if (a == b) return a;
  if (a.kind != b.kind) return Type();
  if (a.kind == Type::Kind::kSequence || a.kind == Type::Kind::kOptional) {
    return wrapped(a.kind, a.element && b.element ? common_type(*a.element, *b.element) : Type());
  }
  if (!a.is_tensor()) return Type();
  Type result = Type::tensor(a.dtype == b.dtype ? a.dtype : DType::kUndefined);
  if (!a.shape || !b.shape || a.shape->size() != b.shape->size()) return result;
  result.shape = *a.shape;
  for (size_t i = 0; i < a.shape->size(); ++i) {
    if (!((*a.shape)[i] == (*b.shape)[i])) (*result.shape)[i] = Dim();
  }
  return result;
}

Type without_shapes(const Type& type) {
  if (type.is_tensor()) return Type::tensor(type.dtype);
  if (!type.element || type.kind == Type::Kind::kMap) return type;
  return wrapped(type.kind, without_shapes(*type.element));
}

}  // namespace mc
