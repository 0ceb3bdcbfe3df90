#include "mc/module/parameter_view.h"

#include <set>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>

#include "mc/module/graph_module.h"
#include "mc/module/parameter_use.h"

namespace mc {
namespace {

template <class... Modules>
bool is_any_of(const torch::nn::Module& module) {
  return (... || (dynamic_cast<const Modules*>(&module) != nullptr));
}

// The kind of a plain module's parameter: by its owner's type, biases by their name.
ParameterKind kind_in(const torch::nn::Module& owner, const std::string& leaf) {
  using namespace torch::nn;
  if (is_any_of<BatchNorm1dImpl, BatchNorm2dImpl, BatchNorm3dImpl, InstanceNorm1dImpl, InstanceNorm2dImpl,
                InstanceNorm3dImpl, LayerNormImpl, GroupNormImpl>(owner)) {
    return ParameterKind::kNorm;
  }
  if (leaf.starts_with("bias")) return ParameterKind::kBias;
  if (is_any_of<Conv1dImpl, Conv2dImpl, Conv3dImpl, ConvTranspose1dImpl, ConvTranspose2dImpl,
                ConvTranspose3dImpl>(owner)) {
    return ParameterKind::kConv;
  }
  if (is_any_of<LinearImpl, BilinearImpl>(owner)) return ParameterKind::kLinear;
  if (is_any_of<EmbeddingImpl, EmbeddingBagImpl>(owner)) return ParameterKind::kEmbedding;
  if (is_any_of<LSTMImpl, GRUImpl, RNNImpl, LSTMCellImpl, GRUCellImpl, RNNCellImpl>(owner)) {
    return ParameterKind::kRecurrent;
  }
  return ParameterKind::kOther;
}

int64_t axis_in(const torch::nn::Module& owner, ParameterKind kind) {
  using namespace torch::nn;
  const bool transposed = is_any_of<ConvTranspose1dImpl, ConvTranspose2dImpl, ConvTranspose3dImpl>(owner);
  return transposed && kind == ParameterKind::kConv ? 1 : kind == ParameterKind::kEmbedding ? 1 : 0;
}

void add_views(torch::nn::Module& module, const std::string& prefix, std::set<const void*>& seen,
               std::vector<ParameterView>& views) {
  if (const auto* graph = dynamic_cast<const GraphModule*>(&module)) {
    const Model& model = graph->structure();
    for (const std::string& name : graph->names(Role::kWeight)) {
      const ParameterUse use = parameter_use(model, name);
      views.push_back({prefix + name, graph->tensor(name), use.kind, use.channel_axis});
    }
    return;
  }
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    const at::Tensor& tensor = item.value();
    if (!tensor.defined() || !seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
    const ParameterKind kind = kind_in(module, item.key());
    views.push_back({prefix + item.key(), tensor, kind, axis_in(module, kind)});
  }
  for (const auto& child : module.named_children())
    add_views(*child.value(), prefix + child.key() + ".", seen, views);
}

}  // namespace

const char* parameter_kind_name(ParameterKind kind) {
  switch (kind) {
    case ParameterKind::kConv:
      return "conv";
    case ParameterKind::kLinear:
      return "linear";
    case ParameterKind::kEmbedding:
      return "embedding";
    case ParameterKind::kRecurrent:
      return "recurrent";
    case ParameterKind::kBias:
      return "bias";
    case ParameterKind::kNorm:
      return "norm";
    case ParameterKind::kOther:
      return "other";
  }
  return "other";
}

std::vector<ParameterView> parameter_views(torch::nn::Module& module) {
  std::vector<ParameterView> views;
  std::set<const void*> seen;
  add_views(module, "", seen, views);
  return views;
}

}  // namespace mc
