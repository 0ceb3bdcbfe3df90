#include "mc/search/judge.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/data/labels.h"
#include "mc/data/loader.h"
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
  return std::make_unique<Loader>(data.test, options);
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
  if (metric_.empty()) metric_ = default_metric(*data_.test);
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
  if (!metric_.empty()) reference_judgement_.metric = reference_metric();
}

std::unique_ptr<Metric> Judge::new_metric() const {
  return is_command_metric(metric_) ? make_command_metric(metric_, output_names_) : make_metric(metric_);
}

double Judge::reference_metric() {
  const auto session = find_engine(engine_).load(reference_, {});
  for (const PortInfo& output : session->outputs()) output_names_.push_back(output.name);
  const auto metric = new_metric();
  const auto loader = judge_loader(data_);
  Progress progress(fmt::format("{} of {}", metric_, reference_.filename().string()), loader->samples());
  int64_t done = 0;
  loader->start(0);
  while (const std::optional<Batch> batch = loader->next()) {
    if (interrupted()) throw Error("interrupted while measuring", ErrorKind::kInterrupted);
    const std::vector<at::Tensor> outputs = infer_in_pieces(*session, batch->inputs);
    if (done == 0 && counts_classes(metric_) && outputs.at(0).dim() == 2) {
      check_labels(*data_.test, outputs[0].size(1));
    }
    metric->add(outputs, batch->labels);
    progress.update(done += batch->size());
  }
  return metric->value();
}

Judgement Judge::judge(const std::filesystem::path& model) const {
  Judgement judgement;
  judgement.bytes = model_file_bytes(model);
  CompareOptions options;
  options.engine = engine_;
  options.batch_size = data_.batch_size;
  const auto metric = metric_.empty() ? nullptr : new_metric();
  options.observe = [&](const Batch& batch, const auto&, const std::vector<at::Tensor>& outputs) {
    if (metric) metric->add(outputs, batch.labels);
  };
  const auto loader = judge_loader(data_);
  const Comparison comparison = compare(reference_, model, *loader, options);
  judgement.snr_db = comparison.min_snr_db();
  judgement.top1_agreement = comparison.top1_agreement;
  if (metric) judgement.metric = metric->value();
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
