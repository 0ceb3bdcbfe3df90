#include "mc/prune/channel_method.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/prune/block_stage.h"
#include "mc/prune/channel_target.h"
#include "mc/prune/group_scores.h"

namespace mc {
namespace {

constexpr int64_t kLeastBatches = 16;  // whose gradients a cut by gradients waits for
constexpr double kDefaultMacs = 0.5;
const std::string kNone = "none";

class ChannelMethod : public Method {
 public:
  ChannelMethod(ChannelMethodPlan plan, MakeSpeedMeter make_meter)
      : plan_(std::move(plan)),
        make_meter_(std::move(make_meter)),
        importance_(find_importance(plan_.method)) {}

  std::string name() const override { return "prune"; }

  void begin(StageContext& context, bool resumed) override {
    total_steps_ = context.total_steps();
    seed_ = context.seed;
    dense_cost_ = cost_of(context.module.graph());
    if (!resumed && plan_.options.blocks != kNone) take_blocks(context);
    const Model model = context.module.graph();
    look_at(model);
    for (const ChannelGroup& group : scorer_->groups()) choice_.original[group.name] = group.channels;
    if (resumed) return;
    cost_ = cost_of(model);
    target_ = target();
    // What cannot be reached is told before anything is trained.
    const ChannelChoice choice = choose(model, context.module, /*dry=*/true);
    if (plan_.options.speedup) {
      const ChannelPlan fast = in_prune([&] { return meter().plan(choice, *plan_.options.speedup); });
      target_ = cost_of(fast.cuts.empty() ? model : cut_channels(model, fast.cuts)) / dense_cost_;
      info("prune: {:.2f} x faster on {} with {:.1f} % of the MACs", *plan_.options.speedup,
           plan_.options.engine, 100 * target_);
    } else {
      plan_cut(choice, 1.0);
    }
  }

  void after_backward(StepContext& context) override {
    if (done_ == plan_.options.cuts) return;
    const at::NoGradGuard no_grad;
    if (importance_.needs_gradients)
      scorer_->observe([&](const std::string& name) { return context.module.tensor(name); });
    if (plan_.options.slimming > 0) shrink_norms(context.module);
    if (plan_.options.group_lasso > 0) shrink_channels(context.module);
  }

  void after_step(StepContext& context) override {
    if (done_ == plan_.options.cuts || context.step < step_of(done_ + 1)) return;
    if (importance_.needs_gradients && scorer_->observed() < kLeastBatches && context.step + 1 < total_steps_)
      return;
    // Two cuts that fall on one step are the later one.
    while (done_ < plan_.options.cuts && context.step >= step_of(done_ + 1)) ++done_;
    const Model model = context.module.graph();
    const double part = static_cast<double>(done_) / static_cast<double>(plan_.options.cuts);
    const ChannelChoice choice = choose(model, context.module, /*dry=*/false);
    const bool last = done_ == plan_.options.cuts;
    const ChannelPlan cut =
        last && plan_.options.speedup ? plan_last(choice) : plan_cut(choice, 1 - std::pow(1 - part, 3));
    if (!cut.cuts.empty()) cut_channels(context.module, cut.cuts);
    const Model left = context.module.graph();
    cost_ = cost_of(left);
    look_at(left);
    info("prune: cut {} of {}, {:.1f} % of the {} left", done_, plan_.options.cuts, 100 * cost_ / dense_cost_,
         what());
  }

  Json figures() const override {
    if (dense_cost_ <= 0) return Json::object();
    Json figures = {{"cuts", done_}, {what(), cost_ / dense_cost_}};
    if (plan_.options.blocks != kNone) figures["blocks_gone"] = blocks_gone_;
    return figures;
  }

  std::map<std::string, at::Tensor> save() const override {
    std::map<std::string, at::Tensor> state;
    state["costs"] = at::tensor({dense_cost_, cost_, target_}, at::kDouble);
    state["blocks_gone"] = at::scalar_tensor(blocks_gone_, at::kLong);
    state["cuts"] = at::scalar_tensor(done_, at::kLong);
    for (const auto& [group, channels] : choice_.original)
      state["channels/" + group] = at::scalar_tensor(channels, at::kLong);
    for (const auto& [name, tensor] : scorer_->save()) state["scores/" + name] = tensor;
    return state;
  }

