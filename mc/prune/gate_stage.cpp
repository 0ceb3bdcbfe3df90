// Stages that learn gates. While they learn, a weight is a latent one times its gate; the optimizer moves the
// latent one, and the gates move by Adam on the loss plus a price for every gate that is open. The price is
// either given, or follows the sparsity that the schedule wants: it grows where too many gates are open. When
// the schedule has come to its end, exactly the wanted part of weights is masked, those with the lowest
// gates, and the rest of the stage trains under the masks.
#include <cmath>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/prune/gates.h"
#include "mc/prune/pruning_config.h"
#include "mc/prune/sparsity_schedule.h"
#include "mc/prune/stages.h"
#include "mc/prune/structure.h"

namespace mc {
namespace {

constexpr double kGateBeta1 = 0.9, kGateBeta2 = 0.999, kGateEpsilon = 1e-12;
// How fast the price follows: by this factor's logarithm a step where all gates were wrong.
constexpr double kPriceGain = 0.3;

struct Gated {
  std::string name;
  at::Tensor number;         // learned
  at::Tensor latent;         // the weight without its gate
  at::Tensor moment, scale;  // of Adam
  at::Tensor leaf, gate;     // of the step that is under way
};

class GateStage : public Method {
 public:
  GateStage(PruneOptions options, std::unique_ptr<GateKind> kind)
      : options_(std::move(options)), kind_(std::move(kind)) {}

  std::string name() const override { return "prune"; }

  void begin(StageContext& context, bool) override {
    const at::NoGradGuard no_grad;
    const auto steps = static_cast<double>(context.total_steps());
    const int64_t last = std::max<int64_t>(context.total_steps() - 1, 0);
    end_ = std::min<int64_t>(std::llround(options_.end * steps), last);
    begin_ = std::min<int64_t>(std::llround(options_.begin * steps), end_);
    seed_ = context.seed;
    module_ = &context.module;
    gates_.clear();
    PruningConfig config;
    for (const std::string& pattern : options_.keep_dense) config.weights[pattern].not_to_prune = true;
    for (const PruneTarget& target : prune_targets(context.module, config)) {
      const at::Tensor weight = context.module.tensor(target.name).detach();
      MC_CHECK(at::isfinite(weight.sum()).item<bool>(), "pruning: parameter '{}' holds NaN or infinity",
               target.name);
      gates_.push_back({target.name,
                        at::full_like(weight, kind_->initial()),
                        weight.clone(),
                        at::zeros_like(weight),
                        at::zeros_like(weight),
                        {},
                        {}});
    }
  }

  void before_forward(StepContext& context) override {
    if (settled_) return;
    for (size_t i = 0; i < gates_.size(); ++i) {
      Gated& gated = gates_[i];
      gated.leaf = gated.number.detach().requires_grad_();
      const at::AutoGradMode enable(true);
      gated.gate = kind_->training(gated.leaf, noise(context.step, i, gated.number));
      const at::NoGradGuard no_grad;
      weight(gated).copy_(gated.latent * gated.gate.detach());
    }
  }

  void after_backward(StepContext&) override {
    if (settled_) return;
    std::vector<at::Tensor> pulls;
    for (Gated& gated : gates_) pulls.push_back(pull_of(gated));
    if (price_ <= 0) price_ = options_.gate_price > 0 ? options_.gate_price : first_price(pulls);
    ++updates_;
    for (size_t i = 0; i < gates_.size(); ++i) move(gates_[i], pulls[i]);
  }

  void after_update(StepContext&) override {
    if (settled_) return;
    const at::NoGradGuard no_grad;
    for (Gated& gated : gates_) {
      gated.latent.copy_(weight(gated));
      weight(gated).mul_(kind_->settled(gated.number));
    }
  }

  void after_step(StepContext& context) override {
    if (settled_) return;
    const double wanted = SparsitySchedule{"cubic", begin_, end_, 1}.sparsity(options_.initial_sparsity,
                                                                              target(), context.step);
    closed_ = closed_part();
    if (options_.gate_price == 0) price_ *= std::exp(kPriceGain * (wanted - closed_));
    if (context.step >= end_) settle();
  }

  void end(StageContext&) override {
    if (!settled_) settle();
  }

  Json figures() const override { return {{"sparsity", closed_}, {"gate_price", price_}}; }

  std::map<std::string, at::Tensor> save() const override {
    std::map<std::string, at::Tensor> state;
    state["progress"] =
        at::tensor({price_, static_cast<double>(updates_), settled_ ? 1.0 : 0.0, closed_}, at::kDouble);
    for (const Gated& gated : gates_) {
      state["number/" + gated.name] = gated.number;
      state["latent/" + gated.name] = gated.latent;
      state["moment/" + gated.name] = gated.moment;
      state["scale/" + gated.name] = gated.scale;
    }
    return state;
  }

  void load(const std::map<std::string, at::Tensor>& state) override {
    const at::NoGradGuard no_grad;
    const auto find = [&](const std::string& key) {
      const auto found = state.find(key);
      MC_CHECK(found != state.end(), "the checkpoint has no '{}' of pruning", key);
      return found->second;
    };
    const at::Tensor progress = find("progress").cpu();
    price_ = progress[0].item<double>();
    updates_ = static_cast<int64_t>(progress[1].item<double>());
    settled_ = progress[2].item<double>() != 0;
    closed_ = progress[3].item<double>();
    for (Gated& gated : gates_) {
      gated.number.copy_(find("number/" + gated.name));
      gated.latent.copy_(find("latent/" + gated.name));
      gated.moment.copy_(find("moment/" + gated.name));
      gated.scale.copy_(find("scale/" + gated.name));
    }
  }

