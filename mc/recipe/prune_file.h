// A trained ONNX file -> a pruned one, and what that did to it: the command `prune`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/deploy/compare.h"
#include "mc/prune/block_order.h"
#include "mc/prune/choose_channels.h"
#include "mc/prune/engine_gains.h"
#include "mc/prune/one_shot.h"

namespace mc {

// How far: exactly one of them.
struct PruneFileTarget {
  enum class Kind { kSparsity, kMacs, kParameters, kSize, kSpeedup };
  Kind kind = Kind::kSparsity;
  // kSparsity: part of the weights that become zero, or of the channels or blocks that go, [0, 1). kMacs,
  // kParameters:
  // part that stays, (0, 1]. kSize: bytes, or with `relative` part of the file. kSpeedup: times faster,
  // above 1.
  double value = 0;
  bool relative = false;
};
std::string name_of(PruneFileTarget::Kind kind);  // "sparsity", "macs", "params", "size", "speedup"

struct PruneFileOptions {
  std::filesystem::path model;
  std::filesystem::path output;
  std::string method;  // of prune_file_methods()
  PruneFileTarget target;
  std::string data;  // as open_dataset takes it; may be empty where the method needs none
  std::string structure = "unstructured";  // of masks (parse_structure)
  std::optional<bool> global;  // one ranking over all layers; by default of channels, not of masks
  std::vector<std::string> ignore;
  std::string blocks;  // of channel methods: the method by which residual blocks go first; empty: none do
  // Of channel methods; `global` and `ignore` are taken from above. round_to 0 is kernel_width(engine),
  // halved until the target can be reached.
  ChoiceOptions channels;
  std::string engine = "onnxruntime";
  int64_t latency_batch = 1;
  double seconds = 1;     // measuring time of each model; 0: no latency, but for --speedup
  int64_t samples = 128;  // that scores look at
  std::string metric;     // empty: top1 for class labels, mse for others
  int64_t batch = 32;     // samples at once when comparing
  int64_t limit = 0;      // compare on only the first samples; 0: all
};

// One form of the network. Of channel methods there are three: dense, sparse (zeros in the channels that go)
// and cut; of block methods dense and cut.
struct PrunedSize {
  std::string what;
  uint64_t bytes = 0, compressed_bytes = 0;  // of the file, and of it by zstd
  double parameters = 0, macs = 0;
  double sparsity = 0;  // zeros among the weights of layers
};

struct WeightChange {
  std::string name;
  std::vector<int64_t> before, after;  // shapes
  double sparsity = 0;
  std::string pattern;
};

struct PruneLatency {
  std::string engine;
  int64_t batch = 1;
  double before_ms = 0, after_ms = 0;  // medians, the models taking turns
};

struct PruneFileReport {
  PruneFileOptions options;
  std::vector<PrunedSize> sizes;
  std::vector<WeightChange> weights;
  std::vector<RemovedBlock> blocks;  // in the order in which they went
  int64_t round_to = 0;              // of channel methods: of what the widths are multiples
  std::vector<LayerLeft> left;
  std::vector<EngineGain> gains;
  std::string pattern;                  // of all that was pruned
  std::optional<double> cut_error;      // of the cut model against the masked one, by their largest output
  std::string cut_note;                 // why they need not be equal; empty: they do
  std::optional<PruneLatency> latency;  // where the engine is there
  std::string engine_note;              // why there is none, or another engine compared
  std::optional<Comparison> comparison;
  std::string metric;  // empty: none measured
  double metric_before = 0, metric_after = 0;
  std::string data;
  bool random_data = false;
  double seconds = 0;
};

// Names of score_kinds() and calibrated_methods(), then of importances() and block_importances().
std::vector<std::string> prune_file_methods();

// Throws Error before anything is written: targets and options out of their ranges or that do not go with the
// method, an unknown method (nearest names), an output that is the input, missing data, and what
// prune_one_shot, prune_with_data, plan_channels and BlockOrder refuse. Where a cut model should equal the
// masked one and does not, to 1e-4 of the largest output, that is an Error too.
PruneFileReport prune_file(const PruneFileOptions& options);

// The document of `prune --json`.
Json to_json(const PruneFileReport& report);

}  // namespace mc
