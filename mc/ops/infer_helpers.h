// What the inference functions of operator families share. Shapes may be partly known: a dim is a number, a
// symbol or unknown, and none of these functions throws for what is merely unknown.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "mc/graph/type.h"
#include "mc/ops/op.h"

namespace mc {

// The shape of input i; null when its rank is unknown.
const Shape* input_shape(const InferContext& context, size_t i);
// Element type of input i; kUndefined when unknown.
DType input_dtype(const InferContext& context, size_t i);

bool all_known(const Shape& shape);                                  // every dim is a number
std::optional<std::vector<int64_t>> known_dims(const Shape& shape);  // the numbers, if all are known
Shape to_shape(std::span<const int64_t> dims);
double element_count(const Shape& shape);  // product of the known dims (an unknown one counts as 1)

// axis in [-rank, rank) to [0, rank). Throws Error outside of it.
int64_t normalize_axis(int64_t axis, int64_t rank);

// What two dims that must be equal say together; throws Error when they are different numbers.
Dim merge_dims(const Dim& a, const Dim& b);
// numpy's broadcasting, symbols kept: batch with 1 is batch, batch with 7 is 7. Throws Error on different
// numbers of which none is 1.
Shape broadcast_shapes(const Shape& a, const Shape& b);
// numpy's matmul: batch axes broadcast, vectors allowed. Throws Error where the inner dims differ.
Shape matmul_shape(const Shape& a, const Shape& b);

// Arithmetic on dims: a number when both are, a symbol where one is neutral (x*1, x+0), unknown otherwise.
Dim add_dims(const Dim& a, const Dim& b);
Dim multiply_dims(const Dim& a, const Dim& b);

// output 0 (and no other) has the type of input 0.
void infer_same_as_input(InferContext& context);
// output 0 has input 0's shape and the type `dtype`.
void infer_same_shape(InferContext& context, DType dtype);
// output 0: all inputs broadcast; element type of input 0, or `dtype`.
void infer_broadcast(InferContext& context);
void infer_broadcast_as(InferContext& context, DType dtype);

}  // namespace mc
