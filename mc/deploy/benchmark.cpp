#include "mc/deploy/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/base/threads.h"
#include "mc/deploy/memory.h"
#include "mc/deploy/model_files.h"
#include "mc/deploy/sample_inputs.h"

namespace mc {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// A row while it is being measured.
struct Candidate {
  BenchmarkRow row;
  std::unique_ptr<Session> session;
  std::vector<at::Tensor> inputs;
  std::vector<double> times;  // ms
  double measured = 0;        // ms

  bool done(const BenchmarkOptions& options) const {
    return !session ||
           (measured >= options.seconds * 1e3 && static_cast<int64_t>(times.size()) >= options.minimum_runs);
  }
};

void prepare(Candidate& candidate, Engine& engine, const Dataset* data, const BenchmarkOptions& options) {
  BenchmarkRow& row = candidate.row;
  PeakMemory memory;
  const Clock::time_point start = Clock::now();
  candidate.session = engine.load(row.model, options.engine);
  row.load_ms = milliseconds_since(start);
  row.precision = candidate.session->precision();
  candidate.inputs = sample_inputs(candidate.session->inputs(), data, row.batch);
  for (int64_t i = 0; i < std::max<int64_t>(options.warmup_runs, 1); ++i)
    candidate.session->infer(candidate.inputs);
  row.peak_mb = memory.megabytes();
}

// In which the other engines' threads fall asleep: LibTorch's spin for some milliseconds after their work.
constexpr auto kPause = std::chrono::milliseconds(20);

// One turn of a row: a pause, a run that brings the row's weights back into the caches, then timed runs.
void take_turn(Candidate& candidate) {
  constexpr double kTurnMs = 60;
  std::this_thread::sleep_for(kPause);
  candidate.session->infer(candidate.inputs);
  double spent = 0;
  do {
    const Clock::time_point start = Clock::now();
    candidate.session->infer(candidate.inputs);
    candidate.times.push_back(milliseconds_since(start));
    spent += candidate.times.back();
  } while (spent < kTurnMs);
  candidate.measured += spent;
}

// Nearest rank: the smallest time that at least this share of the runs took no longer than.
double percentile(const std::vector<double>& sorted, double share) {
  const double rank = std::ceil(share * static_cast<double>(sorted.size()));
  return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

void summarize(Candidate& candidate) {
  if (candidate.times.empty()) return;
  std::sort(candidate.times.begin(), candidate.times.end());
  BenchmarkRow& row = candidate.row;
  row.median_ms = percentile(candidate.times, 0.5);
  row.p90_ms = percentile(candidate.times, 0.9);
  row.p99_ms = percentile(candidate.times, 0.99);
  row.throughput = static_cast<double>(row.batch) * 1e3 / row.median_ms;
}

void check_options(const std::vector<std::filesystem::path>& models, const BenchmarkOptions& options) {
  MC_CHECK(options.seconds >= 0, "the measuring time must not be negative, got {}", options.seconds);
  MC_CHECK(options.minimum_runs >= 1, "at least one run is needed, got {}", options.minimum_runs);
  for (const auto& model : models) {
    MC_CHECK(std::filesystem::is_regular_file(model), "{}: no such file", model.string());
  }
  for (const std::string& engine : options.engines) find_engine(engine);
  for (int64_t batch : options.batch_sizes)
    MC_CHECK(batch >= 1, "a batch has at least one sample, got {}", batch);
}

std::vector<Candidate> make_candidates(const std::vector<std::filesystem::path>& models, const Dataset* data,
                                       const BenchmarkOptions& options) {
  std::vector<Candidate> candidates;
  for (const auto& model : models) {
    for (const std::string& name : options.engines) {
      Engine& engine = find_engine(name);
      const std::string missing =
          engine.unavailable_reason();  // loads its library, so that no row pays for it
      for (int64_t batch : options.batch_sizes) {
        Candidate& candidate = candidates.emplace_back();
        candidate.row.model = model;
        candidate.row.engine = name;
        candidate.row.precision = options.engine.precision;
        candidate.row.batch = batch;
        candidate.row.threads = options.engine.threads > 0 ? options.engine.threads : Threads::count();
        candidate.row.file_mb = static_cast<double>(model_file_bytes(model)) / 1e6;
        candidate.row.random_data = !data || data->random();
        if (!missing.empty()) {
          candidate.row.skipped = missing;
          continue;
        }
        try {
          prepare(candidate, engine, data, options);
        } catch (const Error& error) {
          candidate.row.skipped = error.what();
          candidate.session.reset();
        }
      }
    }
  }
  return candidates;
}

}  // namespace

std::vector<BenchmarkRow> benchmark(const std::vector<std::filesystem::path>& models,
                                    const std::shared_ptr<const Dataset>& data,
                                    const BenchmarkOptions& options, MachineSpeed* machine) {
  check_options(models, options);
  std::vector<Candidate> candidates = make_candidates(models, data.get(), options);
  const auto wanted_ms = static_cast<int64_t>(options.seconds * 1e3);
  Progress progress("benchmark", wanted_ms * static_cast<int64_t>(candidates.size()));
  for (bool more = true; more;) {
    more = false;
    int64_t done_ms = 0;
    if (machine) {
      std::this_thread::sleep_for(kPause);
      machine->sample();
    }
    for (Candidate& candidate : candidates) {
      if (interrupted()) throw Error("interrupted while benchmarking", ErrorKind::kInterrupted);
      if (!candidate.done(options)) take_turn(candidate);
      more = more || !candidate.done(options);
      done_ms +=
          candidate.session ? std::min(wanted_ms, static_cast<int64_t>(candidate.measured)) : wanted_ms;
    }
    progress.update(done_ms);
  }
  std::vector<BenchmarkRow> rows;
  for (Candidate& candidate : candidates) {
    summarize(candidate);
    rows.push_back(std::move(candidate.row));
  }
  return rows;
}

Json to_json(const BenchmarkRow& row) {
  const bool measured = row.skipped.empty();
  auto number = [&](double value) { return measured ? Json(value) : Json(); };
  return {{"model", row.model.string()},
          {"engine", row.engine},
          {"precision", row.precision},
          {"batch", row.batch},
          {"threads", row.threads},
          {"median_ms", number(row.median_ms)},
          {"p90_ms", number(row.p90_ms)},
          {"p99_ms", number(row.p99_ms)},
          {"throughput", number(row.throughput)},
          {"load_ms", number(row.load_ms)},
          {"peak_mb", number(row.peak_mb)},
          {"file_mb", row.file_mb},
          {"random_data", row.random_data},
          {"skipped", row.skipped}};
}

Json to_json(const std::vector<BenchmarkRow>& rows, const MachineSpeed& machine) {
  Json list = Json::array();
  for (const BenchmarkRow& row : rows) list.push_back(to_json(row));
  return {{"schema", "model-compression/benchmark/1"},
          {"rows", list},
          {"machine", {{"loop_ms", machine.median_ms()}, {"drift", machine.drift()}}}};
}

}  // namespace mc
