#include "mc/search/ladder.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/onnx/onnx.h"
#include "mc/quantize/calibrate.h"
#include "mc/search/build.h"
#include "mc/search/ladder_memory.h"

namespace mc {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::filesystem::path with_suffix(const std::filesystem::path& path, const char* suffix) {
  return path.string() + suffix;
}

void remove_with_data(const std::filesystem::path& model) {
  std::error_code error;
  for (const char* suffix : {"", ".data"}) std::filesystem::remove(with_suffix(model, suffix), error);
}

class Climber : public Ladder {
 public:
  Climber(const LadderOptions& options, const LadderData& data)
      : options_(options),
        data_(data),
        model_(read_onnx(options.model)),
        judge_(options.model, data.judge, options.engine, options.goal),
        memory_(with_suffix(options.output, ".ladder.json"), subject(), options.resume) {
    result_.metric = judge_.metric();
    result_.reference = judge_.reference();
  }

  LadderResult run() {
    for (const Rung& rung : ladder_rungs()) {
      if (over()) break;
      rung_ = rung.name;
      rung.climb(*this);
    }
    MC_CHECK(result_.best, "{}", failure());
    result_.holds = judge_.holds(*best_step().judgement);
    if (!memory_.is_on_disk(best_step().options)) {
      write_onnx(build(best_step().options), options_.output);
      memory_.set_on_disk(best_step().options);
    }
    return std::move(result_);
  }

  const QuantizeOptions& best() const override {
    return result_.best ? best_step().options : options_.quantize;
  }
  const Model& model() const override { return model_; }
  bool can_train() const override { return data_.training != nullptr; }

  bool over() const override {
    if (judge_.has_goal() && result_.best && judge_.holds(*best_step().judgement)) return true;
    return result_.out_of_time;
  }

  bool attempt(const std::string& what, const QuantizeOptions& options) override {
    LadderStep step;
    step.rung = rung_;
    step.what = what;
    step.options = options;
    if (const auto remembered = memory_.find(options)) {
      step.judgement = remembered->judgement;
      step.seconds = remembered->seconds;
      step.remembered = true;
    } else if (out_of_time()) {
      result_.out_of_time = true;
      return false;
    } else {
      try_out(step);
    }
    const bool holds = step.judgement && judge_.holds(*step.judgement);
    step.kept = step.judgement && (!result_.best || better(*step.judgement, *best_step().judgement));
    say(step);
    result_.steps.push_back(std::move(step));
    if (result_.steps.back().kept) keep();
    return holds;
  }

  std::vector<std::string> most_sensitive() override {
    if (result_.sensitivity.empty()) {
      QuantizeOptions options = best();
      options.mode = "ptq";
      options.rounding = "nearest";  // learning it again would cost far more than it tells
      const auto module = calibrated_module(model_, data_.calibration, data_.judge.normalization, options);
      result_.sensitivity = sensitivity(*module, some_batches(data_.calibration, data_.judge.normalization,
                                                              options_.sensitivity_samples, model_.graph));
    }
    return most_sensitive_first(result_.sensitivity);
  }

 private:
  const LadderStep& best_step() const { return result_.steps[*result_.best]; }

  bool out_of_time() const {
    return options_.time_budget_seconds > 0 && seconds_since(start_) >= options_.time_budget_seconds;
  }

  // What a memory must be about to be of use.
  Json subject() const {
    return {
        {"model", options_.model.string()},
        {"bytes", std::filesystem::file_size(options_.model)},
        {"written", std::filesystem::last_write_time(options_.model).time_since_epoch().count()},
        {"calibration", data_.calibration->description()},
        {"test", fmt::format("{} samples of {}", data_.judge.test->size(), data_.judge.test->description())},
        {"engine", options_.engine},
        {"metric", judge_.metric()}};
  }

  void try_out(LadderStep& step) {
    const auto start = Clock::now();
    const std::filesystem::path file = candidate_file();
    try {
      candidate_ = build(step.options);
      write_onnx(candidate_, file);
      step.judgement = judge_.judge(file);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInterrupted) throw;
      step.reason = error.what();
    }
    remove_with_data(file);
    step.seconds = seconds_since(start);
    if (step.judgement) memory_.add(step.options, {*step.judgement, step.seconds});
  }

  std::filesystem::path candidate_file() const { return with_suffix(options_.output, ".candidate.onnx"); }

  Model build(const QuantizeOptions& options) const {
    Model model;
    if (options.trains()) {
      const TrainingPlan plan{data_.training, options_.qat_epochs, options_.qat_learning_rate, options_.seed,
                              with_suffix(options_.output, ".qat")};
      model = quantize_by_training(model_, plan, data_.judge.normalization, options);
      std::error_code error;  // a checkpoint that stays only takes place
      std::filesystem::remove_all(plan.checkpoint, error);
    } else {
      model = quantize_ptq(model_, data_.calibration, data_.judge.normalization, options).model;
    }
    model.producer_name = "model-compression";
    return model;
  }

  bool better(const Judgement& one, const Judgement& other) const {
    if (judge_.has_goal() && judge_.holds(one) && judge_.holds(other)) return one.bytes < other.bytes;
    return judge_.shortfall(one) < judge_.shortfall(other);
  }

  // Makes the newest step the best. A remembered one is built again only when it is the best at the end.
  void keep() {
    result_.best = result_.steps.size() - 1;
    if (best_step().remembered) return;
    write_onnx(candidate_, options_.output);
    memory_.set_on_disk(best_step().options);
  }

  void say(const LadderStep& step) const {
    if (!step.judgement) {
      warn("{}: {}: {}", step.rung, step.what, step.reason);
      return;
    }
    const std::string metric =
        step.judgement->metric ? fmt::format("{} {:.4f}, ", judge_.metric(), *step.judgement->metric) : "";
    info("{}: {}: {}SNR {:.2f} dB, {}{}", step.rung, step.what, metric, step.judgement->snr_db,
         human_seconds(step.seconds), step.kept ? ", kept" : "");
  }

  std::string failure() const {
    if (result_.steps.empty()) return "the time was over before anything was tried";
    return "nothing could be quantized: " + result_.steps.front().reason;
  }

  const LadderOptions& options_;
  const LadderData& data_;
  const Clock::time_point start_ = Clock::now();
  const Model model_;
  const Judge judge_;
  LadderMemory memory_;
  LadderResult result_;
  Model candidate_;  // of the newest step
  std::string rung_;
};

}  // namespace

LadderResult climb_ladder(const LadderOptions& options, const LadderData& data) {
  return Climber(options, data).run();
}

}  // namespace mc
