// Slots that are no plain tensors: sequences, optionals, tensors of strings. An optional that holds something
// is that thing's own slot; an empty one is defined, yet neither a tensor, a sequence nor strings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mc/graph/type.h"
#include "mc/ops/op.h"
#include "mc/ops/slot.h"

namespace mc {

// `dtype` is the element type of its tensors, for where there are none.
Slot sequence_slot(std::vector<Slot> elements, DType dtype = DType::kUndefined);
Slot empty_optional();
Slot string_slot(std::vector<std::string> strings, std::vector<int64_t> dims);

bool is_sequence(const Slot& slot);
bool is_empty_optional(const Slot& slot);
bool is_strings(const Slot& slot);

// What input i holds. Throw Error when it is omitted or something else.
const std::vector<Slot>& sequence_input(const KernelArgs& args, size_t i);
const Slot::Extra& string_input(const KernelArgs& args, size_t i);

// Dims of a tensor or of strings.
std::vector<int64_t> slot_dims(const Slot& slot);

// The elements, tensors or strings of one shape and type, along a new axis of the result (-rank-1 to rank).
// Differentiable. Throws Error when there are none, or they are anything else.
Slot stack_slots(const std::vector<Slot>& elements, int64_t axis);

Type sequence_type(Type element);
Type optional_type(Type element);

// What holds for both types: dims that differ are unknown, other types altogether give an unknown type.
Type common_type(const Type& a, const Type& b);
// The type without what may change from one iteration to the next: the shapes of tensors.
Type without_shapes(const Type& type);

}  // namespace mc
