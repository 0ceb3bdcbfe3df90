// What a scheduler keeps and does at each step. Internal.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/prune/mask_holder.h"
#include "mc/prune/mask_request.h"
#include "mc/prune/scheduler.h"
#include "mc/prune/sparsity_schedule.h"

namespace mc {

class PruneRun {
 public:
  // `one_shot`: masks are made at once, and no more.
  PruneRun(torch::nn::Module& module, IterativePruningConfig config, bool one_shot);

  int64_t step = 0;
  bool removed = false;

  const std::vector<PruneTarget>& targets() const { return targets_; }
  const SparsitySchedule& schedule() const { return schedule_; }
  MaskHolder& holder() { return holder_; }

  bool due() const;
  bool needs_gradients() const;

  // Makes the masks of this step and applies them; all are made before any weight changes.
  void make_masks();
  void after_backward();  // scores see gradients, latent weights take their places
  void after_update();    // latent weights are what the optimizer made of them
  void reset_latent();
  void drop();

  std::map<std::string, at::Tensor> save() const;
  void load(const std::map<std::string, at::Tensor>& state);

 private:
  // Weights that share a threshold.
  struct Group {
    std::vector<size_t> targets;
    double reached = 0;  // part that is masked
    bool ours = false;   // the masks are this run's
    double threshold = 0;
  };

  void check_steps() const;
  void settle(PruneTarget& target, bool one_shot) const;
  void make_groups();
  void take_what_is_pruned();
  bool has_latent() const;

  // The targets of a score; `latent`: with latent values in place of masked ones.
  ScoreContext context_of(const std::string& score, bool latent) const;
  std::vector<ScoreTensor> all_scores() const;
  // Nothing where the same elements would go again. `at` -1: the initial sparsity.
  std::optional<double> wanted_sparsity(const Group& group, int64_t at) const;
  MaskRequest request_of(const Group& group, double sparsity, const std::vector<ScoreTensor>& scores) const;
  void make_masks_of(int64_t at);
  void take_masks(Group& group, MaskRequest& made);

  torch::nn::Module& module_;
  IterativePruningConfig config_;
  SparsitySchedule schedule_;
  std::vector<PruneTarget> targets_;
  MaskHolder holder_;
  std::vector<Group> groups_;
  std::vector<at::Tensor> latent_;  // of each target; undefined where it keeps none
  std::map<std::string, std::unique_ptr<Score>> scores_;
  bool latent_in_place_ = false;  // between after_backward() and after_update()
};

}  // namespace mc
