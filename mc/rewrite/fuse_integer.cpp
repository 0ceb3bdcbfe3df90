#include <algorithm>
#include <cmath>
#include <optional>

#include "mc/base/error.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr const char* kMicrosoft = "com.microsoft";

// A value as a DequantizeLinear or QuantizeLinear has it, by the names of its parts.
struct CodeNames {
  std::string codes, scale, zero_point;
  DType type = DType::kUndefined;
  int64_t axis = -1;  // of a scale for each channel; -1: one scale
};

class IntegerFusion {
 public:
  explicit IntegerFusion(Model& model) : model_(model), graph_(model.graph), uses_(model.graph) {}

  int run() {
    int fused = 0;
    for (Node& node : graph_.nodes) {
      if (node.is("QuantizeLinear")) fused += fuse_before(node);
    }
    for (Node& node : graph_.nodes) fused += fuse_to_float(node);
    if (fused > 0 && model_.opset(kMicrosoft) == 0) model_.set_opset(kMicrosoft, 1);
    if (fused > 0) graph_.drop_unused();
    return fused;
  }

 private:
  DType dtype(const std::string& value) const {
    const auto type = graph_.type_of(value);
    return type && type->is_tensor() ? type->dtype : DType::kUndefined;
  }

  static bool eight_bits(DType type) { return type == DType::kUInt8 || type == DType::kInt8; }

  const Node* maker(const std::string& value) const {
    const auto index = uses_.producer(value);
    return index ? &graph_.nodes[*index] : nullptr;
  }

  bool read_once(const std::string& value) const {
    return uses_.consumers(value).size() == 1 && !uses_.is_output(value);
  }

  std::optional<CodeNames> names(const Node& node, const std::string& codes) const {
    if (node.inputs.size() != 3 || node.get_int("block_size", 0) != 0) return {};
    const Tensor* scale = constant_value(graph_, uses_, node.inputs[1]);
    const Tensor* zero = constant_value(graph_, uses_, node.inputs[2]);
    if (!scale || !zero || scale->dtype != DType::kFloat || zero->count() != scale->count()) return {};
    return CodeNames{codes, node.inputs[1], node.inputs[2], dtype(codes),
                     scale->count() == 1 ? -1 : node.get_int("axis", 1)};
  }

  std::optional<CodeNames> codes_of(const std::string& value) const {
    const Node* node = maker(value);
    if (!node || !node->is("DequantizeLinear")) return {};
    return names(*node, node->inputs[0]);
  }

  // 8 bits and one scale.
  std::optional<CodeNames> activation(const std::string& value) const {
    auto found = codes_of(value);
    return found && eight_bits(found->type) && found->axis < 0 ? found : std::nullopt;
  }

  // 8 bits, constant, with one scale or one for each slice of `axis`.
  std::optional<CodeNames> weight(const std::string& value, int64_t axis) const {
    auto found = codes_of(value);
    const Tensor* codes = found ? constant_value(graph_, uses_, found->codes) : nullptr;
    if (!codes || !eight_bits(codes->dtype)) return {};
    if (found->axis < 0 && found->axis != -1) return {};
    if (axis < 0) axis += static_cast<int64_t>(codes->dims.size());
    return found->axis == -1 || found->axis == axis ? found : std::nullopt;
  }

  // The bias' codes, empty where there is none; nullopt where it is no integer one.
  std::optional<std::string> bias(const std::string& value) const {
    if (value.empty()) return "";
    const auto found = codes_of(value);
    if (!found || found->type != DType::kInt32 || !constant_value(graph_, uses_, found->codes)) return {};
    return found->codes;
  }

  // Whether saturation does already what this Relu or Clip does.
  bool superfluous(const Node& node, const CodeNames& to) const {
    const double zero = constant_value(graph_, uses_, to.zero_point)->as_doubles()[0];
    const double scale = constant_value(graph_, uses_, to.scale)->as_doubles()[0];
    const double low = to.type == DType::kUInt8 ? 0 : -128;
    if (node.is("Relu")) return zero == low;
    if (!node.is("Clip")) return false;
    double bounds[] = {node.get_float("min", -INFINITY), node.get_float("max", INFINITY)};
    for (size_t i = 1; i < std::min<size_t>(3, node.inputs.size()); ++i) {
      if (node.inputs[i].empty()) continue;
      const Tensor* bound = constant_value(graph_, uses_, node.inputs[i]);
      if (!bound || bound->count() != 1) return false;
      bounds[i - 1] = bound->as_doubles()[0];
    }
    return std::nearbyint(bounds[0] / scale) + zero <= low &&
           std::nearbyint(bounds[1] / scale) + zero >= low + 255;
  }

  bool fuse_before(Node& quantize) {
    const auto to = names(quantize, quantize.outputs[0]);
    if (!to || !eight_bits(to->type) || to->axis >= 0 || !read_once(quantize.inputs[0])) return false;
    const Node* node = maker(quantize.inputs[0]);
    const Node* clip = nullptr;
    if (node && superfluous(*node, *to) && read_once(node->inputs[0])) {
      clip = node;
      node = maker(clip->inputs[0]);
    }
    if (!node || !node->domain.empty()) return false;
    std::optional<Node> fused = integer_form(*node, *to);
    if (!fused) return false;
    fused->name = quantize.name;
    fused->outputs = quantize.outputs;
    absorb(*fused, *node);
    if (clip) absorb(*fused, *clip);
    quantize = std::move(*fused);
    return true;
  }

