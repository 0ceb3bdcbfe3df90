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
constexpr const char* kOurEngine = "torch";

void stop_if_interrupted() {
  if (interrupted()) throw Error("interrupted while measuring the exported models", ErrorKind::kInterrupted);
}

// The last model on an engine against one of its simulations.
struct Simulation {
  const char* kind;
  std::string engine;
  Comparison comparison;
};

class Prover {
 public:
  Prover(const Proof& proof, RunResults& results)
      : proof_(proof), deploy_(proof.recipe.deploy), results_(results) {}

  void run() {
    for (const ExportedModel& model : proof_.models) evaluate_model(model);
    for (const ExportedModel& model : proof_.models) compare_with_original(model);
    compare_with_simulations();
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

  std::vector<std::string> engines_of(const ExportedModel& model) const {
    return model.engine_note.empty() ? deploy_.engines : std::vector<std::string>{kOurEngine};
  }

  // Also where a model that is measured against this one runs.
  std::vector<std::string> engines_to_evaluate(const ExportedModel& model) const {
    std::vector<std::string> engines = engines_of(model);
    const bool ours = std::ranges::any_of(proof_.models, [&](const ExportedModel& other) {
      const bool reads = other.original == model.name || proof_.reference == model.name;
      return reads && !other.engine_note.empty();
    });
    if (ours && std::ranges::find(engines, kOurEngine) == engines.end()) engines.emplace_back(kOurEngine);
    return engines;
  }

  void evaluate_model(const ExportedModel& model) {
    for (const std::string& engine : engines_to_evaluate(model)) {
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

  void add_comparison(const Comparison& comparison, const char* kind, const std::string& reference,
                      const std::string& other) {
    Json json = to_json(comparison);
    json["kind"] = kind;
    json["reference"] = reference;
    json["other"] = other;
    results_.comparisons.push_back(std::move(json));
  }

  // What a model is compressed from: the one it was converted from, else the last uncompressed one before it.
  const ExportedModel* original_of(const ExportedModel& model) const {
    const std::optional<std::string>& name = model.original ? model.original : proof_.reference;
    for (const ExportedModel& other : proof_.models) {
      if (&other == &model) return nullptr;
      if (name && other.name == *name) return &other;
    }
    return nullptr;
  }

  void compare_with_original(const ExportedModel& model) {
    const ExportedModel* original = original_of(model);
    if (!original) return;
    for (const std::string& engine : engines_of(model)) {
      add_comparison(compare_files(model, original->file, engine, engine), "original", original->name,
                     model.name);
    }
  }

  void compare_with_simulations() {
    const ExportedModel& last = proof_.models.back();
    for (const std::string& engine : engines_of(last)) {
      if (last.quantized || last.trained.empty()) simulate(last, last.file, engine, "simulated");
      if (!last.trained.empty()) simulate(last, last.trained, engine, "trained");
    }
  }

  void simulate(const ExportedModel& model, const std::filesystem::path& file, const std::string& engine,
                const char* kind) {
    simulations_.push_back({kind, engine, compare_files(model, file, kOurEngine, engine)});
    add_comparison(simulations_.back().comparison, kind, fmt::format("{} ({})", model.name, kind),
                   model.name);
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
    for (const std::string& engine : engines_of(proof_.models.back())) check_accuracy(engine);
    for (const Simulation& simulation : simulations_) check_simulation(simulation);
  }

  void check_accuracy(const std::string& engine) {
    const std::optional<double>& limit = deploy_.require.accuracy_drop;
    if (!limit || !proof_.reference) return;
    const std::string& last = proof_.models.back().name;
    const bool larger = make_metric(proof_.recipe.metric)->larger_is_better();
    const double change = metric_of(*proof_.reference, engine) - metric_of(last, engine);
    const double drop = larger ? change : -change;
    add_check(
        fmt::format("{} drop of {} below {} on {}", proof_.recipe.metric, last, *proof_.reference, engine),
        fmt::format("at most {}", *limit), drop, drop <= *limit);
  }

  void check_simulation(const Simulation& simulation) {
    const RequireOptions& require = deploy_.require;
    const std::string& last = proof_.models.back().name;
    const std::string pair =
        fmt::format("{} on {} with {} ({})", last, simulation.engine, last, simulation.kind);
    if (require.min_snr_db) {
      const double snr = simulation.comparison.min_snr_db();
      add_check("SNR in dB of " + pair, fmt::format("at least {}", *require.min_snr_db), snr,
                snr >= *require.min_snr_db);
    }
    if (require.min_agreement) {
      const double agreement = simulation.comparison.top1_agreement;
      add_check("agreement of " + pair, fmt::format("at least {}", *require.min_agreement), agreement,
                agreement >= *require.min_agreement);
    }
  }

  const Proof& proof_;
  const DeployOptions& deploy_;
  RunResults& results_;
  std::vector<Simulation> simulations_;  // of the last model
};

}  // namespace

void prove(const Proof& proof, RunResults& results) {
  MC_CHECK(!proof.models.empty(), "there is no exported model to measure");
  Prover(proof, results).run();
}

}  // namespace mc
