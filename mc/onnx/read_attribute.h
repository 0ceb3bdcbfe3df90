// AttributeProto -> Attribute.
#pragma once

#include <string_view>

#include "mc/onnx/read_tensor.h"

namespace mc {

// `depth` is that of the graph around it.
Attribute read_attribute(std::string_view message, TensorSource& source, int depth);

}  // namespace mc
