#include "mc/quantize/factor_path.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include <ATen/ATen.h>

#include "mc/calibration/linear_layer.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr std::array<std::string_view, 5> kHomogeneous = {"Relu", "LeakyRelu", "PRelu", "Identity",
                                                          "Dropout"};
constexpr std::array<std::string_view, 4> kChannelPools = {"MaxPool", "AveragePool", "GlobalMaxPool",
                                                           "GlobalAveragePool"};

// Inputs of normalizations with one element a channel; the shift, which comes second, may be left out.
struct NormPorts {
  std::string_view op_type;
  std::string_view domain;
  bool last_axis;
  size_t scale;
  size_t shift;  // 0: none
};
constexpr std::array<NormPorts, 7> kNorms = {{
    {"LayerNormalization", "", true, 1, 2},
    {"RMSNormalization", "", true, 1, 0},
    {"SimplifiedLayerNormalization", "", true, 1, 0},
    {"SkipLayerNormalization", "com.microsoft", true, 2, 3},
    {"SkipSimplifiedLayerNormalization", "com.microsoft", true, 2, 0},
    {"BatchNormalization", "", false, 1, 2},
    {"InstanceNormalization", "", false, 1, 2},
}};

template <size_t N>
bool is_one_of(const Node& node, const std::array<std::string_view, N>& types) {
  return node.domain.empty() && std::ranges::find(types, node.op_type) != types.end();
}

class PathFinder {
 public:
  PathFinder(const Graph& graph, const Uses& uses, const std::set<std::string>& open_clips)
      : graph_(graph), uses_(uses), open_clips_(open_clips) {}

  // A place on the way: a value, and what is known of the channels there.
  struct Place {
    std::string value;
    ChannelAxis axis = ChannelAxis::kLast;
    int64_t features = 0;
    bool flattened = false;  // a channel of the source may have several features
    int products = 0;        // multiplications passed
  };

  std::optional<FactorPath> from(Place place, FactorPath path = {}) const {
    while (true) {
      const auto index = uses_.producer(place.value);
      if (!index || graph_.nodes[*index].outputs[0] != place.value) return std::nullopt;
      const Node& node = graph_.nodes[*index];
      path.source = *index;
      if (ends(node, place, path)) return path;
      if (node.is("Mul")) return through_product(node, place, path);
      if (!goes_through(node, *index, place, path) || !has_one_reader(place.value)) return std::nullopt;
    }
  }

 private:
  bool has_one_reader(const std::string& value) const {
    return uses_.consumers(value).size() == 1 && !uses_.is_output(value);
  }

  const Tensor* constant(const Node& node, size_t input) const {
    const Tensor* value = constant_value(graph_, uses_, node.input(input));
    return value && dtype_is_float(value->dtype) ? value : nullptr;
  }

  std::optional<size_t> rank(const std::string& value) const {
    const auto type = graph_.type_of(value);
    if (!type || !type->shape) return std::nullopt;
    return type->shape->size();
  }

  bool ends(const Node& node, const Place& place, FactorPath& path) const {
    return ends_in_layer(node, place, path) || ends_in_norm(node, place, path) ||
           ends_in_product(node, place, path);
  }

  bool ends_in_layer(const Node& node, const Place& place, FactorPath& path) const {
    const auto layer = linear_layer(graph_, uses_, node);
    if (!layer) return false;
    const bool fits = layer->convolves()  ? place.axis == ChannelAxis::kSecond
                      : node.is("MatMul") ? place.axis != ChannelAxis::kSecond
                                          : true;
    const int64_t channels = layer->outputs();
    if (!fits || place.features % channels != 0) return false;
    if (place.features != channels && !place.flattened) return false;
    if (!node.input(2).empty()) {
      const Tensor* bias = constant(node, 2);
      if (!bias || bias->dims.empty() || bias->dims.back() != channels || bias->count() != channels)
        return false;
      path.constants.push_back({path.source, 2});
    }
    path.linear = true;
    path.channels = channels;
    path.repeat = place.features / channels;
    return true;
  }

