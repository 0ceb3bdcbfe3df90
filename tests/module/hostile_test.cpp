// Models that are valid files and still mean harm: an Error that names the place; no crash, no hang, no
// allocation that the file does not pay for.
#include <filesystem>

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/base/file.h"
#include "mc/onnx/onnx.h"
#include "tests/base/error_of.h"
#include "tests/fuzz/module_target.h"
#include "tests/module/module_testing.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> hostile_bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// What is said by making and running the model, as written and folded; empty where nothing is.
std::string complaint(const std::string& text, const std::vector<at::Tensor>& inputs) {
  try {
    GraphModule module(parse_model("<ir_version: 10, opset_import: [\"\" : 18]> g " + text));
    module.eval();
    module.forward(inputs);
    const at::NoGradGuard no_grad;
    module.forward(inputs);
    module.forward(inputs);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

at::Tensor shape_of(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

constexpr int64_t kHuge = int64_t{1} << 46;  // elements: more than any machine holds

TEST(HostileModule, FedSizesThatNoMachineHoldsAreRefused) {
  const std::string filled = "(int64[n] shape) => (float[?] y) { [fill] y = ConstantOfShape (shape) }";
  EXPECT_THAT(complaint(filled, {shape_of({kHuge})}), HasSubstr("fill"));
  EXPECT_THAT(complaint(filled, {shape_of({kHuge, kHuge})}), HasSubstr("fill"));
  EXPECT_THAT(complaint(filled, {shape_of({-1})}), HasSubstr("fill"));
  EXPECT_EQ(complaint(filled, {shape_of({2, 3})}), "");
  const std::string tiled = "(int64[1] n, float[4] x) => (float[?] y) { [tile] y = Tile (x, n) }";
  EXPECT_THAT(complaint(tiled, {shape_of({kHuge}), at::ones({4})}), HasSubstr("tile"));
  EXPECT_THAT(complaint(tiled, {shape_of({INT64_MAX}), at::ones({4})}), HasSubstr("tile"));
  const std::string expanded = R"((int64[2] n, float[1] x) => (float y) {
      [grow] e = Expand (x, n)
      [add] f = Add (e, e)
      y = ReduceSum <keepdims = 0> (f) })";
  EXPECT_THAT(complaint(expanded, {shape_of({kHuge, 1}), at::ones({1})}), HasSubstr("add"));
  EXPECT_THAT(complaint(expanded, {shape_of({INT64_MAX, INT64_MAX}), at::ones({1})}), HasSubstr("node"));
  const std::string padded = "(int64[2] n, float[1] x) => (float[?] y) { [pad] y = Pad (x, n) }";
  EXPECT_THAT(complaint(padded, {shape_of({0, kHuge}), at::ones({1})}), HasSubstr("pad"));
  EXPECT_THAT(complaint(padded, {shape_of({INT64_MAX, INT64_MAX}), at::ones({1})}), HasSubstr("pad"));
  const std::string one_hot =
      "(int64 n, int64[1] i, float[2] v) => (float[?,?] y) { [hot] y = OneHot (i, n, v) }";
  EXPECT_THAT(complaint(one_hot, {at::scalar_tensor(kHuge, at::kLong), shape_of({0}), at::ones({2})}),
              HasSubstr("hot"));
}

TEST(HostileModule, RangesMustEnd) {
  const std::string text =
      "(int64 end, int64 step) => (int64[?] y) { s = Constant <value = int64 {0}> ()\n"
      "[count] y = Range (s, end, step) }";
  const auto number = [](int64_t value) { return at::scalar_tensor(value, at::kLong); };
  EXPECT_THAT(complaint(text, {number(1), number(0)}), HasSubstr("count"));
  EXPECT_THAT(complaint(text, {number(kHuge), number(1)}), HasSubstr("count"));
  EXPECT_THAT(complaint(text, {number(INT64_MAX), number(1)}), HasSubstr("count"));
  EXPECT_EQ(complaint(text, {number(5), number(2)}), "");
}

TEST(HostileModule, ResizesThatNoMachineHoldsAreRefused) {
  const std::string sizes = R"((float[1,1,2,2] x, int64[4] n) => (float[?,?,?,?] y) {
      [grow] y = Resize <mode = "nearest"> (x, , , n) })";
  const at::Tensor x = at::ones({1, 1, 2, 2});
  EXPECT_THAT(complaint(sizes, {x, shape_of({1, 1, kHuge, 2})}), HasSubstr("grow"));
  EXPECT_THAT(complaint(sizes, {x, shape_of({1, 1, INT64_MAX, INT64_MAX})}), HasSubstr("grow"));
  EXPECT_THAT(complaint(sizes, {x, shape_of({1, 1, -3, 2})}), HasSubstr("grow"));
  const std::string scales = R"((float[1,1,2,2] x, float[4] s) => (float[?,?,?,?] y) {
      [grow] y = Resize <mode = "linear"> (x, , s) })";
  EXPECT_THAT(complaint(scales, {x, at::tensor({1.0f, 1.0f, 1e30f, 1.0f})}), HasSubstr("grow"));
  EXPECT_THAT(complaint(scales, {x, at::full({4}, std::nanf(""))}), HasSubstr("grow"));
  EXPECT_THAT(complaint(scales, {x, at::tensor({1.0f, 1.0f, -2.0f, 1.0f})}), HasSubstr("grow"));
}

