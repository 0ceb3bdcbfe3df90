#include "mc/recipe/run.h"

#include <chrono>
#include <optional>
#include <system_error>

#include <c10/util/Exception.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/log.h"
#include "mc/base/options_yaml.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/check_recipe.h"
#include "mc/recipe/conversion.h"
#include "mc/recipe/export.h"
#include "mc/recipe/inputs.h"
#include "mc/recipe/network.h"
#include "mc/recipe/process.h"
#include "mc/recipe/prove.h"
#include "mc/recipe/run_folder.h"
#include "mc/recipe/stage.h"
#include "mc/report/report.h"
#include "mc/report/zstd_size.h"

namespace mc {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// A file and when it was written: enough to see that it is another one.
Json source_key(const ModelSource& source) {
  Json key = options_json(source);
  std::error_code error;
  if (source.onnx) key["written"] = fs::last_write_time(*source.onnx, error).time_since_epoch().count();
  return key;
}

// Samples in memory have another name in every process.
Json data_key(const DataOptions& data) {
  Json key = options_json(data);
  if (data.format == "memory") key.erase("root");
  return key;
}

Json teacher_key(const Recipe& recipe) {
  return {{"source", source_key(*recipe.teacher)},
          {"train", options_json(*recipe.teacher).at("train")},
          {"seed", recipe.seed},
          {"device", recipe.device},
          {"data", data_key(recipe.data)},
          {"loss", recipe.loss},
          {"metric", recipe.metric}};
}

// Everything that the outcome of stage `index` depends on: it, and what came before it.
Json stage_key(const Recipe& recipe, size_t index) {
  Json stages = Json::array();
  bool distils = false;
  for (size_t i = 0; i <= index; ++i) {
    stages.push_back(options_json(recipe.stages[i]));
    distils = distils || recipe.stages[i].distill;
  }
  Json key = {{"source", source_key(recipe.model)},
              {"stages", stages},
              {"seed", recipe.seed},
              {"device", recipe.device},
              {"data", data_key(recipe.data)},
              {"loss", recipe.loss},
              {"metric", recipe.metric}};
  if (distils) key["teacher"] = teacher_key(recipe);
  return key;
}

class Run {
 public:
  Run(const LoadedRecipe& loaded, const fs::path& output, bool resume)
      : loaded_(loaded),
        recipe_(loaded.recipe),
        folder_(output, resume),
        metrics_(folder_.metrics()),
        inputs_(open_inputs(loaded)) {
    results_.name = recipe_.name;
    results_.recipe = options_yaml(recipe_);
    results_.data = inputs_.data;
  }

  Json execute() {
    const Clock::time_point start = Clock::now();
    folder_.make_parts();
    write_file_atomic(folder_.recipe(), results_.recipe);
    if (recipe_.teacher) prepare_teacher();
    Model model = inputs_.student.model;
    if (exports_original(recipe_)) keep_original(model);
    for (size_t i = 0; i < recipe_.stages.size(); ++i) model = run_one(i, std::move(model));
    prove({recipe_, inputs_.normalization, exported_, reference_}, results_);
    results_.environment = this_environment();
    results_.environment.device = inputs_.device.str();
    results_.environment.versions = library_versions(recipe_.deploy.engines);
    results_.seconds = earlier_seconds_ + std::chrono::duration<double>(Clock::now() - start).count();
    const Json document = to_json(results_);
    write_file_atomic(folder_.report(), report_html(document, read_metrics(folder_.metrics())));
    write_file_atomic(folder_.results(), document.dump(2) + "\n");
    return document;
  }

 private:
  // Trains the teacher, unless it comes trained, and loads it.
  void prepare_teacher() {
    const TeacherOptions& options = *recipe_.teacher;
    const NetworkInput& network = *inputs_.teacher;
    if (options.builtin || options.train) {
      StageJob job;
      static_cast<TrainingOptions&>(job.options) = options.train.value_or(TrainingOptions{});
      job.options.name = kTeacher;
      job.key = teacher_key(recipe_);
      job.data = &network;
      job.start = network.model;
      job.seed = stage_seed(-1);
      add_stage(run_stage(job, loaded_, inputs_, folder_, metrics_), kTeacher, network);
    } else {
      write_onnx(network.model, folder_.stage_model(kTeacher));
      add_model(describe_network(network.model), kTeacher, network);
    }
    teacher_ =
        std::make_shared<GraphModule>(read_onnx(folder_.stage_model(kTeacher)), on_device(inputs_.device));
  }

  void keep_original(const Model& model) {
    write_onnx(model, folder_.stage_model(kOriginal));
    reference_ = add_model(describe_network(model), kOriginal, inputs_.student);
  }

  Model run_one(size_t index, Model start) {
    const StageOptions& options = recipe_.stages[index];
    StageJob job;
    job.options = options;
    job.key = stage_key(recipe_, index);
    job.data = &inputs_.student;
    job.start = std::move(start);
    job.teacher = teacher_;
    job.seed = stage_seed(static_cast<int64_t>(index));
    if (options.prune && !options.prune->rewind.empty()) job.rewind = network_at(options.prune->rewind);
    const StageOutcome outcome = run_stage(job, loaded_, inputs_, folder_, metrics_);
    compressed_ = compressed_ || options.compresses();
    if (options.quantize) quantize_ = options.quantize;
    const std::string name = add_stage(outcome, options.name, inputs_.student);
    if (!compressed_) reference_ = name;
    for (QuantizedLayerResult layer : outcome.layers) {
      layer.model = name;
      results_.quantized_layers.push_back(layer);
    }
    // From the file, also when it was made just now: a run that is resumed goes on from the same bytes.
    return read_onnx(folder_.stage_model(options.name));
  }

