// Groups of channels and residual blocks as `inspect` shows them. Internal.
#pragma once

#include <vector>

#include "mc/recipe/inspect.h"

namespace mc {

// What each channel of a group would save: parameters exactly, MACs of layers whose weight loses rows or
// columns in proportion to the weight (`costs` are of the model's nodes; may be empty). Throws Error as
// channel_groups does.
std::vector<InspectedGroup> inspect_groups(const Model& model, const std::vector<NodeCost>& costs);

// Throws Error as residual_blocks does.
std::vector<InspectedBlock> inspect_blocks(const Model& model, const std::vector<NodeCost>& costs);

}  // namespace mc
