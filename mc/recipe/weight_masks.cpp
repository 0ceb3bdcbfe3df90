#include "mc/recipe/weight_masks.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "mc/module/compiled.h"
#include "mc/module/parameter_use.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

constexpr std::string_view kOriginal = "_orig";

struct Product {
  size_t node = 0;
  std::string weight, mask;  // initializers
};

// Exporters may cast a constant to the type that it has.
const Initializer* constant_behind(const Graph& graph, const Uses& uses, std::string value) {
  for (int depth = 0; depth < 4; ++depth) {
    if (const Initializer* found = graph.initializer(value)) return found;
    const std::optional<size_t> producer = uses.producer(value);
    if (!producer) return nullptr;
    const Node& node = graph.nodes[*producer];
    if (!node.is("Cast") && !node.is("Identity")) return nullptr;
    value = node.input(0);
  }
  return nullptr;
}

bool is_mask(const Tensor& tensor) {
  const at::Tensor values = to_aten(tensor, false);
  return values.eq(0).logical_or_(values.eq(1)).all().item<bool>();
}

bool is_float(DType dtype) {
  return dtype == DType::kFloat || dtype == DType::kDouble || dtype == DType::kFloat16 ||
         dtype == DType::kBFloat16;
}

bool can_be_mask(DType dtype) {
  return is_float(dtype) || dtype == DType::kBool || dtype == DType::kUInt8;
}

bool trains(ParameterKind kind) {
  return kind != ParameterKind::kOther && kind != ParameterKind::kNorm;
}

class MaskTaker {
 public:
  explicit MaskTaker(Model& model) : model_(model), graph_(model.graph), uses_(model.graph) {
    for (const ValueInfo& input : graph_.inputs) fed_.insert(input.name);
  }

  int run() {
    std::vector<Product> products;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (std::optional<Product> found = product_at(i)) products.push_back(std::move(*found));
    }
    int taken = 0;
    for (const Product& product : products) taken += take(product) ? 1 : 0;
    for (auto product = products.rbegin(); product != products.rend(); ++product)
      graph_.nodes.erase(graph_.nodes.begin() + static_cast<std::ptrdiff_t>(product->node));
    return taken;
  }

 private:
  std::optional<Product> product_at(size_t index) const {
    const Node& node = graph_.nodes[index];
    if (!node.is("Mul") || node.inputs.size() != 2 || uses_.is_output(node.outputs[0])) return {};
    const Initializer* first = constant_behind(graph_, uses_, node.inputs[0]);
    const Initializer* second = constant_behind(graph_, uses_, node.inputs[1]);
    if (!first || !second || first == second || first->sparse || second->sparse) return {};
    if (fed_.contains(first->name) || fed_.contains(second->name)) return {};
    if (first->tensor.dims != second->tensor.dims || first->tensor.dims.empty()) return {};
    if (!can_be_mask(first->tensor.dtype) || !can_be_mask(second->tensor.dtype)) return {};
    const bool first_masks = is_mask(first->tensor), second_masks = is_mask(second->tensor);
    if (!first_masks && !second_masks) return {};
    // A weight that happens to hold nothing but zeros and ones is told by its name.
    if (first_masks && (!second_masks || second->name.ends_with(kOriginal))) std::swap(first, second);
    if (!is_float(first->tensor.dtype)) return {};
    return Product{index, first->name, second->name};
  }

  bool take(const Product& product) {
    const std::string output = graph_.nodes[product.node].outputs[0];
    const auto known = made_.find({product.weight, product.mask});
    if (known != made_.end()) {
      graph_.replace_uses(output, known->second);
      return false;
    }
    const at::Tensor weight = to_aten(graph_.initializer(product.weight)->tensor, false);
    const at::Tensor mask = to_aten(graph_.initializer(product.mask)->tensor, false).ne(0);
    const std::string plain = product.weight.ends_with(kOriginal)
                                  ? product.weight.substr(0, product.weight.size() - kOriginal.size())
                                  : output + ".weight";
    const std::string name = graph_.unique_value_name(plain);
    // Not multiplied: NaN times 0 would be no zero.
    graph_.add_initializer(name, to_constant(weight.masked_fill(mask.logical_not(), 0)));
    graph_.replace_uses(output, name);
    made_[{product.weight, product.mask}] = name;
    if (mask.all().item<bool>() || !trains(parameter_use(model_, name).kind)) return false;
    Tensor kept = to_constant(mask);
    set_metadata(kept.metadata, kMaskOf, name);
    graph_.add_initializer(graph_.unique_value_name(mask_name(name)), std::move(kept));
    return true;
  }

  Model& model_;
  Graph& graph_;
  Uses uses_;
  std::set<std::string> fed_;
  std::map<std::pair<std::string, std::string>, std::string> made_;
};

}  // namespace

int take_weight_masks(Model& model) {
  return MaskTaker(model).run();
}

double zeros_without_mask(const Model& model) {
  std::set<std::string> masked;
  for (const Initializer& initializer : model.graph.initializers()) {
    if (const std::string* of = find_metadata(initializer.tensor.metadata, kMaskOf)) masked.insert(*of);
  }
  double zeros = 0, all = 0;
  for (const Initializer& initializer : model.graph.initializers()) {
    const Tensor& tensor = initializer.tensor;
    if (initializer.sparse || !is_float(tensor.dtype) || tensor.dims.size() < 2) continue;
    const ParameterKind kind = parameter_use(model, initializer.name).kind;
    if (kind != ParameterKind::kConv && kind != ParameterKind::kLinear) continue;
    all += static_cast<double>(tensor.count());
    if (!masked.contains(initializer.name)) zeros += to_aten(tensor, false).eq(0).sum().item<double>();
  }
  return all > 0 ? zeros / all : 0;
}

void drop_weight_masks(Graph& graph) {
  std::vector<std::string> masks;
  for (const Initializer& initializer : graph.initializers()) {
    if (find_metadata(initializer.tensor.metadata, kMaskOf)) masks.push_back(initializer.name);
  }
  for (const std::string& name : masks) graph.erase_initializer(name);
}

}  // namespace mc
