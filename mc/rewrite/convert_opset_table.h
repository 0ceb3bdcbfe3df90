// When each operator of ai.onnx changed, and the rules that move a node across a change. Internal to the
// room.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "mc/rewrite/convert_opset_step.h"

namespace mc {

// Element types as a set: bit N is ONNX's type number N.
using TypeSet = uint64_t;
inline constexpr TypeSet kSequences = TypeSet{1} << 40;  // beside element types: whole kinds of values
inline constexpr TypeSet kOptionals = TypeSet{1} << 41;

struct OpsetChange {
  int64_t version;           // of ai.onnx that brought the change
  TypeSet new_types = 0;     // element types that no older form takes anywhere: going down refuses them
  OpsetRule up = nullptr;    // null: the old form still means the same
  OpsetRule down = nullptr;  // null: the new form means the same in the version before
};

struct OpsetHistory {
  std::string_view op;
  int64_t first;  // the version that brought it; 7 for all that are as old or older
  std::vector<OpsetChange> changes;
  OpsetRule without = nullptr;  // makes it of operators that are older than it; null: refused there

  const OpsetChange* change(int64_t version) const;
};

// The table itself (convert_opset_table.cpp), sorted by name.
std::vector<OpsetHistory> make_opset_histories();

// The same, made once.
std::span<const OpsetHistory> opset_histories();
const OpsetHistory* opset_history(std::string_view op);  // null for what ai.onnx does not have

}  // namespace mc
