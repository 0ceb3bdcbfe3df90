#include <cmath>

#include <ATen/ATen.h>

#include "mc/quantize/fake_quantize_node.h"
#include "mc/quantize/quantize.h"
#include "mc/quantize/settle_biases.h"

namespace mc {
namespace {

class QuantizeMethod : public Method {
 public:
  explicit QuantizeMethod(QuantizeOptions options) : options_(std::move(options)) {}

  std::string name() const override { return "quantize"; }

  void begin(StageContext& context, bool resumed) override {
    if (!resumed) prepare_qat(context.module, options_);
    const auto steps = static_cast<double>(context.total_steps());
    start_ = std::llround(options_.start * steps);
    freeze_observers_ = std::llround(options_.freeze_observers * steps);
    freeze_batch_norm_ = std::llround(options_.freeze_batch_norm * steps);
    current_ = -1;
  }

  void before_forward(StepContext& context) override {
    const int phase = (context.step >= start_) + 2 * (context.step >= freeze_observers_) +
                      4 * (context.step >= freeze_batch_norm_);
    if (phase == current_) return;
    current_ = phase;
    set_phase(context.module, {.observe = context.step < freeze_observers_,
                               .quantize = context.step >= start_,
                               .freeze_batch_norm = context.step >= freeze_batch_norm_});
  }

  // Whatever the schedule said, the stage ends quantized, with biases as integers hold them.
  void end(StageContext& context) override {
    set_phase(context.module, {.observe = false, .quantize = true, .freeze_batch_norm = true});
    if (context.total_steps() > 0) settle_biases(context.module, options_);
  }

 private:
  QuantizeOptions options_;
  int64_t start_ = 0;
  int64_t freeze_observers_ = 0;
  int64_t freeze_batch_norm_ = 0;
  int current_ = -1;
};

}  // namespace

void set_phase(GraphModule& module, const QatPhase& phase) {
  at::NoGradGuard no_grad;
  for (const Node& node : module.structure().graph.nodes) {
    if (node.is("FoldedBatchNormalization", "mc")) {
      module.tensor(node.inputs[5]).fill_(phase.freeze_batch_norm ? 1 : 0);
    }
    if (!is_quantizer(node)) continue;
    // A weight's range is that of its values now; only ranges of activations, and what is learned, freeze.
    const bool weight =
        node.op_type == "FakeQuantize" && find_metadata(node.metadata, kQuantizesWeight) != nullptr;
    at::Tensor flags = module.tensor(quantizer_flags(node));
    flags[0].fill_(phase.observe || weight ? 1 : 0);
    flags[1].fill_(phase.quantize ? 1 : 0);
  }
}

std::shared_ptr<Method> make_quantize_method(const QuantizeOptions& options) {
  find_target(options.target);
  return std::make_shared<QuantizeMethod>(options);
}

}  // namespace mc
