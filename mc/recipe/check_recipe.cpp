#include "mc/recipe/check_recipe.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>

#include "mc/base/text.h"
#include "mc/deploy/engine.h"
#include "mc/recipe/data_formats.h"
#include "mc/recipe/places.h"
#include "mc/recipe/yaml.h"

namespace mc {
namespace {

void forget_marks(Config& config) {
  config.mark = {};
  for (Config& item : config.items) forget_marks(item);
  for (Config::Entry& entry : config.entries) {
    entry.mark = {};
    forget_marks(entry.value);
  }
}

bool is_device(const std::string& text) {
  if (text == "cpu" || text == "cuda") return true;
  std::string number = text.starts_with("cuda:") ? text.substr(5) : "";
  return !number.empty() && number.size() <= 3 &&
         std::all_of(number.begin(), number.end(), [](unsigned char c) { return std::isdigit(c); });
}

void check_stage_names(const Recipe& recipe, Complaints& complaints) {
  std::map<std::string, size_t> seen;
  for (size_t i = 0; i < recipe.stages.size(); ++i) {
    const std::string& name = recipe.stages[i].name;
    std::string path = fmt::format("stages.{}.name", i);
    if (!is_file_word(name)) {
      complaints.add(path, fmt::format("'{}' cannot be a file name; use letters, digits, - and _", name));
    }
    if (name == kTeacher || name == kOriginal || name == kStart) {
      complaints.add(path, fmt::format("'{}' is what we call a model of ours; choose another name", name));
    }
    auto [other, added] = seen.emplace(name, i);
    if (!added) complaints.add(path, fmt::format("stage {} is named '{}' too", other->second, name));
  }
}

void check_training(const StageOptions& stage, const std::string& path, Complaints& complaints) {
  if (stage.trains()) {
    if (stage.epochs == 0) complaints.add(path + ".epochs", "must be at least 1, is 0");
    return;
  }
  const std::string why = "`quantize: {mode: ptq}` trains nothing: ";
  if (stage.epochs > 0) complaints.add(path + ".epochs", why + "leave `epochs` out, or choose mode qat");
  if (stage.prune) complaints.add(path + ".prune", why + "prune in a stage before it");
  if (stage.distill)
    complaints.add(path + ".distill", why + "distil in a stage before it, or choose mode qat");
}

// Weights come back from a network that has the same ones: before quantization prepares it.
void check_rewind(const Recipe& recipe, size_t index, Complaints& complaints) {
  const StageOptions& stage = recipe.stages[index];
  if (!stage.prune || stage.prune->rewind.empty() || stage.prune->rewind == kStart) return;
  std::vector<std::string> earlier = {kStart};
  for (size_t i = 0; i < index; ++i) {
    if (!recipe.stages[i].quantize) earlier.push_back(recipe.stages[i].name);
  }
  const std::string& wanted = stage.prune->rewind;
  if (std::ranges::count(earlier, wanted)) return;
  complaints.add(fmt::format("stages.{}.prune.rewind", index),
                 fmt::format("'{}' is no stage before this one that does not quantize{}; there is {}", wanted,
                             did_you_mean(wanted, earlier), join(earlier, ", ")));
}

// What a stage would only find out when it begins.
void check_speedup(const StageOptions& stage, const std::string& path, Complaints& complaints) {
  if (!stage.prune || !stage.prune->channels.speedup) return;
  try {
    const Engine& engine = find_engine(stage.prune->channels.engine);
    if (!engine.available())
      complaints.add(path + ".prune.speedup", "is measured there: " + engine.unavailable_reason());
  } catch (const Error& error) {
    complaints.add(path + ".prune.engine", error.what());
  }
}

void check_methods(const Recipe& recipe, Complaints& complaints) {
  if (recipe.teacher && recipe.teacher->train && recipe.teacher->train->epochs == 0) {
    complaints.add("teacher.train.epochs", "must be at least 1, is 0");
  }
  if (recipe.loss == "none" && recipe.teacher && (recipe.teacher->builtin || recipe.teacher->train)) {
    complaints.add("teacher", "nothing gives a loss to train it with: `loss` is none");
  }
  std::string quantized;
  for (size_t i = 0; i < recipe.stages.size(); ++i) {
    const StageOptions& stage = recipe.stages[i];
    std::string path = fmt::format("stages.{}", i);
    if (stage.distill && !recipe.teacher) {
      complaints.add(path + ".distill",
                     "there is no teacher to learn from; give `teacher:` beside `stages:`");
    }
    check_training(stage, path, complaints);
    check_rewind(recipe, i, complaints);
    check_speedup(stage, path, complaints);
    if (recipe.loss == "none" && !stage.distill && stage.trains()) {
      complaints.add(path, "nothing gives a loss: `loss: none` needs `distill` in every stage");
    }
    if (stage.label_smoothing > 0 && recipe.loss != "cross_entropy") {
      complaints.add(path + ".label_smoothing",
                     fmt::format("goes with `loss: cross_entropy`, not with {}", recipe.loss));
    }
    if (!stage.quantize) continue;
    if (!quantized.empty()) {
      complaints.add(path + ".quantize", fmt::format("the model is quantized since stage '{}'", quantized));
    }
    quantized = stage.name;
  }
}

// What the stages leave, and what may stand beside them.
std::vector<std::string> names_of_stages(const Recipe& recipe) {
  std::vector<std::string> stages;
  for (const StageOptions& stage : recipe.stages) stages.push_back(stage.name);
  if (recipe.teacher) stages.push_back(kTeacher);
  stages.push_back(kOriginal);
  return stages;
}

void check_file_word(const std::string& path, const std::string& name, Complaints& complaints) {
  if (is_file_word(name)) return;
  complaints.add(path, fmt::format("'{}' cannot be a file name; use letters, digits, - and _", name));
}

void check_export_names(const Recipe& recipe, Complaints& complaints) {
  const std::vector<std::string> stages = names_of_stages(recipe);
  for (const auto& [stage, name] : recipe.exports.names) {
    std::string path = "export.names." + stage;
    if (std::find(stages.begin(), stages.end(), stage) == stages.end()) {
      complaints.add(path, fmt::format("there is no stage '{}'{}", stage, did_you_mean(stage, stages)));
    }
    check_file_word(path, name, complaints);
  }
  std::map<std::string, std::string> taken;
  for (const std::string& stage : stages) {
    auto [other, added] = taken.emplace(export_name(recipe, stage), stage);
    if (added) continue;
    complaints.add("export.names", fmt::format("'{}' and '{}' would both be written to {}.onnx",
                                               other->second, stage, other->first));
  }
  for (size_t i = 0; i < recipe.exports.conversions.size(); ++i) {
    const ConversionOptions& conversion = recipe.exports.conversions[i];
    const std::string path = fmt::format("export.convert.{}.name", i);
    check_file_word(path, conversion.name, complaints);
    auto [other, added] = taken.emplace(conversion.name, "convert");
    if (!added)
      complaints.add(path, fmt::format("{}.onnx is written already, by '{}'", other->first, other->second));
  }
}

// Of floats only: the stages before the one that quantizes.
void check_conversions(const Recipe& recipe, Complaints& complaints) {
  const std::vector<std::string> stages = names_of_stages(recipe);
  for (size_t i = 0; i < recipe.exports.conversions.size(); ++i) {
    const std::string& stage = recipe.exports.conversions[i].stage;
    const std::string path = fmt::format("export.convert.{}.stage", i);
    if (std::find(stages.begin(), stages.end(), stage) == stages.end()) {
      complaints.add(path, fmt::format("there is no stage '{}'{}", stage, did_you_mean(stage, stages)));
    } else if (stage == kOriginal && !exports_original(recipe)) {
      complaints.add(path,
                     "the network as it came is exported only where `model` is an ONNX file that the "
                     "first stage compresses, or where there are no stages; name a stage");
    }
    bool quantized = false;
    for (const StageOptions& each : recipe.stages) {
      quantized = quantized || each.quantize;
      if (quantized && each.name == stage) {
        complaints.add(
            path, fmt::format("the network of '{}' is quantized; convert that of a stage before it", stage));
      }
    }
  }
}

void check_requirements(const Recipe& recipe, Complaints& complaints) {
  if (recipe.deploy.require.accuracy_drop && recipe.model.builtin &&
      (recipe.stages.empty() || recipe.stages.front().compresses())) {
    complaints.add("deploy.require.accuracy_drop",
                   "nothing to compare with: a builtin network starts untrained, so the first stage must "
                   "train it without `prune` and `quantize`");
  }
}

}  // namespace

bool exports_original(const Recipe& recipe) {
  return recipe.stages.empty() || (recipe.stages[0].compresses() && recipe.model.onnx);
}

bool is_file_word(const std::string& name) {
  auto allowed = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '.'; };
  return !name.empty() && name.size() <= 100 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

Config override_value(const std::string& text) {
  Config value = parse_yaml(text);
  forget_marks(value);
  return value;
}

void check_recipe(const LoadedRecipe& loaded) {
  const Recipe& recipe = loaded.recipe;
  Complaints complaints(loaded.config);
  if (!is_device(recipe.device)) {
    complaints.add("device", fmt::format("must be cpu, cuda or cuda:N, is '{}'", recipe.device));
  }
  if (!recipe.output && !is_file_word(recipe.name)) {
    complaints.add("name",
                   fmt::format("'{}' cannot be the name of a folder; use letters, digits, - and _, or "
                               "give `output`",
                               recipe.name));
  }
  if (!recipe.model.builtin && !recipe.model.onnx) {
    complaints.check("model", [&] { recipe.model.check(); });
  }
  complaints.check("data", [&] { find_data_format(recipe.data.format).check(recipe.data); });
  check_stage_names(recipe, complaints);
  check_methods(recipe, complaints);
  check_export_names(recipe, complaints);
  check_conversions(recipe, complaints);
  check_requirements(recipe, complaints);
  complaints.throw_if_any();
}

}  // namespace mc
