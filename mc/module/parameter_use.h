// What kind of parameter an initializer of a graph is, by the operator that reads it. Internal.
#pragma once

#include <string>

#include "mc/graph/graph.h"
#include "mc/module/parameter_view.h"

namespace mc {

struct ParameterUse {
  ParameterKind kind = ParameterKind::kOther;
  int64_t channel_axis = 0;  // of the initializer itself, seen back through Transposes
};

// Follows the initializer through views to the first reader that is no view.
ParameterUse parameter_use(const Model& model, const std::string& initializer);

}  // namespace mc
