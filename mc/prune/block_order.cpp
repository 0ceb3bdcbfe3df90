#include "mc/prune/block_order.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/graph_module.h"
#include "mc/prune/output_error.h"

namespace mc {
namespace {

// One vector a row: the tokens of three axes, else the samples.
at::Tensor vectors_of(const at::Tensor& value) {
  const at::Tensor exact = value.to(at::kDouble);
  if (exact.dim() < 2) return exact.reshape({1, -1});
  return exact.dim() == 3 ? exact.flatten(0, 1) : exact.flatten(1);
}

// Of each row 1 - cosine; a row of zeros is like another, and unlike all else.
at::Tensor turns(const at::Tensor& from, const at::Tensor& to) {
  const at::Tensor a = vectors_of(from), b = vectors_of(to);
  const at::Tensor size_a = a.square().sum(1).sqrt(), size_b = b.square().sum(1).sqrt();
  const at::Tensor cosine = (a * b).sum(1) / (size_a * size_b).clamp_min(1e-300);
  const at::Tensor both_zero = (size_a == 0).logical_and(size_b == 0);
  return 1 - at::where(both_zero, at::ones_like(cosine), cosine);
}

bool matches(const std::string& pattern, const ResidualBlock& block) {
  const auto fits = [&](const std::string& name) { return glob_match(pattern, name); };
  return fits(block.name) || std::ranges::any_of(block.initializers, fits);
}

ModuleOptions module_on(at::Device device) {
  ModuleOptions options;
  options.device = device;
  return options;
}

}  // namespace

const std::vector<BlockImportance>& block_importances() {
  static const std::vector<BlockImportance> all = {
      {"blocks_cosine", "residual blocks that turn their input least (ShortGPT, Men et al. 2024)"},
      {"blocks_output",
       "residual blocks without which the outputs change least, one after another (SLEB, Song et al. 2024)",
       true},
  };
  return all;
}

std::vector<std::string> block_method_names() {
  std::vector<std::string> names;
  for (const BlockImportance& importance : block_importances()) names.push_back(importance.name);
  return names;
}

std::vector<std::string> with_none(std::vector<std::string> names) {
  names.insert(names.begin(), "none");
  return names;
}

bool is_block_method(const std::string& name) {
  return std::ranges::count(block_importances(), name, &BlockImportance::name) > 0;
}

const BlockImportance& find_block_importance(const std::string& name) {
  const auto found = std::ranges::find(block_importances(), name, &BlockImportance::name);
  MC_CHECK(found != block_importances().end(), "unknown kind of importance '{}'{}", name,
           did_you_mean(name, block_method_names()));
  return *found;
}

BlockOrder::BlockOrder(const std::string& method, Model model, const Samples& samples,
                       const std::vector<std::string>& ignore, at::Device device)
    : importance_(&find_block_importance(method)), model_(std::move(model)), device_(device) {
  for (const ResidualBlock& block : residual_blocks(model_)) known_.push_back(block.name);
  blocks_ = static_cast<int64_t>(known_.size());
  MC_CHECK(blocks_ > 0, "the model has no residual block: no sum of a value and what is computed from it");
  leave_alone(ignore);
  if (!importance_->anew) {
    scores_ = cosines(samples);
    return;
  }
  GraphModule module(model_, module_on(device_));
  outputs_ = std::make_unique<HeldOutputs>(module, samples);
}

BlockOrder::~BlockOrder() = default;

void BlockOrder::leave_alone(const std::vector<std::string>& patterns) {
  const std::vector<ResidualBlock> blocks = residual_blocks(model_);
  for (const std::string& pattern : patterns) {
    bool matched = false;
    for (const ResidualBlock& block : blocks) {
      const bool meant = matches(pattern, block);
      matched = matched || meant;
      if (meant && std::ranges::count(ignored_, block.name) == 0) ignored_.push_back(block.name);
    }
    MC_CHECK(matched, "no residual block and no parameter in one matches '{}'{}", pattern,
             did_you_mean(pattern, known_));
  }
  std::erase_if(known_, [&](const std::string& name) { return std::ranges::count(ignored_, name) > 0; });
}

std::map<std::string, double> BlockOrder::cosines(const Samples& samples) const {
  GraphModule module(model_, module_on(device_));
  module.eval();
  const std::vector<ResidualBlock> blocks = candidates();
  std::vector<std::string> wanted;
  for (const ResidualBlock& block : blocks) wanted.insert(wanted.end(), {block.skip, block.output});
  const GraphModule::Observer run = module.observer(wanted);
  std::map<std::string, double> sums;
  std::map<std::string, int64_t> rows;
  for_each_batch(samples, "blocks", [&](const Batch& batch) {
    std::unordered_map<std::string, at::Tensor> values;
    run(batch.inputs,
        [&](const std::string& name, const at::Tensor& value) { values.insert_or_assign(name, value); });
    for (const ResidualBlock& block : blocks) {
      const at::Tensor turned = turns(values.at(block.skip), values.at(block.output));
      sums[block.name] += turned.sum().item<double>();
      rows[block.name] += turned.numel();
    }
  });
  for (auto& [name, sum] : sums) {
    MC_CHECK(rows[name] > 0 && std::isfinite(sum), "the values around block '{}' hold NaN or infinity", name);
    sum /= static_cast<double>(rows[name]);
  }
  return sums;
}

std::vector<ResidualBlock> BlockOrder::candidates() const {
  std::vector<ResidualBlock> blocks = residual_blocks(model_);
  std::erase_if(blocks,
                [&](const ResidualBlock& block) { return std::ranges::count(known_, block.name) == 0; });
  return blocks;
}

int64_t BlockOrder::removable() const {
  return static_cast<int64_t>(candidates().size());
}

double BlockOrder::score(const ResidualBlock& block) const {
  if (!importance_->anew) return scores_.at(block.name);
  GraphModule module(remove_blocks(model_, {block.name}), module_on(device_));
  return outputs_->error(module);
}

bool BlockOrder::remove_next() {
  std::optional<RemovedBlock> least;
  for (ResidualBlock& block : candidates()) {
    const double score = this->score(block);
    MC_CHECK(std::isfinite(score), "without block '{}' the model gives NaN or infinity", block.name);
    if (!least || score < least->score) least = RemovedBlock{std::move(block), score};
  }
  if (!least) return false;
  model_ = remove_blocks(model_, {least->block.name});
  removed_.push_back(std::move(*least));
  return true;
}

std::vector<std::string> patterns_of_blocks(const Model& model, const std::vector<std::string>& patterns) {
  const std::vector<ResidualBlock> blocks = residual_blocks(model);
  std::vector<std::string> matching;
  for (const std::string& pattern : patterns) {
    if (std::ranges::any_of(blocks, [&](const ResidualBlock& block) { return matches(pattern, block); }))
      matching.push_back(pattern);
  }
  return matching;
}

bool remove_blocks_until(BlockOrder& order, const std::function<bool(const Model&)>& enough) {
  while (!enough(order.model())) {
    if (!order.remove_next()) return false;
  }
  return true;
}

void remove_blocks_to(BlockOrder& order, const std::function<double(const Model&)>& cost, double limit,
                      const std::string& what) {
  const double whole = cost(order.model());
  const bool reached = remove_blocks_until(order, [&](const Model& model) { return cost(model) <= limit; });
  MC_CHECK(
      reached,
      "the target of {} {} cannot be reached: with all {} residual blocks gone that may go, {} of {} are "
      "left. Aim lower, or cut channels (channels_l2, ...)",
      human_count(limit), what, order.removed().size(), human_count(cost(order.model())), human_count(whole));
}

void remove_blocks_for_speed(BlockOrder& order, SpeedMeter& meter, double factor) {
  double speed = 1;
  const bool reached = remove_blocks_until(order, [&](const Model& model) {
    speed = meter.speed(model);
    return speed >= factor;
  });
  MC_CHECK(reached,
           "{:.2f} x faster cannot be reached: with all {} residual blocks gone that may go, it is {:.2f} x. "
           "Aim lower, or cut channels (channels_l2, ...)",
           factor, order.removed().size(), speed);
}

void remove_blocks_halfway(BlockOrder& order, const std::function<double(const Model&)>& cost, double limit) {
  const double half = std::sqrt(limit * cost(order.model()));
  remove_blocks_until(order, [&](const Model& model) { return cost(model) <= half; });
}

void remove_blocks_halfway(BlockOrder& order, SpeedMeter& meter, double factor) {
  const double half = std::sqrt(factor);
  remove_blocks_until(order, [&](const Model& model) { return meter.speed(model) >= half; });
}

void remove_block_ratio(BlockOrder& order, double ratio) {
  MC_CHECK(ratio >= 0 && ratio <= 1, "the part of the residual blocks that goes is in [0, 1], not {}", ratio);
  const auto count = static_cast<size_t>(std::llround(ratio * static_cast<double>(order.blocks())));
  const bool reached =
      remove_blocks_until(order, [&](const Model&) { return order.removed().size() >= count; });
  MC_CHECK(reached, "{} of {} residual blocks cannot go: only {} may", count, order.blocks(),
           order.removed().size());
}

}  // namespace mc
