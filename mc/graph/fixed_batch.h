// The batch that a model insists on: the first dimension of what it takes.
#pragma once

#include <cstdint>

#include "mc/graph/graph.h"

namespace mc {

// The first dimension of a tensor's type where it is a number, else -1.
int64_t fixed_batch(const Type& type);

// That of the first input that has one; -1 where none has.
int64_t fixed_batch(const Graph& graph);

}  // namespace mc
