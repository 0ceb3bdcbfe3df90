// Where the factors that multiply a value's channels can go instead: back over operators that positive
// factors pass through, f(s x) = s f(x), to constants that make the channels. The functions of the graph's
// outputs stay the same when a reader of the value divides by the factors again.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"

namespace mc {

// Which axis of a value counts channels.
enum class ChannelAxis {
  kSecond,
  kLast,
  kMatrix,  // of two axes: the second is the last
};

struct FactorPath {
  struct Constant {
    size_t node = 0;
    size_t input = 0;
  };
  size_t source = 0;                // node that makes the channels
  bool linear = false;              // the source is a LinearLayer, whose weight takes factors too
  std::vector<Constant> constants;  // one element a channel each
  std::vector<std::string> clips;   // outputs of Clip nodes on the way whose upper bound has to go
  int64_t channels = 0;             // of the source
  int64_t repeat = 1;               // elements of the value (flattened) for each of them
};

// From the value, which has `features` channels, back. Every value on the way has one reader; that of the
// first is the caller's affair. Passed are Relu, LeakyRelu, PRelu, Clip from 0 up without an upper bound (or
// one that `open_clips` names by its output), pooling, means over space, Flatten and its like, the addition
// of a constant, and Mul, into either factor. Sources are linear layers, multiplication by a constant, and
// the scale (and shift) of normalizations.
std::optional<FactorPath> find_factor_path(const Graph& graph, const Uses& uses, const std::string& value,
                                           ChannelAxis axis, int64_t features,
                                           const std::set<std::string>& open_clips = {});

// Multiplies the constants of the path by a factor (double, above 0) for each channel of its source, and
// makes a Relu of the path's clips. Structure and `uses` stay valid.
void apply_factors(Graph& graph, const Uses& uses, const FactorPath& path, const at::Tensor& factor);

// The layout of what a layer reads.
ChannelAxis input_axis(const Graph& graph, const Node& layer);

// The upper bound of a Clip from 0 up to a constant; infinity where there is none, nullopt for other nodes.
std::optional<double> clip_from_zero(const Graph& graph, const Uses& uses, const Node& node);

}  // namespace mc