  void load(const std::map<std::string, at::Tensor>& state) override {
    MC_CHECK(state.contains("costs") && state.at("costs").numel() == 3 && state.contains("cuts") &&
                 state.contains("blocks_gone"),
             "prune: the checkpoint does not say how far channels were cut");
    dense_cost_ = state.at("costs")[0].item<double>();
    cost_ = state.at("costs")[1].item<double>();
    target_ = state.at("costs")[2].item<double>();
    done_ = state.at("cuts").item<int64_t>();
    blocks_gone_ = state.at("blocks_gone").item<int64_t>();
    std::map<std::string, at::Tensor> scores;
    choice_.original.clear();
    for (const auto& [name, tensor] : state) {
      if (name.starts_with("channels/")) choice_.original[name.substr(9)] = tensor.item<int64_t>();
      if (name.starts_with("scores/")) scores[name.substr(7)] = tensor;
    }
    scorer_->load(scores);
  }

 private:
  const char* what() const {
    const ChannelPruneOptions& options = plan_.options;
    return options.parameters ? "parameters" : options.channel_ratio ? "channels" : "macs";
  }

  double target() const {
    const ChannelPruneOptions& options = plan_.options;
    if (options.channel_ratio) return 1 - *options.channel_ratio;
    return options.parameters ? *options.parameters : options.macs.value_or(kDefaultMacs);
  }

  double cost_of(const Model& model) const {
    if (plan_.options.parameters) return model_parameters(model);
    if (!plan_.options.channel_ratio) return model_macs(model);
    double channels = 0;
    for (const ChannelGroup& group : channel_groups(model))
      channels += group.obstacle.empty() ? static_cast<double>(group.channels) : 0;
    return channels;
  }

  // In which step cut k (from 1) is due.
  int64_t step_of(int64_t k) const {
    const auto steps = static_cast<double>(total_steps_);
    const double parts = static_cast<double>(std::max<int64_t>(1, plan_.options.cuts - 1));
    const double at = plan_.begin + (plan_.end - plan_.begin) * static_cast<double>(k - 1) / parts;
    return std::min<int64_t>(std::llround(at * steps), total_steps_ - 1);
  }

  void look_at(const Model& model) {
    scorer_.emplace(importance_, model, channel_groups(model), seed_);
    scales_ = norm_scales(model.graph);
  }

  static ChannelPlan in_prune(const std::function<ChannelPlan()>& plan) {
    return with_context([] { return std::string("prune"); }, plan);
  }

  SpeedMeter& meter() {
    if (!meter_) meter_ = make_meter_(plan_.options.engine, plan_.options.latency_batch);
    return *meter_;
  }

  void take_blocks(StageContext& context) {
    const ChannelPruneOptions& options = plan_.options;
    const BlockTask task{options.blocks, patterns_of_blocks(context.module.graph(), plan_.ignore),
                         plan_.score_batches};
    blocks_gone_ = take_blocks_out(context, task, [&](BlockOrder& order) {
      if (options.block_ratio) {
        remove_block_ratio(order, *options.block_ratio);
      } else if (options.speedup) {
        remove_blocks_halfway(order, meter(), *options.speedup);
      } else {
        remove_blocks_halfway(
            order, [&](const Model& model) { return cost_of(model); }, dense_cost_ * target());
      }
    });
  }

  ChannelChoice choose(const Model& model, GraphModule& module, bool dry) {
    choice_.global = plan_.options.ranking == "global";
    choice_.round_to = plan_.options.round_to;
    choice_.min_channels = plan_.options.min_channels;
    choice_.max_part = plan_.options.max_part;
    choice_.ignore = plan_.ignore;
    choice_.limits = plan_.options.limits;
    ChannelChoice choice{
        model, scorer_->groups(), channel_bounds(model, scorer_->groups(), choice_), {}, choice_.global};
    if (dry && importance_.needs_gradients) {
      for (const ChannelGroup& group : choice.groups) {
        const bool counts = group.obstacle.empty();
        choice.scores.emplace_back(counts ? static_cast<size_t>(group.channels) : 0, 1.0F);
      }
    } else {
      choice.scores = scorer_->scores([&](const std::string& name) { return module.tensor(name); });
    }
    return choice;
  }

  // `progress` 0: the whole network, 1: the target.
  ChannelPlan plan_cut(const ChannelChoice& choice, double progress) {
    const double limit = dense_cost_ * (1 - (1 - target_) * progress);
    const auto cost = [&](const Model& model) { return cost_of(model); };
    return in_prune([&] { return plan_channels(choice, cost, limit, what()); });
  }