  // As an earlier stage left it, or as it came.
  Model network_at(const std::string& stage) const {
    return stage == kStart ? inputs_.student.model : read_onnx(folder_.stage_model(stage));
  }

  // Stages draw different numbers; each the same, whatever stands before it.
  uint64_t stage_seed(int64_t index) const {
    return recipe_.seed * 1'000'003 + static_cast<uint64_t>(index + 1);
  }

  std::string add_stage(const StageOutcome& outcome, const std::string& stage, const NetworkInput& network) {
    results_.stages.push_back(outcome.row);
    earlier_seconds_ += outcome.earlier_seconds;
    return add_model(outcome, stage, network);
  }

  // Exports what the stage left, and what is converted from it, and lists them; gives the name it has there.
  std::string add_model(const StageOutcome& outcome, const std::string& stage, const NetworkInput& network) {
    ExportedModel model;
    model.name = export_name(recipe_, stage);
    model.file = folder_.model(model.name);
    model.trained = folder_.stage_model(stage);
    model.quantized = quantize_ && stage != kTeacher;
    model.test = network.test;
    with_context([&] { return fmt::format("export of '{}'", stage); },
                 [&] {
                   export_model(read_onnx(model.trained),
                                model.quantized ? quantize_ : std::optional<QuantizeOptions>(), model.file,
                                recipe_.exports.opset);
                 });
    list_model(outcome, model);
    for (const ConversionOptions& conversion : recipe_.exports.conversions) {
      if (conversion.stage == stage) add_conversion(conversion, outcome, model, network);
    }
    return model.name;
  }

  void add_conversion(const ConversionOptions& options, const StageOutcome& outcome,
                      const ExportedModel& from, const NetworkInput& network) {
    ExportedModel model;
    model.name = options.name;
    model.file = folder_.model(model.name);
    model.original = from.name;
    model.engine_note = mode_engine_note(quantize_mode_options(options).mode);
    model.test = network.test;
    with_context([&] { return fmt::format("conversion '{}' of '{}'", options.name, options.stage); },
                 [&] {
                   ModeResult result = run_conversion(inference_model(read_onnx(from.trained), std::nullopt),
                                                      network.train, inputs_.normalization, options);
                   write_exported(std::move(result.model), model.file, recipe_.exports.opset);
                   for (const LayerQuantization& layer : result.layers) {
                     results_.quantized_layers.push_back(
                         {model.name, layer.node, layer.op_type, layer.quantized, layer.reason});
                   }
                 });
    list_model(outcome, model);
  }

  // Among the files that are measured, and in the results.
  void list_model(const StageOutcome& outcome, const ExportedModel& exported) {
    exported_.push_back(exported);
    ModelResult model;
    model.name = exported.name;
    model.file = fs::relative(exported.file, folder_.root()).string();
    model.file_bytes = fs::file_size(exported.file);
    model.compressed_bytes = zstd_size(exported.file);
    model.sparsity = outcome.row.sparsity;
    model.parameters = outcome.parameters;
    model.macs = outcome.macs;
    results_.models.push_back(model);
    for (LayerSparsity layer : outcome.sparsity) {
      layer.model = exported.name;
      results_.sparsity_by_layer.push_back(layer);
    }
  }

  const LoadedRecipe& loaded_;
  const Recipe& recipe_;
  RunFolder folder_;
  MetricsFile metrics_;
  RunInputs inputs_;
  std::shared_ptr<GraphModule> teacher_;
  std::optional<QuantizeOptions> quantize_;  // of the stage that quantized, once it ran
  double earlier_seconds_ = 0;               // of stages that an interrupted run had done
  bool compressed_ = false;
  std::optional<std::string> reference_;  // the last uncompressed export
  std::vector<ExportedModel> exported_;
  RunResults results_;
};

// What an earlier run of the same recipe left; nothing when it did not finish.
std::optional<Json> finished_run(const LoadedRecipe& loaded, const fs::path& output) {
  const fs::path file = output / "results.json";
  if (!fs::exists(file)) return std::nullopt;
  Json document = Json::parse(read_file(file), nullptr, false);
  if (!document.is_object() || document.value("recipe", "") != options_yaml(loaded.recipe))
    return std::nullopt;
  return document;
}

}  // namespace

void check_run(const LoadedRecipe& loaded, const fs::path& output) {
  use_threads(loaded.recipe.threads);
  open_inputs(loaded);
  make_output_folder(output);
}

Json run_recipe(const LoadedRecipe& loaded, const fs::path& output, bool resume,
                const std::function<void()>& began) {
  use_threads(loaded.recipe.threads);
  if (resume) {
    if (std::optional<Json> document = finished_run(loaded, output)) {
      info("{}: this run is finished", output.string());
      return *document;
    }
  }
  Run run(loaded, output, resume);
  if (began) began();
  try {
    return run.execute();
  } catch (const c10::Error& error) {
    fail("{}: {}", output.string(), error.what_without_backtrace());
  } catch (const fs::filesystem_error& error) {
    fail("{}: {}", error.path1().string(), error.code().message());
  }
}

}  // namespace mc
