#include "mc/prune/one_shot.h"

#include <algorithm>
#include <charconv>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/graph_module.h"
#include "mc/prune/batch_loss.h"
#include "mc/prune/score.h"

namespace mc {
namespace {

bool has_weights(ParameterKind kind) {
  return kind == ParameterKind::kConv || kind == ParameterKind::kLinear ||
         kind == ParameterKind::kEmbedding || kind == ParameterKind::kRecurrent;
}

// The samples as scores ask for them.
ScoreData data_of(GraphModule& module, const std::vector<Batch>& batches) {
  ScoreData data;
  data.batches = static_cast<int64_t>(batches.size());
  data.inputs = [&](int64_t i) { return batches.at(static_cast<size_t>(i)).inputs; };
  data.loss = [&](int64_t i) { return batch_loss(module, batches.at(static_cast<size_t>(i))); };
  return data;
}

class OneShot {
 public:
  OneShot(const Model& model, const OneShotOptions& options) : module_(model), options_(options) {
    MC_CHECK(options.sparsity >= 0 && options.sparsity < 1, "the sparsity must be in [0, 1), is {}",
             options.sparsity);
    module_.eval();
    choose_weights();
  }

  MaskedWeights run(const std::vector<Batch>& batches) {
    const ScoreKind& kind = find_score(options_.score);
    MC_CHECK(!kind.needs_data || !batches.empty(), "the score {} looks at samples; give --data", kind.name);
    check_values();
    ScoreContext context{module_, weights_, data_of(module_, batches)};
    const std::unique_ptr<Score> score = kind.make();
    score->begin(context);
    if (kind.needs_gradients && !kind.needs_data) learn(*score, context);
    std::vector<at::Tensor> masks;
    {
      const at::NoGradGuard no_grad;
      masks = masks_of(score->compute(context));
    }
    for (size_t i = 0; i < weights_.size(); ++i) {
      module_.set_mask(weights_[i].name, masks[i]);
      module_.set_mask(weights_[i].name, {});
      result_.pruned.push_back(weights_[i].name);
    }
    result_.model = module_.graph();
    return std::move(result_);
  }

 private:
  void choose_weights() {
    std::vector<bool> used(options_.ignore.size());
    std::vector<std::string> names;
    for (const ParameterView& view : parameter_views(module_)) {
      names.push_back(view.name);
      bool ignored = false;
      for (size_t i = 0; i < used.size(); ++i) {
        if (!glob_match(options_.ignore[i], view.name)) continue;
        used[i] = ignored = true;
      }
      if (!has_weights(view.kind)) continue;
      const WeightAxes axes = weight_axes(view);
      std::string reason = ignored ? "left alone as asked" : "";
      try {
        check_structure(options_.structure, view.tensor.sizes(), axes);
      } catch (const Error& error) {
        if (reason.empty()) reason = error.what();
      }
      if (reason.empty()) {
        weights_.push_back({view.name, view.tensor, {}, axes});
      } else {
        result_.left.push_back({view.name, reason});
      }
    }
    for (size_t i = 0; i < used.size(); ++i) {
      MC_CHECK(used[i], "no parameter matches '{}'{}", options_.ignore[i],
               did_you_mean(options_.ignore[i], names));
    }
    MC_CHECK(
        !weights_.empty() || !result_.left.empty(),
        "the model has no convolution, matrix product, embedding or recurrent layer whose weights train");
    MC_CHECK(!weights_.empty(), "no weight can be pruned so; '{}': {}", result_.left.front().name,
             result_.left.front().reason);
  }

  void check_values() const {
    double zeros = 0, elements = 0;
    for (const PrunedWeight& weight : weights_) {
      const at::Tensor values = weight.tensor.detach();
      MC_CHECK(at::isfinite(values.sum()).item<bool>(), "'{}' holds NaN or infinity", weight.name);
      zeros += values.eq(0).sum().item<double>();
      elements += static_cast<double>(values.numel());
    }
    MC_CHECK(options_.sparsity == 0 || zeros / elements < options_.sparsity,
             "the model is pruned already: {:.1f} % of its weights are zero, {:.1f} % are asked for",
             100 * zeros / elements, 100 * options_.sparsity);
  }

  // Scores that learn from the gradients of training see those of the samples.
  void learn(Score& score, ScoreContext& context) {
    MC_CHECK(context.data.batches > 0, "the score {} looks at gradients; give --data", options_.score);
    for (int64_t i = 0; i < context.data.batches; ++i) {
      context.data.loss(i).backward();
      score.after_backward(context);
      module_.zero_grad();
    }
  }

  std::vector<at::Tensor> masks_of(const std::vector<ScoreTensor>& scores) const {
    std::vector<WeightAxes> axes;
    for (const PrunedWeight& weight : weights_) axes.push_back(weight.axes);
    if (options_.global) return keep_masks(scores, options_.sparsity, options_.structure, axes);
    std::vector<at::Tensor> masks;
    for (size_t i = 0; i < scores.size(); ++i) {
      masks.push_back(
          with_context([&] { return "'" + weights_[i].name + "'"; },
                       [&] { return keep_mask(scores[i], options_.sparsity, options_.structure, axes[i]); }));
    }
    return masks;
  }

  GraphModule module_;
  const OneShotOptions& options_;
  std::vector<PrunedWeight> weights_;
  MaskedWeights result_;
};

// "8x4" -> {8, 4}; empty where it is no such list.
std::vector<int64_t> numbers(const std::string& text, char separator) {
  std::vector<int64_t> values;
  for (const std::string& part : split(text, separator)) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (part.empty() || error != std::errc() || end != part.data() + part.size() || value < 1) return {};
    values.push_back(value);
  }
  return values;
}

}  // namespace

MaskedWeights prune_one_shot(const Model& model, const OneShotOptions& options,
                             const std::vector<Batch>& batches) {
  return OneShot(model, options).run(batches);
}

Structure parse_structure(const std::string& text) {
  if (text == "unstructured") return Unstructured{};
  const std::vector<int64_t> ratio = numbers(text, ':');
  if (ratio.size() == 2) {
    MC_CHECK(ratio[0] < ratio[1], "{}: fewer than {} of {} must stay", text, ratio[1], ratio[1]);
    return NToM{ratio[0], ratio[1]};
  }
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon),
                    rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  const std::vector<int64_t> sizes = numbers(rest, 'x');
  if (kind == "block" && !sizes.empty()) return Blocks{sizes};
  if (kind == "uniform" && sizes.size() == 1) return Uniform{sizes[0]};
  fail("'{}' is no structure: unstructured, N:M (2:4), block:INPUTSxOUTPUTS (block:8x4), uniform:SIZE", text);
}

}  // namespace mc
