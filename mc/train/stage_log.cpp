#include "mc/train/stage_log.h"

#include <utility>

#include "mc/base/text.h"

namespace mc {
namespace {

// "  prune sparsity 0.5" for every number that a method gives.
std::string figures_text(const std::string& method, const Json& figures) {
  std::string text;
  for (const auto& [key, value] : figures.items()) {
    if (value.is_number()) text += fmt::format("  {} {} {:.4g}", method, key, value.get<double>());
  }
  return text;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

StageLog::StageLog(std::string stage, const TrainOptions& options, int64_t batches_per_epoch,
                   const std::vector<std::shared_ptr<Method>>& methods, const MetricsSink& sink)
    : stage_(std::move(stage)),
      options_(options),
      batches_per_epoch_(batches_per_epoch),
      methods_(methods),
      sink_(sink),
      start_(std::chrono::steady_clock::now()) {}

void StageLog::start_epoch(int64_t epoch, int64_t first_batch) {
  first_batch_ = first_batch;
  std::string title = fmt::format("{}, epoch {} of {}", stage_, epoch + 1, options_.epochs);
  progress_ = std::make_unique<Progress>(std::move(title), batches_per_epoch_ - first_batch);
}

void StageLog::step(const StepContext& context, const std::function<double()>& loss) {
  if (first_step_ < 0) first_step_ = context.step;
  if (context.step % kInterval == 0) {
    loss_ = loss();
    Json line = {{"stage", stage_},
                 {"epoch", context.epoch},
                 {"step", context.step},
                 {"loss", loss_},
                 {"lr", context.lr}};
    figures_.clear();
    for (const auto& method : methods_) {
      Json figures = method->figures();
      if (figures.empty()) continue;
      figures_ += figures_text(method->name(), figures);
      line[method->name()] = std::move(figures);
    }
    if (sink_) sink_(line);
  }
  int64_t batch = context.step % batches_per_epoch_;
  bool last = batch + 1 == batches_per_epoch_;
  if (last || progress_->due()) progress_->update(batch + 1 - first_batch_, note(context));
}

std::string StageLog::note(const StepContext& context) const {
  std::string text = fmt::format("loss {:.4f}", loss_);
  if (metric_) text += fmt::format("  {} {:.4f}", options_.metric, *metric_);
  text += fmt::format("  lr {:.4g}{}", context.lr, figures_);
  int64_t done = context.step + 1 - first_step_, left = context.total_steps - context.step - 1;
  if (options_.epochs > 1 && done > 1) {
    double each = seconds_since(start_) / static_cast<double>(done);
    text += fmt::format("  stage {} left", human_seconds(each * static_cast<double>(left)));
  }
  return text;
}

void StageLog::end_epoch(const EpochResult& result, int64_t step, bool measured) {
  if (!sink_) return;
  Json line = {{"stage", stage_}, {"epoch", result.epoch}, {"step", step}, {"train_loss", result.train_loss}};
  if (measured) {
    line["metric"] = result.metric;
    line["metric_name"] = options_.metric;
  }
  line["seconds"] = result.seconds;
  for (const auto& method : methods_) {
    Json figures = method->figures();
    if (!figures.empty()) line[method->name()] = std::move(figures);
  }
  sink_(line);
}

}  // namespace mc
