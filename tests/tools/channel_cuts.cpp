// Cuts random channels out of a model again and again, for tests that compare the cut model with the masked
// one:
//   channel_cuts MODEL.onnx DATA.npz CUTS SEED FOLDER
// DATA.npz holds an array for each input under its name. Before, all vectors that a group owns get random
// numbers added, so that fresh statistics and biases are not the ones and zeros that hide mistakes. In every
// cut about half of the groups lose a random number of channels; odd cuts take from exact groups only. The
// cut model runs here and on ONNX Runtime. JSON on stdout: {"groups": [{"name", "channels", "exact",
// "inexact", "obstacle", "members": [[name, axis, positions of one channel]]}], "cuts", "exact_cuts",
// "worst": the largest difference of an exact cut to the masked model, in parts of the largest output,
// "worst_engine": of any cut to ONNX Runtime, "parameters": [before, fewest after a cut]}.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <random>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/json.h"
#include "mc/deploy/engine.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/prune/cut.h"
#include "mc/rewrite/pass.h"
#include "tests/tools/arrays.h"

namespace {

namespace fs = std::filesystem;

void disturb(mc::Model& model, const std::vector<mc::ChannelGroup>& groups) {
  for (const mc::ChannelGroup& group : groups) {
    for (const mc::ChannelMember& member : group.members) {
      mc::Initializer* initializer = model.graph.initializer(member.initializer);
      const mc::Tensor& tensor = initializer->tensor;
      if (tensor.dims.size() != 1 || tensor.dtype != mc::DType::kFloat) continue;
      initializer->tensor = mc::to_constant(mc::to_aten(tensor, false) + at::rand(tensor.dims) * 0.2 + 0.02);
    }
  }
}

std::vector<mc::ChannelCut> random_cuts(const std::vector<mc::ChannelGroup>& groups, bool exact_only,
                                        std::mt19937_64& random) {
  std::vector<mc::ChannelCut> cuts;
  for (const mc::ChannelGroup& group : groups) {
    if (!group.obstacle.empty() || group.channels < 2 || (exact_only && !group.exact)) continue;
    if (random() % 2 == 0) continue;
    std::vector<int64_t> channels(static_cast<size_t>(group.channels));
    for (size_t i = 0; i < channels.size(); ++i) channels[i] = static_cast<int64_t>(i);
    std::shuffle(channels.begin(), channels.end(), random);
    channels.resize(1 + random() % static_cast<uint64_t>(group.channels - 1));
    cuts.push_back({group.name, channels});
  }
  return cuts;
}

std::vector<at::Tensor> run(const mc::Model& model, const Arrays& arrays) {
  mc::GraphModule module(model);
  module.eval();
  std::vector<at::Tensor> inputs;
  for (const std::string& name : module.input_names()) {
    MC_CHECK(arrays.contains(name), "there is no array '{}'", name);
    inputs.push_back(arrays.at(name));
  }
  const at::NoGradGuard no_grad;
  return module.forward(inputs);
}

std::vector<at::Tensor> run_engine(const mc::Model& model, const Arrays& arrays, const fs::path& path) {
  mc::write_onnx(model, path);
  mc::EngineOptions options;
  options.threads = 1;
  const auto session = mc::find_engine("onnxruntime").load(path, options);
  std::vector<at::Tensor> inputs;
  for (const mc::PortInfo& port : session->inputs()) inputs.push_back(arrays.at(port.name));
  return session->infer(inputs);
}

double difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (a[i].sizes() != b[i].sizes()) return INFINITY;
    if (a[i].numel() == 0) continue;
    const at::Tensor x = a[i].to(at::kDouble), y = b[i].to(at::kDouble);
    const double error = (x - y).abs().max().item<double>() / std::max(1e-3, y.abs().max().item<double>());
    worst = std::isfinite(error) ? std::max(worst, error) : INFINITY;
  }
  return worst;
}

double parameters(const mc::Model& model) {
  double count = 0;
  for (const mc::Initializer& i : model.graph.initializers()) count += static_cast<double>(i.tensor.count());
  return count;
}

mc::Json describe(const std::vector<mc::ChannelGroup>& groups) {
  mc::Json list = mc::Json::array();
  for (const mc::ChannelGroup& group : groups) {
    mc::Json members = mc::Json::array();
    for (const mc::ChannelMember& member : group.members)
      members.push_back({member.initializer, member.axis, member.positions[0].size()});
    list.push_back({{"name", group.name},
                    {"channels", group.channels},
                    {"exact", group.exact},
                    {"inexact", group.inexact},
                    {"obstacle", group.obstacle},
                    {"members", members}});
  }
  return list;
}

int cut_again_and_again(const fs::path& path, const fs::path& data, int count, uint64_t seed,
                        const fs::path& folder) {
  at::manual_seed(seed);
  std::mt19937_64 random(seed);
  mc::Model model = mc::read_onnx(path);
  mc::apply_passes(model, {"inference_form"});
  const std::vector<mc::ChannelGroup> groups = mc::channel_groups(model);
  disturb(model, groups);
  const Arrays arrays = read_arrays(data);
  double worst = 0, worst_engine = 0, fewest = parameters(model);
  int exact_cuts = 0;
  for (int i = 0; i < count; ++i) {
    const std::vector<mc::ChannelCut> cuts = random_cuts(groups, i % 2 == 1, random);
    const mc::Model cut = mc::cut_channels(model, cuts);
    mc::verify(cut);
    const std::vector<at::Tensor> outputs = run(cut, arrays);
    const bool exact = std::ranges::all_of(cuts, [&](const mc::ChannelCut& c) {
      return std::ranges::find(groups, c.group, &mc::ChannelGroup::name)->exact;
    });
    if (exact && !cuts.empty()) {
      worst = std::max(worst, difference(outputs, run(mc::mask_channels(model, cuts), arrays)));
      ++exact_cuts;
    }
    worst_engine = std::max(worst_engine, difference(run_engine(cut, arrays, folder / "cut.onnx"), outputs));
    fewest = std::min(fewest, parameters(cut));
  }
  std::cout << mc::Json({{"groups", describe(groups)},
                         {"cuts", count},
                         {"exact_cuts", exact_cuts},
                         {"worst", std::isfinite(worst) ? worst : 1e9},
                         {"worst_engine", std::isfinite(worst_engine) ? worst_engine : 1e9},
                         {"parameters", {parameters(model), fewest}}})
                   .dump()
            << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: channel_cuts MODEL.onnx DATA.npz CUTS SEED FOLDER\n";
    return 2;
  }
  try {
    return cut_again_and_again(argv[1], argv[2], std::stoi(argv[3]), std::stoull(argv[4]), argv[5]);
  } catch (const mc::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
