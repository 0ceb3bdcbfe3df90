#include "mc/train/stage_state.h"

#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "mc/base/error.h"
#include "mc/base/options_json.h"

namespace mc {
namespace {

constexpr int kVersion = 1;

// JSON has no NaN; a metric may be one.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}
double number(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

std::string method_prefix(size_t index, const Method& method) {
  return fmt::format("method/{}.{}/", index, method.name());
}

void add(TensorMap& tensors, const std::string& prefix, const TensorMap& more) {
  for (const auto& [name, tensor] : more) tensors[prefix + name] = tensor;
}

TensorMap part(const TensorMap& tensors, const std::string& prefix) {
  TensorMap result;
  for (auto at = tensors.lower_bound(prefix); at != tensors.end() && at->first.starts_with(prefix); ++at) {
    result[at->first.substr(prefix.size())] = at->second;
  }
  return result;
}

Json epoch_json(const EpochResult& epoch) {
  return {{"epoch", epoch.epoch},
          {"train_loss", number(epoch.train_loss)},
          {"metric", number(epoch.metric)},
          {"seconds", epoch.seconds}};
}

EpochResult epoch_from(const Json& json) {
  return {.epoch = json.at("epoch").get<int64_t>(),
          .train_loss = number(json.at("train_loss")),
          .metric = number(json.at("metric")),
          .seconds = json.at("seconds").get<double>()};
}

template <class... A>
Json choice_json(const std::variant<A...>& choice) {
  return std::visit([](const auto& held) { return Json{{held.kName, options_json(held)}}; }, choice);
}

}  // namespace

Json stage_settings(const TrainOptions& options, int64_t batches_per_epoch,
                    const std::vector<std::shared_ptr<Method>>& methods) {
  Json names = Json::array();
  for (const auto& method : methods) names.push_back(method->name());
  return {{"epochs", options.epochs},
          {"batches_per_epoch", batches_per_epoch},
          {"seed", options.seed},
          {"optimizer", choice_json(options.optimizer)},
          {"schedule", choice_json(options.schedule)},
          {"loss", options.loss},
          {"label_smoothing", options.label_smoothing},
          {"gradient_clip", options.gradient_clip},
          {"precision", options.precision},
          {"metric", options.metric},
          {"select", options.select},
          {"methods", names}};
}

Checkpoint make_stage_checkpoint(const std::string& name, const Json& settings, const StageState& state,
                                 const GraphModule& module, const Optimizer& optimizer,
                                 const std::vector<std::shared_ptr<Method>>& methods) {
  Checkpoint checkpoint;
  Snapshot snapshot = take_snapshot(module);
  add(checkpoint.tensors, "module/", snapshot.tensors);
  add(checkpoint.tensors, "optimizer/", optimizer.save());
  for (size_t i = 0; i < methods.size(); ++i) {
    add(checkpoint.tensors, method_prefix(i, *methods[i]), methods[i]->save());
  }
  Json epochs = Json::array();
  for (const EpochResult& epoch : state.epochs) epochs.push_back(epoch_json(epoch));
  Json best = nullptr;
  if (state.best) {
    best = {{"epoch", state.best->epoch}, {"metric", number(state.best->metric)}};
    if (state.best->snapshot) {
      best["structure"] = state.best->snapshot->structure;
      add(checkpoint.tensors, "best/", state.best->snapshot->tensors);
    }
  }
  checkpoint.state = {{"version", kVersion},
                      {"stage", name},
                      {"settings", settings},
                      {"epoch", state.epoch},
                      {"batch", state.batch},
                      {"step", state.step},
                      {"loss_sum", state.loss.sum},
                      {"loss_samples", state.loss.samples},
                      {"epoch_seconds", state.epoch_seconds},
                      {"seconds", state.seconds},
                      {"epochs", std::move(epochs)},
                      {"best", std::move(best)},
                      {"structure", std::move(snapshot.structure)}};
  return checkpoint;
}

bool StageResumption::is_of(const Checkpoint& checkpoint, const std::string& stage) {
  auto found = checkpoint.state.find("stage");
  return found != checkpoint.state.end() && *found == stage;
}

StageResumption::StageResumption(Checkpoint checkpoint, const Json& settings)
    : checkpoint_(std::move(checkpoint)) {
  const Json& state = checkpoint_.state;
  MC_CHECK(state.value("version", 0) == kVersion, "the checkpoint is of version {}, this program reads {}",
           state.value("version", 0), kVersion);
  Json then = state.value("settings", Json::object());
  for (const auto& [key, now] : settings.items()) {
    Json was = then.contains(key) ? then[key] : Json();
    MC_CHECK(
        was == now,
        "the checkpoint was made with {} {}, this run has {}. Use the same settings to resume, or start anew "
        "without resuming",
        key, was.dump(), now.dump());
  }
}

StageState StageResumption::state() const try {
  const Json& json = checkpoint_.state;
  StageState state{.epoch = json.at("epoch").get<int64_t>(),
                   .batch = json.at("batch").get<int64_t>(),
                   .step = json.at("step").get<int64_t>(),
                   .loss = {json.at("loss_sum").get<double>(), json.at("loss_samples").get<int64_t>()},
                   .epoch_seconds = json.at("epoch_seconds").get<double>(),
                   .seconds = json.at("seconds").get<double>(),
                   .epochs = {},
                   .best = {}};
  for (const Json& epoch : json.at("epochs")) state.epochs.push_back(epoch_from(epoch));
  const Json& best = json.at("best");
  if (!best.is_null()) {
    state.best = {
        .epoch = best.at("epoch").get<int64_t>(), .metric = number(best.at("metric")), .snapshot = {}};
    if (best.contains("structure")) {
      state.best->snapshot = {best["structure"].get<std::string>(), part(checkpoint_.tensors, "best/")};
    }
  }
  MC_CHECK(state.epoch >= 0 && state.batch >= 0 && state.step >= 0, "the checkpoint's position is negative");
  return state;
} catch (const Json::exception& error) {
  fail("the checkpoint's state is broken: {}", error.what());
}

void StageResumption::restore_module(GraphModule& module) const {
  auto structure = checkpoint_.state.find("structure");
  MC_CHECK(structure != checkpoint_.state.end() && structure->is_string(),
           "the checkpoint's state has no model structure");
  restore_snapshot(module, {structure->get<std::string>(), part(checkpoint_.tensors, "module/")});
}

void StageResumption::restore_rest(Optimizer& optimizer,
                                   const std::vector<std::shared_ptr<Method>>& methods) const {
  optimizer.load(part(checkpoint_.tensors, "optimizer/"));
  for (size_t i = 0; i < methods.size(); ++i) {
    methods[i]->load(part(checkpoint_.tensors, method_prefix(i, *methods[i])));
  }
}

}  // namespace mc
