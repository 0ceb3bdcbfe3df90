// Residual blocks that go when a stage begins.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mc/prune/block_order.h"
#include "mc/train/method.h"

namespace mc {

struct BlockTask {
  std::string method;               // a name of block_importances()
  std::vector<std::string> ignore;  // as BlockOrder has them
  int64_t batches = 8;              // of the stage, by which blocks are judged
};

// Takes out of the stage's network what `take` takes out of the order, and says how many that are.
int64_t take_blocks_out(StageContext& context, const BlockTask& task,
                        const std::function<void(BlockOrder&)>& take);

}  // namespace mc
