// How much each element of a weight matters: the first of the independent choices that make a pruning
// method (score, structure, scope, what becomes of pruned weights, schedule, distribution).
//
// A score is an object that lives as long as the pruning of a module does. What it learns along the way
// (gradients seen, moments of inputs) is its own state; it never changes a weight, a mask or a gradient.
// To add one: a file with the class, and a line in the list of scores.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "mc/prune/structure.h"

namespace mc {

// A weight that is pruned, as it stands when a score is asked.
struct PrunedWeight {
  std::string name;        // of the parameter, as named_parameters() and GraphModule::tensor() give it
  at::Tensor tensor;       // the live parameter; .grad() is defined between backward() and zero_grad().
                           // In compute() it holds the latent values where pruned weights keep them
  at::Tensor mask;         // bool, of the same shape, true keeps; undefined while nothing is pruned
  WeightAxes axes;         // which axes are output and input channels
  at::Tensor latent = {};  // in after_backward(): the latent values, where pruned weights keep them
};

// Samples for scores that look at data. Batches are numbered from 0 and may be asked for again: the same
// number gives the same samples. Whoever asks for gradients takes them with torch::autograd::grad, or clears
// .grad() afterwards; random layers and batch norm behave as train()/eval() of the module says.
struct ScoreData {
  int64_t batches = 0;  // 0: there are no samples, and a score that needs some throws Error
  std::function<std::vector<at::Tensor>(int64_t batch)> inputs;  // in the order of the module's inputs
  std::function<at::Tensor(int64_t batch)>
      loss;  // runs the module: a scalar with autograd, mean over samples
};

struct ScoreContext {
  torch::nn::Module& module;  // a GraphModule or any other
  std::vector<PrunedWeight> weights;
  ScoreData data;
};

class Score {
 public:
  virtual ~Score() = default;

  // Once, before training begins (or goes on from a checkpoint: load() follows). Throws Error when the
  // module or the data do not give what the score needs; nothing has changed then.
  virtual void begin(const ScoreContext&) {}

  // After each backward pass of training, before the optimizer's step.
  virtual void after_backward(const ScoreContext&) {}

  // One score a weight of `context.weights`, in their order: floating point, of the weight's shape and
  // device; higher keeps, only the order counts (but scopes wider than a layer compare scores of different
  // weights). Called without gradients, just before a mask is made; must not be NaN or infinite (checked by
  // whoever makes the mask). An element that is pruned already may have any score.
  virtual std::vector<ScoreTensor> compute(const ScoreContext&) = 0;

  // State for checkpoints, by any name.
  virtual std::map<std::string, at::Tensor> save() const { return {}; }
  virtual void load(const std::map<std::string, at::Tensor>&) {}
};

struct ScoreKind {
  std::string name;      // as recipes write it
  std::string summary;   // with the source
  bool needs_gradients;  // learns from after_backward(): the first mask cannot come before the first step
  bool needs_data;       // reads ScoreContext::data
  std::function<std::unique_ptr<Score>()> make;
};
const std::vector<ScoreKind>& score_kinds();
std::vector<std::string> score_names();
const ScoreKind& find_score(const std::string& name);  // Error with the nearest name

// |w| (Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks").
std::unique_ptr<Score> make_magnitude_score();

}  // namespace mc
