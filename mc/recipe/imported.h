// Models as exporters write them, made ready to train.
#pragma once

#include <cstdint>

#include "mc/graph/graph.h"

namespace mc {

// Computes what is known beforehand and clutters the graph (shapes of weights, casts to a known type, biases
// of constant zeros), and frees the batch: exporters often write that of their example input into the file.
// Where all inputs fix their first axis to one size it becomes free, and so it does in outputs and in the
// constant shapes of Reshape nodes that begin with it. Weights that were pruned before get their masks
// (take_weight_masks). Other nodes may still insist on it; running the model
// with another batch shows that. Returns the size that was fixed, or -1 where nothing was.
int64_t tidy_import(Model& model);

}  // namespace mc
