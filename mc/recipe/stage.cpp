#include "mc/recipe/stage.h"

#include <algorithm>
#include <chrono>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/data/metric.h"
#include "mc/module/mode_guard.h"
#include "mc/onnx/onnx.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/settle_biases.h"
#include "mc/recipe/network.h"
#include "mc/rewrite/pass.h"
#include "mc/search/engine_speed.h"
#include "mc/train/trainer.h"

namespace mc {
namespace {

constexpr int64_t kEvaluationBatch = 250;

LoaderOptions evaluation_options(const RunInputs& inputs) {
  LoaderOptions options;
  options.batch_size = kEvaluationBatch;
  options.normalization = inputs.normalization;
  options.device = inputs.device;
  return options;
}

LoaderOptions training_options(const StageJob& job, const Recipe& recipe, const RunInputs& inputs) {
  LoaderOptions options = evaluation_options(inputs);
  options.batch_size = job.options.batch_size;
  options.shuffle = true;
  options.drop_last = true;
  options.augment = recipe.data.augment;
  options.seed = job.seed;
  return options;
}

TrainOptions train_options(const StageJob& job, const Recipe& recipe) {
  TrainOptions options;
  options.epochs = job.options.epochs;
  options.optimizer = job.options.optimizer;
  options.schedule = job.options.schedule;
  options.loss = recipe.loss;
  options.label_smoothing = job.options.label_smoothing;
  options.gradient_clip = job.options.gradient_clip;
  options.precision = job.options.precision;
  options.metric = recipe.metric;
  options.select = job.options.select;
  options.seed = job.seed;
  return options;
}

// Weights and statistics of a network, by name.
std::map<std::string, at::Tensor> values_of(const Model& model, const ModuleOptions& options) {
  std::map<std::string, at::Tensor> values;
  const GraphModule module(model, options);
  for (const Role role : {Role::kWeight, Role::kStatistic}) {
    for (const std::string& name : module.names(role)) values[name] = module.tensor(name).detach();
  }
  return values;
}

// In the order in which they act: prune, quantize, distil.
std::vector<std::shared_ptr<Method>> make_methods(const StageJob& job, at::Device device,
                                                  const std::filesystem::path& output) {
  std::vector<std::shared_ptr<Method>> methods;
  if (job.options.prune) {
    const auto rewind =
        job.rewind ? values_of(*job.rewind, on_device(device)) : std::map<std::string, at::Tensor>{};
    const auto meter = [&start = job.start, output](const std::string& engine, int64_t batch) {
      LatencyOptions latency;
      latency.engine = engine;
      latency.batch = batch;
      return engine_speed(start, output, latency);
    };
    methods.push_back(make_prune_method(*job.options.prune, rewind, meter));
  }
  if (job.options.quantize) methods.push_back(make_quantize_method(*job.options.quantize));
  if (job.options.distill) methods.push_back(make_distill_method(job.teacher, *job.options.distill));
  return methods;
}

std::vector<QuantizedLayerResult> planned_quantization(const StageJob& job) {
  std::vector<QuantizedLayerResult> layers;
  if (!job.options.quantize) return layers;
  Model copy = job.start;
  for (const LayerQuantization& layer : prepare_qat(copy, *job.options.quantize)) {
    layers.push_back({"", layer.node, layer.op_type, layer.quantized, layer.reason});
  }
  return layers;
}

// A stage that trains nothing: ranges from training samples as they are, without augmentation.
StageResult calibrate_stage(const StageJob& job, const Recipe& recipe, const RunInputs& inputs,
                            std::shared_ptr<GraphModule>& quantized, Loader& evaluation) {
  const auto start = std::chrono::steady_clock::now();
  const QuantizeOptions& options = *job.options.quantize;
  Model model = job.start;
  // Both work on weights that hold their batch norm; otherwise it stays for stages to come.
  if (options.equalize || options.smooth > 0) apply_passes(model, inference_passes());
  quantized = quantize_module(std::move(model), job.data->train, inputs.normalization, options,
                              on_device(inputs.device))
                  .module;
  GraphModule& module = *quantized;
  settle_biases(module, options);
  const ModeGuard mode(module, /*training=*/false);
  StageResult result;
  auto infer = [&](const std::vector<at::Tensor>& batch) { return module.forward(batch); };
  result.metric = evaluate(infer, evaluation, recipe.metric, job.options.name + ", evaluation").value;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace

StageOutcome run_stage(const StageJob& job, const LoadedRecipe& loaded, const RunInputs& inputs,
                       RunFolder& folder, MetricsFile& metrics) {
  const std::string& name = job.options.name;
  if (auto finished = folder.finished_stage(name, job.key)) {
    info("stage '{}' is done already", name);
    StageOutcome outcome = stage_outcome_from_json(*finished);
    outcome.earlier_seconds = outcome.row.seconds;
    return outcome;
  }
  const bool resume = folder.begin_stage(name, job.key);
  metrics.begin_stage(name, resume);
  std::shared_ptr<GraphModule> module;
  if (job.options.trains()) module = std::make_shared<GraphModule>(job.start, on_device(inputs.device));
  Loader loader(job.data->train, training_options(job, loaded.recipe, inputs));
  Loader evaluation(job.data->test, evaluation_options(inputs));
  const std::vector<std::shared_ptr<Method>> methods =
      make_methods(job, inputs.device, folder.stage_model(name));
  const TrainOptions options = train_options(job, loaded.recipe);
  const StageFiles files{.checkpoint = folder.checkpoint(name), .best = folder.best(name)};
  const auto start = std::chrono::steady_clock::now();
  const StageResult result = job.options.trains()
                                 ? train_stage(
                                       name, *module, loader, &evaluation, methods, options, files,
                                       [&](const Json& line) { metrics.add(line); }, resume)
                                 : calibrate_stage(job, loaded.recipe, inputs, module, evaluation);
  const double now_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Model trained = module->graph();
  write_onnx(trained, folder.stage_model(name));

  StageOutcome outcome = describe_network(trained);
  outcome.layers = planned_quantization(job);
  outcome.row.name = name;
  outcome.row.epochs = options.epochs;
  outcome.row.steps = result.steps;
  outcome.row.metric_name = options.metric;
  outcome.row.metric = result.metric;
  outcome.row.seconds = result.seconds;
  outcome.earlier_seconds = std::max(0.0, result.seconds - now_seconds);
  for (const auto& method : methods) outcome.row.methods.push_back(method->name());
  folder.finish_stage(name, job.key, to_json(outcome));
  return outcome;
}

}  // namespace mc
