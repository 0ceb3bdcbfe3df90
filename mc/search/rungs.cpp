// The rungs, from cheap to costly. To add one, write its function and name it in the list.
#include <algorithm>
#include <initializer_list>

#include "mc/search/ladder.h"

namespace mc {
namespace {

bool has_operator(const Model& model, std::initializer_list<const char*> types) {
  return std::ranges::any_of(model.graph.nodes, [&](const Node& node) {
    return std::ranges::any_of(types, [&](const char* type) { return node.is(type); });
  });
}

void climb_min_max(Ladder& ladder) {
  QuantizeOptions options = ladder.best();
  options.mode = "ptq";
  options.calibrator = "min_max";
  ladder.attempt("calibrator min_max", options);
}

// The ranges of activations, by every other calibrator.
void climb_calibrators(Ladder& ladder) {
  const QuantizeOptions start = ladder.best();
  for (const std::string& name : calibrator_names()) {
    if (name == "min_max") continue;
    if (ladder.over()) return;
    QuantizeOptions options = start;
    options.calibrator = name;
    ladder.attempt("calibrator " + name, options);
  }
}

// Weights and activations whose channels differ much: factors moved between layers.
void climb_equalization(Ladder& ladder) {
  QuantizeOptions options = ladder.best();
  options.equalize = true;
  ladder.attempt("equalize", options);
  if (ladder.over() || !has_operator(ladder.model(), {"MatMul", "Gemm"})) return;
  // A few channels of massive activations want more than the usual half (SmoothQuant, section 5.1).
  for (const double alpha : {0.5, 0.75}) {
    if (ladder.over()) return;
    options = ladder.best();
    options.smooth = alpha;
    ladder.attempt(fmt::format("smooth {}", alpha), options);
  }
}

void climb_bias_correction(Ladder& ladder) {
  const QuantizeOptions start = ladder.best();
  for (const char* how : {"fast", "full"}) {
    if (ladder.over()) return;
    QuantizeOptions options = start;
    options.bias_correction = how;
    ladder.attempt(fmt::format("bias correction {}", how), options);
  }
}

void climb_rounding(Ladder& ladder) {
  QuantizeOptions options = ladder.best();
  options.rounding = "adaround";
  ladder.attempt("rounding adaround", options);
}

// The fewest of the most harmful layers left float that do, by halving; at most half of all.
void climb_mixed_precision(Ladder& ladder) {
  const std::vector<std::string> order = ladder.most_sensitive();
  const QuantizeOptions start = ladder.best();
  const auto keeping = [&](size_t count) {
    QuantizeOptions options = start;
    options.keep_float.insert(options.keep_float.end(), order.begin(),
                              order.begin() + static_cast<std::ptrdiff_t>(count));
    return options;
  };
  const auto text = [](size_t count) { return fmt::format("{} most sensitive float", count); };
  size_t enough = 0, too_few = 0;
  for (size_t count = 1; enough == 0 && count <= (order.size() + 1) / 2 && !ladder.over(); count *= 2) {
    if (ladder.attempt(text(count), keeping(count))) {
      enough = count;
    } else {
      too_few = count;
    }
  }
  while (enough > too_few + 1) {
    const size_t middle = (enough + too_few) / 2;
    (ladder.attempt(text(middle), keeping(middle)) ? enough : too_few) = middle;
  }
}

// Training with simulated quantization, everything quantized again.
void climb_qat(Ladder& ladder) {
  if (!ladder.can_train()) return;
  QuantizeOptions options = ladder.best();
  options.mode = "qat";
  ladder.attempt("training", options);
}

}  // namespace

const std::vector<Rung>& ladder_rungs() {
  static const std::vector<Rung> rungs = {
      {"min-max", "ranges from the smallest to the largest element", climb_min_max},
      {"calibration", "ranges by every other calibrator", climb_calibrators},
      {"equalization", "factors moved between layers, so that channels have like ranges", climb_equalization},
      {"bias correction", "the mean error of each layer taken back in its bias", climb_bias_correction},
      {"rounding", "rounding of weights learned layer by layer", climb_rounding},
      {"mixed precision", "the most sensitive layers left float", climb_mixed_precision},
      {"qat", "training with simulated quantization", climb_qat},
  };
  return rungs;
}

}  // namespace mc
