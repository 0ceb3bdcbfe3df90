// How the first input of a model is prepared, kept in the model's metadata so that whoever gets the file
// can feed it: key "mc.preprocess", JSON {"input", "field", "layout", "mean", "std"}.
#pragma once

#include <string>

#include "mc/data/transform.h"
#include "mc/graph/graph.h"

namespace mc {

inline constexpr const char* kPreprocess = "mc.preprocess";

void set_preprocess(Model& model, const std::string& field, const Normalization& normalization);

// Nothing to do where the model says nothing. Throws Error when it says something that cannot be read.
Normalization preprocess_of(const Model& model);

}  // namespace mc
