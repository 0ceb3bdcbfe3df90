// A piece of a model as a model of its own.
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

// What computes `outputs` from `inputs`: those become the graph's inputs, in this order and without declared
// shapes; `types` are their element types. Where left out, inputs of the model keep theirs and the others are
// float. Inputs of the model itself that are needed beyond them are an Error, as is a name that the graph
// does not have.
Model extract(const Model& model, const std::vector<std::string>& inputs,
              const std::vector<std::string>& outputs, const std::vector<DType>& types = {});

// What computes `outputs` from the model's own inputs, all of which stay.
Model extract_prefix(const Model& model, const std::vector<std::string>& outputs);

// Sets for every FakeQuantize of the model whether it quantizes; none observes.
void set_quantizing(Model& model, bool activations, bool weights);

}  // namespace mc
