#include "mc/rewrite/pass.h"

#include <algorithm>
#include <chrono>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/ops/op.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

// Names in kSources are separated by line breaks, which no exporter writes into a name.
constexpr char kSeparator = '\n';

int fold_untrained(Model& model) {
  FoldOptions options;
  // Any float array might be a weight; single floats are scales and offsets.
  options.foldable = [](const Initializer& i) {
    return !dtype_is_float(i.tensor.dtype) || i.tensor.dims.empty();
  };
  return fold_constants(model, options);
}

int fold_weights(Model& model) {
  return fold_constants(model, {.foldable = {}, .quantizers = false, .as_initializers = true});
}

int infer_shapes_pass(Model& model) {
  const size_t before = model.graph.value_infos.size();
  infer_shapes(model);
  return static_cast<int>(model.graph.value_infos.size()) - static_cast<int>(before);
}

int drop_unused_pass(Model& model) {
  return model.graph.drop_unused();
}

const Pass& find_pass(const std::string& name) {
  std::vector<std::string> names;
  for (const Pass& pass : all_passes()) {
    if (pass.name == name) return pass;
    names.push_back(pass.name);
  }
  fail("there is no rewrite pass '{}'{}", name, did_you_mean(name, names));
}

}  // namespace

const std::vector<Pass>& all_passes() {
  static const std::vector<Pass> passes = {
      {"inline_functions", "replace calls of model-local functions by their nodes", inline_functions},
      {"infer_shapes", "write the inferred types of all values", infer_shapes_pass},
      {"fold_types", "replace questions for shapes and types by their answers", fold_types},
      {"fold_constants", "compute what depends neither on inputs nor on possible weights", fold_untrained},
      {"fold_weights", "compute all that does not depend on inputs", fold_weights},
      {"inference_form", "turn off training_mode of batch norm and dropout", inference_form},
      {"drop_identity", "remove nodes that change nothing in inference", drop_identity},
      {"fuse_pad", "move zero padding into the convolution after it", fuse_pad},
      {"fold_batch_norm", "multiply batch norm into the weights before it", fold_batch_norm},
      {"drop_unused", "remove what reaches no output", drop_unused_pass},
  };
  return passes;
}

std::vector<PassReport> apply_passes(Model& model, const std::vector<std::string>& names) {
  std::vector<const Pass*> passes;
  for (const std::string& name : names) passes.push_back(&find_pass(name));
  std::vector<PassReport> reports;
  for (const Pass* pass : passes) {
    const auto start = std::chrono::steady_clock::now();
    const int changes = with_context([&] { return fmt::format("rewrite pass '{}'", pass->name); },
                                     [&] {
                                       const int count = pass->run(model);
                                       verify(model);
                                       return count;
                                     });
    const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
    reports.push_back({pass->name, changes, spent.count()});
  }
  return reports;
}

std::vector<std::string> inference_passes() {
  return {"inline_functions", "inference_form", "infer_shapes",    "fold_weights",
          "drop_identity",    "fuse_pad",       "fold_batch_norm", "drop_unused"};
}

void add_source(Node& node, const Node& source) {
  const std::string* recorded = find_metadata(node.metadata, kSources);
  std::vector<std::string> names = recorded ? split(*recorded, kSeparator) : std::vector<std::string>();
  for (const std::string& name : sources(source)) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  if (!names.empty()) set_metadata(node.metadata, kSources, join(names, std::string_view(&kSeparator, 1)));
}

std::vector<std::string> sources(const Node& node) {
  if (const std::string* recorded = find_metadata(node.metadata, kSources))
    return split(*recorded, kSeparator);
  if (node.name.empty()) return {};
  return {node.name};
}

void absorb(Node& into, const Node& node) {
  add_source(into, into);
  add_source(into, node);
}

const Tensor* constant_value(const Graph& graph, const Uses& uses, const std::string& value) {
  if (value.empty()) return nullptr;
  if (const Initializer* initializer = graph.initializer(value)) {
    const bool overridable =
        std::ranges::any_of(graph.inputs, [&](const ValueInfo& i) { return i.name == value; });
    return initializer->sparse || overridable ? nullptr : &initializer->tensor;
  }
  const auto producer = uses.producer(value);
  if (!producer || !graph.nodes[*producer].is("Constant")) return nullptr;
  return graph.nodes[*producer].get_tensor("value");
}

}  // namespace mc
