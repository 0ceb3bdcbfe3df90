// Groups of channels in networks that nobody has drawn: every group offered in a random graph can be cut, and
// the cut network equals the masked one.
#include <algorithm>

#include <fmt/ranges.h>

#include "tests/prune/prune_testing.h"

namespace mc {
namespace {

using testing::Dims;
using Weights = std::vector<std::pair<std::string, Dims>>;

constexpr int64_t kSide = 4;  // of all images

// Writes one node after the other, each on values that are there.
class RandomGraph {
 public:
  explicit RandomGraph(uint32_t seed) : random_(seed) {
    images_.push_back({"x", 3});
    images_.push_back(convolution(images_[0]));
    const int nodes = 3 + pick(7);
    for (int i = 0; i < nodes; ++i) {
      const Value made = next(any());
      images_.push_back(made);
    }
    finish();
  }

  Model model() const {
    return testing::random_model(
        "<ir_version: 8, opset_import: [\"\" : 18]>\nnet (float[N,3,4,4] x) => "
        "(float[N,3] y) " +
            (constants_.empty() ? "" : "<" + fmt::format("{}", fmt::join(constants_, ", ")) + "> ") + "{\n" +
            body_ + "}",
        weights_);
  }
  const std::string& body() const { return body_; }

 private:
  struct Value {
    std::string name;
    int64_t channels;
    bool read = false;
  };

  int pick(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }
  std::string fresh(const std::string& stem) { return stem + std::to_string(++count_); }

  size_t any() {
    return static_cast<size_t>(pick(static_cast<int>(images_.size()) - 1)) + 1;
  }  // not the input

  std::string weight(const std::string& stem, Dims dims) {
    weights_.emplace_back(fresh(stem), std::move(dims));
    return weights_.back().first;
  }

  std::string numbers(const std::vector<int64_t>& values) {
    const std::string name = fresh("c");
    constants_.push_back(fmt::format("int64[{}] {} = {{{}}}", values.size(), name, fmt::join(values, ", ")));
    return name;
  }

  Value emit(const std::string& call, int64_t channels) {
    const std::string name = fresh("v");
    body_ += "  " + name + " = " + call + "\n";
    return {name, channels};
  }

  // A whole number of `of` that divides both.
  int64_t groups_of(int64_t in, int64_t out) {
    std::vector<int64_t> divisors;
    for (int64_t g = 1; g <= in; ++g) {
      if (in % g == 0 && out % g == 0) divisors.push_back(g);
    }
    return divisors[static_cast<size_t>(pick(static_cast<int>(divisors.size())))];
  }

  Value convolution(Value& from) {
    from.read = true;
    const int64_t out = 2 * (1 + pick(4)), group = pick(2) ? 1 : groups_of(from.channels, out);
    const int64_t kernel = pick(2) ? 1 : 3;
    std::string inputs = from.name + ", " + weight("w", {out, from.channels / group, kernel, kernel});
    if (pick(2)) inputs += ", " + weight("b", {out});
    return emit(fmt::format("Conv <kernel_shape = [{0},{0}], pads = [{1},{1},{1},{1}], group = {2}> ({3})",
                            kernel, kernel / 2, group, inputs),
                out);
  }

  Value depthwise(Value& from) {
    const int64_t times = 1 + pick(2);
    return emit(fmt::format("Conv <kernel_shape = [3,3], pads = [1,1,1,1], group = {}> ({}, {})",
                            from.channels, from.name, weight("w", {times * from.channels, 1, 3, 3})),
                times * from.channels);
  }

  Value batch_norm(Value& from) {
    const Dims dims = {from.channels};
    const std::string count = std::to_string(++count_);
    std::string inputs = from.name;
    for (const char* stem : {"scale", "shift", "mean", "var"}) {
      weights_.emplace_back("n" + count + stem, dims);
      inputs += ", " + weights_.back().first;
    }
    return emit("BatchNormalization (" + inputs + ")", from.channels);
  }