 private:
  at::Tensor weight(const Gated& gated) const { return module_->tensor(gated.name).detach(); }
  double target() const { return options_.target_sparsity.value_or(0.8); }

  // The same for a step whether or not training was interrupted before it.
  at::Tensor noise(int64_t step, size_t index, const at::Tensor& like) const {
    const uint64_t seed = seed_ * 0x9E3779B97F4A7C15ULL + static_cast<uint64_t>(step) * 1000003ULL + index;
    const at::Tensor u = at::rand(like.sizes(), at::detail::createCPUGenerator(seed), at::kFloat);
    return u.clamp(1e-6, 1 - 1e-6).to(like.device());
  }

  // How the loss pulls at the learned number; the weight's gradient becomes that of the latent weight.
  at::Tensor pull_of(Gated& gated) {
    at::Tensor live = module_->tensor(gated.name);
    at::Tensor pull = at::zeros_like(gated.number);
    if (live.grad().defined()) {
      const at::Tensor product = live.grad().detach() * gated.latent;
      pull = torch::autograd::grad({gated.gate}, {gated.leaf}, {product}, /*retain_graph=*/false)[0];
      const at::NoGradGuard no_grad;
      live.mutable_grad().mul_(gated.gate.detach());
    }
    const at::NoGradGuard no_grad;
    live.copy_(gated.latent);
    gated.gate = at::Tensor();
    return pull;
  }

  // Such that it is of the size of what the loss says.
  double first_price(const std::vector<at::Tensor>& pulls) const {
    double sum = 0, count = 0;
    for (const at::Tensor& pull : pulls) {
      sum += pull.abs().sum(at::kDouble).item<double>();
      count += static_cast<double>(pull.numel());
    }
    return std::max(sum / count, 1e-12);
  }

  void move(Gated& gated, const at::Tensor& pull) {
    const at::AutoGradMode enable(true);
    const at::Tensor dearness =
        torch::autograd::grad({kind_->price(gated.leaf).sum()}, {gated.leaf}, {}, /*retain_graph=*/false)[0];
    const at::NoGradGuard no_grad;
    const at::Tensor gradient = pull + price_ * dearness;
    gated.moment.mul_(kGateBeta1).add_(gradient, 1 - kGateBeta1);
    gated.scale.mul_(kGateBeta2).addcmul_(gradient, gradient, 1 - kGateBeta2);
    const auto updates = static_cast<double>(updates_);
    const at::Tensor mean = gated.moment / (1 - std::pow(kGateBeta1, updates));
    const at::Tensor size = (gated.scale / (1 - std::pow(kGateBeta2, updates))).sqrt();
    gated.number.sub_(mean / (size + kGateEpsilon), options_.gate_lr);
    gated.leaf = at::Tensor();
  }

  double closed_part() const {
    std::vector<at::Tensor> closed;
    double all = 0;
    for (const Gated& gated : gates_) {
      closed.push_back(kind_->settled(gated.number).eq(0).sum());
      all += static_cast<double>(gated.number.numel());
    }
    return at::stack(closed).sum().item<double>() / all;
  }

  // Masks for good; weights have their settled gates in them already.
  void settle() {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> keep;
    if (options_.gate_price > 0) {
      for (const Gated& gated : gates_) keep.push_back(kind_->settled(gated.number).gt(0));
    } else {
      std::vector<ScoreTensor> scores;
      for (const Gated& gated : gates_) {
        const at::Tensor mask = module_->mask(gated.name);
        scores.push_back(
            {mask.defined() ? gated.number.masked_fill(mask.logical_not(), -1e30) : gated.number});
      }
      keep = keep_masks(scores, target(), Unstructured{}, std::vector<WeightAxes>(scores.size()));
    }
    double gone = 0, all = 0;
    for (size_t i = 0; i < gates_.size(); ++i) {
      const at::Tensor before = module_->mask(gates_[i].name);
      module_->set_mask(gates_[i].name, before.defined() ? keep[i].logical_and(before) : keep[i]);
      gone += module_->mask(gates_[i].name).logical_not().sum().item<double>();
      all += static_cast<double>(keep[i].numel());
    }
    closed_ = gone / all;
    settled_ = true;
  }

  PruneOptions options_;
  std::unique_ptr<GateKind> kind_;
  GraphModule* module_ = nullptr;
  std::vector<Gated> gates_;
  int64_t begin_ = 0, end_ = 0;
  uint64_t seed_ = 0;
  double price_ = 0;   // of one open gate, in units of the loss
  double closed_ = 0;  // part of the gates that are closed, or of the weights masked
  int64_t updates_ = 0;
  bool settled_ = false;
};

void check_gate_options(const PruneOptions& options) {
  MC_CHECK(options.layers.empty() && options.layer_types.empty() && options.distribution == "uniform",
           "{} learns what each layer loses: leave layers, layer_types and distribution out", options.method);
}

}  // namespace

std::shared_ptr<Method> make_l0_stage(const PruneOptions& options) {
  check_gate_options(options);
  return std::make_shared<GateStage>(options, make_l0_gate());
}

std::shared_ptr<Method> make_soft_movement_stage(const PruneOptions& options) {
  check_gate_options(options);
  return std::make_shared<GateStage>(options, make_soft_movement_gate(options.gate_threshold));
}

}  // namespace mc
