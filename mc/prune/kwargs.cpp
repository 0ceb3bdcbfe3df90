#include "mc/prune/kwargs.h"

#include <tuple>

namespace mc {
namespace {

template <class T>
struct Member {
  const char* name;
  std::optional<T> PruneKwargs::* at;
};
template <class T>
Member(const char*, std::optional<T> PruneKwargs::*) -> Member<T>;

// One line for each field, so that all of them are merged and counted.
const auto& members() {
  static const auto all = std::tuple{
      Member{"target_sparsity", &PruneKwargs::target_sparsity},
      Member{"initial_sparsity", &PruneKwargs::initial_sparsity},
      Member{"threshold_decay", &PruneKwargs::threshold_decay},
      Member{"fast_threshold", &PruneKwargs::fast_threshold},
      Member{"block_size", &PruneKwargs::block_size},
      Member{"block_dims", &PruneKwargs::block_dims},
      Member{"pooling_type", &PruneKwargs::pooling_type},
      Member{"n", &PruneKwargs::n},
      Member{"m", &PruneKwargs::m},
      Member{"group", &PruneKwargs::group},
      Member{"group_target_sparsity", &PruneKwargs::group_target_sparsity},
      Member{"group_initial_sparsity", &PruneKwargs::group_initial_sparsity},
      Member{"group_threshold_decay", &PruneKwargs::group_threshold_decay},
      Member{"regrow", &PruneKwargs::regrow},
      Member{"pruning_fn", &PruneKwargs::pruning_fn},
      Member{"name", &PruneKwargs::name},
  };
  return all;
}

template <class Body>
void for_each_member(const Body& body) {
  std::apply([&](const auto&... member) { (body(member), ...); }, members());
}

}  // namespace

PruneKwargs PruneKwargs::over(const PruneKwargs& base) const {
  PruneKwargs merged = base;
  for_each_member([&](const auto& member) {
    if (this->*member.at) merged.*member.at = this->*member.at;
  });
  return merged;
}

std::vector<std::string> PruneKwargs::given() const {
  std::vector<std::string> names;
  for_each_member([&](const auto& member) {
    if (this->*member.at) names.emplace_back(member.name);
  });
  return names;
}

}  // namespace mc
