#include "mc/base/options_read.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "mc/base/text.h"

namespace mc {

std::string describe_constraint(const Constraint& constraint) {
  if (!constraint.choices.empty()) return "one of " + join(constraint.choices, ", ");
  bool low = std::isfinite(constraint.minimum), high = std::isfinite(constraint.maximum);
  if (low && high) {
    return fmt::format("in {}{}, {}{}", constraint.exclusive_minimum ? '(' : '[', constraint.minimum,
                       constraint.maximum, constraint.exclusive_maximum ? ')' : ']');
  }
  if (low)
    return fmt::format("{} {}", constraint.exclusive_minimum ? "above" : "at least", constraint.minimum);
  if (high)
    return fmt::format("{} {}", constraint.exclusive_maximum ? "below" : "at most", constraint.maximum);
  return "";
}

namespace options_detail {
namespace {

template <class T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Finite decimal numbers only: from_chars also knows "inf" and "nan".
std::optional<double> parse_number(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  auto value = parse_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

bool is_plain_scalar(const Config& config) {
  return config.kind == Config::Kind::kScalar && !config.quoted;
}

bool in_range(const Source& source, double value, const Constraint& constraint) {
  bool low = constraint.exclusive_minimum ? value > constraint.minimum : value >= constraint.minimum;
  bool high = constraint.exclusive_maximum ? value < constraint.maximum : value <= constraint.maximum;
  if (low && high) return true;
  source.fail(fmt::format("must be {}, is {}", describe_constraint(constraint), source.config.scalar));
  return false;
}

struct SignedMagnitude {
  bool negative = false;
  uint64_t magnitude = 0;
};

// "12", "-3", and whole numbers in another dress: "1e3", "2.0".
std::optional<SignedMagnitude> parse_integer(std::string_view text) {
  bool negative = text.starts_with('-');
  std::string_view digits = text.starts_with('-') || text.starts_with('+') ? text.substr(1) : text;
  if (auto magnitude = parse_whole<uint64_t>(digits)) return SignedMagnitude{negative, *magnitude};
  auto number = parse_number(text);
  bool exact = number && std::trunc(*number) == *number && std::abs(*number) <= 0x1p53;
  if (!exact) return std::nullopt;
  return SignedMagnitude{*number < 0, static_cast<uint64_t>(std::abs(*number))};
}

}  // namespace

void OptionErrors::add(Mark mark, const std::string& path, const std::string& message) {
  messages_.push_back(config_error(mark, path.empty() ? message : path + ": " + message).what());
}

void OptionErrors::throw_if_any() const {
  if (!messages_.empty()) throw Error(join(messages_, "\n"));
}

Source Source::key(const std::string& name, const Config& value) const {
  return {value, path.empty() ? name : path + "." + name, errors};
}

Source Source::item(size_t index) const {
  return {config.items[index], fmt::format("{}[{}]", path, index), errors};
}

std::optional<bool> read_bool(const Source& source) {
  if (is_plain_scalar(source.config)) {
    if (source.config.scalar == "true") return true;
    if (source.config.scalar == "false") return false;
  }
  source.fail("expected true or false, got " + source.config.describe());
  return std::nullopt;
}

std::optional<uint64_t> read_integer(const Source& source, int64_t low, uint64_t high,
                                     const Constraint& constraint) {
  const std::string& text = source.config.scalar;
  auto number = is_plain_scalar(source.config) ? parse_integer(text) : std::nullopt;
  if (!number) {
    source.fail("expected a whole number, got " + source.config.describe());
    return std::nullopt;
  }
  uint64_t lowest = 0 - static_cast<uint64_t>(low);  // how far below zero is allowed
  if (number->magnitude > (number->negative ? lowest : high)) {
    source.fail(fmt::format("must be in [{}, {}], is {}", low, high, text));
    return std::nullopt;
  }
  double magnitude = static_cast<double>(number->magnitude);
  if (!in_range(source, number->negative ? -magnitude : magnitude, constraint)) return std::nullopt;
  return number->negative ? 0 - number->magnitude : number->magnitude;
}

std::optional<double> read_number(const Source& source, const Constraint& constraint) {
  auto number = is_plain_scalar(source.config) ? parse_number(source.config.scalar) : std::nullopt;
  if (!number) {
    source.fail("expected a number, got " + source.config.describe());
    return std::nullopt;
  }
  if (!in_range(source, *number, constraint)) return std::nullopt;
  return number;
}

std::optional<std::string> read_text(const Source& source, const Constraint& constraint) {
  if (source.config.kind != Config::Kind::kScalar) {
    source.fail("expected text, got " + source.config.describe());
    return std::nullopt;
  }
  const std::string& text = source.config.scalar;
  const auto& choices = constraint.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
    source.fail(fmt::format("must be {}; is '{}'{}", describe_constraint(constraint), text,
                            did_you_mean(text, choices)));
    return std::nullopt;
  }
  return text;
}

void check_keys(const Source& source, const std::vector<std::string>& known) {
  const auto& entries = source.config.entries;
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    std::string path = source.key(entry->key, entry->value).path;
    auto same_key = [&](const Config::Entry& other) { return other.key == entry->key; };
    if (auto first = std::find_if(entries.begin(), entry, same_key); first != entry) {
      source.errors.add(entry->mark, path, fmt::format("is given twice, first on line {}", first->mark.line));
    } else if (std::find(known.begin(), known.end(), entry->key) == known.end()) {
      std::string hint = did_you_mean(entry->key, known);
      if (hint.empty())
        hint = known.empty() ? "; no keys are known here" : "; known keys: " + join(known, ", ");
      source.errors.add(entry->mark, path, "unknown key" + hint);
    }
  }
}

std::optional<Choice> read_choice(const Source& source, const std::vector<std::string>& names) {
  const Config& config = source.config;
  std::string expected = fmt::format("expected one of {}", join(names, ", "));
  bool single = config.is_map() && config.entries.size() == 1;
  if (!single && config.kind != Config::Kind::kScalar) {
    std::string got = config.describe();
    if (config.is_map()) got = fmt::format("a map with {} keys", config.entries.size());
    source.fail(fmt::format("{}, written `name` or `{{name: {{...}}}}`; got {}", expected, got));
    return std::nullopt;
  }
  Choice choice;
  choice.name = config.scalar;
  choice.body.mark = config.mark;
  if (single) choice = {config.entries[0].key, config.entries[0].value};
  if (std::find(names.begin(), names.end(), choice.name) == names.end()) {
    source.errors.add(single ? config.entries[0].mark : config.mark, source.path,
                      fmt::format("{}, got '{}'{}", expected, choice.name, did_you_mean(choice.name, names)));
    return std::nullopt;
  }
  return choice;
}

bool is_false(const Config& config) {
  return is_plain_scalar(config) && config.scalar == "false";
}

}  // namespace options_detail
}  // namespace mc
