#include "mc/train/trainer.h"

#include <chrono>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/data/bad_values.h"
#include "mc/module/mode_guard.h"
#include "mc/onnx/onnx.h"
#include "mc/train/stage_check.h"
#include "mc/train/stage_log.h"
#include "mc/train/stage_state.h"
#include "mc/train/train_step.h"

namespace mc {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

class Stage {
 public:
  Stage(const std::string& name, GraphModule& module, Loader& loader, Loader* evaluation,
        const std::vector<std::shared_ptr<Method>>& methods, const TrainOptions& options,
        const StageFiles& files, const MetricsSink& sink)
      : name_(name),
        module_(module),
        loader_(loader),
        evaluation_(evaluation),
        methods_(methods),
        options_(options),
        files_(files),
        context_{module,         loader,
                 options.epochs, loader.batches(),
                 options.seed,   find_loss(options.loss).make({.label_smoothing = options.label_smoothing})},
        settings_(stage_settings(options, loader.batches(), methods)),
        meter_(module.device()),
        log_(name, options, loader.batches(), methods, sink) {}

  StageResult run(bool resume) {
    ModeGuard mode(module_);
    begin(resume);
    while (state_.epoch < options_.epochs) {
      run_epoch();
      end_epoch();
    }
    return finish();
  }

 private:
  void begin(bool resume);
  void run_epoch();
  void run_step(const Batch& batch);
  void end_epoch();
  void end_methods();
  StageResult finish();

  double measure();
  void keep_best(double metric);
  void check_losses();
  [[noreturn]] void stop_at_bad_loss(int64_t step);
  [[noreturn]] void stop_interrupted();
  void save();
  void save_or_warn();
  void tick();

