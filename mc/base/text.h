// Small text helpers for messages to people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mc {

// The candidate with the smallest edit distance to `word`, or empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// " (did you mean 'x'?)" or empty.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

std::string join(const std::vector<std::string>& words, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);

// True where `name` fits the shell-style `pattern` (* and ?).
bool glob_match(std::string_view pattern, std::string_view name);

std::string human_bytes(double bytes);      // "1.4 MB"
std::string human_count(double count);      // "11.2 M"
std::string human_seconds(double seconds);  // "2 min 05 s"

}  // namespace mc
