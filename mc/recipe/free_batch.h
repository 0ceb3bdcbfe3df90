// Exporters often write the batch of their example input into the file.
#pragma once

#include <cstdint>

#include "mc/graph/graph.h"

namespace mc {

// Makes the first axis of every input free where all inputs fix it to one size, and follows it through
// outputs and through constant shapes of Reshape nodes that begin with it. Other nodes may still insist on
// it; running the model with another batch shows that. Returns the size that was fixed, or -1 where nothing
// was.
int64_t free_batch(Model& model);

}  // namespace mc
