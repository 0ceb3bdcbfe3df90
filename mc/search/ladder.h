// The quantization ladder: rungs from cheap to costly, each of which may change how the model is quantized.
// A change stays when the result, as the target's engine computes it, comes closer to the goal; the first
// rung on which the goal is reached is the last. The best model so far is always on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/quantize/quantize.h"
#include "mc/search/judge.h"
#include "mc/search/sensitivity.h"

namespace mc {

struct LadderOptions {
  std::filesystem::path model;   // float
  std::filesystem::path output;  // the best so far; OUTPUT.ladder.json remembers what was tried
  QuantizeOptions quantize;      // what the first rung starts from
  Goal goal;
  std::string engine;              // that judges
  double time_budget_seconds = 0;  // no attempt begins after it; 0: none
  bool resume = true;              // take over what OUTPUT.ladder.json remembers of the same model and data
  int64_t sensitivity_samples = 32;
  int64_t qat_epochs = 1;
  double qat_learning_rate = 1e-4;
  uint64_t seed = 0;
};

struct LadderData {
  std::shared_ptr<const Dataset> calibration;  // fields in the order of the model's inputs
  std::shared_ptr<const Dataset> training;     // for QAT; null: the ladder ends before it
  JudgeData judge;
};

// One attempt.
struct LadderStep {
  std::string rung;
  std::string what;  // "calibrator entropy"
  QuantizeOptions options;
  std::optional<Judgement> judgement;  // none: it failed, see `reason`
  std::string reason;                  // of a failure, or of a rung that was passed over
  double seconds = 0;                  // to quantize and to judge
  bool kept = false;                   // the best when it was tried
  bool remembered = false;             // from an earlier run
};

struct LadderResult {
  std::string metric;  // empty: none was measured
  Judgement reference;
  std::vector<LadderStep> steps;
  std::optional<size_t> best;  // of steps
  bool holds = false;          // the goal is reached
  bool out_of_time = false;
  std::vector<LayerSensitivity> sensitivity;  // where the ladder had to measure it
};

// Climbs until the goal holds, no rung is left or the time is over. A rung that fails is a step with its
// reason. Throws Error: as Judge does, a model that cannot be quantized at all, kInterrupted (the best so far
// is on disk, and the next run goes on).
LadderResult climb_ladder(const LadderOptions& options, const LadderData& data);

// What a rung can do; see rungs.cpp.
class Ladder {
 public:
  virtual ~Ladder() = default;
  virtual const QuantizeOptions& best() const = 0;  // those of the first attempt before there is one
  virtual const Model& model() const = 0;           // the float model
  virtual bool can_train() const = 0;
  virtual bool over() const = 0;  // the goal holds, or no time is left
  // Quantizes with these options and judges; not when the time is over. True when the result holds the goal.
  // Of two that hold it the smaller file is better, else the one that misses it by less.
  virtual bool attempt(const std::string& what, const QuantizeOptions& options) = 0;
  // Names of the layers that the best options quantize, the most harmful first.
  virtual std::vector<std::string> most_sensitive() = 0;
};

struct Rung {
  std::string name;
  std::string summary;
  void (*climb)(Ladder& ladder);
};
const std::vector<Rung>& ladder_rungs();  // in order

}  // namespace mc
