#include "mc/prune/prune_run.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {
namespace {

std::vector<std::string> names_of(const std::vector<PruneTarget>& targets) {
  std::vector<std::string> names;
  for (const PruneTarget& target : targets) names.push_back(target.name);
  return names;
}

bool stays_pruned(const PruneTarget& target) {
  return target.settings.regrow == Regrow::kNone;
}

bool counts_elements(const PruneTarget& target) {
  return std::holds_alternative<Unstructured>(target.settings.structure);
}

}  // namespace

PruneRun::PruneRun(torch::nn::Module& module, IterativePruningConfig config, bool one_shot)
    : step(config.initial_step),
      module_(module),
      config_(std::move(config)),
      schedule_{config_.schedule, config_.policy_begin_step, config_.policy_end_step, config_.cycles},
      targets_(prune_targets(module, config_)),
      holder_(module, names_of(targets_)),
      latent_(targets_.size()) {
  check_steps();
  for (PruneTarget& target : targets_) settle(target, one_shot);
  make_groups();
  take_what_is_pruned();
  for (const PruneTarget& target : targets_) {
    std::unique_ptr<Score>& score = scores_[target.settings.score];
    if (!score) score = find_score(target.settings.score).make();
  }
  for (const auto& [name, score] : scores_) score->begin(context_of(name, false));
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (!stays_pruned(targets_[i])) latent_[i] = holder_.weight(i).detach().clone();
  }
  const auto starts_sparse = [](const PruneTarget& target) { return target.settings.initial > 0; };
  if (config_.initial_step > 0 || needs_gradients()) return;
  if (one_shot || std::ranges::any_of(targets_, starts_sparse)) make_masks_of(one_shot ? 0 : -1);
}

void PruneRun::check_steps() const {
  find_sparsity_schedule(config_.schedule);
  MC_CHECK(config_.pruning_frequency >= 1, "pruning: pruning_frequency must be at least 1, is {}",
           config_.pruning_frequency);
  MC_CHECK(config_.cycles >= 1, "pruning: cycles must be at least 1, is {}", config_.cycles);
  MC_CHECK(config_.policy_begin_step <= config_.policy_end_step,
           "pruning: policy_begin_step ({}) is after policy_end_step ({})", config_.policy_begin_step,
           config_.policy_end_step);
  MC_CHECK(config_.end_pruning_step == -1 || config_.begin_pruning_step <= config_.end_pruning_step,
           "pruning: begin_pruning_step ({}) is after end_pruning_step ({})", config_.begin_pruning_step,
           config_.end_pruning_step);
}

void PruneRun::settle(PruneTarget& target, bool one_shot) const {
  MC_CHECK(!target.method->stage, "pruning: {} does more than to make masks: it is for stages of training",
           target.method->name);
  PruneSettings& settings = target.settings;
  if (one_shot) {
    MC_CHECK(target.method->one_shot, "pruning: {} needs masks again and again; use an iterative scheduler",
             target.method->name);
    if (settings.target == 0) settings.target = settings.initial;
    return;
  }
  MC_CHECK(target.method->iterative || config_.schedule == "one_shot",
           "pruning: {} makes its mask once; use a one-shot scheduler", target.method->name);
  // What comes back when a cycle begins must have a value.
  if (config_.schedule == "cyclic" && settings.regrow == Regrow::kNone) settings.regrow = Regrow::kGradient;
}

void PruneRun::make_groups() {
  std::map<std::string, size_t> by_name;
  for (size_t i = 0; i < targets_.size(); ++i) {
    const PruneSettings& settings = targets_[i].settings;
    const auto [found, fresh] = by_name.emplace(settings.group, groups_.size());
    if (settings.group.empty() || fresh) {
      groups_.emplace_back().targets = {i};
      continue;
    }
    Group& group = groups_[found->second];
    const PruneTarget& first = targets_[group.targets[0]];
    const PruneSettings& others = first.settings;
    MC_CHECK(others.target == settings.target && others.initial == settings.initial &&
                 others.threshold_decay == settings.threshold_decay && others.score == settings.score &&
                 others.regrow == settings.regrow && others.structure.index() == settings.structure.index(),
             "pruning: '{}' and '{}' share a threshold, but are to be pruned differently", first.name,
             targets_[i].name);
    group.targets.push_back(i);
  }
}

