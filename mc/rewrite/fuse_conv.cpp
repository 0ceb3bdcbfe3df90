#include <array>
#include <cmath>

#include "mc/base/error.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr std::array<const char*, 5> kPlainActivations = {"Relu", "Sigmoid", "Tanh", "HardSwish",
                                                          "LeakyRelu"};

// Clip with constant bounds, from inputs (opset 11 on) or attributes.
std::optional<std::pair<double, double>> clip_bounds(const Graph& graph, const Uses& uses, const Node& clip) {
  std::pair<double, double> bounds = {clip.get_float("min", -INFINITY), clip.get_float("max", INFINITY)};
  for (size_t i = 1; i < clip.inputs.size(); ++i) {
    if (clip.inputs[i].empty()) continue;
    const Tensor* bound = constant_value(graph, uses, clip.inputs[i]);
    if (!bound || bound->count() != 1 || bound->dtype != DType::kFloat) return std::nullopt;
    (i == 1 ? bounds.first : bounds.second) = bound->as_doubles()[0];
  }
  if (!std::isfinite(bounds.first) || !std::isfinite(bounds.second)) return std::nullopt;
  return bounds;
}

bool same_padding_before_and_behind(const Node& conv) {
  const std::string pad = conv.get_string("auto_pad", "NOTSET");
  if (pad != "NOTSET" && pad != "VALID") return false;
  const std::vector<int64_t> pads = conv.get_ints("pads");
  const size_t half = pads.size() / 2;
  return std::equal(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(half),
                    pads.begin() + static_cast<std::ptrdiff_t>(half));
}

class ConvFusion {
 public:
  explicit ConvFusion(Model& model) : graph_(model.graph), uses_(model.graph) {}

  int run() {
    dropped_.assign(graph_.nodes.size(), false);
    int fused = 0;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!graph_.nodes[i].is("Conv") || !fusable(graph_.nodes[i])) continue;
      fuse(i);
      ++fused;
    }
    std::vector<Node> kept;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!dropped_[i]) kept.push_back(std::move(graph_.nodes[i]));
    }
    graph_.nodes = std::move(kept);
    return fused;
  }

 private:
  bool fusable(const Node& conv) const {
    const Tensor* weight = constant_value(graph_, uses_, conv.input(1));
    const Tensor* bias = conv.input(2).empty() ? nullptr : constant_value(graph_, uses_, conv.input(2));
    return weight && weight->dtype == DType::kFloat && weight->dims.size() == 4 &&
           (conv.input(2).empty() || bias) && same_padding_before_and_behind(conv);
  }

  // The node that alone reads node i's value, if there is one.
  std::optional<size_t> only_reader(size_t i) const {
    const std::string& value = graph_.nodes[i].outputs[0];
    const auto& readers = uses_.consumers(value);
    if (readers.size() != 1 || uses_.is_output(value) || graph_.nodes[readers[0].node].outputs.size() != 1)
      return std::nullopt;
    return readers[0].node;
  }

  // Whether both values surely have one shape.
  bool same_shape(const std::string& a, const std::string& b) const {
    const auto left = graph_.type_of(a), right = graph_.type_of(b);
    if (!left || !right || !left->shape || !right->shape || left->dtype != right->dtype) return false;
    const Shape &x = *left->shape, &y = *right->shape;
    for (size_t i = 0; i < x.size(); ++i) {
      if (x.size() != y.size() || !(x[i] == y[i]) || !(x[i].known() || !x[i].symbol.empty())) return false;
    }
    return true;
  }

  // Takes node `next` into the convolution, which moves there so that all it reads exists.
  void take_in(size_t& conv, size_t next) {
    Node node = std::move(graph_.nodes[conv]);
    absorb(node, graph_.nodes[next]);
    node.outputs = graph_.nodes[next].outputs;
    graph_.nodes[next] = std::move(node);
    dropped_[conv] = true;
    conv = next;
  }

  void fuse(size_t conv) {
    graph_.nodes[conv].op_type = "FusedConv";
    graph_.nodes[conv].domain = "mc";
    auto next = only_reader(conv);
    if (next && graph_.nodes[*next].is("Add")) {
      const Node& add = graph_.nodes[*next];
      const std::string& own = graph_.nodes[conv].outputs[0];
      const std::string other = add.input(add.input(0) == own ? 1 : 0);
      if (other != own && same_shape(own, other)) {
        graph_.nodes[conv].inputs.resize(3);
        graph_.nodes[conv].inputs.push_back(other);
        take_in(conv, *next);
        next = only_reader(conv);
        if (next && graph_.nodes[*next].is("Relu")) {
          graph_.nodes[conv].set({"activation", std::string("Relu")});
          take_in(conv, *next);
        }
        return;
      }
    }
    if (next) take_in_activation(conv, *next);
  }

  void take_in_activation(size_t& conv, size_t next) {
    const Node& node = graph_.nodes[next];
    Node& fused = graph_.nodes[conv];
    if (node.is("Clip")) {
      const auto bounds = node.input(0) == fused.outputs[0] ? clip_bounds(graph_, uses_, node) : std::nullopt;
      if (!bounds) return;
      fused.set({"scalars",
                 std::vector<float>{static_cast<float>(bounds->first), static_cast<float>(bounds->second)}});
    } else if (node.is("LeakyRelu")) {
      fused.set({"scalars", std::vector<float>{node.get_float("alpha", 0.01F)}});
    } else if (std::ranges::none_of(kPlainActivations, [&](const char* name) { return node.is(name); })) {
      return;
    }
    fused.set({"activation", node.op_type});
    take_in(conv, next);
  }

  Graph& graph_;
  const Uses uses_;
  std::vector<bool> dropped_;
};

}  // namespace

int fuse_conv(Model& model) {
  const int fused = ConvFusion(model).run();
  if (fused > 0 && model.opset("mc") == 0) model.set_opset("mc", 1);
  return fused;
}

}  // namespace mc
