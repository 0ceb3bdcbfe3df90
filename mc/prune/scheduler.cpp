#include "mc/prune/scheduler.h"

#include "mc/base/error.h"
#include "mc/prune/prune_run.h"
#include "mc/prune/sparsity.h"

namespace mc {

IterativePruningScheduler::IterativePruningScheduler(torch::nn::Module& module, IterativePruningConfig config)
    : run_(std::make_unique<PruneRun>(module, std::move(config), /*one_shot=*/false)) {}
IterativePruningScheduler::IterativePruningScheduler(std::unique_ptr<PruneRun> run) : run_(std::move(run)) {}
IterativePruningScheduler::~IterativePruningScheduler() = default;

void IterativePruningScheduler::before_update() {
  run_->after_backward();
}
void IterativePruningScheduler::after_update() {
  run_->after_update();
}

void IterativePruningScheduler::update() {
  MC_CHECK(!run_->removed, "pruning: step() after remove_pruning()");
  if (run_->due()) run_->make_masks();
}

void IterativePruningScheduler::step() {
  MC_CHECK(!run_->removed, "pruning: step() after remove_pruning()");
  run_->after_update();
  if (run_->due()) {
    run_->make_masks();
  } else {
    run_->holder().apply();
  }
  ++run_->step;
}

void IterativePruningScheduler::remove_pruning() {
  if (!run_->removed) run_->drop();
}

double IterativePruningScheduler::get_sparsity_schedule() const {
  return run_->schedule().progress(run_->step);
}
bool IterativePruningScheduler::is_pruning_step() const {
  return !run_->removed && run_->due();
}
bool IterativePruningScheduler::needs_gradients() const {
  return run_->needs_gradients();
}
int64_t IterativePruningScheduler::current_step() const {
  return run_->step;
}
void IterativePruningScheduler::set_step(int64_t step) {
  run_->step = step;
}
void IterativePruningScheduler::reset_latent() {
  run_->reset_latent();
}

std::map<std::string, double> IterativePruningScheduler::sparsity_by_parameter() const {
  std::map<std::string, double> result;
  for (size_t i = 0; i < run_->targets().size(); ++i)
    result[run_->targets()[i].name] = get_tensor_sparsity_ratio(run_->holder().weight(i));
  return result;
}

Json IterativePruningScheduler::log() const {
  const std::map<std::string, double> layers = sparsity_by_parameter();
  double zeros = 0, wanted = 0, total = 0;
  for (const PruneTarget& target : run_->targets()) {
    const auto elements = static_cast<double>(target.parameter.numel());
    zeros += layers.at(target.name) * elements;
    wanted +=
        run_->schedule().sparsity(target.settings.initial, target.settings.target, run_->step) * elements;
    total += elements;
  }
  return {{"sparsity", zeros / total}, {"target_sparsity", wanted / total}, {"layers", layers}};
}

double IterativePruningScheduler::sparsity() const {
  return log().at("sparsity");
}

std::map<std::string, at::Tensor> IterativePruningScheduler::save() const {
  return run_->save();
}
void IterativePruningScheduler::load(const std::map<std::string, at::Tensor>& state) {
  run_->load(state);
}

OneShotPruningScheduler::OneShotPruningScheduler(torch::nn::Module& module, OneShotPruningConfig config)
    : scheduler_([&] {
        IterativePruningConfig once;
        static_cast<PruningConfig&>(once) = std::move(config);
        once.schedule = "one_shot";
        once.policy_end_step = once.end_pruning_step = 0;
        return std::make_unique<PruneRun>(module, std::move(once), /*one_shot=*/true);
      }()) {}
OneShotPruningScheduler::~OneShotPruningScheduler() = default;
void OneShotPruningScheduler::step() {
  scheduler_.step();
}
void OneShotPruningScheduler::remove_pruning() {
  scheduler_.remove_pruning();
}
double OneShotPruningScheduler::sparsity() const {
  return scheduler_.sparsity();
}
std::map<std::string, double> OneShotPruningScheduler::sparsity_by_parameter() const {
  return scheduler_.sparsity_by_parameter();
}

}  // namespace mc
