// Scales that were learned become scales that stay.
#pragma once

#include "mc/graph/graph.h"

namespace mc {

// Turns LearnedFakeQuantize nodes into FakeQuantize nodes that compute the same. Throws Error where a scale
// was never set from data.
void settle_learned(Model& model);

}  // namespace mc
