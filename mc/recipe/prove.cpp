#include "mc/recipe/prove.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/data/metric.h"
#include "mc/deploy/benchmark.h"
#include "mc/deploy/compare.h"
#include "mc/deploy/engine.h"

namespace mc {
namespace {

constexpr int64_t kBatch = 100;

void stop_if_interrupted() {
  if (interrupted()) throw Error("interrupted while measuring the exported models", ErrorKind::kInterrupted);
}

class Prover {
 public:
  Prover(const Proof& proof, RunResults& results)
      : proof_(proof), deploy_(proof.recipe.deploy), results_(results) {}

  void run() {
    for (const ExportedModel& model : proof_.models) evaluate_model(model);
    compare_models();
    measure_latency();
    check_requirements();
  }

 private:
  Loader loader(const ExportedModel& model) const {
    LoaderOptions options;
    options.batch_size = kBatch;
    options.normalization = proof_.normalization;
    return Loader(model.test, options);
  }

  void evaluate_model(const ExportedModel& model) {
    for (const std::string& engine : deploy_.engines) {
      std::unique_ptr<Session> session = find_engine(engine).load(model.file, EngineOptions{});
      Loader batches = loader(model);
      auto infer = [&](const std::vector<at::Tensor>& inputs) {
        stop_if_interrupted();
        return infer_in_pieces(*session, inputs);
      };
      Evaluation evaluation =
          evaluate(infer, batches, proof_.recipe.metric, fmt::format("{} on {}", model.name, engine));
      results_.evaluations.push_back(
          {model.name, engine, evaluation.metric, evaluation.value, evaluation.samples});
    }
  }

  Comparison compare_files(const ExportedModel& model, const std::filesystem::path& reference,
                           const std::string& engine, const std::string& other_engine) const {
    stop_if_interrupted();
    CompareOptions options;
    options.engine = engine;
    options.other_engine = other_engine;
    options.batch_size = kBatch;
    Loader batches = loader(model);
    return compare(reference, model.file, batches, options);
  }

  void add_comparison(const Comparison& comparison, const std::string& reference, const std::string& other) {
    Json json = to_json(comparison);
    json["reference"] = reference;
    json["other"] = other;
    results_.comparisons.push_back(std::move(json));
  }

  // Every compressed model against the reference, then the last one against its own simulation.
  void compare_models() {
    auto reference = std::find_if(
        proof_.models.begin(), proof_.models.end(),
        [&](const ExportedModel& model) { return proof_.reference && model.name == *proof_.reference; });
    if (reference != proof_.models.end()) {
      for (auto model = reference + 1; model != proof_.models.end(); ++model) {
        for (const std::string& engine : deploy_.engines) {
          add_comparison(compare_files(*model, reference->file, engine, engine), reference->name,
                         model->name);
        }
      }
    }
    const ExportedModel& last = proof_.models.back();
    for (const std::string& engine : deploy_.engines) {
      simulated_.push_back(compare_files(last, last.trained, "torch", engine));
      add_comparison(simulated_.back(), last.name + " (simulated)", last.name);
    }
  }

  void measure_latency() {
    if (deploy_.seconds == 0) return;
    BenchmarkOptions options;
    options.engines = deploy_.engines;
    options.batch_sizes = deploy_.batch_sizes;
    options.seconds = deploy_.seconds;
    std::vector<std::filesystem::path> files;
    for (const ExportedModel& model : proof_.models) files.push_back(model.file);
    for (const BenchmarkRow& row : benchmark(files, proof_.models.back().test, options)) {
      Json json = to_json(row);
      json["model"] = row.model.stem().string();
      results_.benchmarks.push_back(std::move(json));
    }
  }

  double metric_of(const std::string& model, const std::string& engine) const {
    for (const EvaluationResult& row : results_.evaluations) {
      if (row.model == model && row.engine == engine) return row.value;
    }
    fail("model '{}' was not evaluated on {}", model, engine);
  }

  void add_check(std::string name, std::string required, double measured, bool passed) {
    results_.checks.push_back(
        {std::move(name), std::move(required), fmt::format("{:.4f}", measured), passed});
  }

  void check_requirements() {
    const RequireOptions& require = deploy_.require;
    const std::string& last = proof_.models.back().name;
    for (size_t i = 0; i < deploy_.engines.size(); ++i) {
      const std::string& engine = deploy_.engines[i];
      if (require.accuracy_drop && proof_.reference) {
        const bool larger = make_metric(proof_.recipe.metric)->larger_is_better();
        const double change = metric_of(*proof_.reference, engine) - metric_of(last, engine);
        const double drop = larger ? change : -change;
        add_check(fmt::format("{} drop of {} below {} on {}", proof_.recipe.metric, last, *proof_.reference,
                              engine),
                  fmt::format("at most {}", *require.accuracy_drop), drop, drop <= *require.accuracy_drop);
      }
      if (require.min_snr_db) {
        const double snr = simulated_[i].min_snr_db();
        add_check(fmt::format("SNR in dB of {} on {} against its simulation", last, engine),
                  fmt::format("at least {}", *require.min_snr_db), snr, snr >= *require.min_snr_db);
      }
      if (require.min_agreement) {
        const double agreement = simulated_[i].top1_agreement;
        add_check(fmt::format("agreement of {} on {} with its simulation", last, engine),
                  fmt::format("at least {}", *require.min_agreement), agreement,
                  agreement >= *require.min_agreement);
      }
    }
  }

  const Proof& proof_;
  const DeployOptions& deploy_;
  RunResults& results_;
  std::vector<Comparison> simulated_;  // by engine
};

}  // namespace

void prove(const Proof& proof, RunResults& results) {
  MC_CHECK(!proof.models.empty(), "there is no exported model to measure");
  Prover(proof, results).run();
}

}  // namespace mc