  const std::string& name_;
  GraphModule& module_;
  Loader& loader_;
  Loader* evaluation_;
  const std::vector<std::shared_ptr<Method>>& methods_;
  const TrainOptions& options_;
  const StageFiles& files_;
  StageContext context_;
  Json settings_;
  LossMeter meter_;
  StageLog log_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<TrainStep> step_;
  StageState state_;
  bool ended_ = false;  // the methods did, and no weight has changed since
  Clock::time_point last_tick_ = Clock::now();
  Clock::time_point last_save_ = Clock::now();
};

void Stage::begin(bool resume) {
  std::optional<StageResumption> resumption;
  if (resume && !files_.checkpoint.empty() && has_checkpoint(files_.checkpoint)) {
    with_context([&] { return files_.checkpoint.string(); },
                 [&] {
                   Checkpoint checkpoint = read_checkpoint(files_.checkpoint);
                   if (StageResumption::is_of(checkpoint, name_))
                     resumption.emplace(std::move(checkpoint), settings_);
                   if (resumption) {
                     state_ = resumption->state();
                     resumption->restore_module(module_);
                   }
                 });
  }
  for (const auto& method : methods_) method->begin(context_, resumption.has_value());
  optimizer_ = make_optimizer(options_.optimizer, module_);
  step_.emplace(*optimizer_, methods_, options_, loader_.dataset());
  if (!resumption) return;
  with_context([&] { return files_.checkpoint.string(); },
               [&] { resumption->restore_rest(*optimizer_, methods_); });
  meter_.reset(state_.loss);
  if (evaluation_ && !state_.epochs.empty()) log_.set_metric(state_.epochs.back().metric);
  info("stage '{}' goes on at epoch {} of {}, step {} of {}", name_, state_.epoch + 1, options_.epochs,
       state_.step, context_.total_steps());
}

void Stage::run_epoch() {
  module_.train();
  log_.start_epoch(state_.epoch, state_.batch);
  loader_.start(static_cast<uint64_t>(state_.epoch), state_.batch);
  while (state_.batch < context_.steps_per_epoch) {
    if (interrupted()) stop_interrupted();
    std::optional<Batch> batch = loader_.next();
    MC_CHECK(batch, "the training data ended after {} of {} batches of epoch {}", state_.batch,
             context_.steps_per_epoch, state_.epoch + 1);
    run_step(*batch);
    ++state_.batch;
    ++state_.step;
    if (!files_.checkpoint.empty() &&
        seconds_between(last_save_, Clock::now()) >= files_.checkpoint_seconds) {
      check_losses();
      save_or_warn();
    }
  }
}

void Stage::run_step(const Batch& batch) try {
  double lr =
      learning_rate(options_.schedule, peak_lr(options_.optimizer), state_.step, context_.total_steps());
  module_.set_random(options_.seed, static_cast<uint64_t>(state_.step));
  StepContext context{.module = module_,
                      .batch = batch,
                      .step = state_.step,
                      .total_steps = context_.total_steps(),
                      .epoch = state_.epoch,
                      .lr = lr,
                      .outputs = {},
                      .taps = {}};
  at::Tensor loss = step_->forward(context);
  meter_.add(loss, batch.size(), state_.step);
  if (auto bad = meter_.bad_step()) stop_at_bad_loss(*bad);
  step_->update(context, loss);
  log_.step(context, [&] {
    check_losses();
    return meter_.take_recent();
  });
} catch (const c10::Error& error) {
  fail("step {}: {}", state_.step, error.what_without_backtrace());
}

void Stage::end_epoch() {
  check_losses();
  EpochResult result{.epoch = state_.epoch, .train_loss = meter_.totals().mean()};
  log_.stop();
  // What they do to the weights counts in what is measured.
  if (state_.epoch + 1 == options_.epochs) end_methods();
  if (evaluation_) result.metric = measure();
  keep_best(result.metric);
  tick();
  result.seconds = std::exchange(state_.epoch_seconds, 0);
  state_.epochs.push_back(result);
  log_.end_epoch(result, state_.step, evaluation_ != nullptr);
  ++state_.epoch;
  state_.batch = 0;
  meter_.reset({});
  if (!files_.checkpoint.empty()) save_or_warn();
}

void Stage::end_methods() {
  if (std::exchange(ended_, true)) return;
  for (const auto& method : methods_) method->end(context_);
}

double Stage::measure() {
  module_.eval();
  at::NoGradGuard no_grad;
  auto infer = [&](const std::vector<at::Tensor>& inputs) { return module_.forward(inputs); };
  double value = evaluate(infer, *evaluation_, options_.metric, name_ + ", evaluation").value;
  log_.set_metric(value);
  return value;
}

// Without evaluation data the newest epoch counts as the best.
void Stage::keep_best(double metric) {
  if (evaluation_ && state_.best) {
    bool larger = make_metric(options_.metric)->larger_is_better();
    bool better = larger ? metric > state_.best->metric : metric < state_.best->metric;
    if (!better && !std::isnan(state_.best->metric)) return;
  }
  state_.best = {.epoch = state_.epoch, .metric = metric, .snapshot = {}};
  if (options_.select == "best") state_.best->snapshot = detached(take_snapshot(module_));
  if (files_.best.empty()) return;
  try {
    write_onnx(module_.graph(), files_.best);
  } catch (const Error& error) {
    warn("training goes on, but its best model could not be written: {}", error.what());
  }
}

void Stage::check_losses() {
  meter_.flush();
  if (auto bad = meter_.bad_step()) stop_at_bad_loss(*bad);
}

void Stage::stop_at_bad_loss(int64_t step) {
  log_.stop();
  std::string kept;
  if (state_.best && state_.best->snapshot) {
    restore_snapshot(module_, *state_.best->snapshot);
    kept += fmt::format(". The model has the weights of epoch {} again, its best", state_.best->epoch + 1);
  }
  if (state_.best && !files_.best.empty()) {
    kept +=
        fmt::format(". The best model so far (epoch {}) is {}", state_.best->epoch + 1, files_.best.string());
  }
  const std::string bad = find_bad_sample(loader_.dataset());
  MC_CHECK(bad.empty(),
           "the loss is not a finite number since step {} of {}, as the training data is not: {}{}", step,
           context_.total_steps(), bad, kept);
  double lr = learning_rate(options_.schedule, peak_lr(options_.optimizer), step, context_.total_steps());
  fail(
      "the loss is not a finite number since step {} of {} (epoch {} of {}, learning rate {:.4g}). Lower the "
      "learning rate or set gradient_clip{}",
      step, context_.total_steps(), step / context_.steps_per_epoch + 1, options_.epochs, lr, kept);
}

void Stage::stop_interrupted() {
  log_.stop();
  std::string advice = "nothing was saved, as no checkpoint folder was given";
  if (!files_.checkpoint.empty()) {
    check_losses();
    save();
    advice = fmt::format("everything is saved in {}: run the same again with --resume to go on from there",
                         files_.checkpoint.string());
  }
  throw Error(fmt::format("interrupted at epoch {} of {}, step {} of {}; {}", state_.epoch + 1,
                          options_.epochs, state_.step, context_.total_steps(), advice),
              ErrorKind::kInterrupted);
}

void Stage::tick() {
  auto now = Clock::now();
  double passed = seconds_between(std::exchange(last_tick_, now), now);
  state_.epoch_seconds += passed;
  state_.seconds += passed;
}

void Stage::save() {
  tick();
  state_.loss = meter_.totals();
  write_checkpoint(files_.checkpoint,
                   make_stage_checkpoint(name_, settings_, state_, module_, *optimizer_, methods_));
  last_save_ = Clock::now();
}

// A full disk must not cost the work of hours: the run goes on, and the next checkpoint tries again.
void Stage::save_or_warn() {
  try {
    save();
  } catch (const Error& error) {
    last_save_ = Clock::now();
    warn("training goes on without this checkpoint: {}", error.what());
  }
}

StageResult Stage::finish() {
  StageResult result{.epochs = state_.epochs, .metric = 0, .seconds = 0, .steps = state_.step};
  if (!state_.epochs.empty()) result.metric = state_.epochs.back().metric;
  const bool other = state_.best && state_.best->snapshot && state_.best->epoch + 1 != state_.epoch;
  if (other) {
    restore_snapshot(module_, *state_.best->snapshot);
    ended_ = false;
  }
  end_methods();
  if (evaluation_ && (other || state_.epochs.empty())) result.metric = measure();
  tick();
  result.seconds = state_.seconds;
  return result;
}

}  // namespace

StageResult train_stage(const std::string& name, GraphModule& module, Loader& loader, Loader* evaluation,
                        const std::vector<std::shared_ptr<Method>>& methods, const TrainOptions& options,
                        const StageFiles& files, const MetricsSink& metrics, bool resume) {
  return with_context(
      [&] { return fmt::format("stage '{}'", name); },
      [&] {
        check_stage(loader, evaluation, options, files);
        return Stage(name, module, loader, evaluation, methods, options, files, metrics).run(resume);
      });
}

}  // namespace mc