  Value simple(Value& from) {
    const std::vector<std::string> calls = {"Relu ({})",
                                            "Sigmoid ({})",
                                            "Tanh ({})",
                                            "LeakyRelu <alpha = 0.1> ({})",
                                            "MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> ({})",
                                            "AveragePool <kernel_shape = [3,3], pads = [1,1,1,1]> ({})"};
    return emit(fmt::format(fmt::runtime(calls[static_cast<size_t>(pick(static_cast<int>(calls.size())))]),
                            from.name),
                from.channels);
  }

  Value slope(Value& from) {
    return emit("PRelu (" + from.name + ", " + weight("slope", {from.channels, 1, 1}) + ")", from.channels);
  }

  // With another of as many channels, where there is one.
  Value combine(Value& from) {
    std::vector<Value*> alike;
    for (size_t i = 1; i < images_.size(); ++i) {
      if (images_[i].channels == from.channels) alike.push_back(&images_[i]);
    }
    Value& other = *alike[static_cast<size_t>(pick(static_cast<int>(alike.size())))];
    other.read = true;
    const char* calls[] = {"Add", "Sub", "Mul"};
    return emit(fmt::format("{} ({}, {})", calls[pick(3)], from.name, other.name), from.channels);
  }

  Value concatenate(Value& from) {
    Value& other = images_[any()];
    other.read = true;
    return emit(fmt::format("Concat <axis = 1> ({}, {})", from.name, other.name),
                from.channels + other.channels);
  }

  // Half of the channels, and where they are split the other half into a sum with it or on its own.
  Value part_of(Value& from) {
    if (from.channels < 2) return simple(from);
    const int64_t first = 1 + pick(static_cast<int>(from.channels) - 1);
    if (pick(2)) {
      return emit(
          fmt::format("Slice ({}, {}, {}, {})", from.name, numbers({0}), numbers({first}), numbers({1})),
          first);
    }
    const std::string left = fresh("v"), right = fresh("v");
    body_ += fmt::format("  {}, {} = Split <axis = 1> ({}, {})\n", left, right, from.name,
                         numbers({first, from.channels - first}));
    images_.push_back({right, from.channels - first});
    return {left, first};
  }

  // A matrix product over the channels, which stand last for it.
  Value over_channels(Value& from) {
    const int64_t out = 2 + pick(5);
    const Value turned = emit("Transpose <perm = [0,2,3,1]> (" + from.name + ")", from.channels);
    const Value product =
        emit(fmt::format("MatMul ({}, {})", turned.name, weight("m", {from.channels, out})), out);
    return emit("Transpose <perm = [0,3,1,2]> (" + product.name + ")", out);
  }

  Value squeeze_and_excite(Value& from) {
    Value pooled = emit("GlobalAveragePool (" + from.name + ")", from.channels);
    const int64_t inner = 2 + pick(3);
    const Value narrow = emit(fmt::format("Conv <kernel_shape = [1,1]> ({}, {})", pooled.name,
                                          weight("w", {inner, from.channels, 1, 1})),
                              inner);
    const Value active = emit("Relu (" + narrow.name + ")", inner);
    const Value wide = emit(fmt::format("Conv <kernel_shape = [1,1]> ({}, {})", active.name,
                                        weight("w", {from.channels, inner, 1, 1})),
                            from.channels);
    const Value gate = emit("Sigmoid (" + wide.name + ")", from.channels);
    return emit(fmt::format("Mul ({}, {})", from.name, gate.name), from.channels);
  }

  Value shuffle(Value& from) {
    const int64_t half = from.channels / 2;
    if (from.channels % 2) return simple(from);
    const Value split =
        emit(fmt::format("Reshape ({}, {})", from.name, numbers({0, 2, half, kSide, kSide})), from.channels);
    const Value turned = emit("Transpose <perm = [0,2,1,3,4]> (" + split.name + ")", from.channels);
    return emit(fmt::format("Reshape ({}, {})", turned.name, numbers({0, from.channels, kSide, kSide})),
                from.channels);
  }

