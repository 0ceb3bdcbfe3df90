#include "mc/base/scratch_folder.h"

#include <fstream>

#include <gtest/gtest.h>

namespace mc {
namespace {

TEST(ScratchFolder, IsGoneWithItsFiles) {
  std::filesystem::path file, parent;
  {
    ScratchFolder folder, other;
    file = folder.file("model.onnx");
    parent = file.parent_path();
    EXPECT_NE(other.file("model.onnx"), file);
    std::ofstream(file) << "x";
    std::ofstream(file.string() + ".data") << "y";
    EXPECT_TRUE(std::filesystem::exists(file));
  }
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_FALSE(std::filesystem::exists(parent));
}

}  // namespace
}  // namespace mc
