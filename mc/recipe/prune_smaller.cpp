#include "mc/recipe/prune_smaller.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/deploy/kernel_width.h"
#include "mc/onnx/onnx.h"
#include "mc/prune/batch_loss.h"
#include "mc/prune/channel_target.h"
#include "mc/prune/importance.h"
#include "mc/recipe/prune_view.h"
#include "mc/search/engine_speed.h"

namespace mc {
namespace {

namespace fs = std::filesystem;
using TargetKind = PruneFileTarget::Kind;

// Of the largest output: float32 sums in another order.
constexpr double kLargestCutError = 1e-4;
constexpr const char* kRandomSamples = "random:4";

class ModelShrinker {
 public:
  ModelShrinker(const Model& model, const PruneSamples& samples, PruneFileReport& report)
      : model_(model), samples_(samples), report_(report) {
    if (target().kind == TargetKind::kSpeedup)
      meter_ = engine_speed(model_, options().output, prune_latency(options()));
  }

  Model run() {
    if (is_block_method(options().method)) return without_blocks(options().method, options().ignore);
    if (options().blocks.empty()) return cut(model_);
    return cut(without_blocks(options().blocks, patterns_of_blocks(model_, options().ignore)));
  }

 private:
  const PruneFileOptions& options() const { return report_.options; }
  const PruneFileTarget& target() const { return options().target; }

  // Where channels go after them, blocks go half of the way to the target.
  Model without_blocks(const std::string& method, const std::vector<std::string>& ignore) {
    BlockOrder order(method, model_, samples_.inputs(), ignore);
    for (const std::string& name : order.ignored()) report_.left.push_back({name, "left alone as asked"});
    if (is_block_method(options().method)) {
      take_blocks(order);
      MC_CHECK(!order.removed().empty(), "no residual block is to go: the model reaches the target as it is");
    } else if (target().kind == TargetKind::kSpeedup) {
      remove_blocks_halfway(order, *meter_, target().value);
    } else {
      const CostLimit cost = cost_limit();
      remove_blocks_halfway(order, cost.of, cost.limit);
    }
    report_.blocks = order.removed();
    return order.model();
  }

  void take_blocks(BlockOrder& order) {
    if (target().kind == TargetKind::kSparsity) return remove_block_ratio(order, target().value);
    if (target().kind == TargetKind::kSpeedup) return remove_blocks_for_speed(order, *meter_, target().value);
    const CostLimit cost = cost_limit();
    remove_blocks_to(order, cost.of, cost.limit, cost.what);
  }

  Model cut(const Model& model) {
    const std::vector<ChannelGroup> groups = channel_groups(model);
    MC_CHECK(!groups.empty(), "there are no channels that could be cut");
    ChoiceOptions how = options().channels;
    how.global = options().global.value_or(true);
    how.ignore = options().ignore;
    const bool as_engine = how.round_to == 0;
    if (as_engine) how.round_to = kernel_width(options().engine);
    channel_bounds(model, groups, how);  // a bad pattern is told before anything is scored
    const Importance& importance = find_importance(options().method);
    const auto scores = score_channels(
        model, importance, groups, importance.needs_gradients ? samples_.batches() : std::vector<Batch>());
    const std::vector<LayerLeft> left = report_.left;
    std::optional<ChannelPlan> plan;
    while (!plan) {
      try {
        report_.left = left;
        plan = plan_rounded(model, groups, scores, how);
      } catch (const Error& error) {
        if (!as_engine || how.round_to == 1 || error.kind() == ErrorKind::kInterrupted) throw;
        info("prune: widths in multiples of {} do not do: {}", how.round_to, error.what());
        how.round_to /= 2;
      }
    }
    if (plan->cuts.empty()) return model;
    report_.round_to = how.round_to;
    Model result = cut_channels(model, plan->cuts);
    check_cut(model, result, groups, plan->cuts);
    return result;
  }