TEST(HostileModule, AttributesOutOfRangeAreRefused) {
  const at::Tensor image = at::ones({1, 2, 4, 4});
  for (const char* body : {
           R"([bad] y = MaxPool <kernel_shape = [0,0]> (x))",
           R"([bad] y = MaxPool <kernel_shape = [2]> (x))",
           R"([bad] y = MaxPool <kernel_shape = [2,2], strides = [0,0]> (x))",
           R"([bad] y = MaxPool <kernel_shape = [2,2], pads = [-9,-9,-9,-9]> (x))",
           R"([bad] y = MaxPool <kernel_shape = [9223372036854775807,2]> (x))",
           R"([bad] y = AveragePool <kernel_shape = [2,2], pads = [9223372036854775807,0,0,0]> (x))",
           R"([bad] y = Transpose <perm = [0,0,1,2]> (x))",
           R"([bad] y = Transpose <perm = [0,1,2,9]> (x))",
           R"([bad] y = Concat <axis = 9> (x, x))",
           R"([bad] y = Softmax <axis = -9> (x))",
           R"([bad] y = Flatten <axis = 9> (x))",
           R"([bad] y = DepthToSpace <blocksize = 0> (x))",
           R"([bad] y = DepthToSpace <blocksize = 9223372036854775807> (x))",
           R"([bad] y = SpaceToDepth <blocksize = -2> (x))",
           R"([bad] y = LRN <size = 0> (x))",
           R"([bad] y = LpNormalization <axis = 7> (x))",
           R"([bad] y = Relu ())",
       }) {
    EXPECT_THAT(complaint(std::string("(float[1,2,4,4] x) => (float y) {") + body + "}", {image}),
                HasSubstr("bad"))
        << body;
  }
}

TEST(HostileModule, IndicesOutsideAreRefused) {
  const at::Tensor x = at::ones({3, 2});
  const std::string gather = "(float[3,2] x, int64[1] i) => (float[?,?] y) { [take] y = Gather (x, i) }";
  for (const int64_t index : {int64_t{3}, int64_t{-4}, INT64_MAX, INT64_MIN}) {
    EXPECT_THAT(complaint(gather, {x, shape_of({index})}), HasSubstr("take")) << index;
  }
  const std::string scatter = R"((float[3,2] x, int64[1,1] i, float[1,2] u) => (float[3,2] y) {
      [put] y = ScatterND (x, i, u) })";
  for (const int64_t index : {int64_t{3}, int64_t{-4}, INT64_MAX, INT64_MIN}) {
    EXPECT_THAT(complaint(scatter, {x, shape_of({index}).view({1, 1}), at::ones({1, 2})}), HasSubstr("put"))
        << index;
  }
  const std::string elements = R"((float[3,2] x, int64[1,2] i) => (float[1,2] y) {
      [pick] y = GatherElements (x, i) })";
  EXPECT_THAT(complaint(elements, {x, shape_of({0, 9}).view({1, 2})}), HasSubstr("pick"));
}

