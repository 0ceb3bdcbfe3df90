#include "mc/recipe/export.h"

#include <gmock/gmock.h>

#include "mc/onnx/onnx.h"
#include "tests/base/error_of.h"
#include "tests/base/temporary_folder.h"

namespace mc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Export, ConvertsToTheOpsetThatIsAskedFor) {
  const TemporaryFolder folder;
  const Model model = parse_model(R"(<ir_version: 8, opset_import: ["": 12]>
      g (float[2,3] x) => (float[2,1] y) { y = ReduceMean <axes = [1]> (x) })");
  export_model(model, std::nullopt, folder.path() / "kept.onnx");
  EXPECT_EQ(read_onnx(folder.path() / "kept.onnx").opset(), 12);
  export_model(model, std::nullopt, folder.path() / "raised.onnx", "18");
  const Model raised = read_onnx(folder.path() / "raised.onnx");
  EXPECT_EQ(raised.opset(), 18);
  EXPECT_EQ(raised.graph.nodes.back().inputs.size(), 2u);
}

TEST(Export, NamesTheNodesThatHaveNoFormThere) {
  const TemporaryFolder folder;
  const Model model = parse_model(R"(<ir_version: 10, opset_import: ["": 20]>
      g (float[2,3] x) => (float[2,3] y) { [act] y = Gelu (x) })");
  EXPECT_THAT(error_of([&] { export_model(model, std::nullopt, folder.path() / "m.onnx", "17"); }),
              AllOf(HasSubstr("'act' (Gelu)"), HasSubstr("opset 17")));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "m.onnx"));
}

}  // namespace
}  // namespace mc
