// A recipe's network: built or read, fitted to the data, and tried.
#pragma once

#include <string>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/recipe/recipe.h"

namespace mc {

// Builds the network for samples of `data`, or reads the file and tidies it (imported.h). Throws Error for
// unsupported operators (all of them, with node names), and where network and data do not fit.
Model open_network(const ModelSource& source, const Dataset& data, uint64_t seed);

// Runs the model on one and on three samples of `data`, whose fields are in the order of its inputs, and
// looks at what comes out: one row a sample, and as many columns as there are classes.
void try_network(const Model& model, const Dataset& data, const Normalization& normalization);

// Module options that differ from the defaults by the device alone.
ModuleOptions on_device(at::Device device);

}  // namespace mc
