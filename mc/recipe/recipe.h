// The recipe: everything that a run does, as typed options. One description gives the reader with line and
// column, the defaults, the commented template and the JSON Schema (mc/base/options.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mc/base/config.h"
#include "mc/base/options.h"
#include "mc/distill/distill.h"
#include "mc/prune/prune.h"
#include "mc/quantize/quantize.h"
#include "mc/recipe/conversion.h"
#include "mc/recipe/data_options.h"
#include "mc/train/optimizer.h"
#include "mc/train/schedule.h"

namespace mc {

// Names that the descriptions below allow: what the other rooms list.
std::vector<std::string> builtin_names();
std::vector<std::string> engine_names();
std::vector<std::string> recipe_losses();
std::vector<std::string> recipe_metrics();
std::vector<std::string> export_opsets();  // "keep", then the numbers

// A network: one of ours, or an ONNX file.
struct ModelSource {
  std::optional<std::string> builtin;
  double width = 1.0;
  std::optional<std::filesystem::path> onnx;
  std::map<std::string, std::string> inputs;

  template <class V>
  void describe(V& v) {
    v.field("builtin", builtin, "a network of ours, with fresh weights", one_of(builtin_names()));
    v.field("width", width, "multiplies the builtin network's channel counts", between(0.0625, 16));
    v.field("onnx", onnx, "or an ONNX file, with the weights in it");
    v.field("inputs", inputs,
            "which graph input each field of the data feeds; needed where their names differ and there are "
            "several");
  }
  void check() const;
};

// How weights are trained, by a stage or for the teacher.
struct TrainingOptions {
  int64_t epochs = 1;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  int64_t batch_size = 128;
  double label_smoothing = 0;
  double gradient_clip = 0;
  std::string precision = "f32";
  std::string select = "last";

  template <class V>
  void describe(V& v) {
    v.field("epochs", epochs, "passes over the training data; 0 (the default then) in a stage of mode ptq",
            at_least(0));
    v.field("optimizer", optimizer, "how weights move");
    v.field("schedule", schedule, "learning rate over the steps");
    v.field("batch_size", batch_size, "samples a step", at_least(1));
    v.field("label_smoothing", label_smoothing, "part of the target spread over all classes (Szegedy 2016)",
            in_half_open(0, 1));
    v.field("gradient_clip", gradient_clip, "largest norm of all gradients together; 0: none", at_least(0));
    v.field("precision", precision, "of convolutions and matrix products while training",
            one_of({"f32", "bf16"}));
    v.field("select", select, "which epoch's weights it ends with", one_of({"last", "best"}));
  }
};

struct TeacherOptions : ModelSource {
  std::optional<TrainingOptions> train;

  template <class V>
  void describe(V& v) {
    ModelSource::describe(v);
    v.field("train", train, "how to train it first; a builtin one is always trained");
  }
};

// One stretch of training. The methods named in it act together; masks outlive it.
struct StageOptions : TrainingOptions {
  std::string name;
  std::optional<PruneOptions> prune;
  std::optional<QuantizeOptions> quantize;
  std::optional<DistillOptions> distill;

  template <class V>
  void describe(V& v) {
    v.field("name", name, "what to call it; its files are named so", required());
    TrainingOptions::describe(v);
    v.field("prune", prune, "set weights to zero");
    v.field("quantize", quantize, "simulate integer arithmetic");
    v.field("distill", distill, "learn from the teacher");
  }
  bool compresses() const { return prune || quantize; }
  bool trains() const { return !quantize || quantize->trains(); }
};

struct ExportOptions {
  std::string opset = "keep";
  std::map<std::string, std::string> names;
  std::vector<ConversionOptions> conversions;

  template <class V>
  void describe(V& v) {
    v.field("opset", opset,
            "of the exported models: keep, or a number that they are converted to; quantization needs 13",
            one_of(export_opsets()));
    v.field("names", names, "file names by stage; a stage that is not named here lends its own name");
    v.field("convert", conversions, "further files, made of a stage's float network without training");
  }
};

struct RequireOptions {
  std::optional<double> accuracy_drop;
  std::optional<double> min_snr_db;
  std::optional<double> min_agreement;