  bool ends_in_norm(const Node& node, const Place& place, FactorPath& path) const {
    for (const NormPorts& norm : kNorms) {
      if (node.op_type != norm.op_type || node.domain != norm.domain) continue;
      if (place.axis == (norm.last_axis ? ChannelAxis::kSecond : ChannelAxis::kLast)) return false;
      const bool shifts = norm.shift > 0 && !node.input(norm.shift).empty();
      if (!is_vector(node, norm.scale, place.features)) return false;
      if (shifts && !is_vector(node, norm.shift, place.features)) return false;
      path.constants.push_back({path.source, norm.scale});
      if (shifts) path.constants.push_back({path.source, norm.shift});
      path.channels = place.features;
      return true;
    }
    return false;
  }

  bool is_vector(const Node& node, size_t input, int64_t channels) const {
    const Tensor* value = constant(node, input);
    return value && value->dims == std::vector<int64_t>{channels};
  }

  bool ends_in_product(const Node& node, const Place& place, FactorPath& path) const {
    if (!node.is("Mul")) return false;
    for (size_t i = 0; i < 2; ++i) {
      if (!holds_channels(node, i, place)) continue;
      path.constants.push_back({path.source, i});
      path.channels = place.features;
      return true;
    }
    return false;
  }

  // Whether the constant has one element for each channel of the value, along its channel axis.
  bool holds_channels(const Node& node, size_t input, const Place& place) const {
    const Tensor* value = constant(node, input);
    if (!value || value->count() != place.features || value->dims.empty()) return false;
    size_t behind = 0;  // axes behind the channels
    if (place.axis == ChannelAxis::kSecond) {
      const auto all = rank(place.value);
      if (!all || *all < 2) return false;
      behind = *all - 2;
    }
    const size_t own = value->dims.size();
    return own > behind && value->dims[own - 1 - behind] == place.features;
  }

  bool goes_through(const Node& node, size_t index, Place& place, FactorPath& path) const {
    if (node.is("Add")) return through_sum(node, index, place, path);
    const bool clip = node.is("Clip");
    if (clip && !through_clip(node, path)) return false;
    if (!clip && !is_one_of(node, kHomogeneous) && !through_space(node, place)) return false;
    place.value = node.inputs[0];
    return true;
  }

  bool through_clip(const Node& node, FactorPath& path) const {
    const auto bound = clip_from_zero(graph_, uses_, node);
    if (!bound) return false;
    if (*bound >= std::numeric_limits<float>::max()) return true;
    path.clips.push_back(node.outputs[0]);
    return open_clips_.contains(node.outputs[0]);
  }

  bool through_sum(const Node& node, size_t index, Place& place, FactorPath& path) const {
    for (size_t i = 0; i < 2; ++i) {
      if (!holds_channels(node, i, place)) continue;
      path.constants.push_back({index, i});
      place.value = node.inputs[1 - i];
      return true;
    }
    return false;
  }

  // Pooling keeps the layout; what drops or joins the axes of space leaves a matrix.
  bool through_space(const Node& node, Place& place) const {
    if (is_one_of(node, kChannelPools)) return place.axis == ChannelAxis::kSecond;
    if (node.is("ReduceMean") || node.is("Squeeze")) {
      const bool keeps_axes = node.is("ReduceMean") && node.get_int("keepdims", 1) != 0;
      if (!over_space(node) || place.axis != (keeps_axes ? ChannelAxis::kSecond : ChannelAxis::kMatrix)) {
        return false;
      }
      place.axis = ChannelAxis::kSecond;
      return true;
    }
    if (place.axis != ChannelAxis::kMatrix || !flattens(node)) return false;
    place.axis = ChannelAxis::kSecond;
    place.flattened = true;
    return true;
  }

