// Which operators keep float32, and why.
#include <string_view>

#include "mc/quantize/half.h"

namespace mc {
namespace {

constexpr const char* kNoType = "ONNX gives it no 16-bit floats";
constexpr const char* kScales = "scales of quantized tensors are float32";
constexpr const char* kAttribute = "its type is an attribute";
constexpr const char* kSums = "sums of many elements overflow or lose digits";
constexpr const char* kSquares = "squares of numbers beyond 255 overflow";
constexpr const char* kOrder = "close numbers become equal, which changes what it picks";

struct Obstacle {
  const char* op;
  const char* reason;
  bool float16 = true;
  bool bfloat16 = true;
};

constexpr Obstacle kObstacles[] = {
    {"Celu", kNoType},
    {"IsInf", kNoType},
    {"NonMaxSuppression", kNoType},
    {"Range", kNoType},
    {"TfIdfVectorizer", kNoType},
    {"Upsample", kNoType},
    {"Compress", kNoType, false},
    {"Einsum", kNoType, false},
    {"OneHot", kNoType, false},
    {"ReverseSequence", kNoType, false},
    {"Scatter", kNoType, false},
    {"Shrink", kNoType, false},
    {"Unique", kNoType, false},
    {"ConvInteger", kScales},
    {"DequantizeLinear", kScales},
    {"DynamicQuantizeLinear", kScales},
    {"QLinearConv", kScales},
    {"QLinearMatMul", kScales},
    {"QuantizeLinear", kScales},
    {"Bernoulli", kAttribute},
    {"BlackmanWindow", kAttribute},
    {"EyeLike", kAttribute},
    {"HammingWindow", kAttribute},
    {"HannWindow", kAttribute},
    {"MelWeightMatrix", kAttribute},
    {"Multinomial", kAttribute},
    {"RandomNormal", kAttribute},
    {"RandomNormalLike", kAttribute},
    {"RandomUniform", kAttribute},
    {"RandomUniformLike", kAttribute},
    {"BitCast", kAttribute},
    {"CumProd", kSums},
    {"CumSum", kSums},
    {"DFT", kSums},
    {"ReduceLogSum", kSums},
    {"ReduceMean", kSums},
    {"ReduceProd", kSums},
    {"ReduceSum", kSums},
    {"STFT", kSums},
    {"LpNormalization", kSquares},
    {"MeanVarianceNormalization", kSquares},
    {"Pow", kSquares},
    {"ReduceL2", kSquares},
    {"ReduceSumSquare", kSquares},
    {"ArgMax", kOrder},
    {"ArgMin", kOrder},
    {"TopK", kOrder},
};

}  // namespace

const char* half_obstacle(const Node& node, DType type) {
  if (!node.domain.empty()) return "only ai.onnx's operators are known to take 16-bit floats";
  for (const Obstacle& obstacle : kObstacles) {
    const bool applies = type == DType::kFloat16 ? obstacle.float16 : obstacle.bfloat16;
    if (applies && std::string_view(obstacle.op) == node.op_type) return obstacle.reason;
  }
  return nullptr;
}

}  // namespace mc
