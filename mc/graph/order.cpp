#include "mc/graph/order.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <unordered_set>

#include "mc/base/error.h"

namespace mc {

std::vector<size_t> topological_order(const Graph& graph) {
  std::unordered_map<std::string, size_t> producers;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const std::string& output : graph.nodes[n].outputs) {
      if (!output.empty()) producers.emplace(output, n);
    }
  }
  std::vector<size_t> missing(graph.nodes.size(), 0);
  std::vector<std::vector<size_t>> followers(graph.nodes.size());
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const std::string& value : reads(graph.nodes[n])) {
      const auto producer = producers.find(value);
      if (producer == producers.end()) continue;
      followers[producer->second].push_back(n);
      ++missing[n];
    }
  }
  // Of the nodes that are ready, the one written first goes first.
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t n = 0; n < missing.size(); ++n) {
    if (missing[n] == 0) ready.push(n);
  }
  std::vector<size_t> order;
  while (!ready.empty()) {
    const size_t n = ready.top();
    ready.pop();
    order.push_back(n);
    for (const size_t follower : followers[n]) {
      if (--missing[follower] == 0) ready.push(follower);
    }
  }
  if (order.size() == graph.nodes.size()) return order;

  // Every node left waits for one left; walking back from any ends on a cycle.
  size_t n = 0;
  while (missing[n] == 0) ++n;
  std::unordered_set<size_t> seen;
  while (seen.insert(n).second) {
    for (const std::string& value : reads(graph.nodes[n])) {
      const auto producer = producers.find(value);
      if (producer == producers.end() || missing[producer->second] == 0) continue;
      n = producer->second;
      break;
    }
  }
  fail("graph '{}': {} is on a cycle: it needs its own result", graph.name, graph.nodes[n].label());
}

void Graph::sort() {
  for (Node& node : nodes) {
    for (Attribute& attribute : node.attributes) {
      for (Graph* subgraph : attribute.graphs()) subgraph->sort();
    }
  }
  const std::vector<size_t> order = topological_order(*this);
  if (std::ranges::is_sorted(order)) return;
  std::vector<Node> sorted;
  sorted.reserve(nodes.size());
  for (const size_t n : order) sorted.push_back(std::move(nodes[n]));
  nodes = std::move(sorted);
}

}  // namespace mc
