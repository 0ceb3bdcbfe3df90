#include "mc/deploy/layer_models.h"

#include <algorithm>
#include <filesystem>

#include "mc/base/error.h"
#include "mc/base/scratch_folder.h"
#include "mc/graph/fixed_batch.h"
#include "mc/onnx/onnx.h"

namespace mc {
namespace {

ValueInfo info_of(const Graph& graph, const std::string& value) {
  const auto type = graph.type_of(value);
  MC_CHECK(type, "the type of value '{}' is not known", value);
  ValueInfo info;
  info.name = value;
  info.type = *type;
  return info;
}

void forget_infos(Graph& graph, const std::set<std::string>& values) {
  std::erase_if(graph.value_infos, [&](const ValueInfo& info) { return values.contains(info.name); });
}

}  // namespace

Model with_outputs(Model model, const std::vector<std::string>& outputs) {
  Graph& graph = model.graph;
  std::vector<ValueInfo> infos;
  infos.reserve(outputs.size());
  for (const std::string& output : outputs) infos.push_back(info_of(graph, output));
  graph.outputs = std::move(infos);
  forget_infos(graph, {outputs.begin(), outputs.end()});
  graph.drop_unused();
  return model;
}

Model cut_into_layers(Model model, const std::set<std::string>& cuts,
                      const std::vector<std::string>& outputs) {
  Graph& graph = model.graph;
  const bool free_batch = fixed_batch(graph) < 0;
  std::vector<ValueInfo> infos, fed;
  for (const std::string& output : outputs) infos.push_back(info_of(graph, output));
  for (const std::string& cut : cuts) fed.push_back(info_of(graph, cut));
  graph.outputs.clear();
  for (ValueInfo& info : fed) {
    const std::string cut = info.name;
    info.name = fed_name(cut);
    // A value without a batch in front must not make the model look as if its batch were fixed.
    if (free_batch && info.type.shape && !info.type.shape->empty()) info.type.shape->front() = Dim();
    graph.replace_uses(cut, info.name);
  }
  graph.outputs = std::move(infos);
  forget_infos(graph, {outputs.begin(), outputs.end()});
  graph.inputs.insert(graph.inputs.end(), fed.begin(), fed.end());
  graph.drop_unused();
  const Uses uses(graph);
  std::erase_if(graph.inputs, [&](const ValueInfo& input) {
    return uses.consumers(input.name).empty() && !graph.initializer(input.name);
  });
  return model;
}

std::string fed_name(const std::string& value) {
  return value + "/fed";
}

int64_t bytes_of(const Graph& graph, const std::string& value) {
  const auto type = graph.type_of(value);
  if (!type || !type->is_tensor()) return 0;
  int64_t bytes = std::max(1, dtype_bits(type->dtype) / 8);
  for (const Dim& dim : type->shape.value_or(Shape())) bytes *= std::max<int64_t>(1, dim.value);
  return bytes;
}

std::unique_ptr<Session> load_model(Engine& engine, const Model& model, const EngineOptions& options) {
  ScratchFolder folder;
  const std::filesystem::path file = folder.file("model.onnx");
  write_onnx(model, file);
  return engine.load(file, options);
}

}  // namespace mc
