// In which order residual blocks go: first the one that the network misses least.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/calibration/samples.h"
#include "mc/prune/residual_blocks.h"
#include "mc/prune/speed_meter.h"

namespace mc {

class HeldOutputs;

struct BlockImportance {
  std::string name;  // "blocks_cosine"
  std::string summary;
  bool anew = false;  // judged again after each block that goes
};

// blocks_cosine  1 minus the cosine between what enters a block and what leaves it, mean over samples, of
//                rows of the last axis where the values have three (tokens): "block influence" (Men et al.
//                2024, ShortGPT, arXiv 2403.03853, eq. 1)
// blocks_output  squared error of the model's outputs over their squared size without the block and those
//                that went before it (Song et al. 2024, SLEB, arXiv 2402.09025, algorithm 1, which has the
//                perplexity of a text in its place)
const std::vector<BlockImportance>& block_importances();
std::vector<std::string> block_method_names();
std::vector<std::string> with_none(std::vector<std::string> names);  // "none" before them
bool is_block_method(const std::string& name);
const BlockImportance& find_block_importance(const std::string& name);  // Error with the nearest name

struct RemovedBlock {
  ResidualBlock block;  // as it was when it went
  double score = 0;     // of the kind; smaller: missed less
};

// A model that loses one block after another.
class BlockOrder {
 public:
  // `ignore`: patterns of blocks, or of parameters whose blocks stay. Throws Error: an unknown kind, a model
  // without residual blocks, a pattern that matches no block (with the nearest name), no samples, and values
  // that are NaN or infinite.
  BlockOrder(const std::string& method, Model model, const Samples& samples,
             const std::vector<std::string>& ignore = {}, at::Device device = at::kCPU);
  ~BlockOrder();

  int64_t blocks() const { return blocks_; }                            // of the whole model
  const std::vector<std::string>& ignored() const { return ignored_; }  // names
  int64_t removable() const;                                            // of what is left
  const Model& model() const { return model_; }                         // without those that went
  const std::vector<RemovedBlock>& removed() const { return removed_; }

  // Takes the next one out; false where none may go any more.
  bool remove_next();

 private:
  std::vector<ResidualBlock> candidates() const;
  void leave_alone(const std::vector<std::string>& patterns);
  std::map<std::string, double> cosines(const Samples& samples) const;
  double score(const ResidualBlock& block) const;

  const BlockImportance* importance_;
  Model model_;
  at::Device device_;
  int64_t blocks_ = 0;
  std::vector<std::string> known_, ignored_;
  std::map<std::string, double> scores_;  // of kinds that look once
  std::unique_ptr<HeldOutputs> outputs_;  // of kinds that judge anew
  std::vector<RemovedBlock> removed_;
};

// Those of the patterns that match a block or a parameter in one.
std::vector<std::string> patterns_of_blocks(const Model& model, const std::vector<std::string>& patterns);

// Takes blocks out until the model is `enough`, which is asked before each: whether it was reached.
bool remove_blocks_until(BlockOrder& order, const std::function<bool(const Model&)>& enough);

// The same until the cost is at most `limit`. Throws Error that says what is the least that can be reached,
// naming `what` ("MACs"), when all blocks that may go are not enough.
void remove_blocks_to(BlockOrder& order, const std::function<double(const Model&)>& cost, double limit,
                      const std::string& what);

// The same until the model is so many times faster than the meter's; the Error says what was measured.
void remove_blocks_for_speed(BlockOrder& order, SpeedMeter& meter, double factor);

// Half of the way to a cost or a speed on a logarithmic scale, so that channels have as far to go again;
// where not enough blocks may go, as far as they reach.
void remove_blocks_halfway(BlockOrder& order, const std::function<double(const Model&)>& cost, double limit);
void remove_blocks_halfway(BlockOrder& order, SpeedMeter& meter, double factor);

// So many that this part of the model's blocks is gone, rounded, [0, 1]. Throws Error where not so many may
// go.
void remove_block_ratio(BlockOrder& order, double ratio);

}  // namespace mc
