#include "mc/data/metric.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {
namespace {

const at::Tensor& first_output(const std::vector<at::Tensor>& outputs) {
  MC_CHECK(!outputs.empty() && outputs[0].defined(), "the model has no output to measure");
  return outputs[0];
}

// Scores [N, classes] and labels [N], checked.
at::Tensor scores_of(const std::vector<at::Tensor>& outputs, const at::Tensor& labels) {
  const at::Tensor& scores = first_output(outputs);
  MC_CHECK(scores.dim() == 2 && labels.dim() == 1 && scores.size(0) == labels.size(0) && scores.size(1) > 0,
           "classification needs an output [N, classes] and labels [N], got [{}] and [{}]",
           fmt::join(scores.sizes(), ", "), fmt::join(labels.sizes(), ", "));
  MC_CHECK(labels.scalar_type() == at::kLong,
           "classification needs whole-number labels, these are {}; use mse",
           c10::toString(labels.scalar_type()));
  return scores.detach();
}

// Sums stay on the device of the outputs, so that a batch costs no synchronization there.
void accumulate(at::Tensor& total, const at::Tensor& part) {
  total = total.defined() ? total + part : part;
}

double number(const at::Tensor& total) {
  return total.defined() ? total.item().toDouble() : 0;
}

class TopAccuracy : public Metric {
 public:
  TopAccuracy(std::string name, int64_t places) : name_(std::move(name)), places_(places) {}
  std::string name() const override { return name_; }
  bool larger_is_better() const override { return true; }

  void add(const std::vector<at::Tensor>& outputs, const at::Tensor& labels) override {
    const at::Tensor scores = scores_of(outputs, labels);
    const at::Tensor classes = at::arange(scores.size(1), labels.options());
    const at::Tensor is_label = labels.unsqueeze(1) == classes;
    const at::Tensor own = at::where(is_label, scores, 0).sum(1, true);
    // "Not at most" instead of "above": NaN counts against the sample. Of equal scores the first class
    // wins, as argmax has it.
    const at::Tensor ahead = (scores <= own)
                                 .logical_not_()
                                 .logical_or_((scores == own).logical_and_(classes < labels.unsqueeze(1)));
    const at::Tensor found = (ahead.sum(1) < places_).logical_and_((own == own).squeeze(1));
    const at::Tensor hit = found.logical_and(is_label.any(1));
    accumulate(hits_, hit.sum());
    samples_ += labels.size(0);
  }

  double value() const override { return samples_ ? number(hits_) / static_cast<double>(samples_) : 0; }

 private:
  std::string name_;
  int64_t places_;
  at::Tensor hits_;
  int64_t samples_ = 0;
};

class MeanSquaredError : public Metric {
 public:
  std::string name() const override { return "mse"; }
  bool larger_is_better() const override { return false; }

  void add(const std::vector<at::Tensor>& outputs, const at::Tensor& labels) override {
    const at::Tensor& output = first_output(outputs);
    MC_CHECK(output.numel() == labels.numel() && output.dim() >= 1 && labels.dim() >= 1 &&
                 output.size(0) == labels.size(0),
             "mse needs as many outputs as labels, got [{}] and [{}]", fmt::join(output.sizes(), ", "),
             fmt::join(labels.sizes(), ", "));
    const at::Tensor difference = output.detach().reshape({-1}).to(at::kDouble) - labels.reshape({-1});
    accumulate(squares_, difference.square().sum());
    count_ += labels.numel();
  }

  double value() const override { return count_ ? number(squares_) / static_cast<double>(count_) : 0; }

 private:
  at::Tensor squares_;
  int64_t count_ = 0;
};

// Unweighted mean over the classes that occur, in labels or predictions, of 2 TP / (2 TP + FP + FN).
class MacroF1 : public Metric {
 public:
  std::string name() const override { return "f1"; }
  bool larger_is_better() const override { return true; }

  void add(const std::vector<at::Tensor>& outputs, const at::Tensor& labels) override {
    const at::Tensor scores = scores_of(outputs, labels);
    const at::Tensor one = at::ones_like(labels);
    const at::Tensor predictions = scores.argmax(1);
    const at::Tensor zeros = at::zeros({scores.size(1)}, labels.options());
    // A label that the model has no output for is a miss of a class of its own; it counts in none here.
    const at::Tensor known = (labels >= 0).logical_and_(labels < scores.size(1));
    const at::Tensor safe = labels.clamp(0, scores.size(1) - 1);
    accumulate(hits_, zeros.scatter_add(0, safe, known.logical_and(predictions == labels).to(at::kLong)));
    accumulate(seen_, zeros.scatter_add(0, safe, known.to(at::kLong)).scatter_add_(0, predictions, one));
  }

  double value() const override {
    if (!hits_.defined()) return 0;
    const at::Tensor occurs = seen_ > 0;
    const at::Tensor scores = hits_.to(at::kDouble) * 2 / seen_.clamp_min(1);
    return scores.sum().item<double>() / std::max<double>(1, occurs.sum().item().toDouble());
  }

 private:
  at::Tensor hits_;  // by class
  at::Tensor seen_;  // by class: as label plus as prediction
};

}  // namespace

std::vector<std::string> metric_names() {
  return {"top1", "top5", "mse", "f1"};
}

bool counts_classes(const std::string& metric) {
  return metric == "top1" || metric == "top5" || metric == "f1";
}

std::unique_ptr<Metric> make_metric(const std::string& name) {
  if (name == "top1") return std::make_unique<TopAccuracy>(name, 1);
  if (name == "top5") return std::make_unique<TopAccuracy>(name, 5);
  if (name == "mse") return std::make_unique<MeanSquaredError>();
  if (name == "f1") return std::make_unique<MacroF1>();
  fail("there is no metric '{}'{}; the metrics are {}", name, did_you_mean(name, metric_names()),
       join(metric_names(), ", "));
}

}  // namespace mc