  // Whether the axes, an attribute or a constant input, are known, and all behind the channels.
  bool over_space(const Node& node) const {
    std::vector<int64_t> axes = node.get_ints("axes");
    if (const Tensor* given = constant_value(graph_, uses_, node.input(1))) {
      if (given->dtype != DType::kInt64) return false;
      for (const double axis : given->as_doubles()) axes.push_back(static_cast<int64_t>(axis));
    }
    const auto all = rank(node.inputs[0]);
    if (axes.empty() || !all) return false;
    const auto size = static_cast<int64_t>(*all);
    return std::ranges::all_of(axes, [&](int64_t axis) { return (axis < 0 ? axis + size : axis) >= 2; });
  }

  bool flattens(const Node& node) const {
    if (node.is("Flatten")) return node.get_int("axis", 1) == 1;
    if (!node.is("Reshape")) return false;
    const auto from = graph_.type_of(node.inputs[0]), to = graph_.type_of(node.outputs[0]);
    if (!from || !from->shape || from->shape->size() < 2 || !to || !to->shape || to->shape->size() != 2) {
      return false;
    }
    int64_t elements = 1;
    for (size_t i = 1; i < from->shape->size(); ++i) {
      const Dim& dim = (*from->shape)[i];
      if (!dim.known()) return false;
      elements *= dim.value;
    }
    return (*to->shape)[1].known() && (*to->shape)[1].value == elements;
  }

  // Of two activations, the one whose channels are made by constants takes the factors.
  std::optional<FactorPath> through_product(const Node& node, const Place& place,
                                            const FactorPath& path) const {
    constexpr int kMostProducts = 8;
    if (place.products == kMostProducts || node.inputs[0] == node.inputs[1]) return std::nullopt;
    for (size_t i = 0; i < 2; ++i) {
      const auto own = rank(node.inputs[i]), all = rank(place.value);
      if (!own || own != all || !has_one_reader(node.inputs[i])) continue;
      Place factor = place;
      factor.value = node.inputs[i];
      ++factor.products;
      if (auto found = from(factor, path)) return found;
    }
    return std::nullopt;
  }

  const Graph& graph_;
  const Uses& uses_;
  const std::set<std::string>& open_clips_;
};

}  // namespace

ChannelAxis input_axis(const Graph& graph, const Node& layer) {
  if (layer.is("Gemm")) return ChannelAxis::kMatrix;
  if (!layer.is("MatMul")) return ChannelAxis::kSecond;
  const auto type = graph.type_of(layer.inputs[0]);
  return type && type->shape && type->shape->size() == 2 ? ChannelAxis::kMatrix : ChannelAxis::kLast;
}

std::optional<double> clip_from_zero(const Graph& graph, const Uses& uses, const Node& node) {
  if (!node.is("Clip")) return std::nullopt;
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::array<double, 2> bounds = {node.get_float("min", -std::numeric_limits<float>::infinity()),
                                  node.get_float("max", std::numeric_limits<float>::infinity())};
  for (size_t i = 1; i < node.inputs.size() && i < 3; ++i) {
    if (node.inputs[i].empty()) continue;
    const Tensor* bound = constant_value(graph, uses, node.inputs[i]);
    if (!bound || bound->count() != 1) return std::nullopt;
    bounds[i - 1] = bound->as_doubles()[0];
  }
  if (bounds[0] != 0 || !(bounds[1] > 0)) return std::nullopt;
  return bounds[1] >= std::numeric_limits<float>::max() ? kNone : bounds[1];
}

std::optional<FactorPath> find_factor_path(const Graph& graph, const Uses& uses, const std::string& value,
                                           ChannelAxis axis, int64_t features,
                                           const std::set<std::string>& open_clips) {
  return PathFinder(graph, uses, open_clips).from({value, axis, features});
}

void apply_factors(Graph& graph, const Uses& uses, const FactorPath& path, const at::Tensor& factor) {
  if (path.linear) scale_weight_outputs(graph, uses, graph.nodes[path.source], factor);
  for (const FactorPath::Constant& constant : path.constants) {
    scale_vector(graph, uses, graph.nodes[constant.node], constant.input, factor);
  }
  for (const std::string& clip : path.clips) {
    Node& node = graph.nodes[*uses.producer(clip)];
    node.op_type = "Relu";
    node.inputs.resize(1);
    node.erase("min");
    node.erase("max");
  }
}

}  // namespace mc
