// Unstructured pruning by masks, with the schedulers and names of model_compression_research.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "mc/base/options.h"
#include "mc/module/parameter_view.h"
#include "mc/prune/channel_method.h"
#include "mc/train/method.h"

namespace mc {

struct PruneKwargs {
  double target_sparsity = 0.8;
  double initial_sparsity = 0.0;
};

// A pruning method turns a weight and a sparsity into a mask (bool, same shape, true keeps).
struct PruningMethod {
  std::string name;
  std::string summary;
  std::function<at::Tensor(const at::Tensor& weight, double sparsity)> mask;
};
const std::vector<PruningMethod>& pruning_methods();
std::vector<std::string> list_methods();
const PruningMethod& find_pruning_method(const std::string& name);  // Error with the nearest name

// The cubic policy of Zhu and Gupta 2017, eq. 1: sparsity at `step`.
double cubic_sparsity(double initial, double target, int64_t step, int64_t begin, int64_t end);

struct IterativePruningConfig {
  std::string pruning_fn = "unstructured_magnitude";
  PruneKwargs pruning_fn_default_kwargs;
  int64_t pruning_frequency = 1;   // steps between two new masks
  int64_t begin_pruning_step = 0;  // masks are computed from this step on
  int64_t end_pruning_step = -1;   // and no more after it; -1: policy_end_step
  int64_t policy_begin_step = 0;   // sparsity starts to grow
  int64_t policy_end_step = 0;     // and has reached the target
  struct Override {
    std::optional<std::string> pruning_fn;
    std::optional<PruneKwargs> kwargs;
    bool not_to_prune = false;
  };
  std::map<std::string, Override> weights;  // by parameter name or glob; one that matches nothing is an Error
};

// Prunes convolution, linear (and embedding, recurrent) weights of any torch::nn::Module or GraphModule.
// step() is called after each optimizer step.
class IterativePruningScheduler {
 public:
  IterativePruningScheduler(torch::nn::Module& module, IterativePruningConfig config);
  ~IterativePruningScheduler();
  void step();  // advances, recomputes masks when due, applies masks
  // Recomputes masks when due, no more: for a loop that applies the masks itself.
  void update();
  void remove_pruning();    // masks are dropped, zeros stay in the weights
  double sparsity() const;  // of the pruned parameters together
  std::map<std::string, double> sparsity_by_parameter() const;
  int64_t current_step() const;
  void set_step(int64_t step);  // resuming

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Masks at once, at the target sparsity.
class OneShotPruningScheduler {
 public:
  OneShotPruningScheduler(torch::nn::Module& module, IterativePruningConfig config);
  ~OneShotPruningScheduler();
  void step();  // applies the masks
  void remove_pruning();
  double sparsity() const;

 private:
  std::unique_ptr<IterativePruningScheduler> scheduler_;
};

// What a stage's `method` may be: list_methods(), then those that cut channels (importance.h).
std::vector<std::string> stage_methods();

struct PruneOptions {
  std::string method = "unstructured_magnitude";
  double target_sparsity = 0.8;
  double initial_sparsity = 0.0;
  double begin = 0.0;
  double end = 0.6;
  int64_t frequency = 10;
  std::string schedule = "cubic";
  std::vector<std::string> keep_dense;
  ChannelPruneOptions channels;
  template <class V>
  void describe(V& v) {
    v.field("method", method, "what is pruned", one_of(stage_methods()));
    v.field("target_sparsity", target_sparsity, "part of the weights that become zero", in_half_open(0, 1));
    v.field("initial_sparsity", initial_sparsity, "sparsity at the beginning", in_half_open(0, 1));
    v.field("begin", begin, "part of the stage's steps after which sparsity starts to grow", between(0, 1));
    v.field("end", end, "part of the stage's steps after which the target is reached", between(0, 1));
    v.field("frequency", frequency, "steps between two new masks", at_least(1));
    v.field("schedule", schedule, "how sparsity grows", one_of({"cubic", "one_shot"}));
    v.field("keep_dense", keep_dense, "parameters left alone, by name or pattern");
    channels.describe(v);
  }
};

std::shared_ptr<Method> make_prune_method(const PruneOptions& options);

// Fraction of zeros by weight of a module.
std::map<std::string, double> weight_sparsity(torch::nn::Module& module);

}  // namespace mc
