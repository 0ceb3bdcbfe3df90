#include "mc/prune/engine_gains.h"

namespace mc {
namespace {

bool is_two_of_four(const SparsityPattern& pattern) {
  return pattern.kind == SparsityPattern::Kind::kNToM && pattern.m == 2 * pattern.n && pattern.m <= 4;
}

}  // namespace

std::vector<EngineGain> engine_gains(const SparsityPattern& pattern) {
  using Kind = SparsityPattern::Kind;
  if (pattern.kind == Kind::kChannels) {
    const std::string why =
        "channels of zeros count only when they are cut: the model is then dense and smaller";
    return {
        {"onnxruntime", true, why}, {"openvino", true, why}, {"tensorrt", true, why}, {"torch", true, why}};
  }
  if (pattern.kind == Kind::kDense) return {};
  const std::string dense =
      "its kernels multiply by zeros as by any number; only the compressed file is smaller";
  EngineGain tensorrt{"tensorrt", false, dense};
  if (is_two_of_four(pattern)) {
    tensorrt = {
        "tensorrt", true,
        "sparse tensor cores (Ampere and later) skip the zeros, when it is built with sparsity enabled"};
  }
  return {{"onnxruntime", false, dense}, {"openvino", false, dense}, tensorrt, {"torch", false, dense}};
}

}  // namespace mc
