#include "mc/recipe/recipe.h"

#include "mc/base/file.h"
#include "mc/base/options_read.h"
#include "mc/base/options_schema.h"
#include "mc/data/metric.h"
#include "mc/deploy/engine.h"
#include "mc/models/models.h"
#include "mc/recipe/check_recipe.h"
#include "mc/recipe/yaml.h"
#include "mc/rewrite/convert_opset.h"
#include "mc/train/loss.h"

namespace mc {

std::vector<std::string> builtin_names() {
  std::vector<std::string> names;
  for (const ModelBuilder& builder : model_builders()) names.push_back(builder.name);
  return names;
}

std::vector<std::string> engine_names() {
  std::vector<std::string> names;
  for (Engine* engine : all_engines()) names.push_back(engine->name());
  return names;
}

std::vector<std::string> recipe_losses() {
  return loss_names();
}

std::vector<std::string> recipe_metrics() {
  return metric_names();
}

std::vector<std::string> export_opsets() {
  std::vector<std::string> names = {"keep"};
  for (int64_t opset = kOldestConvertible; opset <= kNewestConvertible; ++opset) {
    names.push_back(std::to_string(opset));
  }
  return names;
}

void ModelSource::check() const {
  MC_CHECK(builtin || onnx, "give `builtin` (one of {}) or `onnx` (a file)",
           describe_constraint(one_of(builtin_names())).substr(7));
  MC_CHECK(!builtin || !onnx, "has both `builtin` and `onnx`; give one of them");
  MC_CHECK(builtin || width == 1.0, "`width` is for builtin networks; an ONNX file has its own");
}

std::vector<StageOptions> Recipe::default_stages() {
  StageOptions stage;
  stage.name = "train";
  return {stage};
}

namespace {

// A stage that does not train has no epochs, unless the recipe says so (which check_recipe then refuses).
void default_epochs(LoadedRecipe& loaded) {
  const Config* stages = loaded.config.find("stages");
  for (size_t i = 0; stages && i < loaded.recipe.stages.size(); ++i) {
    StageOptions& stage = loaded.recipe.stages[i];
    // A list of one may be written without brackets.
    const Config& written = stages->kind == Config::Kind::kSequence ? stages->items.at(i) : *stages;
    if (!stage.trains() && !written.find("epochs")) stage.epochs = 0;
  }
}

}  // namespace

LoadedRecipe parse_recipe(const std::string& text, const std::filesystem::path& file,
                          const Overrides& overrides) {
  LoadedRecipe loaded;
  loaded.file = file;
  with_context([&] { return file.string(); },
               [&] {
                 loaded.config = parse_yaml(text);
                 for (const auto& [key, value] : overrides) {
                   with_context([&] { return "--set " + key; },
                                [&] { set_override(loaded.config, key, override_value(value)); });
                 }
                 read_options(loaded.config, loaded.recipe);
                 default_epochs(loaded);
                 check_recipe(loaded);
               });
  return loaded;
}

LoadedRecipe load_recipe(const std::filesystem::path& file, const Overrides& overrides) {
  return parse_recipe(read_file(file), file, overrides);
}

Json recipe_schema() {
  Json schema = options_schema<Recipe>();
  schema["title"] = "model-compression recipe";
  return schema;
}

std::filesystem::path output_folder(const Recipe& recipe) {
  return recipe.output.value_or(std::filesystem::path("runs") / recipe.name);
}

std::string export_name(const Recipe& recipe, const std::string& stage) {
  auto found = recipe.exports.names.find(stage);
  return found == recipe.exports.names.end() ? stage : found->second;
}

}  // namespace mc
