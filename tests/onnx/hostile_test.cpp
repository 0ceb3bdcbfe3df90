// Broken files are refused with an Error that names the place; none crashes or hangs.
#include <filesystem>

#include <gmock/gmock.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/onnx/onnx.h"
#include "mc/onnx/write_fields.h"
#include "tests/base/temporary_folder.h"
#include "tests/fuzz/onnx_target.h"
#include "tests/graph/everything.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string parse_error(const std::string& bytes) {
  try {
    parse_onnx(bytes_of(bytes), nullptr);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string text_model(const std::string& body) {
  return to_bytes(parse_model("<ir_version: 10, opset_import: [\"\": 17]> " + body));
}

// The head of a model, and a graph with what `body` appends.
template <class Body>
std::string model_with(Body body) {
  std::string model;
  put_integer(model, 1, 10);
  put_message(model, 8, [&] { put_integer(model, 2, 17); });
  put_message(model, 7, [&] {
    put_text(model, 2, "g");
    body(model);
  });
  return model;
}

std::string with_tensor(std::initializer_list<int64_t> dims, int64_t type, const std::string& raw) {
  return model_with([&](std::string& out) {
    put_message(out, 5, [&] {
      for (const int64_t dim : dims) put_integer(out, 1, dim);
      put_integer(out, 2, type);
      put_text(out, 8, "w");
      put_text(out, 9, raw);
    });
  });
}

TEST(HostileTest, TruncatedAtAnyLengthIsRefused) {
  const std::string bytes = to_bytes(parse_model(kEverything));
  size_t models = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string part = bytes.substr(0, size);  // its own block, so that a sanitizer sees overruns
    ASSERT_NO_THROW(models += check_onnx_bytes(bytes_of(part)) ? 1 : 0) << size;
  }
  // Without its functions or with part of its metadata a model is still one.
  EXPECT_EQ(models, 4u);
}

TEST(HostileTest, EveryFlippedBitIsRefusedOrSurvivesRoundTrips) {
  const std::string bytes = to_bytes(parse_model(kEverything));
  ASSERT_LT(bytes.size(), 4000u);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_NO_THROW(check_onnx_bytes(bytes_of(changed))) << "bit " << bit;
  }
}

TEST(HostileTest, WhatIsNoModelIsSaidSo) {
  EXPECT_THAT(parse_error(""), HasSubstr("is no ONNX model: it has no graph (empty or truncated file?)"));
  EXPECT_THAT(parse_error("PK\x03\x04 this is a zip file"), ::testing::Not("no error"));
}

TEST(HostileTest, ErrorsNameFileAndPlace) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "m.onnx";
  write_file_atomic(path, with_tensor({10, 10}, 1, std::string(12, 'x')));
  try {
    read_onnx(path);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(),
              path.string() + ": graph 'g': initializer 'w': needs 400 bytes for float[10,10], has 12");
  }
  EXPECT_THROW(read_onnx(folder.path() / "absent.onnx"), Error);
  EXPECT_THROW(read_onnx(folder.path()), Error);
}

TEST(HostileTest, ANewerOpsetIsNamed) {
  const Model newer = parse_model("<opset_import: [\"\": 29]> g (float x) => (float y) { y = Relu(x) }");
  EXPECT_THAT(parse_error(to_bytes(newer)),
              HasSubstr("needs opset 29 of ai.onnx, newer than the 28 known here"));
  const Model ml = parse_model("<opset_import: [\"ai.onnx.ml\": 6]> g (float x) => (float x) { }");
  EXPECT_THAT(parse_error(to_bytes(ml)), HasSubstr("needs opset 6 of ai.onnx.ml"));
  const Model custom = parse_model("<opset_import: [\"acme\": 1000]> g (float x) => (float x) { }");
  EXPECT_EQ(parse_error(to_bytes(custom)), "no error");
  const Model ir = parse_model("<ir_version: 15> g (float x) => (float x) { }");
  EXPECT_THAT(parse_error(to_bytes(ir)), HasSubstr("IR version 15"));
}

TEST(HostileTest, ACycleIsNamed) {
  EXPECT_THAT(parse_error(text_model("g (float x) => (float y) { [a] y = Add(x, h) [b] h = Neg(y) }")),
              HasSubstr("is on a cycle"));
}

