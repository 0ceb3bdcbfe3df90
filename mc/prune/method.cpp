#include "mc/prune/method.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/prune/score.h"

namespace mc {
namespace {

bool shares_threshold(const PruningMethod& method) {
  return method.scope != PruneScope::kLayer;
}

std::vector<std::string> known_kwargs(const PruningMethod& method) {
  std::vector<std::string> known = {"pruning_fn", "name", "regrow"};
  known.insert(known.end(), method.structure_kwargs.begin(), method.structure_kwargs.end());
  if (method.name == "pattern_lock") return known;
  for (const char* more : {"target_sparsity", "initial_sparsity", "threshold_decay", "fast_threshold"})
    known.emplace_back(more);
  if (method.scope == PruneScope::kGroup) known.emplace_back("group");
  if (shares_threshold(method)) {
    for (const char* more : {"group_target_sparsity", "group_initial_sparsity", "group_threshold_decay"})
      known.emplace_back(more);
  }
  return known;
}

double checked(const char* what, double value) {
  MC_CHECK(value >= 0 && value < 1, "{} must be in [0, 1), is {}", what, value);
  return value;
}

Regrow regrow_of(const PruningMethod& method, const PruneKwargs& kwargs) {
  const std::string name = kwargs.regrow.value_or("");
  if (name.empty()) return method.regrow;
  if (name == "none") return Regrow::kNone;
  if (name == "frozen") return Regrow::kFrozen;
  MC_CHECK(name == "gradient", "regrow must be none, frozen or gradient, is '{}'", name);
  return Regrow::kGradient;
}

// What the method asks for by itself, where the kwargs do not say it.
double target_of(const PruningMethod& method, const Structure& structure, const PruneKwargs& kwargs) {
  if (const auto* of = std::get_if<NToM>(&structure)) {
    MC_CHECK(of->n >= 1 && of->n < of->m, "N:M pruning keeps at least 1 and fewer than M of M, not {} of {}",
             of->n, of->m);
    const double full = 1 - static_cast<double>(of->n) / static_cast<double>(of->m);
    MC_CHECK(kwargs.target_sparsity.value_or(full) == full,
             "{}:{} is a sparsity of {}; leave target_sparsity ({}) out, or choose other n and m", of->n,
             of->m, full, *kwargs.target_sparsity);
    return full;
  }
  if (shares_threshold(method) && kwargs.group_target_sparsity)
    return checked("group_target_sparsity", *kwargs.group_target_sparsity);
  return checked("target_sparsity", kwargs.target_sparsity.value_or(0));
}

}  // namespace

std::vector<std::string> list_methods() {
  std::vector<std::string> names;
  for (const PruningMethod& method : pruning_methods()) names.push_back(method.name);
  return names;
}

const PruningMethod& find_pruning_method(const std::string& name) {
  for (const PruningMethod& method : pruning_methods()) {
    if (method.name == name) return method;
  }
  fail("unknown pruning method '{}'{}; known: {}", name, did_you_mean(name, list_methods()),
       join(list_methods(), ", "));
}

PruneKwargs kwargs_for(const PruningMethod& method, const PruneKwargs& of_another) {
  PruneKwargs kwargs;
  const bool has_own = std::ranges::count(method.structure_kwargs, "n") > 0;
  if (!method.iterative) return kwargs;
  if (!has_own) kwargs.target_sparsity = of_another.target_sparsity;
  kwargs.initial_sparsity = of_another.initial_sparsity;
  kwargs.threshold_decay = of_another.threshold_decay;
  return kwargs;
}

PruneSettings settle_kwargs(const PruningMethod& method, const PruneKwargs& kwargs) {
  const std::vector<std::string> known = known_kwargs(method);
  for (const std::string& name : kwargs.given()) {
    MC_CHECK(std::ranges::count(known, name), "{} has no {}{}; it has {}", method.name, name,
             did_you_mean(name, known), join(known, ", "));
  }
  PruneSettings settings;
  settings.score = find_score(method.score).name;
  settings.structure = method.structure(kwargs);
  settings.regrow = regrow_of(method, kwargs);
  settings.target = target_of(method, settings.structure, kwargs);
  const bool shared = shares_threshold(method);
  settings.initial = checked("initial_sparsity", shared && kwargs.group_initial_sparsity
                                                     ? *kwargs.group_initial_sparsity
                                                     : kwargs.initial_sparsity.value_or(0));
  settings.threshold_decay =
      checked("threshold_decay", shared && kwargs.group_threshold_decay ? *kwargs.group_threshold_decay
                                                                        : kwargs.threshold_decay.value_or(0));
  if (method.scope == PruneScope::kGlobal) settings.group = "global";
  if (method.scope == PruneScope::kGroup) settings.group = "group " + kwargs.group.value_or("default");
  return settings;
}

}  // namespace mc