// Masks of an earlier stage of training, or of the run that goes on.
void PruneRun::take_what_is_pruned() {
  const bool goes_on = config_.initial_step > 0;
  for (Group& group : groups_) {
    double pruned = 0, all = 0;
    for (const size_t i : group.targets) {
      const at::Tensor weight = holder_.weight(i);
      if (goes_on && !holder_.in_module()) holder_.set_mask(i, weight.detach().ne(0));
      if (const at::Tensor mask = holder_.mask(i); mask.defined())
        pruned += mask.logical_not().sum().item<double>();
      all += static_cast<double>(weight.numel());
    }
    group.reached = all > 0 ? pruned / all : 0;
    group.ours = goes_on;
    const PruneTarget& first = targets_[group.targets[0]];
    MC_CHECK(
        goes_on || !counts_elements(first) || pruned <= std::round(first.settings.target * all),
        "pruning: '{}' is pruned already, to a sparsity of {:.4g}; a target of {:.4g} would bring weights "
        "back. Remove its mask first, or raise the target",
        first.name, group.reached, first.settings.target);
  }
}

bool PruneRun::needs_gradients() const {
  return std::ranges::any_of(scores_,
                             [](const auto& score) { return find_score(score.first).needs_gradients; });
}

bool PruneRun::has_latent() const {
  return std::ranges::any_of(latent_, [](const at::Tensor& tensor) { return tensor.defined(); });
}

ScoreContext PruneRun::context_of(const std::string& score, bool latent) const {
  ScoreContext context{module_, {}, config_.data};
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (targets_[i].settings.score != score) continue;
    const at::Tensor value = latent && latent_[i].defined() ? latent_[i] : holder_.weight(i);
    context.weights.push_back({targets_[i].name, value, holder_.mask(i), targets_[i].axes, latent_[i]});
  }
  return context;
}

std::vector<ScoreTensor> PruneRun::all_scores() const {
  std::vector<ScoreTensor> result(targets_.size());
  for (const auto& [name, score] : scores_) {
    std::vector<ScoreTensor> of_score = score->compute(context_of(name, true));
    size_t next = 0;
    for (size_t i = 0; i < targets_.size(); ++i) {
      if (targets_[i].settings.score == name) result[i] = std::move(of_score.at(next++));
    }
  }
  for (size_t i = 0; i < targets_.size(); ++i) {
    at::Tensor& values = result[i].values;
    MC_CHECK(values.sizes() == targets_[i].parameter.sizes(), "the scores of '{}' are not shaped like it",
             targets_[i].name);
    // What is pruned for good goes first, whatever a score says of it. Magnitudes are zero there.
    const at::Tensor mask = holder_.mask(i);
    if (stays_pruned(targets_[i]) && mask.defined() && !result[i].absolute)
      values = values.masked_fill(mask.logical_not(), std::numeric_limits<float>::lowest());
  }
  return result;
}

std::optional<double> PruneRun::wanted_sparsity(const Group& group, int64_t at) const {
  const PruneTarget& first = targets_[group.targets[0]];
  const PruneSettings& settings = first.settings;
  const double sparsity =
      at < 0 ? settings.initial : schedule_.sparsity(settings.initial, settings.target, at);
  if (!stays_pruned(first)) return sparsity;
  if (group.ours && sparsity <= group.reached && settings.threshold_decay == 0) return {};
  // What is pruned stays so. Other structures than elements count groups, in which dense ones stand too.
  return group.ours || counts_elements(first) ? std::max(sparsity, group.reached) : sparsity;
}

MaskRequest PruneRun::request_of(const Group& group, double sparsity,
                                 const std::vector<ScoreTensor>& scores) const {
  const PruneSettings& settings = targets_[group.targets[0]].settings;
  MaskRequest request;
  request.structure = settings.structure;
  request.sparsity = sparsity;
  request.threshold_decay = settings.threshold_decay;
  request.threshold = group.threshold;
  const bool again = group.ours && request.writes_in_place() && stays_pruned(targets_[group.targets[0]]);
  for (const size_t i : group.targets) {
    request.scores.push_back(scores[i]);
    request.axes.push_back(targets_[i].axes);
    request.names.push_back(targets_[i].name);
    if (!again) continue;
    request.keep.push_back(holder_.mask(i));
    request.hold.push_back(holder_.weight(i));
  }
  return request;
}