  Value next(size_t index) {
    Value from = images_[index];
    images_[index].read = true;
    switch (pick(12)) {
      case 0:
      case 1:
      case 2:
        return convolution(from);
      case 3:
        return depthwise(from);
      case 4:
        return batch_norm(from);
      case 5:
        return simple(from);
      case 6:
        return combine(from);
      case 7:
        return concatenate(from);
      case 8:
        return part_of(from);
      case 9:
        return over_channels(from);
      case 10:
        return squeeze_and_excite(from);
      default:
        return pick(2) ? shuffle(from) : slope(from);
    }
  }

  // Whatever was not read goes into a classifier, pooled or flattened.
  void finish() {
    std::vector<std::string> parts;
    int64_t features = 0;
    for (const Value& image : images_) {
      if (image.read) continue;
      const bool pooled = pick(2);
      const Value whole = pooled ? emit("GlobalAveragePool (" + image.name + ")", image.channels) : image;
      parts.push_back(emit("Flatten (" + whole.name + ")", image.channels).name);
      features += image.channels * (pooled ? 1 : kSide * kSide);
    }
    const Value all = emit(fmt::format("Concat <axis = 1> ({})", fmt::join(parts, ", ")), features);
    body_ += fmt::format("  y = Gemm <transB = 1> ({}, {})\n", all.name, weight("head", {3, features}));
  }

  std::mt19937 random_;
  int count_ = 0;
  std::vector<Value> images_;
  Weights weights_;
  std::vector<std::string> constants_;
  std::string body_;
};

TEST(RandomGroups, EveryGroupThatIsOfferedCanBeCut) {
  int64_t offered = 0;
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    const RandomGraph graph(seed);
    SCOPED_TRACE(fmt::format("seed {}\n{}", seed, graph.body()));
    const Model model = graph.model();
    at::manual_seed(seed);
    const std::vector<at::Tensor> inputs = {at::randn({2, 3, kSide, kSide})};
    for (const ChannelGroup& group : channel_groups(model)) offered += group.obstacle.empty() ? 1 : 0;
    testing::expect_consistent(model, inputs, 3);
    if (HasFailure()) break;
  }
  EXPECT_GT(offered, 40) << "the graphs leave hardly anything to cut";
}

// One channel of one group, so that no other cut hides a mistake.
TEST(RandomGroups, EachGroupAloneIsTheMaskedModel) {
  for (uint32_t seed = 201; seed <= 215; ++seed) {
    const RandomGraph graph(seed);
    const Model model = graph.model();
    at::manual_seed(seed);
    const std::vector<at::Tensor> inputs = {at::randn({2, 3, kSide, kSide})};
    for (const ChannelGroup& group : channel_groups(model)) {
      if (!group.obstacle.empty() || !group.exact) continue;
      SCOPED_TRACE(fmt::format("seed {}, group {}\n{}", seed, group.name, graph.body()));
      const std::vector<ChannelCut> cuts = {{group.name, {group.channels - 1}}};
      const at::Tensor cut = testing::run_model(cut_channels(model, cuts), inputs)[0];
      const at::Tensor masked = testing::run_model(mask_channels(model, cuts), inputs)[0];
      EXPECT_TRUE(at::allclose(cut, masked, 1e-4, 1e-5 * std::max(1.0, masked.abs().max().item<double>())));
      // A member's part of the channel is gone, and nothing else.
      const Model smaller = cut_channels(model, cuts);
      for (const ChannelMember& member : group.members) {
        const auto& before = model.graph.initializer(member.initializer)->tensor.dims;
        const auto& after = smaller.graph.initializer(member.initializer)->tensor.dims;
        EXPECT_LT(after[static_cast<size_t>(member.axis)], before[static_cast<size_t>(member.axis)]);
      }
    }
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace mc