  template <class V>
  void describe(V& v) {
    v.field("accuracy_drop", accuracy_drop,
            "how far the last model's metric may fall below the uncompressed one's, absolute, on each engine",
            at_least(0));
    v.field("min_snr_db", min_snr_db,
            "SNR in dB of the last model on each engine against what was simulated, and what was trained");
    v.field("min_agreement", min_agreement,
            "part of the samples for which each engine predicts what was simulated, and what was trained",
            between(0, 1));
  }
};

struct DeployOptions {
  std::vector<std::string> engines = {"onnxruntime"};
  std::vector<int64_t> batch_sizes = {1, 32};
  double seconds = 2;
  RequireOptions require;

  template <class V>
  void describe(V& v) {
    v.field("engines", engines, "where the exported models run", one_of(engine_names()));
    v.field("batch_sizes", batch_sizes, "for latency and throughput", at_least(1));
    v.field("seconds", seconds, "measuring time of each model, engine and batch size; 0: no benchmark",
            at_least(0));
    v.field("require", require, "what the last model must keep; otherwise the run ends with exit status 1");
  }
};

struct Recipe {
  int64_t version = 1;
  std::string name = "run";
  uint64_t seed = 0;
  std::string device = "cpu";
  int threads = 0;
  std::optional<std::filesystem::path> output;
  DataOptions data;
  ModelSource model;
  std::string loss = "cross_entropy";
  std::string metric = "top1";
  std::optional<TeacherOptions> teacher;
  std::vector<StageOptions> stages = default_stages();
  ExportOptions exports;
  DeployOptions deploy;

  template <class V>
  void describe(V& v) {
    v.field("version", version, "of the recipe format", between(1, 1));
    v.field("name", name, "of the run");
    v.field("seed", seed, "of all random numbers");
    v.field("device", device, "what trains: cpu, cuda or cuda:N");
    v.field("threads", threads, "CPU threads; 0: all cores", between(0, 4096));
    v.field("output", output, "folder of the run; null: runs/NAME");
    v.field("data", data, "samples");
    v.field("model", model, "the network to compress");
    v.field("loss", loss, "of output 0 and the labels", one_of(recipe_losses()));
    v.field("metric", metric, "measured on the test data", one_of(recipe_metrics()));
    v.field("teacher", teacher, "a larger network to learn from");
    v.field("stages", stages, "each trains; they run in order, and none inherits settings from another");
    v.field("export", exports, "ONNX files");
    v.field("deploy", deploy, "engines, measurements and what is required of them");
  }

 private:
  static std::vector<StageOptions> default_stages();  // one stage "train" with the defaults
};

// A recipe, and where its values stood.
struct LoadedRecipe {
  std::filesystem::path file;
  Config config;
  Recipe recipe;
};

// `--set a.b=value`: a dotted key (set_override in mc/base/config.h) and a value in YAML.
using Overrides = std::vector<std::pair<std::string, std::string>>;

// Reads and checks a recipe: unknown keys, types and ranges, then what does not fit together
// (check_recipe.cpp). Nothing outside of the text is looked at. Throws one Error that lists everything
// wrong with line, column and nearest valid key.
LoadedRecipe parse_recipe(const std::string& text, const std::filesystem::path& file,
                          const Overrides& overrides = {});
LoadedRecipe load_recipe(const std::filesystem::path& file, const Overrides& overrides = {});

// A JSON Schema (draft 2020-12) of recipes.
Json recipe_schema();

// The folder of the run: what the recipe says, else runs/NAME.
std::filesystem::path output_folder(const Recipe& recipe);
// The file name (without extension) of what stage `name` exports.
std::string export_name(const Recipe& recipe, const std::string& stage);

}  // namespace mc
