// Pruning while a module trains: masks made anew as sparsity grows, and held in between.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <torch/nn/module.h>

#include "mc/base/json.h"
#include "mc/prune/pruning_config.h"

namespace mc {

class PruneRun;

struct IterativePruningConfig : PruningConfig {
  int64_t pruning_frequency = 100;  // steps between two new masks; there is one at policy_end_step anyway
  int64_t begin_pruning_step = 0;   // masks are made from this step on
  int64_t end_pruning_step = -1;    // and no more after it; -1: until the end of training
  int64_t policy_begin_step = 0;    // sparsity starts to grow
  int64_t policy_end_step = 1000;   // and has reached the target
  std::string schedule = "cubic";   // of sparsity_schedules()
  int64_t cycles = 3;               // of the schedule cyclic
};

// Prunes convolution, linear, embedding and recurrent weights of any torch::nn::Module or GraphModule by the
// configuration. In a training loop:
//
//   loss.backward();
//   scheduler.before_update();   // only for methods that regrow or look at gradients
//   optimizer.step();
//   scheduler.step();
//   optimizer.zero_grad();
//
// Every Error of a mask (NaN, a structure that does not fit) comes before any weight has changed.
class IterativePruningScheduler {
 public:
  // Prunes at once to the initial sparsities, where they are above 0. Throws Error as prune_targets does, for
  // steps that do not fit each other, and for a module that is sparser already than it shall become.
  IterativePruningScheduler(torch::nn::Module& module, IterativePruningConfig config);
  ~IterativePruningScheduler();

  // After each step of the optimizer: makes masks where they are due, applies them, advances.
  void step();

  // Latent weights take the places of the masked ones, so that the optimizer moves them; scores see the
  // gradients. Does nothing for methods that need neither.
  void before_update();

  // The parts of step(), for a loop that applies the masks itself: after_update() once the optimizer has
  // moved the weights and before they are masked; update() makes masks where they are due and applies them.
  void after_update();
  void update();

  void remove_pruning();  // masks and latent weights are dropped, zeros stay in the weights

  double get_sparsity_schedule() const;  // part of the way from initial to target sparsity, at this step
  bool is_pruning_step() const;          // whether the next step() makes masks
  bool needs_gradients() const;          // of a backward pass, before the first mask
  int64_t current_step() const;
  void set_step(int64_t step);

  void reset_latent();  // someone has set the weights: latent ones become what they are now

  double sparsity() const;  // of the pruned weights together
  std::map<std::string, double> sparsity_by_parameter() const;
  Json log() const;  // {"sparsity", "target_sparsity", "layers": {name: sparsity}}

  // What a checkpoint needs beside the module: latent weights, thresholds, the scores' state.
  std::map<std::string, at::Tensor> save() const;
  void load(const std::map<std::string, at::Tensor>& state);

 private:
  friend class OneShotPruningScheduler;
  explicit IterativePruningScheduler(std::unique_ptr<PruneRun> run);
  std::unique_ptr<PruneRun> run_;
};

using OneShotPruningConfig = PruningConfig;

// Masks at once, at the target sparsity (or the initial one, where only that is given), held from then on.
class OneShotPruningScheduler {
 public:
  OneShotPruningScheduler(torch::nn::Module& module, OneShotPruningConfig config);
  ~OneShotPruningScheduler();
  void step();  // after each step of the optimizer: applies the masks
  void remove_pruning();
  double sparsity() const;
  std::map<std::string, double> sparsity_by_parameter() const;

 private:
  IterativePruningScheduler scheduler_;
};

}  // namespace mc
