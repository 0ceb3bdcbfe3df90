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

// A value inside (mc/deploy/layer_fidelity.h). Steps are those of the other model's quantization grid; -1
// where the value is not quantized there.
struct LayerDifference {
  double snr_db = 0, max_abs = 0;
  double steps = -1;      // the largest difference
  double differing = -1;  // part of the elements that are not the same integer, 0 to 1
};
struct LayerComparison : OutputComparison {  // of free-running models
  std::string node;                          // label of the node that computes it in `other`
  double steps = -1, differing = -1;
  LayerDifference local;  // fed with the reference's values of the layers before
  // Whether the layer by itself departs: by more than one step where both models quantize the value; else
  // by an SNR below 60 dB in float32 and 30 dB in shorter floats, 20 dB where one model alone is quantized.
  bool parts = false;
};

struct Comparison {
  std::filesystem::path reference, other;
  std::string engine, other_engine;
  int64_t samples = 0;
  std::vector<OutputComparison> outputs;
  double top1_agreement = 0;            // of output 0's largest value along its last axis
  std::vector<LayerComparison> layers;  // with per_layer, in the order in which `other` computes them
  double min_snr_db() const;
  const LayerComparison* first_that_parts() const;  // null when none does
};

// Sees a batch and what both models made of it, so that a metric need not run them again.
using ObserveOutputs = std::function<void(const Batch& batch, const std::vector<at::Tensor>& reference,
                                          const std::vector<at::Tensor>& other)>;

struct CompareOptions {
  std::string engine = "onnxruntime";
  std::string other_engine;  // empty: the same
  EngineOptions options;
  int64_t batch_size = 32;
  bool per_layer = false;             // values inside too, on the same engines
  int64_t layer_bytes = 256ll << 20;  // of a batch's values inside that are held at once in each model
  ObserveOutputs observe = {};
};

// `loader` gives normalized batches in the models' input order. Models of a fixed batch are fed in pieces of
// its size. Throws Error when the outputs differ in number or shape, or the loader gives nothing.
Comparison compare(const std::filesystem::path& reference, const std::filesystem::path& other, Loader& loader,
                   const CompareOptions& options);

OutputComparison summarize(const std::string& name, const Fidelity& fidelity);

Json to_json(const Comparison& comparison);
// The document of `compare --json`.
Json to_json(const std::vector<Comparison>& comparisons, bool passed);

}  // namespace mc
