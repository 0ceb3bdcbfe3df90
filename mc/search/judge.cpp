#include "mc/search/judge.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/data/metric.h"
#include "mc/deploy/compare.h"
#include "mc/deploy/engine.h"
#include "mc/deploy/model_files.h"
#include "mc/search/command_metric.h"

namespace mc {
namespace {

std::unique_ptr<Loader> judge_loader(const JudgeData& data) {
  LoaderOptions options;
  options.batch_size = data.batch_size;
  options.normalization = data.normalization;
  auto loader = std::make_unique<Loader>(data.test, options);
  loader->start(0);
  return loader;
}

}  // namespace

Json to_json(const Judgement& judgement) {
  Json json = {
      {"snr_db", judgement.snr_db}, {"top1_agreement", judgement.top1_agreement}, {"bytes", judgement.bytes}};
  json["metric"] = judgement.metric ? Json(*judgement.metric) : Json();
  return json;
}

Judgement judgement_from_json(const Json& json) {
  Judgement judgement;
  for (const char* key : {"snr_db", "top1_agreement", "bytes", "metric"}) {
    MC_CHECK(json.contains(key), "a judgement has no '{}'", key);
  }
  judgement.snr_db = json["snr_db"].get<double>();
  judgement.top1_agreement = json["top1_agreement"].get<double>();
  judgement.bytes = json["bytes"].get<uint64_t>();
  if (!json["metric"].is_null()) judgement.metric = json["metric"].get<double>();
  return judgement;
}

Judge::Judge(std::filesystem::path reference, JudgeData data, std::string engine, Goal goal)
    : reference_(std::move(reference)),
      data_(std::move(data)),
      engine_(std::move(engine)),
      goal_(std::move(goal)),
      metric_(goal_.metric) {
  const Engine& found = find_engine(engine_);
  MC_CHECK(found.available(), "engine '{}': {}", engine_, found.unavailable_reason());
  if (metric_.empty() && data_.test->labelled()) metric_ = data_.test->classes() > 0 ? "top1" : "mse";
  MC_CHECK(!goal_.accuracy_drop || !metric_.empty(),
           "an accuracy drop needs labels, which {} has not; give labels, a command as the metric, or a "
           "least SNR",
           data_.test->description());
  if (!metric_.empty() && !is_command_metric(metric_)) {
    MC_CHECK(data_.test->labelled(), "{} has no labels, so {} cannot be measured", data_.test->description(),
             metric_);
    larger_is_better_ = make_metric(metric_)->larger_is_better();
  }
  reference_judgement_.snr_db = 200;
  reference_judgement_.top1_agreement = 1;
  reference_judgement_.bytes = model_file_bytes(reference_);
  reference_judgement_.metric = metric_of(reference_);
}

std::optional<double> Judge::metric_of(const std::filesystem::path& model) const {
  if (metric_.empty()) return std::nullopt;
  const auto session = find_engine(engine_).load(model, {});
  const auto infer = [&](const std::vector<at::Tensor>& inputs) {
    if (interrupted()) throw Error("interrupted while measuring", ErrorKind::kInterrupted);
    return infer_in_pieces(*session, inputs);
  };
  const auto loader = judge_loader(data_);
  if (is_command_metric(metric_)) return command_metric(metric_, infer, *loader, session->outputs());
  return evaluate(infer, *loader, metric_, fmt::format("{} of {}", metric_, model.filename().string())).value;
}

Judgement Judge::judge(const std::filesystem::path& model) const {
  Judgement judgement;
  judgement.bytes = model_file_bytes(model);
  CompareOptions options;
  options.engine = engine_;
  options.batch_size = data_.batch_size;
  const auto loader = judge_loader(data_);
  const Comparison comparison = compare(reference_, model, *loader, options);
  judgement.snr_db = comparison.min_snr_db();
  judgement.top1_agreement = comparison.top1_agreement;
  judgement.metric = metric_of(model);
  return judgement;
}

double Judge::drop(const Judgement& judgement) const {
  const double change = judgement.metric.value_or(0) - reference_judgement_.metric.value_or(0);
  return larger_is_better_ ? -change : change;
}

double Judge::shortfall(const Judgement& judgement) const {
  if (!has_goal()) return -judgement.snr_db;
  constexpr double kLeast = 1e-9;  // a goal of no drop at all still compares
  double worst = -1e300;
  if (goal_.accuracy_drop) {
    worst =
        std::max(worst, (drop(judgement) - *goal_.accuracy_drop) / std::max(*goal_.accuracy_drop, kLeast));
  }
  if (goal_.min_snr_db) {
    worst = std::max(worst, (*goal_.min_snr_db - judgement.snr_db) / std::max(*goal_.min_snr_db, kLeast));
  }
  return worst;
}

}  // namespace mc