void PruneRun::make_masks_of(int64_t at) {
  const at::NoGradGuard no_grad;
  std::vector<MaskRequest> requests;
  std::vector<Group*> requesting;
  std::vector<ScoreTensor> scores;
  for (Group& group : groups_) {
    const std::optional<double> sparsity = wanted_sparsity(group, at);
    if (!sparsity) continue;
    if (scores.empty()) scores = all_scores();
    requests.push_back(request_of(group, *sparsity, scores));
    requesting.push_back(&group);
  }
  mc::make_masks(requests);
  size_t held = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    take_masks(*requesting[i], requests[i]);
    held += requests[i].hold.size();
  }
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (latent_[i].defined()) holder_.weight(i).copy_(latent_[i]);
  }
  if (held < holder_.masks()) holder_.apply();
}

void PruneRun::take_masks(Group& group, MaskRequest& made) {
  for (size_t k = 0; k < group.targets.size(); ++k) {
    const size_t i = group.targets[k];
    if (!group.ours && stays_pruned(targets_[i])) {
      if (const at::Tensor before = holder_.mask(i); before.defined()) made.keep[k].logical_and_(before);
    }
    if (!made.keep[k].is_same(holder_.mask(i))) holder_.set_mask(i, std::move(made.keep[k]));
  }
  group.reached = made.sparsity;
  group.ours = true;
  group.threshold = made.threshold;
}

void PruneRun::make_masks() {
  make_masks_of(step);
}

bool PruneRun::due() const {
  const int64_t passed = step - config_.begin_pruning_step;
  if (passed < 0 || (config_.end_pruning_step != -1 && step > config_.end_pruning_step)) return false;
  return passed % config_.pruning_frequency == 0 || step == config_.policy_end_step;
}

void PruneRun::after_backward() {
  const at::NoGradGuard no_grad;
  for (const auto& [name, score] : scores_) score->after_backward(context_of(name, false));
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (!latent_[i].defined()) continue;
    at::Tensor weight = holder_.weight(i);
    const at::Tensor mask = holder_.mask(i);
    const bool frozen = targets_[i].settings.regrow == Regrow::kFrozen;
    if (frozen && mask.defined() && weight.grad().defined()) weight.mutable_grad().mul_(mask);
    weight.copy_(latent_[i]);
  }
  latent_in_place_ = true;
}

void PruneRun::after_update() {
  if (!has_latent()) return;
  MC_CHECK(
      latent_in_place_,
      "pruning: a method that regrows needs before_update() between backward() and the optimizer's step");
  reset_latent();
  latent_in_place_ = false;
}

void PruneRun::reset_latent() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (latent_[i].defined()) latent_[i].copy_(holder_.weight(i));
  }
}

void PruneRun::drop() {
  holder_.apply();
  holder_.drop();
  std::ranges::fill(latent_, at::Tensor());
  removed = true;
}

std::map<std::string, at::Tensor> PruneRun::save() const {
  std::map<std::string, at::Tensor> state;
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (latent_[i].defined()) state["latent/" + targets_[i].name] = latent_[i];
  }
  std::vector<double> thresholds;
  for (const Group& group : groups_) thresholds.push_back(group.threshold);
  state["thresholds"] = at::tensor(thresholds, at::kDouble);
  for (const auto& [name, score] : scores_) {
    for (const auto& [key, tensor] : score->save()) state["score/" + name + "/" + key] = tensor;
  }
  return state;
}

void PruneRun::load(const std::map<std::string, at::Tensor>& state) {
  const at::NoGradGuard no_grad;
  const auto find = [&](const std::string& name, at::IntArrayRef sizes) {
    const auto found = state.find(name);
    MC_CHECK(found != state.end() && found->second.sizes() == sizes,
             "the checkpoint's pruning state '{}' is missing or does not fit", name);
    return found->second;
  };
  for (size_t i = 0; i < targets_.size(); ++i) {
    at::Tensor& latent = latent_[i];
    if (latent.defined()) latent.copy_(find("latent/" + targets_[i].name, latent.sizes()));
  }
  const at::Tensor thresholds =
      find("thresholds", {static_cast<int64_t>(groups_.size())}).to(at::kCPU, at::kDouble);
  for (size_t i = 0; i < groups_.size(); ++i)
    groups_[i].threshold = thresholds[static_cast<int64_t>(i)].item<double>();
  for (const auto& [name, score] : scores_) {
    const std::string prefix = "score/" + name + "/";
    std::map<std::string, at::Tensor> part;
    for (const auto& [key, tensor] : state) {
      if (key.starts_with(prefix)) part[key.substr(prefix.size())] = tensor;
    }
    score->load(part);
  }
}

}  // namespace mc
