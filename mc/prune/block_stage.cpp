#include "mc/prune/block_stage.h"

#include <memory>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/prune/channel_target.h"
#include "mc/prune/score_samples.h"
#include "mc/prune/stages.h"

namespace mc {
namespace {

class BlockStage : public Method {
 public:
  BlockStage(PruneOptions options, MakeSpeedMeter make_meter)
      : options_(std::move(options)), make_meter_(std::move(make_meter)) {}

  std::string name() const override { return "prune"; }

  void begin(StageContext& context, bool resumed) override {
    if (resumed) return;
    const BlockTask task{options_.method, options_.keep_dense, options_.score_batches};
    gone_ = take_blocks_out(context, task, [&](BlockOrder& order) { take(order); });
  }

  Json figures() const override { return {{"blocks_gone", gone_}}; }

  std::map<std::string, at::Tensor> save() const override {
    return {{"gone", at::scalar_tensor(gone_, at::kLong)}};
  }
  void load(const std::map<std::string, at::Tensor>& state) override {
    MC_CHECK(state.contains("gone"), "prune: the checkpoint does not say how many blocks are gone");
    gone_ = state.at("gone").item<int64_t>();
  }

 private:
  void take(BlockOrder& order) const {
    const ChannelPruneOptions& target = options_.channels;
    if (target.block_ratio) return remove_block_ratio(order, *target.block_ratio);
    if (target.speedup) {
      const auto meter = make_meter_(target.engine, target.latency_batch);
      return remove_blocks_for_speed(order, *meter, *target.speedup);
    }
    const bool macs = target.macs.has_value();
    const auto cost = macs ? model_macs : model_parameters;
    const double part = macs ? *target.macs : *target.parameters;
    remove_blocks_to(order, cost, part * cost(order.model()), macs ? "MACs" : "parameters");
  }

  PruneOptions options_;
  MakeSpeedMeter make_meter_;
  int64_t gone_ = 0;
};

}  // namespace

int64_t take_blocks_out(StageContext& context, const BlockTask& task,
                        const std::function<void(BlockOrder&)>& take) {
  const Samples samples = score_samples(score_data(context, task.batches));
  BlockOrder order(task.method, context.module.graph(), samples, task.ignore, context.module.device());
  with_context([] { return std::string("prune"); }, [&] { take(order); });
  std::vector<std::string> names;
  for (const RemovedBlock& removed : order.removed()) {
    names.push_back(removed.block.name);
    // One by one: a name may stand for another sum once the block inside of it is gone.
    remove_blocks(context.module, {removed.block.name});
  }
  if (names.empty()) {
    warn("prune: the network reaches the target with all its residual blocks; none goes");
  } else {
    info("prune: {} of {} residual blocks gone: {}", names.size(), order.blocks(), join(names, ", "));
  }
  return static_cast<int64_t>(names.size());
}

void check_block_options(const PruneOptions& options) {
  const ChannelPruneOptions& target = options.channels;
  const int targets = target.macs.has_value() + target.parameters.has_value() +
                      target.block_ratio.has_value() + target.speedup.has_value();
  MC_CHECK(targets == 1, "{}: give one of macs, parameters, block_ratio and speedup", options.method);
}

std::shared_ptr<Method> make_block_stage(const PruneOptions& options, const MakeSpeedMeter& meter) {
  check_block_options(options);
  return std::make_shared<BlockStage>(options, meter);
}

}  // namespace mc
