// The dependency graph of structured pruning: milliseconds from a Model to its groups of channels (median of
// some rounds, and the parts that shape inference and the joining of axes have in it).
//   bench_channel_groups [MODEL.onnx...]
// Without files: the builders' networks.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "mc/base/error.h"
#include "mc/models/models.h"
#include "mc/onnx/onnx.h"
#include "mc/prune/channel_partition.h"

namespace {

constexpr int kRounds = 9;

double median_ms(const std::function<void()>& body) {
  std::vector<double> times;
  for (int i = 0; i < kRounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

void measure(const std::string& name, const mc::Model& model) {
  const double whole = median_ms([&] { mc::channel_groups(model); });
  const double shapes = median_ms([&] { mc::ChannelGraph::prepare(model); });
  const mc::Model prepared = mc::ChannelGraph::prepare(model);
  const double joining = median_ms([&] { const mc::ChannelGraph graph(prepared); });
  size_t free = 0, fixed = 0;
  int64_t channels = 0;
  for (const mc::ChannelGroup& group : mc::channel_groups(model)) {
    (group.obstacle.empty() ? free : fixed) += 1;
    if (group.obstacle.empty()) channels += group.channels;
  }
  std::printf(
      "%-28s %5zu nodes %5zu groups %3zu fixed %7lld channels  %7.2f ms (shapes %.2f, joining %.2f)\n",
      name.c_str(), model.graph.nodes.size(), free, fixed, static_cast<long long>(channels), whole, shapes,
      joining);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    for (int i = 1; i < argc; ++i)
      measure(std::filesystem::path(argv[i]).stem().string(), mc::read_onnx(argv[i]));
    if (argc > 1) return 0;
    for (const mc::ModelBuilder& builder : mc::model_builders()) {
      mc::ModelOptions options;
      options.input_shape = builder.usual_input;
      measure(builder.name, mc::build_model(builder.name, options));
    }
  } catch (const mc::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
