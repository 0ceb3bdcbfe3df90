// Copies of a model that show what it computes inside: values as further outputs, and the model cut into
// layers that are fed separately.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mc/deploy/engine.h"
#include "mc/graph/graph.h"

namespace mc {

// The model with exactly these values as outputs; what reaches none of them is gone. Needs inferred types.
Model with_outputs(Model model, const std::vector<std::string>& outputs);

// The same, where in addition every reader of a value of `cuts` reads the input that fed_name() gives
// instead: each layer between cuts computes from what it is fed, whatever the layers before it gave. Inputs
// that nothing reads any more are gone.
Model cut_into_layers(Model model, const std::set<std::string>& cuts,
                      const std::vector<std::string>& outputs);
std::string fed_name(const std::string& value);

// Bytes that the values take at the model's inferred shapes; dims not known count as 1.
int64_t bytes_of(const Graph& graph, const std::string& value);

// Loads a model that is in no file, by way of a temporary one.
std::unique_ptr<Session> load_model(Engine& engine, const Model& model, const EngineOptions& options);

}  // namespace mc
