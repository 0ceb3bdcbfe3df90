#include "mc/search/budget.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/data/loader.h"
#include "mc/deploy/model_files.h"
#include "mc/onnx/onnx.h"
#include "mc/quantize/calibrate.h"
#include "mc/search/build.h"
#include "mc/search/knapsack.h"

namespace mc {
namespace {

double loss_of(double snr_db) {
  return snr_db >= 200 ? 0 : std::pow(10, -snr_db / 10);
}

class BudgetChooser {
 public:
  explicit BudgetChooser(const BudgetJob& job) : job_(job), model_(read_onnx(job.model)) {
    result_.budget = job.budget;
    result_.options = job.options;
    result_.options.mode = "ptq";
  }
  ~BudgetChooser() {
    std::error_code error;
    for (const auto& file : {candidate(), candidate() += ".data"}) std::filesystem::remove(file, error);
  }
  BudgetChooser(const BudgetChooser&) = delete;
  BudgetChooser& operator=(const BudgetChooser&) = delete;

  BudgetResult run() {
    measure_sensitivity();
    switch (job_.budget.kind) {
      case Budget::Kind::kSize:
        choose_for_size();
        break;
      case Budget::Kind::kBops:
        choose_for_bops();
        break;
      case Budget::Kind::kLatency:
        choose_for_latency();
        break;
    }
    double loss = 0;
    for (const BitChoice& layer : result_.layers) loss += loss_of(layer.snr_db);
    result_.expected_snr_db = loss > 0 ? -10 * std::log10(loss) : 200;
    return std::move(result_);
  }

 private:
  std::filesystem::path candidate() const { return job_.folder / "budget.onnx"; }

  void measure_sensitivity() {
    QuantizeOptions options = result_.options;
    options.rounding = "nearest";  // learning it would cost far more than it tells
    module_ = calibrated_module(model_, job_.calibration, job_.normalization, options);
    const std::vector<Batch> batches =
        some_batches(job_.calibration, job_.normalization, job_.sensitivity_samples, model_.graph);
    result_.sensitivity = sensitivity(*module_, batches);
    for (const LayerSensitivity& layer : result_.sensitivity) {
      MC_CHECK(!layer.node.empty(), "a budget chooses layers by name, and a {} has none", layer.op_type);
    }
    if (job_.budget.kind != Budget::Kind::kLatency) {
      measure_bits(*module_, batches, narrow_bits(), result_.sensitivity);
    }
  }

  // Beside those of the options: what changes the cost.
  std::vector<int64_t> narrow_bits() const {
    std::vector<int64_t> bits = {6, 4, 3, 2};
    if (job_.budget.kind == Budget::Kind::kSize) {
      bits.clear();
      if (find_target(result_.options.target).int4_weights) bits = {4};
    }
    std::erase_if(bits, [&](int64_t count) { return count >= result_.options.weight_bits; });
    return bits;
  }

  void set_limit(double float_cost) {
    result_.float_cost = float_cost;
    result_.limit = job_.budget.relative ? job_.budget.limit * float_cost : job_.budget.limit;
    MC_CHECK(result_.limit < float_cost,
             "the float model meets the {} budget already: it has {}, {} are allowed",
             name_of(job_.budget.kind), amount(float_cost), amount(result_.limit));
  }

  std::string amount(double cost) const {
    switch (job_.budget.kind) {
      case Budget::Kind::kSize:
        return human_bytes(cost);
      case Budget::Kind::kBops:
        return human_count(cost) + " bit operations";
      case Budget::Kind::kLatency:
        break;
    }
    return fmt::format("{:.3f} ms", cost);
  }

  void choose_for_size() {
    set_limit(static_cast<double>(model_file_bytes(job_.model)));
    write_onnx(convert(*module_, result_.options), candidate());
    double others = static_cast<double>(model_file_bytes(candidate()));
    for (const LayerSensitivity& layer : result_.sensitivity) others -= static_cast<double>(layer.weights);
    choose(others, [](const LayerSensitivity& layer, int64_t bits) {
      return static_cast<double>(layer.weights) * (bits == kFloatBits ? 4 : bits > 4 ? 1 : 0.5);
    });
    result_.options.weight_storage = "int8";
    for (const BitChoice& layer : result_.layers) {
      if (layer.bits <= 4) result_.options.weight_storage = "int4";
    }
  }

  void choose_for_bops() {
    double all_float = 0;
    for (const LayerSensitivity& layer : result_.sensitivity) {
      MC_CHECK(layer.macs > 0, "the bit operations of '{}' are not known: its shapes cannot be inferred",
               layer.node);
      all_float += layer.macs * kFloatBits * kFloatBits;
    }
    set_limit(all_float);
    choose(0, [&](const LayerSensitivity& layer, int64_t bits) {
      const int64_t activation = bits == kFloatBits ? kFloatBits : result_.options.activation_bits;
      return layer.macs * static_cast<double>(bits) * static_cast<double>(activation);
    });
  }