TEST(HostileTest, HugeDimensionsAllocateNothing) {
  const int64_t big = int64_t{1} << 40;
  EXPECT_THAT(parse_error(with_tensor({big, big}, 1, "")), HasSubstr("does not fit"));
  EXPECT_THAT(parse_error(with_tensor({big}, 1, "")), HasSubstr("needs 4398046511104 bytes"));
  EXPECT_THAT(parse_error(with_tensor({-1}, 1, "")), HasSubstr("negative"));
  // Varints that claim a terabyte of elements.
  EXPECT_THAT(parse_error(model_with([&](std::string& out) {
                put_message(out, 5, [&] {
                  put_integer(out, 1, big);
                  put_integer(out, 2, 6);
                  put_text(out, 5, "\1\2\3");
                });
              })),
              HasSubstr("needs 1099511627776 values"));
}

TEST(HostileTest, TensorsMustMakeSense) {
  EXPECT_THAT(parse_error(with_tensor({1}, 99, "abcd")), HasSubstr("element type 99 is unknown"));
  EXPECT_THAT(parse_error(with_tensor({1}, 0, "abcd")), HasSubstr("element type 0 is unknown"));
  EXPECT_THAT(parse_error(with_tensor({1}, 8, "abcd")), HasSubstr("strings cannot be raw data"));
  EXPECT_THAT(parse_error(model_with([&](std::string& out) {
                put_message(out, 5, [&] {
                  put_integer(out, 1, 1);
                  put_integer(out, 2, 1);
                  put_text(out, 4, "abcd");
                  put_text(out, 9, "abcd");
                });
              })),
              HasSubstr("it has its data in two fields"));
  EXPECT_THAT(parse_error(model_with([&](std::string& out) {
                for (int i = 0; i < 2; ++i) {
                  put_message(out, 5, [&] {
                    put_integer(out, 1, 0);
                    put_integer(out, 2, 1);
                    put_text(out, 8, "w");
                  });
                }
              })),
              HasSubstr("two initializers are named 'w'"));
}

TEST(HostileTest, WrongWireTypesAreRefused) {
  EXPECT_THAT(parse_error(model_with([](std::string& out) { put_integer(out, 1, 5); })),
              HasSubstr("field 1 of GraphProto has wire type 0 instead of 2"));
  EXPECT_THAT(parse_error(model_with([](std::string& out) { put_text(out, 1, "\x0A\xFF\xFF\xFF\xFF\x0F"); })),
              HasSubstr("truncated"));
}

TEST(HostileTest, DeepNestingIsRefused) {
  std::string type;  // sequence of sequence of ...
  for (int i = 0; i < 2000; ++i) {
    std::string sequence;
    put_text(sequence, 1, type);
    type.clear();
    put_text(type, 4, sequence);
  }
  EXPECT_THAT(parse_error(model_with([&](std::string& out) {
                put_message(out, 11, [&] {
                  put_text(out, 1, "x");
                  put_text(out, 2, type);
                });
              })),
              HasSubstr("nested deeper than 64 levels"));
  std::string graph;
  for (int i = 0; i < 2000; ++i) {
    std::string attribute;
    put_text(attribute, 6, graph);
    std::string node;
    put_text(node, 5, attribute);
    graph.clear();
    put_text(graph, 1, node);
  }
  EXPECT_THAT(parse_error(model_with([&](std::string& out) { out += graph; })),
              HasSubstr("nested deeper than 64 levels"));
}

TEST(HostileTest, BrokenTextIsTolerated) {
  Model model = parse_model("<opset_import: [\"\": 17]> g (float x) => (float y) { [n] y = Relu(x) }");
  model.graph.nodes[0].name = "\xff\xfe\xc0 \" \\ \n";
  model.doc = std::string("\0\x80", 2);
  const std::string bytes = to_bytes(model);
  EXPECT_TRUE(check_onnx_bytes(bytes_of(bytes)));
}

TEST(HostileTest, TheFuzzCorpusHolds) {
  size_t models = 0;
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MC_SOURCE_DIR "/tests/fuzz/corpus")) {
    const std::string bytes = read_file(entry.path());
    ASSERT_NO_THROW(models += check_onnx_bytes(bytes_of(bytes)) ? 1 : 0) << entry.path();
    ++files;
  }
  EXPECT_GE(models, 3u);
  EXPECT_GT(files, models);  // some are broken on purpose
}

}  // namespace
}  // namespace mc
