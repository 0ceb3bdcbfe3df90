// A stage that trains the small network of training.h, with what it reported.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "mc/train/trainer.h"
#include "tests/train/training.h"

namespace mc::testing {

inline TrainOptions quick_options(int64_t epochs = 3) {
  TrainOptions options;
  options.epochs = epochs;
  options.optimizer = SgdOptions{.lr = 0.05};
  options.seed = 11;
  return options;
}

struct Trial {
  GraphModule module;
  std::vector<std::shared_ptr<Method>> methods;
  std::vector<Json> lines;

  explicit Trial(Model model = mlp()) : module(std::move(model)) {}

  StageResult train(const TrainOptions& options, const StageFiles& files = {}, bool resume = false) {
    auto loader = training_loader(), evaluation = evaluation_loader();
    return train_stage(
        "train", module, *loader, evaluation.get(), methods, options, files,
        [this](const Json& line) { lines.push_back(line); }, resume);
  }
};

}  // namespace mc::testing
