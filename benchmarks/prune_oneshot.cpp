// What pruning from samples alone leaves of a network's accuracy: magnitude, Wanda and SparseGPT (as in the
// paper, refitted, and with biases corrected) at 50 %, 70 % and 2:4, on a model trained on an IDX set.
//
//   bench_prune_oneshot MODEL.onnx [DATA] [calibration samples] [test samples]
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <ATen/core/grad_mode.h>

#include "mc/base/json.h"
#include "mc/data/loader.h"
#include "mc/data/metric.h"
#include "mc/graph/tensor.h"
#include "mc/onnx/onnx.h"
#include "mc/prune/calibrated.h"

namespace {

struct Method {
  const char* name;
  const char* method;
  bool refit;
  bool biases;
};

struct Pattern {
  const char* name;
  double sparsity;
  mc::Structure structure;
};

mc::Normalization normalization_of(const mc::Model& model) {
  const std::string* found = mc::find_metadata(model.metadata, "mc.preprocess");
  if (!found) return {};
  const mc::Json json = mc::Json::parse(*found);
  return {json.at("mean").get<std::vector<double>>(), json.at("std").get<std::vector<double>>()};
}

double accuracy(const mc::Model& model, const std::shared_ptr<const mc::Dataset>& test,
                const mc::Normalization& normalization) {
  const at::NoGradGuard no_grad;
  mc::GraphModule module(model);
  module.eval();
  mc::Loader loader(test, {.batch_size = 250, .normalization = normalization});
  const auto infer = [&](const std::vector<at::Tensor>& inputs) { return module.forward(inputs); };
  return mc::evaluate(infer, loader, "top1", "evaluate").value;
}

void run(const mc::Model& model, const std::string& root, int64_t samples, int64_t tested) {
  const auto train = mc::open_dataset(root, "train");
  const auto test = mc::spread(mc::open_dataset(root, "test"), tested);
  const mc::Normalization normalization = normalization_of(model);
  std::printf("%-8s %-24s top-1 %6.2f %%\n", "dense", "", 100 * accuracy(model, test, normalization));
  const std::vector<Method> methods = {{"magnitude", "magnitude", false, false},
                                       {"wanda as published", "wanda", false, false},
                                       {"wanda", "wanda", false, true},
                                       {"sparsegpt as published", "sparsegpt", false, false},
                                       {"sparsegpt, refitted", "sparsegpt", true, false},
                                       {"sparsegpt", "sparsegpt", true, true}};
  const std::vector<Pattern> patterns = {
      {"50 %", 0.5, mc::Unstructured{}}, {"70 %", 0.7, mc::Unstructured{}}, {"2:4", 0.5, mc::NToM{2, 4}}};
  for (const Pattern& pattern : patterns) {
    for (const Method& method : methods) {
      const mc::CalibratedOptions options{.method = method.method,
                                          .sparsity = pattern.sparsity,
                                          .structure = pattern.structure,
                                          .samples = samples,
                                          .refit = method.refit,
                                          .correct_biases = method.biases};
      const auto start = std::chrono::steady_clock::now();
      const mc::CalibratedModel pruned = mc::prune_with_data(model, train, normalization, options);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      std::printf("%-8s %-24s top-1 %6.2f %%  %5.1f s\n", pattern.name, method.name,
                  100 * accuracy(pruned.model, test, normalization), seconds);
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_prune_oneshot MODEL.onnx [DATA] [samples] [test samples]\n");
    return 2;
  }
  try {
    run(mc::read_onnx(argv[1]), argc > 2 ? argv[2] : "/usr/share/datasets/fashion-mnist",
        argc > 3 ? std::stoll(argv[3]) : 256, argc > 4 ? std::stoll(argv[4]) : -1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
