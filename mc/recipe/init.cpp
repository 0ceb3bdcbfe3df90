#include "mc/recipe/init.h"

#include "mc/base/error.h"
#include "mc/base/options_yaml.h"
#include "mc/base/text.h"
#include "mc/recipe/recipe.h"

namespace mc {
namespace {

StageOptions stage(const std::string& name, int64_t epochs, double lr) {
  StageOptions options;
  options.name = name;
  options.epochs = epochs;
  options.optimizer = SgdOptions{.lr = lr};
  options.distill = DistillOptions{};
  return options;
}

// Images: a large network teaches a small one, which is then pruned and quantized.
Recipe vision() {
  Recipe recipe;
  recipe.name = "fashion-mnist";
  recipe.data.root = "/usr/share/datasets/fashion-mnist";
  recipe.data.augment = {FlipOptions{}, CropOptions{.padding = 2}};
  recipe.model.builtin = "resnet8";
  recipe.teacher.emplace();
  recipe.teacher->builtin = "resnet20";
  recipe.teacher->train.emplace();
  recipe.teacher->train->epochs = 3;
  recipe.teacher->train->optimizer = SgdOptions{.lr = 0.2};
  recipe.stages = {stage("train", 3, 0.4), stage("prune", 2, 0.1), stage("quantize", 1, 0.02)};
  recipe.stages[1].prune.emplace();
  recipe.stages[2].quantize.emplace();
  recipe.exports.names = {{"train", "fp32"}, {"prune", "pruned"}, {"quantize", "int8"}};
  recipe.deploy.require.accuracy_drop = 0.01;
  return recipe;
}

struct Template {
  std::string name;
  std::string title;
  Recipe (*make)();
};

const std::vector<Template>& templates() {
  static const std::vector<Template> list = {
      {"vision", "Image classification: train with a teacher, prune, quantize.", vision},
  };
  return list;
}

}  // namespace

std::vector<std::string> template_names() {
  std::vector<std::string> names;
  for (const Template& each : templates()) names.push_back(each.name);
  return names;
}

std::string recipe_template(const std::string& name) {
  for (const Template& each : templates()) {
    if (each.name != name) continue;
    return fmt::format(
        "# {}\n# Run it with: model-compression run RECIPE.yaml. What you leave out keeps its default.\n{}",
        each.title, options_yaml(each.make()));
  }
  fail("there is no template '{}'{}; there are: {}", name, did_you_mean(name, template_names()),
       join(template_names(), ", "));
}

}  // namespace mc
