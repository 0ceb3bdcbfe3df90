// Moves a model between versions of ONNX's own operator set (ai.onnx), one version at a time: at each step
// the nodes whose operator changed there take the new form, and those whose old form still means the same
// are left alone. convert_opset_table.cpp lists every operator, when it changed, and which rule moves it up
// and down; the rules are ONNX's operator specifications, "Operators.md" and "Changelog.md" of ONNX 1.23.
#pragma once

#include <cstdint>

#include "mc/graph/graph.h"

namespace mc {

inline constexpr int64_t kOldestConvertible = 7;
inline constexpr int64_t kNewestConvertible = 28;

// Brings the model, its subgraphs and its functions (from the versions that they import) to opset `target`
// of ai.onnx, and raises ir_version to what that opset needs. Imports of other domains, and nodes in them,
// stay. New constants become Constant nodes; constants that became attributes go when nothing else reads
// them. Returns how many nodes were rewritten.
//
// Throws Error that lists, with names, every node that has no form in `target` (or none that its unknown
// shapes, types or computed inputs allow); the model is unchanged then. Throws for targets and models outside
// of kOldestConvertible to kNewestConvertible.
int convert_opset(Model& model, int64_t target);

}  // namespace mc
