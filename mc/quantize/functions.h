// The operators of our domain as ONNX model-local functions, so that a half-trained model is a valid
// ONNX file that other tools run as it stands (in inference).
#pragma once

#include "mc/graph/graph.h"

namespace mc {

// Adds the functions that the model's nodes of domain "mc" call, and the import of that domain; raises
// the opset to 13 where it is older.
void add_qat_functions(Model& model);

// Removes functions and import of the domain again.
void remove_qat_functions(Model& model);

}  // namespace mc
