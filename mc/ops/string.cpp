// Operators on tensors of strings.
#include <algorithm>
#include <unordered_set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/regex.h"
#include "mc/ops/sequence.h"
#include "mc/ops/tfidf.h"
#include "mc/ops/utf8.h"

namespace mc {
namespace {

// The positions of a tensor's elements, to be broadcast in their place.
at::Tensor string_positions(const Slot::Extra& x) {
  return at::arange(static_cast<int64_t>(x.strings.size()), at::kLong).reshape(x.string_dims);
}

Kernel bind_string_concat(const BindContext&) {
  return [](const KernelArgs& args) {
    const Slot::Extra &a = string_input(args, 0), &b = string_input(args, 1);
    const auto positions = at::broadcast_tensors({string_positions(a), string_positions(b)});
    const std::vector<int64_t> left = tensor_ints(positions[0]), right = tensor_ints(positions[1]);
    std::vector<std::string> joined(left.size());
    for (size_t i = 0; i < joined.size(); ++i) joined[i] = a.strings[left[i]] + b.strings[right[i]];
    args.out(0, string_slot(std::move(joined), positions[0].sizes().vec()));
  };
}

constexpr std::string_view kBlanks = " \t\n\v\f\r";

// Between runs of white space; none at the ends.
std::vector<std::string> split_at_blanks(std::string_view text, int64_t most) {
  std::vector<std::string> parts;
  size_t begin = text.find_first_not_of(kBlanks);
  while (begin != std::string_view::npos) {
    const bool last = static_cast<int64_t>(parts.size()) == most;
    const size_t end = last ? std::string_view::npos : text.find_first_of(kBlanks, begin);
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end == std::string_view::npos ? end : text.find_first_not_of(kBlanks, end);
  }
  return parts;
}

std::vector<std::string> split_at(std::string_view text, std::string_view delimiter, int64_t most) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (static_cast<int64_t>(parts.size()) < most) {
    const size_t end = text.find(delimiter, begin);
    if (end == std::string_view::npos) break;
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + delimiter.size();
  }
  parts.emplace_back(text.substr(begin));
  return parts;
}

Kernel bind_string_split(const BindContext& context) {
  const std::string delimiter = context.node.get_string("delimiter", "");
  const int64_t most = context.node.get_int("maxsplit", std::numeric_limits<int64_t>::max());
  MC_CHECK(most >= 0, "maxsplit is {}; it must not be negative", most);
  return [delimiter, most](const KernelArgs& args) {
    const Slot::Extra& x = string_input(args, 0);
    std::vector<std::vector<std::string>> rows;
    at::Tensor counts = at::empty({static_cast<int64_t>(x.strings.size())}, at::kLong);
    size_t longest = 0;
    for (const std::string& text : x.strings) {
      rows.push_back(delimiter.empty() ? split_at_blanks(text, most) : split_at(text, delimiter, most));
      counts.data_ptr<int64_t>()[rows.size() - 1] = static_cast<int64_t>(rows.back().size());
      longest = std::max(longest, rows.back().size());
    }
    std::vector<std::string> parts;
    for (std::vector<std::string>& row : rows) {
      row.resize(longest);
      std::ranges::move(row, std::back_inserter(parts));
    }
    std::vector<int64_t> dims = x.string_dims;
    dims.push_back(static_cast<int64_t>(longest));
    args.out(0, string_slot(std::move(parts), std::move(dims)));
    args.out(1, counts.reshape(x.string_dims));
  };
}

void infer_string_split(InferContext& context) {
  std::optional<Shape> parts, counts;
  if (const Shape* shape = input_shape(context, 0)) {
    counts = *shape;
    parts = *shape;
    parts->emplace_back();
  }
  context.output(0, Type::tensor(DType::kString, std::move(parts)));
  if (context.node().outputs.size() > 1) context.output(1, Type::tensor(DType::kInt64, std::move(counts)));
}

std::string with_case(const std::string& text, char32_t (*change)(char32_t)) {
  std::string result;
  for (const char32_t code : decode_utf8(text)) append_utf8(result, change(code));
  return result;
}

// Drops the elements that are stop words and changes the case of the others; the same in every locale.
Kernel bind_string_normalizer(const BindContext& context) {
  const Node& node = context.node;
  const std::string action = node.get_string("case_change_action", "NONE");
  MC_CHECK(action == "NONE" || action == "LOWER" || action == "UPPER",
           "case_change_action '{}' is none of NONE, LOWER and UPPER", action);
  const bool exact = node.get_int("is_case_sensitive", 0) != 0;
  std::unordered_set<std::string> stop_words;
  if (const Attribute* attribute = node.find("stopwords")) {
    const auto* words = std::get_if<std::vector<std::string>>(&attribute->value);
    MC_CHECK(words, "attribute 'stopwords' is no list of strings");
    for (const std::string& word : *words) stop_words.insert(exact ? word : with_case(word, lower_case));
  }
  return [action, exact, stop_words = std::move(stop_words)](const KernelArgs& args) {
    const Slot::Extra& x = string_input(args, 0);
    const std::vector<int64_t>& dims = x.string_dims;
    const bool flat = dims.size() == 1;
    MC_CHECK(flat || (dims.size() == 2 && dims[0] == 1), "the input is neither [C] nor [1, C]");
    std::vector<std::string> kept;
    for (const std::string& text : x.strings) {
      if (stop_words.contains(exact ? text : with_case(text, lower_case))) continue;
      kept.push_back(action == "NONE" ? text : with_case(text, action == "LOWER" ? lower_case : upper_case));
    }
    if (kept.empty()) kept.emplace_back();
    const auto count = static_cast<int64_t>(kept.size());
    args.out(
        0, string_slot(std::move(kept), flat ? std::vector<int64_t>{count} : std::vector<int64_t>{1, count}));
  };
}

void infer_string_normalizer(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  std::optional<Shape> result;
  if (shape) result = shape->size() == 2 ? Shape{Dim(1), Dim()} : Shape{Dim()};
  context.output(0, Type::tensor(DType::kString, std::move(result)));
}

Kernel bind_regex_full_match(const BindContext& context) {
  return [regex = Regex(context.node.get_string("pattern", ""))](const KernelArgs& args) {
    const Slot::Extra& x = string_input(args, 0);
    at::Tensor matches = at::empty({static_cast<int64_t>(x.strings.size())}, at::kBool);
    for (size_t i = 0; i < x.strings.size(); ++i)
      matches.data_ptr<bool>()[i] = regex.full_match(x.strings[i]);
    args.out(0, matches.reshape(x.string_dims));
  };
}

}  // namespace

std::vector<Op> string_ops() {
  std::vector<Op> ops = {
      make_op("StringConcat", 20, bind_string_concat, infer_broadcast),
      make_op("StringSplit", 20, bind_string_split, infer_string_split),
      make_op("StringNormalizer", 10, bind_string_normalizer, infer_string_normalizer),
      make_op("RegexFullMatch", 20, bind_regex_full_match,
              [](InferContext& context) { infer_same_shape(context, DType::kBool); }),
      make_op("TfIdfVectorizer", 9, bind_tfidf, infer_tfidf),
  };
  for (Op& op : ops) op.differentiable = false;
  return ops;
}

}  // namespace mc
