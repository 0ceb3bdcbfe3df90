// Constants in the text form.
#pragma once

#include <string>

#include "mc/graph/graph.h"

namespace mc {

// "float[2,3] name": the type with the dims, and the name if there is one.
std::string tensor_head(const Tensor& tensor, const std::string& name);

// "{1, 2}", or the size and a digest in ONNX's form of external data: ["bytes": "96", "fnv1a": "..."].
std::string tensor_data(const Tensor& tensor, bool full);

// A float or double as the shortest text that reads back the same; NaNs other than the usual ones show
// their bits.
std::string number_text(float value);
std::string number_text(double value);

}  // namespace mc
