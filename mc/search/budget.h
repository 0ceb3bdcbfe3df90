// Mixed precision by a budget: which layers get how many bits of weight, or stay float, so that the file, the
// bit operations or the time on the engine stay within it and the outputs lose least.
//
// For size and bit operations each layer's loss at each number of bits is measured (sensitivity.h: noise over
// signal at the outputs with only that layer quantized), taken as additive, and the bits are those of the
// integer program that HAWQ-V3 solves (Yao et al., ICML 2021, section 3.4; ZeroQ's Pareto frontier, Cai et
// al. 2020, section 3.3, is its relaxation), here exactly, as a knapsack. Time is measured, not summed up:
// the layers with the largest loss for each multiply-accumulate stay float, as many as the budget has time
// for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/quantize/quantize.h"
#include "mc/search/latency.h"
#include "mc/search/sensitivity.h"

namespace mc {

struct Budget {
  enum class Kind { kSize, kBops, kLatency };
  Kind kind = Kind::kSize;
  double limit = 0;       // bytes, bit operations of one sample, milliseconds
  bool relative = false;  // the limit is a part of what the float model has
};

// "0.2x" is a part of the float model's; else a number: bytes ("1.5M": 10^6), bit operations ("2.5G": 10^9),
// milliseconds (no suffix). Throws Error that says what is wrong with it.
Budget parse_budget(Budget::Kind kind, const std::string& text);
std::string name_of(Budget::Kind kind);  // "size", "bops", "latency"

inline constexpr int64_t kFloatBits = 32;

struct BitChoice {
  std::string node;
  std::string op_type;
  int64_t bits = 8;     // of the weight; kFloatBits: left float
  double snr_db = 200;  // at the outputs with only this layer at these bits
  double cost = 0;      // bytes of the weight, bit operations; 0 for latency
};

struct BudgetResult {
  Budget budget;
  double limit = 0;               // in the unit of the budget
  double float_cost = 0;          // of the float model
  double cost = 0;                // of the result: bit operations, median milliseconds, estimated bytes
  double expected_snr_db = 0;     // from the losses' sum
  std::vector<BitChoice> layers;  // in the order of the graph
  std::vector<LayerSensitivity> sensitivity;
  QuantizeOptions options;  // that quantize so
};
Json to_json(const BudgetResult& result);

struct BudgetJob {
  std::filesystem::path model;                 // float
  std::filesystem::path folder;                // exists; takes models that are measured, until the end
  std::shared_ptr<const Dataset> calibration;  // fields in the order of the model's inputs
  Normalization normalization;
  QuantizeOptions options;  // of ptq
  Budget budget;
  std::string engine;                // of a latency budget
  int64_t sensitivity_samples = 32;  // of the calibration data
};

// Weights of at most 4 bits are stored as int4 for a budget of size (where the target reads that), which
// engines turn back into floats; for the others all integers are int8 in the file. Throws Error: a budget
// that the float model meets already, or that cannot be met (with the least that can), a layer without a
// name, bit operations of a model whose shapes cannot be inferred, an engine that is not there, kInterrupted.
BudgetResult choose_by_budget(const BudgetJob& job);

}  // namespace mc