  // By the clock once more; where noise or other scores than at the beginning do not let it be reached, what
  // was planned then is kept to.
  ChannelPlan plan_last(const ChannelChoice& choice) {
    try {
      return meter().plan(choice, *plan_.options.speedup);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInterrupted) throw;
      warn("prune: {}; cut to {:.1f} % of the MACs instead", error.what(), 100 * target_);
      return plan_cut(choice, 1.0);
    }
  }

  void shrink_norms(GraphModule& module) const {
    for (const std::string& name : scales_) {
      at::Tensor scale = module.tensor(name);
      if (scale.grad().defined()) scale.mutable_grad().add_(scale.sign(), plan_.options.slimming);
    }
  }

  void shrink_channels(GraphModule& module) const {
    for (const ChannelGroup& group : scorer_->groups()) {
      if (!group.obstacle.empty()) continue;
      at::Tensor squares;                                      // by channel
      std::vector<std::pair<at::Tensor, at::Tensor>> members;  // parameter, channel of each index or -1
      for (const ChannelMember& member : group.members) {
        if (!member.produces || !member.maskable) continue;
        const at::Tensor value = module.tensor(member.initializer);
        if (!value.grad().defined()) continue;
        const at::Tensor owner = owners(member, value);
        at::Tensor sums = value.square().movedim(member.axis, 0).flatten(1).sum(1);
        at::Tensor by_channel = at::zeros({group.channels + 1}, sums.options()).index_add_(0, owner, sums);
        squares = squares.defined() ? squares + by_channel : by_channel;
        std::vector<int64_t> shape(static_cast<size_t>(value.dim()), 1);
        shape[static_cast<size_t>(member.axis)] = -1;
        members.emplace_back(value, owner.view(shape));
      }
      if (members.empty()) continue;
      at::Tensor factor = plan_.options.group_lasso / squares.sqrt().clamp_min(1e-12);
      factor[group.channels] = 0;
      for (auto& [value, owner] : members)
        value.mutable_grad().add_(value * factor.index_select(0, owner.flatten()).view(owner.sizes()));
    }
  }

  // The channel that each index of the member's axis belongs to; the number of channels where it is in none.
  static at::Tensor owners(const ChannelMember& member, const at::Tensor& value) {
    const auto channels = static_cast<int64_t>(member.positions.size());
    std::vector<int64_t> owner(static_cast<size_t>(value.size(member.axis)), channels);
    for (size_t c = 0; c < member.positions.size(); ++c) {
      for (const int64_t index : member.positions[c])
        owner.at(static_cast<size_t>(index)) = static_cast<int64_t>(c);
    }
    return at::tensor(owner, at::kLong).to(value.device());
  }

  ChannelMethodPlan plan_;
  MakeSpeedMeter make_meter_;
  std::unique_ptr<SpeedMeter> meter_;
  const Importance& importance_;
  ChoiceOptions choice_;
  std::optional<GroupScorer> scorer_;
  std::set<std::string> scales_;
  int64_t total_steps_ = 0, done_ = 0, blocks_gone_ = 0;
  uint64_t seed_ = 0;
  double dense_cost_ = 0, cost_ = 0;
  double target_ = 1;  // part of the cost that stays
};

}  // namespace

void check_channel_plan(const ChannelMethodPlan& plan) {
  find_importance(plan.method);
  const ChannelPruneOptions& options = plan.options;
  const int targets = options.macs.has_value() + options.parameters.has_value() +
                      options.channel_ratio.has_value() + options.speedup.has_value();
  MC_CHECK(targets <= 1, "give one of macs, parameters, channel_ratio and speedup");
  const bool blocks = options.blocks != kNone;
  if (blocks) find_block_importance(options.blocks);
  MC_CHECK(blocks || !options.block_ratio, "block_ratio is for methods of blocks ({}), or with blocks",
           join(block_method_names(), ", "));
  MC_CHECK(!blocks || options.block_ratio || !options.channel_ratio,
           "channel_ratio does not say how many blocks go; give block_ratio too");
  MC_CHECK(plan.begin <= plan.end, "end ({}) is before begin ({})", plan.end, plan.begin);
}

std::shared_ptr<Method> make_channel_method(const ChannelMethodPlan& plan, const MakeSpeedMeter& meter) {
  check_channel_plan(plan);
  MC_CHECK(meter || !plan.options.speedup, "nothing was given to measure a speed-up with");
  return std::make_shared<ChannelMethod>(plan, meter);
}

}  // namespace mc
