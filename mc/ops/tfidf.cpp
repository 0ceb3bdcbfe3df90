#include "mc/ops/tfidf.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/sequence.h"

namespace mc {
namespace {

constexpr int64_t kMaxColumns = int64_t{1} << 24;
constexpr int64_t kUnknownToken = -1;  // a string that is in no n-gram

struct NgramTable {
  bool of_strings = false;
  std::unordered_map<std::string, int64_t> tokens;               // of strings: their numbers
  std::vector<std::map<std::vector<int64_t>, int64_t>> columns;  // by length - shortest
  int64_t shortest = 1;
  int64_t skips = 0;           // tokens that may stand between two of an n-gram, at most
  int64_t width = 0;           // of the output
  bool binary = false;         // IDF: whether, not how often
  std::vector<float> weights;  // by column; empty: ones
};

const std::vector<std::string>* pool_strings(const Node& node) {
  const Attribute* attribute = node.find("pool_strings");
  if (!attribute) return nullptr;
  const auto* strings = std::get_if<std::vector<std::string>>(&attribute->value);
  MC_CHECK(strings, "attribute 'pool_strings' is no list of strings");
  return strings->empty() ? nullptr : strings;
}

// The tokens of all n-grams as numbers.
std::vector<int64_t> pool_tokens(const Node& node, NgramTable& table) {
  const std::vector<std::string>* strings = pool_strings(node);
  std::vector<int64_t> tokens = node.get_ints("pool_int64s");
  MC_CHECK(!strings || tokens.empty(), "pool_strings and pool_int64s are both given");
  table.of_strings = strings != nullptr;
  for (size_t i = 0; strings && i < strings->size(); ++i) {
    const auto next = static_cast<int64_t>(table.tokens.size());
    tokens.push_back(table.tokens.try_emplace((*strings)[i], next).first->second);
  }
  return tokens;
}

int64_t tfidf_width(const std::vector<int64_t>& indexes) {
  MC_CHECK(!indexes.empty(), "attribute 'ngram_indexes' is missing");
  for (const int64_t index : indexes) {
    MC_CHECK(index >= 0 && index < kMaxColumns, "ngram_indexes holds {}, which is no column", index);
  }
  return *std::ranges::max_element(indexes) + 1;
}

NgramTable read_table(const Node& node) {
  NgramTable table;
  const std::vector<int64_t> tokens = pool_tokens(node, table);
  const std::vector<int64_t> starts = node.get_ints("ngram_counts");
  const std::vector<int64_t> indexes = node.get_ints("ngram_indexes");
  table.width = tfidf_width(indexes);
  table.shortest = node.get_int("min_gram_length", 1);
  table.skips = node.get_int("max_skip_count", 0);
  const int64_t longest = node.get_int("max_gram_length", 1);
  const auto lengths = static_cast<int64_t>(starts.size());
  MC_CHECK(table.shortest >= 1 && longest >= table.shortest && longest <= lengths && table.skips >= 0,
           "n-grams of {} to {} tokens with {} skips do not fit {} ngram_counts", table.shortest, longest,
           table.skips, lengths);
  table.columns.resize(static_cast<size_t>(longest - table.shortest + 1));
  size_t number = 0;  // of the n-gram among all
  for (int64_t n = 1; n <= lengths; ++n) {
    const int64_t begin = starts[n - 1];
    const int64_t end = n < lengths ? starts[n] : static_cast<int64_t>(tokens.size());
    MC_CHECK(
        begin >= 0 && begin <= end && end <= static_cast<int64_t>(tokens.size()) && (end - begin) % n == 0,
        "ngram_counts [{}] do not divide a pool of {} tokens", fmt::join(starts, ","), tokens.size());
    for (int64_t i = begin; i < end; i += n, ++number) {
      MC_CHECK(number < indexes.size(), "there are more n-grams than the {} ngram_indexes", indexes.size());
      if (n < table.shortest || n > longest) continue;
      table.columns[n - table.shortest].insert_or_assign({tokens.begin() + i, tokens.begin() + i + n},
                                                         indexes[number]);
    }
  }
  const std::string mode = node.get_string("mode", "");
  MC_CHECK(mode == "TF" || mode == "IDF" || mode == "TFIDF", "mode '{}' is none of TF, IDF and TFIDF", mode);
  table.binary = mode == "IDF";
  const std::vector<float> weights = mode == "TF" ? std::vector<float>() : node.get_floats("weights");
  if (weights.empty()) return table;
  MC_CHECK(weights.size() == indexes.size(), "{} weights are given for {} ngram_indexes", weights.size(),
           indexes.size());
  table.weights.resize(static_cast<size_t>(table.width), 1);
  for (size_t i = 0; i < weights.size(); ++i) table.weights[static_cast<size_t>(indexes[i])] = weights[i];
  return table;
}

// The tokens of the input as the table numbers them, and its dims.
std::vector<int64_t> input_tokens(const NgramTable& table, const KernelArgs& args,
                                  std::vector<int64_t>& dims) {
  std::vector<int64_t> tokens;
  if (table.of_strings) {
    const Slot::Extra& x = string_input(args, 0);
    dims = x.string_dims;
    for (const std::string& text : x.strings) {
      const auto found = table.tokens.find(text);
      tokens.push_back(found == table.tokens.end() ? kUnknownToken : found->second);
    }
  } else {
    MC_CHECK(args.has(0) && args.in(0).defined() && at::isIntegralType(args.in(0).scalar_type(), false),
             "the input holds no integers, as the pool of n-grams does");
    dims = args.in(0).sizes().vec();
    tokens = tensor_ints(args.in(0));
  }
  MC_CHECK(dims.size() == 1 || dims.size() == 2, "the input has {} dims; 1 or 2 are supported", dims.size());
  return tokens;
}

void count_ngrams(const NgramTable& table, std::span<const int64_t> row, float* counts) {
  const auto length = static_cast<int64_t>(row.size());
  std::vector<int64_t> ngram;
  for (size_t k = 0; k < table.columns.size(); ++k) {
    const int64_t n = table.shortest + static_cast<int64_t>(k);
    const auto& columns = table.columns[k];
    const int64_t skips = n == 1 ? 0 : std::min(table.skips, length);  // skipping changes no unigram
    for (int64_t stride = 1; !columns.empty() && stride <= skips + 1; ++stride) {
      for (int64_t start = 0; start + (n - 1) * stride < length; ++start) {
        ngram.clear();
        for (int64_t i = 0; i < n; ++i) ngram.push_back(row[start + i * stride]);
        if (const auto found = columns.find(ngram); found != columns.end()) counts[found->second] += 1;
      }
    }
  }
}

}  // namespace

Kernel bind_tfidf(const BindContext& context) {
  return [table = read_table(context.node)](const KernelArgs& args) {
    std::vector<int64_t> dims;
    const std::vector<int64_t> tokens = input_tokens(table, args, dims);
    const int64_t rows = dims.size() == 2 ? dims[0] : 1, length = dims.back();
    at::Tensor y = at::zeros({rows, table.width});
    for (int64_t r = 0; r < rows; ++r) {
      count_ngrams(table, std::span(tokens).subspan(r * length, length),
                   y.data_ptr<float>() + r * table.width);
    }
    if (table.binary) y = y.clamp_max(1);
    if (!table.weights.empty()) y = y * at::tensor(table.weights);
    args.out(0, dims.size() == 2 ? y : y.squeeze(0));
  };
}

void infer_tfidf(InferContext& context) {
  const Dim width(tfidf_width(context.node().get_ints("ngram_indexes")));
  const Shape* shape = input_shape(context, 0);
  std::optional<Shape> result;
  if (shape) result = shape->size() == 2 ? Shape{(*shape)[0], width} : Shape{width};
  context.output(0, Type::tensor(DType::kFloat, std::move(result)));
}

}  // namespace mc
