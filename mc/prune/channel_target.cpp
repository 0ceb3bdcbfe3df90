#include "mc/prune/channel_target.h"

#include <cmath>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/state.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/op.h"

namespace mc {
namespace {

int64_t gone(const std::vector<ChannelCut>& cuts) {
  int64_t sum = 0;
  for (const ChannelCut& cut : cuts) sum += static_cast<int64_t>(cut.channels.size());
  return sum;
}

}  // namespace

double model_macs(const Model& given) {
  Model model = given;
  std::vector<std::pair<std::string, Type>> feeds;
  for (const ValueInfo* input : model.graph.real_inputs()) {
    Type type = input->type;
    if (type.is_tensor() && type.shape && !type.shape->empty()) type.shape->front() = Dim(1);
    feeds.emplace_back(input->name, std::move(type));
  }
  infer_shapes(model, feeds);
  double macs = 0;
  for (const NodeCost& cost : model_costs(model)) macs += cost.macs;
  return macs;
}

double model_parameters(const Model& given) {
  Model model = given;
  const Roles roles = assign_roles(model);
  double count = 0;
  for (const Initializer& initializer : model.graph.initializers()) {
    const auto role = roles.of.find(initializer.name);
    if (role != roles.of.end() && role->second == Role::kWeight)
      count += static_cast<double>(initializer.tensor.count());
  }
  return count;
}

double model_bytes(const Model& model) {
  return static_cast<double>(to_bytes(model).size());
}

ChannelPlan plan_channels(const ChannelChoice& choice, const ModelCost& cost, double limit,
                          const std::string& what) {
  const auto plan_of = [&](int64_t count) {
    ChannelPlan plan{choice.cuts(count), count, 0};
    plan.cost = cost(plan.cuts.empty() ? choice.model : cut_channels(choice.model, plan.cuts));
    return plan;
  };
  ChannelPlan whole = plan_of(0);
  if (whole.cost <= limit) return whole;
  int64_t low = 0, high = removable_channels(choice.bounds);  // low costs too much
  ChannelPlan best = plan_of(high);
  MC_CHECK(best.cost <= limit,
           "the target of {} {} cannot be reached: with all channels gone that may go, {} of {} are left. "
           "Allow more "
           "(the largest part of a layer that may go, the multiples that widths are rounded to, layers left "
           "alone), or aim lower",
           human_count(limit), what, human_count(best.cost), human_count(whole.cost));
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    ChannelPlan plan = plan_of(middle);
    if (plan.cost <= limit) {
      high = middle;
      best = std::move(plan);
    } else {
      low = middle;
    }
  }
  return best;
}

ChannelPlan plan_ratio(const ChannelChoice& choice, double ratio) {
  MC_CHECK(ratio >= 0 && ratio < 1, "the part of the channels that goes is in [0, 1), not {}", ratio);
  int64_t all = 0;
  for (const ChannelGroup& group : choice.groups) all += group.obstacle.empty() ? group.channels : 0;
  const auto count = std::llround(ratio * static_cast<double>(all));
  const int64_t removable = removable_channels(choice.bounds);
  MC_CHECK(count <= removable, "{} of {} channels cannot go: only {} may", count, all, removable);
  ChannelPlan plan{choice.cuts(count), count, 0};
  plan.cost = static_cast<double>(all - gone(plan.cuts));
  return plan;
}

}  // namespace mc