  void choose(double others, const std::function<double(const LayerSensitivity&, int64_t)>& cost_of) {
    std::vector<std::vector<BitChoice>> ways;
    std::vector<std::vector<KnapsackItem>> groups;
    double least = others;
    for (const LayerSensitivity& layer : result_.sensitivity) {
      ways.emplace_back();
      groups.emplace_back();
      const auto add = [&](int64_t bits, double snr_db) {
        ways.back().push_back({layer.node, layer.op_type, bits, snr_db, cost_of(layer, bits)});
        groups.back().push_back({ways.back().back().cost, loss_of(snr_db)});
      };
      add(kFloatBits, 200);
      add(result_.options.weight_bits, layer.snr_alone_db);
      for (const auto& [bits, snr_db] : layer.snr_by_bits_db) add(bits, snr_db);
      least += std::ranges::min(ways.back(), {}, &BitChoice::cost).cost;
    }
    const auto chosen = choose_within(groups, result_.limit - others);
    MC_CHECK(chosen, "the {} budget of {} cannot be met: with all layers as small as they get it is {}",
             name_of(job_.budget.kind), amount(result_.limit), amount(least));
    result_.cost = others;
    for (size_t i = 0; i < ways.size(); ++i) {
      result_.layers.push_back(ways[i][(*chosen)[i]]);
      result_.cost += result_.layers.back().cost;
    }
    apply_choices();
  }

  void apply_choices() {
    QuantizeOptions& options = result_.options;
    for (const BitChoice& layer : result_.layers) {
      if (layer.bits == kFloatBits) {
        options.keep_float.push_back(layer.node);
      } else if (layer.bits != options.weight_bits) {
        options.layers.push_back({layer.node, layer.bits});
        if (options.weight_range == "auto") options.weight_range = "mse";  // what was measured
      }
    }
  }

  void choose_for_latency() {
    std::vector<const LayerSensitivity*> order;
    order.reserve(result_.sensitivity.size());
    for (const LayerSensitivity& layer : result_.sensitivity) order.push_back(&layer);
    std::ranges::stable_sort(order, std::ranges::greater(), [](const LayerSensitivity* layer) {
      return loss_of(layer->snr_alone_db) / std::max(layer->macs, 1.0);
    });
    const auto time = [&](size_t kept_float) {
      QuantizeOptions options = result_.options;
      options.samples = 8;  // ranges do not matter for speed
      options.rounding = "nearest";
      for (size_t i = 0; i < kept_float; ++i) options.keep_float.push_back(order[i]->node);
      write_onnx(quantize_ptq(model_, job_.calibration, job_.normalization, options).model, candidate());
      LatencyOptions latency;
      latency.engine = job_.engine;
      const auto [float_ms, quantized_ms] = median_ms(job_.model, candidate(), latency);
      if (result_.limit == 0) set_limit(float_ms);
      return quantized_ms;
    };
    result_.cost = time(0);
    MC_CHECK(
        result_.cost <= result_.limit,
        "the latency budget of {} cannot be met: with every layer quantized it takes {} on {}, in float {}",
        amount(result_.limit), amount(result_.cost), job_.engine, amount(result_.float_cost));
    size_t holds = 0, too_many = order.size();  // nothing quantized is the float model, which is too slow
    while (too_many > holds + 1) {
      const size_t middle = (holds + too_many) / 2;
      const double milliseconds = time(middle);
      if (milliseconds <= result_.limit) {
        holds = middle;
        result_.cost = milliseconds;
      } else {
        too_many = middle;
      }
    }
    for (const LayerSensitivity& layer : result_.sensitivity) {
      const auto place = std::ranges::find(order, &layer) - order.begin();
      const bool stays = static_cast<size_t>(place) < holds;
      result_.layers.push_back({layer.node, layer.op_type, stays ? kFloatBits : result_.options.weight_bits,
                                stays ? 200 : layer.snr_alone_db, 0});
    }
    apply_choices();
  }

  const BudgetJob& job_;
  const Model model_;
  std::shared_ptr<GraphModule> module_;
  BudgetResult result_;
};

}  // namespace

BudgetResult choose_by_budget(const BudgetJob& job) {
  return BudgetChooser(job).run();
}

Json to_json(const BudgetResult& result) {
  Json layers = Json::array();
  for (const BitChoice& layer : result.layers) {
    layers.push_back({{"name", layer.node},
                      {"op", layer.op_type},
                      {"bits", layer.bits},
                      {"snr_db", layer.snr_db},
                      {"cost", layer.cost}});
  }
  return {{"kind", name_of(result.budget.kind)},
          {"limit", result.limit},
          {"float_cost", result.float_cost},
          {"cost", result.cost},
          {"expected_snr_db", result.expected_snr_db},
          {"weight_storage", result.options.weight_storage},
          {"layers", layers}};
}

}  // namespace mc
