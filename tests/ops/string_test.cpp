#include <gmock/gmock.h>

#include "mc/ops/sequence.h"
#include "tests/ops/interpreter.h"
#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using testing::inferred;
using testing::ints;

// Runs "y = ..." on the inputs a and b.
std::vector<Slot> run_strings(const std::string& node, const std::vector<Slot>& inputs, int64_t opset = 21) {
  const Model model =
      parse_model(fmt::format("<ir_version: 10, opset_import: [\"\" : {}]> g ({}) => (string[] y{}) {{ {} }}",
                              opset, inputs.size() == 2 ? "string[] a, string[] b" : "string[] a",
                              node.starts_with("y, z") ? ", int64[] z" : "", node));
  return testing::Interpreter(model).run(inputs);
}

Slot words(std::vector<std::string> strings) {
  const auto count = static_cast<int64_t>(strings.size());
  return string_slot(std::move(strings), {count});
}

std::vector<float> tfidf(const std::string& attributes, const Slot& input) {
  const at::Tensor y =
      run_strings(fmt::format("y = TfIdfVectorizer <{}> (a)", attributes), {input})[0].tensor.contiguous();
  return {y.data_ptr<float>(), y.data_ptr<float>() + y.numel()};
}

TEST(String, ConcatBroadcasts) {
  const Slot y = run_strings("y = StringConcat (a, b)",
                             {string_slot({"a", "b"}, {2, 1}), words({"x", "", "\xC3\xA9"})})[0];
  EXPECT_EQ(y.extra->string_dims, (std::vector<int64_t>{2, 3}));
  EXPECT_THAT(y.extra->strings, ElementsAre("ax", "a", "a\xC3\xA9", "bx", "b", "b\xC3\xA9"));
}

TEST(String, SplitAtADelimiterOrAtBlanks) {
  auto results = run_strings("y, z = StringSplit <delimiter = \"--\"> (a)", {words({"a--b----", "", "c"})});
  EXPECT_EQ(results[0].extra->string_dims, (std::vector<int64_t>{3, 4}));
  EXPECT_THAT(results[0].extra->strings, ElementsAre("a", "b", "", "", "", "", "", "", "c", "", "", ""));
  EXPECT_TRUE(at::equal(results[1].tensor, ints({4, 1, 1})));
  results = run_strings("y, z = StringSplit (a)", {words({"  a \t b\n", "", " "})});
  EXPECT_THAT(results[0].extra->strings, ElementsAre("a", "b", "", "", "", ""));
  EXPECT_TRUE(at::equal(results[1].tensor, ints({2, 0, 0})));
  results = run_strings("y, z = StringSplit <delimiter = \",\", maxsplit = 1> (a)", {words({"a,b,c", "d"})});
  EXPECT_THAT(results[0].extra->strings, ElementsAre("a", "b,c", "d", ""));
  results = run_strings("y, z = StringSplit <maxsplit = 1> (a)", {words({" a  b  c"})});
  EXPECT_THAT(results[0].extra->strings, ElementsAre("a", "b  c"));
}

TEST(String, NormalizerDropsStopWordsAndChangesCase) {
  const Slot text = words({"Monday", "tuesday", "\xC3\x89t\xC3\xA9"});
  EXPECT_THAT(
      run_strings("y = StringNormalizer <case_change_action = \"UPPER\", stopwords = [\"monday\"]> (a)",
                  {text})[0]
          .extra->strings,
      ElementsAre("TUESDAY", "\xC3\x89T\xC3\x89"));
  EXPECT_THAT(run_strings("y = StringNormalizer <case_change_action = \"LOWER\", is_case_sensitive = 1, "
                          "stopwords = [\"monday\"]> (a)",
                          {text})[0]
                  .extra->strings,
              ElementsAre("monday", "tuesday", "\xC3\xA9t\xC3\xA9"));
  const Slot none =
      run_strings("y = StringNormalizer <stopwords = [\"a\"]> (a)", {string_slot({"a", "A"}, {1, 2})})[0];
  EXPECT_EQ(none.extra->string_dims, (std::vector<int64_t>{1, 1}));
  EXPECT_THAT(none.extra->strings, ElementsAre(""));
}

