// Which channels of an ONNX graph stand or fall together: the dependency graph of structured pruning (the
// idea of DepGraph, Fang et al. 2023, arXiv 2301.12900, here between single indices of axes).
//
// Every index of every axis of every value is an element. What an operator does to its axes
// (channel_rules.h) makes elements the same channel: a convolution's output channel is an index of its
// weight's axis 0 and of its bias, a residual sum joins the channels of its terms, a concatenation shifts
// them, a reshape makes one channel a run of columns. A class of elements is one channel; classes that have
// elements on the same axes of the same initializers, as many each, are the channels of one group. What an
// operator needs whole (the graph's inputs and outputs, what a softmax normalizes over, whatever has no rule)
// is fixed, and so is every channel that it is joined to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

// The part of an initializer that a group's channels own.
struct ChannelMember {
  std::string initializer;
  int64_t axis = 0;
  // Of channel c, ascending: the indices along `axis` that go with it; the same number for every channel.
  std::vector<std::vector<int64_t>> positions;
  bool produces = false;  // these rows make the channels: a layer's outputs, an embedding's columns
  bool consumes = false;  // these columns read them
  // Zero here silences the channel: weights, biases, scales and shifts; not running statistics or divisors.
  bool maskable = false;
};

struct ChannelGroup {
  // The first initializer (in the order of the nodes) that makes the channels; "#2", "#3", ... behind it
  // where it makes the channels of several groups. The same model gives the same names.
  std::string name;
  int64_t channels = 0;
  std::vector<ChannelMember> members;  // initializers in the order of their first use
  std::vector<size_t> producers;       // the members with `produces`: importance is read here
  // The model without a channel equals the model with zeros there. False where an operator normalizes over
  // the channels (LayerNormalization, a mean) or multiplies two values over them: `inexact` says which.
  bool exact = true;
  std::string inexact;
  std::string obstacle;  // why no channel can go; empty: each can, but not all
};

// The groups of the model, first those that can be cut, each kind in the order of the nodes. Constants that
// stand in Constant nodes are cut with a group too, but are no members. Shapes are inferred (on a copy).
// Throws Error as infer_shapes does.
std::vector<ChannelGroup> channel_groups(const Model& model);

}  // namespace mc
