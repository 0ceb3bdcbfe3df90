#include "mc/quantize/equalize.h"

#include <map>
#include <set>
#include <vector>

#include <ATen/ATen.h>

#include "mc/calibration/linear_layer.h"
#include "mc/quantize/channel_maxima.h"
#include "mc/quantize/factor_path.h"

namespace mc {
namespace {

// Two layers and the factors, a channel of the first layer each, that go from the first to the second.
struct EqualizedPair {
  FactorPath path;
  size_t second = 0;   // node
  std::string value;   // that it reads
  at::Tensor factors;  // double; the second layer's weight takes them, the first layer's their reciprocals
  at::Tensor least;    // what no factor may fall below
};

// By value, and by output of a Clip.
using Maxima = std::map<std::string, at::Tensor>;

class Equalizer {
 public:
  Equalizer(Graph& graph, const std::set<std::string>& open_clips, const Maxima& maxima)
      : graph_(graph), uses_(graph), maxima_(maxima) {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) find_pair(i, open_clips);
  }

  const std::vector<EqualizedPair>& pairs() const { return pairs_; }

  void run() {
    // A network of n layers in a chain needs some n sweeps; the scales then differ by less than a float's
    // rounding does.
    constexpr int kMostSweeps = 200;
    for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
      double largest = 0;
      for (EqualizedPair& pair : pairs_) largest = std::max(largest, step(pair));
      if (largest < 1e-4) break;
    }
    for (const EqualizedPair& pair : pairs_) {
      apply_factors(graph_, uses_, pair.path, pair.factors.reciprocal());
      const at::Tensor factors = pair.factors.repeat_interleave(pair.path.repeat);
      scale_weight_inputs(graph_, uses_, graph_.nodes[pair.second], factors);
    }
  }

 private:
  void find_pair(size_t second, const std::set<std::string>& open_clips) {
    const auto layer = linear_layer(graph_, uses_, graph_.nodes[second]);
    if (!layer) return;
    const std::string& value = layer->node->inputs[0];
    if (uses_.consumers(value).size() != 1 || uses_.is_output(value)) return;
    auto path =
        find_factor_path(graph_, uses_, value, input_axis(graph_, *layer->node), layer->inputs(), open_clips);
    if (!path || !path->linear) return;
    const auto first = linear_layer(graph_, uses_, graph_.nodes[path->source]);
    magnitudes(path->source, *first);
    magnitudes(second, *layer);
    const at::Tensor ones = at::ones({path->channels}, at::kDouble);
    pairs_.push_back({*path, second, value, ones.clone(), least_factors(value, *path)});
  }

  // A channel with next to no weights but a bias would grow without end, and the quantizer of the value has
  // one scale for all channels: none may grow beyond the largest of them as it is.
  at::Tensor least_factors(const std::string& value, const FactorPath& path) const {
    const auto seen = maxima_.find(value);
    const int64_t features = path.channels * path.repeat;
    if (seen == maxima_.end() || seen->second.numel() != features) {
      return at::zeros({path.channels}, at::kDouble);
    }
    const at::Tensor largest = seen->second.reshape({path.channels, path.repeat}).amax(1);
    return largest / largest.max().clamp_min(1e-30);
  }

  // Factors see only the largest magnitude over a kernel's elements: double [group, out, in].
  void magnitudes(size_t node, const LinearLayer& layer) {
    if (magnitudes_.contains(node)) return;
    magnitudes_[node] = layer.weight.abs().amax(3).to(at::kDouble).contiguous();
  }

  // One use of equation 11; gives the largest |log| of its factors.
  double step(EqualizedPair& pair) {
    at::Tensor& first = magnitudes_.at(pair.path.source);
    at::Tensor& second = magnitudes_.at(pair.second);
    const at::Tensor rows = first.amax(2).flatten();
    const at::Tensor columns = second.amax(1).reshape({pair.path.channels, pair.path.repeat}).amax(1);
    // A channel without weights on one side is left alone.
    const at::Tensor useful = (rows > 0).logical_and(columns > 0);
    const at::Tensor wanted = at::where(useful, (rows / columns).sqrt(), at::ones_like(rows));
    const at::Tensor factor = at::maximum(wanted, pair.least / pair.factors);
    first.div_(factor.view({first.size(0), first.size(1), 1}));
    second.mul_(factor.repeat_interleave(pair.path.repeat).view({second.size(0), 1, second.size(2)}));
    pair.factors.mul_(factor);
    return factor.log().abs().max().item<double>();
  }

  Graph& graph_;
  const Uses uses_;
  const Maxima& maxima_;
  std::vector<EqualizedPair> pairs_;
  std::map<size_t, at::Tensor> magnitudes_;  // by node
};

// What the samples reach in the values between layers, and behind the Clips that keep two layers apart.
Maxima seen_between(Model& model, const std::set<std::string>& clips, const Samples& samples,
                    const ModuleOptions& options) {
  std::map<std::string, int64_t> wanted;
  const Maxima none;
  const Equalizer candidates(model.graph, clips, none);
  for (const EqualizedPair& pair : candidates.pairs()) {
    for (const std::string& clip : pair.path.clips) wanted[clip] = kWholeValue;
    const bool second = input_axis(model.graph, model.graph.nodes[pair.second]) == ChannelAxis::kSecond;
    wanted[pair.value] = second ? 1 : -1;
  }
  return wanted.empty() ? Maxima() : channel_maxima(model, wanted, samples, options);
}

}  // namespace

int64_t equalize(Model& model, const std::optional<Samples>& samples, const ModuleOptions& options) {
  Graph& graph = model.graph;
  const Uses uses(graph);
  std::map<std::string, double> bounds;
  std::set<std::string> clips;
  for (const Node& node : graph.nodes) {
    if (const auto bound = clip_from_zero(graph, uses, node)) bounds[node.outputs[0]] = *bound;
  }
  for (const auto& [clip, bound] : bounds) clips.insert(clip);
  const Maxima maxima = samples ? seen_between(model, clips, *samples, options) : Maxima();
  std::erase_if(clips, [&](const std::string& clip) {
    const auto seen = maxima.find(clip);
    return seen == maxima.end() || seen->second.max().item<double>() >= bounds.at(clip);
  });
  Equalizer equalizer(graph, clips, maxima);
  equalizer.run();
  graph.drop_unused();
  return static_cast<int64_t>(equalizer.pairs().size());
}

}  // namespace mc
