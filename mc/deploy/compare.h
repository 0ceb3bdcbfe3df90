// Do two models, or one model on two engines, say the same?
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/data/loader.h"
#include "mc/deploy/engine.h"

namespace mc {

// Sums over samples for one output, fed batch by batch. SNR in dB is 10 log10(sum of reference squared /
// sum of difference squared); 200 when equal.
class Fidelity {
 public:
  void add(const at::Tensor& reference, const at::Tensor& other);
  double mse() const;
  double snr_db() const;
  double cosine() const;
  double max_abs() const;

 private:
  double signal_ = 0, noise_ = 0, dot_ = 0, other_ = 0, max_ = 0;
  int64_t count_ = 0;
};

struct OutputComparison {
  std::string name;
  double mse = 0, snr_db = 0, cosine = 0, max_abs = 0;
};

struct Comparison {
  std::filesystem::path reference, other;
  std::string engine, other_engine;
  int64_t samples = 0;
  std::vector<OutputComparison> outputs;
  double top1_agreement = 0;             // of output 0's largest value along its last axis
  std::vector<OutputComparison> layers;  // with per_layer: values in the reference's order
  double min_snr_db() const;
};

// Sees a batch and what both models made of it, so that a metric need not run them again.
using ObserveOutputs = std::function<void(const Batch& batch, const std::vector<at::Tensor>& reference,
                                          const std::vector<at::Tensor>& other)>;

struct CompareOptions {
  std::string engine = "onnxruntime";
  std::string other_engine;  // empty: the same
  EngineOptions options;
  int64_t batch_size = 32;
  bool per_layer = false;  // torch engine's values by name, in both models
  ObserveOutputs observe = {};
};

// `loader` gives normalized batches in the models' input order. Models of a fixed batch are fed in pieces of
// its size. Throws Error when the outputs differ in number or shape, or the loader gives nothing.
Comparison compare(const std::filesystem::path& reference, const std::filesystem::path& other, Loader& loader,
                   const CompareOptions& options);

Json to_json(const Comparison& comparison);
// The document of `compare --json`.
Json to_json(const std::vector<Comparison>& comparisons, bool passed);

}  // namespace mc