  static Node make(const char* op, const char* domain, std::vector<std::string> inputs,
                   std::vector<Attribute> attributes) {
    Node node;
    node.op_type = op;
    node.domain = domain;
    node.inputs = std::move(inputs);
    node.attributes = std::move(attributes);
    return node;
  }

  std::optional<Node> integer_form(const Node& node, const CodeNames& to) const {
    if (node.is("Conv")) return conv(node, to);
    if (node.is("MatMul")) return matmul(node, &to);
    if (node.is("Gemm")) return gemm(node, &to);
    if (node.is("Add") || node.is("Mul")) return binary(node, to);
    if (node.is("Concat")) return concat(node, to);
    if (node.is("AveragePool") || node.is("GlobalAveragePool")) return pool(node, to);
    return {};
  }

  std::optional<Node> conv(const Node& node, const CodeNames& to) const {
    const auto x = activation(node.input(0)), w = weight(node.input(1), 0);
    const auto b = bias(node.input(2));
    if (!x || !w || !b) return {};
    std::vector<std::string> inputs = {x->codes, x->scale,      x->zero_point, w->codes,
                                       w->scale, w->zero_point, to.scale,      to.zero_point};
    if (!b->empty()) inputs.push_back(*b);
    return make("QLinearConv", "", std::move(inputs), node.attributes);
  }

  std::optional<Node> matmul(const Node& node, const CodeNames* to) const {
    const auto a = activation(node.input(0));
    auto b = activation(node.input(1));
    if (!b) b = weight(node.input(1), -1);
    if (!a || !b) return {};
    if (!to) {
      return make("MatMulIntegerToFloat", kMicrosoft,
                  {a->codes, b->codes, a->scale, b->scale, a->zero_point, b->zero_point}, {});
    }
    return make(
        "QLinearMatMul", "",
        {a->codes, a->scale, a->zero_point, b->codes, b->scale, b->zero_point, to->scale, to->zero_point},
        {});
  }

  std::optional<Node> gemm(const Node& node, const CodeNames* to) const {
    const auto a = activation(node.input(0));
    const auto b = weight(node.input(1), node.get_int("transB", 0) ? 0 : 1);
    const auto c = bias(node.input(2));
    if (!a || !b || !c || (!c->empty() && node.get_float("beta", 1) != 1)) return {};
    std::vector<std::string> inputs = {a->codes,      a->scale, a->zero_point, b->codes, b->scale,
                                       b->zero_point, *c};
    if (to) inputs.insert(inputs.end(), {to->scale, to->zero_point});
    std::vector<Attribute> attributes = node.attributes;
    std::erase_if(attributes, [](const Attribute& attribute) { return attribute.name == "beta"; });
    return make("QGemm", kMicrosoft, std::move(inputs), std::move(attributes));
  }

  std::optional<Node> binary(const Node& node, const CodeNames& to) const {
    const auto a = activation(node.input(0)), b = activation(node.input(1));
    if (!a || !b || a->type != to.type || b->type != to.type) return {};
    return make(
        node.op_type == "Add" ? "QLinearAdd" : "QLinearMul", kMicrosoft,
        {a->codes, a->scale, a->zero_point, b->codes, b->scale, b->zero_point, to.scale, to.zero_point}, {});
  }

  std::optional<Node> concat(const Node& node, const CodeNames& to) const {
    std::vector<std::string> inputs = {to.scale, to.zero_point};
    for (const std::string& input : node.inputs) {
      const auto part = activation(input);
      if (!part || part->type != to.type) return {};
      inputs.insert(inputs.end(), {part->codes, part->scale, part->zero_point});
    }
    return make("QLinearConcat", kMicrosoft, std::move(inputs), node.attributes);
  }

  std::optional<Node> pool(const Node& node, const CodeNames& to) const {
    const auto x = activation(node.input(0));
    if (!x || x->type != to.type) return {};
    return make(node.op_type == "AveragePool" ? "QLinearAveragePool" : "QLinearGlobalAveragePool", kMicrosoft,
                {x->codes, x->scale, x->zero_point, to.scale, to.zero_point}, node.attributes);
  }

  bool fuse_to_float(Node& node) {
    if (!node.is("Gemm") && !node.is("MatMul")) return false;
    // What a quantizer follows was fused with it or cannot be.
    const auto& readers = uses_.consumers(node.outputs[0]);
    if (readers.empty() && !uses_.is_output(node.outputs[0])) return false;
    std::optional<Node> fused = node.is("Gemm") ? gemm(node, nullptr) : matmul(node, nullptr);
    if (!fused) return false;
    fused->name = node.name;
    fused->outputs = node.outputs;
    absorb(*fused, node);
    node = std::move(*fused);
    return true;
  }

  Model& model_;
  Graph& graph_;
  const Uses uses_;
};

}  // namespace

int fuse_integer(Model& model) {
  return IntegerFusion(model).run();
}

}  // namespace mc