// Counts of 2-grams that may leave out up to one token, by hand.
TEST(String, TfIdfCountsNgrams) {
  const std::string pool =
      "ngram_counts = [0, 2], ngram_indexes = [0, 1, 2, 3], min_gram_length = 1, "
      "max_gram_length = 2, pool_strings = [\"a\", \"b\", \"a\", \"b\", \"a\", \"a\"], ";
  const Slot row = words({"a", "b", "a", "b"});
  EXPECT_THAT(tfidf(pool + "max_skip_count = 0, mode = \"TF\"", row), ElementsAre(2, 2, 2, 0));
  EXPECT_THAT(tfidf(pool + "max_skip_count = 1, mode = \"TF\"", row), ElementsAre(2, 2, 2, 1));
  EXPECT_THAT(tfidf(pool + "max_skip_count = 2, mode = \"TF\"", row), ElementsAre(2, 2, 3, 1));
  EXPECT_THAT(tfidf(pool + "max_skip_count = 1, mode = \"IDF\", weights = [2.0, 3.0, 4.0, 5.0]", row),
              ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(tfidf(pool + "max_skip_count = 1, mode = \"TFIDF\", weights = [2.0, 3.0, 4.0, 5.0]", row),
              ElementsAre(4, 6, 8, 5));
  // Weights are the n-grams', wherever those are counted.
  EXPECT_THAT(tfidf("ngram_counts = [0], ngram_indexes = [2, 0], min_gram_length = 1, max_gram_length = 1, "
                    "pool_int64s = [7, 8], max_skip_count = 0, mode = \"TFIDF\", weights = [0.5, 3.0]",
                    Slot(ints({8, 7, 8}))),
              ElementsAre(6, 0, 0.5));
  EXPECT_THAT(tfidf(pool + "max_skip_count = 0, mode = \"TF\"", string_slot({"a", "a", "b", "z"}, {2, 2})),
              ElementsAre(2, 0, 0, 1, 0, 1, 0, 0));
}

TEST(String, InfersShapes) {
  const char* text = R"(<ir_version: 10, opset_import: ["" : 21]>
    g (string[n,3] x, string[c] w, string[3] v) => (string[] last) {
      y, z = StringSplit <delimiter = ","> (x)
      r = RegexFullMatch <pattern = "a"> (x)
      c2 = StringConcat (x, v)
      s = StringNormalizer (w)
      t = TfIdfVectorizer <mode = "TF", ngram_counts = [0], ngram_indexes = [4], pool_strings = ["a"],
          max_skip_count = 0, min_gram_length = 1, max_gram_length = 1> (x)
      last = Identity (c2)
    })";
  EXPECT_EQ(to_string(inferred(text, "y")), "string[n,3,?]");
  EXPECT_EQ(to_string(inferred(text, "z")), "int64[n,3]");
  EXPECT_EQ(to_string(inferred(text, "r")), "bool[n,3]");
  EXPECT_EQ(to_string(inferred(text, "c2")), "string[n,3]");
  EXPECT_EQ(to_string(inferred(text, "s")), "string[?]");
  EXPECT_EQ(to_string(inferred(text, "t")), "float[n,5]");
}

TEST(String, RefusesWhatDoesNotFit) {
  const auto refuses = [](const std::string& node, const std::vector<Slot>& inputs) {
    EXPECT_THROW(run_strings(node, inputs), Error) << node;
  };
  refuses("y = StringConcat (a, b)", {words({"a"}), Slot(ints({1}))});
  refuses("y = StringConcat (a)", {words({"a"})});
  refuses("y, z = StringSplit <maxsplit = -1> (a)", {words({"a"})});
  refuses("y = StringNormalizer <case_change_action = \"TITLE\"> (a)", {words({"a"})});
  refuses("y = StringNormalizer (a)", {string_slot({"a", "b"}, {2, 1})});
  refuses("y = RegexFullMatch <pattern = \"(\"> (a)", {words({"a"})});
  const std::string common = "max_skip_count = 0, min_gram_length = 1, max_gram_length = 1, ";
  const auto refuses_tfidf = [&](const std::string& attributes, const Slot& input) {
    refuses(fmt::format("y = TfIdfVectorizer <{}> (a)", attributes), {input});
  };
  const std::string pool = "ngram_counts = [0], pool_strings = [\"a\"], ";
  refuses_tfidf(common + pool + "ngram_indexes = [0], mode = \"BM25\"", words({"a"}));
  refuses_tfidf(common + pool + "ngram_indexes = [-1], mode = \"TF\"", words({"a"}));
  refuses_tfidf(common + pool + "ngram_indexes = [4611686018427387904], mode = \"TF\"", words({"a"}));
  refuses_tfidf(common + pool + "ngram_indexes = [0], mode = \"TF\"", Slot(ints({1})));
  refuses_tfidf(common + pool + "ngram_indexes = [2], mode = \"TFIDF\", weights = [1.0, 2.0]", words({"a"}));
  refuses_tfidf(common + "ngram_counts = [3], pool_strings = [\"a\"], ngram_indexes = [0], mode = \"TF\"",
                words({"a"}));
  refuses_tfidf(
      "max_skip_count = 0, min_gram_length = 2, max_gram_length = 2, ngram_counts = [0, 0], "
      "pool_strings = [\"a\"], ngram_indexes = [0], mode = \"TF\"",
      words({"a"}));
  refuses_tfidf(common + pool + "pool_int64s = [1], ngram_indexes = [0], mode = \"TF\"", words({"a"}));
}

}  // namespace
}  // namespace mc