// What constants ask for is not made while loading.
TEST(HostileModule, FoldingAllocatesLittle) {
  const char* bodies[] = {
      R"(n = Constant <value = int64[2] {2000000, 2000000}> ()
         big = ConstantOfShape (n))",
      R"(a = Constant <value = float[1,1] {1}> ()
         n = Constant <value = int64[2] {100000, 100000}> ()
         big = Tile (a, n))",
      R"(a = Constant <value = float[1,1,1,1] {1}> ()
         p = Constant <value = int64[8] {0, 0, 100000, 100000, 0, 0, 100000, 100000}> ()
         big = Pad (a, p))",
      R"(a = Constant <value = float[1,1,1,1] {1}> ()
         n = Constant <value = int64[4] {1, 1, 200000, 200000}> ()
         big = Resize <mode = "nearest"> (a, , , n))",
      R"(i = Constant <value = int64[1] {0}> ()
         d = Constant <value = int64 {40000000000}> ()
         v = Constant <value = float[2] {0, 1}> ()
         big = OneHot (i, d, v))",
      R"(big = RandomNormal <shape = [200000, 200000]> ())",
  };
  for (const char* body : bodies) {
    const auto made = [&] {
      GraphModule module(
          parse_model(std::string("<ir_version: 10, opset_import: [\"\" : 18]> g (float[1] x) => "
                                  "(float[1] y, float z) {") +
                      body + "\n y = Relu (x)\n z = ReduceMax <keepdims = 0> (big) }"));
      EXPECT_EQ(module.input_names().size(), 1u);
    };
    EXPECT_NO_THROW(made()) << body;
  }
}

// f0 calls nothing, f1 calls f0 twice, f2 calls f1 twice ...
TEST(HostileModule, FunctionsThatMultiplyAreRefused) {
  std::string functions;
  for (int i = 0; i < 60; ++i) {
    const std::string body = i == 0 ? "" : fmt::format("a = f.f{0} (x) b = f.f{0} (x)", i - 1);
    functions += fmt::format(
        "<domain: \"f\", opset_import: [\"\" : 18, \"f\" : 1]> f{} (x) => (y) {{ {} y = Relu (x) }}\n", i,
        body);
  }
  const Model model = parse_model(
      "<ir_version: 10, opset_import: [\"\" : 18, \"f\" : 1]> g (float[1] x) => (float[1] y) { y = f.f59 (x) "
      "}\n" +
      functions);
  EXPECT_THAT(error_of([&] { GraphModule module(model); }), HasSubstr("expand to more than"));
  EXPECT_THAT(error_of([&] {
                Model inferred = model;
                infer_shapes(inferred);
              }),
              HasSubstr("expand to more than"));
}

TEST(HostileModule, EveryFlippedBitAndTruncationIsRefusedOrCompiles) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 18]> g
      (float[n,1,4,4] x) => (float[n,2] y)
      <float[2,1,3,3] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9}, int64[2] s = {-1, 8}, float[8,2] v =
       {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}> {
        c = Conv <kernel_shape = [3,3]> (x, w)
        r = Relu (c)
        f = Reshape (r, s)
        y = MatMul (f, v) })");
  const std::string bytes = to_bytes(model);
  ASSERT_LT(bytes.size(), 1000u);
  ASSERT_EQ(check_module_bytes(hostile_bytes(bytes)), ModuleBytes::kModule);
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string part = bytes.substr(0, size);
    ASSERT_NO_THROW(check_module_bytes(hostile_bytes(part))) << size;
  }
  size_t modules = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_NO_THROW(modules += check_module_bytes(hostile_bytes(changed)) == ModuleBytes::kModule ? 1 : 0)
        << bit;
  }
  EXPECT_GT(modules, bytes.size());  // most bits are weights and names
}

TEST(HostileModule, TheFuzzCorpusHolds) {
  size_t modules = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MC_SOURCE_DIR "/tests/fuzz/corpus")) {
    const std::string bytes = read_file(entry.path());
    ASSERT_NO_THROW(modules += check_module_bytes(hostile_bytes(bytes)) == ModuleBytes::kModule ? 1 : 0)
        << entry.path();
  }
  EXPECT_GE(modules, 1u);
}

}  // namespace
}  // namespace mc
