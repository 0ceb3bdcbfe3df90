// Cutting channels out of a model: what is left is an ordinary, smaller ONNX model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/module/state.h"
#include "mc/prune/channel_groups.h"

namespace mc {

class GraphModule;

struct ChannelCut {
  std::string group;              // name of a ChannelGroup of the model
  std::vector<int64_t> channels;  // what goes: in [0, ChannelGroup::channels), each once, in any order
};

// The model without these channels: weights, biases, statistics, masks, attributes that count channels
// (`group`, `hidden_size`, `num_groups`), constants that hold shapes (of Reshape, Expand, Split, Slice), and
// the types of values. The names of groups and their channels are those of the whole model, whatever the
// order of the cuts. All three throw Error, before anything changes, for an unknown group (with the nearest
// name), a group with an obstacle or named twice, a channel out of range or named twice, and a cut that
// leaves a group no channel.
Model cut_channels(const Model& model, const std::vector<ChannelCut>& cuts);

// The same shapes, with zeros in the maskable members of these channels: where the groups are `exact`, its
// outputs are those of the cut model.
Model mask_channels(const Model& model, const std::vector<ChannelCut>& cuts);

// Cuts a live module in one edit: parameters, masks, statistics and the state of optimizers that are attached
// are sliced, so that training goes on. Names and channels are those of channel_groups(module.graph()).
EditReport cut_channels(GraphModule& module, const std::vector<ChannelCut>& cuts);

}  // namespace mc