  struct CostLimit {
    ModelCost of;
    double limit;
    const char* what;
  };
  CostLimit cost_limit() const {
    switch (target().kind) {
      case TargetKind::kMacs:
        return {model_macs, target().value * model_macs(model_), "MACs"};
      case TargetKind::kParameters:
        return {model_parameters, target().value * model_parameters(model_), "parameters"};
      default:
        return {model_bytes, target().value * (target().relative ? model_bytes(model_) : 1), "bytes"};
    }
  }

  // The cuts with widths rounded as `how` says; what may not go is put down.
  ChannelPlan plan_rounded(const Model& model, const std::vector<ChannelGroup>& groups,
                           const std::vector<std::vector<float>>& scores, const ChoiceOptions& how) {
    const ChannelChoice choice{model, groups, channel_bounds(model, groups, how), scores, how.global};
    const GroupBound* bound = nullptr;
    for (size_t i = 0; i < groups.size(); ++i) {
      if (choice.bounds[i].reason.empty()) continue;
      report_.left.push_back({groups[i].name, choice.bounds[i].reason});
      if (!bound) bound = &choice.bounds[i];
    }
    MC_CHECK(removable_channels(choice.bounds) > 0, "no channel may go; '{}': {}",
             groups[static_cast<size_t>(bound - choice.bounds.data())].name, bound->reason);
    ChannelPlan plan = plan_for_target(choice);
    MC_CHECK(!plan.cuts.empty() || !report_.blocks.empty(),
             "nothing is to be cut: the model reaches the target as it is, or widths rounded to multiples of "
             "{} leave no smaller ones",
             how.round_to);
    return plan;
  }

  ChannelPlan plan_for_target(const ChannelChoice& choice) {
    if (target().kind == TargetKind::kSparsity) return plan_ratio(choice, target().value);
    if (target().kind == TargetKind::kSpeedup) return meter_->plan(choice, target().value);
    const CostLimit cost = cost_limit();
    return plan_channels(choice, cost.of, cost.limit, cost.what);
  }

  // The cut model against zeros in the same places, both by our own kernels.
  void check_cut(const Model& model, const Model& result, const std::vector<ChannelGroup>& groups,
                 const std::vector<ChannelCut>& cuts) {
    const Model masked = mask_channels(model, cuts);
    const fs::path file = options().output.string() + ".masked.onnx";
    write_pruned(masked, file);
    report_.sizes.push_back(size_of("sparse", masked, file));
    std::error_code error;
    fs::remove(file, error);
    for (const ChannelGroup& group : groups) {
      const bool goes = std::ranges::count(cuts, group.name, &ChannelCut::group) > 0;
      if (goes && !group.exact) report_.cut_note = fmt::format("{}: {}", group.name, group.inexact);
    }
    try {
      report_.cut_error = largest_difference(masked, result, open_model_data(model, kRandomSamples, 0));
    } catch (const Error& problem) {
      if (problem.kind() == ErrorKind::kInterrupted) throw;
      report_.cut_note = fmt::format("not compared: {}", problem.what());
      return;
    }
    MC_CHECK(!report_.cut_note.empty() || *report_.cut_error <= kLargestCutError,
             "the cut model departs from the masked one by {:.3g} of its largest output; nothing was written",
             *report_.cut_error);
  }

  const Model& model_;
  const PruneSamples& samples_;
  PruneFileReport& report_;
  std::unique_ptr<SpeedMeter> meter_;
};

}  // namespace

Model prune_smaller(const Model& model, const PruneSamples& samples, PruneFileReport& report) {
  return ModelShrinker(model, samples, report).run();
}

LatencyOptions prune_latency(const PruneFileOptions& options) {
  LatencyOptions latency;
  latency.engine = options.engine;
  latency.batch = options.latency_batch;
  latency.seconds = std::max(0.1, options.seconds);
  return latency;
}

void write_pruned(Model model, const fs::path& file) {
  model.producer_name = "model-compression";
  write_onnx(model, file);
}

}  // namespace mc
