#include <algorithm>

#include "mc/rewrite/convert_opset_table.h"

namespace mc {

const OpsetChange* OpsetHistory::change(int64_t version) const {
  const auto found = std::ranges::find(changes, version, &OpsetChange::version);
  return found == changes.end() ? nullptr : &*found;
}

std::span<const OpsetHistory> opset_histories() {
  static const std::vector<OpsetHistory> histories = make_opset_histories();
  return histories;
}

const OpsetHistory* opset_history(std::string_view op) {
  const std::span<const OpsetHistory> all = opset_histories();
  const auto found = std::ranges::lower_bound(all, op, {}, &OpsetHistory::op);
  return found == all.end() || found->op != op ? nullptr : &*found;
}

}  // namespace mc
